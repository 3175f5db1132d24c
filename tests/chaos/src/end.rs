//! The end of an episode: everybody stops, and all books balance.

use std::collections::BTreeSet;

use crate::child::say;
use crate::peer;
use crate::totals::Totals;
use crate::world::World;

impl World {
    /// All faults, then a clean end with all books balanced.
    pub fn run(mut self, totals: &mut Totals) -> Result<(), String> {
        for _ in 0..self.faults {
            self.fault()?;
        }
        self.end()?;
        totals.add(std::mem::take(&mut self.totals));
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let tell_producer = |w: &Self, kind| w.producer.as_ref().is_some_and(|p| peer::send(&p.socket, kind, &[]));
        tell_producer(self, b'P');
        self.until("the producer stops publishing", |w| w.producer.as_ref().is_some_and(|p| p.published.is_some()))?;
        let published = self.producer.as_ref().and_then(|p| p.published).unwrap_or(0);
        for (_, index, handle) in std::mem::take(&mut self.held_back) {
            self.forward(index, &handle);
        }
        let order = [&self.pool[..], &peer::bytes(&[published])].concat();
        for index in 0..self.consumers.len() {
            peer::send(&self.consumer(index)?.socket, b'G', &order);
        }
        self.until("every consumer is done", |w| w.consumers.iter().flatten().all(|c| c.ended.is_some()))?;
        for index in 0..self.consumers.len() {
            self.balance(index, published)?;
        }
        tell_producer(self, b'C');
        self.until("the producer is done", |w| w.producer.as_ref().is_some_and(|p| p.ended.is_some()))?;
        let mut producer = self.producer.take().ok_or("no producer")?;
        producer.clean()?;
        let stats = producer.ended.unwrap_or_default();
        let kills: Vec<u64> = self.whole.iter().map(|l| l.kills).collect();
        // A consumer that was killed before it joined left nothing to reap.
        let reaped = stats[5..].iter().zip(&kills).all(|(reaps, kills)| reaps <= kills);
        if stats[..4] != [published, 0, 0, 0] || !reaped {
            return Err(format!(
                "producer ended with {stats:?} (published, waits, scribbles, descriptors, slowest, reaps), kills {kills:?}"
            ));
        }
        if !self.lossless {
            self.totals.slowest_begin_ns = stats[4];
        }
        self.totals.published += published;
        self.totals.episodes += 1;
        let left: Vec<_> = std::fs::read_dir(&self.dir).map_err(say("runtime dir"))?.flatten().map(|e| e.file_name()).collect();
        // A producer that died between bind and rename leaves a `.new`, which is swept when it is a minute old.
        let left: Vec<_> = left.into_iter().filter(|name| !name.to_string_lossy().ends_with(".new")).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("files left behind: {left:?}")) }
    }

    /// published = used + stale + dropped, with each term counted here where it happens, is what the consumer's own counters say.
    fn balance(&mut self, index: usize, published: u64) -> Result<(), String> {
        let mut consumer = self.consumers[index].take().ok_or("no consumer")?;
        consumer.clean()?;
        let stats = consumer.ended.unwrap_or_default();
        let (whole, present) = (&self.whole[index], &self.present[index]);
        let (used, stale) = (present.used.len() as u64, present.stale.len() as u64);
        // What it must have counted itself, from what its doorbells went through here: it answers for the frames from the cursor
        // that its former self left up to the newest doorbell that reached it; lossless, for all.
        let start = whole.resume.unwrap_or(0);
        let next = if self.lossless { published } else { present.forwarded.last().map_or(start, |seq| start.max(seq + 1)) };
        let lost = |seq: &u64| !self.lossless && !present.forwarded.contains(seq);
        let dropped = (start..next).filter(lost).count() as u64;
        if stats != [used, stale, used + stale, 0, dropped, published - start, 0] || used + stale + dropped != next - start {
            return Err(format!(
                "consumer {index} ended with {stats:?} (used, stale, seen, refused, dropped, published, descriptors), seen from here {used} \
                 used, {stale} stale, {dropped} doorbells lost of {start}..{next}, {published} published"
            ));
        }
        if self.lossless {
            let all = (whole.next, whole.used.len() as u64, whole.stale.len());
            if all != (published, published, 0) {
                return Err(format!("P6: consumer {index} has {all:?} of {published}"));
            }
        } else if !present.forwarded.iter().all(|seq| present.used.contains(seq) || present.stale.contains(seq)) {
            return Err(format!("consumer {index}: a doorbell that arrived was neither used nor stale"));
        }
        let met: BTreeSet<_> = whole.used.union(&whole.stale).collect();
        let unread = whole.forwarded.iter().filter(|seq| !met.contains(seq)).count() as u64;
        self.totals.used += whole.used.len() as u64;
        self.totals.stale += whole.stale.difference(&whole.used).count() as u64;
        self.totals.unread += unread;
        self.totals.dropped += published - met.len() as u64 - unread;
        Ok(())
    }
}

//! What happens to the processes of an episode.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::child::say;
use crate::peer;
use crate::points::{CLOSE_POINTS, CONSUMER_POINTS, CURSOR_POINT, JOIN_POINTS, LEAVE_POINTS, PRODUCER_POINTS, START_POINTS};
use crate::world::World;

impl World {
    /// One fault, and what brings everybody back.
    pub(crate) fn fault(&mut self) -> Result<(), String> {
        let index = self.random(self.consumers.len() as u64) as usize;
        let nth = 1 + self.random(5);
        match self.random(100) {
            0..9 => self.producer_dies(nth),
            9..12 => self.producer_closes(),
            12..17 => self.stop(None, PRODUCER_POINTS[self.rng as usize % PRODUCER_POINTS.len()], nth),
            17..27 => self.stop(Some(index), CONSUMER_POINTS[self.rng as usize % CONSUMER_POINTS.len()], nth),
            27..33 => self.consumer_leaves(index),
            33..44 => {
                // At no armed point: wherever it is.
                self.pump(Duration::from_micros(self.rng % 3000))?;
                self.consumer(index)?.child.kill().map_err(say("kill"))?;
                *self.totals.fired.entry("consumer, anywhere".to_owned()).or_default() += 1;
                self.bury(index)?;
                self.rejoin(index)
            }
            _ => {
                let point = match self.random(CONSUMER_POINTS.len() as u64 + 1) as usize {
                    at if at < CONSUMER_POINTS.len() => CONSUMER_POINTS[at],
                    _ if self.lossless => CURSOR_POINT,
                    _ => CONSUMER_POINTS[0],
                };
                let text = format!("{point},{nth},kill");
                peer::send(&self.consumer(index)?.socket, b'A', text.as_bytes());
                self.fires(Some(index), point)?;
                self.bury(index)?;
                self.rejoin(index)
            }
        }
    }

    /// A new consumer in the dead one's place; one of six dies while it joins.
    fn rejoin(&mut self, index: usize) -> Result<(), String> {
        if self.random(6) == 0 {
            let point = JOIN_POINTS[self.random(2) as usize];
            self.start_consumer(index, Some(&format!("{point},1,kill")))?;
            self.fires(Some(index), point)?;
            self.bury(index)?;
        }
        self.start_consumer(index, None)
    }

    fn producer_dies(&mut self, nth: u64) -> Result<(), String> {
        let point = if self.random(8) == 0 { "producer.in_reap" } else { PRODUCER_POINTS[self.rng as usize % PRODUCER_POINTS.len()] };
        let nth = if point == "producer.in_reap" { 1 } else { nth };
        let producer = self.producer.as_mut().ok_or("no producer")?;
        producer.armed = false;
        peer::send(&producer.socket, b'A', format!("{point},{nth},kill").as_bytes());
        let mut victim = None;
        if point == "producer.in_reap" {
            // It dies while it takes back the leases of a consumer that is known to have joined; or of the last one that was
            // killed: that one held nothing, so its burial did not wait for the reaper.
            let fired = |w: &Self| w.producer.as_ref().is_some_and(|p| p.fired.is_some());
            self.until("the producer is armed", |w| fired(w) || w.producer.as_ref().is_some_and(|p| p.armed))?;
            self.until("consumer 0 reads", |w| fired(w) || !w.present[0].used.is_empty())?;
            self.consumer(0)?.child.kill().map_err(say("kill"))?;
            let mut dead = self.consumers[0].take().ok_or("no consumer")?;
            dead.died()?;
            self.totals.kills += 1;
            victim = Some(0);
        }
        self.fires(None, point)?;
        self.next_producer()?;
        victim.map_or(Ok(()), |index| self.start_consumer(index, None))
    }

    /// It dies while it closes its pool: readers find words that are closed, sockets and links that nobody serves.
    fn producer_closes(&mut self) -> Result<(), String> {
        let point = CLOSE_POINTS[self.random(CLOSE_POINTS.len() as u64) as usize];
        let producer = self.producer.as_ref().ok_or("no producer")?;
        peer::send(&producer.socket, b'A', format!("{point},1,kill").as_bytes());
        peer::send(&producer.socket, b'C', &[]);
        self.fires(None, point)?;
        self.next_producer()
    }

    /// It dies while it says goodbye: its leases are free whether that was heard or not.
    fn consumer_leaves(&mut self, index: usize) -> Result<(), String> {
        let point = LEAVE_POINTS[self.random(LEAVE_POINTS.len() as u64) as usize];
        let consumer = self.consumer(index)?;
        peer::send(&consumer.socket, b'A', format!("{point},1,kill").as_bytes());
        peer::send(&consumer.socket, b'L', &[]);
        self.fires(Some(index), point)?;
        self.bury(index)?;
        self.rejoin(index)
    }

    /// After the death of a producer: another one, one of six dies while it starts.
    fn next_producer(&mut self) -> Result<(), String> {
        let mut dead = self.producer.take().ok_or("no producer")?;
        dead.died()?;
        self.totals.kills += 1;
        self.leases = None;
        self.held_back.clear();
        self.doorbells += 1;
        self.pump(Duration::ZERO)?;
        self.totals.published += self.whole[0].forwarded.last().map_or(0, |seq| seq + 1);
        if self.random(6) == 0 {
            let point = START_POINTS[self.random(2) as usize];
            self.producer = Some(self.spawn_producer(Some(&format!("{point},1,kill")))?);
            self.fires(None, point)?;
            self.producer.take().ok_or("no producer")?.died()?;
            self.totals.kills += 1;
        }
        self.start_producer()
    }

    /// SIGSTOP at a point, a while, SIGCONT. A stopped consumer keeps its leases, and a live producer goes on.
    fn stop(&mut self, index: Option<usize>, point: &str, nth: u64) -> Result<(), String> {
        let peer = index.map_or(self.producer.as_ref(), |index| self.consumers[index].as_ref()).ok_or("no peer")?;
        let pid = Pid::from_child(&peer.child);
        peer::send(&peer.socket, b'A', format!("{point},{nth},stop").as_bytes());
        self.fires(index, point)?;
        let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
        self.until("the process is stopped", |_| std::fs::read_to_string(&stat).is_ok_and(|s| s.contains(") T ")))?;
        let before = index.map(|index| self.leases.as_ref().map(|l| l.of(index)));
        let (started, rung) = (Instant::now(), self.doorbells);
        while started.elapsed() < Duration::from_millis(8) {
            self.pump(Duration::from_millis(1))?;
        }
        if let Some(index) = index {
            if !self.lossless {
                self.until("P3: a live producer goes on beside a stopped consumer", |w| w.doorbells > rung + 2)?;
            }
            if before != Some(self.leases.as_ref().map(|l| l.of(index))) {
                return Err(format!("P5: leases of consumer {index} changed while it was stopped at {point}"));
            }
        }
        kill_process(pid, Signal::CONT).map_err(say("SIGCONT"))?;
        self.totals.stops += 1;
        let peer = index.map_or(self.producer.as_mut(), |index| self.consumers[index].as_mut()).ok_or("no peer")?;
        peer.fired = None;
        Ok(())
    }
}

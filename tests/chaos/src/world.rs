//! One episode: a producer, its consumers, the doorbells between them, faults, and the books that show whether anything was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gantry_frames_proofs::proofs::Leases;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::Timespec;

use crate::peer;

const PATIENCE: Duration = Duration::from_secs(20);
const CONSUMER_POINTS: &[&str] = &[
    "consumer.after_lease",
    "consumer.after_acquire",
    "consumer.before_output",
    "consumer.after_output",
    "consumer.before_ack",
    "consumer.after_release",
    "consumer.after_ack",
];
/// Passed in lossless mode only.
const CURSOR_POINT: &str = "consumer.after_cursor";
const JOIN_POINTS: &[&str] = &["join.after_hello", "join.after_welcome"];
const PRODUCER_POINTS: &[&str] = &[
    "producer.after_begin_write",
    "producer.half_filled",
    "producer.before_word",
    "producer.before_ring",
    "producer.in_ring",
    "producer.after_ring",
    "producer.before_message",
    "producer.after_message",
];
const START_POINTS: &[&str] = &["producer.before_socket", "producer.before_link"];

/// Sums over all episodes.
#[derive(Default)]
pub struct Totals {
    pub kills: u64,
    pub stops: u64,
    pub published: u64,
    used: u64,
    stale: u64,
    dropped: u64,
    unread: u64,
    repeats: u64,
    episodes: u64,
    slowest_begin_ns: u64,
    fired: BTreeMap<String, u64>,
    freed: Vec<Duration>,
}

impl Totals {
    pub fn print(&mut self, seed: u64, took: Duration) {
        self.freed.sort();
        let at = |share: usize| self.freed.get((self.freed.len().saturating_sub(1)) * share / 100).copied().unwrap_or_default();
        println!(
            "seed {seed}: {} kills, {} stops, {} episodes in {took:.1?}; every armed fault fired",
            self.kills, self.stops, self.episodes
        );
        println!(
            "frames published {}; read {}, stale {}, doorbells dropped {}, died with their reader {}, read again after a kill {}",
            self.published, self.used, self.stale, self.dropped, self.unread, self.repeats
        );
        println!(
            "leases free after exit: p50 {:.2?}, p99 {:.2?}, max {:.2?} ({} consumers killed)",
            at(50),
            at(99),
            at(100),
            self.freed.len()
        );
        println!("slowest begin_write of a live producer: {:.2?}", Duration::from_nanos(self.slowest_begin_ns));
        println!("torn frames 0, wrong generations 0, leases revoked 0, frames lost 0, files left 0, descriptors left 0");
        for (point, n) in &self.fired {
            println!("{n:>8}  {point}");
        }
    }
}

struct Peer {
    child: Child,
    socket: OwnedFd,
    fired: Option<String>,
    ended: Option<Vec<u64>>,
    ready: Option<[u8; 16]>,
    published: Option<u64>,
    armed: bool,
}

/// What one consumer got of the pool of today.
#[derive(Default)]
struct Ledger {
    next: u64,
    /// Where its next incarnation must begin: the cursor at its death.
    resume: Option<u64>,
    used: BTreeSet<u64>,
    stale: BTreeSet<u64>,
    forwarded: BTreeSet<u64>,
    kills: u64,
}

pub struct World {
    rng: u64,
    dir: PathBuf,
    lossless: bool,
    faults: u64,
    pool: [u8; 16],
    leases: Option<Leases>,
    producer: Option<Peer>,
    consumers: Vec<Option<Peer>>,
    /// All incarnations of the pool of today, and the present one.
    whole: Vec<Ledger>,
    present: Vec<Ledger>,
    held_back: Vec<(u64, usize, Vec<u8>)>,
    doorbells: u64,
    totals: Totals,
}

fn say<T>(why: &str) -> impl FnOnce(T) -> String + '_
where
    T: std::fmt::Display,
{
    move |error| format!("{why}: {error}")
}

impl World {
    pub fn new(seed: u64, episode: u64) -> Result<Self, String> {
        let mut rng = (seed << 32 ^ episode).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..8 {
            next(&mut rng);
        }
        let n = 1 + next(&mut rng) as usize % 3;
        let dir = std::env::temp_dir().join(format!("gantry-chaos-{}-{seed}-{episode}", std::process::id()));
        let mut world = Self {
            lossless: episode.is_multiple_of(2),
            faults: 20 + next(&mut rng) % 20,
            rng,
            dir,
            pool: [0; 16],
            leases: None,
            producer: None,
            consumers: (0..n).map(|_| None).collect(),
            whole: Vec::new(),
            present: Vec::new(),
            held_back: Vec::new(),
            doorbells: 0,
            totals: Totals::default(),
        };
        world.start_producer()?;
        for index in 0..n {
            world.start_consumer(index, None)?;
        }
        Ok(world)
    }

    fn random(&mut self, below: u64) -> u64 {
        next(&mut self.rng) % below
    }

    fn spawn(&self, arguments: &[&str]) -> Result<Peer, String> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(say("socketpair"))?;
        let mut command = Command::new("/proc/self/exe");
        let child = command.args(arguments).stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn().map_err(say("spawn"))?;
        Ok(Peer { child, socket: ours, fired: None, ended: None, ready: None, published: None, armed: false })
    }

    fn spawn_producer(&self, armed: Option<&str>) -> Result<Peer, String> {
        let (dir, n) = (self.dir.to_string_lossy(), self.consumers.len().to_string());
        let mode = if self.lossless { "lossless" } else { "live" };
        self.spawn(&[&["producer", &dir, mode, &n], armed.as_slice()].concat())
    }

    fn start_producer(&mut self) -> Result<(), String> {
        self.producer = Some(self.spawn_producer(None)?);
        self.until("the producer is ready", |w| w.producer.as_ref().is_some_and(|p| p.ready.is_some()))?;
        let Some(pid) = self.producer.as_ref().map(|p| p.child.id()) else { return Ok(()) };
        // The page itself, and not what its owner says of it.
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).map_err(say("/proc"))?;
        let is_leases = |path: &PathBuf| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("gantry-leases"));
        let path = fds.flatten().map(|e| e.path()).find(is_leases).ok_or("the producer has no lease page")?;
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).map_err(say("lease page"))?;
        self.leases = Some(Leases::map(&file.into(), peer::SLOTS).map_err(say("lease page"))?);
        Ok(())
    }

    fn start_consumer(&mut self, index: usize, armed: Option<&str>) -> Result<(), String> {
        let (dir, n) = (self.dir.to_string_lossy().into_owned(), index.to_string());
        self.held_back.retain(|(_, to, _)| *to != index);
        if let Some(present) = self.present.get_mut(index) {
            *present = Ledger::default();
        }
        self.consumers[index] = Some(self.spawn(&[&["consumer", dir.as_str(), n.as_str()], armed.as_slice()].concat())?);
        Ok(())
    }

    /// Reads what the peers say and passes doorbells on.
    fn pump(&mut self, wait: Duration) -> Result<(), String> {
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait.as_nanos() as i64 };
        let peers = || self.producer.iter().chain(self.consumers.iter().flatten());
        let mut fds: Vec<_> = peers().filter(|p| p.ended.is_none()).map(|p| PollFd::new(&p.socket, PollFlags::IN)).collect();
        let _ = poll(&mut fds, Some(&timeout));
        for _ in 0..64 {
            let Some((kind, content)) = self.producer.as_ref().and_then(|p| peer::receive(&p.socket).ok().flatten()) else { break };
            if kind == b'D' {
                self.ring(&content);
                continue;
            }
            if kind == b'R' {
                self.pool = content.as_slice().try_into().map_err(|_| "odd pool id")?;
                self.whole = self.consumers.iter().map(|_| Ledger::default()).collect();
                self.present = self.consumers.iter().map(|_| Ledger::default()).collect();
            }
            if let Some(producer) = self.producer.as_mut() {
                note(producer, kind, &content, "producer")?;
            }
        }
        for index in 0..self.consumers.len() {
            self.hear(index)?;
        }
        Ok(())
    }

    fn hear(&mut self, index: usize) -> Result<(), String> {
        while let Some((kind, content)) = self.consumers[index].as_ref().and_then(|p| peer::receive(&p.socket).ok().flatten()) {
            if matches!(kind, b'U' | b'S') {
                // What is left of a killed producer's pool is nobody's loss.
                if content[..16] == self.pool {
                    self.account(index, kind, peer::numbers(&content[16..])[0])?;
                }
            } else if let Some(consumer) = self.consumers[index].as_mut() {
                note(consumer, kind, &content, "consumer")?;
            }
        }
        Ok(())
    }

    fn account(&mut self, index: usize, kind: u8, seq: u64) -> Result<(), String> {
        let (whole, present) = (&mut self.whole[index], &mut self.present[index]);
        if self.lossless {
            if kind == b'S' {
                return Err(format!("P6: seq {seq} is stale for consumer {index}"));
            }
            let first = present.used.is_empty();
            let expected = if first { whole.resume.unwrap_or(whole.next) } else { present.next };
            if seq != expected {
                return Err(format!("P6: consumer {index} read seq {seq}, expected {expected}"));
            }
            self.totals.repeats += u64::from(seq < whole.next);
            present.next = seq + 1;
            whole.next = whole.next.max(seq + 1);
        }
        let set = if kind == b'U' { (&mut whole.used, &mut present.used) } else { (&mut whole.stale, &mut present.stale) };
        set.0.insert(seq);
        if !set.1.insert(seq) || (present.used.contains(&seq) && present.stale.contains(&seq)) {
            return Err(format!("consumer {index} met seq {seq} twice"));
        }
        Ok(())
    }

    /// The shim: a doorbell is lost, doubled, late or passed on.
    fn ring(&mut self, handle: &[u8]) {
        self.doorbells += 1;
        let due: Vec<_> = self.held_back.extract_if(.., |(at, ..)| *at <= self.doorbells).collect();
        for index in 0..self.consumers.len() {
            match self.random(100) {
                0..10 => {}
                10..20 => {
                    self.forward(index, handle);
                    self.forward(index, handle);
                }
                20..30 => {
                    let at = self.doorbells + 1 + self.random(4);
                    self.held_back.push((at, index, handle.to_vec()));
                }
                _ => self.forward(index, handle),
            }
        }
        due.into_iter().for_each(|(_, index, handle)| self.forward(index, &handle));
    }

    fn forward(&mut self, index: usize, handle: &[u8]) {
        let Some(consumer) = &self.consumers[index] else { return };
        if handle[8..24] == self.pool
            && rustix::net::send(&consumer.socket, &[b"D", handle].concat(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok()
        {
            let seq = peer::numbers(&handle[24..32])[0];
            self.whole[index].forwarded.insert(seq);
            self.present[index].forwarded.insert(seq);
        }
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let started = Instant::now();
        while !done(self) {
            if started.elapsed() > PATIENCE {
                return Err(format!("never: {what}"));
            }
            self.pump(Duration::from_millis(2))?;
        }
        Ok(())
    }

    fn consumer(&mut self, index: usize) -> Result<&mut Peer, String> {
        self.consumers[index].as_mut().ok_or_else(|| "consumer is not there".to_owned())
    }

    /// Waits for the armed fault; a fault that does not fire is a failure.
    fn fires(&mut self, index: Option<usize>, point: &str) -> Result<(), String> {
        self.until(&format!("`{point}` fires"), |w| {
            let peer = index.map_or(w.producer.as_ref(), |index| w.consumers[index].as_ref());
            peer.is_some_and(|p| p.fired.as_deref() == Some(point))
        })?;
        *self.totals.fired.entry(point.to_owned()).or_default() += 1;
        Ok(())
    }

    /// After the exit of a killed consumer: its leases must go, its last words are read.
    fn bury(&mut self, index: usize) -> Result<(), String> {
        let mut dead = self.consumers[index].take().ok_or("no consumer")?;
        died(&mut dead.child)?;
        let exit = Instant::now();
        let leases = self.leases.as_ref().ok_or("no lease page")?;
        while !leases.of(index).is_empty() {
            if exit.elapsed() > Duration::from_millis(100) {
                return Err(format!("P4: leases of consumer {index} are not free {:?} after its exit", exit.elapsed()));
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        self.totals.freed.push(exit.elapsed());
        self.totals.kills += 1;
        let cursor = leases.cursor(index);
        self.consumers[index] = Some(dead);
        self.hear(index)?;
        self.consumers[index] = None;
        self.whole[index].kills += 1;
        self.whole[index].resume = Some(cursor);
        Ok(())
    }

    fn fault(&mut self) -> Result<(), String> {
        let index = self.random(self.consumers.len() as u64) as usize;
        let nth = 1 + self.random(5);
        match self.random(100) {
            0..12 => self.producer_dies(nth),
            12..17 => self.stop(None, PRODUCER_POINTS[self.rng as usize % PRODUCER_POINTS.len()], nth),
            17..27 => self.stop(Some(index), CONSUMER_POINTS[self.rng as usize % CONSUMER_POINTS.len()], nth),
            27..40 => {
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
            died(&mut dead.child)?;
            self.totals.kills += 1;
            victim = Some(0);
        }
        self.fires(None, point)?;
        let mut dead = self.producer.take().ok_or("no producer")?;
        died(&mut dead.child)?;
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
            died(&mut self.producer.take().ok_or("no producer")?.child)?;
            self.totals.kills += 1;
        }
        self.start_producer()?;
        victim.map_or(Ok(()), |index| self.start_consumer(index, None))
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
        clean(&mut producer.child)?;
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

    /// published = used + stale + dropped, in the supervisor's books and in the consumer's own.
    fn balance(&mut self, index: usize, published: u64) -> Result<(), String> {
        let mut consumer = self.consumers[index].take().ok_or("no consumer")?;
        clean(&mut consumer.child)?;
        let stats = consumer.ended.unwrap_or_default();
        let (whole, present) = (&self.whole[index], &self.present[index]);
        let (used, stale) = (present.used.len() as u64, present.stale.len() as u64);
        if stats != [used, stale, used + stale, 0, 0] {
            return Err(format!(
                "consumer {index} ended with {stats:?} (used, stale, seen, refused, descriptors), seen from here {used} {stale}"
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

impl Drop for World {
    fn drop(&mut self) {
        for peer in self.producer.iter_mut().chain(self.consumers.iter_mut().flatten()) {
            let _ = peer.child.kill();
            let _ = peer.child.wait();
        }
        let _ = remove(&self.dir);
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.stops += other.stops;
        self.published += other.published;
        self.used += other.used;
        self.stale += other.stale;
        self.dropped += other.dropped;
        self.unread += other.unread;
        self.repeats += other.repeats;
        self.episodes += other.episodes;
        self.slowest_begin_ns = self.slowest_begin_ns.max(other.slowest_begin_ns);
        self.freed.extend(other.freed);
        for (point, n) in other.fired {
            *self.fired.entry(point).or_default() += n;
        }
    }
}

fn remove(dir: &Path) -> std::io::Result<()> {
    std::fs::remove_dir_all(dir)
}

fn next(rng: &mut u64) -> u64 {
    *rng ^= *rng << 13;
    *rng ^= *rng >> 7;
    *rng ^= *rng << 17;
    *rng >> 8
}

fn note(peer: &mut Peer, kind: u8, content: &[u8], who: &str) -> Result<(), String> {
    let text = || String::from_utf8_lossy(content).into_owned();
    match kind {
        b'A' => peer.armed = true,
        b'F' => peer.fired = Some(text()),
        b'E' => peer.ended = Some(peer::numbers(content)),
        b'R' => peer.ready = content.try_into().ok(),
        b'N' => peer.published = peer::numbers(content).first().copied(),
        b'V' => return Err(format!("{who}: {}", text())),
        other => return Err(format!("{who} said {other}")),
    }
    Ok(())
}

/// The process was killed, and did not end in another way.
fn died(child: &mut Child) -> Result<(), String> {
    use std::os::unix::process::ExitStatusExt;
    let status = child.wait().map_err(say("wait"))?;
    if status.signal() == Some(9) { Ok(()) } else { Err(format!("a process that was to be killed ended with {status}")) }
}

fn clean(child: &mut Child) -> Result<(), String> {
    let status = child.wait().map_err(say("wait"))?;
    if status.success() { Ok(()) } else { Err(format!("a process that was to end cleanly ended with {status}")) }
}

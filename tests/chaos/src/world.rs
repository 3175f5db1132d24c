//! One episode: a producer, its consumers, the doorbells between them, and the books that show whether anything was lost.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use gantry_frames_proofs::proofs::Leases;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::SendFlags;
use rustix::time::Timespec;

use crate::child::{Peer, say};
use crate::ledger::Ledger;
use crate::peer;
use crate::totals::Totals;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub(crate) rng: u64,
    pub(crate) dir: PathBuf,
    /// What the pools lie in, as [`crate::rig::Rig::open`] names it.
    pub(crate) memory: String,
    pub(crate) lossless: bool,
    pub(crate) faults: u64,
    pub(crate) pool: [u8; 16],
    pub(crate) leases: Option<Leases>,
    pub(crate) producer: Option<Peer>,
    pub(crate) consumers: Vec<Option<Peer>>,
    /// All incarnations of the pool of today, and the present one.
    pub(crate) whole: Vec<Ledger>,
    pub(crate) present: Vec<Ledger>,
    pub(crate) held_back: Vec<(u64, usize, Vec<u8>)>,
    pub(crate) doorbells: u64,
    pub(crate) totals: Totals,
}

impl World {
    pub fn new(seed: u64, episode: u64, memory: &str) -> Result<Self, String> {
        let mut rng = (seed << 32 ^ episode).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..8 {
            next(&mut rng);
        }
        let n = 1 + next(&mut rng) as usize % 3;
        let dir = std::env::temp_dir().join(format!("gantry-chaos-{}-{seed}-{episode}", std::process::id()));
        let mut world = Self {
            memory: memory.to_owned(),
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

    pub(crate) fn random(&mut self, below: u64) -> u64 {
        next(&mut self.rng) % below
    }

    pub(crate) fn spawn_producer(&self, armed: Option<&str>) -> Result<Peer, String> {
        let (dir, n) = (self.dir.to_string_lossy(), self.consumers.len().to_string());
        let mode = if self.lossless { "lossless" } else { "live" };
        Peer::spawn(&[&["producer", &dir, &self.memory, mode, &n], armed.as_slice()].concat())
    }

    pub(crate) fn start_producer(&mut self) -> Result<(), String> {
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

    pub(crate) fn start_consumer(&mut self, index: usize, armed: Option<&str>) -> Result<(), String> {
        let (dir, n) = (self.dir.to_string_lossy().into_owned(), index.to_string());
        self.held_back.retain(|(_, to, _)| *to != index);
        if let Some(present) = self.present.get_mut(index) {
            *present = Ledger::default();
        }
        self.consumers[index] = Some(Peer::spawn(&[&["consumer", dir.as_str(), &self.memory, n.as_str()], armed.as_slice()].concat())?);
        Ok(())
    }

    /// Reads what the peers say and passes doorbells on.
    pub(crate) fn pump(&mut self, wait: Duration) -> Result<(), String> {
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
                producer.note(kind, &content, "producer")?;
            }
        }
        for index in 0..self.consumers.len() {
            self.hear(index)?;
        }
        Ok(())
    }

    pub(crate) fn hear(&mut self, index: usize) -> Result<(), String> {
        while let Some((kind, content)) = self.consumers[index].as_ref().and_then(|p| peer::receive(&p.socket).ok().flatten()) {
            if matches!(kind, b'U' | b'S') {
                // What is left of a killed producer's pool is nobody's loss.
                if content[..16] == self.pool {
                    self.account(index, kind, peer::numbers(&content[16..])[0])?;
                }
            } else if let Some(consumer) = self.consumers[index].as_mut() {
                consumer.note(kind, &content, "consumer")?;
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

    pub(crate) fn forward(&mut self, index: usize, handle: &[u8]) {
        let Some(consumer) = &self.consumers[index] else { return };
        if handle[8..24] == self.pool
            && rustix::net::send(&consumer.socket, &[b"D", handle].concat(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok()
        {
            let seq = peer::numbers(&handle[24..32])[0];
            self.whole[index].forwarded.insert(seq);
            self.present[index].forwarded.insert(seq);
        }
    }

    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let started = Instant::now();
        while !done(self) {
            if started.elapsed() > PATIENCE {
                return Err(format!("never: {what}"));
            }
            self.pump(Duration::from_millis(2))?;
        }
        Ok(())
    }

    pub(crate) fn consumer(&mut self, index: usize) -> Result<&mut Peer, String> {
        self.consumers[index].as_mut().ok_or_else(|| "consumer is not there".to_owned())
    }

    /// Waits for the armed fault; a fault that does not fire is a failure.
    pub(crate) fn fires(&mut self, index: Option<usize>, point: &str) -> Result<(), String> {
        self.until(&format!("`{point}` fires"), |w| {
            let peer = index.map_or(w.producer.as_ref(), |index| w.consumers[index].as_ref());
            peer.is_some_and(|p| p.fired.as_deref() == Some(point))
        })?;
        *self.totals.fired.entry(point.to_owned()).or_default() += 1;
        Ok(())
    }

    /// After the exit of a killed consumer: its leases must go, its last words are read.
    pub(crate) fn bury(&mut self, index: usize) -> Result<(), String> {
        let mut dead = self.consumers[index].take().ok_or("no consumer")?;
        dead.died()?;
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
}

impl Drop for World {
    fn drop(&mut self) {
        for peer in self.producer.iter_mut().chain(self.consumers.iter_mut().flatten()) {
            let _ = peer.child.kill();
            let _ = peer.child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn next(rng: &mut u64) -> u64 {
    *rng ^= *rng << 13;
    *rng ^= *rng >> 7;
    *rng ^= *rng << 17;
    *rng >> 8
}

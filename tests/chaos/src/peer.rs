//! The two programs that are killed, and how they talk to the supervisor: one sequenced-packet socket, their standard input.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::rig::Rig;
use gantry_frames_proofs::*;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Signal, getpid, kill_process};
use rustix::time::Timespec;

pub const OUTPUT: &str = "cam0.decode/frames";
pub const SLOTS: u32 = 24;
pub const MAX_HELD: u32 = 2;
const SIDE: u32 = 64;

/// What is armed: point, how often it is still passed, kill or stop.
static ARMED: Mutex<Option<(String, u32, bool)>> = Mutex::new(None);

/// Open descriptors of this process.
pub fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Sends one message: a letter and its content. The supervisor's end of a dead run is no error to anybody.
pub fn send(socket: impl AsFd, kind: u8, content: &[u8]) -> bool {
    rustix::net::send(socket, &[&[kind], content].concat(), SendFlags::NOSIGNAL).is_ok()
}

/// One message, if there is one; `Err` at the end of the stream.
pub fn receive(socket: impl AsFd) -> Result<Option<(u8, Vec<u8>)>, ()> {
    let mut bytes = [0; 512];
    loop {
        return match rustix::net::recv(&socket, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Err(()),
            Ok((n, _)) => Ok(Some((bytes[0], bytes[1..n].to_vec()))),
            // Told once, when a peer died with messages that it had not read. Its own last words still wait behind that.
            Err(rustix::io::Errno::CONNRESET) => continue,
            Err(_) => Ok(None),
        };
    }
}

pub fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|n| u64::from_le_bytes(n.try_into().unwrap_or_default())).collect()
}

pub fn bytes(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn tell(kind: u8, content: &[u8]) {
    send(std::io::stdin(), kind, content);
}

/// A place that a fault can be armed at.
fn point(name: &'static str) {
    let mut armed = ARMED.lock().unwrap_or_else(|e| e.into_inner());
    let Some((wanted, left, kill)) = armed.as_mut() else { return };
    if wanted != name || {
        *left -= 1;
        *left > 0
    } {
        return;
    }
    let kill = *kill;
    *armed = None;
    drop(armed);
    tell(b'F', name.as_bytes());
    let _ = kill_process(getpid(), if kill { Signal::KILL } else { Signal::STOP });
}

fn arm(text: &str) {
    let mut parts = text.split(',');
    if let (Some(name), Some(Ok(left)), Some(kind)) = (parts.next(), parts.next().map(str::parse), parts.next()) {
        *ARMED.lock().unwrap_or_else(|e| e.into_inner()) = Some((name.to_owned(), left, kind == "kill"));
    }
}

fn key(pool: &PoolId, seq: u64) -> u64 {
    let half = u64::from_le_bytes(pool.0[..8].try_into().unwrap_or_default());
    (half ^ seq).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The content of frame `seq`.
fn pattern(key: u64) -> Vec<u8> {
    (0..u64::from(SIDE * SIDE) / 8).flat_map(|i| key.wrapping_add(i).to_le_bytes()).collect()
}

fn is_intact(rig: &Rig, frame: &Acquired) -> Result<bool, String> {
    let key = key(&frame.handle().pool(), frame.seq());
    Ok(frame.frame_meta().frame == frame.seq() && rig.pixels(frame)? == pattern(key))
}

fn config(rig: &Rig, dir: &Path, lossless: bool, consumers: usize) -> PoolConfig {
    let consumer = |n: usize| ConsumerSpec { name: format!("c{n}"), max_held: MAX_HELD, queue_size: 8 };
    PoolConfig {
        runtime_dir: dir.to_owned(),
        output: OUTPUT.into(),
        mode: if lossless { Mode::Lossless } else { Mode::Live },
        slots: SLOTS,
        slot_bytes: rig.slot_bytes(u64::from(SIDE * SIDE)),
        producer_max_held: 0,
        consumers: (0..consumers).map(consumer).collect(),
        grace: Duration::from_secs(30),
    }
}

/// `producer DIR MEMORY lossless|live CONSUMERS [POINT,NTH,kill|stop]`
pub fn producer(arguments: &[String]) -> Result<(), String> {
    let [dir, memory, mode, consumers, rest @ ..] = arguments else { return Err("too few arguments".into()) };
    rest.iter().for_each(|text| arm(text));
    proofs::set_hook(point);
    let mut rig = Rig::open(memory)?;
    let fds = open_fds();
    let consumers = consumers.parse().map_err(|_| "no number of consumers")?;
    let pool = rig.pool(config(&rig, Path::new(dir), mode == "lossless", consumers))?;
    let layout = Layout::gray8(SIDE, SIDE).map_err(|e| e.to_string())?;
    tell(b'R', &pool.id().0);
    let (mut seq, mut publishing, mut slowest) = (0, true, 0);
    loop {
        match receive(std::io::stdin()) {
            Ok(Some((b'A', text))) => {
                arm(&String::from_utf8_lossy(&text));
                tell(b'A', &[]);
            }
            Ok(Some((b'P', _))) => {
                publishing = false;
                tell(b'N', &bytes(&[seq]));
            }
            Ok(Some((b'C', _))) => break,
            Err(()) => return Ok(()),
            _ => {}
        }
        let started = std::time::Instant::now();
        let loaned = match publishing
            .then(|| if mode == "lossless" { pool.try_begin_write() } else { pool.begin_write(&StopFlag::new()).map(Some) })
        {
            Some(Ok(Some(loaned))) => Some(loaned),
            Some(Err(error)) => return violation(&format!("begin_write: {error}")),
            _ => None,
        };
        slowest = slowest.max(started.elapsed().as_nanos() as u64);
        let Some(mut loaned) = loaned else {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        };
        point("producer.after_begin_write");
        let key = key(&pool.id(), seq);
        rig.write(&mut loaned, &pattern(key), 1600, || point("producer.half_filled"))?;
        let filled = rig.fill(loaned, layout)?;
        let published = filled.publish(&FrameMeta { frame: seq, ..FrameMeta::default() });
        if published.seq != seq {
            return violation(&format!("published seq {}, expected {seq}", published.seq));
        }
        seq += 1;
        point("producer.before_message");
        tell(b'D', published.handle.as_bytes());
        point("producer.after_message");
        std::thread::sleep(Duration::from_micros(150));
    }
    let stats = pool.stats();
    let reaps = stats.consumers.iter().map(|c| c.reaps).collect::<Vec<_>>();
    drop(pool);
    let leaked = open_fds() as u64 - fds as u64;
    tell(b'E', &bytes(&[&[stats.published, stats.waits, stats.scribbles, leaked, slowest], &reaps[..]].concat()));
    Ok(())
}

fn violation(text: &str) -> Result<(), String> {
    tell(b'V', text.as_bytes());
    Err(text.to_owned())
}

/// Verifies the oldest held frame once more, with its lease, and gives it back.
fn give_back(rig: &Rig, held: &mut VecDeque<Acquired>) -> Result<(), String> {
    let Some(frame) = held.pop_front() else { return Ok(()) };
    if !proofs::holds_lease(&frame) {
        return violation(&format!("P5: lease of seq {} was revoked", frame.seq()));
    }
    if !is_intact(rig, &frame)? {
        return violation(&format!("P1: seq {} was overwritten while leased", frame.seq()));
    }
    point("consumer.before_ack");
    frame.ack();
    point("consumer.after_ack");
    Ok(())
}

/// `consumer DIR MEMORY INDEX [POINT,NTH,kill|stop]`
pub fn consumer(arguments: &[String]) -> Result<(), String> {
    let [dir, memory, index, rest @ ..] = arguments else { return Err("too few arguments".into()) };
    rest.iter().for_each(|text| arm(text));
    proofs::set_hook(point);
    let rig = Rig::open(memory)?;
    let fds = open_fds();
    let client = rig.client(ClientConfig { runtime_dir: dir.into(), name: format!("c{index}"), max_held: MAX_HELD });
    let (mut new, mut held, mut finish, mut leaving) = (Vec::new(), VecDeque::<Acquired>::new(), None, false);
    let stats = loop {
        let stdin = std::io::stdin();
        let step = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let idle = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&step)).unwrap_or(0) == 0;
        match receive(&stdin) {
            Ok(Some((b'A', text))) => arm(&String::from_utf8_lossy(&text)),
            Ok(Some((b'D', handle))) => {
                let handle = Handle::from_bytes(&handle).map_err(|e| e.to_string())?;
                match client.observe(&handle, &mut new) {
                    Ok(()) | Err(AcquireError::Closed { .. }) => {}
                    Err(error) => return violation(&format!("observe: {error:?}")),
                }
            }
            Ok(Some((b'L', _))) => leaving = true,
            Ok(Some((b'G', content))) => finish = Some((PoolId(content[..16].try_into().unwrap_or_default()), numbers(&content[16..])[0])),
            Err(()) => return Ok(()),
            _ => {}
        }
        if leaving && client.find(OUTPUT).is_ok_and(|found| found.is_some()) {
            break Vec::new();
        }
        if idle {
            // Counters stay after a pool, so they do not say whether there is one.
            if let Err(error) = client.find(OUTPUT) {
                return violation(&format!("join: {error:?}"));
            }
            client.recover_all(&mut new);
        }
        for handle in new.drain(..) {
            if held.len() == MAX_HELD as usize {
                give_back(&rig, &mut held)?;
            }
            let place = [&handle.pool().0[..], &bytes(&[handle.seq()])].concat();
            match client.acquire(&handle) {
                Ok(frame) => {
                    point("consumer.after_acquire");
                    if frame.seq() != handle.seq() || !is_intact(&rig, &frame)? {
                        return violation(&format!("P2: seq {} is torn or another frame", handle.seq()));
                    }
                    point("consumer.before_output");
                    tell(b'U', &place);
                    point("consumer.after_output");
                    held.push_back(frame);
                }
                Err(AcquireError::Stale { .. }) => tell(b'S', &place),
                Err(AcquireError::Closed { .. }) => {}
                Err(error) => return violation(&format!("acquire: {error:?}")),
            }
        }
        if idle || finish.is_some() {
            while !held.is_empty() {
                give_back(&rig, &mut held)?;
            }
        }
        if let Some((id, published)) = finish {
            let stats = client.stats().into_iter().find(|stats| stats.pool == id);
            match stats {
                Some(stats) if stats.mode == Mode::Live || stats.acked_next == published => {
                    break vec![stats.used, stats.stale, stats.seen, stats.refused, stats.dropped, stats.published];
                }
                None if published == 0 => break vec![0; 6],
                _ => client.recover_all(&mut new),
            }
        }
    };
    // Goodbye; what is held is given back without an acknowledgement.
    drop((held, client));
    tell(b'E', &bytes(&[&stats[..], &[open_fds() as u64 - fds as u64]].concat()));
    Ok(())
}

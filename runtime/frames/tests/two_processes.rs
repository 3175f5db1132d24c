//! Producer and consumer in two processes. The second one is this program again: `peer_process` with a role in its environment.
#![allow(clippy::disallowed_methods, reason = "threads and channels of a test end with it")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::*;
use gantry_frames::*;
use rustix::process::{Pid, Signal, kill_process};

const ROLE: &str = "GANTRY_FRAMES_ROLE";
const DIR: &str = "GANTRY_FRAMES_DIR";

struct Peer {
    child: Child,
    lines: Receiver<String>,
}

impl Peer {
    fn start(role: &str, dir: &Dir) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "peer_process", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .env(DIR, &dir.0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::Builder::new()
            .name("peer-output".into())
            .spawn(move || {
                // Only what the role says; the test harness writes lines of its own, and "test peer_process ... " before our first.
                for line in out.lines().map_while(Result::ok) {
                    if let Some((_, said)) = line.split_once("peer: ")
                        && sender.send(said.to_owned()).is_err()
                    {
                        return;
                    }
                }
            })
            .unwrap();
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("the peer says something")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills and waits until the process is gone.
    fn kill(&mut self) -> Instant {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
        Instant::now()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(line: impl std::fmt::Display) {
    println!("peer: {line}");
    std::io::stdout().flush().unwrap();
}

fn find(client: &Client) -> PoolId {
    let mut found = None;
    eventually("the pool is there", || {
        found = client.find(OUTPUT).unwrap();
        found.is_some()
    });
    found.unwrap()
}

#[test]
#[ignore = "run by the other tests as their second process"]
fn peer_process() {
    let (Ok(role), Some(dir)) = (std::env::var(ROLE), std::env::var_os(DIR).map(PathBuf::from)) else {
        panic!("started without {ROLE} and {DIR}: the other tests start it");
    };
    match role.as_str() {
        "hold" => hold(&dir),
        "read" => read(&dir),
        "produce" => produce(&dir),
        other => panic!("no role {other}"),
    }
}

/// Takes two frames and keeps them for ever.
fn hold(dir: &std::path::Path) {
    let client = client(dir, "a", 2);
    let id = find(&client);
    let (mut new, mut held) = (Vec::new(), Vec::new());
    eventually("two frames", || {
        client.recover(&id, &mut new).unwrap();
        held.extend(new.drain(..).map(|handle| client.acquire(&handle).unwrap()));
        held.len() == 2
    });
    say("holding");
    loop {
        std::thread::sleep(Duration::from_millis(5));
        held.iter().for_each(assert_intact);
    }
}

/// Reads and acknowledges all frames, slowly, and says each seq before the ack. A kill between the two repeats that seq.
fn read(dir: &std::path::Path) {
    let client = client(dir, "a", 2);
    let id = find(&client);
    let mut new = Vec::new();
    loop {
        match client.recover(&id, &mut new) {
            Ok(()) => {}
            Err(AcquireError::Closed { .. }) => return,
            Err(error) => panic!("{error}"),
        }
        for handle in new.drain(..) {
            let frame = client.acquire(&handle).unwrap();
            assert_intact(&frame);
            if frame.seq().is_multiple_of(17) {
                std::thread::sleep(Duration::from_millis(3));
                assert_intact(&frame);
            }
            say(frame.seq());
            frame.ack();
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Makes a pool, publishes a frame and waits to be killed.
fn produce(dir: &std::path::Path) {
    let pool = Pool::create(config(dir, Mode::Live, 8, &[("a", 2, 2)])).unwrap();
    publish_next(&pool);
    say(pool.id());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_consumers_leases_are_free_within_100_ms_of_its_exit() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 4, &[("a", 2, 2)]);
    for _ in 0..2 {
        publish_next(&pool);
    }
    let mut worst = Duration::ZERO;
    for round in 1..=5 {
        let mut peer = Peer::start("hold", &dir);
        assert_eq!(peer.line(), "holding");
        assert_eq!(pool.stats().leased_slots, 2);
        let gone = peer.kill();
        eventually("the leases are free", || pool.stats().leased_slots == 0);
        worst = worst.max(gone.elapsed());
        eventually("the consumer is out", || !pool.stats().consumers[0].joined);
        let consumer = &pool.stats().consumers[0];
        assert_eq!((consumer.joins, consumer.reaps, consumer.reaped_leases), (round, round, 2 * round));
    }
    println!("longest time from exit to free leases: {worst:?}");
    assert!(worst < Duration::from_millis(100), "{worst:?}");
}

#[test]
fn a_stopped_consumer_keeps_its_leases_for_as_long_as_it_lives() {
    let dir = Dir::new();
    let pool = common::pool(&dir, Mode::Lossless, 4, &[("a", 2, 2)]);
    for _ in 0..2 {
        publish_next(&pool);
    }
    let mut peer = Peer::start("hold", &dir);
    assert_eq!(peer.line(), "holding");
    peer.signal(Signal::STOP);
    for _ in 0..60 {
        assert_eq!(pool.stats().leased_slots, 2);
        std::thread::sleep(Duration::from_millis(5));
    }
    peer.signal(Signal::CONT);
    std::thread::sleep(Duration::from_millis(30));
    assert!(peer.child.try_wait().unwrap().is_none(), "it found its frames intact");
    assert_eq!(pool.stats().consumers[0].reaps, 0);
    peer.kill();
    eventually("the leases are free", || pool.stats().leased_slots == 0);
}

#[test]
fn lossless_reaches_a_slow_reader_once_and_in_order_across_kills_and_restarts() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 4, &[("a", 2, 2)]);
    const FRAMES: u64 = 600;
    let producer = std::thread::spawn({
        let pool = pool.clone();
        move || {
            for _ in 0..FRAMES {
                publish_next(&pool);
            }
            pool.drain(&StopFlag::new(), Some(Duration::from_secs(60)))
        }
    });
    let (mut read, mut repeated, mut kills) = (Vec::new(), 0, 0);
    let mut take = |seq: u64| match read.last() {
        // Said, then killed before the ack: delivered again, for the sink to drop.
        Some(last) if *last == seq => repeated += 1,
        _ => read.push(seq),
    };
    for stop_after in [40, 90, 150, u64::MAX] {
        let mut peer = Peer::start("read", &dir);
        loop {
            let Ok(line) = peer.lines.recv_timeout(Duration::from_secs(20)) else { panic!("the reader is stuck") };
            let seq: u64 = line.parse().unwrap();
            take(seq);
            if seq >= stop_after {
                peer.kill();
                kills += 1;
                peer.lines.iter().for_each(|line| take(line.parse().unwrap()));
                break;
            }
            if seq == FRAMES - 1 {
                break;
            }
        }
        if stop_after == u64::MAX {
            assert_eq!(producer.join().unwrap(), Ok(()));
            pool.close();
            assert!(peer.child.wait().unwrap().success(), "the reader ends when the pool is closed");
            break;
        }
    }
    assert_eq!(read, (0..FRAMES).collect::<Vec<_>>());
    assert!(repeated <= kills, "{repeated} repeats after {kills} kills");
    assert_eq!((pool.stats().consumers[0].reaps, kills), (3, 3));
}

#[test]
fn what_a_killed_producer_left_is_closed_for_readers_and_swept_by_the_next_one() {
    let dir = Dir::new();
    let client = client(&dir.0, "a", 2);
    let mut peer = Peer::start("produce", &dir);
    let dead = peer.line();
    let id = find(&client);
    assert_eq!(id.to_string(), dead);
    assert_eq!(dir.files().len(), 2);
    peer.kill();
    eventually("the client notices", || client.find(OUTPUT).unwrap().is_none());
    assert_eq!(client.find(OUTPUT).unwrap(), None);
    assert!(matches!(client.recover(&id, &mut Vec::new()), Err(AcquireError::Closed { .. })));

    let other = common::config(&dir.0, Mode::Live, 8, &[]);
    let pool = Pool::create(PoolConfig { output: "cam1.decode/frames".into(), ..other }).unwrap();
    assert!(!dir.files().iter().any(|name| name.contains(&dead)), "{:?}", dir.files());
    assert_eq!(dir.files().len(), 2, "socket and link of the living pool");
    let living = common::pool(&dir, Mode::Live, 8, &[]);
    assert_eq!(dir.files().len(), 4, "a living pool is not swept");
    drop((pool, living));
    assert_eq!(dir.files(), Vec::<String>::new());
}

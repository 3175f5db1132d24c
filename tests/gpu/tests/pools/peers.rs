//! The second process: what it can be, and how the first one starts, hears and ends it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gantry_frames::*;
use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Dir, Kind, MAX_HELD, OUTPUT, Rig, eventually};

const ROLE: &str = "GANTRY_POOLS_ROLE";
const KIND: &str = "GANTRY_POOLS_KIND";
const DIR: &str = "GANTRY_POOLS_DIR";

pub struct Peer {
    child: Child,
    lines: Receiver<String>,
}

impl Peer {
    pub fn start(role: &str, kind: Kind, dir: &Dir) -> Self {
        Self::start_with(role, kind, dir, &[])
    }

    pub fn start_with(role: &str, kind: Kind, dir: &Dir, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "peer_process", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .env(KIND, kind.name())
            .env(DIR, &dir.0)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Read to the end, whoever listens: a program whose output nobody takes fails.
            for line in out.lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once("peer: ") {
                    let _ = sender.send(said.to_owned());
                }
            }
        });
        Self { child, lines }
    }

    pub fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("the peer says something")
    }

    /// What it said and nobody heard; call after its end.
    pub fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the peer ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
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

pub fn run() {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("started without {name}: the other tests start it"));
    // Nobody outlives the first process, however that ends.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let dir = PathBuf::from(variable(DIR));
    let rig = Rig::new(Kind::named(&variable(KIND))).expect("the first process has a device");
    match variable(ROLE).as_str() {
        "read" => read(&rig, &dir),
        "hold" => hold(&rig, &dir, MAX_HELD),
        "hold_one" => hold(&rig, &dir, 1),
        "linger" => linger(&rig, &dir),
        "produce" => produce(&rig, &dir),
        "join" => join(&rig, &dir),
        other => panic!("no role {other}"),
    }
}

fn find(client: &Client) -> PoolId {
    let mut found = None;
    eventually("the pool is there", || {
        found = client.find(OUTPUT).unwrap();
        found.is_some()
    });
    found.unwrap()
}

/// Reads all frames until the pool is closed, says each seq before its ack, and at the end how often it mapped memory.
fn read(rig: &Rig, dir: &Path) {
    let client = rig.client(dir);
    let id = find(&client);
    let mut new = Vec::new();
    loop {
        match client.recover(&id, &mut new) {
            Ok(()) => {}
            Err(AcquireError::Closed { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        for handle in new.drain(..) {
            let frame = client.acquire(&handle).unwrap();
            rig.assert_intact(&frame);
            say(frame.seq());
            match &rig.stream {
                Some(stream) => frame.ack_after(stream).unwrap(),
                None => frame.ack(),
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    say(format_args!("imported {}", client.imported()));
}

/// Takes frames and reads them again and again, so that work on them is under way whenever it is killed.
fn hold(rig: &Rig, dir: &Path, frames: u32) {
    let client = rig.client(dir);
    let id = find(&client);
    let (mut new, mut held) = (Vec::new(), Vec::new());
    eventually("frames", || {
        client.recover(&id, &mut new).unwrap();
        held.extend(new.drain(..).take(frames as usize).map(|handle| client.acquire(&handle).unwrap()));
        held.len() == frames as usize
    });
    say("holding");
    loop {
        held.iter().for_each(|frame| rig.assert_intact(frame));
    }
}

/// Reads a frame, lets go of the closed pool, and stays.
fn linger(rig: &Rig, dir: &Path) {
    say("ready");
    let client = rig.client(dir);
    let id = find(&client);
    let mut new = Vec::new();
    eventually("a frame", || {
        client.recover(&id, &mut new).unwrap();
        !new.is_empty()
    });
    let frame = client.acquire(&new[0]).unwrap();
    rig.assert_intact(&frame);
    frame.ack();
    say("read");
    eventually("the pool is closed", || matches!(client.recover(&id, &mut new), Err(AcquireError::Closed { .. })));
    say("let go");
    std::thread::sleep(Duration::from_secs(60));
}

/// Publishes a frame, then writes and never ends.
fn produce(rig: &Rig, dir: &Path) {
    let pool = rig.pool(dir, Mode::Live, 6);
    rig.publish(&pool);
    say(pool.id());
    loop {
        let mut loaned = pool.begin_write(&StopFlag::new()).unwrap();
        for seq in 0..100 {
            rig.write(&mut loaned, seq);
        }
    }
}

/// Says how joining ends.
fn join(rig: &Rig, dir: &Path) {
    match rig.client(dir).find(OUTPUT) {
        Ok(found) => say(format_args!("joined {}", found.is_some())),
        Err(AcquireError::Join(error)) => say(error),
        Err(error) => panic!("{error}"),
    }
}

//! A real process that is killed in the middle of it.

use gantry_spool::{Entry, Spool, SpoolConfig};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const FOLDER: &str = "GANTRY_SPOOL_TEST_FOLDER";
const ROUNDS: u64 = 40;

fn open(dir: &Path) -> Spool {
    Spool::open(SpoolConfig { segment_bytes: 4096, ..SpoolConfig::new(dir, 1 << 30) }).unwrap()
}

/// Appends without end and says each key once the disk has it; takes and acks some meanwhile, and says so before the ack.
fn child(dir: &Path) {
    let mut spool = open(dir);
    let mut random = fastrand::Rng::new();
    let mut out = std::io::stdout();
    for n in 0_u64.. {
        let name = format!("{}-{n}", std::process::id());
        let new: Vec<Entry> = (0..random.u64(1..5))
            .map(|i| Entry {
                key: format!("{name}-{i}"),
                camera: "gate".into(),
                body: vec![b'x'; random.usize(0..400)],
                ..Entry::default()
            })
            .collect();
        spool.append(&new).unwrap();
        new.iter().for_each(|e| writeln!(out, "has {}", e.key).unwrap());
        if random.u8(..) < 120 {
            let found = spool.peek(random.usize(1..9)).unwrap();
            for (seq, entry) in found {
                writeln!(out, "far {}", entry.key).unwrap();
                spool.ack(seq).unwrap();
            }
        }
        if random.u8(..) < 20 {
            spool.tidy().unwrap();
        }
    }
}

#[test]
fn nothing_that_was_appended_is_lost_when_the_process_is_killed() {
    if let Some(dir) = std::env::var_os(FOLDER) {
        return child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    let (mut has, mut far) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "nothing_that_was_appended_is_lost_when_the_process_is_killed", "--nocapture", "--test-threads=1"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let reader = std::thread::Builder::new().spawn(move || out.lines().map_while(Result::ok).collect::<Vec<_>>()).unwrap();
        std::thread::sleep(Duration::from_millis(random.u64(20..120)));
        process.kill().unwrap();
        process.wait().unwrap();
        for line in reader.join().unwrap() {
            if let Some(key) = line.strip_prefix("has ") {
                has.push(key.to_owned());
            } else if let Some(key) = line.strip_prefix("far ") {
                far.push(key.to_owned());
            }
        }
    }
    let mut spool = open(dir.path());
    // A kill can end a write at the end of a memory page. Nobody was told that this one is on the disk.
    let torn = spool.stats().damaged_bytes;
    assert!(torn < 4096, "{torn} bytes are more than one append");
    let left: Vec<String> = spool.peek(usize::MAX).unwrap().into_iter().map(|(_, e)| e.key).collect();
    assert!(has.len() > 500, "{} entries were appended", has.len());

    let there: BTreeSet<&String> = far.iter().chain(&left).collect();
    let lost: Vec<&String> = has.iter().filter(|k| !there.contains(k)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), has.len());
    // Without what came twice, in the order of appending. What a killed process appended and could not say may stand in between.
    let mut seen = BTreeSet::new();
    let said: BTreeSet<&String> = has.iter().collect();
    let came: Vec<&String> = far.iter().chain(&left).filter(|k| said.contains(k) && seen.insert(*k)).collect();
    assert_eq!(came, has.iter().collect::<Vec<_>>());
}

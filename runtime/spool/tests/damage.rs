//! Torn writes and flipped bits, at every place of a small spool.

use gantry_spool::{Entry, Spool, SpoolConfig};
use std::ops::Range;
use std::path::{Path, PathBuf};

const ENTRIES: u64 = 6;

fn entry(n: u64) -> Entry {
    Entry { key: format!("k{n}"), kind: "reading".into(), camera: "gate".into(), body: format!("body {n}").into_bytes() }
}

/// A spool of some entries in one segment: its folder's files, and where each entry lies in the segment.
fn small() -> (Vec<u8>, Vec<Range<usize>>) {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(SpoolConfig::new(dir.path(), 1 << 20)).unwrap();
    let mut ranges = Vec::new();
    let mut from = 0;
    for n in 0..ENTRIES {
        spool.append(&[entry(n)]).unwrap();
        let to = spool.stats().bytes as usize;
        ranges.push(from..to);
        from = to;
    }
    (std::fs::read(segment(dir.path())).unwrap(), ranges)
}

fn segment(dir: &Path) -> PathBuf {
    let paths = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    paths.into_iter().find(|p| p.extension().is_some_and(|e| e == "segment")).unwrap()
}

/// What a spool with that segment gives.
fn recovered(bytes: &[u8]) -> Vec<Entry> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{:020}.segment", 1)), bytes).unwrap();
    let mut spool = Spool::open(SpoolConfig::new(dir.path(), 1 << 20)).unwrap();
    let found: Vec<Entry> = spool.peek(100).unwrap().into_iter().map(|(_, e)| e).collect();
    assert_eq!(spool.stats().waiting, found.len() as u64);
    found
}

/// The same, and it is a spool like any other after that.
fn recovered_and_used(bytes: &[u8]) -> Vec<Entry> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{:020}.segment", 1)), bytes).unwrap();
    let mut spool = Spool::open(SpoolConfig::new(dir.path(), 1 << 20)).unwrap();
    let found: Vec<Entry> = spool.peek(100).unwrap().into_iter().map(|(_, e)| e).collect();
    assert_eq!(spool.stats().waiting, found.len() as u64);
    // It goes on: what comes now is behind what was saved, and is acked with it.
    spool.append(&[entry(99)]).unwrap();
    let all = spool.peek(100).unwrap();
    assert_eq!(all.iter().map(|(_, e)| e.clone()).collect::<Vec<_>>(), [found.clone(), vec![entry(99)]].concat());
    spool.ack(all.last().unwrap().0).unwrap();
    spool.tidy().unwrap();
    assert_eq!((spool.stats().waiting, spool.stats().bytes), (0, 0));
    drop(spool);
    assert_eq!(Spool::open(SpoolConfig::new(dir.path(), 1 << 20)).unwrap().peek(100).unwrap(), []);
    found
}

#[test]
fn a_segment_that_ends_anywhere_gives_every_entry_before_that() {
    let (bytes, ranges) = small();
    for len in 0..=bytes.len() {
        let wanted: Vec<Entry> = (0..ENTRIES).filter(|n| ranges[*n as usize].end <= len).map(entry).collect();
        assert_eq!(recovered_and_used(&bytes[..len]), wanted, "cut at {len}");
    }
}

#[test]
fn a_flipped_bit_anywhere_costs_the_entry_it_lies_in_and_no_other() {
    let (bytes, ranges) = small();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let wanted: Vec<Entry> = (0..ENTRIES).filter(|n| !ranges[*n as usize].contains(&at)).map(entry).collect();
            let found = if bit == 0 { recovered_and_used(&damaged) } else { recovered(&damaged) };
            assert_eq!(found, wanted, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_hole_of_zeros_or_noise_anywhere_costs_what_it_covers() {
    let (bytes, ranges) = small();
    let mut random = fastrand::Rng::with_seed(7);
    for at in 0..bytes.len() {
        let hole = at..(at + random.usize(1..90)).min(bytes.len());
        let mut damaged = bytes.clone();
        damaged[hole.clone()].fill_with(|| if at % 2 == 0 { 0 } else { random.u8(..) });
        let is_hit = |r: &Range<usize>| damaged[r.clone()] != bytes[r.clone()];
        let wanted: Vec<Entry> = (0..ENTRIES).filter(|n| !is_hit(&ranges[*n as usize])).map(entry).collect();
        assert_eq!(recovered(&damaged), wanted, "{hole:?}");
    }
}

#[test]
fn a_damaged_note_of_acks_repeats_entries_and_never_loses_one() {
    let make = |dir: &Path| {
        let mut spool = Spool::open(SpoolConfig::new(dir, 1 << 20)).unwrap();
        spool.append(&(0..ENTRIES).map(entry).collect::<Vec<_>>()).unwrap();
        let all = spool.peek(100).unwrap();
        spool.ack(all[1].0).unwrap();
        spool.ack(all[2].0).unwrap();
    };
    let size = 24;
    let mut repeated = 0;
    for case in 0..size * 9 {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let path = dir.path().join("acked");
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), size);
        match case % 9 {
            8 => bytes.truncate(case / 9),
            bit => bytes[case / 9] ^= 1 << bit,
        }
        std::fs::write(&path, bytes).unwrap();
        let mut spool = Spool::open(SpoolConfig::new(dir.path(), 1 << 20)).unwrap();
        let found: Vec<Entry> = spool.peek(100).unwrap().into_iter().map(|(_, e)| e).collect();
        let wanted: Vec<Entry> = (0..ENTRIES).map(entry).collect();
        assert!(wanted.ends_with(&found) && found.len() >= 3, "case {case}: {found:?}");
        repeated += usize::from(found.len() > 3);
    }
    assert!(repeated > 0);
}

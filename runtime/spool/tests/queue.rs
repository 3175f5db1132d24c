//! Order, bounds, restarts.

use gantry_spool::{Entry, MAX_ENTRY_BYTES, Spool, SpoolConfig, SpoolError, WhenFull};
use std::collections::VecDeque;
use std::path::Path;

fn entry(n: u64) -> Entry {
    let camera = if n.is_multiple_of(2) { "entry" } else { "exit" };
    Entry { key: format!("run/{camera}/{n}"), kind: "reading".into(), camera: camera.into(), body: format!("{{\"n\":{n}}}").into_bytes() }
}

fn entries(numbers: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    numbers.into_iter().map(entry).collect()
}

fn keys(spool: &mut Spool, most: usize) -> Vec<String> {
    spool.peek(most).unwrap().into_iter().map(|(_, e)| e.key).collect()
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "segment")).count()
}

#[test]
fn entries_come_back_in_order_until_they_are_acked() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(SpoolConfig::new(dir.path(), 1 << 20)).unwrap();
    spool.append(&entries(0..3)).unwrap();
    spool.append(&entries(3..5)).unwrap();
    let all = spool.peek(100).unwrap();
    assert_eq!(all.iter().map(|(_, e)| e.clone()).collect::<Vec<_>>(), entries(0..5));
    assert_eq!(spool.peek(100).unwrap(), all, "looking takes nothing");
    spool.ack(all[1].0).unwrap();
    assert_eq!(keys(&mut spool, 2), ["run/entry/2", "run/exit/3"]);
    assert_eq!(spool.stats().waiting, 3);
    drop(spool);
    let mut spool = Spool::open(SpoolConfig::new(dir.path(), 1 << 20)).unwrap();
    assert_eq!(spool.stats().waiting, 3);
    spool.append(&entries([5])).unwrap();
    let rest = spool.peek(100).unwrap();
    assert_eq!(rest.iter().map(|(_, e)| e.clone()).collect::<Vec<_>>(), entries(2..6));
    spool.ack(rest[3].0).unwrap();
    assert_eq!(spool.stats().waiting, 0);
    assert_eq!(spool.peek(100).unwrap(), []);
}

#[test]
fn what_was_acked_leaves_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(SpoolConfig::new(dir.path(), 1 << 20)).unwrap();
    spool.append(&entries(0..4)).unwrap();
    let all = spool.peek(4).unwrap();
    spool.ack(all[2].0).unwrap();
    spool.tidy().unwrap();
    assert_eq!(files(dir.path()), 1, "one entry waits");
    spool.ack(all[3].0).unwrap();
    spool.tidy().unwrap();
    assert_eq!((files(dir.path()), spool.stats().bytes), (0, 0));
    spool.append(&entries([9])).unwrap();
    assert_eq!(keys(&mut spool, 9), ["run/exit/9"]);
}

#[test]
fn a_full_spool_drops_its_oldest_segment_and_counts_what_was_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let config = SpoolConfig { segment_bytes: 256, ..SpoolConfig::new(dir.path(), 1024) };
    let mut spool = Spool::open(config).unwrap();
    for n in 0..100 {
        spool.append(&entries([n])).unwrap();
        assert!(spool.stats().bytes <= 1024);
    }
    let stats = spool.stats();
    assert!(stats.dropped > 0 && stats.waiting > 5, "{stats:?}");
    assert_eq!(stats.dropped + stats.waiting, 100);
    let left = keys(&mut spool, 1000);
    assert_eq!(left, entries(100 - stats.waiting..100).into_iter().map(|e| e.key).collect::<Vec<_>>());
    drop(spool);
    let spool = Spool::open(SpoolConfig::new(dir.path(), 1024)).unwrap();
    assert_eq!(spool.stats().waiting, stats.waiting);
}

#[test]
fn a_spool_that_may_not_drop_refuses_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let config = SpoolConfig { segment_bytes: 128, when_full: WhenFull::RefuseNewest, ..SpoolConfig::new(dir.path(), 512) };
    let mut spool = Spool::open(config).unwrap();
    let kept = (0..100).take_while(|n| spool.append(&entries([*n])).is_ok()).count() as u64;
    assert!((5..50).contains(&kept), "{kept}");
    assert!(matches!(spool.append(&entries([200])), Err(SpoolError::Full { .. })));
    assert_eq!((spool.stats().waiting, spool.stats().refused, spool.stats().dropped), (kept, 2, 0));
    let all = spool.peek(1000).unwrap();
    spool.ack(all.last().unwrap().0).unwrap();
    spool.append(&entries([300])).unwrap();
    assert_eq!(keys(&mut spool, 10), ["run/entry/300"]);
}

#[test]
fn one_process_has_it_and_large_entries_are_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(SpoolConfig::new(dir.path(), 8 << 20)).unwrap();
    assert!(matches!(Spool::open(SpoolConfig::new(dir.path(), 1 << 20)), Err(SpoolError::InUse { .. })));
    let large = Entry { body: vec![7; MAX_ENTRY_BYTES], ..entry(1) };
    assert!(matches!(spool.append(&[entry(0), large]), Err(SpoolError::TooLarge { .. })));
    assert_eq!(spool.stats().waiting, 0);
    // The largest that fits, several of them: windows of the reader end within them.
    let mut large = Entry { body: vec![7; MAX_ENTRY_BYTES - 100], ..entry(1) };
    for n in 0..5 {
        large.key = n.to_string();
        spool.append(&[entry(n), large.clone()]).unwrap();
    }
    assert_eq!(spool.peek(100).unwrap().iter().filter(|(_, e)| e.body.len() > 1000).count(), 5);
    drop(spool);
    assert_eq!(Spool::open(SpoolConfig::new(dir.path(), 8 << 20)).unwrap().stats().waiting, 10);
}

/// The same random steps with the spool and with a list in memory.
#[test]
fn it_is_a_queue_whatever_the_order_of_calls() {
    for seed in 0..25 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let open = || Spool::open(SpoolConfig { segment_bytes: 300, ..SpoolConfig::new(dir.path(), 1 << 20) }).unwrap();
        let mut spool = open();
        let mut model: VecDeque<Entry> = VecDeque::new();
        let mut n = 0;
        for _ in 0..60 {
            match random.u32(0..10) {
                0..4 => {
                    let new = entries(n..n + random.u64(1..4));
                    n += new.len() as u64;
                    spool.append(&new).unwrap();
                    model.extend(new);
                }
                4..8 => {
                    let most = random.usize(1..6);
                    let found = spool.peek(most).unwrap();
                    assert!(found.iter().map(|(_, e)| e).eq(model.iter().take(most)), "seed {seed}");
                    let done = random.usize(0..=found.len());
                    if done > 0 {
                        spool.ack(found[done - 1].0).unwrap();
                        model.drain(..done);
                    }
                }
                8 => spool.tidy().unwrap(),
                _ => {
                    drop(spool);
                    spool = open();
                }
            }
            assert_eq!(spool.stats().waiting, model.len() as u64, "seed {seed}");
        }
    }
}

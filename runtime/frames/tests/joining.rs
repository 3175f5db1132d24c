//! Who may join a pool, how it is found, and pools that are refused.
#![allow(clippy::disallowed_methods, reason = "threads and channels of a test end with it")]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::*;
use gantry_frames::*;

#[test]
fn a_reader_that_must_have_every_frame_does_not_join_a_live_pool() {
    let dir = Dir::new();
    for (its, own) in [(Mode::Live, Mode::Lossless), (Mode::Lossless, Mode::Live)] {
        let pool = pool(&dir, its, 8, &[("a", 1, 1)]);
        let handle = publish_next(&pool).handle;
        let client = client(&dir.0, "a", 1);
        client.require(own);
        let refused = |error| matches!(error, AcquireError::Join(JoinError::OtherMode { its: i, own: o, .. }) if (i, o) == (its, own));
        assert!(refused(client.acquire(&handle).unwrap_err()));
        client.require(its);
        assert_intact(&client.acquire(&handle).unwrap());
    }
}

#[test]
fn a_client_holds_no_more_than_it_said_and_one_slot_counts_once() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Live, 8, &[("a", 2, 1)]);
    let client = client(&dir.0, "a", 2);
    let p: Vec<_> = (0..3).map(|_| publish_next(&pool)).collect();
    let first = client.acquire(&p[0].handle).unwrap();
    let again = client.acquire(&p[0].handle).unwrap();
    let second = client.acquire(&p[1].handle).unwrap();
    assert!(matches!(client.acquire(&p[2].handle), Err(AcquireError::Refused { seq: 2, max_held: 2 })));
    drop(first);
    assert!(matches!(client.acquire(&p[2].handle), Err(AcquireError::Refused { .. })), "`again` still holds it");
    for _ in 0..20 {
        publish_next(&pool);
    }
    assert_intact(&again);
    drop(again);
    let newest = publish_next(&pool);
    assert_intact(&client.acquire(&newest.handle).unwrap());
    assert_intact(&second);
    assert_eq!(client.stats()[0].refused, 2);
}

#[test]
fn only_declared_consumers_join_once_and_within_their_limit() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Live, 8, &[("a", 2, 1)]);
    let handle = publish_next(&pool).handle;
    let join = |name: &str, max_held| match client(&dir.0, name, max_held).acquire(&handle) {
        Err(AcquireError::Join(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(join("b", 1), "pool `cam0.decode/frames` declares no consumer `b`");
    assert_eq!(join("a", 3), "pool `cam0.decode/frames`: consumer `a` wants to hold 3 slots, 2 are declared");
    let first = client(&dir.0, "a", 2);
    drop(first.acquire(&handle).unwrap());
    let pid = std::process::id();
    assert_eq!(join("a", 1), format!("pool `cam0.decode/frames`: consumer `a` is joined already by process {pid}"));
    drop(first);
    let second = client(&dir.0, "a", 2);
    drop(second.acquire(&handle).unwrap());
    let stats = &pool.stats().consumers[0];
    assert_eq!((stats.joined, stats.joins, stats.reaps), (true, 2, 0));
}

#[test]
fn a_consumer_that_comes_back_goes_on_where_it_had_acknowledged() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 8, &[("a", 4, 4)]);
    let p: Vec<_> = (0..6).map(|_| publish_next(&pool)).collect();
    {
        let first = client(&dir.0, "a", 4);
        let mut new = Vec::new();
        first.observe(&p[5].handle, &mut new).unwrap();
        assert_eq!(new.len(), 6);
        [0, 1, 3].into_iter().for_each(|seq: usize| first.ack(&new[seq]).unwrap());
    }
    let second = client(&dir.0, "a", 4);
    let mut new = Vec::new();
    assert_eq!(second.find("cam0.decode/nothing").unwrap(), None);
    let id = second.find(OUTPUT).unwrap().unwrap();
    second.recover(&id, &mut new).unwrap();
    assert_eq!(new.iter().map(Handle::seq).collect::<Vec<_>>(), [2, 3, 4, 5], "what was not acknowledged without a gap");
}

#[test]
fn pools_that_cannot_keep_their_promise_are_refused_with_numbers() {
    let dir = Dir::new();
    let message = |config: PoolConfig| Pool::create(config).unwrap_err().to_string();
    let mut small = config(&dir.0, Mode::Live, 13, &[("a", 2, 4), ("b", 2, 3)]);
    small.producer_max_held = 3;
    assert_eq!(
        message(small.clone()),
        "pool `cam0.decode/frames`: 13 slots are too few, 14 are needed: 1 that is written + 1 newest + 2 in the hands of `a` + 2 in the hands of `b` + 4 in the queue of `a` and 1 behind it + 3 that the producer keeps (Live mode)"
    );
    small.slots = 14;
    assert!(Pool::create(small.clone()).is_ok());
    small.consumers[1].name = "a".into();
    assert!(message(small.clone()).ends_with("`a` is declared twice"));
    small.slot_bytes = 0;
    small.consumers.pop();
    assert!(message(small).contains("14 slots of 0 bytes are out of range"));
    let file = dir.0.join("file");
    std::fs::write(&file, "").unwrap();
    assert!(message(config(&file, Mode::Live, 8, &[])).contains("runtime directory"));
}

#[test]
fn the_runtime_directory_and_socket_are_closed_to_others() {
    let dir = Dir::new();
    std::fs::create_dir(&dir.0).unwrap();
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let pool = pool(&dir, Mode::Live, 8, &[]);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.0), 0o700);
    assert_eq!(mode(&dir.0.join(format!("{}.sock", pool.id()))), 0o600);
}

#[test]
fn a_runtime_directory_with_a_long_path_works() {
    let dir = Dir::new();
    let deep = dir.0.join("d".repeat(120));
    let pool = Pool::create(config(&deep, Mode::Live, 8, &[("a", 1, 1)])).unwrap();
    assert_intact(&client(&deep, "a", 1).acquire(&publish_next(&pool).handle).unwrap());
}

#[test]
fn a_new_pool_of_an_output_is_found_in_place_of_the_old_one() {
    let dir = Dir::new();
    let client = client(&dir.0, "a", 1);
    let old = pool(&dir, Mode::Live, 8, &[("a", 1, 1)]);
    assert_eq!(client.find(OUTPUT).unwrap(), Some(old.id()));
    let new = pool(&dir, Mode::Live, 8, &[("a", 1, 1)]);
    drop(old);
    assert_eq!(client.find(OUTPUT).unwrap(), Some(new.id()));
    assert_intact(&client.acquire(&publish_next(&new).handle).unwrap());
}

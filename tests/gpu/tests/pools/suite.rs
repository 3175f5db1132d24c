//! The promises.

use std::time::Duration;

use gantry_frames::*;
use rustix::process::Signal;

use crate::peers::Peer;
use crate::rig::{Dir, HEIGHT, Kind, OUTPUT, READER, Rig, WIDTH, eventually, layout};

pub fn a_frame_is_read_as_it_was_written(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Live, 6);
    assert_eq!(pool.backend(), rig.memory.backend());
    let client = rig.client(&dir.0);
    let handle = rig.publish(&pool).handle;
    let d = handle.decode_checked().unwrap();
    let device = rig.memory.context().map_or([0; 16], |context| context.device().uuid().0);
    assert_eq!((d.backend, d.device_uuid), (rig.memory.backend(), device));
    let frame = client.acquire(&handle).unwrap();
    rig.assert_intact(&frame);
    assert_eq!(frame.layout(), &layout());
    let whole = (WIDTH * HEIGHT) as usize;
    let plane = match kind {
        Kind::Host => frame.plane(0).map(<[u8]>::len),
        _ => frame.device_plane(0).map(|plane| plane.len()),
    };
    assert_eq!((plane, frame.plane(1), frame.device_plane(1).map(|_| ())), (Some(whole), None, None));
    assert_eq!(frame.device().is_some(), kind != Kind::Host);
}

pub fn another_process_reads_complete_frames_and_maps_the_pool_once(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Lossless, 4);
    let mut peer = Peer::start("read", kind, &dir);
    const FRAMES: u64 = 100;
    for _ in 0..FRAMES {
        rig.publish(&pool);
    }
    pool.drain(&StopFlag::new(), Some(Duration::from_secs(20))).unwrap();
    pool.close();
    assert!(peer.ended().success(), "the peer found a torn frame");
    let said = peer.rest();
    let wanted: Vec<_> = (0..FRAMES).map(|seq| seq.to_string()).chain(["imported 1".to_owned()]).collect();
    assert_eq!(said, wanted);
}

pub fn live_never_overwrites_what_a_reader_holds(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Live, 6);
    let client = rig.client(&dir.0);
    let held: Vec<_> = (0..2).map(|_| client.acquire(&rig.publish(&pool).handle).unwrap()).collect();
    let late = rig.publish(&pool).handle;
    for _ in 0..40 {
        rig.publish(&pool);
    }
    held.iter().for_each(|frame| rig.assert_intact(frame));
    assert_eq!((pool.stats().leased_slots, pool.stats().waits), (2, 0));
    drop(held);
    assert_eq!(pool.stats().leased_slots, 0);
    assert!(matches!(client.acquire(&late), Err(AcquireError::Stale { .. })));
}

pub fn lossless_reaches_a_reader_once_and_in_order_across_kills(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Lossless, 4);
    const FRAMES: u64 = 160;
    let (mut read, mut repeated, mut kills): (Vec<u64>, u64, u64) = (Vec::new(), 0, 0);
    let mut take = |seq: u64| match read.last() {
        // Said, then killed before the ack: delivered again.
        Some(last) if *last == seq => repeated += 1,
        _ => read.push(seq),
    };
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            for _ in 0..FRAMES {
                rig.publish(&pool);
            }
            pool.drain(&StopFlag::new(), Some(Duration::from_secs(60)))
        });
        for stop_after in [30, 70, 110, FRAMES - 1] {
            let mut peer = Peer::start("read", kind, &dir);
            loop {
                let seq: u64 = peer.line().parse().unwrap();
                take(seq);
                if seq >= stop_after {
                    break;
                }
            }
            if stop_after < FRAMES - 1 {
                peer.kill();
                kills += 1;
                peer.rest().iter().for_each(|line| take(line.parse().unwrap()));
            } else {
                assert_eq!(producer.join().unwrap(), Ok(()));
                pool.close();
                assert!(peer.ended().success());
                break;
            }
        }
    });
    assert_eq!(read, (0..FRAMES).collect::<Vec<_>>());
    assert!(repeated <= kills, "{repeated} repeats after {kills} kills");
    assert_eq!((pool.stats().consumers[0].reaps, kills), (3, 3));
}

pub fn a_killed_readers_leases_and_mappings_are_free(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Lossless, 4);
    rig.publish(&pool);
    rig.publish(&pool);
    let before = rig.used();
    for round in 1..=4 {
        let mut peer = Peer::start("hold", kind, &dir);
        assert_eq!(peer.line(), "holding");
        assert_eq!(pool.stats().leased_slots, 2);
        peer.kill();
        eventually("the leases are free", || pool.stats().leased_slots == 0 && !pool.stats().consumers[0].joined);
        assert_eq!(pool.stats().consumers[0].reaps, round);
    }
    eventually("device memory is back to what it was", || rig.is_back_to(before));
    // What the killed ones read is there for the next one, untouched.
    let client = rig.client(&dir.0);
    let (id, mut new) = (client.find(OUTPUT).unwrap().unwrap(), Vec::new());
    client.recover(&id, &mut new).unwrap();
    assert_eq!(new.len(), 2);
    new.iter().for_each(|handle| rig.assert_intact(&client.acquire(handle).unwrap()));
}

pub fn a_stopped_reader_keeps_its_frames(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Lossless, 4);
    rig.publish(&pool);
    let mut peer = Peer::start("hold_one", kind, &dir);
    assert_eq!(peer.line(), "holding");
    peer.signal(Signal::STOP);
    for _ in 0..3 {
        rig.publish(&pool);
    }
    std::thread::sleep(Duration::from_millis(200));
    assert!(pool.try_begin_write().unwrap().is_none(), "its frame is neither read nor given back");
    assert_eq!(pool.stats().leased_slots, 1);
    peer.signal(Signal::CONT);
    std::thread::sleep(Duration::from_millis(100));
    assert!(peer.is_running(), "it found its frame intact");
    assert_eq!(pool.stats().consumers[0].reaps, 0);
    peer.kill();
    eventually("the lease is free", || pool.stats().leased_slots == 0);
}

pub fn a_killed_producer_leaves_no_memory_behind(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let before = rig.used();
    for _ in 0..3 {
        let mut peer = Peer::start("produce", kind, &dir);
        let id = peer.line();
        let client = rig.client(&dir.0);
        assert_eq!(client.find(OUTPUT).unwrap().unwrap().to_string(), id);
        peer.kill();
        eventually("the client notices", || client.find(OUTPUT).unwrap().is_none());
    }
    eventually("device memory is back to what it was", || rig.is_back_to(before));
}

pub fn memory_goes_when_a_pool_is_closed_and_readers_live_on(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    // The reader lives on, and so does what its context takes of the card.
    let mut peer = Peer::start("linger", kind, &dir);
    assert_eq!(peer.line(), "ready");
    let before = rig.used();
    let pool = rig.pool(&dir.0, Mode::Lossless, 4);
    rig.publish(&pool);
    assert!(kind == Kind::Host || !rig.is_back_to(before), "a pool takes memory");
    assert_eq!(peer.line(), "read");
    drop(pool);
    assert_eq!(peer.line(), "let go");
    eventually("device memory is back to what it was", || rig.is_back_to(before));
    assert!(peer.is_running());
}

pub fn memory_stays_under_a_reader_that_does_not_let_go(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Lossless, 4);
    rig.publish(&pool);
    let mut peer = Peer::start("hold_one", kind, &dir);
    assert_eq!(peer.line(), "holding");
    peer.signal(Signal::STOP);
    drop(pool);
    peer.signal(Signal::CONT);
    std::thread::sleep(Duration::from_millis(200));
    assert!(peer.is_running(), "it found its frame intact");
    peer.kill();
}

pub fn a_loan_that_is_dropped_ends_its_work_first(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Live, 6);
    let client = rig.client(&dir.0);
    // Another stream of the same card: nothing but the wait puts its work before what is written next.
    let Some(other) = Rig::new(kind) else { return };
    for round in 1..=4 {
        let mut loaned = pool.begin_write(&StopFlag::new()).unwrap();
        let slot = loaned.slot();
        (0..10).for_each(|_| other.write(&mut loaned, 99));
        drop(loaned);
        assert_eq!(pool.stats().abandoned, round);
        let mut slots = Vec::new();
        while slots.last() != Some(&slot) {
            let published = rig.publish(&pool);
            slots.push(published.handle.decode_checked().unwrap().slot);
            assert!(slots.len() < 20, "slot {slot} does not come back, only {slots:?}");
            rig.assert_intact(&client.acquire(&published.handle).unwrap());
        }
    }
    // On a card nothing is published that nobody waited for.
    let loaned = pool.begin_write(&StopFlag::new()).unwrap();
    match loaned.fill(layout()) {
        Ok(_) => assert_eq!(kind, Kind::Host),
        Err(error) => assert!(kind != Kind::Host && matches!(error, FillError::NeedsStream { .. }), "{error}"),
    }
}

pub fn a_handle_of_another_device_is_refused(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Live, 6);
    let client = rig.client(&dir.0);
    let handle = rig.publish(&pool).handle;
    let edited = |at: usize, byte: u8| {
        let mut bytes = *handle.as_bytes();
        bytes[at] ^= byte;
        Handle::from_bytes(bytes)
    };
    // Byte 40 is in the device's UUID, byte 6 the back end: 0, 1 or 2.
    let (device, backend) = (client.acquire(&edited(40, 1)), client.acquire(&edited(6, 3)));
    match kind {
        Kind::Host => assert!(matches!(device, Err(AcquireError::Malformed(HandleError::Reserved))), "{device:?}"),
        _ => assert!(matches!(device, Err(AcquireError::Malformed(HandleError::Device { .. }))), "{device:?}"),
    }
    assert!(matches!(backend, Err(AcquireError::Malformed(_))), "{backend:?}");
    rig.assert_intact(&client.acquire(&handle).unwrap());
}

pub fn a_reader_without_the_device_is_refused_and_may_come_back_with_it(kind: Kind) {
    let Some(rig) = Rig::new(kind) else { return };
    let dir = Dir::new();
    let pool = rig.pool(&dir.0, Mode::Live, 6);
    let handle = rig.publish(&pool).handle;
    let host_only = Client::new(ClientConfig { runtime_dir: dir.0.clone(), name: READER.into(), max_held: 1 });
    match host_only.acquire(&handle) {
        Ok(frame) => assert!(kind == Kind::Host && !frame.bytes().is_empty()),
        Err(AcquireError::Join(error @ JoinError::NeedsCuda { .. })) => {
            assert!(kind != Kind::Host && error.to_string().contains("`reader` reads host memory: set `GANTRY_MEMORY: host`"), "{error}");
        }
        Err(error) => panic!("{error}"),
    }
    drop(host_only);
    rig.assert_intact(&rig.client(&dir.0).acquire(&handle).unwrap());
}

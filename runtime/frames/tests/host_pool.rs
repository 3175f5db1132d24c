//! Producer and consumer in one process, over real memfds and sockets.
#![allow(clippy::disallowed_methods, reason = "threads and channels of a test end with it")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use gantry_frames::*;

#[test]
fn a_frame_is_read_as_it_was_written_with_its_layout_and_metadata() {
    let dir = Dir::new();
    let layout = Layout::i420(853, 479).unwrap();
    let mut config = config(&dir.0, Mode::Live, 6, &[("resize", 2, 1)]);
    config.slot_bytes = layout.byte_len();
    let pool = Pool::create(config).unwrap();
    let mut loaned = pool.begin_write(&StopFlag::new()).unwrap();
    assert_eq!(loaned.as_mut_ptr() as usize % 4096, 0);
    for (i, byte) in loaned.bytes_mut().iter_mut().enumerate() {
        *byte = (i % 251) as u8;
    }
    let meta = FrameMeta { source: SourceName::new("gate").unwrap(), frame: 7, pts_ns: -40, captured_ns: 5, view: View::whole(853, 479) };
    let published = loaned.fill(layout).unwrap().publish(&meta);

    let client = client(&dir.0, "resize", 2);
    let handle = Handle::from_bytes(published.handle.as_bytes()).unwrap();
    assert_eq!(client.frame_meta(&handle).unwrap(), Some(meta));
    let frame = client.acquire(&handle).unwrap();
    assert_eq!((frame.seq(), *frame.frame_meta(), *frame.layout()), (0, meta, layout));
    assert!(frame.bytes().iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8));
    // 853 needs a stride of 896, its half 427 one of 448; 479 rows have 240 chroma rows.
    let image = layout.as_image().unwrap();
    let planes: Vec<_> = image.planes().iter().map(|p| (p.offset, p.stride, p.rows)).collect();
    assert_eq!(planes, [(0, 896, 479), (429_184, 448, 240), (536_704, 448, 240)]);
    assert_eq!(frame.plane(2).unwrap(), &frame.bytes()[536_704..]);
    assert_eq!(frame.plane(3), None);
}

#[test]
fn live_rewrites_the_oldest_frame_and_its_handle_is_stale() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Live, 4, &[("detect", 1, 0)]);
    let client = client(&dir.0, "detect", 1);
    let published: Vec<_> = (0..5).map(|_| publish_next(&pool)).collect();
    assert!(matches!(client.acquire(&published[0].handle), Err(AcquireError::Stale { seq: 0 })));
    assert_eq!(client.frame_meta(&published[0].handle).unwrap(), None);
    for published in &published[1..] {
        assert_intact(&client.acquire(&published.handle).unwrap());
    }
    let stats = &client.stats()[0];
    assert_eq!((stats.used, stats.stale, stats.skipped, stats.held), (4, 1, 0, 0));
}

#[test]
fn live_never_waits_and_never_touches_what_consumers_hold() {
    let dir = Dir::new();
    let consumers = [("a", 2, 2), ("b", 1, 1)];
    let slots = PoolConfig::min_slots(Mode::Live, &[], 0) + 3 + 3;
    let pool = pool(&dir, Mode::Live, slots, &consumers);
    let (a, b) = (client(&dir.0, "a", 2), client(&dir.0, "b", 1));
    let mut held = Vec::new();
    for client in [&a, &a, &b] {
        let published = publish_next(&pool);
        held.push(client.acquire(&published.handle).unwrap());
    }
    for _ in 0..500 {
        publish_next(&pool);
    }
    held.iter().for_each(assert_intact);
    assert_eq!(pool.stats().leased_slots, 3);
    assert_eq!(pool.stats().waits, 0);
    drop(held);
    assert_eq!(pool.stats().leased_slots, 0);
}

#[test]
fn live_accounts_for_every_frame_as_used_stale_or_dropped_on_the_way() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Live, 5, &[("detect", 1, 1)]);
    let client = client(&dir.0, "detect", 1);
    let (mut queue, mut new, mut told) = (std::collections::VecDeque::new(), Vec::new(), 0);
    for n in 0..2000u64 {
        let published = publish_next(&pool);
        match n * 7919 % 11 {
            0..=2 => {}
            3 => queue.push_front(published.handle),
            4 => queue.extend([published.handle, published.handle]),
            _ => queue.push_back(published.handle),
        }
        while queue.len() > (n % 9) as usize {
            let handle = queue.pop_front().unwrap();
            told += 1;
            client.observe(&handle, &mut new).unwrap();
            for handle in new.drain(..) {
                match client.acquire(&handle) {
                    Ok(frame) => assert_intact(&frame),
                    Err(AcquireError::Stale { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    // A last frame that surely arrives, so that the last seen one is the last published one.
    let last = publish_next(&pool);
    client.observe(&last.handle, &mut new).unwrap();
    drop(client.acquire(&last.handle).unwrap());
    let stats = &client.stats()[0];
    assert_eq!(stats.used + stats.stale + stats.skipped, pool.stats().published, "{stats:?}");
    assert_eq!(stats.seen, stats.used + stats.stale);
    assert_eq!(stats.seen + stats.duplicates, told + 1);
    assert!(stats.stale > 100 && stats.skipped > 100 && stats.duplicates > 100, "all three happened: {stats:?}");
}

#[test]
fn lossless_waits_for_each_declared_consumer_even_one_that_has_not_joined() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 3, &[("a", 2, 4), ("b", 1, 4)]);
    let published: Vec<_> = (0..3).map(|_| publish_next(&pool)).collect();
    assert!(pool.try_begin_write().unwrap().is_none());
    let a = client(&dir.0, "a", 2);
    published.iter().for_each(|p| a.acquire(&p.handle).unwrap().ack());
    assert!(pool.try_begin_write().unwrap().is_none(), "b has read nothing");
    let b = client(&dir.0, "b", 1);
    let frame = b.acquire(&published[1].handle).unwrap();
    b.ack(&published[0].handle).unwrap();
    assert_eq!(publish_next(&pool).seq, 3, "slot of seq 0 is free now");
    assert!(pool.try_begin_write().unwrap().is_none(), "seq 1 is leased");
    assert_intact(&frame);
    drop(frame);
    assert!(pool.try_begin_write().unwrap().is_none(), "released is not acknowledged");
    assert_intact(&b.acquire(&published[1].handle).unwrap());
    b.ack(&published[1].handle).unwrap();
    assert!(pool.try_begin_write().unwrap().is_some());
}

#[test]
fn a_live_producer_sees_how_many_frames_its_furthest_reader_has_not_come_to() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Live, 8, &[("a", 1, 1), ("b", 1, 1)]);
    publish_next(&pool);
    assert_eq!(pool.unseen(), None, "nobody is there");
    let (a, b) = (client(&dir.0, "a", 1), client(&dir.0, "b", 1));
    let p: Vec<_> = (0..4).map(|_| publish_next(&pool)).collect();
    drop(b.acquire(&p[0].handle).unwrap());
    assert_eq!(pool.unseen(), Some(3));
    // What was passed over need not be seen any more.
    drop(a.acquire(&p[2].handle).unwrap());
    assert_eq!(pool.unseen(), Some(1));
    drop(a);
    drop(b);
}

#[test]
fn acks_out_of_order_free_the_contiguous_prefix() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 4, &[("a", 1, 4)]);
    let client = client(&dir.0, "a", 1);
    let p: Vec<_> = (0..4).map(|_| publish_next(&pool)).collect();
    for (seq, acked) in [(2, 0), (1, 0), (1, 0), (0, 3), (3, 4)] {
        client.ack(&p[seq].handle).unwrap();
        assert_eq!((pool.stats().consumers[0].acked_next, pool.acked_next()), (acked, acked));
    }
    assert_eq!(pool.drain(&StopFlag::new(), None), Ok(()));
}

#[test]
fn a_waiting_producer_wakes_on_the_ack_it_needs() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 2, &[("a", 1, 4)]);
    let client = client(&dir.0, "a", 1);
    let reader = std::thread::spawn({
        let pool = pool.clone();
        move || {
            let (mut seqs, mut new) = (Vec::new(), Vec::new());
            let id = client.find(OUTPUT).unwrap().unwrap();
            while seqs.len() < 300 {
                client.recover(&id, &mut new).unwrap();
                for handle in new.drain(..) {
                    let frame = client.acquire(&handle).unwrap();
                    assert_intact(&frame);
                    if frame.seq() % 100 == 7 {
                        std::thread::sleep(Duration::from_millis(50));
                        assert_intact(&frame);
                    }
                    seqs.push(frame.seq());
                    frame.ack();
                }
                std::thread::yield_now();
            }
            assert_eq!(pool.stats().consumers[0].acked_next, 300);
            seqs
        }
    });
    for _ in 0..300 {
        publish_next(&pool);
    }
    assert_eq!(pool.drain(&StopFlag::new(), Some(Duration::from_secs(20))), Ok(()));
    assert_eq!(reader.join().unwrap(), (0..300).collect::<Vec<_>>());
    assert!(pool.stats().waits > 0, "the producer had to wait");
}

#[test]
fn lost_doubled_and_reordered_doorbells_still_give_each_frame_once_and_in_order() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 8, &[("a", 2, 8)]);
    let client = client(&dir.0, "a", 2);
    let (mut new, mut seqs) = (Vec::new(), Vec::new());
    let mut bells = std::collections::VecDeque::new();
    for n in 0..500u64 {
        let published = publish_next(&pool);
        match n % 5 {
            0 => {}
            1 => bells.push_front(published.handle),
            2 => bells.extend([published.handle; 2]),
            _ => bells.push_back(published.handle),
        }
        if n % 3 == 0 {
            // The node's tick comes before its queue is empty.
            client.recover_all(&mut new);
        }
        while bells.len() > (n % 4) as usize {
            client.observe(&bells.pop_front().unwrap(), &mut new).unwrap();
        }
        if n % 2 == 1 || n == 0 {
            client.recover_all(&mut new);
        }
        for handle in new.drain(..) {
            seqs.push(handle.seq());
            client.acquire(&handle).unwrap().ack();
        }
    }
    client.recover_all(&mut new);
    seqs.extend(new.iter().map(Handle::seq));
    assert_eq!(seqs, (0..500).collect::<Vec<_>>());
    assert!(client.stats()[0].recovered >= 90 && client.stats()[0].duplicates >= 90);
}

#[test]
fn a_slot_hold_keeps_its_slot_after_publish_and_after_every_ack() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 3, &[("a", 1, 4)]);
    let client = client(&dir.0, "a", 1);
    let loaned = pool.begin_write(&StopFlag::new()).unwrap();
    let (hold, slot) = (loaned.hold(), loaned.slot());
    let second = hold.clone();
    client.acquire(&publish(&pool, loaned).handle).unwrap().ack();
    for _ in 0..20 {
        let loaned = pool.begin_write(&StopFlag::new()).unwrap();
        assert_ne!(loaned.slot(), slot);
        client.acquire(&publish(&pool, loaned).handle).unwrap().ack();
    }
    drop(hold);
    assert_eq!(pool.stats().producer_held_slots, 1);
    let all: Vec<_> = std::iter::from_fn(|| pool.try_begin_write().unwrap()).collect();
    assert!(all.len() == 2 && all.iter().all(|loaned| loaned.slot() != slot));
    drop(second);
    assert_eq!(pool.try_begin_write().unwrap().unwrap().slot(), slot);
}

#[test]
fn a_hold_outlives_its_pool_and_an_acquired_frame_its_client() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Live, 4, &[("a", 1, 0)]);
    let client = client(&dir.0, "a", 1);
    let loaned = pool.begin_write(&StopFlag::new()).unwrap();
    let hold = loaned.hold();
    let frame = client.acquire(&publish(&pool, loaned).handle).unwrap();
    drop((pool, client));
    assert_intact(&frame);
    assert_eq!(hold.slot(), 0);
    std::thread::spawn(move || assert_intact(&frame)).join().unwrap();
}

#[test]
fn a_loan_that_is_dropped_gives_its_slot_back_and_leaves_no_gap_in_seq() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 2, &[("a", 1, 4)]);
    for _ in 0..10 {
        drop(pool.begin_write(&StopFlag::new()).unwrap());
    }
    let too_large = Layout::gray8(WIDTH, HEIGHT + 1).unwrap();
    let error = pool.begin_write(&StopFlag::new()).unwrap().fill(too_large).unwrap_err();
    assert_eq!(error, FillError::Layout(LayoutError::TooLarge { needed: 1088, available: 1024 }));
    assert_eq!((publish_next(&pool).seq, publish_next(&pool).seq), (0, 1));
    assert_eq!((pool.stats().abandoned, pool.stats().published), (11, 2));
}

#[test]
fn a_consumer_that_stays_away_ends_the_wait_after_grace_and_not_before() {
    let dir = Dir::new();
    let mut config = config(&dir.0, Mode::Lossless, 2, &[("a", 1, 4), ("late", 1, 4)]);
    config.grace = Duration::from_millis(150);
    let pool = Pool::create(config).unwrap();
    let a = client(&dir.0, "a", 1);
    (0..2).for_each(|_| a.acquire(&publish_next(&pool).handle).unwrap().ack());
    let started = Instant::now();
    let error = pool.begin_write(&StopFlag::new()).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    let (output, consumer, grace) = (OUTPUT.to_owned(), "late".to_owned(), Duration::from_millis(150));
    assert_eq!(error, BeginWriteError::GraceExpired { output: output.clone(), consumer: consumer.clone(), grace, unacked: 2 });
    assert_eq!(pool.drain(&StopFlag::new(), None), Err(DrainError::GraceExpired { output, consumer, grace, unacked: 2 }));

    // It comes at last: the run goes on. Connected, it may be as slow as it likes.
    let late = client(&dir.0, "late", 1);
    let id = late.find(OUTPUT).unwrap().unwrap();
    let waiting = std::thread::spawn({
        let pool = pool.clone();
        move || pool.begin_write(&StopFlag::new()).map(|loaned| publish(&pool, loaned).seq)
    });
    std::thread::sleep(Duration::from_millis(400));
    assert!(!waiting.is_finished());
    let mut new = Vec::new();
    late.recover(&id, &mut new).unwrap();
    new.iter().for_each(|handle| late.ack(handle).unwrap());
    assert_eq!(waiting.join().unwrap(), Ok(2));
}

#[test]
fn a_producer_that_had_to_wait_goes_on_with_a_quarter_of_the_pool_and_not_with_every_slot() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 16, &[("a", 1, 4)]);
    let client = client(&dir.0, "a", 1);
    let published: Vec<_> = (0..16).map(|_| publish_next(&pool)).collect();
    let first_free = |acked: usize, then: Duration| {
        let started = Instant::now();
        let waiting = std::thread::spawn({
            let pool = pool.clone();
            move || pool.begin_write(&StopFlag::new()).map(drop)
        });
        for published in &published[..acked] {
            std::thread::sleep(then);
            // Ends early only where the machine slept through the producer's patience of 100 ms.
            assert!(!waiting.is_finished() || started.elapsed() > Duration::from_millis(90));
            client.ack(&published.handle).unwrap();
        }
        assert_eq!(waiting.join().unwrap(), Ok(()));
    };
    // One is enough after a while: readers may be slow.
    first_free(1, Duration::from_millis(3));
    // The slot that came back is taken and published again, so that none is free.
    assert_eq!(publish_next(&pool).seq, 16);
    let taken = pool.try_begin_write().unwrap();
    assert!(taken.is_none());
    first_free(5, Duration::from_millis(3));
}

#[test]
fn a_stop_flag_ends_waiting_and_close_ends_everything() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 2, &[("a", 1, 4)]);
    let client = client(&dir.0, "a", 1);
    let published = [publish_next(&pool), publish_next(&pool)];
    let stop = StopFlag::new();
    let waiting = std::thread::spawn({
        let (pool, stop) = (pool.clone(), stop.clone());
        move || pool.begin_write(&stop).map(drop)
    });
    std::thread::sleep(Duration::from_millis(30));
    stop.set();
    assert_eq!(waiting.join().unwrap(), Err(BeginWriteError::Stopped { output: OUTPUT.to_owned() }));
    let (output, consumer) = (OUTPUT.to_owned(), "a".to_owned());
    assert_eq!(pool.drain(&stop, None), Err(DrainError::Stopped { output: output.clone(), consumer: consumer.clone(), unacked: 2 }));
    let late = pool.drain(&StopFlag::new(), Some(Duration::from_millis(30)));
    assert_eq!(late, Err(DrainError::TimedOut { output, consumer, unacked: 2 }));

    let frame = client.acquire(&published[1].handle).unwrap();
    pool.close();
    assert_intact(&frame);
    assert!(matches!(client.acquire(&published[0].handle), Err(AcquireError::Closed { .. })));
    assert!(matches!(client.acquire(&published[1].handle), Err(AcquireError::Closed { .. })));
    assert!(matches!(pool.try_begin_write(), Err(BeginWriteError::Closed { .. })));
    let name = format!("gantry-data-{}", pool.id());
    let mappings = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains(&name)).count();
    assert_eq!(mappings(), 2, "the producer's and the one of the held frame");
    drop(frame);
    eventually("the client unmaps", || mappings() == 1);
    drop(pool);
    assert_eq!(mappings(), 0);
    assert_eq!(dir.files(), Vec::<String>::new(), "socket and link are gone");
}

#[test]
fn a_changed_byte_in_a_handle_is_never_taken_for_a_frame() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 5, &[("a", 4, 4)]);
    let client = client(&dir.0, "a", 4);
    let published = publish_next(&pool);
    publish_next(&pool);
    drop(client.acquire(&published.handle).unwrap());
    let (mut stale, mut malformed, mut unknown) = (0, 0, 0);
    for at in 0..HANDLE_BYTES {
        for flip in [1u8, 0x80, 0xff] {
            let mut bytes = *published.handle.as_bytes();
            bytes[at] ^= flip;
            let handle = Handle::from_bytes(&bytes).unwrap();
            let error = client.acquire(&handle).expect_err("a forged handle");
            match error {
                AcquireError::Stale { .. } => stale += 1,
                AcquireError::Malformed(_) => malformed += 1,
                AcquireError::Closed { .. } => unknown += 1,
                other => panic!("byte {at}: {other}"),
            }
        }
    }
    assert_eq!((unknown, stale), (16 * 3, 4 * 3), "another pool id; another generation");
    assert_eq!(malformed, HANDLE_BYTES * 3 - unknown - stale);
    assert_eq!((client.stats()[0].held, pool.stats().leased_slots), (0, 0));
    let mut new = Vec::new();
    client.recover_all(&mut new);
    assert_eq!(new.iter().map(Handle::seq).collect::<Vec<_>>(), [1], "forgeries leave no trace in what was seen");
    let unpublished = {
        let mut bytes = *published.handle.as_bytes();
        bytes[24] = 77;
        Handle::from_bytes(&bytes).unwrap()
    };
    assert!(matches!(client.observe(&unpublished, &mut Vec::new()), Err(AcquireError::Malformed(_))));
    assert!(matches!(client.ack(&unpublished), Err(AcquireError::Malformed(_))));
}

#[test]
fn the_newest_frame_can_be_rung_again_until_everybody_has_read_it() {
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Lossless, 4, &[("a", 1, 4)]);
    let client = client(&dir.0, "a", 1);
    assert_eq!((pool.newest(), pool.has_unread()), (None, false));
    publish_next(&pool);
    let last = publish_next(&pool);
    let (handle, meta) = pool.newest().unwrap();
    assert_eq!((handle, meta.frame, pool.has_unread()), (last.handle, 1001, true));
    let mut new = Vec::new();
    client.observe(&handle, &mut new).unwrap();
    new.drain(..).for_each(|handle| client.acquire(&handle).unwrap().ack());
    assert!(!pool.has_unread());
}

#[test]
fn readers_in_other_threads_never_see_a_frame_change_under_a_live_producer() {
    fn movable<T: Send + Sync + 'static>() {}
    movable::<(Pool, Loaned, Filled, SlotHold)>();
    movable::<(Client, Acquired)>();

    let dir = Dir::new();
    let pool = pool(&dir, Mode::Live, 8, &[("a", 2, 1), ("b", 2, 1)]);
    let newest = std::sync::Arc::new(std::sync::Mutex::new(publish_next(&pool).handle));
    let stop = StopFlag::new();
    let readers: Vec<_> = ["a", "b", "a"]
        .into_iter()
        .map(|name| {
            // The two threads of `a` share its client and so its lease bits.
            let client = client(&dir.0, name, 2);
            (name, client)
        })
        .scan(None, |first: &mut Option<Client>, (name, client)| {
            let shared = if name == "a" { first.get_or_insert(client).clone() } else { client };
            Some(shared)
        })
        .map(|client| {
            let (newest, stop) = (newest.clone(), stop.clone());
            std::thread::spawn(move || {
                let (mut used, mut late) = (0u64, 0u64);
                while !stop.is_set() {
                    let handle = *newest.lock().unwrap();
                    if used % 3 == 0 {
                        std::thread::yield_now();
                    }
                    match client.acquire(&handle) {
                        Ok(frame) => {
                            assert_intact(&frame);
                            std::thread::yield_now();
                            assert_intact(&frame);
                            used += 1;
                        }
                        Err(AcquireError::Stale { .. } | AcquireError::Refused { .. }) => late += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                (used, late)
            })
        })
        .collect();
    for _ in 0..30_000 {
        let published = publish_next(&pool);
        *newest.lock().unwrap() = published.handle;
    }
    stop.set();
    for reader in readers {
        let (used, _) = reader.join().unwrap();
        assert!(used > 0);
    }
    let stats = pool.stats();
    assert_eq!((stats.waits, stats.scribbles, stats.leased_slots, stats.published), (0, 0, 0, 30_001));
}

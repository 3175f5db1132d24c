//! Decoding and checking a handle: noise, and edits of a handle that is in use, over a live pool.
#![no_main]

use std::sync::LazyLock;

use gantry_frames::*;
use libfuzzer_sys::fuzz_target;

static POOL: LazyLock<(Pool, Client, Handle)> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("gantry-fuzz-{}", std::process::id()));
    let pool = Pool::create(PoolConfig {
        runtime_dir: dir.clone(),
        output: "fuzz".into(),
        mode: Mode::Live,
        slots: 8,
        slot_bytes: 1024,
        producer_max_held: 0,
        consumers: vec![ConsumerSpec { name: "a".into(), max_held: 2, queue_size: 2 }],
        grace: std::time::Duration::from_secs(1),
    })
    .unwrap();
    let loaned = pool.begin_write(&StopFlag::new()).unwrap();
    let handle = loaned.fill(Layout::gray8(32, 16).unwrap()).unwrap().publish(&FrameMeta::default()).handle;
    (pool, Client::new(ClientConfig { runtime_dir: dir, name: "a".into(), max_held: 2 }), handle)
});

fuzz_target!(|data: &[u8]| {
    let (_pool, client, valid) = &*POOL;
    let mut bytes = *valid.as_bytes();
    match data.split_first() {
        // Edits: place and value in turn; the pool's id stays, so that the check against the pool is reached.
        Some((0, edits)) => edits.chunks_exact(2).filter(|e| !(8..24).contains(&e[0])).for_each(|e| bytes[usize::from(e[0]) % 192] = e[1]),
        Some((_, noise)) => bytes.iter_mut().zip(noise).for_each(|(byte, value)| *byte = *value),
        None => {}
    }
    let handle = Handle::from_bytes(bytes);
    let decoded = handle.decode_checked();
    if let Ok(d) = decoded {
        assert!(d.layout.byte_len() <= d.len && d.offset.checked_add(d.len).is_some());
        if d.pool == valid.pool() {
            if let Ok(frame) = client.acquire(&handle) {
                assert_eq!(handle, *valid, "only what was published can be taken");
                assert!(frame.bytes().len() <= 1024);
            }
        }
    }
});

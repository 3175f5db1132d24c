use std::path::PathBuf;

use crate::handle::{Descriptor, HandleError};
use crate::{
    AcquireError, Backend, Client, ClientConfig, ConsumerSpec, FrameMeta, Handle, Layout, Mode, Pool, PoolConfig, PoolId, StopFlag,
};

const SLOTS: u32 = 8;
const SLOT_BYTES: u64 = 4096;

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is wrong with a handle, at the last value that is right and the first one that is not.
#[test]
fn each_field_is_held_against_the_pool_up_to_its_very_limit() {
    let dir = Dir(std::env::temp_dir().join(format!("gantry-check-{}", std::process::id())));
    let pool = Pool::create(PoolConfig {
        runtime_dir: dir.0.clone(),
        output: "check/frames".into(),
        mode: Mode::Live,
        slots: SLOTS,
        slot_bytes: SLOT_BYTES,
        producer_max_held: 0,
        consumers: vec![ConsumerSpec { name: "a".into(), max_held: 1, queue_size: 1 }],
        grace: std::time::Duration::from_secs(5),
    })
    .unwrap();
    let publish = || {
        let filled = pool.begin_write(&StopFlag::new()).unwrap().fill(Layout::gray8(64, 16).unwrap()).unwrap();
        filled.publish(&FrameMeta::default()).handle
    };
    let handles: Vec<Handle> = (0..3).map(|_| publish()).collect();
    let client = Client::new(ClientConfig { runtime_dir: dir.0.clone(), name: "a".into(), max_held: 1 });
    let valid = handles[2].decode_checked().unwrap();
    assert_eq!((valid.seq, valid.len, valid.backend), (2, 1024, Backend::HostMemfd));
    let answer = |edit: &dyn Fn(&mut Descriptor)| {
        let mut d = valid;
        edit(&mut d);
        client.acquire(&Handle::encode(&d)).map(|frame| frame.seq())
    };
    let refused = |edit: &dyn Fn(&mut Descriptor)| match answer(edit) {
        Err(AcquireError::Malformed(error)) => error,
        other => panic!("{other:?}"),
    };
    let pools = |field, value, limit| HandleError::Pool { field, value, limit };
    let forged = |seq| HandleError::Forged { seq };

    assert_eq!(answer(&|_| {}).unwrap(), 2);
    assert_eq!(refused(&|d| d.mode = Mode::Lossless), pools("mode", 1, 0));
    assert_eq!(refused(&|d| d.backend = Backend::CudaVmmFd), pools("backend", 1, 0));
    assert_eq!(refused(&|d| d.slot = SLOTS), pools("slot", 8, 7));
    assert_eq!(refused(&|d| d.slot = u32::MAX), pools("slot", u32::MAX.into(), 7));
    assert!(matches!(answer(&|d| d.slot = SLOTS - 1), Err(AcquireError::Stale { seq: 2 })), "a slot that was never written");
    // Up to the last byte of the slot it is only not what was published.
    assert_eq!(refused(&|d| d.offset = SLOT_BYTES - d.len), forged(2));
    assert_eq!(refused(&|d| d.offset = SLOT_BYTES - d.len + 1), pools("offset + len", 4097, SLOT_BYTES));
    assert_eq!(refused(&|d| d.offset = u64::MAX - d.len), pools("offset + len", u64::MAX, SLOT_BYTES));
    assert_eq!(refused(&|d| d.len = SLOT_BYTES), forged(2));
    assert_eq!(refused(&|d| d.len = SLOT_BYTES + 1), pools("offset + len", 4097, SLOT_BYTES));
    // Seq 3 is the next one: nobody has published it.
    assert_eq!(refused(&|d| d.seq = 1), forged(1));
    assert_eq!(refused(&|d| d.seq = 3), pools("seq", 3, 2));
    assert_eq!(refused(&|d| d.seq = u64::MAX), pools("seq", u64::MAX, 2));
    assert_eq!(refused(&|d| d.published_ns += 1), forged(2));
    assert!(matches!(answer(&|d| d.generation += 1), Err(AcquireError::Stale { seq: 2 })));
    assert!(matches!(answer(&|d| d.pool = PoolId([9; 16])), Err(AcquireError::Closed { .. })));
    assert_eq!(pool.stats().leased_slots, 0, "a refused handle leaves no lease");
    assert_eq!(answer(&|_| {}).unwrap(), 2);
}

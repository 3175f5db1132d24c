//! Decoding and checking a handle: noise, and edits of a handle that is in use, over a live pool. For the fuzz target and for the
//! replay of its seeds (tests/chaos/tests/seeds.rs); `crate::frames` is the crate under test.

use std::path::Path;
use std::time::Duration;

use crate::frames::*;

/// Bytes in each slot of the pool.
const SLOT_BYTES: u64 = 2048;

/// A pool with one published frame, and a client that knows it.
pub struct Target {
    client: Client,
    valid: Handle,
    _pool: Pool,
}

impl Target {
    /// A picture of 32 x 16 px in rows of 64 bytes as seq 0, its sockets in `dir`.
    pub fn new(dir: &Path) -> Self {
        let pool = Pool::create(PoolConfig {
            runtime_dir: dir.to_owned(),
            output: "fuzz".into(),
            mode: Mode::Live,
            slots: 8,
            slot_bytes: SLOT_BYTES,
            producer_max_held: 0,
            consumers: vec![ConsumerSpec { name: "a".into(), max_held: 2, queue_size: 2 }],
            grace: Duration::from_secs(1),
        })
        .expect("a pool");
        let loaned = pool.begin_write(&StopFlag::new()).expect("a slot");
        let layout = Layout::gray8(32, 16).expect("a layout");
        let valid = loaned.fill(layout).expect("room").publish(&FrameMeta::default()).handle;
        let client = Client::new(ClientConfig { runtime_dir: dir.to_owned(), name: "a".into(), max_held: 2 });
        Self { client, valid, _pool: pool }
    }

    /// Makes a handle of `data` and tries to take it; what came of it, in a word or two. Panics if the checker let through what it must not.
    ///
    /// A first byte 0 is followed by edits of the valid handle, place and value in turn; another first byte by bytes that replace
    /// those of the valid handle from its start.
    pub fn check(&self, data: &[u8]) -> String {
        let mut bytes = *self.valid.as_bytes();
        match data.split_first() {
            // The pool's id stays, so that the check against the pool is reached.
            Some((0, edits)) => {
                edits.chunks_exact(2).filter(|e| !(8..24).contains(&e[0])).for_each(|e| bytes[usize::from(e[0]) % HANDLE_BYTES] = e[1]);
            }
            Some((_, noise)) => bytes.iter_mut().zip(noise).for_each(|(byte, value)| *byte = *value),
            None => {}
        }
        let handle = Handle::from_bytes(bytes);
        assert!(!format!("{handle:?}").is_empty());
        let d = match handle.decode_checked() {
            Ok(d) => d,
            Err(error) => return refusal(&error),
        };
        assert!(d.layout.byte_len() <= d.len && d.offset.checked_add(d.len).is_some());
        if d.pool != self.valid.pool() {
            return "another pool".into();
        }
        match self.client.acquire(&handle) {
            Ok(frame) => {
                assert_eq!(handle, self.valid, "only what was published can be taken");
                assert!(frame.bytes().len() as u64 <= SLOT_BYTES);
                "taken".into()
            }
            Err(AcquireError::Stale { .. }) => "stale".into(),
            Err(AcquireError::Malformed(error)) => refusal(&error),
            Err(error) => panic!("{error}"),
        }
    }
}

fn refusal(error: &HandleError) -> String {
    match error {
        HandleError::Magic { .. } => "magic".into(),
        HandleError::Version { .. } => "version".into(),
        HandleError::Unknown { field, .. } => format!("unknown {field}"),
        HandleError::Reserved => "reserved".into(),
        HandleError::Layout(_) => "layout".into(),
        HandleError::Payload { .. } => "payload".into(),
        HandleError::Pool { field, .. } => format!("not the pool's {field}"),
        HandleError::Device { .. } => "device".into(),
        HandleError::Forged { .. } => "forged".into(),
        other => panic!("no handle of 192 bytes is refused for `{other}`"),
    }
}

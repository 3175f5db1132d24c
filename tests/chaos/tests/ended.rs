//! A producer that ends while a consumer joins is closed for the consumer, whatever the system's word for it.
//!
//! The first time this came up the consumer failed: its hello went into a socket whose listener had just gone, which is a broken pipe
//! and neither a refused connection nor an end of stream.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Mutex;

use gantry_frames_proofs::*;
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType};

/// What the producer does at which point of the join; done once.
static ENDS: Mutex<Option<(&'static str, OwnedFd, How)>> = Mutex::new(None);

#[derive(Clone, Copy)]
enum How {
    /// The listener goes with the connection in its backlog.
    Unaccepted,
    /// It lets the connection in, reads nothing and closes it.
    Unread,
    /// It reads the hello and says nothing.
    Unanswered,
}

fn at(point: &'static str) {
    let mut ends = ENDS.lock().unwrap();
    if ends.as_ref().is_none_or(|(wanted, ..)| *wanted != point) {
        return;
    }
    let (_, listener, how) = ends.take().unwrap();
    match how {
        How::Unaccepted => {}
        How::Unread => drop(rustix::net::accept(&listener).unwrap()),
        How::Unanswered => {
            let socket = rustix::net::accept(&listener).unwrap();
            assert!(rustix::net::recv(&socket, &mut [0; 256][..], RecvFlags::empty()).unwrap().0 > 0);
        }
    }
}

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_producer_that_ends_during_a_join_is_closed_and_no_error() {
    let dir = Dir(std::env::temp_dir().join(format!("gantry-ended-{}", std::process::id())));
    proofs::set_hook(at);
    let valid = {
        let pool = Pool::create(PoolConfig {
            runtime_dir: dir.0.clone(),
            output: "cam0.decode/frames".into(),
            mode: Mode::Live,
            slots: 8,
            slot_bytes: 1024,
            producer_max_held: 0,
            consumers: vec![ConsumerSpec { name: "a".into(), max_held: 1, queue_size: 1 }],
            grace: std::time::Duration::from_secs(5),
        })
        .unwrap();
        let loaned = pool.begin_write(&StopFlag::new()).unwrap();
        loaned.fill(Layout::gray8(32, 16).unwrap()).unwrap().publish(&FrameMeta::default()).handle
    };
    let ends = [
        ("join.before_hello", How::Unaccepted),
        ("join.before_hello", How::Unread),
        ("join.after_hello", How::Unaccepted),
        ("join.after_hello", How::Unread),
        ("join.after_hello", How::Unanswered),
    ];
    for (n, (point, how)) in ends.into_iter().enumerate() {
        let id = PoolId([n as u8 + 1; 16]);
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(dir.0.join(format!("{id}.sock"))).unwrap()).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        *ENDS.lock().unwrap() = Some((point, listener, how));
        let mut bytes = *valid.as_bytes();
        bytes[8..24].copy_from_slice(&id.0);
        let client = Client::new(ClientConfig { runtime_dir: dir.0.clone(), name: "a".into(), max_held: 1 });
        let refused = client.acquire(&Handle::from_bytes(bytes)).unwrap_err();
        assert!(matches!(refused, AcquireError::Closed { pool } if pool == id), "end {n} at `{point}`: {refused:?}");
        assert!(ENDS.lock().unwrap().is_none(), "end {n} at `{point}` happened");
    }
}

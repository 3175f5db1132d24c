//! Peers that lie: each gets a clear error or costs a slot, and nothing panics, hangs or reads out of bounds.
#![allow(clippy::disallowed_methods, reason = "a thread of a test ends with it")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gantry_frames_proofs::proofs::{Leases, descriptor_words, raw_join, send, welcome};
use gantry_frames_proofs::*;
use proptest::prelude::*;

const SLOTS: u32 = 8;

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self(std::env::temp_dir().join(format!("gantry-hostile-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn pool(dir: &Dir, mode: Mode) -> Pool {
    let consumer = |name: &str| ConsumerSpec { name: name.into(), max_held: 1, queue_size: 1 };
    Pool::create(PoolConfig {
        runtime_dir: dir.0.clone(),
        output: "cam0.decode/frames".into(),
        mode,
        slots: SLOTS,
        slot_bytes: 1024,
        producer_max_held: 0,
        consumers: vec![consumer("a"), consumer("evil")],
        grace: Duration::from_secs(5),
    })
    .unwrap()
}

fn publish(pool: &Pool) -> Handle {
    let mut loaned = pool.begin_write(&StopFlag::new()).unwrap();
    loaned.bytes_mut().fill(7);
    loaned.fill(Layout::gray8(32, 16).unwrap()).unwrap().publish(&FrameMeta::default()).handle
}

fn client(dir: &Dir) -> Client {
    Client::new(ClientConfig { runtime_dir: dir.0.clone(), name: "a".into(), max_held: 1 })
}

/// A handle with some bytes replaced.
fn edited(handle: &Handle, at: usize, bytes: &[u8]) -> Handle {
    let mut copy = *handle.as_bytes();
    copy[at..at + bytes.len()].copy_from_slice(bytes);
    Handle::from_bytes(copy)
}

#[test]
fn another_users_process_is_not_let_in() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can start a process of another user");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let dir = Dir::new();
    let pool = pool(&dir, Mode::Live);
    // The folder opened up by mistake: the check of the other end's user still holds.
    std::fs::set_permissions(&dir.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = dir.0.join(format!("{}.sock", pool.id()));
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    let script = "import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.settimeout(5); s.connect(sys.argv[1])
try:
    s.send(bytes([1,0,0,0,1,1,0,0,0,1])+b'a'); print('answer', len(s.recv(256)))
except OSError as e: print('answer 0')";
    let output = std::process::Command::new("python3").arg("-c").arg(script).arg(&socket).uid(65534).gid(65534).output();
    let Ok(output) = output else {
        println!("skipped: python3 plays the other user and is not there");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "answer 0", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(pool.stats().consumers[0].joins, 0);
}

#[test]
fn forged_and_replayed_handles_are_refused_with_their_reason() {
    let dir = Dir::new();
    let (pool, client) = (pool(&dir, Mode::Live), client(&dir));
    let first = publish(&pool);
    assert_eq!(client.acquire(&first).unwrap().bytes()[0], 7);
    let no_pool = client.acquire(&edited(&first, 8, &[9; 16]));
    assert!(matches!(no_pool, Err(AcquireError::Closed { .. })), "{no_pool:?}");
    for (at, bytes) in [(32, &99u32.to_le_bytes()[..]), (24, &1000u64.to_le_bytes()), (56, &1000u64.to_le_bytes())] {
        let refused = client.acquire(&edited(&first, at, bytes));
        assert!(matches!(refused, Err(AcquireError::Malformed(HandleError::Pool { .. }))), "{at}: {refused:?}");
    }
    let forged = client.acquire(&edited(&first, 88, &[1; 8]));
    assert!(matches!(forged, Err(AcquireError::Malformed(HandleError::Forged { seq: 0 }))), "{forged:?}");
    assert_eq!(pool.stats().leased_slots, 0, "a refused handle leaves no lease");
    for _ in 0..2 * SLOTS {
        publish(&pool);
    }
    assert!(matches!(client.acquire(&first), Err(AcquireError::Stale { seq: 0 })));
}

#[test]
fn a_producer_that_takes_no_connections_costs_seconds_and_no_hang() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
    let dir = Dir::new();
    let handle = {
        let pool = pool(&dir, Mode::Live);
        publish(&pool)
    };
    let address = SocketAddrUnix::new(dir.0.join(format!("{}.sock", handle.pool()))).unwrap();
    let socket = |flags| socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let listener = socket(SocketFlags::empty());
    bind(&listener, &address).unwrap();
    listen(&listener, 1).unwrap();
    let mut waiting = Vec::new();
    loop {
        let peer = socket(SocketFlags::NONBLOCK);
        match connect(&peer, &address) {
            Ok(()) => waiting.push(peer),
            Err(error) => break assert_eq!(error, rustix::io::Errno::AGAIN),
        }
    }
    let started = std::time::Instant::now();
    let error = client(&dir).acquire(&handle).unwrap_err();
    let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(why.contains("its producer takes no connections"), "{error}: {why}");
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn a_producer_that_lies_in_its_welcome_is_refused() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept, bind, listen, socket_with};
    let dir = Dir::new();
    std::fs::create_dir_all(&dir.0).unwrap();
    let plain = rustix::fs::memfd_create("plain", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let lies = [
        (PoolId([1; 16]), welcome(PoolId([2; 16]), Mode::Live, 4, 64, 0, "x"), 3),
        (PoolId([3; 16]), welcome(PoolId([3; 16]), Mode::Live, u32::MAX, u64::MAX, 0, "x"), 3),
        (PoolId([4; 16]), welcome(PoolId([4; 16]), Mode::Live, 4, 64, 99, "x"), 3),
        (PoolId([5; 16]), welcome(PoolId([5; 16]), Mode::Live, 4, 64, 0, "x"), 3),
        (PoolId([6; 16]), welcome(PoolId([6; 16]), Mode::Live, 4, 64, 0, "x"), 0),
        (PoolId([7; 16]), vec![255; 100], 0),
    ];
    for (id, answer, fds) in lies {
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(dir.0.join(format!("{id}.sock"))).unwrap()).unwrap();
        listen(&listener, 1).unwrap();
        let handle = {
            let other = Dir::new();
            edited(&publish(&pool(&other, Mode::Live)), 8, &id.0)
        };
        let client = client(&dir);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                use std::os::fd::AsFd;
                let socket = accept(&listener).unwrap();
                rustix::net::recv(&socket, &mut [0; 256][..], rustix::net::RecvFlags::empty()).unwrap();
                send(&socket, &answer, &vec![plain.as_fd(); fds]).unwrap();
            });
            let refused = client.acquire(&handle);
            assert!(matches!(refused, Err(AcquireError::Join(JoinError::Protocol { .. } | JoinError::System { .. }))), "{refused:?}");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_scribbled_lease_page_costs_slots_and_never_more(scribbles in prop::collection::vec((0u32..SLOTS, any::<u64>(), any::<bool>()), 1..24)) {
        let dir = Dir::new();
        let pool = pool(&dir, Mode::Live);
        let (_socket, _, fds) = raw_join(&dir.0, &pool.id(), "evil", 1).unwrap();
        let leases = Leases::map(&fds[2], SLOTS).unwrap();
        for (slot, value, cursor) in scribbles {
            let word = if cursor { leases.cursor_word(slot as usize % 2) } else { leases.slot(slot) };
            word.store(value, Ordering::Release);
            match pool.begin_write(&StopFlag::new()) {
                Ok(loaned) => drop(loaned),
                Err(error) => prop_assert!(matches!(error, BeginWriteError::Exhausted { .. }), "{error}"),
            }
        }
        let stats = pool.stats();
        prop_assert!(u64::from(stats.quarantined_slots) <= stats.scribbles);
    }

    #[test]
    fn a_lying_descriptor_page_gives_errors_and_no_frame_out_of_bounds(
        lossless in any::<bool>(), lies in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), any::<bool>()), 1..40),
    ) {
        let dir = Dir::new();
        let pool = pool(&dir, if lossless { Mode::Lossless } else { Mode::Live });
        let client = client(&dir);
        let mut handles: Vec<_> = (0..3).map(|_| publish(&pool)).collect();
        client.find("cam0.decode/frames").unwrap();
        let words = descriptor_words(&pool);
        for (at, value, small) in lies {
            words[at.index(words.len())].store(if small { value % 16 } else { value }, Ordering::Release);
            client.recover_all(&mut handles);
            for handle in handles.drain(..).take(3).collect::<Vec<_>>() {
                if let Ok(frame) = client.acquire(&handle) {
                    prop_assert!(frame.bytes().len() <= 1024);
                }
                let _ = (client.frame_meta(&handle), client.ack(&handle), client.observe(&handle, &mut handles));
                handles.truncate(64);
            }
        }
    }
}

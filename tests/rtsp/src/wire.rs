//! A network between camera and client that gets into trouble on demand: a relay of TCP on loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for bytes before trouble is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What happens to bytes of the camera. Those of the client always get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// No more than so many bytes a second get through.
    Slow(u32),
    /// Others come in their place; at the end of it those connections are closed, as by a camera that starts anew.
    Garbage,
    /// Some bytes of each packet of pictures are others. The packets themselves are whole (`$` of RTSP over TCP).
    Damaged,
    /// Connections are reset (RST), also new ones.
    Reset,
}

/// A relay to one port; ends with its value.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    trouble: Mutex<Trouble>,
    stop: AtomicBool,
}

impl Shared {
    fn trouble(&self) -> Trouble {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Wire {
    /// A relay to `port` of this machine.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let own = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared { trouble: Mutex::new(Trouble::None), stop: AtomicBool::new(false) });
        let thread = spawn("wire", {
            let shared = shared.clone();
            move || accept(&listener, port, &shared)
        });
        Self { port: own, shared, thread: Some(thread) }
    }

    /// The port of this end.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Address of the stream of a [`crate::Server`] behind it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stream", self.port)
    }

    /// From now on.
    pub fn set(&self, trouble: Trouble) {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // It waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::Builder::new().name(name.into()).spawn(work).expect("a thread")
}

fn accept(listener: &TcpListener, port: u16, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for client in listener.incoming().flatten() {
        if shared.stopped() {
            break;
        }
        let Ok(camera) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
        let (Ok(client_too), Ok(camera_too)) = (client.try_clone(), camera.try_clone()) else { continue };
        for stream in [&client, &camera] {
            let _ = stream.set_nodelay(true);
            let _ = stream.set_read_timeout(Some(LOOK));
        }
        let (one, other) = (shared.clone(), shared.clone());
        threads.push(spawn("wire-up", move || carry(&client_too, &camera_too, &one, false)));
        threads.push(spawn("wire-down", move || carry(&camera, &client, &other, true)));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Carries bytes one way until an end closes.
fn carry(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared, is_down: bool) {
    let mut buffer = vec![0; 1 << 14];
    let mut packets = Packets::default();
    let mut garbled = false;
    while !shared.stopped() {
        let trouble = if is_down { shared.trouble() } else { Trouble::None };
        if shared.trouble() == Trouble::Reset {
            for stream in [from, to] {
                let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
            }
            return;
        }
        if garbled && trouble != Trouble::Garbage {
            break;
        }
        let bytes = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => continue,
            Err(_) => break,
        };
        let bytes = &mut buffer[..bytes];
        if is_down {
            packets.take(bytes, trouble == Trouble::Damaged);
        }
        if trouble == Trouble::Garbage {
            garbled = true;
            bytes.iter_mut().for_each(|byte| *byte = packets.noise());
        }
        if to.write_all(bytes).is_err() {
            break;
        }
        if let Trouble::Slow(bytes_per_s) = trouble {
            let until = Instant::now() + Duration::from_secs(1) * u32::try_from(bytes.len()).unwrap_or(u32::MAX) / bytes_per_s.max(1);
            while Instant::now() < until && shared.trouble() == trouble && !shared.stopped() {
                std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
            }
        }
    }
    // The other thread holds these sockets too.
    for stream in [from, to] {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

/// Finds the packets of RTSP over TCP: `$`, channel, length (2 bytes), RTP. Between them are answers, text.
#[derive(Debug, Default)]
struct Packets {
    head: Vec<u8>,
    /// Bytes of the packet that are still to come.
    left: usize,
    /// Bytes of it that came.
    came: usize,
    seed: u32,
}

impl Packets {
    /// Looks at `bytes`; damages packets of pictures behind their headers.
    fn take(&mut self, bytes: &mut [u8], damage: bool) {
        for byte in bytes {
            if self.left > 0 {
                // 12 bytes of RTP and some of H.264 stay, so that it is a packet that is damaged and not one that is none.
                if damage && self.head[1] == 0 && self.came > 40 && self.came.is_multiple_of(97) {
                    *byte = self.noise();
                }
                self.left -= 1;
                self.came += 1;
                continue;
            }
            if self.head.len() == 4 {
                self.head.clear();
            }
            if !self.head.is_empty() || *byte == b'$' {
                self.head.push(*byte);
            }
            if self.head.len() == 4 {
                self.left = usize::from(self.head[2]) << 8 | usize::from(self.head[3]);
                self.came = 0;
            }
        }
    }

    fn noise(&mut self) -> u8 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.seed >> 24) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_behind_answers_and_damaged_behind_their_headers() {
        let mut bytes = b"RTSP/1.0 200 OK\r\n\r\n".to_vec();
        for channel in [0, 1, 0] {
            bytes.extend([b'$', channel, 1, 44]);
            bytes.extend([7; 300]);
        }
        let whole = bytes.clone();
        let mut packets = Packets::default();
        // In pieces, as they come from a socket.
        bytes.chunks_mut(50).for_each(|part| packets.take(part, true));
        let changed: Vec<usize> = (0..whole.len()).filter(|i| bytes[*i] != whole[*i]).collect();
        let first = 19 + 4;
        assert_eq!(
            changed,
            [97, 194, 291].map(|at| first + at).into_iter().chain([97, 194, 291].map(|at| first + 2 * 304 + at)).collect::<Vec<_>>()
        );
        assert_eq!((packets.left, packets.head.as_slice()), (0, &[b'$', 0, 1, 44][..]));
    }
}

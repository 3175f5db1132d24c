//! RTSP over TLS to a camera whose certificate is checked.
//!
//! FFmpeg 5.1 gives its RTSP client no way to have a certificate checked: `tls_verify` and `ca_file` do not reach the connection. So the TLS is
//! ours: FFmpeg speaks plain RTSP to a port of this machine that takes one connection, and what it says goes on over the checked one.
//!
//! ```text
//! FFmpeg ── rtsp://127.0.0.1:PORT ──► thread of the tunnel ── TLS ──► camera
//! ```

use crate::patience::Patience;
use crate::{MediaError, trust};
use gantry_credentials::redact;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Error as TlsError};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Port of `rtsps` where the address has none.
const PORT: u16 = 322;
/// How often a wait looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for the handshake where the caller has none.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Bytes that wait for FFmpeg at most; beyond that the camera has to wait.
const WAITING: usize = 1 << 18;

/// One connection. It ends with its value.
#[derive(Debug)]
pub(crate) struct Tunnel {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Parts of an address.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    /// `user:password@` or nothing.
    login: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

/// Why there is no connection.
enum Failure {
    Network(String),
    Certificate(String),
}

impl Tunnel {
    /// Connects to the camera at `source` (`rtsps://`) and checks its certificate; gives the address of this end for FFmpeg, with the login of `source`.
    ///
    /// # Errors
    /// [`MediaError::CaFile`], [`MediaError::Certificate`], [`MediaError::Open`] where nobody is there, [`MediaError::Silent`] when `patience` ends.
    pub(crate) fn open(source: &str, ca_file: &Path, patience: &Patience, limit: Option<Duration>) -> Result<(Self, String), MediaError> {
        let source_name = redact(source);
        let open_error = |why: String| MediaError::Open {
            source_name: redact(source),
            why,
            hint: "check address, port and network: `openssl s_client -connect HOST:PORT` should show the camera's certificate".to_owned(),
        };
        let place = place(source).ok_or_else(|| open_error("the address has no host, or a port that is none".to_owned()))?;
        let config = trust::config(ca_file)?;
        let name = ServerName::try_from(place.host.to_owned()).map_err(|e| open_error(format!("`{}`: {e}", place.host)))?;
        let connection = ClientConnection::new(config, name).map_err(|e| open_error(e.to_string()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| open_error(e.to_string()))?;
        let port = listener.local_addr().map_err(|e| open_error(e.to_string()))?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let (told, tell) = sync_channel(1);
        let call =
            Call { host: place.host.to_owned(), port: place.port, until: Instant::now() + limit.unwrap_or(HANDSHAKE), stop: stop.clone() };
        let thread = std::thread::Builder::new().name("camera-tls".into());
        let thread = thread.spawn(move || call.carry(connection, &listener, &told)).map_err(|e| open_error(e.to_string()))?;
        let mut tunnel = Self { stop, thread: Some(thread) };
        match wait(&tell, patience) {
            Some(Ok(())) => Ok((tunnel, format!("rtsp://{}127.0.0.1:{port}{}", place.login, place.path))),
            Some(Err(Failure::Certificate(why))) => Err(MediaError::Certificate { source_name, why }),
            Some(Err(Failure::Network(why))) => Err(open_error(why)),
            None => {
                // It is in a call of the system that ends by itself; nobody waits for it.
                tunnel.stop.store(true, Ordering::Relaxed);
                drop(tunnel.thread.take());
                Err(MediaError::Silent { source_name, limit_ms: limit.unwrap_or(HANDSHAKE).as_millis() as u64 })
            }
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within one look; if it panicked, the message of that is in the log.
            let _ = thread.join();
        }
    }
}

/// What the thread says; `None` when there is no more patience.
fn wait(tell: &Receiver<Result<(), Failure>>, patience: &Patience) -> Option<Result<(), Failure>> {
    loop {
        match tell.recv_timeout(LOOK) {
            Ok(told) => return Some(told),
            Err(RecvTimeoutError::Disconnected) => return Some(Err(Failure::Network("the connection ended".to_owned()))),
            Err(RecvTimeoutError::Timeout) if patience.ends() => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn place(source: &str) -> Option<Place<'_>> {
    let (_, rest) = source.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (login, place) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let (host, port) = match place.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = if port.is_empty() { PORT } else { port.strip_prefix(':')?.parse().ok()? };
    (!host.is_empty()).then_some(Place { login, host, port, path })
}

/// The thread's side.
struct Call {
    host: String,
    port: u16,
    until: Instant,
    stop: Arc<AtomicBool>,
}

impl Call {
    fn carry(self, mut tls: ClientConnection, listener: &TcpListener, told: &SyncSender<Result<(), Failure>>) {
        let connected = self.connect().and_then(|camera| self.shake_hands(&mut tls, &camera).map(|()| camera));
        let camera = match connected {
            Ok(camera) => camera,
            Err(failure) => {
                // Where nobody listens any more the caller has given up.
                let _ = told.send(Err(failure));
                return;
            }
        };
        if told.send(Ok(())).is_err() {
            return;
        }
        let Some(player) = self.accept(listener) else { return };
        // Its end, whatever the cause, is the end of the stream for FFmpeg.
        let _ = pump(&mut tls, &camera, &player, &self.stop);
        let _ = player.shutdown(Shutdown::Both);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn connect(&self) -> Result<TcpStream, Failure> {
        let network = |e: std::io::Error| Failure::Network(e.to_string().to_lowercase());
        let mut last = Failure::Network("the name has no address".to_owned());
        for address in (self.host.as_str(), self.port).to_socket_addrs().map_err(network)? {
            let left = self.until.saturating_duration_since(Instant::now()).max(LOOK);
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok(stream),
                Err(e) => last = network(e),
            }
            if self.stopped() {
                break;
            }
        }
        Err(last)
    }

    fn shake_hands(&self, tls: &mut ClientConnection, mut camera: &TcpStream) -> Result<(), Failure> {
        let network = |e: std::io::Error| Failure::Network(format!("tls: {e}").to_lowercase());
        camera.set_nodelay(true).map_err(network)?;
        camera.set_read_timeout(Some(LOOK)).map_err(network)?;
        while tls.is_handshaking() {
            match tls.complete_io(&mut camera) {
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.stopped() || Instant::now() >= self.until {
                        return Err(Failure::Network("tls: no answer".to_owned()));
                    }
                }
                Err(e) => {
                    let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
                    return Err(match inner.map(|inner| trust::reason(inner, &self.host)) {
                        Some(Some(why)) => Failure::Certificate(why),
                        Some(None) => Failure::Network(format!("it does not speak tls, or another one ({e})")),
                        None => network(e),
                    });
                }
            }
        }
        Ok(())
    }

    /// FFmpeg's connection.
    fn accept(&self, listener: &TcpListener) -> Option<TcpStream> {
        while !self.stopped() {
            if readable(listener).ok()? {
                return listener.accept().ok().map(|(stream, _)| stream);
            }
        }
        None
    }
}

fn timeout() -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() }
}

fn readable(listener: &TcpListener) -> std::io::Result<bool> {
    Ok(poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout()))? > 0)
}

/// `None`: not now.
fn now<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Carries bytes both ways until one side ends or `stop` is set.
fn pump(tls: &mut ClientConnection, mut camera: &TcpStream, mut player: &TcpStream, stop: &AtomicBool) -> std::io::Result<()> {
    camera.set_nonblocking(true)?;
    player.set_nonblocking(true)?;
    let mut buffer = vec![0; 1 << 16];
    let mut waiting: Vec<u8> = Vec::new();
    let mut camera_ended = false;
    while !stop.load(Ordering::Relaxed) {
        let flag = |wanted: bool, flag: PollFlags| if wanted { flag } else { PollFlags::empty() };
        let more = !camera_ended && waiting.len() < WAITING;
        let of_camera = flag(more, PollFlags::IN) | flag(tls.wants_write(), PollFlags::OUT);
        let of_player = flag(!tls.wants_write(), PollFlags::IN) | flag(!waiting.is_empty(), PollFlags::OUT);
        poll(&mut [PollFd::new(camera, of_camera), PollFd::new(player, of_player)], Some(&timeout()))?;
        if more && let Some(bytes) = now(tls.read_tls(&mut camera))? {
            camera_ended = bytes == 0;
            let state = tls.process_new_packets().map_err(std::io::Error::other)?;
            let from = waiting.len();
            waiting.resize(from + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut waiting[from..])?;
            camera_ended |= state.peer_has_closed();
        }
        if !waiting.is_empty()
            && let Some(bytes) = now(player.write(&waiting))?
        {
            waiting.drain(..bytes);
        }
        if camera_ended && waiting.is_empty() {
            return Ok(());
        }
        if !tls.wants_write()
            && let Some(bytes) = now(player.read(&mut buffer))?
        {
            if bytes == 0 {
                return Ok(());
            }
            tls.writer().write_all(&buffer[..bytes])?;
        }
        while tls.wants_write() && now(tls.write_tls(&mut camera))?.is_some() {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_apart() {
        let parts = |source| place(source).map(|p| (p.login, p.host, p.port, p.path));
        assert_eq!(parts("rtsps://u:p%40@cam.example:8322/a?b=1"), Some(("u:p%40@", "cam.example", 8322, "/a?b=1")));
        assert_eq!(parts("rtsps://10.0.0.7"), Some(("", "10.0.0.7", PORT, "")));
        assert_eq!(parts("rtsps://[fe80::1]:322/a"), Some(("", "fe80::1", 322, "/a")));
        assert_eq!(parts("rtsps://[::1]/a"), Some(("", "::1", PORT, "/a")));
        for source in ["rtsps://", "rtsps:///a", "rtsps://h:x/a", "rtsps://[::1"] {
            assert_eq!(parts(source), None, "{source}");
        }
    }
}

//! A camera that sends MPEG-TS over HTTP: `/stream` for who has the password, as fast as it is played.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A server on loopback. It ends, with its connections, with its value.
pub struct HttpCamera {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    file: PathBuf,
    /// `Authorization` that is wanted.
    wanted: Option<String>,
    stop: AtomicBool,
    refused: AtomicU64,
    connections: Mutex<Vec<TcpStream>>,
}

impl HttpCamera {
    /// Sends `file`, an mp4, again and again on `port` (0: any); `login` as in a header of HTTP's basic authentication, base64.
    ///
    /// # Panics
    /// If the port cannot be had.
    #[must_use]
    pub fn start(file: &Path, login: Option<&str>, port: u16) -> Self {
        let listener = bind(port);
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared {
            file: file.to_owned(),
            wanted: login.map(|login| format!("Basic {login}")),
            stop: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        let thread = std::thread::Builder::new().name("http-camera".into()).spawn({
            let shared = shared.clone();
            move || accept(&listener, &shared)
        });
        Self { port, shared, thread: Some(thread.expect("a thread")) }
    }

    /// Where it listens, to come back there.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Address of `path`.
    #[must_use]
    pub fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Requests whose password was a wrong one.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

impl Drop for HttpCamera {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for connection in self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        // It waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// std's listener may take a port again whose last connections are still being forgotten.
fn bind(port: u16) -> TcpListener {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap_or_else(|e| panic!("port {port}: {e}"))
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for stream in listener.incoming().flatten() {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        if let Ok(stream) = stream.try_clone() {
            shared.connections.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
        }
        let shared = shared.clone();
        let thread = std::thread::Builder::new().name("http-client".into());
        // A client that goes away is none of this server's business.
        threads.push(thread.spawn(move || answer(&stream, &shared).unwrap_or_default()).expect("a thread"));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

fn answer(mut stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut given = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            given = Some(value.trim().to_owned());
        }
    }
    if shared.wanted.is_some() && given != shared.wanted {
        shared.refused.fetch_add(u64::from(given.is_some()), Ordering::Relaxed);
        return stream.write_all(
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"camera\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    }
    if request.split(' ').nth(1) != Some("/stream") {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")?;
    let mut player = Player::start(&shared.file)?;
    let mut buffer = [0; 188 * 64];
    loop {
        let bytes = player.read(&mut buffer)?;
        if bytes == 0 || shared.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        stream.write_all(&buffer[..bytes])?;
    }
}

/// FFmpeg, which plays a file at its own pace.
struct Player(Child);

impl Player {
    fn start(file: &Path) -> std::io::Result<Self> {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i"]).arg(file);
        command.args("-c copy -f mpegts -flush_packets 1 -".split(' ')).stdout(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.stdout.as_mut().map_or(Ok(0), |stdout| stdout.read(buffer))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

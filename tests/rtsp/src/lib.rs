//! A real RTSP server for tests: GStreamer's (`server.py`), on loopback. It can be killed and come back on its port, be paused, want
//! a password and speak TLS. `cargo xtask setup` installs what it needs. [`Wire`] is a bad network in front of it.

mod wire;

pub use wire::{Trouble, Wire};

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Debian's Python: its GStreamer bindings are not in any other.
const PYTHON: &str = "/usr/bin/python3";

/// What is sent and who may see it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// An mp4 with H.264 or H.265.
    pub file: PathBuf,
    /// `h264` or `h265`.
    pub codec: &'static str,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// Certificate and key (PEM): speaks TLS. It needs `login` then.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Stream {
    /// H.264 that anybody may see.
    #[must_use]
    pub fn h264(file: &Path) -> Self {
        Self { file: file.to_owned(), codec: "h264", login: None, tls: None }
    }
}

/// A server that sends; ends with its value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    scheme: &'static str,
}

impl Server {
    /// Starts it on `port` (0: any) and waits until it listens.
    ///
    /// # Panics
    /// If it does not come up; its own words are on stderr.
    #[must_use]
    pub fn start(stream: &Stream, port: u16) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("server.py");
        let mut command = Command::new(PYTHON);
        command.arg(script).arg(&stream.file).args([stream.codec, &port.to_string()]);
        if let Some((user, password)) = &stream.login {
            command.env("RTSP_USER", user).env("RTSP_PASSWORD", password);
        }
        if let Some((certificate, key)) = &stream.tls {
            command.env("RTSP_CERTIFICATE", certificate).env("RTSP_KEY", key);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("{PYTHON}: {e}; `cargo xtask setup` installs it"));
        let mut line = String::new();
        let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        let port = line.trim().parse();
        let port = port.unwrap_or_else(|e| panic!("the RTSP server gives no port ({read:?}, `{line}`: {e}); run `cargo xtask setup`"));
        Self { child, port, scheme: if stream.tls.is_some() { "rtsps" } else { "rtsp" } }
    }

    /// Where it listens, to come back there.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Without user and password.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}://127.0.0.1:{}/stream", self.scheme, self.port)
    }

    /// Sends a signal: `STOP` makes it silent with its connections open, `CONT` lets it go on.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(done.is_ok_and(|s| s.success()), "signal {name}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL: a camera that loses its power says no goodbye.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

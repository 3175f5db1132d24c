//! The supervisor's end of one process under test.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::peer;

/// A running producer or consumer, and what it has said.
pub struct Peer {
    pub child: Child,
    pub socket: OwnedFd,
    pub fired: Option<String>,
    pub ended: Option<Vec<u64>>,
    pub ready: Option<[u8; 16]>,
    pub published: Option<u64>,
    pub armed: bool,
}

impl Peer {
    /// Starts this program once more.
    pub fn spawn(arguments: &[&str]) -> Result<Self, String> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(say("socketpair"))?;
        let mut command = Command::new("/proc/self/exe");
        let child = command.args(arguments).stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn().map_err(say("spawn"))?;
        Ok(Self { child, socket: ours, fired: None, ended: None, ready: None, published: None, armed: false })
    }

    /// Takes in what it said.
    pub fn note(&mut self, kind: u8, content: &[u8], who: &str) -> Result<(), String> {
        let text = || String::from_utf8_lossy(content).into_owned();
        match kind {
            b'A' => self.armed = true,
            b'F' => self.fired = Some(text()),
            b'E' => self.ended = Some(peer::numbers(content)),
            b'R' => self.ready = content.try_into().ok(),
            b'N' => self.published = peer::numbers(content).first().copied(),
            b'V' => return Err(format!("{who}: {}", text())),
            other => return Err(format!("{who} said {other}")),
        }
        Ok(())
    }

    /// The process was killed, and did not end in another way.
    pub fn died(&mut self) -> Result<(), String> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait().map_err(say("wait"))?;
        if status.signal() == Some(9) { Ok(()) } else { Err(format!("a process that was to be killed ended with {status}")) }
    }

    /// It ended by itself, as it should.
    pub fn clean(&mut self) -> Result<(), String> {
        let status = self.child.wait().map_err(say("wait"))?;
        if status.success() { Ok(()) } else { Err(format!("a process that was to end cleanly ended with {status}")) }
    }
}

/// Puts what was tried before an error.
pub fn say<T>(why: &str) -> impl FnOnce(T) -> String + '_
where
    T: std::fmt::Display,
{
    move |error| format!("{why}: {error}")
}

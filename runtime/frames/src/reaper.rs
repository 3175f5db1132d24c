//! The producer's thread: lets consumers in, notices their end, takes their leases back.
//!
//! A hang-up alone is no death: leases are taken back when the consumer said goodbye (it has none left then) or when its pidfd
//! says that it exited. A process that is stopped or slow keeps its leases for as long as it lives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{Shutdown, SocketFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::Timespec;

use crate::Backend;
use crate::pool::Inner;
use crate::runtime_dir::{Listener, peer};
use crate::wire::{self, Refusal, Reply, Request};

/// Connections beyond this are closed at once: 28 consumers, some of them coming back while their old selves exit.
const MAX_CONNECTIONS: usize = 128;
/// How long the end of a pool waits for consumers to unmap memory that must not vanish under them.
const UNMAP_PATIENCE: Duration = Duration::from_secs(2);

/// One connected process.
struct Connection {
    socket: OwnedFd,
    pidfd: OwnedFd,
    pid: Pid,
    consumer: Option<usize>,
    hung_up: bool,
    over: bool,
}

/// Serves until `stop` becomes readable.
pub(crate) fn serve(inner: &Arc<Inner>, listener: &Listener, stop: &OwnedFd) {
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let events = match wait(&connections, [stop.as_fd(), listener.socket.as_fd()], None) {
            Ok(events) => events,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::error!(pool = %inner.geometry.id, output = inner.output(), %error, "no consumer can join any more");
                return;
            }
        };
        let [stopped, knocked] = events.others;
        if stopped {
            if inner.geometry.backend == Backend::CudaIpcLegacy {
                wait_until_unmapped(inner, connections);
            }
            return;
        }
        attend(inner, &mut connections, events.connections);
        if knocked {
            match accept(listener.socket.as_fd()) {
                Ok(Some(connection)) if connections.len() < MAX_CONNECTIONS => connections.push(connection),
                Ok(_) => {}
                Err(error) => tracing::warn!(output = inner.output(), %error, "a consumer was not let in"),
            }
        }
    }
}

/// Takes in what the connected processes said, and their ends.
fn attend(inner: &Inner, connections: &mut Vec<Connection>, events: Vec<(bool, bool)>) {
    for (connection, (socket, exited)) in connections.iter_mut().zip(events) {
        if socket {
            connection.read(inner);
        }
        if exited && !connection.over {
            if let Some(index) = connection.consumer.take() {
                inner.reap(index);
            }
            connection.over = true;
        }
    }
    connections.retain(|connection| !connection.over);
}

/// Memory of the legacy IPC must not be freed while another process has it mapped (`cuIpcGetMemHandle`: undefined behaviour). Tells the
/// consumers of the end, awaits their goodbyes, and keeps the memory if one stays away.
fn wait_until_unmapped(inner: &Inner, mut connections: Vec<Connection>) {
    let own = rustix::process::getpid();
    connections.retain(|connection| connection.consumer.is_some() && connection.pid != own);
    for connection in &connections {
        // They read the end of the stream and can still answer. A socket that fails here belongs to a process that has exited.
        let _ = rustix::net::shutdown(&connection.socket, Shutdown::Write);
    }
    let started = Instant::now();
    while !connections.is_empty() {
        match wait(&connections, [], Some(UNMAP_PATIENCE.saturating_sub(started.elapsed()))) {
            Ok(events) if started.elapsed() < UNMAP_PATIENCE => attend(inner, &mut connections, events.connections),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => {
                let pids: Vec<_> = connections.iter().map(|connection| connection.pid.as_raw_nonzero()).collect();
                let error = ended.err().map(tracing::field::display);
                tracing::warn!(
                    output = inner.output(),
                    ?pids,
                    error,
                    "device memory is kept until this process ends: consumers still map it"
                );
                inner.data.keep_for_ever();
                return;
            }
        }
    }
}

struct Events<const N: usize> {
    others: [bool; N],
    /// Socket has something to say, process has exited.
    connections: Vec<(bool, bool)>,
}

/// Sleeps until something can be read, or for `timeout`.
fn wait<const N: usize>(connections: &[Connection], others: [BorrowedFd<'_>; N], timeout: Option<Duration>) -> io::Result<Events<N>> {
    let mut fds: Vec<_> = others.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).into();
    for connection in connections {
        // After its hang-up a socket is readable for ever; only the exit is awaited then.
        let flags = if connection.hung_up { PollFlags::empty() } else { PollFlags::IN };
        let socket = if connection.hung_up { connection.pidfd.as_fd() } else { connection.socket.as_fd() };
        fds.push(PollFd::from_borrowed_fd(socket, flags));
        fds.push(PollFd::from_borrowed_fd(connection.pidfd.as_fd(), PollFlags::IN));
    }
    let timeout = timeout.map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
    poll(&mut fds, timeout.as_ref())?;
    let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    let pairs = fds[N..].chunks_exact(2).zip(connections);
    Ok(Events {
        others: std::array::from_fn(|i| ready(&fds[i])),
        connections: pairs.map(|(pair, c)| (!c.hung_up && ready(&pair[0]), ready(&pair[1]))).collect(),
    })
}

fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<Connection>> {
    let socket = rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let Some(pid) = peer(&socket)? else {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it runs as another user"));
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // The peer still holds its end, so the number was still its own when the pidfd was opened.
    let mut alive = [PollFd::new(&socket, PollFlags::empty())];
    poll(&mut alive, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if alive[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
        return Ok(None);
    }
    Ok(Some(Connection { socket, pidfd, pid, consumer: None, hung_up: false, over: false }))
}

impl Connection {
    fn read(&mut self, inner: &Inner) {
        let bytes = match wire::receive(&self.socket) {
            Ok((bytes, _)) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => Vec::new(),
        };
        match Request::decode(&bytes) {
            Some(Request::Hello { name, max_held }) if self.consumer.is_none() => self.join(inner, &name, max_held),
            Some(Request::Goodbye) => {
                if let Some(index) = self.consumer.take() {
                    inner.leave(index);
                }
                self.over = true;
            }
            // The end of the stream, or something that no client of ours sends.
            _ if self.consumer.is_none() => self.over = true,
            _ => self.hung_up = true,
        }
    }

    fn join(&mut self, inner: &Inner, name: &str, max_held: u32) {
        let output = inner.output().to_owned();
        let pid = self.pid.as_raw_nonzero().get() as u32;
        let sent = match inner.join(name, max_held, pid) {
            Ok(index) => {
                self.consumer = Some(index);
                let welcome = Reply::Welcome { geometry: inner.geometry, index: index as u32, output };
                wire::send(&self.socket, &welcome.encode(), &inner.fds.each_ref().map(OwnedFd::as_fd))
            }
            Err(refusal) => {
                if !matches!(refusal, Refusal::InUse { .. } | Refusal::Closing) {
                    tracing::warn!(output, consumer = name, pid, ?refusal, "a consumer was refused");
                }
                wire::send(&self.socket, &Reply::Refused { refusal, output }.encode(), &[])
            }
        };
        if let Err(error) = sent {
            tracing::warn!(output = inner.output(), consumer = name, %error, "the answer did not reach the consumer");
        }
    }
}

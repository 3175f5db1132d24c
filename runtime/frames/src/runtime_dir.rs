//! The directory of the sockets: made safe, swept of what dead producers left, and looked up by output name.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, DirEntry};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::PoolId;

/// Environment variable that names the folder of the pool sockets.
const BASE_ENV: &str = "GANTRY_RUNTIME_DIR";

/// The folder under which each run has one for its sockets: what `GANTRY_RUNTIME_DIR` names, else `$XDG_RUNTIME_DIR/gantry`, else
/// `gantry-<uid>` in the temporary folder, both on this machine and private to the user.
#[must_use]
pub fn runtime_base() -> PathBuf {
    if let Some(named) = std::env::var_os(BASE_ENV) {
        return PathBuf::from(named);
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_dir()) {
        Some(dir) => dir.join("gantry"),
        None => std::env::temp_dir().join(format!("gantry-{}", rustix::process::geteuid().as_raw())),
    }
}

/// Creates `path` with mode 0700 or checks that it is a directory of this user that nobody else can enter.
pub(crate) fn ensure(path: &Path) -> Result<(), String> {
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(path) {
        return Err(format!("cannot be made: {error}"));
    }
    let found = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !found.is_dir() {
        return Err("is no directory".to_owned());
    }
    let uid = rustix::process::geteuid().as_raw();
    if found.uid() != uid {
        return Err(format!("belongs to user {}, this is user {uid}", found.uid()));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| format!("has mode {:o}, 0700 is needed: {error}", found.mode() & 0o777))?;
    }
    Ok(())
}

fn socket_name(id: &PoolId) -> String {
    format!("{id}.sock")
}

/// File name of the link from an output's name to its socket.
fn link_name(output: &str) -> String {
    output.replace('%', "%25").replace('/', "%2F") + ".pool"
}

fn new_socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | flags, None)?)
}

/// Address of `dir/name`. A path beyond the 107 bytes of a socket address goes over the directory's descriptor, which must stay
/// open until the address was used.
fn address(dir: &Path, name: &str) -> io::Result<(SocketAddrUnix, Option<OwnedFd>)> {
    if let Ok(address) = SocketAddrUnix::new(dir.join(name)) {
        return Ok((address, None));
    }
    let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, FileMode::empty())?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&dir);
    Ok((SocketAddrUnix::new(format!("/proc/self/fd/{fd}/{name}"))?, Some(dir)))
}

/// A listening socket with its file and its output's link; both are removed on drop.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: OwnedFd,
    dir: PathBuf,
    name: String,
    link: String,
}

impl Listener {
    /// Listens at `dir/<id>.sock` and points `dir/<output>.pool` there.
    pub(crate) fn bind(dir: &Path, id: &PoolId, output: &str) -> io::Result<Self> {
        let name = socket_name(id);
        // Under a name of its own until it listens: a sweeper takes a socket that refuses connections for dead.
        let pending = format!("{id}.new");
        let socket = new_socket(SocketFlags::empty())?;
        {
            let (address, _dir) = address(dir, &pending)?;
            rustix::net::bind(&socket, &address)?;
        }
        let listener = Self { socket, dir: dir.to_owned(), name: name.clone(), link: link_name(output) };
        fs::set_permissions(dir.join(&pending), fs::Permissions::from_mode(0o600))?;
        rustix::net::listen(&listener.socket, 64)?;
        fault_point!("producer.before_socket");
        fs::rename(dir.join(&pending), dir.join(&name))?;
        fault_point!("producer.before_link");
        let link = dir.join(format!("{id}.link"));
        std::os::unix::fs::symlink(&name, &link)?;
        fs::rename(&link, dir.join(&listener.link))?;
        Ok(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        fault_point!("producer.before_unlink");
        let link = self.dir.join(&self.link);
        // A restarted producer of this output may have put its own link there.
        if fs::read_link(&link).is_ok_and(|target| target.as_os_str() == OsString::from(&self.name)) {
            let _ = fs::remove_file(link);
        }
        fault_point!("producer.in_unlink");
        if let Err(error) = fs::remove_file(self.dir.join(&self.name)) {
            tracing::warn!(%error, socket = self.name, "the pool's socket could not be removed");
        }
    }
}

/// Connects to the producer of pool `id`.
pub(crate) fn connect(dir: &Path, id: &PoolId) -> io::Result<OwnedFd> {
    connect_to(dir, &socket_name(id), SocketFlags::empty())
}

/// How long connecting may take: a producer that is stopped, or means no good, may have a full backlog.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

fn connect_to(dir: &Path, name: &str, flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = new_socket(flags)?;
    let (address, _dir) = address(dir, name)?;
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Send, Some(CONNECT_PATIENCE))?;
    rustix::net::connect(&socket, &address)?;
    Ok(socket)
}

/// The pool that `output` names now.
pub(crate) fn find(dir: &Path, output: &str) -> io::Result<Option<PoolId>> {
    let target = match fs::read_link(dir.join(link_name(output))) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(target.to_str().and_then(|name| name.strip_suffix(".sock")).and_then(parse_id))
}

fn parse_id(hex: &str) -> Option<PoolId> {
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    let mut id = [0; 16];
    for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(PoolId(id))
}

/// Removes sockets that nobody listens at, then links to sockets that are gone. Other files stay.
pub(crate) fn sweep(dir: &Path) -> io::Result<()> {
    for dead in [is_dead_socket, is_dead_link] {
        for entry in fs::read_dir(dir)?.flatten() {
            if dead(dir, &entry) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    Ok(())
}

fn is_dead_socket(dir: &Path, entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let (Some(name), true) = (name.to_str(), entry.file_type().is_ok_and(|kind| kind.is_socket())) else { return false };
    let is_pool = |suffix| name.strip_suffix(suffix).and_then(parse_id).is_some();
    if is_pool(".sock") {
        // Without waiting: a living producer that is stopped may have a full backlog.
        let refused = |error: io::Error| error.raw_os_error() == Some(Errno::CONNREFUSED.raw_os_error());
        return connect_to(dir, name, SocketFlags::NONBLOCK).is_err_and(refused);
    }
    // Its producer died between bind and rename; a living one is there for microseconds.
    let is_old = || entry.metadata().and_then(|m| m.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age.as_secs() > 60));
    is_pool(".new") && is_old()
}

fn is_dead_link(_: &Path, entry: &DirEntry) -> bool {
    let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
    is_link && entry.file_name().to_string_lossy().ends_with(".pool") && !entry.path().exists()
}

/// Whether the process at the other end runs as this user, and which one it is.
pub(crate) fn peer(socket: impl AsFd) -> io::Result<Option<rustix::process::Pid>> {
    let peer = rustix::net::sockopt::socket_peercred(socket)?;
    Ok((peer.uid == rustix::process::geteuid()).then_some(peer.pid))
}

//! The HTTP server of the page: a thread per connection, [`MOST_CONNECTIONS`] of them at most; a page has two or three.
//!
//! | address | gives |
//! |---|---|
//! | `/` and the files in `src/web` | the page |
//! | `/login` | where a token is wanted: the form, and the cookie for the right token |
//! | `/api/events` | server-sent events: `hello` first, then `reading` as they come and `status` once a second |
//! | `/api/pictures?p=960,0,gate&p=480,17,road` | waits until one of these cameras has a picture newer than the number given; see [`pictures`] |
//! | `/api/search?plate=&camera=&from=&until=&before=` | past readings, JSON |
//! | `/api/evidence/m12`, `/api/evidence/d12` | JPEG of a plate: of a reading in memory, of a row of the database |
//! | `/api/overview/m12`, `/api/overview/d12` | JPEG of the whole frame, likewise |

mod answer;
mod auth;
mod events;
mod http;
mod pages;
mod pictures;
mod query;

use crate::readings::Jpeg;
use crate::site::Site;
use answer::Answer;
pub use auth::Door;
use gantry_node::Fault;
use http::{Connection, NoRequest, Request};
use query::Pairs;
use rustix::event::{EventfdFlags, PollFd, PollFlags, poll};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::{debug, info, warn};

/// Connections at once.
const MOST_CONNECTIONS: usize = 64;
/// Nothing here goes deep.
const STACK_BYTES: usize = 512 * 1024;

/// The running server; takes no more connections when its value goes.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

struct Service {
    site: Arc<Site>,
    door: Door,
    open: AtomicUsize,
}

impl Server {
    /// Listens on `listen` and serves `site` to those whom `door` lets in.
    ///
    /// # Errors
    /// If nobody can listen there.
    pub fn start(listen: &SocketAddr, site: Arc<Site>, door: Door) -> Result<Self, Fault> {
        let listener = TcpListener::bind(listen).map_err(|e| {
            Fault::from(e)
                .context(format!("parameter `listen`: `{listen}`"))
                .hint("another program may have that port: `ss -ltnp` shows which; set `LISTEN` to a free one")
        })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?);
        let (stopped, service) = (stop.clone(), Arc::new(Service { site, door, open: AtomicUsize::new(0) }));
        let thread = std::thread::Builder::new().name("page".into()).spawn(move || accept(&listener, &service, &stopped))?;
        Ok(Self { address, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = rustix::io::write(&*self.stop, &1u64.to_ne_bytes()) {
            warn!(%error, "the page's thread cannot be told to end");
        } else if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            warn!("the page's thread panicked");
        }
    }
}

fn accept(listener: &TcpListener, service: &Arc<Service>, stopped: &OwnedFd) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            // Interrupted; anything else would come back at once, so it must not spin.
            std::thread::sleep(Duration::from_millis(10));
            continue;
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the client has gone again.
                debug!(%error, "a connection was not taken");
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        if service.open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            service.open.fetch_sub(1, Ordering::Relaxed);
            info!(%peer, "turned away: {MOST_CONNECTIONS} connections are open");
            continue;
        }
        let of_thread = service.clone();
        let serve = move || {
            of_thread.serve(stream);
            of_thread.open.fetch_sub(1, Ordering::Relaxed);
        };
        if let Err(error) = std::thread::Builder::new().name("page-client".into()).stack_size(STACK_BYTES).spawn(serve) {
            service.open.fetch_sub(1, Ordering::Relaxed);
            warn!(%error, "no thread for a connection");
        }
    }
}

impl Service {
    /// Answers the requests of one client until it goes.
    fn serve(&self, stream: TcpStream) {
        let taken = stream.set_nonblocking(false).and_then(|()| Connection::new(stream));
        let Ok(mut connection) = taken else { return };
        loop {
            let request = match connection.request() {
                Ok(request) => request,
                Err(NoRequest::Over) => return,
                Err(NoRequest::Bad(status, what)) => {
                    // It may have gone; there is nobody to tell then.
                    let _ = connection.send(&Answer::error(status, what).bytes(true));
                    return;
                }
            };
            let last = request.headers("connection").any(|value| value.eq_ignore_ascii_case("close"));
            let answer = match self.before_the_door(&request) {
                Some(answer) => answer,
                None if request.path == "/api/events" => return events::send_all(&self.site, &mut connection),
                None => self.answer(&request, &connection),
            };
            if connection.send(&answer.bytes(last)).is_err() || last {
                return;
            }
        }
    }

    /// What is answered without looking at the site: to those who may not see it, and what everybody may have.
    fn before_the_door(&self, request: &Request) -> Option<Answer> {
        let (is_get, path) = (request.method == "GET", request.path.as_str());
        if !self.door.knows_host(request) {
            return Some(Answer::error(421, "open this page by its IP address or as `localhost`"));
        }
        if let Some(page) = pages::open(path).filter(|_| is_get) {
            return Some(page);
        }
        match (request.method.as_str(), path) {
            ("GET", "/login") => return Some(pages::login(false)),
            ("POST", "/login") => return Some(self.door.login(request)),
            _ => {}
        }
        if !self.door.lets_in(request) {
            return Some(if path == "/" { Answer::to("/login") } else { Answer::error(401, "the token is missing or wrong") });
        }
        if !is_get {
            return Some(Answer::error(405, "only GET"));
        }
        None
    }

    fn answer(&self, request: &Request, connection: &Connection) -> Answer {
        if let Some(page) = pages::of_site(&request.path) {
            return page;
        }
        let pairs = Pairs::of(&request.query);
        match request.path.as_str() {
            "/api/pictures" => pictures::wait(&self.site, &pairs, connection),
            "/api/search" => self.search(&pairs),
            path => match (path.strip_prefix("/api/evidence/"), path.strip_prefix("/api/overview/")) {
                (Some(id), _) => self.jpeg(id, Jpeg::Evidence),
                (_, Some(id)) => self.jpeg(id, Jpeg::Overview),
                _ => Answer::error(404, "no such page"),
            },
        }
    }

    fn search(&self, pairs: &Pairs) -> Answer {
        let query = pairs.search();
        match self.site.database.as_ref().filter(|path| path.exists()) {
            None => Answer::json(&self.site.with_readings(|readings| query.in_memory(readings))),
            Some(database) => match query.in_database(database) {
                Ok(found) => Answer::json(&found),
                Err(failed) => Answer::error(500, &failed.to_string()),
            },
        }
    }

    fn jpeg(&self, id: &str, which: Jpeg) -> Answer {
        let found = match id.strip_prefix('d').map(str::parse) {
            Some(Ok(row)) => self.site.database.as_deref().and_then(|database| crate::search::picture(database, row, which)),
            _ => self.site.with_readings(|readings| readings.picture(id, which).map(<[u8]>::to_vec)),
        };
        found.map_or_else(|| Answer::error(404, "this picture is gone"), |jpeg| Answer::new(200, "image/jpeg", jpeg))
    }
}

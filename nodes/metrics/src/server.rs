//! A web server with one page.

use gantry_node::Fault;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tiny_http::{Header, Method, Request, Response};
use tracing::{error, info, warn};

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Answers until it is dropped.
pub struct Server {
    http: Arc<tiny_http::Server>,
    thread: Option<JoinHandle<()>>,
    scrapes: Arc<AtomicU64>,
}

impl Server {
    /// Listens at `listen` and serves the statistics of `run_dir`.
    pub(crate) fn start(listen: &str, run_dir: &Path) -> Result<Self, Fault> {
        let http = tiny_http::Server::http(listen).map_err(|e| {
            Fault::new(format!("`LISTEN`: cannot listen at `{listen}`: {e}"))
                .hint("write `127.0.0.1:PORT`; each site on a machine needs a port of its own")
        })?;
        let http = Arc::new(http);
        let scrapes = Arc::new(AtomicU64::new(0));
        let thread = std::thread::Builder::new().name("metrics-http".into()).spawn({
            let (http, scrapes, run_dir) = (http.clone(), scrapes.clone(), run_dir.to_owned());
            move || serve(&http, &run_dir, &scrapes)
        })?;
        let server = Self { http, thread: Some(thread), scrapes };
        if let Some(address) = server.address() {
            info!("metrics at http://{address}/metrics");
            if !address.ip().is_loopback() {
                warn!("everybody who reaches this machine can read them");
            }
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.http.server_addr().to_ip()
    }

    /// Answers since it was asked last.
    pub(crate) fn scrapes(&self) -> u64 {
        self.scrapes.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.http.unblock();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread of the metrics server panicked");
        }
    }
}

fn serve(http: &tiny_http::Server, run_dir: &Path, scrapes: &AtomicU64) {
    for request in http.incoming_requests() {
        let path = request.url().split('?').next().unwrap_or_default().to_owned();
        let (status, kind, body) = match (request.method(), path.as_str()) {
            (Method::Get | Method::Head, "/metrics") => {
                scrapes.fetch_add(1, Ordering::Relaxed);
                (200, METRICS, gantry_metrics::text(&gantry_metrics::read(run_dir)))
            }
            (Method::Get | Method::Head, "/") => (200, HTML, "<a href=\"/metrics\">metrics of this site</a>\n".to_owned()),
            (Method::Get | Method::Head, _) => (404, METRICS, "only /metrics is here\n".to_owned()),
            _ => (405, METRICS, "only GET is answered\n".to_owned()),
        };
        answer(request, status, kind, body);
    }
}

fn answer(request: Request, status: u16, kind: &str, body: String) {
    let mut response = Response::from_string(body).with_status_code(status);
    if let Ok(header) = Header::from_bytes("Content-Type", kind) {
        response.add_header(header);
    }
    // Who asked may be gone: nothing to be done about that.
    let _ = request.respond(response);
}

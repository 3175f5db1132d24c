//! Server-sent events: what happens, as it happens.

use super::answer::endless;
use super::http::Connection;
use crate::site::Site;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Something is sent at least that often, so that a client that has gone is noticed.
const ALIVE: Duration = Duration::from_secs(15);

/// Sends `hello` with all there is, then each event, until the client goes or cannot follow: it comes back and begins anew then.
pub fn send_all(site: &Site, connection: &mut Connection) {
    // Listening starts before the look at what there is, so that nothing falls in between; the page leaves out what it has.
    let events = site.listen();
    let hello = endless("text/event-stream") + &message("hello", &site.hello().to_string());
    let mut sent = connection.send(hello.as_bytes());
    while sent.is_ok() {
        sent = match events.recv_timeout(ALIVE) {
            Ok((name, json)) => connection.send(message(name, &json).as_bytes()),
            Err(RecvTimeoutError::Timeout) => connection.send(b":\n\n"),
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}

/// JSON has no line breaks of its own.
fn message(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

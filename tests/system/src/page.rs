//! A client of `preview`'s page in a few lines.

use crate::Site;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Where the page of a site is, which its node says in the log.
#[must_use]
pub fn page_of(site: &Site<'_>) -> Option<String> {
    let log = site.log("preview");
    let (_, address) = log.rsplit_once("the page is at http://")?;
    Some(address.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect())
}

/// Asks for `path`; the connection, before the answer.
///
/// # Panics
/// If nobody listens there.
#[must_use]
pub fn ask(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the page is served");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("the page listens");
    stream
}

/// What stands at `path`, once it is there; `None` while there is no such thing.
///
/// # Panics
/// If there is no answer, another one, or one that tells where a camera is.
#[must_use]
pub fn find(address: &str, path: &str) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    ask(address, path).read_to_end(&mut all).expect("an answer in time");
    let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    if head.starts_with("HTTP/1.1 404") {
        return None;
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}{}", String::from_utf8_lossy(&all[end..]));
    assert!(!all.windows(4).any(|bytes| bytes == b".mp4"), "{path} tells where a camera is");
    Some(all.split_off(end))
}

/// As [`find`], for what is there.
///
/// # Panics
/// As [`find`], and if it is not there.
#[must_use]
pub fn get(address: &str, path: &str) -> Vec<u8> {
    find(address, path).unwrap_or_else(|| panic!("{path} is not there"))
}

/// The descriptions in an answer with pictures.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn abouts(body: &[u8]) -> Vec<Value> {
    let length = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut found = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let about = length(at);
        found.push(serde_json::from_slice(&body[at + 4..at + 4 + about]).expect("JSON"));
        at += 4 + about;
        at += 4 + length(at);
    }
    found
}

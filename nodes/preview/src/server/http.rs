//! As much HTTP/1.1 as a page needs: requests with short heads and forms, answers of known length, and one that does not end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest head of a request, bytes.
const MOST_HEAD: usize = 16 * 1024;
/// Largest body: a form with a token.
const MOST_BODY: usize = 4096;
/// Headers of a request.
const MOST_HEADERS: usize = 64;
/// How long a client may take to say what it wants, once it began.
const TO_SAY: Duration = Duration::from_secs(10);
/// How long a connection may stay open without a request.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take to accept what it is sent.
const TO_TAKE: Duration = Duration::from_secs(20);

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// What stands before `?`.
    pub path: String,
    /// What stands behind it.
    pub query: String,
    /// The form, if one was sent.
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Request {
    /// All values of a header, its name in lower case.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Adds a header, its name in lower case.
    #[cfg(test)]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A client's connection.
pub struct Connection {
    stream: TcpStream,
    /// Bytes that came and belong to no request yet.
    rest: Vec<u8>,
}

/// Why there is no request.
#[derive(Debug)]
pub enum NoRequest {
    /// The client has gone, or said nothing for too long.
    Over,
    /// It said something that is not understood; the status of the answer.
    Bad(u16, &'static str),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> Self {
        Self::Over
    }
}

impl Connection {
    /// Over a socket that was accepted.
    ///
    /// # Errors
    /// If the socket is gone already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(TO_TAKE))?;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// Waits for the next request.
    ///
    /// # Errors
    /// [`NoRequest`].
    pub fn request(&mut self) -> Result<Request, NoRequest> {
        let mut until = Instant::now() + IDLE;
        let mut began = !self.rest.is_empty();
        loop {
            if let Some((mut request, head, length)) = parse(&self.rest)? {
                while self.rest.len() < head + length {
                    self.read_more(until)?;
                }
                request.body = self.rest[head..head + length].to_vec();
                self.rest.drain(..head + length);
                return Ok(request);
            }
            if self.rest.len() >= MOST_HEAD {
                return Err(NoRequest::Bad(431, "the head of this request is too long"));
            }
            if !began && !self.rest.is_empty() {
                (began, until) = (true, Instant::now() + TO_SAY);
            }
            self.read_more(until)?;
        }
    }

    fn read_more(&mut self, until: Instant) -> Result<(), NoRequest> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoRequest::Over);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer)? {
            0 => Err(NoRequest::Over),
            n => {
                self.rest.extend_from_slice(&buffer[..n]);
                Ok(())
            }
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// If the client is gone or does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Whether the client has hung up, without waiting.
    pub fn is_over(&self) -> bool {
        if self.stream.set_read_timeout(Some(Duration::from_millis(1))).is_err() {
            return true;
        }
        match self.stream.peek(&mut [0]) {
            Ok(n) => n == 0,
            Err(e) => !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }
}

/// A request, the length of its head and that of its body; none as long as the head is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize, usize)>, NoRequest> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(NoRequest::Bad(400, "this is no request")),
    };
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    for header in parsed.headers.iter() {
        // What is no text is in no header that matters here.
        if let Ok(value) = std::str::from_utf8(header.value) {
            request.headers.push((header.name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    if request.headers("transfer-encoding").next().is_some() {
        return Err(NoRequest::Bad(411, "say how long the body is"));
    }
    let mut lengths = request.headers("content-length");
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => 0,
        (Some(text), None) if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().ok().filter(|length| *length <= MOST_BODY).ok_or(NoRequest::Bad(413, "the body is too long"))?
        }
        _ => return Err(NoRequest::Bad(400, "`content-length` is no number")),
    };
    drop(lengths);
    Ok(Some((request, head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> u16 {
        match parse(text.as_bytes()) {
            Err(NoRequest::Bad(status, _)) => status,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_request_is_taken_apart() {
        let text = "POST /a/b?x=1&y=%20 HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nCOOKIE: b=2\r\nContent-Length: 4\r\n\r\nbody+more";
        let (request, head, length) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str(), request.query.as_str()), ("POST", "/a/b", "x=1&y=%20"));
        assert_eq!(request.headers("cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(&text[head..head + length], "body");
        assert!(parse(&text.as_bytes()[..40]).unwrap().is_none());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        assert_eq!(status("nonsense\r\n\r\n"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 411);
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n"), 413);
    }
}

//! Answers, each with the headers that keep a page to itself.

use serde::Serialize;
use std::fmt::Write;

/// Nothing from elsewhere, no script in the page, nobody frames it; plates are personal data, so nothing is kept.
const HEADERS: &str = "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                       form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n\
                       x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncache-control: no-store\r\n\
                       cross-origin-resource-policy: same-origin\r\n";

/// An answer of known length.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    /// `body` of that type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// What went wrong, for people and for the page's script.
    pub fn error(status: u16, what: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", what)
    }

    /// A value as JSON.
    pub fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => Self::new(200, "application/json", bytes),
            Err(e) => Self::error(500, &e.to_string()),
        }
    }

    /// To another page.
    pub fn to(place: &'static str) -> Self {
        Self::new(303, "text/plain", "").with("location", place)
    }

    /// Adds a header; its value has no line breaks.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As it is sent; without the body for `HEAD`, and saying so if the connection ends with it.
    pub fn bytes(&self, last: bool) -> Vec<u8> {
        let mut head = head(self.status, self.content_type);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "content-length: {}\r\n{}\r\n", self.body.len(), if last { "connection: close\r\n" } else { "" });
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The head of an answer that goes on until the connection ends.
pub fn endless(content_type: &str) -> String {
    head(200, content_type) + "connection: close\r\n\r\n"
}

fn head(status: u16, content_type: &str) -> String {
    let reason = match status {
        200 => "OK",
        303 => "See Other",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        _ => "Error",
    };
    format!("HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{HEADERS}")
}

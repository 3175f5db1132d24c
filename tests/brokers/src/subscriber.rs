use crate::PATIENCE;
use serde_json::Value;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A subscriber (MQTT 3.1.1, QoS 1) with a session that lasts over restarts of the broker, on a thread of its own.
///
/// It acknowledges nothing: it then never writes, so it reads everything that a killed broker had still sent, and what it has not read comes again.
pub struct Subscriber {
    got: Arc<Mutex<Vec<(String, Value)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    /// Subscribes to `topics` and waits until the broker says so.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn start(port: u16, topics: &str) -> Self {
        let (got, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("subscriber".into()).spawn({
            let (got, stop, topics) = (got.clone(), stop.clone(), topics.to_owned());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // It ends when the broker is away.
                    let _ = session(port, &topics, &got, &ready, &stop);
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        is_ready.recv_timeout(PATIENCE).expect("subscribed");
        Self { got, stop, thread: Some(thread.expect("a thread starts")) }
    }

    /// Topic and body of everything that came, what came twice included.
    #[must_use]
    pub fn got(&self) -> Vec<(String, Value)> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the subscriber has no fault of its own");
        }
    }
}

/// One connection until it breaks or is not wanted any more.
fn session(port: u16, topics: &str, got: &Mutex<Vec<(String, Value)>>, ready: &SyncSender<()>, stop: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    // Protocol `MQTT`, level 4, the session stays, no keep-alive.
    stream.write_all(&packet(0x10, &[text("MQTT"), vec![4, 0, 0, 0], text("subscriber")].concat()))?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    while !stop.load(Ordering::Relaxed) {
        while let Some((kind, body)) = take_packet(&mut bytes) {
            match kind & 0xf0 {
                // CONNACK: without a session the subscription is made (anew).
                0x20 if body.first() == Some(&0) => stream.write_all(&packet(0x82, &[vec![0, 1], text(topics), vec![1]].concat()))?,
                0x90 => ready.try_send(()).unwrap_or_default(),
                0x30 => {
                    assert_eq!(kind & 0x07, 0x02, "QoS 1, not retained");
                    let topic_ends = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let topic = String::from_utf8_lossy(&body[2..topic_ends]).into_owned();
                    // Behind the topic stands the number of the packet.
                    let value = serde_json::from_slice(&body[topic_ends + 2..]).expect("what sinks send is JSON");
                    got.lock().unwrap_or_else(PoisonError::into_inner).push((topic, value));
                }
                _ => {}
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::ConnectionAborted.into()),
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
            Err(error) if is_quiet(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_quiet(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

/// A packet of less than 128 bytes.
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, body.len() as u8][..], body].concat()
}

/// The first whole packet of `bytes`: its first byte and what is behind the length.
fn take_packet(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (mut length, mut at) = (0_usize, 1);
    loop {
        // Seven bits a byte, the lowest first.
        let byte = *bytes.get(at)?;
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = bytes.get(at..at + length)?.to_vec();
    let kind = bytes[0];
    bytes.drain(..at + length);
    Some((kind, body))
}

//! Far ends for the tests of sinks, on loopback: a web server, a real mosquitto, the cluster of librdkafka's own tests, TLS in front of a server that has
//! none, and the certificates of an authority made for a test. `cargo xtask setup` installs what they need.

mod certificates;
mod kafka;
mod mosquitto;
mod receiver;
mod subscriber;
mod tls_front;

pub use certificates::{Authority, Certificate};
pub use kafka::{Consumer, Got, Kafka};
pub use mosquitto::Mosquitto;
pub use receiver::Receiver;
pub use subscriber::Subscriber;
pub use tls_front::TlsFront;

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How long a server may take to start, and what was sent to arrive.
const PATIENCE: Duration = Duration::from_secs(20);

/// A port where nothing listens.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// Waits until something listens at `port`.
///
/// # Panics
/// If nothing does after 20 s.
#[track_caller]
pub fn wait_for_port(port: u16) {
    wait_until(&format!("something listens at port {port}"), || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// Waits until `holds`.
///
/// # Panics
/// If it still does not after 20 s.
#[track_caller]
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "after {} s still not: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

//! One connection at a time; what it did not get acknowledged goes again over the next one.

use crate::address::Address;
use gantry_credentials::Credentials;
use gantry_sink::{Entry, FarEnd, Sent};
use rumqttc::{
    Client, Connection, ConnectionError, Event, Incoming, MqttOptions, Outgoing, QoS, RecvTimeoutError, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Entries of one attempt are less.
const CHANNEL: usize = 256;
/// Largest packet: an entry and its topic.
const MAX_PACKET_BYTES: usize = 2 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The broker.
pub struct Broker {
    options: MqttOptions,
    topic: String,
    timeout: Duration,
    link: Option<Link>,
}

struct Link {
    client: Client,
    connection: Connection,
}

/// What came of a step of the connection.
enum Step {
    Event(Event),
    /// Nothing came in that time.
    Quiet,
    Broken(String),
}

impl Broker {
    /// Nothing is sent yet.
    pub(crate) fn new(
        address: &Address,
        client_id: &str,
        credentials: Option<&Credentials>,
        tls: Option<Arc<ClientConfig>>,
        topic: &str,
        timeout: Duration,
    ) -> Self {
        let mut options = MqttOptions::new(client_id, address.host.as_str(), address.port);
        options.set_clean_session(true).set_keep_alive(KEEP_ALIVE).set_inflight(CHANNEL as u16);
        options.set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES);
        if let Some(credentials) = credentials {
            options.set_credentials(credentials.user.as_str(), credentials.password.reveal());
        }
        if let Some(config) = tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
        }
        Self { options, topic: topic.trim_end_matches('/').to_owned(), timeout, link: None }
    }

    /// The connection, made if there is none.
    fn link(&mut self, until: Instant) -> Result<&mut Link, String> {
        if self.link.is_none() {
            let (client, connection) = Client::new(self.options.clone(), CHANNEL);
            let mut link = Link { client, connection };
            loop {
                match link.step(until) {
                    Step::Event(Event::Incoming(Incoming::ConnAck(_))) => break,
                    Step::Event(_) => {}
                    Step::Quiet => return Err("no answer from the broker".to_owned()),
                    Step::Broken(why) => return Err(why),
                }
            }
            self.link = Some(link);
        }
        self.link.as_mut().ok_or_else(|| "no connection".to_owned())
    }

    /// How many of the first entries were acknowledged, and why not all.
    fn publish(&mut self, entries: &[Entry]) -> (usize, Option<String>) {
        let until = Instant::now() + self.timeout;
        let topics: Vec<String> =
            entries.iter().map(|entry| format!("{}/{}/{}", self.topic, level(&entry.camera), level(&entry.kind))).collect();
        let link = match self.link(until) {
            Ok(link) => link,
            Err(why) => return (0, Some(why)),
        };
        for (entry, topic) in entries.iter().zip(topics) {
            if let Err(error) = link.client.try_publish(topic, QoS::AtLeastOnce, false, entry.body.clone()) {
                return (0, Some(format!("cannot be published: {error}")));
            }
        }
        // Packets go out in the order of publishing; their numbers are told when they do.
        let mut acknowledged: Vec<(u16, bool)> = Vec::with_capacity(entries.len());
        let first = |acknowledged: &[(u16, bool)]| acknowledged.iter().take_while(|(_, done)| *done).count();
        while first(&acknowledged) < entries.len() {
            match link.step(until) {
                Step::Event(Event::Outgoing(Outgoing::Publish(id))) => acknowledged.push((id, false)),
                Step::Event(Event::Incoming(Incoming::PubAck(ack))) => {
                    if let Some((_, done)) = acknowledged.iter_mut().find(|(id, done)| *id == ack.pkid && !done) {
                        *done = true;
                    }
                }
                Step::Event(_) => {}
                Step::Quiet => return (first(&acknowledged), Some("no acknowledgement from the broker".to_owned())),
                Step::Broken(why) => return (first(&acknowledged), Some(why)),
            }
        }
        (entries.len(), None)
    }
}

impl FarEnd for Broker {
    fn send(&mut self, entries: &[Entry]) -> Sent {
        match self.publish(&entries[..entries.len().min(CHANNEL / 2)]) {
            (taken, None) => Sent { taken, trouble: None },
            (taken, Some(why)) => {
                // What it still holds would be sent once more by the library, beside what comes from the spool.
                self.link = None;
                Sent::away(taken, why)
            }
        }
    }

    fn idle(&mut self) {
        let now = Instant::now();
        while let Some(link) = &mut self.link {
            match link.step(now) {
                Step::Event(_) => {}
                Step::Quiet => return,
                Step::Broken(_) => self.link = None,
            }
        }
    }
}

impl Link {
    fn step(&mut self, until: Instant) -> Step {
        // The library needs a moment of its own to look at the socket.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match self.connection.recv_timeout(left) {
            Ok(Ok(event)) => Step::Event(event),
            Ok(Err(error)) => Step::Broken(why(&error)),
            Err(RecvTimeoutError::Timeout) => Step::Quiet,
            Err(RecvTimeoutError::Disconnected) => Step::Broken("connection closed".to_owned()),
        }
    }
}

fn why(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the broker refuses: {code:?}"),
        other => other.to_string(),
    }
}

/// A name as one level of a topic.
fn level(name: &str) -> String {
    name.replace(['/', '+', '#', '\0'], "-")
}

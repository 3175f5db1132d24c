//! A producer for as long as it works; one that fails is replaced, and what it did not get acknowledged goes to the next one.

use gantry_node::Fault;
use gantry_sink::{Entry, FarEnd, Sent, Trouble};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::debug;

/// How long librdkafka works before it is looked at again.
const STEP: Duration = Duration::from_millis(50);

/// The brokers.
pub struct Brokers {
    config: ClientConfig,
    topic: String,
    timeout: Duration,
    reports: Reports,
    producer: Option<BaseProducer<Reports>>,
}

/// What librdkafka said: of each entry of an attempt, and of the brokers.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    /// Number of the attempt: an earlier one's reports count no more.
    attempt: u64,
    entries: Vec<Option<Result<(), KafkaError>>>,
    why: Option<String>,
}

impl Reports {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        debug!(?level, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "librdkafka");
        let mut said = self.said();
        // It follows what says why they are down.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) || said.why.is_none() {
            said.why = Some(reason.to_owned());
        }
    }
}

impl ProducerContext for Reports {
    /// Attempt and place in it.
    type DeliveryOpaque = Box<(u64, usize)>;

    fn delivery(&self, result: &DeliveryResult<'_>, of: Self::DeliveryOpaque) {
        let mut said = self.said();
        if said.attempt == of.0
            && let Some(entry) = said.entries.get_mut(of.1)
        {
            *entry = Some(result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone()));
        }
    }
}

impl Brokers {
    /// Nothing is sent yet; the settings are checked.
    pub(crate) fn new(config: ClientConfig, topic: &str, timeout: Duration) -> Result<Self, Fault> {
        let mut brokers = Self { config, topic: topic.to_owned(), timeout, reports: Reports::default(), producer: None };
        brokers.producer().map_err(|e| Fault::from(e).hint("look at `BROKERS`, `SECURITY`, `MECHANISM` and `CA_FILE`"))?;
        Ok(brokers)
    }

    fn producer(&mut self) -> Result<&BaseProducer<Reports>, KafkaError> {
        let made = match self.producer.take() {
            Some(producer) => producer,
            None => self.config.create_with_context(self.reports.clone())?,
        };
        Ok(self.producer.insert(made))
    }

    /// Hands entries over and waits for the reports on them.
    fn attempt(&mut self, entries: &[Entry]) -> Result<(), KafkaError> {
        let attempt = {
            let mut said = self.reports.said();
            said.attempt += 1;
            said.entries = vec![None; entries.len()];
            said.attempt
        };
        let (until, topic, reports) = (Instant::now() + self.timeout, self.topic.clone(), self.reports.clone());
        let producer = self.producer()?;
        for (i, entry) in entries.iter().enumerate() {
            let headers = OwnedHeaders::new()
                .insert(Header { key: "idempotency-key", value: Some(entry.key.as_str()) })
                .insert(Header { key: "type", value: Some(entry.kind.as_str()) });
            let record = BaseRecord::with_opaque_to(&topic, Box::new((attempt, i)))
                .key(entry.camera.as_str())
                .payload(entry.body.as_slice())
                .headers(headers);
            if let Err((error, _)) = producer.send(record) {
                if let Some(said) = reports.said().entries.get_mut(i) {
                    *said = Some(Err(error));
                }
                // What follows would overtake it.
                break;
            }
        }
        loop {
            {
                let said = reports.said();
                let failed = said.entries.iter().flatten().any(Result::is_err);
                if failed || said.entries.iter().all(Option::is_some) || Instant::now() >= until {
                    return Ok(());
                }
            }
            producer.poll(STEP.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Ends a producer that still holds entries: they come again from the spool.
    fn give_up(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.purge(PurgeConfig::default().queue().inflight());
            producer.poll(STEP);
        }
    }
}

impl FarEnd for Brokers {
    fn send(&mut self, entries: &[Entry]) -> Sent {
        if let Err(error) = self.attempt(entries) {
            return Sent::away(0, error.to_string());
        }
        let (taken, next, why) = {
            let said = self.reports.said();
            let taken = said.entries.iter().take_while(|report| matches!(report, Some(Ok(())))).count();
            (taken, said.entries.get(taken).cloned().flatten(), said.why.clone())
        };
        if taken == entries.len() {
            // What is said once is not said again while it lasts, and so it counts until it is over.
            self.reports.said().why = None;
            return Sent::all(entries);
        }
        self.give_up();
        match next {
            Some(Err(error)) if is_about_the_entry(&error) => Sent { taken, trouble: Some(Trouble::Refused { why: error.to_string() }) },
            Some(Err(error)) => Sent::away(taken, why.unwrap_or_else(|| error.to_string())),
            _ => Sent::away(taken, why.unwrap_or_else(|| "no acknowledgement from the brokers".to_owned())),
        }
    }

    fn idle(&mut self) {
        if let Some(producer) = &self.producer {
            producer.poll(Duration::ZERO);
        }
    }
}

/// The same again would get the same answer.
fn is_about_the_entry(error: &KafkaError) -> bool {
    let code = match error {
        KafkaError::MessageProduction(code) => code,
        _ => return false,
    };
    matches!(code, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::InvalidRecord)
}

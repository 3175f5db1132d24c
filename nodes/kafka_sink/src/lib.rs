//! Produces readings to a Kafka topic and keeps them on disk until the brokers have them (`acks=all`).
//!
//! The message's key is the camera, so readings of a camera are in one partition, in order; the partitioner is that of Java's clients
//! (murmur2). The value is the line of `readings.jsonl` with `type` and `key` in front. Headers: `idempotency-key` and `type`. The producer
//! is an idempotent one: within a connection nothing comes twice. After an outage or a restart entries come once more if their
//! acknowledgement was lost; consumers that leave out the keys that they know get each reading once, and those of a camera in order.
//!
//! Brokers that are away are called again after 0.1 s, 0.2 s, ... up to `RETRY_MS`, a quarter more or less. A message that they will never take
//! (too large, invalid) is put aside into `SPOOL_DIR/refused.jsonl`.
//!
//! It stands on the system's librdkafka (Debian: `librdkafka1`), with its TLS and SASL.
//!
//! ```yaml
//! - id: kafka
//!   path: bin/kafka_sink
//!   inputs:
//!     tick: dora/timer/millis/500
//!     readings: { source: vote/readings, queue_size: 256, queue_policy: backpressure }
//!   env: { BROKERS: "127.0.0.1:9092", TOPIC: gantry.readings, SPOOL_DIR: ../out/spool/kafka }
//! ```

mod brokers;
mod contract;

pub use brokers::Brokers;
pub use contract::CONTRACT;

use gantry_contract::Contract;
use gantry_credentials::{CredentialsError, user_and_password};
use gantry_node::{Context, Fault};
use gantry_sink::{SinkConfig, SinkNode};
use rdkafka::ClientConfig;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub brokers: String,
    pub topic: String,
    pub security: String,
    pub mechanism: String,
    #[serde(default)]
    pub credentials_file: Option<String>,
    #[serde(default)]
    pub credentials_env: Option<String>,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    pub timeout_ms: u64,
    pub retry_ms: u64,
    pub spool_dir: PathBuf,
    pub spool_mb: u64,
    pub when_full: String,
    pub evidence: bool,
    pub finish_ms: u64,
}

/// This kind of sink.
pub struct Kafka;

impl SinkNode for Kafka {
    type Params = Params;
    type Far = Brokers;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, _context: &Context) -> Result<(SinkConfig, Brokers), Fault> {
        let config = client_config(&params)?;
        let brokers = Brokers::new(config, &params.topic, Duration::from_millis(params.timeout_ms))?;
        let config =
            SinkConfig::new(params.spool_dir, params.spool_mb, &params.when_full, params.retry_ms, params.finish_ms, params.evidence);
        Ok((config, brokers))
    }
}

/// librdkafka's settings; their documentation is its CONFIGURATION.md.
fn client_config(params: &Params) -> Result<ClientConfig, Fault> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &params.brokers)
        .set("client.id", "gantry")
        .set("security.protocol", &params.security)
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", "2097152")
        .set("linger.ms", "5")
        // The spool is what lasts: here nothing is given up before the sink does it.
        .set("message.timeout.ms", "0")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", params.retry_ms.clamp(100, 10_000).to_string());
    if let Some(path) = &params.ca_file {
        config.set("ssl.ca.location", path.to_string_lossy());
    }
    let credentials = user_and_password(params.credentials_file.as_deref(), params.credentials_env.as_deref());
    let credentials = credentials.map_err(|error: CredentialsError| match error.hint() {
        Some(hint) => Fault::from(error).hint(hint),
        None => Fault::from(error),
    })?;
    match (credentials, params.security.starts_with("sasl_")) {
        (Some(credentials), true) => {
            config
                .set("sasl.mechanism", &params.mechanism)
                .set("sasl.username", &credentials.user)
                .set("sasl.password", credentials.password.reveal());
        }
        (None, false) => {}
        (Some(_), false) => {
            return Err(Fault::new(format!("credentials are given, and `SECURITY` is `{}`", params.security))
                .hint("set `SECURITY` to `sasl_ssl` (or `sasl_plaintext` in a network of your own)"));
        }
        (None, true) => {
            return Err(Fault::new(format!("`SECURITY: {}` asks for credentials, and there are none", params.security))
                .hint("name a file of mode 0600 in `CREDENTIALS_FILE` or a variable in `CREDENTIALS_ENV`"));
        }
    }
    Ok(config)
}

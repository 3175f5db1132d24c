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
use gantry_node::{Context, Fault};
use gantry_sink::{SinkConfig, SinkNode, SinkParams};
use rdkafka::ClientConfig;
use serde::Deserialize;

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub brokers: String,
    pub topic: String,
    pub security: String,
    pub mechanism: String,
    #[serde(flatten)]
    pub sink: SinkParams,
}

/// This kind of sink.
pub struct Kafka;

impl SinkNode for Kafka {
    type Params = Params;
    type Far = Brokers;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, _context: &Context) -> Result<(SinkConfig, Brokers), Fault> {
        let config = client_config(&params)?;
        let brokers = Brokers::new(config, &params.topic, params.sink.timeout())?;
        Ok((params.sink.config(), brokers))
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
        .set("reconnect.backoff.max.ms", params.sink.retry_ms.clamp(100, 10_000).to_string());
    let tls = params.security.ends_with("ssl");
    if tls {
        // The default of librdkafka before 2.0 is not to look at the name.
        config.set("enable.ssl.certificate.verification", "true").set("ssl.endpoint.identification.algorithm", "https");
    }
    if let Some(path) = &params.sink.ca_file {
        if !tls {
            return Err(Fault::new(format!("`CA_FILE` is given, and `SECURITY: {}` is without TLS", params.security))
                .hint("set `SECURITY` to `ssl` or `sasl_ssl`, or leave out `CA_FILE`"));
        }
        config.set("ssl.ca.location", path.to_string_lossy());
    }
    match (params.sink.user_and_password()?, params.security.starts_with("sasl_")) {
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

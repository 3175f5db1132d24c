//! Publishes readings to an MQTT broker (3.1.1) and keeps them on disk until the broker has acknowledged them.
//!
//! A reading goes to `TOPIC/<camera>/reading`, an event of a visit to `TOPIC/<camera>/visit`, with QoS 1 and not retained. The payload is
//! the line of `readings.jsonl` with `type` and `key` in front; MQTT 3.1.1 has no headers, so the idempotency key stands there. Those who
//! subscribe with QoS 1 and leave out the keys that they know get each reading once, and those of a camera in order. Of a camera's name
//! `/`, `+` and `#` become `-`.
//!
//! The session is a clean one: what is not acknowledged when a connection breaks is taken from the spool and published anew. A broker that is
//! away is called again after 0.1 s, 0.2 s, ... up to `RETRY_MS`, a quarter more or less; so is one that refuses the password. An
//! acknowledged reading is the broker's: one that keeps it in memory only (mosquitto without `persistence`) may lose it for subscribers that are
//! away.
//!
//! ```yaml
//! - id: mqtt
//!   path: bin/mqtt_sink
//!   inputs:
//!     tick: dora/timer/millis/500
//!     readings: { source: vote/readings, queue_size: 256, queue_policy: backpressure }
//!   env: { BROKER: "mqtt://127.0.0.1:1883", SPOOL_DIR: ../out/spool/mqtt }
//! ```

mod address;
mod broker;
mod contract;
mod tls;

pub use broker::Broker;
pub use contract::CONTRACT;

use address::Address;
use gantry_contract::Contract;
use gantry_node::{Context, Fault};
use gantry_sink::{SinkConfig, SinkNode, SinkParams};
use serde::Deserialize;

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub broker: String,
    pub topic: String,
    #[serde(default)]
    pub client_id: Option<String>,
    #[serde(flatten)]
    pub sink: SinkParams,
}

/// This kind of sink.
pub struct Mqtt;

impl SinkNode for Mqtt {
    type Params = Params;
    type Far = Broker;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<(SinkConfig, Broker), Fault> {
        let address: Address = params.broker.parse()?;
        if params.topic.contains(['+', '#', '\0']) || params.topic.starts_with('$') {
            return Err(Fault::new("`TOPIC` has a wildcard in it, or begins with `$`").hint("write a plain topic, as `site/gate`"));
        }
        let credentials = params.sink.user_and_password()?;
        let tls = if address.tls { Some(tls::config(params.sink.ca_file.as_deref())?) } else { None };
        if params.sink.ca_file.is_some() && !address.tls {
            return Err(
                Fault::new("`CA_FILE` is given, and `BROKER` is not reached over TLS").hint("write `mqtts://host`, or leave out `CA_FILE`")
            );
        }
        let run: String = context.run_id.chars().take(8).collect();
        let client_id = params.client_id.unwrap_or_else(|| format!("gantry-{}-{run}", context.node_id.replace('/', "-")));
        let broker = Broker::new(&address, &client_id, credentials.as_ref(), tls, &params.topic, params.sink.timeout());
        Ok((params.sink.config(), broker))
    }
}

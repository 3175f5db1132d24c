//! Posts readings to a web server, one request each, and keeps them on disk until the server has them.
//!
//! A request is `POST URL` with `Content-Type: application/json` and `Idempotency-Key: KEY`; the body is the line of `readings.jsonl`
//! with `type` (`reading`, `visit`) and `key` in front. The same reading always has the same key: a server that leaves out the
//! keys that it knows gets each reading once, and those of a camera in order.
//!
//! | answer | what happens |
//! |---|---|
//! | 2xx | the server has it; it leaves the spool |
//! | 400, 409, 413, 415, 422 | it will never take this one: put aside into `SPOOL_DIR/refused.jsonl`, counted (`refused`), logged as an error |
//! | everything else: 5xx, 408, 425, 429, 401, 403, 404, redirects; no answer | tried again after 0.1 s, 0.2 s, ... up to `RETRY_MS`, a quarter more or less; `Retry-After` in seconds is followed up to `RETRY_MS` |
//!
//! A wrong address or password can be put right while readings wait, and so they count as an outage. Redirects are not followed: they
//! could carry plates and credentials to somebody else.
//!
//! The spool survives kills and power cuts (fsync before a reading counts as `spooled`); it is bounded by `SPOOL_MB` and `WHEN_FULL`. It
//! holds personal data until the server has it: the folder is readable by its user only. Credentials come from a file of mode 0600 or a
//! variable and are shown nowhere.
//!
//! ```yaml
//! - id: webhook
//!   path: bin/webhook_sink
//!   inputs:
//!     tick: dora/timer/millis/500
//!     readings: { source: vote/readings, queue_size: 256, queue_policy: backpressure }
//!   env: { URL: "http://127.0.0.1:8080/readings", SPOOL_DIR: ../out/spool/webhook }
//! ```

mod contract;
mod post;

pub use contract::CONTRACT;
pub use post::Server;

use gantry_contract::Contract;
use gantry_node::{Context, Fault};
use gantry_sink::{SinkConfig, SinkNode, SinkParams};
use post::Authorization;
use serde::Deserialize;

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub url: String,
    pub auth: Auth,
    #[serde(flatten)]
    pub sink: SinkParams,
}

/// How the server is told who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Not at all.
    None,
    /// User name and password (RFC 7617).
    Basic,
    /// A token (RFC 6750).
    Bearer,
}

/// This kind of sink.
pub struct Webhook;

impl SinkNode for Webhook {
    type Params = Params;
    type Far = Server;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, _context: &Context) -> Result<(SinkConfig, Server), Fault> {
        let authorization = match params.auth {
            Auth::None if params.sink.names_credentials() => {
                return Err(Fault::new("credentials are given, and `AUTH` is `none`").hint("set `AUTH` to `basic` or `bearer`"));
            }
            Auth::None => None,
            Auth::Basic => params.sink.user_and_password()?.as_ref().and_then(Authorization::basic),
            Auth::Bearer => params.sink.token()?.as_ref().and_then(Authorization::bearer),
        };
        if authorization.is_none() && params.auth != Auth::None {
            return Err(Fault::new("`AUTH` asks for credentials, and there are none")
                .hint("name a file of mode 0600 in `CREDENTIALS_FILE` or a variable in `CREDENTIALS_ENV`"));
        }
        let server = Server::new(&params.url, authorization, params.sink.ca_file.as_deref(), params.sink.timeout())?;
        Ok((params.sink.config(), server))
    }
}

//! One endpoint for a whole site: `http://127.0.0.1:9464/metrics`, in the text format of Prometheus.
//!
//! The nodes of a graph write their statistics once a second into `stats` of the run folder (`GANTRY_RUN_DIR` in the graph's `env`); this
//! node reads those of all nodes when it is asked, and does nothing otherwise: rates, drops by cause, ages of frames per stage, how long
//! messages waited in queues, copies, restarts, model times, load. docs/sites.md lists the names, docs/deploy has a dashboard for
//! Grafana. `/metrics` is all there is; `/` answers with a link to it. Several sites on one machine need a port each.
//!
//! It ends with `dora stop`, so it belongs into live graphs: a lossless run with it would not end, and is refused.
//!
//! ```yaml
//! - id: metrics
//!   path: bin/metrics
//!   inputs:
//!     tick: dora/timer/millis/500
//!   env: { LISTEN: "127.0.0.1:9464" }
//! ```

mod contract;
mod server;

pub use contract::CONTRACT;
pub use server::Server;

use gantry_contract::Contract;
use gantry_frames::Mode;
use gantry_node::{Context, Fault, Input, Outputs, RUN_DIR_ENV, Stage};
use serde::Deserialize;

/// Parameters, see the contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the contract describes each of them")]
pub struct Params {
    pub listen: String,
}

/// The node.
pub struct Metrics {
    server: Server,
}

impl Metrics {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.server.address()
    }
}

impl Stage for Metrics {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        if context.mode == Mode::Lossless {
            return Err(Fault::new("`metrics` has no end, and a lossless run would wait for it")
                .hint("use it in live graphs (`GANTRY_MODE: live`); `gantry top FOLDER --metrics` prints the same once"));
        }
        let Some(run_dir) = &context.run_dir else {
            return Err(Fault::new(format!("`{RUN_DIR_ENV}` is not set, so no node writes statistics"))
                .hint(format!("set `{RUN_DIR_ENV}` in the graph's `env` to a folder of this site")));
        };
        Ok(Self { server: Server::start(&params.listen, run_dir)? })
    }

    fn on_input(&mut self, _input: &Input, _out: &mut Outputs) -> Result<(), Fault> {
        Ok(())
    }

    fn on_tick(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        out.count("scrapes", self.server.scrapes());
        Ok(())
    }
}

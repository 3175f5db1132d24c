//! Graphs of made-up readings and what takes them.

use crate::{Sandbox, files};
use std::fmt::Write;
use std::path::Path;

/// A live graph of `readings_source` and nodes that take its readings.
pub struct ReadingsSite<'a> {
    sandbox: &'a Sandbox,
    text: String,
    restarts: bool,
}

impl<'a> ReadingsSite<'a> {
    /// `count` readings, `per_second` of them, cameras `entry` and `exit` in turn.
    #[must_use]
    pub fn new(sandbox: &'a Sandbox, count: u64, per_second: u64) -> Self {
        let run = sandbox.path("tmp/run").display().to_string();
        let text = format!(
            "env: {{ GANTRY_MODE: live, GANTRY_RUN_DIR: {run}, GANTRY_LOG: 'info,gantry_sink=debug,zenoh=error' }}
nodes:
  - id: source
    path: bin/readings_source
    inputs: {{ tick: dora/timer/millis/500 }}
    outputs: [readings]
    env: {{ COUNT: {count}, PER_SECOND: {per_second} }}
"
        );
        Self { sandbox, text, restarts: true }
    }

    /// Nodes that are added from here on are not started again.
    #[must_use]
    pub fn without_restarts(mut self) -> Self {
        self.restarts = false;
        self
    }

    /// Adds a node, which is started again when it fails.
    #[must_use]
    pub fn with(mut self, id: &str, kind: &str, env: &[(&str, &str)]) -> Self {
        let restarts = if self.restarts { "restart_policy: on-failure\n    restart_delay: 0.2" } else { "restart_policy: never" };
        let _ = write!(
            self.text,
            "  - id: {id}
    path: bin/{kind}
    {restarts}
    inputs:
      tick: dora/timer/millis/500
      readings: {{ source: source/readings, queue_size: 256, queue_policy: backpressure }}
    env:
"
        );
        env.iter().for_each(|(name, value)| self.text.push_str(&format!("      {name}: '{value}'\n")));
        self
    }

    /// Adds `store` with everything that it can write, and `webhook_sink` to `port`, all on `disk`.
    #[must_use]
    pub fn with_all_on(self, disk: &Path, port: u16) -> Self {
        let at = |name: &str| disk.join(name).display().to_string();
        let (jsonl, sqlite, parquet, evidence, spool) =
            (at("readings.jsonl"), at("readings.sqlite"), at("parquet"), at("evidence"), at("spool"));
        let store = [
            ("FORMAT", "jsonl,sqlite,parquet"),
            ("JSONL", &jsonl),
            ("SQLITE", &sqlite),
            ("PARQUET_DIR", &parquet),
            ("PARQUET_S", "1"),
            ("EVIDENCE_DIR", &evidence),
            ("FSYNC", "true"),
        ];
        let url = format!("http://127.0.0.1:{port}/readings");
        // A small spool begins a new file every 200 readings or so.
        let sink = [("URL", url.as_str()), ("SPOOL_DIR", &spool), ("SPOOL_MB", "1"), ("RETRY_MS", "200"), ("FINISH_MS", "30000")];
        self.with("store", "store", &store).with("sink", "webhook_sink", &sink)
    }

    /// Writes it into the sandbox, where dora also puts its logs; the path of the graph.
    ///
    /// # Panics
    /// If the sandbox cannot be written.
    #[must_use]
    pub fn write(self) -> String {
        let site = site_folder(self.sandbox);
        let path = site.join("site.yml");
        std::fs::write(&path, self.text).expect("the sandbox can be written");
        path.display().to_string()
    }
}

/// A folder for a graph of a test, with `bin` and `modules` as in `graphs`.
///
/// # Panics
/// If the sandbox cannot be written.
#[must_use]
pub fn site_folder(sandbox: &Sandbox) -> std::path::PathBuf {
    let site = sandbox.path("site");
    std::fs::create_dir_all(&site).expect("the sandbox can be written");
    let link = |target: &Path, name: &str| {
        // A test may have put programs of its own there.
        if !site.join(name).exists() {
            std::os::unix::fs::symlink(target, site.join(name)).expect("the sandbox can be written");
        }
    };
    link(files::program("gantry").parent().expect("programs lie in a folder"), "bin");
    link(&files::root().join("graphs/modules"), "modules");
    site
}

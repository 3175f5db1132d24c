//! A live site under dora's coordinator, in a sandbox: started, watched, changed and stopped as people do it.

use crate::processes::Process;
use crate::{Finished, Sandbox, files, site_folder};
use serde_json::Value;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Name of the dataflow.
const NAME: &str = "site";

/// A running site. Its folder is `site` of the sandbox, with `bin` and `modules` as in `graphs/sites`; dora's logs lie in it.
pub struct Site<'a> {
    sandbox: &'a Sandbox,
    port: String,
    env: Vec<(String, String)>,
    launcher: Vec<String>,
}

impl<'a> Site<'a> {
    /// Starts `graph` under a coordinator of its own; `env` is for dora's daemon and all nodes.
    ///
    /// # Panics
    /// If dora refuses it.
    #[must_use]
    pub fn start(sandbox: &'a Sandbox, graph: &str, env: &[(&str, &str)]) -> Self {
        Self::start_by(&[], sandbox, graph, env)
    }

    /// As [`Site::start`], with `launcher` (`nice -n 5`) in front of dora.
    ///
    /// # Panics
    /// As [`Site::start`].
    #[must_use]
    pub fn start_by(launcher: &[&str], sandbox: &'a Sandbox, graph: &str, env: &[(&str, &str)]) -> Self {
        let folder = site_folder(sandbox);
        let graph = graph.replace("../../models", &files::root().join("models").display().to_string());
        std::fs::write(folder.join("site.yml"), graph).expect("the sandbox can be written");
        std::fs::create_dir_all(sandbox.path("home")).expect("the sandbox can be written");
        let port = free_port().to_string();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let site = Self { sandbox, port, env, launcher: launcher.iter().map(|&word| word.to_owned()).collect() };
        site.dora(&["up"], 30).assert_code(0);
        let path = folder.join("site.yml").display().to_string();
        site.dora(&["start", &path, "--name", NAME, "--detach"], 60).assert_code(0);
        site
    }

    /// Runs dora with `arguments` for this site's coordinator.
    ///
    /// # Panics
    /// If it takes longer than `limit_s`.
    #[must_use]
    pub fn dora(&self, arguments: &[&str], limit_s: u64) -> Finished {
        let mut command = by(&self.launcher, self.sandbox.dora());
        self.point(&mut command).args(arguments);
        self.sandbox.run(command, limit_s)
    }

    /// Runs a script of the project that calls dora, for this site.
    ///
    /// # Panics
    /// If it takes longer than `limit_s`.
    #[must_use]
    pub fn script(&self, path: &str, arguments: &[&str], limit_s: u64) -> Finished {
        let dora = self.sandbox.dora();
        let mut command = self.sandbox.command(files::root().join(path));
        self.point(&mut command).env("DORA", dora.get_program()).args(arguments);
        self.sandbox.run(command, limit_s)
    }

    /// At this site's coordinator, and with the settings of zenoh that a site has where nobody gives any: those of our nodes.
    fn point<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env_remove(gantry_node::ZENOH_OVERLAY_ENV);
        command.env("HOME", self.sandbox.path("home")).env("DORA_COORDINATOR_PORT", &self.port);
        command.env("GANTRY_RUN_DIR", self.sandbox.path("tmp/run")).envs(self.env.iter().cloned())
    }

    /// Stops the site and dora.
    ///
    /// # Panics
    /// If a node did not end in order.
    pub fn stop(self) {
        // With dora's own grace: the end of its node API alone may take 9 s on a busy machine.
        self.dora(&["stop", NAME], 60).assert_code(0);
        // Takes coordinator and daemon away; dora 1.1 reports its own broken connection then.
        let _ = self.dora(&["down"], 30);
    }

    /// Processes of nodes whose names begin with `prefix`.
    #[must_use]
    pub fn processes(&self, prefix: &str) -> Vec<Process> {
        let wanted = format!("node_id: {prefix}");
        let is_one = |process: &Process| {
            let environ = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            environ.windows(wanted.len()).any(|w| w == wanted.as_bytes())
        };
        self.sandbox.processes().into_iter().filter(is_one).collect()
    }

    /// Waits until it `holds`.
    ///
    /// # Panics
    /// If that takes longer than `limit_s`; with the ends of the nodes' logs.
    #[track_caller]
    pub fn wait(&self, limit_s: u64, what: &str, holds: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < Duration::from_secs(limit_s), "after {limit_s} s still not: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until a node has logged that. Its lines reach their file by way of dora's daemon, later than what it counted at the same moment.
    ///
    /// # Panics
    /// If that takes longer than `limit_s`; with the ends of the nodes' logs.
    #[track_caller]
    pub fn says(&self, limit_s: u64, node: &str, text: &str) {
        self.wait(limit_s, &format!("`{node}` says `{text}`"), |site| site.log(node).contains(text));
    }

    /// Statistics of a node; null if there are none yet. They are written once a second.
    #[must_use]
    pub fn stats(&self, node: &str) -> Value {
        self.sandbox.stats().remove(node).unwrap_or_default()
    }

    /// A counter of a node, 0 if it has not counted yet.
    #[must_use]
    pub fn counter(&self, node: &str, name: &str) -> u64 {
        self.stats(node)["counters"][name].as_u64().unwrap_or(0)
    }

    /// The process of a node. Those of one kind are told apart by the node that dora names to them.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn process(&self, node: &str) -> Process {
        let kind = node.rsplit('.').next().unwrap_or(node);
        let is_it = |process: &Process| {
            let environ = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            let wanted = |variable: &[u8]| variable.windows(node.len()).any(|w| w == node.as_bytes());
            process.name() == kind && (kind == node || environ.split(|b| *b == 0).any(wanted))
        };
        self.sandbox.processes().into_iter().find(is_it).unwrap_or_else(|| panic!("no process of {node}\n{}", self.logs()))
    }

    /// What a node has logged, quotes unescaped.
    #[must_use]
    pub fn log(&self, node: &str) -> String {
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default().replace("\\\"", "\"");
        let is_its = |path: &&PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy() == format!("log_{node}.jsonl"));
        self.log_files().iter().filter(is_its).map(read).collect()
    }

    fn log_files(&self) -> Vec<PathBuf> {
        let runs = std::fs::read_dir(self.sandbox.path(NAME).join("out")).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> =
            runs.flat_map(|run| std::fs::read_dir(run.path()).into_iter().flatten().flatten()).map(|f| f.path()).collect();
        files.sort();
        files
    }

    fn logs(&self) -> String {
        let mut all = String::new();
        for file in self.log_files() {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(8)..].join("\n");
            all.push_str(&format!("--- end of {}\n{end}\n", file.file_name().unwrap_or_default().to_string_lossy()));
        }
        all
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

/// The shipped site `graphs/sites/NAME.yml` with all that it writes in the sandbox (`out/NAME`) and its pages at free ports.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn shipped(sandbox: &Sandbox, name: &str) -> String {
    let file = files::root().join(format!("graphs/sites/{name}.yml"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let text = text
        .replace(&format!("GANTRY_RUN_DIR: ../../out/{name}"), &format!("GANTRY_RUN_DIR: {}", sandbox.path("tmp/run").display()))
        .replace("../../out", &sandbox.path("out").display().to_string())
        .replace("../../tests/clips", &files::root().join("tests/clips").display().to_string());
    let mut parts = text.split("LISTEN: \"127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        format!("{text}LISTEN: \"127.0.0.1:{}{}", free_port(), part.trim_start_matches(|c: char| c.is_ascii_digit()))
    })
}

/// `command`, called by `launcher`.
fn by(launcher: &[String], command: Command) -> Command {
    let Some((program, arguments)) = launcher.split_first() else { return command };
    let mut launched = Command::new(program);
    launched.args(arguments).arg(command.get_program()).args(command.get_args()).stdin(std::process::Stdio::null());
    launched.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        launched.current_dir(folder);
    }
    launched
}

/// A graph of cameras that are only decoded and looked at by `witness`, which writes [`Sandbox::seen`]: `name` and further parameters of each.
#[must_use]
pub fn watched(sandbox: &Sandbox, cameras: &[(&str, &str)]) -> String {
    let camera = |(name, params): &(&str, &str)| {
        format!("  - id: {name}\n    module: modules/live_camera.module.yml\n    params: {{ name: {name}, {params} }}\n")
    };
    let all: String = cameras.iter().map(camera).collect();
    let names: Vec<&str> = cameras.iter().map(|(name, _)| *name).collect();
    format!("env: {{ GANTRY_MODE: live }}\nnodes:\n{all}{}", witness(sandbox, &names))
}

/// `tests/graphs/two_live_cameras.yml`, which reads the plates of `gate` and `road`, with `witness` beside it.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn two_live_cameras(sandbox: &Sandbox) -> String {
    let file = files::root().join("tests/graphs/two_live_cameras.yml");
    let graph = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    format!("{graph}\n{}", witness(sandbox, &["gate", "road"]))
}

fn witness(sandbox: &Sandbox, cameras: &[&str]) -> String {
    let input = |name: &&str| format!("      frames_{name}: {{ source: {name}/frames, queue_size: 8, queue_policy: backpressure }}\n");
    let inputs: String = cameras.iter().map(input).collect();
    let out = sandbox.path("seen.jsonl");
    format!(
        "  - id: witness\n    path: bin/witness\n    inputs:\n      tick: dora/timer/millis/500\n{inputs}    env: {{ OUT: {} }}\n",
        out.display()
    )
}

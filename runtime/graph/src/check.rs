//! Compares a graph with the contracts of its nodes and with the rules of the engine; all faults at once.

use crate::contracts::{contract_of, contracts};
use crate::faults::{GraphFault, nearest};
use crate::file::{Graph, InputSpec, NodeSpec, Origin};
use crate::{memory, pools};
use gantry_contract::{Contract, ParamKind, ParamSet, Port};
use std::collections::BTreeSet;
use std::path::Path;

/// Keys that dora 1.1 knows for a node.
const NODE_KEYS: &[&str] = &[
    "id",
    "name",
    "description",
    "path",
    "path_sha256",
    "args",
    "env",
    "build",
    "git",
    "branch",
    "tag",
    "rev",
    "hub",
    "module",
    "params",
    "operator",
    "operators",
    "ros2",
    "custom",
    "inputs",
    "outputs",
    "input_types",
    "output_types",
    "output_metadata",
    "output_framing",
    "pattern",
    "shared_memory_pool_size",
    "send_stdout_as",
    "send_logs_as",
    "restart_policy",
    "max_restarts",
    "restart_delay",
    "max_restart_delay",
    "restart_window",
    "health_check_timeout",
    "startup_timeout",
    "finish_grace_secs",
    "cpu_affinity",
    "min_log_level",
    "max_log_size",
    "max_rotated_files",
    "deploy",
    "_unstable_deploy",
    "type_rules",
    "inputs_optional",
];

/// Keys that dora 1.1 knows at the top of a graph.
const ROOT_KEYS: &[&str] = &[
    "nodes",
    "env",
    "deploy",
    "_unstable_deploy",
    "debug",
    "_unstable_debug",
    "health_check_interval",
    "strict_types",
    "type_rules",
    "exit_when_nodes_finish",
    "communication",
];

/// Queues shorter than this lose messages while a node starts or works: packets, frames and groups under way.
const MIN_QUEUE: u64 = 64;
/// Live edges with buffers: what is lost there is an old frame, and each place costs a buffer.
const MIN_LIVE_QUEUE: u64 = 4;

/// Checks `graph` without starting anything. Sorted by node; empty if the graph is sound.
pub fn check(graph: &Graph) -> Vec<GraphFault> {
    let file = graph.file.display().to_string();
    let mut faults = Vec::new();
    check_root(graph, &file, &mut faults);
    let mut seen = BTreeSet::new();
    for node in &graph.nodes {
        if !seen.insert(node.id.as_str()) {
            faults.push(GraphFault::new(&file, &node.id, "", "the id is used twice").hint("give every node an id of its own"));
        }
        let checker = Checker { graph, file: &file, node, contract: contract_of(node.kind()) };
        checker.keys(&mut faults);
        checker.program(&mut faults);
        checker.timer(&mut faults);
        checker.ports(&mut faults);
        checker.edges(&mut faults);
        checker.params(&mut faults);
        pools::check(graph, &file, node, &mut faults);
        pools::check_passed_on(graph, &file, node, &mut faults);
        memory::check(graph, &file, node, &mut faults);
    }
    faults.sort();
    faults
}

fn check_root(graph: &Graph, file: &str, faults: &mut Vec<GraphFault>) {
    for key in graph.yaml.keys().map(crate::file::text_of) {
        if !ROOT_KEYS.contains(&key.as_str()) {
            let mut fault = GraphFault::new(file, "", format!("key `{key}`"), "dora knows no such key");
            fault.hint = nearest(&key, ROOT_KEYS.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            faults.push(fault);
        }
    }
    if let Some((_, mode)) = graph.env.iter().find(|(k, _)| k == "GANTRY_MODE")
        && mode != "live"
        && mode != "lossless"
    {
        let fault = GraphFault::new(file, "", "env `GANTRY_MODE`", format!("`{mode}` is neither `live` nor `lossless`"));
        faults.push(fault.hint("`lossless` for files: every frame is read; `live` for cameras: the newest frame wins"));
    }
    if let Some(budget) = graph.env.iter().find(|(k, _)| k == "GANTRY_COPIES_PER_FRAME").map(|(_, v)| v)
        && budget.parse::<u32>().is_err()
    {
        let fault = GraphFault::new(file, "", "env `GANTRY_COPIES_PER_FRAME`", format!("`{budget}` is no number of copies"));
        faults.push(fault.hint("0 where no frame is to be copied, 1 where each is uploaded once"));
    }
    if graph.nodes.is_empty() {
        faults.push(GraphFault::new(file, "", "", "has no nodes"));
    }
}

struct Checker<'a> {
    graph: &'a Graph,
    file: &'a str,
    node: &'a NodeSpec,
    contract: Option<&'static Contract>,
}

impl Checker<'_> {
    fn fault(&self, place: impl Into<String>, what: impl Into<String>) -> GraphFault {
        GraphFault::new(self.file, &self.node.id, place, what)
    }

    fn keys(&self, faults: &mut Vec<GraphFault>) {
        for key in &self.node.keys {
            if !NODE_KEYS.contains(&key.as_str()) {
                let mut fault = self.fault(format!("key `{key}`"), "dora knows no such key");
                fault.hint = nearest(key, NODE_KEYS.iter().copied()).map(|n| format!("did you mean `{n}`?"));
                faults.push(fault);
            }
        }
    }

    fn program(&self, faults: &mut Vec<GraphFault>) {
        let Some(path) = self.node.path.as_deref() else {
            if !self.node.keys.iter().any(|k| matches!(k.as_str(), "operator" | "operators" | "git" | "hub" | "ros2")) {
                faults.push(self.fault("", "names no program").hint("add `path: bin/<node kind>`"));
            }
            return;
        };
        if path == "dynamic" || path.contains("://") || path.starts_with('$') {
            return;
        }
        let full = self.graph.folder.join(path);
        let kind = self.node.kind();
        if full.is_file() {
            return;
        }
        let mut fault = self.fault("", format!("program `{path}` does not exist"));
        fault.hint = Some(match (self.contract, nearest(kind, contracts().keys().map(String::as_str))) {
            (Some(_), _) => "build it: `cargo build --release` (or `cargo xtask setup` for everything)".to_owned(),
            (None, Some(near)) => format!("did you mean `{}`?", path.replace(kind, near)),
            (None, None) => format!("paths start at the folder of the graph file: `{}`", full.display()),
        });
        faults.push(fault);
    }

    fn timer(&self, faults: &mut Vec<GraphFault>) {
        let has_timer = self.node.inputs.iter().any(|i| matches!(&i.origin, Origin::Dora(what) if what.starts_with("timer/")));
        if !has_timer {
            let fault = self.fault("", "has no timer input, so that dora cannot restart it and its statistics stand still");
            faults.push(fault.hint("add `tick: dora/timer/millis/500` to its inputs"));
        }
    }

    /// Ports that the contract asks for, outputs that it does not have.
    fn ports(&self, faults: &mut Vec<GraphFault>) {
        let Some(contract) = self.contract else { return };
        for port in contract.inputs.iter() {
            let edges = self.data_inputs().filter(|i| contract.input_port(&i.id).is_some_and(|p| p.name == port.name)).count();
            if edges == 0 && port.arity.is_required() {
                let fault =
                    self.fault(format!("input `{}`", port.name), format!("is missing; `{}` takes `{}` there", contract.name, port.message));
                faults.push(fault.hint(format!("connect an output that sends `{}`", port.message)));
            }
            if edges > 1 && !port.arity.takes_several() {
                faults.push(self.fault(format!("input `{}`", port.name), format!("has {edges} edges, takes one")));
            }
        }
        for output in &self.node.outputs {
            if contract.output(output).is_none() {
                let mut fault = self.fault(format!("output `{output}`"), format!("`{}` has no such output", contract.name));
                let names = || contract.outputs.iter().map(|p| p.name.as_ref());
                fault.hint = Some(match nearest(output, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has: {}", list(names())),
                });
                faults.push(fault);
            }
        }
    }

    fn data_inputs(&self) -> impl Iterator<Item = &InputSpec> {
        self.node.inputs.iter().filter(|i| !matches!(i.origin, Origin::Dora(_)))
    }

    fn edges(&self, faults: &mut Vec<GraphFault>) {
        for input in self.data_inputs() {
            let place = format!("input `{}`", input.id);
            let port = self.contract.and_then(|c| c.input_port(&input.id));
            if let (Some(contract), None) = (self.contract, port) {
                let mut fault = self.fault(&place, format!("`{}` has no such input", contract.name));
                let names = || contract.inputs.iter().map(|p| p.name.as_ref());
                fault.hint = Some(match nearest(&input.id, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has: {} (and `<name>_<anything>` where several edges may end)", list(names())),
                });
                faults.push(fault);
            }
            let (from, output) = match &input.origin {
                Origin::Output { node, output } => (node, output),
                Origin::Dora(_) => continue,
                Origin::Unreadable(text) => {
                    let fault = self.fault(&place, format!("source `{text}` is no `node/output`"));
                    faults.push(fault.hint("name the output too, e.g. `decode_cam0/frames`"));
                    continue;
                }
            };
            self.queue(input, port, &place, faults);
            let Some(source) = self.graph.node(from) else {
                let mut fault = self.fault(&place, format!("source node `{from}` does not exist"));
                fault.hint = nearest(from, self.graph.nodes.iter().map(|n| n.id.as_str())).map(|n| format!("did you mean `{n}/{output}`?"));
                faults.push(fault);
                continue;
            };
            if !source.outputs.contains(output) {
                let mut fault = self.fault(&place, format!("node `{from}` lists no output `{output}`"));
                fault.hint = Some(match nearest(output, source.outputs.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{from}/{near}`?"),
                    None => format!("its outputs: {}", list(source.outputs.iter().map(String::as_str))),
                });
                faults.push(fault);
                continue;
            }
            let sent = contract_of(source.kind()).and_then(|c| c.output(output));
            if let (Some(port), Some(sent)) = (port, sent) {
                if port.message != sent.message {
                    let what = format!(
                        "message type differs\n  `{from}/{output}` sends `{}`, `{}` takes `{}`",
                        sent.message, self.node.id, port.message
                    );
                    faults.push(self.fault(&place, what).hint(format!("connect an output that sends `{}`", port.message)));
                }
                let has_handles = pools::has_buffers(&port.message);
                let (mode, their_mode) = (pools::mode(self.graph, self.node), pools::mode(self.graph, source));
                if mode != their_mode && has_handles {
                    let what = format!("`{}` reads buffers in {mode} mode that `{from}` makes in {their_mode} mode", self.node.id);
                    faults.push(self.fault(&place, what).hint("set `GANTRY_MODE` once, in the `env` at the top of the graph"));
                }
                if port.feedback && !pools::is_live(self.graph, self.node) {
                    let what = format!(
                        "`{}` would read what comes back from further down, `{from}/{output}`, in a lossless run, which would differ from run to run",
                        self.node.id
                    );
                    faults.push(
                        self.fault(&place, what)
                            .hint("take this edge out, or set `GANTRY_MODE: live` in the `env` at the top of the graph"),
                    );
                }
                let machine =
                    |node: &NodeSpec| node.machine.as_ref().map_or_else(|| "a machine that dora chooses".to_owned(), |m| format!("`{m}`"));
                let (here, there) = (machine(self.node), machine(source));
                if here != there && has_handles {
                    let what = format!("buffer handles cannot cross machines: `{from}` runs on {there}, `{}` on {here}", self.node.id);
                    faults.push(
                        self.fault(&place, what)
                            .hint("let `packets/v1` or a result message cross instead: put `decode` on the reading machine, or `pack` here and `unpack` there"),
                    );
                }
            }
        }
    }

    fn queue(&self, input: &InputSpec, port: Option<&Port>, place: &str, faults: &mut Vec<GraphFault>) {
        let may_drop = pools::is_live(self.graph, self.node) && port.is_some_and(|p| pools::has_pictures(&p.message));
        let (least, usual) = if may_drop { (MIN_LIVE_QUEUE, 8) } else { (MIN_QUEUE, 256) };
        if input.queue_policy.as_deref() != Some("backpressure") {
            let fault = self.fault(place, "dora drops messages of this edge without a word under load");
            faults.push(fault.hint("write the source as `{ source: ..., queue_size: 256, queue_policy: backpressure }`"));
        } else if input.queue_size.unwrap_or(10) < least {
            let fault = self.fault(place, format!("queue_size {} does not cover what can be under way", input.queue_size.unwrap_or(10)));
            faults.push(fault.hint(format!("set `queue_size` to {least} or more; {usual} is usual")));
        }
    }

    fn params(&self, faults: &mut Vec<GraphFault>) {
        let Some(contract) = self.contract else { return };
        let mut env: Vec<(&str, &str)> = Vec::new();
        let library = ["GANTRY_", "DORA_", "RUST_", "ORT_", "LD_", "OMP_", "CUDA_", "NVIDIA_", "ZENOH_"];
        for (key, value) in &self.node.env {
            if !library.iter().any(|p| key.starts_with(p)) && !value.starts_with('$') {
                env.push((key, value));
            }
        }
        for (key, value) in &self.node.module_params {
            if contract.param(&key.to_ascii_lowercase()).is_some() {
                env.push((key, value));
            }
        }
        // A value `$NAME` is known only when the graph starts; it counts as given.
        let later: BTreeSet<String> =
            self.node.env.iter().filter(|(_, v)| v.starts_with('$')).map(|(k, _)| k.to_ascii_lowercase()).collect();
        if let Err(errors) = ParamSet::from_env(contract, env.iter().copied()) {
            for error in errors {
                if let gantry_contract::ParamError::Missing { name, .. } = &error
                    && later.contains(name)
                {
                    continue;
                }
                let mut fault = self.fault("env", error.to_string());
                fault.hint = error.hint().or_else(|| self.meaning(contract, &error));
                faults.push(fault);
            }
        }
        for (key, _) in env.iter().filter(|(_, value)| has_password(value)) {
            let fault = self
                .fault(format!("env `{key}`"), "the address has a user name or password in it, and graph files are for everybody to read");
            faults.push(fault.hint(
                "write `user:password` into a file of mode 0600 and name it in `CREDENTIALS_FILE`, or put it into a variable of dora's daemon and name that in `CREDENTIALS_ENV`",
            ));
        }
        for param in contract.params.iter() {
            let ParamKind::Path { default, must_exist: true, .. } = &param.kind else { continue };
            if later.contains(param.name.as_ref()) {
                continue;
            }
            let given = env.iter().find(|(k, _)| k.eq_ignore_ascii_case(&param.name)).map(|(_, v)| (*v).to_owned());
            let Some(path) = given.or_else(|| default.as_ref().map(ToString::to_string)) else { continue };
            if !path.contains("://") && !path.starts_with('$') && !self.graph.folder.join(&path).exists() {
                let fault = self.fault(format!("env `{}`", param.env_name()), format!("file `{path}` does not exist"));
                faults.push(if Path::new(&path).is_absolute() {
                    fault.hint("name a file that is there")
                } else {
                    fault.hint(format!("paths start at the folder of the graph file: `{}`", self.graph.folder.display()))
                });
            }
        }
    }

    /// What a parameter with a wrong value is for: it tells which value to choose.
    fn meaning(&self, contract: &Contract, error: &gantry_contract::ParamError) -> Option<String> {
        let (gantry_contract::ParamError::Type { name, .. } | gantry_contract::ParamError::Range { name, .. }) = error else { return None };
        let param = contract.param(name)?;
        Some(format!("`{}` is: {}; docs/nodes/{}.md has its default", param.env_name(), param.about, contract.name))
    }
}

/// Whether a value is an address with credentials.
fn has_password(value: &str) -> bool {
    value.split_once("://").is_some_and(|(_, rest)| rest.split(['/', '?']).next().is_some_and(|host| host.contains('@')))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|n| format!("`{n}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

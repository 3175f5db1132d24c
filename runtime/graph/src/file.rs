use crate::edit::MODULE_PARAMETER;
use crate::faults::GraphFault;
use crate::modules;
use serde_yaml::{Mapping, Value};
use std::path::{Path, PathBuf};

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `dora/timer/...`, `dora/logs/...`.
    Dora(String),
    /// An output of a node.
    Output {
        /// Node id.
        node: String,
        /// Output name.
        output: String,
    },
    /// No `node/output` at all.
    Unreadable(String),
}

/// One input of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// Input id.
    pub id: String,
    /// Where it comes from.
    pub origin: Origin,
    /// `queue_size`, if given.
    pub queue_size: Option<u64>,
    /// `queue_policy`, if given.
    pub queue_policy: Option<String>,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// Node id; inside a module `<module id>.<node id>`.
    pub id: String,
    /// Program, as the graph names it.
    pub path: Option<String>,
    /// Inputs in the order of the file.
    pub inputs: Vec<InputSpec>,
    /// Outputs.
    pub outputs: Vec<String>,
    /// `env` of the node as texts.
    pub env: Vec<(String, String)>,
    /// Parameters of the module around it (`PARAM_` in dora's terms).
    pub module_params: Vec<(String, String)>,
    /// Machine that `deploy` names.
    pub machine: Option<String>,
    /// Keys of the node in the file.
    pub keys: Vec<String>,
}

/// A graph file, modules expanded.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The file as it was named.
    pub file: PathBuf,
    /// Its folder: relative paths start here.
    pub folder: PathBuf,
    /// The nodes.
    pub nodes: Vec<NodeSpec>,
    /// `env` of the whole graph.
    pub env: Vec<(String, String)>,
    /// The YAML as it stands, modules not expanded.
    pub yaml: Mapping,
}

impl Graph {
    /// Reads a graph file.
    ///
    /// # Errors
    /// What keeps the file from being read at all: no file, no YAML, no list of nodes, a module that is missing.
    pub fn read(file: &Path) -> Result<Self, Vec<GraphFault>> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|e| {
            vec![GraphFault::new(&name, "", "", format!("cannot be read: {e}")).hint("name a graph file, e.g. graphs/read.yml")]
        })?;
        let folder = match file.parent() {
            Some(p) if p != Path::new("") => p.to_owned(),
            _ => PathBuf::from("."),
        };
        Self::parse(&text, file, folder)
    }

    /// Reads a graph from text; `file` is only named in errors, `folder` is where relative paths start.
    ///
    /// # Errors
    /// As [`Graph::read`].
    pub fn parse(text: &str, file: &Path, folder: PathBuf) -> Result<Self, Vec<GraphFault>> {
        let name = file.display().to_string();
        let broken = |what: String| vec![GraphFault::new(&name, "", "", what)];
        let yaml: Value = serde_yaml::from_str(text).map_err(|e| {
            vec![GraphFault::new(&name, "", "", format!("is no YAML: {e}")).hint("check indentation and quotes near that line")]
        })?;
        let Value::Mapping(yaml) = yaml else { return Err(broken("is no mapping with `nodes`".to_owned())) };
        let Some(Value::Sequence(items)) = yaml.get("nodes") else {
            return Err(vec![
                GraphFault::new(&name, "", "", "has no list `nodes`").hint("a graph is a list of nodes; see graphs/read.yml"),
            ]);
        };
        let mut faults = Vec::new();
        let mut nodes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item {
                Value::Mapping(m) if m.contains_key("module") => modules::expand(&name, &folder, m, &mut nodes, &mut faults),
                Value::Mapping(m) => nodes.push(node_spec(m, index)),
                _ => faults.push(GraphFault::new(&name, "", format!("nodes[{index}]"), "is no mapping")),
            }
        }
        modules::resolve_outputs(items, &mut nodes);
        let of_graph = machine(&yaml);
        nodes.iter_mut().filter(|node| node.machine.is_none()).for_each(|node| node.machine.clone_from(&of_graph));
        let env = pairs(yaml.get("env"));
        if faults.is_empty() { Ok(Self { file: file.to_owned(), folder, nodes, env, yaml }) } else { Err(faults) }
    }

    /// The node of that id.
    pub fn node(&self, id: &str) -> Option<&NodeSpec> {
        self.nodes.iter().find(|n| n.id == id)
    }
}

impl NodeSpec {
    /// What the graph gives for a parameter: in the node's `env`, or in the `params` of its module.
    #[must_use]
    pub fn given(&self, param: &str) -> Option<&str> {
        let own = |pairs: &'_ [(String, String)]| pairs.iter().position(|(name, _)| name.eq_ignore_ascii_case(param));
        own(&self.env).map(|i| self.env[i].1.as_str()).or_else(|| own(&self.module_params).map(|i| self.module_params[i].1.as_str()))
    }

    /// Node kind: the file name of the program.
    pub fn kind(&self) -> &str {
        let path = self.path.as_deref().unwrap_or_default();
        Path::new(path).file_stem().and_then(|s| s.to_str()).unwrap_or_default()
    }
}

pub(crate) fn node_spec(m: &Mapping, index: usize) -> NodeSpec {
    let inputs = match m.get("inputs") {
        Some(Value::Mapping(inputs)) => inputs.iter().map(|(k, v)| input_spec(&text_of(k), v)).collect(),
        _ => Vec::new(),
    };
    let outputs = match m.get("outputs") {
        Some(Value::Sequence(items)) => items.iter().map(text_of).collect(),
        _ => Vec::new(),
    };
    // In a graph whose modules dora has expanded, their parameters stand in `env`.
    let (module_params, env): (Vec<_>, Vec<_>) = pairs(m.get("env")).into_iter().partition(|(k, _)| k.starts_with(MODULE_PARAMETER));
    let bare = |(k, v): (String, String)| (k.trim_start_matches(MODULE_PARAMETER).to_owned(), v);
    NodeSpec {
        id: m.get("id").map_or_else(|| format!("nodes[{index}]"), text_of),
        path: m.get("path").filter(|p| !p.is_null()).map(text_of),
        inputs,
        outputs,
        env,
        module_params: module_params.into_iter().map(bare).collect(),
        machine: machine(m),
        keys: m.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| text_of(k)).collect(),
    }
}

/// Machine that a node, a module or the whole graph is to run on.
pub(crate) fn machine(m: &Mapping) -> Option<String> {
    let deploy = m.get("deploy").or_else(|| m.get("_unstable_deploy"))?;
    deploy.get("machine").map(text_of)
}

fn input_spec(id: &str, value: &Value) -> InputSpec {
    let (source, queue_size, queue_policy) = match value {
        Value::Mapping(m) => (
            m.get("source").map(text_of).unwrap_or_default(),
            m.get("queue_size").and_then(Value::as_u64),
            m.get("queue_policy").map(text_of),
        ),
        other => (text_of(other), None, None),
    };
    InputSpec { id: id.to_owned(), origin: origin_of(&source), queue_size, queue_policy }
}

pub(crate) fn origin_of(source: &str) -> Origin {
    match source.split_once('/') {
        Some(("dora", rest)) => Origin::Dora(rest.to_owned()),
        Some((node, output)) if !node.is_empty() && !output.is_empty() => {
            Origin::Output { node: node.to_owned(), output: output.to_owned() }
        }
        _ => Origin::Unreadable(source.to_owned()),
    }
}

pub(crate) fn pairs(value: Option<&Value>) -> Vec<(String, String)> {
    match value {
        Some(Value::Mapping(m)) => m.iter().map(|(k, v)| (text_of(k), text_of(v))).collect(),
        _ => Vec::new(),
    }
}

/// A scalar as the text that a node gets to see.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        _ => String::new(),
    }
}

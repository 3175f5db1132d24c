//! What a run of `gantry read` will do: sources, the generated graph, the folders.

use super::{ReadArgs, recording};
use crate::failure::Failure;
use crate::paths;
use gantry_contract::ParamKind;
use gantry_graph::{Camera, Graph, check, contract_of, render};
use serde_yaml::{Mapping, Value};
use std::path::{Path, PathBuf};

/// One source and what is known of it before the run.
pub struct Source {
    /// Name of the camera.
    pub camera: Camera,
    /// Frames that the run will read of it, if the container tells.
    pub frames: Option<u64>,
    /// From and to in s of media time, if the container tells.
    pub media_s: Option<(f64, f64)>,
}

/// Everything a run needs.
pub struct Plan {
    /// The sources in the order given.
    pub sources: Vec<Source>,
    /// The generated graph.
    pub graph: PathBuf,
    /// Folder of statistics, faults and logs.
    pub run_dir: PathBuf,
    /// The readings.
    pub out: PathBuf,
    /// Tracks per frame, for the annotated video.
    pub tracks: Option<PathBuf>,
    /// Seconds skipped at the start of each source.
    pub start_s: f64,
    /// Seconds read of each source.
    pub seconds: Option<f64>,
    /// The dora command.
    pub dora: PathBuf,
}

impl Plan {
    /// Removes the run folder unless it is wanted.
    pub fn clean(&self, keep: bool) {
        if keep {
            eprintln!("run folder: {}", self.run_dir.display());
        } else if let Err(e) = std::fs::remove_dir_all(&self.run_dir) {
            eprintln!("warning: {} could not be removed: {e}", self.run_dir.display());
        }
    }
}

/// Checks the sources and the graph, and writes the generated graph.
pub fn plan(args: &ReadArgs) -> Result<Plan, Failure> {
    let dora = paths::dora().ok_or_else(|| Failure::refused("the dora command was not found").hint("run `cargo xtask setup`"))?;
    if !(args.start >= 0.0 && args.start.is_finite()) || args.seconds.is_some_and(|s| !(s > 0.0 && s.is_finite())) {
        return Err(Failure::refused("`--start` must be 0 or more and `--seconds` more than 0"));
    }
    let sources = sources(args)?;
    let graph_file = match &args.graph {
        Some(path) => path.clone(),
        None => paths::project().map(|p| p.join("graphs/read.yml")).ok_or_else(|| {
            Failure::refused("graphs/read.yml was not found").hint("run this inside the project, or name a graph with `--graph`")
        })?,
    };
    let faulty = |faults: &[gantry_graph::GraphFault]| Failure::refused(render(faults));
    let graph = Graph::read(&graph_file).map_err(|f| faulty(&f))?;
    let out = absolute(&args.out)?;
    let evidence = absolute(&args.evidence.clone().unwrap_or_else(|| args.out.with_extension("evidence")))?;
    let parent = out.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)
        .map_err(|e| Failure::refused(format!("{}: {e}", parent.display())).hint("name a folder that can be written with `--out`"))?;
    // Removed again by whatever ends this function early.
    let folder = run_folder()?;
    let run_dir = folder.path().to_owned();
    let tracks = args.annotated.is_some().then(|| run_dir.join("tracks.jsonl"));
    let cameras: Vec<Camera> = sources.iter().map(|s| s.camera.clone()).collect();
    let mut yaml = graph.for_cameras(&cameras).map_err(|f| faulty(&[f]))?;
    adjust(&mut yaml, args, &out, &evidence, tracks.as_deref())?;
    let text = serde_yaml::to_string(&yaml).map_err(|e| Failure::failed(format!("graph cannot be written as YAML: {e}")))?;
    let generated = Graph::parse(&text, &graph_file, run_dir.clone()).map_err(|f| faulty(&f))?;
    let faults = check(&generated);
    if !faults.is_empty() {
        return Err(faulty(&faults));
    }
    let graph = run_dir.join("graph.yml");
    std::fs::write(&graph, text).map_err(|e| Failure::failed(format!("{}: {e}", graph.display())))?;
    // Also so that a run that fails at its start does not show the readings of the last one.
    std::fs::File::create(&out)
        .map_err(|e| Failure::refused(format!("{}: {e}", out.display())).hint("name a file that can be written with `--out`"))?;
    let run_dir = folder.keep();
    Ok(Plan { sources, graph, run_dir, out, tracks, start_s: args.start, seconds: args.seconds, dora })
}

/// A new folder that only this user can enter: the generated graph holds the addresses of streams with their passwords.
fn run_folder() -> Result<tempfile::TempDir, Failure> {
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    tempfile::Builder::new()
        .prefix("gantry-run-")
        .permissions(private)
        .tempdir()
        .map_err(|e| Failure::refused(format!("no folder for the run: {e}")).hint("free some space in the temporary folder, or set TMPDIR"))
}

fn sources(args: &ReadArgs) -> Result<Vec<Source>, Failure> {
    let mut all: Vec<Source> = Vec::new();
    for text in &args.sources {
        let is_url = text.contains("://");
        let source = if is_url { text.clone() } else { absolute(Path::new(text))?.display().to_string() };
        if !is_url && !Path::new(&source).is_file() {
            let what = if Path::new(&source).is_dir() { "is a folder, not a video file" } else { "does not exist" };
            return Err(Failure::refused(format!("{text}: {what}")).hint("name video files or stream addresses"));
        }
        if !is_url && recording::is_recording(&source) {
            all.extend(recording::sources(Path::new(&source), args)?);
            continue;
        }
        let stem = Path::new(text).file_stem().and_then(|s| s.to_str()).filter(|_| !is_url).unwrap_or("camera");
        let name = unused_name(&camera_name(stem), &all);
        let demuxer = gantry_media::Demuxer::open(&source, &gantry_media::OpenOptions::default()).map_err(|e| {
            let failure = Failure::refused(e.to_string());
            failure.hint(e.hint().unwrap_or_else(|| "`gantry probe SOURCE` says more".to_owned()))
        })?;
        let info = demuxer.info();
        let frames = info.duration_ns.filter(|_| info.fps > 0.0).map(|ns| {
            let seconds = (ns as f64 / 1e9 - args.start).max(0.0).min(args.seconds.unwrap_or(f64::INFINITY));
            (seconds * info.fps).round() as u64
        });
        let media_s = info.duration_ns.map(|ns| (args.start, (ns as f64 / 1e9).min(args.start + args.seconds.unwrap_or(f64::INFINITY))));
        all.push(Source { camera: Camera { name, source }, frames, media_s });
    }
    Ok(all)
}

/// Letters, digits, `-` and `_` of a file name; dora node ids and file names take these.
fn camera_name(stem: &str) -> String {
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }).collect();
    if name.is_empty() { "camera".to_owned() } else { name }
}

fn unused_name(name: &str, all: &[Source]) -> String {
    let used = |n: &str| all.iter().any(|s| s.camera.name == n);
    if !used(name) {
        return name.to_owned();
    }
    (2..).map(|i| format!("{name}-{i}")).find(|n| !used(n)).unwrap_or_default()
}

/// Sets what this run decides: the time window, the files, and `--set`.
fn adjust(yaml: &mut Mapping, args: &ReadArgs, out: &Path, evidence: &Path, tracks: Option<&Path>) -> Result<(), Failure> {
    let Some(Value::Sequence(nodes)) = yaml.get_mut("nodes") else { return Ok(()) };
    let mut tracker = None;
    for node in nodes.iter_mut().filter_map(Value::as_mapping_mut) {
        match kind_of(node).as_str() {
            "camera" => {
                if args.start > 0.0 {
                    set(node, "START_S", &args.start.to_string());
                }
                if let Some(seconds) = args.seconds {
                    set(node, "SECONDS", &seconds.to_string());
                }
                if let Some(speed) = args.speed {
                    set(node, "PACE", "realtime");
                    set(node, "SPEED", &speed.to_string());
                }
            }
            "store" => {
                set(node, "JSONL", &out.display().to_string());
                set(node, "EVIDENCE_DIR", &evidence.display().to_string());
            }
            "track" => tracker = node.get("id").and_then(Value::as_str).map(str::to_owned),
            _ => {}
        }
    }
    if let (Some(path), Some(tracker)) = (tracks, tracker) {
        for node in nodes.iter_mut().filter_map(Value::as_mapping_mut).filter(|n| kind_of(n) == "store") {
            set(node, "TRACKS", &path.display().to_string());
            let edge = Mapping::from_iter([
                (Value::from("source"), Value::from(format!("{tracker}/tracks"))),
                (Value::from("queue_size"), Value::from(256)),
                (Value::from("queue_policy"), Value::from("backpressure")),
            ]);
            if let Some(Value::Mapping(inputs)) = node.get_mut("inputs") {
                inputs.insert(Value::from("tracks"), Value::Mapping(edge));
            }
        }
    }
    if let Some(out) = &args.record {
        recording::add(nodes, &absolute(out)?);
    }
    for text in &args.set {
        let parts = text.split_once('=').and_then(|(key, value)| key.rsplit_once('.').map(|(node, name)| (node, name, value)));
        let Some((id, name, value)) = parts else {
            return Err(Failure::refused(format!("`--set {text}` is not NODE.NAME=VALUE")).hint("e.g. `--set vote.MIN_CONFIDENCE=0.6`"));
        };
        let mut found = false;
        for node in nodes.iter_mut().filter_map(Value::as_mapping_mut) {
            let node_id = node.get("id").and_then(Value::as_str).unwrap_or_default();
            if node_id == id || kind_of(node) == id {
                let value = typed(&kind_of(node), name, value)?;
                set(node, &name.to_ascii_uppercase(), &value);
                found = true;
            }
        }
        if !found {
            return Err(Failure::refused(format!("`--set {text}`: the graph has no node `{id}`")));
        }
    }
    Ok(())
}

/// A path that is given on the command line starts where that was typed, not in the folder of the run.
fn typed(kind: &str, name: &str, value: &str) -> Result<String, Failure> {
    let param = contract_of(kind).and_then(|contract| contract.param(&name.to_ascii_lowercase()));
    let is_path = param.is_some_and(|p| matches!(p.kind, ParamKind::Path { .. }));
    if is_path && !value.is_empty() && !value.starts_with('$') {
        Ok(absolute(Path::new(value))?.display().to_string())
    } else {
        Ok(value.to_owned())
    }
}

pub(super) fn kind_of(node: &Mapping) -> String {
    let path = node.get("path").and_then(Value::as_str).unwrap_or_default();
    Path::new(path).file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_owned()
}

pub(super) fn set(node: &mut Mapping, name: &str, value: &str) {
    let env = node.entry(Value::from("env")).or_insert_with(|| Value::Mapping(Mapping::new()));
    if let Value::Mapping(env) = env {
        env.insert(Value::from(name), Value::from(value));
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::refused(format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_look_into_the_folder_of_a_run() {
        let folder = run_folder().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(folder.path()).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_path_in_set_starts_where_the_command_was_typed() {
        let here = std::env::current_dir().unwrap().join("new.onnx").display().to_string();
        assert_eq!(typed("recognize", "model", "new.onnx").unwrap(), here);
        assert_eq!(typed("recognize", "MODEL", "/models/new.onnx").unwrap(), "/models/new.onnx");
        assert_eq!(typed("vote", "RULE", "best_frame").unwrap(), "best_frame");
        assert_eq!(typed("enhance", "OPERATORS", "").unwrap(), "");
    }

    #[test]
    fn camera_names_are_safe_and_differ() {
        assert_eq!(camera_name("Gate 1 (north).x"), "Gate_1__north__x");
        let first = Source { camera: Camera { name: "a".into(), source: String::new() }, frames: None, media_s: None };
        assert_eq!(unused_name("a", &[first]), "a-2");
        assert_eq!(unused_name("b", &[]), "b");
    }
}

//! What a run of `gantry read` will do: sources, the generated graph, the folders.

use super::{ReadArgs, adjust, base, provenance, recording};
use crate::failure::Failure;
use crate::paths;
use gantry_graph::{Camera, Graph, check, render};
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
    /// Seconds after which a live graph is stopped.
    pub stop_after: Option<f64>,
    /// dora starts nodes of this graph again when they fail.
    pub restarts_nodes: bool,
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
    let sources = if args.whole.is_some() { Vec::new() } else { sources(args)? };
    let mut base = base::base(args, &sources, &dora)?;
    // Removed again by whatever ends this function early.
    let folder = run_folder()?;
    let run_dir = folder.path().to_owned();
    let tracks = args.annotated.is_some().then(|| run_dir.join("tracks.jsonl"));
    let own = adjust::own_readings(&base.yaml).filter(|_| args.keeps_own_readings());
    let out = match &own {
        Some(own) => own.clone(),
        None if args.keeps_own_readings() => run_dir.join("readings.jsonl"),
        None => absolute(&args.out)?,
    };
    let evidence = absolute(&args.evidence.clone().unwrap_or_else(|| out.with_extension("evidence")))?;
    let parent = out.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)
        .map_err(|e| Failure::refused(format!("{}: {e}", parent.display())).hint("name a folder that can be written with `--out`"))?;
    adjust::adjust(&mut base, args, &out, &evidence, tracks.as_deref())?;
    let yaml = base.yaml;
    let text = serde_yaml::to_string(&yaml).map_err(|e| Failure::failed(format!("graph cannot be written as YAML: {e}")))?;
    let generated = Graph::parse(&text, &base.file, run_dir.clone()).map_err(|f| faulty(&f))?;
    let faults = check(&generated);
    if !faults.is_empty() {
        return Err(faulty(&faults));
    }
    provenance::tell(args, &generated);
    let graph = run_dir.join("graph.yml");
    std::fs::write(&graph, text).map_err(|e| Failure::failed(format!("{}: {e}", graph.display())))?;
    if own.is_none() {
        // Also so that a run that fails at its start does not show the readings of the last one.
        std::fs::File::create(&out)
            .map_err(|e| Failure::refused(format!("{}: {e}", out.display())).hint("name a file that can be written with `--out`"))?;
    }
    let run_dir = folder.keep();
    // A live camera has no end of its own.
    let stop_after = args.seconds.filter(|_| args.whole.is_some() && adjust::is_live(&generated));
    let restarts_nodes = generated.nodes.iter().any(|node| node.keys.iter().any(|key| key == "restart_policy"));
    let (start_s, seconds) = (args.start, args.seconds);
    Ok(Plan { sources, graph, run_dir, out, tracks, start_s, seconds, stop_after, restarts_nodes, dora })
}

pub(super) fn faulty(faults: &[gantry_graph::GraphFault]) -> Failure {
    Failure::refused(render(faults))
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
    let login = args.access.login()?;
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
        let demuxer = gantry_media::Demuxer::open(&login.address(&source)?, &args.access.options(&source)?).map_err(|e| {
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

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
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
    fn camera_names_are_safe_and_differ() {
        assert_eq!(camera_name("Gate 1 (north).x"), "Gate_1__north__x");
        let first = Source { camera: Camera { name: "a".into(), source: String::new() }, frames: None, media_s: None };
        assert_eq!(unused_name("a", &[first]), "a-2");
        assert_eq!(unused_name("b", &[]), "b");
    }
}

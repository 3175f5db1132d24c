//! Recordings as sources of a run, and the node that writes one.

use super::adjust::{kind_of, set};
use super::plan::Source;
use super::{ReadArgs, base};
use crate::failure::Failure;
use gantry_graph::{Camera, contract_of};
use gantry_recording::{OpenError, Recording, Survey};
use serde_yaml::{Mapping, Value};
use std::path::Path;

/// Results that are recorded beside the packets.
const RESULTS: &[&str] = &["tracks", "readings"];

/// Whether `source` is a recording, by its name.
pub fn is_recording(source: &str) -> bool {
    Path::new(source).extension().is_some_and(|e| e.eq_ignore_ascii_case("mcap"))
}

/// The cameras of a recording that are wanted. Says on stderr what is missing of it.
pub fn sources(path: &Path, args: &ReadArgs) -> Result<Vec<Source>, Failure> {
    let recording = Recording::open(path).map_err(refused)?;
    let survey = recording.survey().map_err(refused)?;
    for fault in survey.faults() {
        eprintln!("warning: {}: {fault}", path.display());
    }
    let wanted = if args.cameras.is_empty() { survey.cameras.iter().map(|c| c.name.clone()).collect() } else { args.cameras.clone() };
    if wanted.is_empty() {
        return Err(Failure::refused(format!("{}: holds no packets of any camera", path.display()))
            .hint("`record` writes packets if they are connected to it"));
    }
    wanted.iter().map(|name| source(path, &recording, &survey, name, args)).collect()
}

fn source(path: &Path, recording: &Recording, survey: &Survey, name: &str, args: &ReadArgs) -> Result<Source, Failure> {
    let name = recording.camera(survey, Some(name)).map_err(refused)?;
    let frames = survey.cameras.iter().find(|c| c.name == name).and_then(|camera| {
        let (first, last) = camera.media_ns?;
        let all = (last - first) as f64 / 1e9;
        let part = (all - args.start).clamp(0.0, args.seconds.unwrap_or(f64::INFINITY));
        Some(if all > 0.0 { (camera.shown as f64 * part / all).round() as u64 } else { camera.shown })
    });
    let media_s = survey.cameras.iter().find(|c| c.name == name).and_then(|c| c.media_ns).map(|(first, last)| {
        let (first, last) = (first as f64 / 1e9, last as f64 / 1e9);
        (first + args.start, last.min(first + args.start + args.seconds.unwrap_or(f64::INFINITY)))
    });
    Ok(Source { camera: Camera { name, source: path.display().to_string() }, frames, media_s })
}

fn refused(error: OpenError) -> Failure {
    Failure::refused(error.to_string()).hint("name a recording that `record` has written")
}

/// Adds a `record` node that takes the packets of every camera and those results whose names are in `wanted`.
///
/// # Errors
/// If a name is none that `record` takes, or the program is missing.
pub fn add(nodes: &mut Vec<Value>, out: &Path, wanted: &[String], live: bool) -> Result<(), Failure> {
    let recorder = contract_of("record");
    let ports: Vec<&str> = recorder.iter().flat_map(|c| c.inputs.iter()).map(|p| p.name.as_ref()).collect();
    let results: Vec<&str> = if wanted.is_empty() { RESULTS.to_vec() } else { wanted.iter().map(String::as_str).collect() };
    if let Some(unknown) = results.iter().find(|name| !ports.contains(*name)) {
        return Err(Failure::refused(format!("`--results {unknown}`: `record` takes no such messages"))
            .hint(format!("it takes {}", ports.join(", "))));
    }
    let mut inputs = Mapping::from_iter([(Value::from("tick"), Value::from("dora/timer/millis/500"))]);
    for node in nodes.iter().filter_map(Value::as_mapping) {
        let (contract, id) = (contract_of(&kind_of(node)), node.get("id").and_then(Value::as_str).unwrap_or_default());
        for output in node.get("outputs").and_then(Value::as_sequence).into_iter().flatten().filter_map(Value::as_str) {
            // What is passed on is recorded where it comes from.
            if contract.and_then(|c| c.output(output)).is_some_and(|port| port.passed_on) {
                continue;
            }
            // An output of a node that is not ours is known by its name.
            let sent = contract.map_or(Some(output), |c| c.output(output).and_then(|p| p.message.split('/').next()));
            let Some(name) = sent.filter(|name| *name == "packets" || results.contains(name)) else { continue };
            let edge = Mapping::from_iter([
                (Value::from("source"), Value::from(format!("{id}/{output}"))),
                (Value::from("queue_size"), Value::from(256)),
                (Value::from("queue_policy"), Value::from("backpressure")),
            ]);
            inputs.insert(Value::from(format!("{name}_{}", id.replace('.', "_"))), Value::Mapping(edge));
        }
    }
    let program = base::program("record")
        .ok_or_else(|| Failure::refused("the program of the node `record` is missing").hint("build it: `cargo build --release`"))?;
    let ids: Vec<&str> = nodes.iter().filter_map(|n| n.get("id").and_then(Value::as_str)).collect();
    let id = (1..).map(|n| if n == 1 { "record".to_owned() } else { format!("record-{n}") }).find(|id| !ids.contains(&id.as_str()));
    let mut node = Mapping::from_iter([
        (Value::from("id"), Value::from(id.unwrap_or_default())),
        (Value::from("path"), Value::from(program.display().to_string())),
        (Value::from("inputs"), Value::Mapping(inputs)),
    ]);
    if live {
        node.insert(Value::from("restart_policy"), Value::from("on-failure"));
        node.insert(Value::from("restart_delay"), Value::from(0.2));
        // dora doubles the delay at every restart: a recorder that died often would be away for minutes.
        node.insert(Value::from("max_restart_delay"), Value::from(1.0));
    }
    set(&mut node, "OUT", &out.display().to_string());
    nodes.push(Value::Mapping(node));
    Ok(())
}

/// Says on stdout what the recording holds, and on stderr what it lacks.
pub fn say(path: &Path) {
    let survey = Recording::open(path).and_then(|recording| Ok((recording.survey()?, recording.files().len())));
    let (survey, parts) = match survey {
        Ok(found) => found,
        Err(error) => return eprintln!("warning: the recording cannot be read back: {error}"),
    };
    for camera in &survey.cameras {
        let (packets, mb) = (camera.packets.delivered(), camera.bytes as f64 / 1e6);
        let state = if camera.faults().is_none() { "complete" } else { "with gaps" };
        outln!("recorded {}: {packets} packets, {mb:.1} MB, {}x{} {}, {state}", camera.name, camera.width, camera.height, camera.codec);
    }
    outln!("recording: {}{}", path.display(), if parts > 1 { format!(" and {} more parts", parts - 1) } else { String::new() });
    survey.faults().iter().for_each(|fault| eprintln!("warning: {}: {fault}", path.display()));
}

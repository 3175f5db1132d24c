//! Recordings as sources of a run, and the node that writes one.

use super::ReadArgs;
use super::plan::{Source, kind_of, set};
use crate::failure::Failure;
use gantry_graph::{Camera, contract_of};
use gantry_recording::{OpenError, Recording, Survey};
use serde_yaml::{Mapping, Value};
use std::path::Path;

/// Results that are recorded beside the packets.
const RESULTS: &[&str] = &["tracks/v1", "readings/v1"];

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

/// Adds a `record` node that takes the packets of every camera, the tracks and the readings.
pub fn add(nodes: &mut Vec<Value>, out: &Path) {
    let mut inputs = Mapping::from_iter([(Value::from("tick"), Value::from("dora/timer/millis/500"))]);
    let mut program = None;
    for node in nodes.iter().filter_map(Value::as_mapping) {
        let kind = kind_of(node);
        let (Some(contract), Some(id)) = (contract_of(&kind), node.get("id").and_then(Value::as_str)) else { continue };
        if kind == "camera" {
            program = node.get("path").and_then(Value::as_str).map(|p| Path::new(p).with_file_name("record").display().to_string());
        }
        for port in contract.outputs.iter().filter(|p| p.message == "packets/v1" || RESULTS.contains(&p.message.as_ref())) {
            let edge = Mapping::from_iter([
                (Value::from("source"), Value::from(format!("{id}/{}", port.name))),
                (Value::from("queue_size"), Value::from(256)),
                (Value::from("queue_policy"), Value::from("backpressure")),
            ]);
            let name = port.message.split('/').next().unwrap_or_default();
            inputs.insert(Value::from(format!("{name}_{id}")), Value::Mapping(edge));
        }
    }
    let mut node = Mapping::from_iter([
        (Value::from("id"), Value::from("record")),
        (Value::from("path"), Value::from(program.unwrap_or_default())),
        (Value::from("inputs"), Value::Mapping(inputs)),
    ]);
    set(&mut node, "OUT", &out.display().to_string());
    nodes.push(Value::Mapping(node));
}

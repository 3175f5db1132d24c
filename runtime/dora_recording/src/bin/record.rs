//! `dora-record-node`: writes every message that reaches it into a `.drec` file. `dora record` adds it to a graph and sets
//! `DORA_RECORD_FILE`, `DORA_RECORD_TOPICS` and `DORA_RECORD_DESCRIPTOR`.

use dora_node_api::{DoraNode, Event, uuid::Uuid};
use dora_recording::{FORMAT_VERSION, RecordEntry, RecordingHeader, RecordingWriter};
use gantry_dora_recording::{encode, topics};
use std::error::Error;
use std::fs::File;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// What was written until then survives the death of this process.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    match record() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn record() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("`{name}` is not set; `dora record GRAPH` starts this program"));
    let path = variable("DORA_RECORD_FILE")?;
    let topics = topics(&variable("DORA_RECORD_TOPICS")?)?;
    let (_node, mut events) = DoraNode::init_from_env()?;
    let now_ns = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let start_nanos = now_ns();
    let header = RecordingHeader {
        version: FORMAT_VERSION,
        start_nanos,
        dataflow_id: Uuid::new_v4(),
        descriptor_yaml: std::env::var("DORA_RECORD_DESCRIPTOR").unwrap_or_default().into_bytes(),
    };
    let file = File::create(&path).map_err(|e| format!("{path}: {e}"))?;
    let mut writer = RecordingWriter::new(file, &header)?;
    let (mut messages, mut flushed) = (0_u64, Instant::now());
    while let Some(event) = events.recv() {
        match event {
            Event::Input { id, metadata, data } => {
                let Some((node, output)) = topics.get(id.as_str()) else { continue };
                let event_bytes = encode(node, output, metadata, &data)?;
                let offset = now_ns().saturating_sub(start_nanos);
                let (node_id, output_id) = (node.clone(), output.clone());
                writer.write_entry(&RecordEntry { node_id, output_id, timestamp_offset_nanos: offset, event_bytes })?;
                messages += 1;
                if flushed.elapsed() >= FLUSH_EVERY {
                    writer.flush()?;
                    flushed = Instant::now();
                }
            }
            Event::Stop(_) => break,
            _ => {}
        }
    }
    writer.finish()?;
    eprintln!("dora-record-node: {messages} messages in {path}");
    Ok(())
}

//! `dora-replay-node`: stands in the place of a node and sends what that node sent when it was recorded. `dora replay` sets
//! `DORA_REPLAY_FILE`, `DORA_REPLAY_NODE`, `DORA_REPLAY_SPEED` and `DORA_REPLAY_LOOP`.

use dora_node_api::{DoraNode, Event, EventStream, TryRecvError};
use dora_recording::RecordingReader;
use gantry_dora_recording::{Pace, decode};
use std::error::Error;
use std::fs::File;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    match replay() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn replay() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("`{name}` is not set; `dora replay FILE` starts this program"));
    let (path, name) = (variable("DORA_REPLAY_FILE")?, variable("DORA_REPLAY_NODE")?);
    let speed: f64 = match std::env::var("DORA_REPLAY_SPEED") {
        Ok(text) => text.parse().map_err(|_| format!("`DORA_REPLAY_SPEED`: `{text}` is no number"))?,
        Err(_) => 1.0,
    };
    let again = std::env::var("DORA_REPLAY_LOOP").is_ok_and(|v| v == "true" || v == "1");
    let (mut node, mut events) = DoraNode::init_from_env()?;
    loop {
        let Some(sent) = pass(&path, &name, speed, &mut node, &mut events)? else { break };
        eprintln!("dora-replay-node: {sent} messages of `{name}` sent");
        if !again || stops_within(&mut events, Duration::from_millis(10)) {
            break;
        }
    }
    Ok(())
}

/// Sends the whole recording once; the number of messages, or none if dora said stop.
fn pass(path: &str, name: &str, speed: f64, node: &mut DoraNode, events: &mut EventStream) -> Result<Option<u64>, Box<dyn Error>> {
    let mut reader = RecordingReader::open(File::open(path).map_err(|e| format!("{path}: {e}"))?)?;
    let (mut pace, mut sent) = (Pace::new(speed), 0);
    while let Some(entry) = reader.next_entry()? {
        if entry.node_id != name {
            continue;
        }
        if stops_within(events, pace.gap(entry.timestamp_offset_nanos)) {
            return Ok(None);
        }
        // A recording of which a part cannot be read would be replayed as another run than it was: it is refused.
        if let Some(event) = decode(&entry.node_id, &entry.output_id, &entry.event_bytes)? {
            node.send_output(event.output, event.parameters, event.data)?;
            sent += 1;
        }
    }
    Ok(Some(sent))
}

/// Waits for `gap`; true as soon as dora says stop or is gone.
fn stops_within(events: &mut EventStream, gap: Duration) -> bool {
    let started = Instant::now();
    loop {
        let left = gap.saturating_sub(started.elapsed());
        let event = if left.is_zero() {
            match events.try_recv() {
                Ok(event) => Some(event),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Closed) => None,
            }
        } else {
            events.recv_timeout(left)
        };
        match event {
            None | Some(Event::Stop(_)) => return true,
            // Also the time-out, which comes as an error.
            Some(_) => {}
        }
    }
}

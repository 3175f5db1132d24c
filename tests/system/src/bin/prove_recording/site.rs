//! The recorder of a live site: what it costs, and what its death loses.

use gantry_messages::{Message, PacketRow, decode};
use gantry_recording::{Entry, Recording, read_array};
use gantry_system_tests::Sandbox;
use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime};

/// Cameras, graph.
const SITES: [(u64, &str); 2] = [(1, "graphs/sites/gate.yml"), (4, "graphs/sites/car_park.yml")];
/// Length of the run that shows what a start costs.
const WARM_UP_S: u64 = 8;
/// CPU that a camera's recording may take, in percent of a core.
const MOST_PERCENT: f64 = 2.0;
/// What a kill may lose.
const MOST_LOST: Duration = Duration::from_secs(1);

/// CPU of the `record` node per camera, between a run of [`WARM_UP_S`] and a long one: starting costs the same for a minute and for a year.
pub fn cpu(seconds: u64) -> Result<(), String> {
    let mut worst: f64 = 0.0;
    for (cameras, graph) in SITES {
        let (short, long) = (recorded(graph, WARM_UP_S)?, recorded(graph, WARM_UP_S + seconds)?);
        let of_a_core = (long.cpu_s - short.cpu_s) / (long.seconds - short.seconds) / cameras as f64;
        println!(
            "{cameras} cameras of 1080p at 30 frames/s, {:.0} s, {} packets: {:.2} s of CPU, {:.2} s in the first {:.0} s with its start: {:.2} % of a core per camera",
            long.seconds,
            long.packets,
            long.cpu_s,
            short.cpu_s,
            short.seconds,
            100.0 * of_a_core
        );
        worst = worst.max(100.0 * of_a_core);
    }
    if worst <= MOST_PERCENT { Ok(()) } else { Err(format!("{worst:.2} % of a core per camera, {MOST_PERCENT} are allowed")) }
}

/// A run of a live site and its recorder.
struct Recorded {
    /// From the first picture to the last.
    seconds: f64,
    cpu_s: f64,
    packets: u64,
}

fn recorded(graph: &str, seconds: u64) -> Result<Recorded, String> {
    let sandbox = Sandbox::new();
    let mut command = sandbox.gantry(["record", graph, "--keep-run", "--set", "store.FORMAT=jsonl", "--seconds", &seconds.to_string()]);
    command.arg("--out").arg(sandbox.path("run.mcap")).arg("--readings").arg(sandbox.out());
    sandbox.run(command, seconds + 120).assert_code(0);
    let cpu_s = sandbox.stats()["record"]["cpu_s"].as_f64().ok_or("no statistics of `record`")?;
    let survey = Recording::open(&sandbox.path("run.mcap")).and_then(|r| r.survey()).map_err(|e| e.to_string())?;
    let spans = survey.cameras.iter().filter_map(|c| c.captured_ns).map(|(a, b)| (b - a) as f64 / 1e9);
    Ok(Recorded { seconds: spans.fold(0.0, f64::max), cpu_s, packets: survey.cameras.iter().map(|c| c.packets.delivered()).sum() })
}

/// When the last packet of a recording was captured; also one that cannot be decoded there, as its key frame is in an earlier part.
fn last_captured_ns(recording: &Recording) -> Result<i64, String> {
    let mut last = None;
    for entry in recording.entries() {
        let Entry::Message(message) = entry.map_err(|e| e.to_string())? else { continue };
        if message.kind != PacketRow::TYPE || message.encoding != "arrow-ipc-batch" {
            continue;
        }
        let array = read_array(&message.schema, &message.data).map_err(|e| e.to_string())?;
        let rows = decode::<PacketRow>(&array).map_err(|e| e.to_string())?;
        last = last.max(rows.iter().filter(|row| !row.end).map(|row| row.captured_ns).max());
    }
    last.ok_or_else(|| "a part without a packet".to_owned())
}

/// Kills the recorder again and again; dora starts it again each time, which begins a new part.
pub fn kill(kills: u64) -> Result<(), String> {
    let sandbox = Sandbox::new();
    let seconds = 20 + kills * 6;
    let mut command = sandbox.gantry(["record", "graphs/sites/gate.yml", "--set", "store.FORMAT=jsonl", "--seconds", &seconds.to_string()]);
    command.arg("--out").arg(sandbox.path("run.mcap")).arg("--readings").arg(sandbox.out());
    let killed = RefCell::new(Vec::new());
    let last = RefCell::new(Instant::now());
    let done = sandbox.start(command).end_disturbed(seconds + 60, |sandbox| {
        let mut killed = killed.borrow_mut();
        // At another point of the half second between two flushes each time, and not before the part is under way.
        let due = Duration::from_millis(3000 + killed.len() as u64 * 57);
        let part = match killed.len() {
            0 => sandbox.path("run.mcap"),
            n => sandbox.path(format!("run.{n:04}.mcap")),
        };
        let under_way = std::fs::metadata(part).is_ok_and(|m| m.len() > 20_000);
        if killed.len() as u64 == kills || !under_way || last.borrow().elapsed() < due {
            return;
        }
        *last.borrow_mut() = Instant::now();
        if let Some(recorder) = sandbox.processes().iter().find(|p| p.name() == "record") {
            recorder.signal("KILL");
            killed.push(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i64));
        }
    });
    println!("ended with {}: {}", done.code(), done.stderr.lines().filter(|l| l.starts_with("error")).collect::<Vec<_>>().join("; "));
    let killed = killed.into_inner();
    let recording = Recording::open(&sandbox.path("run.mcap")).map_err(|e| e.to_string())?;
    let mut worst = 0;
    for (at, part) in killed.iter().zip(recording.files()) {
        // The part alone: another process wrote the next one.
        let alone = sandbox.path("part.mcap");
        std::fs::copy(part, &alone).map_err(|e| e.to_string())?;
        let part = Recording::open(&alone).map_err(|e| e.to_string())?;
        let (survey, last) = (part.survey().map_err(|e| e.to_string())?, last_captured_ns(&part)?);
        let said = survey.cameras.first().is_some_and(|c| c.faults().is_some_and(|f| f.contains("no end: cut off")));
        let lost_ms = (at - last) / 1_000_000;
        println!("killed: the last recorded picture was taken {lost_ms} ms before; the end that is missing is said: {said}");
        worst = worst.max(lost_ms);
        if !said {
            return Err("a cut-off part passes for a whole one".to_owned());
        }
    }
    let survey = recording.survey().map_err(|e| e.to_string())?;
    let camera = survey.cameras.first().ok_or("no camera was recorded")?;
    let holes: Vec<u64> = camera.packets.missing().iter().map(|r| r.end - r.start).collect();
    println!(
        "{} kills, {} parts: at most {worst} ms lost; holes of the whole in packets: {holes:?}, without their key frame: {:?}",
        killed.len(),
        recording.files().len(),
        camera.packets.unusable()
    );
    if worst <= MOST_LOST.as_millis() as i64 && killed.len() as u64 == kills {
        Ok(())
    } else {
        Err(format!("{worst} ms lost in {} kills", killed.len()))
    }
}

//! One side of the comparison: its runs, and how the straight line is run.

use crate::clock::{STAGES, process_cpu_s, tree_pss_bytes};
use crate::parameters::Parameters;
use crate::straight::{self, Clip};
use crate::{Args, graph_file};
use gantry_node::Fault;
use gantry_node_store::Record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Frames of a run that shows what starting and ending costs.
pub const START_FRAMES: u64 = 2;

/// What one run gave.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Frames of all clips.
    pub frames: u64,
    /// Seconds from start to end.
    pub wall_s: f64,
    /// CPU seconds of all processes.
    pub cpu_s: f64,
    /// CPU seconds by kind of node.
    pub stages: BTreeMap<String, f64>,
    /// Readings, evidence left out.
    pub readings: Vec<Record>,
}

/// The runs of one side.
#[derive(Clone, Debug)]
pub struct Side {
    /// A run of [`START_FRAMES`] per clip, the cheapest of two.
    pub start: Run,
    /// Whole runs.
    pub runs: Vec<Run>,
}

impl Side {
    /// Measures the start.
    ///
    /// # Errors
    /// As `run`.
    pub fn measure_start(
        args: &Args,
        clips: &[PathBuf],
        run: impl Fn(&Args, &[PathBuf], Option<u64>) -> Result<Run, Fault>,
    ) -> Result<Self, Fault> {
        let (a, b) = (run(args, clips, Some(START_FRAMES))?, run(args, clips, Some(START_FRAMES))?);
        Ok(Self { start: if a.cpu_s <= b.cpu_s { a } else { b }, runs: Vec::new() })
    }

    /// Adds a whole run.
    pub fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Middle of all runs.
    pub fn median(&self, value: impl Fn(&Run) -> f64) -> f64 {
        let mut all: Vec<f64> = self.runs.iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        let n = all.len();
        match n {
            0 => f64::NAN,
            n if n % 2 == 1 => all[n / 2],
            n => (all[n / 2 - 1] + all[n / 2]) / 2.0,
        }
    }

    /// CPU ms per frame with everything, and without what a start costs.
    pub fn cpu_ms(&self) -> (f64, f64) {
        let whole = self.median(|r| 1000.0 * r.cpu_s / r.frames.max(1) as f64);
        let steady = self.median(|r| 1000.0 * (r.cpu_s - self.start.cpu_s) / r.frames.saturating_sub(self.start.frames).max(1) as f64);
        (whole, steady)
    }

    /// CPU ms per frame of one stage, without what a start costs.
    pub fn stage_ms(&self, stage: &str) -> f64 {
        let of = |r: &Run| r.stages.get(stage).copied().unwrap_or(0.0);
        self.median(|r| 1000.0 * (of(r) - of(&self.start)) / r.frames.saturating_sub(self.start.frames).max(1) as f64)
    }

    /// Frames per second with the start, and without.
    pub fn frames_per_s(&self) -> (f64, f64) {
        let whole = self.median(|r| r.frames as f64 / r.wall_s);
        let steady = self.median(|r| r.frames.saturating_sub(self.start.frames) as f64 / (r.wall_s - self.start.wall_s).max(1e-3));
        (whole, steady)
    }
}

/// What the straight line prints.
#[derive(Serialize, Deserialize)]
struct Printed {
    clips: Vec<Clip>,
    cpu_s: f64,
}

/// The straight line itself, one thread per clip.
///
/// # Errors
/// What the nodes would end with.
pub fn straight_line(args: &Args) -> Result<(), Fault> {
    let parameters = Parameters::read(&graph_file(args)?)?;
    let read = |clip: &PathBuf| straight::read(clip, &camera_name(clip), &parameters, args.most_frames);
    let clips: Vec<Clip> = if let [clip] = &args.clips[..] {
        vec![read(clip)?]
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = args.clips.iter().map(|clip| scope.spawn(move || read(clip))).collect();
            threads
                .into_iter()
                .map(|t| t.join().unwrap_or_else(|_| Err(Fault::new("the thread of a clip panicked"))))
                .collect::<Result<_, _>>()
        })?
    };
    println!("{}", serde_json::to_string(&Printed { clips, cpu_s: process_cpu_s() })?);
    Ok(())
}

fn command(args: &Args, clips: &[PathBuf], most_frames: Option<u64>) -> Result<Command, Fault> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--straight-line").args(clips).stdin(Stdio::null());
    if let Some(graph) = &args.graph {
        command.arg("--graph").arg(graph);
    }
    if let Some(n) = most_frames {
        command.arg("--most-frames").arg(n.to_string());
    }
    Ok(command)
}

/// Runs the straight line in a process of its own.
///
/// # Errors
/// If it fails.
pub fn run_straight(args: &Args, clips: &[PathBuf], most_frames: Option<u64>) -> Result<Run, Fault> {
    let started = Instant::now();
    let output = command(args, clips, most_frames)?.stderr(Stdio::inherit()).output()?;
    let wall_s = started.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(Fault::new(format!("the straight line ended with {}", output.status)));
    }
    let printed: Printed = serde_json::from_slice(&output.stdout)?;
    let mut run = Run { wall_s, cpu_s: printed.cpu_s, ..Run::default() };
    for clip in printed.clips {
        run.frames += clip.frames;
        for (name, cpu) in STAGES.iter().zip(clip.cpu_s) {
            *run.stages.entry((*name).to_owned()).or_default() += cpu;
        }
        run.readings.extend(clip.readings);
    }
    sort(&mut run.readings);
    Ok(run)
}

/// Peak memory of the straight line in bytes.
///
/// # Errors
/// If it fails.
pub fn memory(args: &Args, clips: &[PathBuf]) -> Result<u64, Fault> {
    watch(command(args, clips, None)?.stdout(Stdio::null()).spawn()?)
}

/// Waits for a process, looking at the memory of its tree every 100 ms; returns the most.
///
/// # Errors
/// If it fails.
pub fn watch(mut child: Child) -> Result<u64, Fault> {
    let mut most = 0;
    loop {
        most = most.max(tree_pss_bytes(child.id()));
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(most),
            Some(status) => return Err(Fault::new(format!("the run for memory ended with {status}"))),
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Both sides must have read the same: plates, confidences, votes, frames.
///
/// # Errors
/// The first difference, between sides or between runs of one side.
pub fn same_readings(straight: &Side, graph: &Side) -> Result<(), Fault> {
    let Some(wanted) = straight.runs.first() else { return Ok(()) };
    for (name, runs) in [("straight line", &straight.runs), ("graph", &graph.runs)] {
        for run in runs {
            if run.frames != wanted.frames {
                return Err(Fault::new(format!("{name}: {} frames, the straight line's first run has {}", run.frames, wanted.frames)));
            }
            if run.readings != wanted.readings {
                let plates = |r: &Run| r.readings.iter().map(|r| format!("{} {}", r.plate, r.confidence)).collect::<Vec<_>>().join(", ");
                return Err(Fault::new(format!("{name}: readings differ\n  {name}: {}\n  straight line: {}", plates(run), plates(wanted))));
            }
        }
    }
    Ok(())
}

/// By camera, time and track.
pub fn sort(readings: &mut [Record]) {
    readings.sort_by(|a, b| {
        a.camera
            .cmp(&b.camera)
            .then(a.first_seen_s.total_cmp(&b.first_seen_s))
            .then(a.track_id.cmp(&b.track_id))
            .then(a.plate.cmp(&b.plate))
    });
}

/// The name that `gantry read` gives a clip: its file's.
pub fn camera_name(clip: &Path) -> String {
    clip.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side() -> Side {
        let run = |frames, wall_s, cpu_s| Run { frames, wall_s, cpu_s, ..Run::default() };
        Side { start: run(2, 0.5, 0.4), runs: vec![run(102, 1.5, 2.4), run(102, 2.5, 2.6), run(102, 1.0, 2.2)] }
    }

    #[test]
    fn the_start_is_taken_off_time_and_frames() {
        let (whole, steady) = side().cpu_ms();
        assert!((whole - 2400.0 / 102.0).abs() < 1e-9 && (steady - 20.0).abs() < 1e-9, "{whole} {steady}");
        let (_, steady) = side().frames_per_s();
        assert!((steady - 100.0).abs() < 1e-9, "{steady}");
    }

    #[test]
    fn other_readings_and_lost_frames_are_found() {
        let reading = |plate: &str| Record { plate: plate.to_owned(), ..Record::of(&gantry_messages::ReadingRow::default(), None) };
        let with = |plate: &str| {
            let mut side = side();
            side.runs.iter_mut().for_each(|r| r.readings = vec![reading(plate)]);
            side
        };
        assert!(same_readings(&with("AB123"), &with("AB123")).is_ok());
        let fault = same_readings(&with("AB123"), &with("A8123")).unwrap_err();
        assert!(fault.message().contains("A8123"), "{fault}");
        let mut lost = with("AB123");
        lost.runs[1].frames -= 1;
        assert!(same_readings(&with("AB123"), &lost).unwrap_err().message().contains("101 frames"));
    }
}

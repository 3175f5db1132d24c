//! How many live cameras a machine holds: the shipped car park with N cameras that play clips in real time, and what became of their frames and plates.

mod graph;
mod passes;

pub use graph::Setting;
pub use passes::Passes;

use crate::{Sandbox, Site, as_a_camera_sends, clip, lines};
use gantry_node::{Latency, NodeStats};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Clips that the cameras play, all of 1080p30: each two in turn, so that no plate comes again before its pass is over (`MERGE_MS` of `vote`). In `two_row_day` each does.
const CLIPS: [[&str; 2]; 4] =
    [["gate_day", "carpark_dusk"], ["carpark_dusk", "road_day"], ["road_day", "road_night"], ["road_night", "gate_day"]];
/// Frames per second of each.
const FPS: f64 = 30.0;
/// Least length of the files that are played again and again.
const FILE_S: u64 = 40;
/// Darkness behind each clip: longer than a track goes on without a match, or the vehicles at the end of one would become those at the beginning of the next.
const DARK_S: f64 = 1.2;
/// Before anything is measured: models are loaded and tracks begun.
const WARM_UP: Duration = Duration::from_secs(15);
/// A pass is told so long after its vehicle has left (docs/results.md), so that the last seconds are not counted.
const TOLD_AFTER_S: f64 = 6.0;
/// Of the frames that a camera sends in the time measured, so many may be under way at its ends.
const UNDER_WAY: f64 = 3.0;

/// Clips as cameras send them, and the plates that come by in them.
struct Played {
    file: PathBuf,
    /// From one pass of a plate to the next.
    clip_s: f64,
    plates: Vec<String>,
}

/// The clips, and the folder that they lie in.
pub struct Live {
    _folder: Sandbox,
    played: Vec<Played>,
}

/// What became of frames and plates.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Cameras.
    pub cameras: usize,
    /// s.
    pub seconds: f64,
    /// Frames that were decoded, of those that were due.
    pub decoded: u64,
    /// 30 per second and camera.
    pub due: u64,
    /// Packets and frames that were left out before `detect`.
    pub dropped: u64,
    /// Frames that the detector's model saw whole.
    pub looked_at: u64,
    /// Frames of which parts were looked at.
    pub glances: u64,
    /// Frames on which nothing moved, so that the last boxes were theirs too.
    pub still: u64,
    /// Frames that the detector had no time for.
    pub skipped: u64,
    /// Plates of all cameras.
    pub passes: Passes,
    /// Those that were missed: which, of which camera, how often.
    pub missed: Vec<String>,
    /// Age of the frame that settled a reading, when the reading was sent.
    pub settled: Latency,
    /// Age of frames whose texts were read.
    pub read: Latency,
    /// Nodes that did not run all the time.
    pub interrupted: Vec<String>,
    /// Cores, by kind of node.
    pub cores: BTreeMap<String, f64>,
}

impl Seen {
    /// What a site with this many cameras loses; nothing if it holds them.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let missing = self.due as f64 - self.decoded as f64 - UNDER_WAY * self.cameras as f64;
        let all = [
            (!self.interrupted.is_empty()).then(|| format!("these did not run all the time: {}", self.interrupted.join(", "))),
            (missing > 0.0).then(|| format!("{} frames of {} were not decoded", self.due - self.decoded, self.due)),
            (self.dropped > 0).then(|| format!("{} frames were dropped before the detector", self.dropped)),
            (self.passes.missed > 0)
                .then(|| format!("{} plates of {} were missed", self.passes.missed, self.passes.missed + self.passes.read)),
        ];
        all.into_iter().flatten().collect()
    }

    /// Cores of all nodes.
    #[must_use]
    pub fn cores_in_all(&self) -> f64 {
        self.cores.values().sum()
    }
}

impl Live {
    /// Makes the clips and reads them without hurry, to know which plates a camera can be asked for: those that are read in each repetition.
    ///
    /// # Panics
    /// If FFmpeg or the run fails.
    #[must_use]
    pub fn prepare(mut say: impl FnMut(String)) -> Self {
        let sandbox = Sandbox::new();
        let mut files = Vec::new();
        for clips in CLIPS {
            let name = clips.join("_");
            say(format!("{} are made as cameras send them", clips.join(" and ")));
            let both = clips.map(|name| clip(&format!("{name}.mp4")));
            files.push((as_a_camera_sends(&sandbox, &both, FILE_S, DARK_S, &format!("{name}.mp4")), name));
        }
        say("they are read without hurry, for the plates to wait for".to_owned());
        let all: Vec<PathBuf> = files.iter().map(|(file, _)| file.clone()).collect();
        sandbox.run(sandbox.read(&all), 900).assert_code(0);
        let readings = lines(&sandbox.out());
        let played = CLIPS.iter().zip(files).map(|(clips, (file, name))| {
            let read = passes::moments(&readings, &name);
            let most = read.values().map(Vec::len).max().unwrap_or(0);
            let plates: Vec<String> = read.into_iter().filter(|(_, moments)| moments.len() == most).map(|(plate, _)| plate).collect();
            say(format!("{}: {} plates in each of {most} repetitions", clips.join(" and "), plates.len()));
            assert!(most > 1, "{name} has no plate that is read again and again");
            Played { file, clip_s: clips.iter().map(|name| length_s(name) + DARK_S).sum(), plates }
        });
        let played = played.collect();
        Self { _folder: sandbox, played }
    }

    /// Runs a site of `cameras` for so long, with these parameters of its nodes.
    ///
    /// # Panics
    /// If it does not start, or does not stop as it should.
    #[must_use]
    pub fn run(&self, cameras: usize, length: Duration, settings: &[Setting]) -> Seen {
        let sandbox = Sandbox::new();
        let stats = || NodeStats::read_all(&sandbox.path("tmp/run"));
        let played: Vec<&Played> = self.played.iter().cycle().take(cameras).collect();
        let clips: Vec<PathBuf> = played.iter().map(|played| played.file.clone()).collect();
        let site = Site::start(&sandbox, &graph::car_park(&sandbox, &clips, settings), &[]);
        site.wait(120, "frames of all cameras", |_| stats().values().filter(|s| s.kind == "decode" && s.passed() > 0).count() == cameras);
        std::thread::sleep(WARM_UP);
        let (before, from, from_s) = (stats(), Instant::now(), wall_s());
        std::thread::sleep(length);
        let (after, seconds, to_s) = (stats(), from.elapsed().as_secs_f64(), wall_s());
        site.stop();
        sandbox.assert_nothing_left();

        let mut seen = measured(cameras, &before, &after);
        seen.seconds = seconds;
        let readings = lines(&sandbox.path("out/car_park/readings.jsonl"));
        for (number, played) in played.iter().enumerate() {
            let read = passes::moments(&readings, &graph::camera(number));
            for plate in &played.plates {
                let moments = read.get(plate).map(Vec::as_slice).unwrap_or_default();
                let of_plate = passes::count(moments, played.clip_s, (from_s, to_s - TOLD_AFTER_S));
                seen.passes.read += of_plate.read;
                seen.passes.missed += of_plate.missed;
                if of_plate.missed > 0 {
                    let times = of_plate.missed + of_plate.read;
                    seen.missed.push(format!("{plate} of {}, {} of {times} times", graph::camera(number), of_plate.missed));
                }
            }
        }
        seen
    }
}

/// The differences of two looks. Each node writes its statistics by its own clock, so that its own time counts.
fn measured(cameras: usize, before: &BTreeMap<String, NodeStats>, after: &BTreeMap<String, NodeStats>) -> Seen {
    let mut seen = Seen { cameras, ..Seen::default() };
    for (node, after) in after {
        let Some(before) = after.since(before.get(node)) else {
            seen.interrupted.push(node.clone());
            continue;
        };
        let time_s = after.uptime_s - before.uptime_s;
        let counted = |of: &dyn Fn(&NodeStats) -> u64| of(after).saturating_sub(of(before));
        let counter = |name: &str| counted(&|stats| stats.counters.get(name).copied().unwrap_or(0));
        let ages = |name: &str| match (after.latency.get(name), before.latency.get(name)) {
            (Some(after), Some(before)) => after.since(before),
            (after, _) => after.cloned().unwrap_or_default(),
        };
        *seen.cores.entry(after.kind.clone()).or_default() += (after.cpu_s - before.cpu_s) / time_s;
        match after.kind.as_str() {
            "camera" => seen.dropped += counted(&NodeStats::left_out),
            "decode" => {
                seen.decoded += counted(&NodeStats::passed);
                seen.due += (FPS * time_s).round() as u64;
                seen.dropped += counted(&NodeStats::left_out);
            }
            "detect" => {
                seen.still = counter("still");
                seen.glances = counter("glances");
                seen.looked_at = counter("looks");
                seen.skipped += counted(&NodeStats::left_out);
            }
            "recognize" => seen.read = ages("texts"),
            "vote" => seen.settled = ages("settled"),
            _ => {}
        }
    }
    seen
}

/// Length of a shipped clip, from what is known of it.
fn length_s(name: &str) -> f64 {
    let file = clip(&format!("{name}.truth.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let truth: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let number = |name: &str| truth[name].as_f64().unwrap_or_else(|| panic!("{}: no `{name}`", file.display()));
    number("frames") / number("fps")
}

fn wall_s() -> f64 {
    crate::now_ns() as f64 / 1e9
}

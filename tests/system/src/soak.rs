//! A site that runs for long: eight cameras over RTSP, and of each of its processes the memory, descriptors and threads, which must not grow.
//!
//! The graph is `graphs/sites/road.yml`, with addresses of a server on loopback where the shipped one plays clips, run by dora's own daemon. Readings,
//! pictures and logs are written as shipped; they are what grows by design, and are told.

mod growth;
mod sample;

pub use growth::{Limits, Series, Verdict};
pub use sample::{Sample, sample};

use crate::{Sandbox, Site, as_a_camera_sends, clip, lines, shipped};
use gantry_rtsp::{Server, Stream};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Clips that play the eight cameras of the road.
const CLIPS: [&str; 2] = ["road_day.mp4", "road_night.mp4"];
/// How often processes are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// How much longer than the warm-up the first plate may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long, and how much is growth.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// Before anything is measured, and until the first plate was read: pools, models and caches are filled.
    pub warm_up: Duration,
    /// What is measured.
    pub length: Duration,
    /// What is no growth.
    pub limits: Limits,
}

/// What was seen.
#[derive(Debug)]
pub struct Outcome {
    /// By node and process, in order; each from the end of the warm-up.
    pub verdicts: BTreeMap<(String, u32), Verdict>,
    /// Processes that ended or started while it was measured.
    pub restarts: Vec<String>,
    /// Readings in all.
    pub readings: usize,
    /// Bytes of readings, pictures and logs that came while it was measured.
    pub written: u64,
}

impl Outcome {
    /// What grew, and what else should not have been.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let grown = self.verdicts.iter().flat_map(|((node, _), verdict)| verdict.complaints().map(move |what| format!("{node}: {what}")));
        let silent = (self.readings == 0).then(|| "no plate was read".to_owned());
        grown.chain(self.restarts.iter().cloned()).chain(silent).collect()
    }
}

impl Soak {
    /// Runs the site; `say` gets a line now and then.
    ///
    /// # Panics
    /// If the site does not start, or does not stop as it should.
    pub fn run(&self, mut say: impl FnMut(String)) -> Outcome {
        let sandbox = Sandbox::new();
        let seconds = (self.warm_up + PATIENCE + self.length).as_secs() + 60;
        let servers = CLIPS.map(|name| {
            say(format!("{seconds} s of {name} are made for the cameras"));
            Server::start(&Stream::h264(&as_a_camera_sends(&sandbox, &[clip(name)], seconds, 0.0, name)), 0)
        });
        let site = Site::start(&sandbox, &road(&sandbox, &servers), &[]);
        let seen = self.watch(&sandbox, &mut say);
        site.stop();
        sandbox.assert_nothing_left();
        seen
    }

    fn watch(&self, sandbox: &Sandbox, say: &mut impl FnMut(String)) -> Outcome {
        wait_for(Instant::now() + self.warm_up);
        // Models and pictures are in use from the first plate on, which comes late where the machine is busy.
        let patience = Instant::now() + PATIENCE;
        while readings(sandbox) == 0 && Instant::now() < patience {
            wait_for(Instant::now() + EVERY);
        }
        let started = Instant::now();
        let written_before = bytes_below(&sandbox.path("."));
        let mut series: BTreeMap<(String, u32), Series> = BTreeMap::new();
        let (mut told, mut samples) = (Instant::now(), 0);
        while started.elapsed() < self.length {
            let next = Instant::now() + EVERY;
            samples += 1;
            for (process, sample) in sandbox.processes().into_iter().filter_map(|p| sample(&p).map(|s| (p, s))) {
                series.entry((sample.node.clone(), process.pid)).or_default().push(&sample);
            }
            if told.elapsed() > Duration::from_secs(60) {
                told = Instant::now();
                let memory: u64 = series.values().filter_map(Series::last).map(|s| s.memory_kb).sum();
                let so_far = started.elapsed().as_secs();
                say(format!(
                    "{so_far} of {} s, {} MB of private memory in {} processes",
                    self.length.as_secs(),
                    memory / 1024,
                    series.len()
                ));
            }
            wait_for(next);
        }
        let whole = |s: &Series| s.len() == samples;
        let restarts = series
            .iter()
            .filter(|(_, s)| !whole(s))
            .map(|((node, pid), s)| format!("{node}: process {pid} was seen {} times of {samples}: it did not run all the time", s.len()));
        let restarts = restarts.collect();
        let limits = |(node, _): &(String, u32)| if node.starts_with("dora ") { self.limits.for_dora() } else { self.limits };
        let verdicts = series.iter().filter(|(_, s)| whole(s)).map(|(process, s)| (process.clone(), s.verdict(limits(process)))).collect();
        Outcome { verdicts, restarts, readings: readings(sandbox), written: bytes_below(&sandbox.path(".")).saturating_sub(written_before) }
    }
}

fn readings(sandbox: &Sandbox) -> usize {
    lines(&sandbox.path("out/road/readings.jsonl")).len()
}

/// The shipped road with the cameras of `servers` in the place of its clips.
fn road(sandbox: &Sandbox, servers: &[Server]) -> String {
    let mut text = shipped(sandbox, "road");
    for (name, server) in CLIPS.iter().zip(servers) {
        let played = format!("source: {}, ", clip(name).display());
        assert_eq!(text.matches(&played).count(), 4, "cameras of {name}");
        text = text.replace(&played, &format!("source: \"{}\", ", server.address()));
    }
    text.replace(", pace: realtime, repeat: true", "")
}

fn wait_for(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        // It went away meanwhile.
        Err(_) => 0,
    });
    sizes.sum()
}

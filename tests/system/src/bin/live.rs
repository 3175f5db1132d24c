//! `cargo xtask live`: how many live cameras this machine holds. See [`USAGE`].

use gantry_system_tests::{Live, LiveSeen, LiveSetting};
use std::process::ExitCode;
use std::time::Duration;

/// What `--help` prints.
const USAGE: &str = "\
live [--cameras N] [--seconds 60] [--set NODE.PARAM=VALUE]: graphs/sites/car_park.yml with N cameras of 1080p30 that play the shipped clips in real time
  Without --cameras: one camera, two, three and so on, until a frame is dropped or a plate is missed.
  Per number of cameras: frames decoded of those that were due, what was dropped before the detector, how many the detector's model saw whole or in
  parts, on how many nothing moved, for how many it had no time, plates read and missed (those that are read without hurry), how old the frame that settled a
  reading was when the reading was sent, and cores.";

/// Numbers behind the options.
struct Options {
    cameras: Option<usize>,
    seconds: u64,
    settings: Vec<LiveSetting>,
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options { cameras: None, seconds: 60, settings: Vec::new() };
    for pair in arguments.chunks(2) {
        let number = |least: u64| {
            let parsed = pair.get(1).and_then(|text| text.parse::<u64>().ok()).filter(|n| *n >= least);
            parsed.ok_or_else(|| format!("`{}` needs a number from {least} on", pair[0]))
        };
        match pair[0].as_str() {
            "--cameras" => options.cameras = Some(number(1)? as usize),
            "--set" => options.settings.push(pair.get(1).map_or("", String::as_str).parse()?),
            // In less, no clip is played twice.
            "--seconds" => options.seconds = number(30)?,
            other => return Err(format!("`{other}`: not understood")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = match options(&arguments) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("error: {what}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let live = Live::prepare(|line| println!("{line}"));
    println!(
        "\n{:>7} {:>15} {:>7}   {:>31}   {:>12}   {:>15}   {:>9} {:>5}",
        "", "decoded", "dropped", "detector, frames/s", "plates", "settled, ms", "texts, ms", "cores"
    );
    println!(
        "{:>7} {:>15} {:>7}   {:>7} {:>7} {:>7} {:>7}   {:>5} {:>6}   {:>7} {:>7}   {:>9} {:>5}",
        "cameras", "of due", "", "whole", "parts", "still", "skipped", "read", "missed", "p50", "p95", "p95", ""
    );
    let numbers: Vec<usize> = options.cameras.map_or_else(|| (1..=64).collect(), |n| vec![n]);
    let mut held = 0;
    for cameras in numbers {
        let seen = live.run(cameras, Duration::from_secs(options.seconds), &options.settings);
        print(&seen);
        let complaints = seen.complaints();
        if !complaints.is_empty() {
            println!("\n{cameras} cameras are too many here: {}", complaints.join("; "));
            break;
        }
        held = cameras;
    }
    if options.cameras.is_none() {
        println!("held: {held} cameras");
    }
    if held > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(seen: &LiveSeen) {
    let rate = |frames: u64| format!("{:.1}", frames as f64 / seen.seconds);
    let ms =
        |latency: &gantry_node::Latency, share: f64| latency.quantile_ms(share).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
    println!(
        "{:>7} {:>15} {:>7}   {:>7} {:>7} {:>7} {:>7}   {:>5} {:>6}   {:>7} {:>7}   {:>9} {:>5.2}",
        seen.cameras,
        format!("{}/{}", seen.decoded, seen.due),
        seen.dropped,
        rate(seen.looked_at),
        rate(seen.glances),
        rate(seen.still),
        rate(seen.skipped),
        seen.passes.read,
        seen.passes.missed,
        ms(&seen.settled, 0.5),
        ms(&seen.settled, 0.95),
        ms(&seen.read, 0.95),
        seen.cores_in_all()
    );
    let kinds: Vec<String> = seen.cores.iter().map(|(kind, cores)| format!("{kind} {:.1} %", 100.0 * cores)).collect();
    println!("        CPU: {}", kinds.join(", "));
    if !seen.missed.is_empty() {
        println!("        missed: {}", seen.missed.join("; "));
    }
}

//! `cargo xtask soak`: eight live cameras for half an hour, and no process of the site grows. See [`USAGE`].

use gantry_system_tests::{Limits, Soak};
use std::process::ExitCode;
use std::time::Duration;

/// What `--help` prints.
const USAGE: &str = "\
soak [--minutes 30]: the eight cameras of graphs/sites/road.yml over RTSP; memory, descriptors and threads of each process, which must not grow
  Two minutes to warm up come before. Growth is the middle of the last third beside the middle of the first: more than 2 % and 1.5 MB of
  memory, or any descriptor or thread (of dora's own processes more than 8, as their connections come and go).";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let minutes = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => 30,
        ["--minutes", text] if text.parse::<u64>().is_ok_and(|minutes| minutes > 0) => text.parse().unwrap_or(30),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("error: `{}`: not understood\n\n{USAGE}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    let limits = Limits { memory_share: 0.02, memory_kb: 1500, handles: 0 };
    let soak = Soak { warm_up: Duration::from_secs(120), length: Duration::from_secs(minutes * 60), limits };
    let seen = soak.run(|line| println!("{line}"));
    println!("\n{:<24} {:>20} {:>14} {:>10}", "process", "private memory, kB", "descriptors", "threads");
    for ((node, _), v) in &seen.verdicts {
        let pair = |(from, to): (u64, u64)| format!("{from} -> {to}");
        println!("{node:<24} {:>20} {:>14} {:>10}", pair(v.memory_kb), pair(v.descriptors), pair(v.threads));
    }
    println!("\n{} readings; {} MB of readings, pictures and logs in {minutes} minutes", seen.readings, seen.written / 1_000_000);
    let complaints = seen.complaints();
    for complaint in &complaints {
        println!("FAILED {complaint}");
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! What recordings promise, measured on real runs: `cargo xtask recording [CASE]`. Each case prints its numbers and fails if the promise does
//! not hold.
//! See [`USAGE`].

mod long;
mod repeats;
mod site;

use std::process::ExitCode;

/// What `--help` prints.
const USAGE: &str = "\
prove-recording [CASE] [--NAME N]: what recordings promise, measured on real runs; all cases, one after the other, if none is named
  schedules [--rounds 3]    ten disturbed runs of two cameras each, bytes compared with an undisturbed one
  replays   [--count 20]    replays of one recording beside four busy loops, bytes compared with the recorded run
  long      [--minutes 10]  two 1080p cameras recorded and replayed, every packet and frame counted
  kill      [--kills 10]    kill -9 of the recorder of a live site: how much is lost, and whether that is said
  cpu       [--seconds 30]  CPU of the recorder of one and of four live cameras";

/// The value of `--name`, or `default`.
fn number(arguments: &[String], name: &str, default: u64) -> Result<u64, String> {
    match arguments.iter().position(|a| a == name) {
        None => Ok(default),
        Some(at) => {
            let text = arguments.get(at + 1).map_or("", String::as_str);
            text.parse().map_err(|_| format!("`{name} {text}`: a whole number is wanted"))
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.first().filter(|a| !a.starts_with("--")).cloned();
    type Case = fn(&[String]) -> Result<(), String>;
    let cases: [(&str, Case); 5] = [
        ("cpu", |a| site::cpu(number(a, "--seconds", 30)?)),
        ("kill", |a| site::kill(number(a, "--kills", 10)?)),
        ("replays", |a| repeats::replays(number(a, "--count", 20)?)),
        ("schedules", |a| repeats::schedules(number(a, "--rounds", 3)?)),
        ("long", |a| long::long(number(a, "--minutes", 10)?)),
    ];
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = wanted.as_ref().filter(|w| !cases.iter().any(|(name, _)| name == w)) {
        eprintln!("error: no case `{unknown}`; there are cpu, kill, replays, schedules, long");
        return ExitCode::from(2);
    }
    let mut failed = false;
    for (name, case) in cases.iter().filter(|(name, _)| wanted.as_deref().is_none_or(|w| w == *name)) {
        println!("# {name}");
        if let Err(why) = case(&arguments) {
            println!("FAILED {name}: {why}");
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

//! Real producers and consumers of buffer handles, killed and stopped at named points, under one watching supervisor.
//!
//! `gantry-chaos [--kills N] [--seconds S] [--seed X]`. The plan of faults follows from the seed; each one must fire where it was
//! armed. What is checked is P1 to P6 of docs/handles.md.

mod child;
mod end;
mod faults;
mod ledger;
mod peer;
mod points;
mod totals;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use totals::Totals;
use world::World;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("producer") => peer::producer(&arguments[1..]),
        Some("consumer") => peer::consumer(&arguments[1..]),
        _ => supervise(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn supervise(arguments: &[String]) -> Result<(), String> {
    let (mut kills, mut seconds, mut seed) = (60, 600, 1);
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(format!("`{}` needs a value", pair[0])) };
        let number: u64 = value.parse().map_err(|_| format!("`{name} {value}`: a number is wanted"))?;
        match name.as_str() {
            "--kills" => kills = number,
            "--seconds" => seconds = number,
            "--seed" => seed = number,
            other => return Err(format!("unknown argument `{other}`, known are --kills, --seconds and --seed")),
        }
    }
    let (started, mut said) = (Instant::now(), Instant::now());
    let mut totals = Totals::default();
    let fds = peer::open_fds();
    for episode in 0u64.. {
        if totals.kills >= kills || started.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        World::new(seed, episode).and_then(|world| world.run(&mut totals)).map_err(|e| format!("seed {seed}, episode {episode}: {e}"))?;
        if said.elapsed() > Duration::from_secs(5) {
            said = Instant::now();
            eprintln!("{} of {kills} kills, {} stops, {} frames, {:.0?}", totals.kills, totals.stops, totals.published, started.elapsed());
        }
    }
    let left = peer::open_fds();
    if left != fds {
        return Err(format!("the supervisor had {fds} descriptors at the start and has {left} at the end"));
    }
    totals.print(seed, started.elapsed());
    if totals.kills < kills {
        return Err(format!("{} of {kills} kills after {seconds} s", totals.kills));
    }
    Ok(())
}

//! Real producers and consumers of buffer handles, killed and stopped at named points, under one watching supervisor.
//!
//! `gantry-chaos [--kills N] [--seconds S] [--seed X] [--memory host|cuda_vmm|cuda_ipc]`. The plan of faults follows from the seed; each one must fire where it was
//! armed. What is checked is P1 to P6 of docs/handles.md.

mod child;
mod end;
mod faults;
mod ledger;
mod peer;
mod points;
mod rig;
mod totals;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rig::Rig;
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
    let (mut kills, mut seconds, mut seed, mut memory) = (60, 600, 1, "host");
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(format!("`{}` needs a value", pair[0])) };
        if name == "--memory" {
            memory = value;
            continue;
        }
        let number: u64 = value.parse().map_err(|_| format!("`{name} {value}`: a number is wanted"))?;
        match name.as_str() {
            "--kills" => kills = number,
            "--seconds" => seconds = number,
            "--seed" => seed = number,
            other => return Err(format!("unknown argument `{other}`, known are --kills, --seconds, --seed and --memory")),
        }
    }
    let (started, mut said) = (Instant::now(), Instant::now());
    let mut totals = Totals::default();
    let rig = Rig::open(memory)?;
    let (fds, used) = (peer::open_fds(), rig.used()?);
    for episode in 0u64.. {
        if totals.kills >= kills || started.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        let ended = World::new(seed, episode, memory).and_then(|world| {
            // Where a pool is not seen, its memory coming back would prove nothing.
            if memory != "host" && rig.is_back_to(used)? {
                return Err(format!("the card says {} bytes are taken beside a pool, and {used} before", rig.used()?));
            }
            world.run(&mut totals)
        });
        ended.map_err(|e| format!("seed {seed}, episode {episode}: {e}"))?;
        if said.elapsed() > Duration::from_secs(5) {
            said = Instant::now();
            eprintln!("{} of {kills} kills, {} stops, {} frames, {:.0?}", totals.kills, totals.stops, totals.published, started.elapsed());
        }
    }
    let left = peer::open_fds();
    if left != fds {
        return Err(format!("the supervisor had {fds} descriptors at the start and has {left} at the end"));
    }
    let ended = Instant::now();
    while !rig.is_back_to(used)? {
        if ended.elapsed() > Duration::from_secs(20) {
            return Err(format!("{used} bytes of the card were taken before the first pool, {} after the last", rig.used()?));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if memory != "host" {
        println!("memory {memory}: {used} bytes of the card taken before the first pool, {} after the last", rig.used()?);
    }
    totals.print(seed, started.elapsed());
    if totals.kills < kills {
        return Err(format!("{} of {kills} kills after {seconds} s", totals.kills));
    }
    Ok(())
}

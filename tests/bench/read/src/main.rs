//! `bench-read`: the graph beside a straight-line program that does the same work with the same libraries and models.

mod clock;
mod graph;
mod parameters;
mod repeat;
mod side;
mod straight;
mod table;

use clap::Parser;
use gantry_node::Fault;
use side::Side;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures `gantry read` against a straight-line program: frames/s, CPU per frame and stage, memory.
#[derive(Parser)]
#[command(name = "bench-read")]
pub struct Args {
    /// Clips of one size; the first is measured alone, then all together. Default: gate_day and road_day of tests/clips.
    clips: Vec<PathBuf>,
    /// Times that each side is measured, in turn.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Times that each clip is read in a row in one run, so that what a run costs once does not count for frames.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// The graph that both sides take their parameters from.
    #[arg(long)]
    graph: Option<PathBuf>,
    /// End with an error if the graph takes more than this times the CPU per frame of the straight line, start-up left out.
    #[arg(long, value_name = "RATIO")]
    max_ratio: Option<f64>,
    /// Do not measure memory (one run of each side more).
    #[arg(long)]
    no_memory: bool,
    /// This is the straight line itself: read the clips, print what was measured as JSON.
    #[arg(long, hide = true)]
    straight_line: bool,
    /// Frames of each clip to read at most.
    #[arg(long, hide = true, default_value_t = u64::MAX)]
    most_frames: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = if args.straight_line { side::straight_line(&args) } else { measure(&args) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<(), Fault> {
    let clips = if args.clips.is_empty() {
        let folder = project()?.join("tests/clips");
        ["gate_day.mp4", "road_day.mp4"].map(|c| folder.join(c)).to_vec()
    } else {
        args.clips.clone()
    };
    if let Some(missing) = clips.iter().find(|c| !c.is_file()) {
        return Err(Fault::new(format!("{}: no such file", missing.display())));
    }
    let repeated = if args.repeat > 1 { Some(repeat::repeated(&clips, args.repeat as usize)?) } else { None };
    let clips = repeated.as_ref().map_or(clips, |(clips, _)| clips.clone());
    println!("{}", table::machine());
    let mut cases = vec![&clips[..1]];
    if clips.len() > 1 {
        cases.push(&clips);
    }
    let mut worst = 0.0f64;
    for clips in cases {
        let names: Vec<String> = clips.iter().map(|c| side::camera_name(c)).collect();
        println!("\n{}", names.join(" and "));
        let straight = Side::measure_start(args, clips, side::run_straight)?;
        let graph = Side::measure_start(args, clips, graph::run)?;
        let (mut straight, mut graph) = (straight, graph);
        for round in 0..args.rounds.max(1) {
            straight.add(side::run_straight(args, clips, None)?);
            graph.add(graph::run(args, clips, None)?);
            eprintln!("round {} of {}", round + 1, args.rounds.max(1));
        }
        side::same_readings(&straight, &graph)?;
        let memory = if args.no_memory { None } else { Some((side::memory(args, clips)?, graph::memory(args, clips)?)) };
        worst = worst.max(table::print(&straight, &graph, memory));
    }
    match args.max_ratio {
        Some(most) if worst > most => {
            Err(Fault::new(format!("the graph takes {worst:.3} times the CPU of the straight line, at most {most} is wanted")))
        }
        _ => Ok(()),
    }
}

/// The folder that holds `graphs/read.yml`, here or above this program.
pub fn project() -> Result<PathBuf, Fault> {
    let program = std::env::current_exe()?;
    let starts = [std::env::current_dir()?, program];
    let found = starts.iter().flat_map(|s| s.ancestors()).find(|d| d.join("graphs/read.yml").is_file()).map(Path::to_owned);
    found.ok_or_else(|| Fault::new("graphs/read.yml was not found").hint("run this inside the project"))
}

/// The graph that was named, else the project's.
pub fn graph_file(args: &Args) -> Result<PathBuf, Fault> {
    match &args.graph {
        Some(path) => Ok(path.clone()),
        None => Ok(project()?.join("graphs/read.yml")),
    }
}

//! `bench-handles`: what the handle layer costs, in one process, between processes, and in graphs that the real dora runs.

mod copy;
mod graph;
mod iceoryx2;
mod latency;
mod micro;
mod peers;
mod pool;
mod predictions;
mod sink;
mod source;
mod streams;
mod table;
mod times;
mod wire;

use clap::{Parser, ValueEnum};
use gantry_node::Fault;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use table::Row;

/// Measures buffer handles: acquire and release, join, death of a reader, latency beside bare dora and iceoryx2, CPU per stream.
#[derive(Parser)]
#[command(name = "bench-handles")]
pub struct Args {
    /// What to measure; all if left out. May be given several times.
    #[arg(long, value_enum)]
    case: Vec<Case>,
    /// Length of each measured window of a graph.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Print the rows as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// End with an error if a limit is not reached.
    #[arg(long)]
    strict: bool,
    /// This is a node of a benchmark's graph.
    #[arg(long, hide = true, value_enum)]
    node: Option<Node>,
    /// This is the second process of a case.
    #[arg(long, hide = true, value_enum)]
    peer: Option<peers::Peer>,
}

/// A group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Acquire + release, encode + check, a whole round, the Arrow message; one process.
    Micro,
    /// Joining a pool.
    Join,
    /// Leases of a killed process.
    Kill,
    /// The same round through iceoryx2, in turn.
    Iceoryx2,
    /// Publish to acquire in a graph, beside bare messages in the same graph and iceoryx2 at the same time.
    Latency,
    /// CPU per 1080p frame: handle, pixels in dora's shared memory, pixels over dora's daemon.
    Copy,
    /// CPU per 30 fps stream: 1, 4 and 16 cameras, 1 to 8 consumers.
    Streams,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Node {
    Source,
    Sink,
}

/// Set by Ctrl-C; everything that takes long looks at it.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    fn on_signals() -> Result<Self, Fault> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, flag.clone())?;
        }
        Ok(Self(flag))
    }

    /// # Errors
    /// If somebody asked to stop.
    pub fn check(&self) -> Result<(), Fault> {
        if self.is_set() { Err(Fault::new("interrupted")) } else { Ok(()) }
    }

    /// Whether somebody asked to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match (args.node, args.peer) {
        (Some(Node::Source), _) => source::run(),
        (Some(Node::Sink), _) => sink::run(),
        (_, Some(peer)) => peers::run(peer),
        _ => Interrupt::on_signals().and_then(|interrupt| measure(&args, &interrupt)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            if let Some(hint) = fault.hint_text() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args, interrupt: &Interrupt) -> Result<(), Fault> {
    let machine = table::machine();
    let cases = if args.case.is_empty() { Case::value_variants() } else { &args.case };
    let mut rows: Vec<Row> = Vec::new();
    for case in cases {
        eprintln!("measuring: {case:?}");
        rows.extend(match case {
            Case::Micro => micro::rows(interrupt)?,
            Case::Join => peers::join_rows(interrupt)?,
            Case::Kill => peers::kill_rows(interrupt)?,
            Case::Iceoryx2 => iceoryx2::rows(interrupt)?,
            Case::Latency => latency::rows(args.seconds, interrupt)?,
            Case::Copy => copy::rows(args.seconds, interrupt)?,
            Case::Streams => streams::rows(args.seconds, interrupt)?,
        });
    }
    if args.json {
        println!("{}", serde_json::json!({ "machine": machine, "seconds": args.seconds, "rows": rows }));
    } else {
        println!("{machine}");
        table::print(&rows);
    }
    let missed: Vec<&str> = rows.iter().filter(|row| row.reached == Some(false)).map(|row| row.what.as_str()).collect();
    if args.strict && !missed.is_empty() {
        return Err(Fault::new(format!("not reached: {}", missed.join("; "))).hint("run again on an idle machine before you believe it"));
    }
    Ok(())
}

/// The folder that holds `graphs/read.yml`, here or above this program.
pub fn project() -> Result<PathBuf, Fault> {
    let starts = [std::env::current_dir()?, std::env::current_exe()?];
    let found = starts.iter().flat_map(|s| s.ancestors()).find(|d| d.join("graphs/read.yml").is_file()).map(Path::to_owned);
    found.ok_or_else(|| Fault::new("graphs/read.yml was not found").hint("run this inside the project"))
}

//! The `gantry` command.

use clap::{Parser, Subcommand};
use gantry::{check, compare, doctor, ocr, plan, probe, read, record, replay, report, score, stdout, top};
use std::process::ExitCode;

/// Reads licence plates from many cameras on one machine.
#[derive(Parser)]
#[command(name = "gantry", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reads the plates of video files or streams.
    Read(read::ReadArgs),
    /// Reads plates and records what the cameras sent.
    Record(record::RecordArgs),
    /// Reads a recording once more, through the same graph or another.
    Replay(replay::ReplayArgs),
    /// Runs two variants of a graph on one recording and shows which readings differ.
    Compare(compare::CompareArgs),
    /// Makes the page of a run or of a comparison: readings with evidence and votes, charts.
    Report(report::ReportArgs),
    /// Checks a graph file without starting anything; reports all faults at once.
    Check(check::CheckArgs),
    /// Says what a site will ask of this machine, and how large plates will be in each camera's picture.
    Plan(plan::PlanArgs),
    /// Says what this machine has and what is missing.
    Doctor(doctor::DoctorArgs),
    /// Opens a source and measures how it decodes here.
    Probe(probe::ProbeArgs),
    /// Reads still pictures of plates or scenes and shows every variant and the vote.
    Ocr(ocr::OcrArgs),
    /// Compares readings with the truth: exact plates, characters, duplicates, false readings.
    Score(score::ScoreArgs),
    /// Shows what the nodes of a running site do: rates, what was left out, ages of frames, load.
    Top(top::TopArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Read(args) => read::run(args),
        Command::Record(args) => record::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Compare(args) => compare::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Ocr(args) => ocr::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Top(args) => top::run(&args),
    };
    match result.and_then(|()| stdout::flushed()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

//! `gantry probe`: is this source readable, which decoder takes it, how fast.

use crate::failure::Failure;
use crate::login::Access;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `gantry probe`.
#[derive(Args)]
pub struct ProbeArgs {
    /// Video files or stream addresses.
    #[arg(required = true)]
    sources: Vec<String>,
    #[command(flatten)]
    access: Access,
}

/// Decodes a few seconds of each source on one core and prints what was seen.
pub fn run(args: &ProbeArgs) -> Result<(), Failure> {
    let login = args.access.login()?;
    let mut unreadable = 0;
    for source in &args.sources {
        let path = PathBuf::from(source);
        if !source.contains("://") && !path.is_file() {
            eprintln!("error: {source}: does not exist\nhint: name video files or stream addresses");
            unreadable += 1;
            continue;
        }
        match gantry_media::probe(&login.address(source)?, &args.access.options(source)?) {
            Ok(report) => print(&report),
            Err(e) => {
                eprintln!("error: {e}");
                if let Some(hint) = e.hint() {
                    eprintln!("hint: {hint}");
                }
                unreadable += 1;
            }
        }
    }
    match unreadable {
        0 => Ok(()),
        n => Err(Failure::failed(format!("{n} of {} sources cannot be read", args.sources.len()))),
    }
}

fn print(r: &gantry_media::ProbeReport) {
    outln!("{}", r.source);
    let rotation = if r.rotation_deg == 0 { String::new() } else { format!(", turned by {} degrees", r.rotation_deg) };
    let interlaced = if r.interlaced { ", interlaced" } else { "" };
    outln!("  video      {} {}x{} {} in {}{rotation}{interlaced}", r.codec, r.width, r.height, r.pixel_format, r.container);
    let rate = if r.fps > 0.0 { format!("{:.3} frames/s", r.fps) } else { "unknown".to_owned() };
    let length = r.duration.map_or_else(|| "unknown length".to_owned(), |d| format!("{:.2} s", d.as_secs_f64()));
    outln!("  time       {rate}, {length}");
    outln!("  decoder    decoder={} ({})", r.decoder, r.reason);
    let cpu = r.cpu_s_per_video_s.map_or_else(String::new, |c| format!(", {:.1} % of a core per stream", c * 100.0));
    outln!("  speed      {:.0} frames/s on one core{cpu} ({} frames measured)", r.frames_per_s, r.frames_decoded);
    if r.corrupt_packets > 0 || r.stats.errors > 0 {
        outln!("  damage     {} damaged packets, {} decode errors", r.corrupt_packets, r.stats.errors);
    }
}

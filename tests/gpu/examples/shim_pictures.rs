//! Writes the pictures of MP4 files for the driver shim's video decoder, which decodes nothing: `shim_pictures FOLDER CLIP...`, then
//! `GANTRY_SHIM_VIDEO=FOLDER`. A picture of 1920x1080 takes 3.1 MB. For dry_run.sh.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a command says what it did")]

use std::path::Path;
use std::process::ExitCode;

use gantry_gpu_checks::pictures::tell_the_shim;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, clips @ ..] = arguments.as_slice() else {
        eprintln!("error: no folder is named");
        eprintln!("hint: shim_pictures FOLDER CLIP...");
        return ExitCode::FAILURE;
    };
    for clip in clips {
        match tell_the_shim(Path::new(clip), Path::new(folder)) {
            Ok(pictures) => println!("{clip}: {pictures} pictures"),
            Err(error) => {
                eprintln!("error: {error}");
                eprintln!("hint: clips are MP4 files with H.264 of 8 bits, and the folder exists");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

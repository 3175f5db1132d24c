//! Standard output that may go away: `gantry score ... | head` ends quietly and not with a panic.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

/// Writes to standard output. A reader that has gone is no fault; a full disk behind it ends the command.
pub fn write(text: Arguments<'_>) {
    match stdout().lock().write_fmt(text) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: standard output: {e}");
            std::process::exit(1);
        }
        _ => {}
    }
}

/// `println!` through [`write`].
macro_rules! outln {
    () => { $crate::stdout::write(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::stdout::write(format_args!("{}\n", format_args!($($arg)*))) };
}

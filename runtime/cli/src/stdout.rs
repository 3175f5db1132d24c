//! Standard output that may go away: `gantry score ... | head` ends quietly and not with a panic.

use crate::failure::Failure;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};
use std::sync::OnceLock;

/// What could not be written first, and why.
static FAILED: OnceLock<String> = OnceLock::new();

/// Writes to standard output. A reader that has gone is no fault; anything else is remembered for [`flushed`].
pub fn write(text: Arguments<'_>) {
    remember(stdout().lock().write_fmt(text));
}

/// The end of a command: whether all that it printed was taken.
///
/// # Errors
/// Standard output could not be written: a full disk behind it, for one.
pub fn flushed() -> Result<(), Failure> {
    remember(stdout().lock().flush());
    match FAILED.get() {
        Some(why) => Err(Failure::failed(format!("standard output: {why}"))),
        None => Ok(()),
    }
}

fn remember(result: std::io::Result<()>) {
    if let Err(e) = result
        && e.kind() != ErrorKind::BrokenPipe
    {
        FAILED.get_or_init(|| e.to_string());
    }
}

/// `println!` through [`write`].
macro_rules! outln {
    () => { $crate::stdout::write(format_args!("\n")) };
    ($($arg:tt)*) => { $crate::stdout::write(format_args!("{}\n", format_args!($($arg)*))) };
}

//! SHA-256 of files and texts in hex, as `sha256sum` prints it.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The digest of a file.
///
/// # Errors
/// If the file cannot be read.
pub fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex(hasher)),
            n => hasher.update(block.get(..n).unwrap_or_default()),
        }
    }
}

/// The digest of a text.
#[must_use]
pub fn digest_of(text: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(text);
    hex(hasher)
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

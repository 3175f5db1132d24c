//! Compiled kernels kept on disk: a process that starts again compiles nothing.

use std::fs;
use std::hash::Hasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use siphasher::sip128::{Hasher128, SipHasher13};

/// Bytes of the checksum in front of the code.
const SUM_BYTES: usize = 16;

/// A folder of compiled kernels. Each file is a checksum and the code; a file appears whole or not at all, so processes may share the folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

/// What the code depends on; all of it is in the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    name: String,
}

impl Key {
    /// `what` is for people who look into the folder; `parts` is everything that the code depends on.
    pub fn new(what: &str, parts: &[&[u8]]) -> Self {
        Self { name: format!("{what}-{}.cubin", hash(parts)) }
    }
}

/// One name for all of `parts`, in hex.
pub(crate) fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = SipHasher13::new();
    for part in parts {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        hasher.write_u64(part.len() as u64);
        hasher.write(part);
    }
    format!("{:032x}", hasher.finish128().as_u128())
}

fn checksum(code: &[u8]) -> [u8; SUM_BYTES] {
    let mut hasher = SipHasher13::new();
    hasher.write(code);
    hasher.finish128().as_u128().to_le_bytes()
}

impl Cache {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The code, if it is there and whole. A torn or foreign file counts as absent and is replaced by the next [`Cache::put`].
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.folder.join(&key.name);
        let mut bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled kernels cannot be read, they are compiled again");
                return None;
            }
        };
        let is_whole = bytes.len() > SUM_BYTES && bytes[..SUM_BYTES] == checksum(&bytes[SUM_BYTES..]);
        if !is_whole {
            tracing::warn!(path = %path.display(), bytes = bytes.len(), "compiled kernels are damaged, they are compiled again");
            return None;
        }
        Some(bytes.split_off(SUM_BYTES))
    }

    /// Keeps the code. A folder that cannot be written costs time at the next start and nothing else.
    pub fn put(&self, key: &Key, code: &[u8]) {
        let path = self.folder.join(&key.name);
        if let Err(error) = self.write(&path, code) {
            tracing::warn!(path = %path.display(), %error, "compiled kernels are not kept, the next start compiles again");
        }
    }

    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(&self.folder)?;
        let part = path.with_extension(format!("{}-{}.part", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let written = fs::File::create_new(&part).and_then(|mut file| {
            file.write_all(&checksum(code))?;
            file.write_all(code)?;
            file.sync_all()
        });
        let done = written.and_then(|()| fs::rename(&part, path));
        if done.is_err() {
            // What is left of a full disk; the first error is the one that is told.
            let _ = fs::remove_file(&part);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_comes_back_and_any_damage_makes_it_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("deep/kernels"));
        let key = Key::new("resample-sm_90", &[b"text", b"12.8"]);
        assert_eq!(cache.get(&key), None);
        cache.put(&key, b"machine code");
        assert_eq!(cache.get(&key).as_deref(), Some(&b"machine code"[..]));
        let path = folder.path().join("deep/kernels").join(&key.name);
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..0], &whole[..SUM_BYTES], &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get(&key), None, "{} bytes", damaged.len());
        }
        for i in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[i] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert_eq!(cache.get(&key), None, "byte {i}");
        }
        cache.put(&key, b"machine code");
        assert_eq!(cache.get(&key).as_deref(), Some(&b"machine code"[..]), "a damaged file is replaced");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no parts are left");
    }

    #[test]
    fn a_key_changes_with_each_part_and_with_where_parts_end() {
        let keys = [Key::new("a", &[b"ab", b"c"]), Key::new("a", &[b"a", b"bc"]), Key::new("a", &[b"abc"]), Key::new("b", &[b"ab", b"c"])];
        for (i, one) in keys.iter().enumerate() {
            assert!(keys[i + 1..].iter().all(|other| other != one), "{one:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache::new(file.path().join("below a file"));
        let key = Key::new("a", &[]);
        cache.put(&key, b"code");
        assert_eq!(cache.get(&key), None);
    }
}

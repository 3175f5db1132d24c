//! The files of a recording.

use crate::about::About;
use crate::chunks::Chunks;
use crate::format::{Body, MAGIC, op};
use crate::{Entries, OpenError, Packets, Survey, names};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A recording: one file, or a file and the parts that follow it (`run.mcap`, `run.0001.mcap`, ..).
#[derive(Clone, Debug)]
pub struct Recording {
    files: Vec<PathBuf>,
    about: Option<About>,
}

impl Recording {
    /// Opens `path` and finds the parts of the same run that follow it.
    ///
    /// # Errors
    /// If a file cannot be read or does not begin as MCAP files do. Damage behind that is no error: [`Survey`] accounts for it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let about = about_of(path)?;
        let mut files = vec![path.to_owned()];
        let (base, number) = base_of(path);
        if let Some(run) = about.as_ref().and_then(|a| a.get(About::RUN)) {
            for number in number + 1.. {
                let next = part_path(&base, number);
                if !next.is_file() || about_of(&next)?.as_ref().and_then(|a| a.get(About::RUN)) != Some(run) {
                    break;
                }
                files.push(next);
            }
        }
        Ok(Self { files, about })
    }

    /// Graph, parameters and models of the run; none if they are damaged or another program wrote the file.
    pub fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// Its files in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Everything in it, in the order of writing.
    pub fn entries(&self) -> Entries {
        Entries::new(self.files.clone())
    }

    /// Number of the packet with which it begins on purpose.
    pub(crate) fn first(&self) -> u64 {
        self.about.as_ref().map_or(0, About::first)
    }

    /// The packets of one camera.
    pub fn packets(&self, camera: &str) -> Packets {
        Packets::new(self.entries(), camera, self.first())
    }

    /// Reads all of it and says what is there and what is missing. 400 MB take about a second.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn survey(&self) -> Result<Survey, OpenError> {
        Survey::of(self)
    }

    /// The camera of that name, or the only one if none is named.
    ///
    /// # Errors
    /// [`OpenError::NoCamera`] with the names that are there.
    pub fn camera(&self, survey: &Survey, wanted: Option<&str>) -> Result<String, OpenError> {
        let names: Vec<&str> = survey.cameras.iter().map(|c| c.name.as_str()).collect();
        match (wanted, names.as_slice()) {
            (Some(name), all) if all.contains(&name) => Ok(name.to_owned()),
            (None, [only]) => Ok((*only).to_owned()),
            (wanted, all) => Err(OpenError::NoCamera {
                path: self.files.first().cloned().unwrap_or_default(),
                wanted: wanted.unwrap_or_default().to_owned(),
                found: if all.is_empty() { "none".to_owned() } else { format!("`{}`", all.join("`, `")) },
            }),
        }
    }
}

fn about_of(path: &Path) -> Result<Option<About>, OpenError> {
    let unreadable = |source| OpenError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut magic = [0; MAGIC.len()];
    let whole = file.read_exact_at(&mut magic, 0).is_ok();
    if !whole || magic != MAGIC {
        let len = file.metadata().map_err(unreadable)?.len();
        let bytes: Vec<String> = magic.iter().take(len.min(8) as usize).map(|b| format!("{b:02x}")).collect();
        let found = if whole { bytes.join(" ") } else { format!("{len} bytes only") };
        return Err(OpenError::NoMcap { path: path.to_owned(), found });
    }
    let mut about = None;
    let chunks = Chunks::new(file).map_err(unreadable)?;
    chunks
        .opening(|opcode, body| {
            let mut body = Body(body);
            if opcode == op::METADATA && body.text().as_deref() == Some(names::ABOUT) {
                about = about.take().or_else(|| About::of(body.texts()?));
            }
        })
        .map_err(unreadable)?;
    Ok(about)
}

/// `run.mcap` and 0, or for `run.0002.mcap` the same and 2.
pub(crate) fn base_of(path: &Path) -> (PathBuf, u32) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    match stem.rsplit_once('.').and_then(|(base, digits)| Some((base, digits.parse().ok().filter(|_| digits.len() == 4)?))) {
        Some((base, number)) => (path.with_file_name(format!("{base}.{EXTENSION}")), number),
        None => (path.to_owned(), 0),
    }
}

/// The file of a part.
pub(crate) fn part_path(base: &Path, number: u32) -> PathBuf {
    match number {
        0 => base.to_owned(),
        number => base.with_extension(format!("{number:04}.{EXTENSION}")),
    }
}

const EXTENSION: &str = "mcap";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_after_the_first() {
        let base = Path::new("/a/run.2.mcap");
        assert_eq!(part_path(base, 0), base);
        assert_eq!(part_path(base, 12), Path::new("/a/run.2.0012.mcap"));
        assert_eq!(base_of(&part_path(base, 12)), (base.to_owned(), 12));
        assert_eq!(base_of(base), (base.to_owned(), 0));
    }
}

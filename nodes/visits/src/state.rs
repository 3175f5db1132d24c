//! Open visits on disk, for the node that starts again.

use crate::site::Site;
use gantry_node::Fault;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::warn;

/// Shortest time between two writes where nothing happened but that vehicles are still there.
const EVERY: Duration = Duration::from_secs(5);

/// The file.
pub struct State {
    path: PathBuf,
    written: Instant,
    is_failing: bool,
}

impl State {
    /// Reads what an earlier process left; an empty site if there is nothing.
    ///
    /// # Errors
    /// A file that is none of ours, or a folder that cannot be made.
    pub fn open(path: &Path) -> Result<(Self, Site), Fault> {
        let fault = |what: String| Fault::new(format!("`STATE` `{}`: {what}", path.display()));
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| fault(e.to_string()).hint("name a place that this user may write to"))?;
        }
        let site = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| fault(format!("is no state of visits: {e}")).hint("remove it: open visits are then forgotten"))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Site::default(),
            Err(e) => return Err(fault(e.to_string().to_lowercase())),
        };
        Ok((Self { path: path.to_owned(), written: Instant::now(), is_failing: false }, site))
    }

    /// Writes it, whole or not at all. A disk that takes nothing is told once; the site goes on.
    pub fn write(&mut self, site: &Site) {
        self.written = Instant::now();
        match self.replace(site) {
            Ok(()) => self.is_failing = false,
            Err(error) if !std::mem::replace(&mut self.is_failing, true) => {
                warn!(file = %self.path.display(), %error, "open visits cannot be written; a restart would forget them");
            }
            Err(_) => {}
        }
    }

    /// Writes it if the last time is some seconds ago.
    pub fn write_now_and_then(&mut self, site: &Site) {
        if self.written.elapsed() >= EVERY {
            self.write(site);
        }
    }

    fn replace(&self, site: &Site) -> std::io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".part");
        // It has plates.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(site)?)?;
        std::fs::rename(&beside, &self.path)
    }
}

//! Where a password shows.

use crate::Sandbox;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

impl Sandbox {
    /// A file of mode 0600 with `login` (`user:password`).
    ///
    /// # Panics
    /// If the sandbox cannot be written.
    pub fn credentials(&self, name: &str, login: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, format!("{login}\n")).expect("the sandbox can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("modes can be changed");
        path
    }

    /// Files of the sandbox but `kept_in`, and command lines of its processes, that show `secret`.
    #[must_use]
    pub fn places_with(&self, secret: &str, kept_in: &Path) -> Vec<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.path(".")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if path.is_file() && path.file_name() != kept_in.file_name() {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    if bytes.windows(secret.len()).any(|w| w == secret.as_bytes()) {
                        found.insert(path.display().to_string());
                    }
                }
            }
        }
        let shown = self.processes().into_iter().filter(|p| p.command.contains(secret));
        found.extend(shown.map(|p| p.command.replace(secret, "***")));
        found.into_iter().collect()
    }
}

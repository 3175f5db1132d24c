use crate::{wait_for_port, wait_until};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A broker as a process of its own, killed without a goodbye (`kill -9`) when it is dropped.
pub struct Mosquitto {
    child: Child,
    database: PathBuf,
}

impl Mosquitto {
    /// Starts it at `port` and waits until it listens; what an earlier one left in `dir` goes on. `more`: lines of its configuration.
    ///
    /// What it acknowledges is on its way to those who are connected already: it has no limit of messages that wait for an acknowledgement.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn start(dir: &Path, port: u16, more: &str) -> Self {
        let config = dir.join("mosquitto.conf");
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let keeps = format!("persistence true\npersistence_location {}/\nautosave_interval 1\nautosave_on_changes true", dir.display());
        let limits = "max_inflight_messages 0\nmax_queued_messages 0";
        std::fs::write(&config, format!("user {user}\n{keeps}\n{limits}\nlistener {port} 127.0.0.1\n{more}\n"))
            .expect("the folder can be written");
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].iter().find(|p| Path::new(p).is_file()).unwrap_or(&"mosquitto");
        let log = std::fs::File::options().append(true).create(true).open(dir.join("mosquitto.log")).expect("the folder can be written");
        let child = Command::new(program).arg("-c").arg(&config).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|e| panic!("mosquitto: {e}: `cargo xtask setup` installs it"));
        // Made before the wait: one that does not come up is ended all the same.
        let broker = Self { child, database: dir.join("mosquitto.db") };
        wait_for_port(port);
        broker
    }

    /// Waits until its disk has the subscription to `topics`, so that it is there after a kill.
    ///
    /// # Panics
    /// If it is not after 20 s.
    pub fn wait_until_saved(&self, topics: &str) {
        let saved = || std::fs::read(&self.database).is_ok_and(|db| db.windows(topics.len()).any(|w| w == topics.as_bytes()));
        wait_until(&format!("`{topics}` is in {}", self.database.display()), saved);
    }

    /// Ends it as an administrator does: it writes down what it has.
    ///
    /// # Panics
    /// If it cannot be told.
    pub fn end(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().is_ok_and(|s| s.success()), "kill");
        self.child.wait().expect("a child can be waited for");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

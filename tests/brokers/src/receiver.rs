use crate::wait_for_port;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A web server (`receiver.py`) that keeps what it is sent, killed without a goodbye (`kill -9`) when it is dropped.
pub struct Receiver(Child);

impl Receiver {
    /// Starts it at `port` and waits until it listens. Bodies are added to `file`.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn start(port: u16, file: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("receiver.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(port.to_string()).arg(file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        // Made before the wait: one that does not come up is ended all the same.
        let receiver = Self(child.unwrap_or_else(|e| panic!("python3: {e}")));
        wait_for_port(port);
        receiver
    }

    /// Bodies that are in `file`, in the order of their arrival; none if it is not there.
    #[must_use]
    pub fn received(file: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        // The last line of one that was killed may be half.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

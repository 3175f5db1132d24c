use crate::{Certificate, wait_for_port};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Takes TLS connections and passes what goes over them to a server that has no TLS (`tls_front.py`); ends with its value.
pub struct TlsFront {
    child: Child,
    port: u16,
}

impl TlsFront {
    /// Listens at a free port, shows `certificate`, and passes on to `to` (`host:port`). Where the server's answers name it by that address, as
    /// Kafka's do, they name this port.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn start(to: &str, certificate: &Certificate) -> Self {
        let port = crate::free_port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tls_front.py");
        let mut command = Command::new("python3");
        command.arg(script).args([&port.to_string(), to]).arg(&certificate.certificate).arg(&certificate.key);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        // Made before the wait: one that does not come up is ended all the same.
        let front = Self { child: child.unwrap_or_else(|e| panic!("python3: {e}")), port };
        wait_for_port(port);
        front
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

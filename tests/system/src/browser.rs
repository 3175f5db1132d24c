//! Headless Chromium, spoken to over two pipes (the DevTools protocol, `--remote-debugging-pipe`): no driver and no port.

use crate::Sandbox;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Debian's program; `cargo xtask setup` installs it.
const CHROMIUM: &str = "chromium";

/// A running browser; ends with its value.
pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    asked: u64,
}

/// A page of the browser, as large as a screen.
pub struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    /// Starts one with a profile in the sandbox.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(sandbox: &Sandbox) -> Self {
        let (to, from) = (sandbox.path("to-browser"), sandbox.path("from-browser"));
        let made = Command::new("mkfifo").arg(&to).arg(&from).status();
        assert!(made.is_ok_and(|s| s.success()), "pipes can be made");
        // The shell gives the program its descriptors 3 and 4, which is where it talks.
        let script = format!(
            "exec {CHROMIUM} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe --user-data-dir=\"$1\" about:blank 3<\"$2\" 4>\"$3\""
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script, "browser"]).arg(sandbox.path("profile")).arg(&to).arg(&from);
        command.env("HOME", sandbox.path("."));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("bash starts");
        let open = |path: &Path, write: bool| File::options().read(!write).write(write).open(path).expect("a pipe opens");
        let to = open(&to, true);
        Self { child, to, from: BufReader::new(open(&from, false)), asked: 0 }
    }

    /// A page of that size in CSS pixels, as a phone has it or a screen.
    ///
    /// # Panics
    /// If the browser refuses.
    pub fn page(&mut self, width: u32, height: u32, scale: f64, phone: bool) -> Page<'_> {
        let target = self.ask(None, "Target.createTarget", json!({"url": "about:blank"}));
        let attached = self.ask(None, "Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let mut page = Page { browser: self, session };
        let size = json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone});
        page.ask("Emulation.setDeviceMetricsOverride", size);
        page
    }

    fn ask(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap_or_else(|e| panic!("the browser is gone ({method}): {e}"));
        loop {
            let mut bytes = Vec::new();
            let read = self.from.read_until(0, &mut bytes);
            assert!(read.is_ok_and(|n| n > 0), "the browser ended; is `{CHROMIUM}` installed? `cargo xtask setup` does that");
            bytes.pop();
            let mut answer: Value = serde_json::from_slice(&bytes).expect("JSON from the browser");
            if answer["id"] == self.asked {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
        }
    }
}

impl Page<'_> {
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.browser.ask(Some(&self.session), method, params)
    }

    /// Goes to an address.
    ///
    /// # Panics
    /// If the browser refuses.
    pub fn open(&mut self, address: &str) {
        let gone = self.ask("Page.navigate", json!({"url": address}));
        assert!(gone["errorText"].is_null(), "{address}: {gone}");
    }

    /// Dark or light, as the system would ask for it.
    pub fn prefer(&mut self, scheme: &str) {
        self.ask("Emulation.setEmulatedMedia", json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}));
    }

    /// The value of an expression in the page.
    ///
    /// # Panics
    /// If it throws.
    pub fn value(&mut self, expression: &str) -> Value {
        let mut result = self.ask("Runtime.evaluate", json!({"expression": expression, "returnByValue": true, "awaitPromise": true}));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Waits until the expression is true.
    ///
    /// # Panics
    /// If it is not within `limit_s` seconds.
    #[track_caller]
    pub fn wait(&mut self, limit_s: u64, expression: &str) {
        let started = Instant::now();
        while self.value(expression) != Value::Bool(true) {
            assert!(started.elapsed() < Duration::from_secs(limit_s), "after {limit_s} s still not: {expression}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the screen shows, as PNG in base64.
    ///
    /// # Panics
    /// If the browser refuses.
    pub fn screenshot(&mut self) -> String {
        self.ask("Page.captureScreenshot", json!({"format": "png"}))["data"].as_str().expect("a picture").to_owned()
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.ask("Page.close", json!({}));
        }
    }
}

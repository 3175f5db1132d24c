//! A site on two machines: two daemons under one coordinator here, packets or pixels cross from one to the other, plates come out.

use gantry_system_tests::{Sandbox, lines, root};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process of dora that ends with its value.
struct Part(Child);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn packets_cross_between_two_daemons_and_plates_are_read() {
    cross(|text| text, ("camera", "decode"));
}

/// `decode` at the gate, and what it decoded crosses.
#[test]
fn pixels_cross_between_two_daemons_and_plates_are_read() {
    let node = |id: &str, machine: &str, input: &str, outputs: &str| {
        format!(
            "  - id: {id}\n    path: bin/{id}\n    deploy: {{ machine: {machine}, working_dir: /srv/gantry/graphs/sites }}\n    inputs:\n      tick: dora/timer/millis/500\n      \
             {input}, queue_size: 8, queue_policy: backpressure }}\n    outputs: [{outputs}]\n\n"
        )
    };
    let pair = node("pack", "gate", "frames: { source: decode/frames", "pixels")
        + &node("unpack", "hall", "pixels: { source: pack/pixels", "frames");
    let edit = |text: String| {
        let replace = |text: String, from: &str, to: &str, times: usize| {
            assert_eq!(text.matches(from).count(), times, "{from}");
            text.replace(from, to)
        };
        let text = replace(text, "source: decode/frames", "source: unpack/frames", 2);
        let text = replace(text, "path: bin/decode\n    deploy: { machine: hall", "path: bin/decode\n    deploy: { machine: gate", 1);
        replace(text, "  - id: detect\n", &(pair.clone() + "  - id: detect\n"), 1)
    };
    cross(edit, ("pack", "unpack"));
}

/// The shipped graph, with `edit` done to it; the nodes of `apart` must run under two daemons.
fn cross(edit: impl Fn(String) -> String, apart: (&str, &str)) {
    let sandbox = Sandbox::new();
    let site = sandbox.path("site");
    std::fs::create_dir(&site).unwrap();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    let text = edit(std::fs::read_to_string(root().join("graphs/sites/two_machines.yml")).unwrap());
    let graphs = root().join("graphs/sites").display().to_string();
    // Both machines have the project at the same place, which here is this one; results go to the sandbox.
    let text = text.replace("/srv/gantry/graphs/sites", &graphs);
    let text = text.replace("../../out/two_machines", &sandbox.path("out").display().to_string());
    let graph = site.join("two_machines.yml");
    std::fs::write(&graph, text).unwrap();

    let ports: Vec<String> = (0..3).map(|_| free_port()).collect();
    let dora = |arguments: &[&str]| {
        let mut command = sandbox.dora();
        command.env("HOME", sandbox.path("home")).env("DORA_COORDINATOR_PORT", &ports[0]).current_dir(&site).args(arguments);
        command
    };
    let part = |arguments: &[&str]| start(dora(arguments));
    let _coordinator = part(&["coordinator", "--store", "memory"]);
    wait(20, "the coordinator listens", || std::net::TcpStream::connect(format!("127.0.0.1:{}", ports[0])).is_ok());
    let _gate = part(&["daemon", "--machine-id", "gate", "--local-listen-port", &ports[1]]);
    let _hall = part(&["daemon", "--machine-id", "hall", "--local-listen-port", &ports[2]]);

    let started = Instant::now();
    loop {
        let done = sandbox.run(dora(&["start", &graph.display().to_string(), "--name", "two", "--detach"]), 60);
        if done.code() == 0 {
            break;
        }
        // Until both daemons have reported.
        assert!(started.elapsed() < Duration::from_secs(40), "{}\n{}", done.stdout, done.stderr);
        std::thread::sleep(Duration::from_millis(300));
    }
    wait(90, "readings", || lines(&sandbox.out()).len() >= 3);
    let parent_of = |name: &str| {
        let process = sandbox.processes().into_iter().find(|p| p.name() == name).unwrap_or_else(|| panic!("no {name}"));
        std::fs::read_to_string(format!("/proc/{}/stat", process.pid))
            .unwrap()
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(1)
            .map(str::to_owned)
    };
    assert_ne!(parent_of(apart.0), parent_of(apart.1), "one daemon runs both");
    sandbox.run(dora(&["stop", "two"]), 60).assert_code(0);
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port().to_string()
}

fn start(mut command: Command) -> Part {
    Part(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("dora starts"))
}

#[track_caller]
fn wait(limit_s: u64, what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(limit_s), "after {limit_s} s still not: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

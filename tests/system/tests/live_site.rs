//! A live site on two real RTSP servers: one is killed and comes back, nodes are killed, and its password shows nowhere.

use gantry_rtsp::{Server, Stream};
use gantry_system_tests::{Sandbox, as_a_camera_sends, clip, lines, program, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Nowhere else in any file of a run.
const CANARY: &str = "Kanarienvogel-4711";
/// Every node, each with what must flow again when it was killed: rows that it sends or takes. A `store` takes rows only when a vehicle passes.
const KILLED: [(&str, &str, &str); 10] = [
    ("gate.camera", "rows_out", "packets"),
    ("gate.decode", "rows_out", "frames"),
    ("gate.resize", "rows_out", "images"),
    ("detect", "rows_out", "detections"),
    ("track", "rows_out", "tracks"),
    ("crop", "rows_out", "crops"),
    ("enhance", "rows_out", "crops"),
    ("recognize", "rows_out", "texts"),
    ("vote", "rows_in", "texts"),
    ("store", "", ""),
];
/// The statistics of a node are written once a second, which is how late a test may see that it delivers.
const STATS_LATE: Duration = Duration::from_millis(1500);

#[test]
fn a_killed_camera_and_killed_nodes_come_back_and_the_other_camera_loses_nothing() {
    let sandbox = Sandbox::new();
    let long = as_a_camera_sends(&sandbox, &clip("gate_day.mp4"), 240);
    let login = Some(("operator".to_owned(), CANARY.to_owned()));
    let gate = Stream { login, ..Stream::h264(&long) };
    let server = Server::start(&gate, 0);
    let port = server.port();
    let road_server = Server::start(&Stream::h264(&long), 0);
    let credentials = sandbox.path("credentials");
    std::fs::write(&credentials, format!("operator:{CANARY}\n")).unwrap();
    std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).unwrap();

    let graph = graph(&sandbox);
    let coordinator = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port().to_string();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    let dora = |arguments: &[&str]| {
        let mut command = sandbox.dora();
        command.env("HOME", sandbox.path("home")).env("DORA_COORDINATOR_PORT", &coordinator).args(arguments);
        command.env("GANTRY_TEST_GATE", server_address(port)).env("GANTRY_TEST_ROAD", road_server.address());
        command.env("GANTRY_TEST_CREDENTIALS", &credentials).env("GANTRY_TEST_JSONL", sandbox.out());
        command.env("GANTRY_RUN_DIR", sandbox.path("tmp/run"));
        command
    };
    sandbox.run(dora(&["up"]), 30).assert_code(0);
    sandbox.run(dora(&["start", &graph, "--name", "site", "--detach"]), 60).assert_code(0);

    let reads = |camera: &str| lines(&sandbox.out()).iter().filter(|r| r["camera"] == camera && r["captured_at"].is_string()).count();
    wait(60, "readings of both cameras", || reads("gate") > 0 && reads("road") > 0);
    let dead = kill(server);
    wait(20, "the camera is missed", || counter(&sandbox, "gate.camera", "connect_failures") > 3);
    let server = Server::start(&gate, port);
    let back = flows(&sandbox, "gate.decode", "rows_out", "frames", Instant::now());
    assert!(
        back < Duration::from_secs(2) + STATS_LATE,
        "the first frame came {back:?} after the camera was back (away for {:?})",
        dead.elapsed()
    );

    let whole = |node: &str| sandbox.stats().get(node).and_then(|s| s["starts"].as_u64()).unwrap_or_default();
    for (node, rows, port) in KILLED {
        let before = stats(&sandbox, node);
        process_of(&sandbox, node).signal("KILL");
        let killed = Instant::now();
        wait(20, &format!("{node} is started again"), || stats(&sandbox, node)["uptime_s"].as_f64() < before["uptime_s"].as_f64());
        if !port.is_empty() {
            flows(&sandbox, node, rows, port, killed);
        }
        let after = killed.elapsed();
        assert!(after < Duration::from_secs(3) + STATS_LATE, "{node} delivers {after:?} after it was killed");
        assert_eq!(whole(node), before["starts"].as_u64().unwrap_or(1) + 1, "{node} was started once more");
    }
    let before = reads("gate");
    wait(60, "readings after all that", || reads("gate") > before);

    // The other camera saw nothing of it.
    let road = stats(&sandbox, "road.camera");
    assert_eq!((counter(&sandbox, "road.camera", "connects"), counter(&sandbox, "road.camera", "packets_dropped")), (1, 0), "{road}");
    let decode = stats(&sandbox, "road.decode");
    assert_eq!(decode["counters"]["decode_errors"].as_u64().unwrap_or(0), 0, "{decode}");
    let ages = &decode["latency"]["frames"];
    assert!(ages["count"].as_u64() > Some(100), "no ages of live frames: {decode}");

    let secrets = places_with_the_password(&sandbox, &credentials);
    sandbox.run(dora(&["stop", "site", "--grace-duration", "5s"]), 60).assert_code(0);
    let _ = sandbox.run(dora(&["down"]), 30);
    assert_eq!(secrets, Vec::<String>::new());
    assert_eq!(places_with_the_password(&sandbox, &credentials), Vec::<String>::new());
    drop(server);
    sandbox.assert_nothing_left();
}

fn server_address(port: u16) -> String {
    format!("rtsp://127.0.0.1:{port}/stream")
}

/// Ends a server without a goodbye; the moment at which that was.
fn kill(server: Server) -> Instant {
    drop(server);
    Instant::now()
}

/// `tests/graphs/two_live_cameras.yml` in the sandbox, where dora also puts its logs.
fn graph(sandbox: &Sandbox) -> String {
    let site = sandbox.path("site");
    std::fs::create_dir(&site).unwrap();
    let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, site.join(name)).unwrap();
    link(program("gantry").parent().unwrap(), "bin");
    link(&root().join("graphs/modules"), "modules");
    let text = std::fs::read_to_string(root().join("tests/graphs/two_live_cameras.yml")).unwrap();
    let path = site.join("site.yml");
    std::fs::write(&path, text.replace("../../models", &root().join("models").display().to_string())).unwrap();
    path.display().to_string()
}

#[track_caller]
fn wait(limit_s: u64, what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(limit_s), "after {limit_s} s still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn stats(sandbox: &Sandbox, node: &str) -> Value {
    sandbox.stats().remove(node).unwrap_or_default()
}

fn counter(sandbox: &Sandbox, node: &str, name: &str) -> u64 {
    stats(sandbox, node)["counters"][name].as_u64().unwrap_or(0)
}

/// The process of a node. Those of one kind are told apart by the node that dora names to them.
fn process_of(sandbox: &Sandbox, node: &str) -> gantry_system_tests::Process {
    let kind = node.rsplit('.').next().unwrap_or(node);
    let is_it = |process: &gantry_system_tests::Process| {
        let environ = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        let wanted = |variable: &[u8]| variable.windows(node.len()).any(|w| w == node.as_bytes());
        process.name() == kind && (kind == node || environ.split(|b| *b == 0).any(wanted))
    };
    sandbox.processes().into_iter().find(is_it).unwrap_or_else(|| panic!("no process of {node}"))
}

/// Waits until `node` has sent or taken more rows at `port` than now; how long after `since` that was seen.
#[track_caller]
fn flows(sandbox: &Sandbox, node: &str, rows: &str, port: &str, since: Instant) -> Duration {
    let counted = || stats(sandbox, node)[rows][port].as_u64().unwrap_or(0);
    let before = counted();
    wait(20, &format!("`{node}` has more {rows} at `{port}`"), || counted() > before);
    since.elapsed()
}

/// Files of the sandbox and command lines of its processes that show the password.
fn places_with_the_password(sandbox: &Sandbox, credentials: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![sandbox.path(".")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() && !path.ends_with(credentials.file_name().unwrap_or_default()) {
                let bytes = std::fs::read(&path).unwrap_or_default();
                if bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes()) {
                    found.insert(path.display().to_string());
                }
            }
        }
    }
    for process in sandbox.processes().iter().filter(|p| p.command.contains(CANARY)) {
        found.insert(process.command.replace(CANARY, "***"));
    }
    found.into_iter().collect()
}

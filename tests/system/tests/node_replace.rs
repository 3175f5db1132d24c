//! A detector and a reader are swapped while their site runs (`dora node replace`): frames go on through the new one, and no other node notices.

use gantry_system_tests::{Process, Sandbox, program, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Node, a parameter of its new definition, and what it sends.
const SWAPPED: [(&str, (&str, i64), &str); 2] = [("detect", ("MAX_DETECTIONS", 200), "detections"), ("recognize", ("TOP_K", 4), "texts")];

#[test]
fn a_detector_and_a_reader_are_swapped_while_the_site_runs() {
    let sandbox = Sandbox::new();
    let folder = site(&sandbox);
    let coordinator = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port().to_string();
    std::fs::create_dir(sandbox.path("home")).unwrap();
    let dora = |arguments: &[&str]| -> Command {
        let mut command = sandbox.dora();
        command.env("HOME", sandbox.path("home")).env("DORA_COORDINATOR_PORT", &coordinator).current_dir(&folder).args(arguments);
        command
    };
    sandbox.run(dora(&["up"]), 30).assert_code(0);
    sandbox.run(dora(&["start", "gate.yml", "--name", "site", "--detach"]), 60).assert_code(0);
    wait("texts come", || sent(&sandbox, "recognize", "texts") > 0);
    let before = nodes(&sandbox);
    let expanded = sandbox.run(dora(&["expand", "gate.yml"]), 30);
    expanded.assert_code(0);
    for (node, parameter, output) in SWAPPED {
        let definition = folder.join(format!("{node}.yml"));
        std::fs::write(&definition, definition_of(&expanded.stdout, node, parameter)).unwrap();
        sandbox.run(dora(&["node", "replace", "-d", "site", node, "--from-yaml", definition.to_str().unwrap()]), 30).assert_code(0);
        let swapped = Instant::now();
        let is_new = |p: &Process| p.pid != before[node] && has(p, &format!("{}={}", parameter.0, parameter.1));
        wait(&format!("a new {node} alone"), || {
            let now: Vec<Process> = sandbox.processes().into_iter().filter(|p| p.name() == node).collect();
            now.len() == 1 && is_new(&now[0])
        });
        let new = sandbox.processes().into_iter().find(|p| p.name() == node).unwrap();
        assert!(has(&new, "GANTRY_MODE=live"), "{node} knows the mode of its graph");
        // Its statistics begin anew.
        wait(&format!("{node} sends {output}"), || {
            let stats = sandbox.stats().remove(node).unwrap_or_default();
            let is_young = stats["uptime_s"].as_f64().is_some_and(|s| s <= swapped.elapsed().as_secs_f64() + 5.0);
            is_young && stats["rows_out"][output].as_u64() > Some(0)
        });
    }
    let readings = sent(&sandbox, "vote", "readings");
    wait("readings go on", || sent(&sandbox, "vote", "readings") > readings);
    let after = nodes(&sandbox);
    let same = |node: &&String| !SWAPPED.iter().any(|(swapped, ..)| swapped == node);
    assert_eq!(
        before.keys().filter(same).map(|n| (n, before[n])).collect::<Vec<_>>(),
        after.keys().filter(same).map(|n| (n, after[n])).collect::<Vec<_>>()
    );
    sandbox.run(dora(&["stop", "site", "--grace-duration", "5s"]), 60).assert_code(0);
    // The coordinator may be gone before it answers.
    let _ = sandbox.run(dora(&["down"]), 30);
    sandbox.assert_nothing_left();
}

/// The shipped gate in a folder of the sandbox, with all that it writes.
fn site(sandbox: &Sandbox) -> std::path::PathBuf {
    let folder = sandbox.path("site/graphs/sites");
    std::fs::create_dir_all(&folder).unwrap();
    let link = |target: &Path, at: &Path| std::os::unix::fs::symlink(target, at).unwrap();
    link(program("gantry").parent().unwrap(), &folder.join("bin"));
    link(&root().join("graphs/modules"), &folder.join("modules"));
    link(&root().join("models"), &sandbox.path("site/models"));
    link(&root().join("tests"), &sandbox.path("site/tests"));
    let mut text = std::fs::read_to_string(root().join("graphs/sites/gate.yml")).unwrap();
    text = text.replace("GANTRY_RUN_DIR: ../../out/gate", &format!("GANTRY_RUN_DIR: {}", sandbox.path("tmp/run").display()));
    for port in ["8100", "9464"] {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        text = text.replace(&format!("127.0.0.1:{port}\""), &format!("127.0.0.1:{free}\""));
    }
    std::fs::write(folder.join("gate.yml"), text).unwrap();
    folder
}

/// The node as `dora expand` prints it, with one more parameter: modules of the graph are resolved there, and a replacement must keep the same edges.
fn definition_of(expanded: &str, node: &str, (name, value): (&str, i64)) -> String {
    let graph: serde_yaml::Value = serde_yaml::from_str(expanded).unwrap();
    let mut found = graph["nodes"].as_sequence().unwrap().iter().find(|n| n["id"].as_str() == Some(node)).unwrap().clone();
    found["env"][name] = value.into();
    serde_yaml::to_string(&found).unwrap()
}

/// Processes of the site by node or program, cameras left out, which run their kind several times.
fn nodes(sandbox: &Sandbox) -> BTreeMap<String, u32> {
    sandbox
        .processes()
        .iter()
        .filter(|p| p.exe.parent().is_some_and(|f| f.ends_with("release")))
        .map(|p| (p.name().to_owned(), p.pid))
        .collect()
}

fn has(process: &Process, variable: &str) -> bool {
    let environ = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
    environ.split(|b| *b == 0).any(|v| v == variable.as_bytes())
}

fn sent(sandbox: &Sandbox, node: &str, output: &str) -> u64 {
    sandbox.stats().get(node).map_or(&Value::Null, |s| &s["rows_out"][output]).as_u64().unwrap_or(0)
}

#[track_caller]
fn wait(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "after a minute still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

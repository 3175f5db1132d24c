//! A detector and a reader are swapped while their site runs (`dora node replace`): frames go on through the new one, and no other node notices.

use gantry_system_tests::{Process, Sandbox, Site, shipped};
use std::collections::BTreeMap;

/// Node, a parameter of its new definition, and what it sends.
const SWAPPED: [(&str, (&str, i64), &str); 2] = [("detect", ("MAX_DETECTIONS", 200), "detections"), ("recognize", ("TOP_K", 4), "texts")];

#[test]
fn a_detector_and_a_reader_are_swapped_while_the_site_runs() {
    let sandbox = Sandbox::new();
    let site = Site::start(&sandbox, &shipped(&sandbox, "gate"), &[]);
    site.wait(60, "texts come", |site| sent(site, "recognize", "texts") > 0);
    let before = nodes(&sandbox);
    let expanded = site.dora(&["expand", &sandbox.path("site/site.yml").display().to_string()], 30);
    expanded.assert_code(0);
    for (node, parameter, output) in SWAPPED {
        let definition = sandbox.path(format!("site/{node}.yml"));
        std::fs::write(&definition, definition_of(&expanded.stdout, node, parameter)).unwrap();
        site.dora(&["node", "replace", "-d", "site", node, "--from-yaml", definition.to_str().unwrap()], 30).assert_code(0);
        let wanted = format!("{}={}", parameter.0, parameter.1);
        site.wait(60, &format!("a new {node} alone"), |site| {
            let now = site.processes(node);
            now.len() == 1 && now[0].pid != before[node] && has(&now[0], &wanted)
        });
        assert!(has(&site.process(node), "GANTRY_MODE=live"), "{node} knows the mode of its graph");
        // Its own statistics, not those of the one before.
        site.wait(60, &format!("{node} sends {output}"), |site| site.stats(node)["starts"] == 2 && sent(site, node, output) > 0);
    }
    let readings = sent(&site, "vote", "readings");
    site.wait(60, "readings go on", |site| sent(site, "vote", "readings") > readings);
    let others = |mut all: BTreeMap<String, u32>| {
        all.retain(|name, _| !SWAPPED.iter().any(|(swapped, ..)| swapped == name));
        all
    };
    assert_eq!(others(nodes(&sandbox)), others(before));
    site.stop();
    sandbox.assert_nothing_left();
}

/// The node as `dora expand` prints it, with one more parameter: modules of the graph are resolved there, and a replacement must keep the same edges.
fn definition_of(expanded: &str, node: &str, (name, value): (&str, i64)) -> String {
    let graph: serde_yaml::Value = serde_yaml::from_str(expanded).unwrap();
    let mut found = graph["nodes"].as_sequence().unwrap().iter().find(|n| n["id"].as_str() == Some(node)).unwrap().clone();
    found["env"][name] = value.into();
    serde_yaml::to_string(&found).unwrap()
}

/// Processes of the nodes by program: the gate has one of each.
fn nodes(sandbox: &Sandbox) -> BTreeMap<String, u32> {
    let is_node = |p: &&Process| p.exe.parent().is_some_and(|folder| folder.ends_with("release"));
    sandbox.processes().iter().filter(is_node).map(|p| (p.name().to_owned(), p.pid)).collect()
}

fn has(process: &Process, variable: &str) -> bool {
    let environ = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
    environ.split(|b| *b == 0).any(|v| v == variable.as_bytes())
}

fn sent(site: &Site<'_>, node: &str, output: &str) -> u64 {
    site.stats(node)["rows_out"][output].as_u64().unwrap_or(0)
}

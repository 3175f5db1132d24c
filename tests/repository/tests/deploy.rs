//! What people deploy with fits what is there.

use gantry_metrics::{example, text};
use gantry_repository_tests::root;
use std::collections::BTreeSet;

fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names that begin with `gantry_` in a text, without what Prometheus adds to those of histograms.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("gantry_"));
    words.map(|w| ["_bucket", "_sum", "_count"].iter().fold(w, |w, end| w.strip_suffix(end).unwrap_or(w)).to_owned()).collect()
}

/// Metrics of a node that has something of everything.
fn metrics() -> BTreeSet<String> {
    let text = text(&[example()]);
    let samples: String = text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    names(&samples)
}

#[test]
fn the_dashboard_asks_for_metrics_that_exist_and_shows_all_but_a_few() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("docs/deploy/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let expressions: Vec<&str> =
        panels.iter().flat_map(|p| p["targets"].as_array().expect("targets")).map(|t| t["expr"].as_str().expect("an expression")).collect();
    let shown = names(&expressions.join("\n"));
    let there = metrics();
    assert_eq!(shown.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(shown.len() >= 12, "{shown:?}");
    let ids: BTreeSet<i64> = panels.iter().map(|p| p["id"].as_i64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len());
}

#[test]
fn every_metric_stands_in_the_docs_and_no_other() {
    let page = file("docs/sites.md");
    let section = page.split("## Metrics").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section on metrics");
    assert_eq!(names(section), metrics());
}

#[test]
fn the_dora_of_the_services_is_the_one_that_is_set_up() {
    let setup = file("xtask/src/setup.rs");
    let wanted = setup.split("\"dora-rs-cli==").nth(1).and_then(|rest| rest.split('"').next()).expect("a version");
    assert!(file("docs/deploy/README.md").contains(&format!("dora-rs-cli=={wanted}")));
}

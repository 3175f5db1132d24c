//! The node, asked by a client over TCP.

use gantry_contract::ParamSet;
use gantry_frames::Mode;
use gantry_node::{Context, Fault, NodeStats, Outputs, Stage};
use gantry_node_metrics::{CONTRACT, Metrics};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

fn open(dir: &Path, mode: Mode, listen: &str) -> Result<Metrics, Fault> {
    let params = ParamSet::from_env(&CONTRACT, [("LISTEN", listen)]).unwrap().to().unwrap();
    let mut context = Context::for_test("metrics", mode, dir);
    context.run_dir = Some(dir.to_owned());
    Metrics::open(params, &context)
}

fn get(node: &Metrics, request: &str) -> String {
    let mut stream = TcpStream::connect(node.address().unwrap()).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Metrics>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn statistics_of_all_nodes_are_at_one_address() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = open(dir.path(), Mode::Live, "127.0.0.1:0").unwrap();
    assert!(get(&node, "GET /metrics").contains("# TYPE gantry_rows_total counter"), "before any node has written");
    std::fs::create_dir(dir.path().join("stats")).unwrap();
    for (name, rows) in [("detect", 30), ("vote", 2)] {
        let stats = NodeStats { node: name.into(), rows_out: [("x".to_owned(), rows)].into(), starts: 2, ..NodeStats::default() };
        std::fs::write(dir.path().join(format!("stats/{name}.json")), serde_json::to_vec(&stats).unwrap()).unwrap();
    }
    let answer = get(&node, "GET /metrics?x=1");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("Content-Type: text/plain; version=0.0.4"), "{answer}");
    for line in [
        "gantry_rows_total{node=\"detect\",direction=\"out\",port=\"x\"} 30",
        "gantry_rows_total{node=\"vote\",direction=\"out\",port=\"x\"} 2",
        "gantry_restarts_total{node=\"vote\"} 1",
    ] {
        assert!(answer.lines().any(|l| l == line), "no `{line}` in\n{answer}");
    }
    assert!(get(&node, "GET /../etc/passwd").starts_with("HTTP/1.1 404 "));
    assert!(get(&node, "POST /metrics").starts_with("HTTP/1.1 405 "));
    assert!(get(&node, "GET /").contains("href=\"/metrics\""));
    let mut out = Outputs::collector();
    node.on_tick(&mut out).unwrap();
    assert_eq!(out.counted("scrapes"), 2);
    let fault = open(dir.path(), Mode::Live, &node.address().unwrap().to_string()).err().expect("the port is taken");
    assert!(fault.message().contains("cannot listen at") && fault.hint_text().is_some(), "{fault}");
}

#[test]
fn a_lossless_run_or_one_without_a_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(open(dir.path(), Mode::Lossless, "127.0.0.1:0").err().expect("refused").message().contains("would wait for it"));
    let params = ParamSet::from_env(&CONTRACT, []).unwrap().to().unwrap();
    let fault = Metrics::open(params, &Context::for_test("metrics", Mode::Live, dir.path())).err().expect("refused");
    assert!(fault.message().contains("GANTRY_RUN_DIR"), "{fault}");
}

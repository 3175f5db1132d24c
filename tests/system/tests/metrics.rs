//! A running graph, scraped as Prometheus does.

use gantry_system_tests::{Sandbox, program};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Samples by name and labels; empty while nobody answers.
fn scrape(port: u16) -> BTreeMap<String, f64> {
    let mut answer = String::new();
    let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    if asked.is_err() {
        return BTreeMap::new();
    }
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let samples = body.lines().filter(|line| line.starts_with("gantry_"));
    samples
        .map(|line| line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}")))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {name} {value}"))))
        .collect()
}

#[test]
fn one_address_tells_what_every_node_of_a_running_graph_does() {
    let sandbox = Sandbox::new();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let site = sandbox.path("site");
    std::fs::create_dir(&site).unwrap();
    std::os::unix::fs::symlink(program("gantry").parent().unwrap(), site.join("bin")).unwrap();
    let graph = site.join("site.yml");
    let text = format!(
        "env: {{ GANTRY_MODE: live, GANTRY_RUN_DIR: {run} }}
nodes:
  - id: source
    path: bin/readings_source
    inputs: {{ tick: dora/timer/millis/500 }}
    outputs: [readings]
    env: {{ COUNT: 100000, PER_SECOND: 50 }}
  - id: store
    path: bin/store
    restart_policy: on-failure
    restart_delay: 0.2
    inputs:
      tick: dora/timer/millis/500
      readings: {{ source: source/readings, queue_size: 256, queue_policy: backpressure }}
    env: {{ JSONL: {out} }}
  - id: metrics
    path: bin/metrics
    inputs: {{ tick: dora/timer/millis/500 }}
    env: {{ LISTEN: '127.0.0.1:{port}' }}
",
        run = sandbox.path("tmp/run").display(),
        out = sandbox.out().display(),
    );
    std::fs::write(&graph, text).unwrap();
    let mut dora = sandbox.dora();
    dora.arg("run").arg(&graph);
    let mut running = sandbox.start(dora);
    let value = |name: &str| scrape(port).get(name).copied().unwrap_or(-1.0);
    let rows = "gantry_rows_total{node=\"store\",direction=\"in\",port=\"readings\"}";
    running.wait_until("rows are counted", 60, |_| value(rows) > 50.0);
    let all = scrape(port);
    for name in [
        "gantry_rows_total{node=\"source\",direction=\"out\",port=\"readings\"}",
        "gantry_events_total{node=\"store\",event=\"readings\"}",
        "gantry_queue_age_seconds_bucket{node=\"store\",port=\"readings\",le=\"+Inf\"}",
        "gantry_frame_age_seconds_count{node=\"store\",output=\"stored\"}",
        "gantry_peak_memory_bytes{node=\"metrics\"}",
    ] {
        assert!(all.get(name).is_some_and(|v| *v > 0.0), "{name}: {:?}", all.get(name));
    }
    assert_eq!(all.get("gantry_restarts_total{node=\"store\"}"), Some(&0.0));
    let mean = |n: &str| {
        all[&format!("{n}_sum{{node=\"store\",port=\"readings\"}}")] / all[&format!("{n}_count{{node=\"store\",port=\"readings\"}}")]
    };
    let waited = mean("gantry_queue_age_seconds");
    assert!(waited > 0.0 && waited < 1.0, "{waited} s in the queue");

    let store = sandbox.processes().into_iter().find(|p| p.name() == "store").expect("the store runs");
    store.signal("KILL");
    running.wait_until("the restart is counted", 30, |_| value("gantry_restarts_total{node=\"store\"}") >= 1.0 && value(rows) > 0.0);
    assert!(value("gantry_silence_seconds{node=\"store\"}") < 5.0);
    running.signal("INT");
    let _ = running.end(60);
    sandbox.assert_nothing_left();
}

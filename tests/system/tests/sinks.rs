//! Sinks in a real graph, with real servers: the server is away at first, is killed and comes back, and the sink is killed, too.
//! What the sink had on its disk arrives, each reading once without what came twice, and those of a camera in order.

use gantry_brokers::{Kafka, Mosquitto, Receiver, Subscriber, free_port, wait_until};
use gantry_system_tests::{ReadingsSite, Sandbox, assert_spool_is_empty, once, said, spooled};
use serde_json::Value;
use std::collections::BTreeSet;

/// Readings of a run, and how many of them a second: 15 s.
const COUNT: u64 = 1500;
const PER_SECOND: u64 = 100;

/// Ids of the sink's processes: one, or none while it is started again.
fn sinks(sandbox: &Sandbox, kind: &str) -> Vec<u32> {
    sandbox.processes().iter().filter(|p| p.name() == kind).map(|p| p.pid).collect()
}

/// Kills the sink as the kernel would; its process.
fn kill_sink(sandbox: &Sandbox, kind: &str) -> u32 {
    let found: Vec<_> = sandbox.processes().into_iter().filter(|p| p.name() == kind).collect();
    let [sink] = &found[..] else { panic!("one sink runs, not {found:?}") };
    sink.signal("KILL");
    sink.pid
}

/// Runs the graph; `away(true)` kills the server, `away(false)` brings it back; it is away at first. `arrived`: bodies that it has.
fn run(kind: &str, env: &[(&str, &str)], sandbox: &Sandbox, arrived: impl Fn() -> Vec<Value>, mut away: impl FnMut(bool)) {
    let spool = sandbox.path("spool").display().to_string();
    let common = [("SPOOL_DIR", spool.as_str()), ("RETRY_MS", "300"), ("FINISH_MS", "30000")];
    let graph = ReadingsSite::new(sandbox, COUNT, PER_SECOND).with("sink", kind, &[&common, env].concat()).write();
    let mut dora = sandbox.dora();
    dora.args(["run", &graph]);
    let mut running = sandbox.start(dora);
    let n = || arrived().len();
    running.wait_until("readings wait in the spool", 60, |s| spooled(&said(s)).len() > 100);
    away(false);
    running.wait_until("readings arrive", 30, |_| n() > 50);
    away(true);
    let before = spooled(&said(sandbox)).len();
    running.wait_until("more readings wait", 30, |s| spooled(&said(s)).len() > before + 100);
    // While the server is away.
    let killed = kill_sink(sandbox, kind);
    running.wait_until("the sink is back", 30, |s| sinks(s, kind).iter().any(|pid| *pid != killed));
    let before = spooled(&said(sandbox)).len();
    running.wait_until("the sink takes readings again", 30, |s| spooled(&said(s)).len() > before);
    away(false);
    let before = n();
    running.wait_until("readings arrive again", 30, |_| n() > before);
    // And once more while it sends.
    kill_sink(sandbox, kind);
    running.end(90).assert_code(0);

    let acked: BTreeSet<String> = spooled(&said(sandbox)).into_iter().collect();
    let has = |all: &[Value]| {
        let got: BTreeSet<&str> = all.iter().filter_map(|body| body["key"].as_str()).collect();
        acked.iter().all(|key| got.contains(key.as_str()))
    };
    // What the server has acknowledged may still be on its way to those who read there.
    wait_until("every reading that was on the disk arrives", || has(&arrived()));
    let all = arrived();
    let cameras = once(&all);
    let got: usize = cameras.values().map(Vec::len).sum();
    // What was under way to the killed sink was never acked; how many that may be is dora's to say, and few.
    assert!(got as u64 > COUNT / 2, "{got} of {COUNT} readings arrived");
    for (camera, bodies) in &cameras {
        let tracks: Vec<u64> = bodies.iter().filter_map(|body| body["track_id"].as_u64()).collect();
        assert!(tracks.is_sorted(), "`{camera}`: {tracks:?}");
    }
    println!("{kind}: {COUNT} sent, {} on the disk, {got} arrived, {} of them twice", acked.len(), all.len() - got);
    assert_eq!(cameras.len(), 2);
    assert_spool_is_empty(&sandbox.path("spool"));
    sandbox.assert_nothing_left();
}

#[test]
fn a_web_server_that_is_killed_gets_every_reading_that_was_on_the_sinks_disk() {
    let sandbox = Sandbox::new();
    let (port, file) = (free_port(), sandbox.path("received.jsonl"));
    let mut server = None;
    run(
        "webhook_sink",
        &[("URL", &format!("http://127.0.0.1:{port}/readings"))],
        &sandbox,
        || Receiver::received(&file),
        |away| {
            // The one before is dead before the next one starts.
            drop(server.take());
            server = (!away).then(|| Receiver::start(port, &file));
        },
    );
}

#[test]
fn a_killed_mosquitto_gets_every_reading_that_was_on_the_sinks_disk() {
    let (sandbox, port) = (Sandbox::new(), free_port());
    let start = || Mosquitto::start(&sandbox.path("out"), port, "allow_anonymous true");
    let broker = start();
    let subscriber = Subscriber::start(port, "site/#");
    broker.wait_until_saved("site/#");
    drop(broker);
    let mut broker = None;
    run(
        "mqtt_sink",
        &[("BROKER", &format!("mqtt://127.0.0.1:{port}")), ("TOPIC", "site")],
        &sandbox,
        || subscriber.got().into_iter().map(|(_, body)| body).collect(),
        |away| {
            drop(broker.take());
            broker = (!away).then(start);
        },
    );
}

#[test]
fn a_kafka_broker_that_goes_away_gets_every_reading_that_was_on_the_sinks_disk() {
    let sandbox = Sandbox::new();
    let cluster = Kafka::start("site.readings", 4);
    let consumer = cluster.consumer();
    cluster.kill();
    run(
        "kafka_sink",
        &[("BROKERS", &cluster.address()), ("TOPIC", "site.readings"), ("TIMEOUT_MS", "3000")],
        &sandbox,
        || consumer.got().into_iter().map(|got| got.body).collect(),
        |away| if away { cluster.kill() } else { cluster.bring_back() },
    );
}

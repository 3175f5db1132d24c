//! A whole graph, from clips to three far ends, each of which is killed and comes back while readings are delivered: in the end each has the readings
//! that `store` has, those of a camera in the same order, once without what came twice.

use gantry_brokers::{Kafka, Mosquitto, Receiver, Subscriber, free_port, wait_until};
use gantry_system_tests::{Sandbox, assert_spool_is_empty, lines, once, root, site_folder};
use serde_json::Value;
use std::collections::BTreeMap;

/// `tests/graphs/two_cameras.yml` with the whole clips, as slow as they are, and three sinks, in the sandbox, where dora also puts its logs.
fn graph(sandbox: &Sandbox, sinks: &[(&str, &[(&str, String)])]) -> String {
    let site = site_folder(sandbox);
    let mut text = std::fs::read_to_string(root().join("tests/graphs/two_cameras.yml")).unwrap();
    text = text.replace("../../models", &root().join("models").display().to_string());
    text = text.replace("../clips", &root().join("tests/clips").display().to_string()).replace(", seconds: 2", ", pace: realtime");
    // Lines as they come, not sorted at the end: the order in which `vote` sent them.
    text = text.replace("env: { JSONL: $GANTRY_TEST_JSONL }", "env: { JSONL: $GANTRY_TEST_JSONL, GANTRY_MODE: live }");
    for (kind, env) in sinks {
        let spool = sandbox.path(kind).display().to_string();
        text.push_str(&format!(
            "\n  - id: {kind}\n    path: bin/{kind}\n    inputs:\n      tick: dora/timer/millis/500\n      readings: {{ source: vote/readings, queue_size: 256, \
             queue_policy: backpressure }}\n    env:\n      SPOOL_DIR: {spool}\n      RETRY_MS: 300\n      TIMEOUT_MS: 2000\n      FINISH_MS: 60000\n"
        ));
        env.iter().for_each(|(name, value)| text.push_str(&format!("      {name}: '{value}'\n")));
    }
    let path = site.join("site.yml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Readings of each camera as a line of `store` has them: without what sinks put in front, and without what is on this machine only.
fn plain(cameras: BTreeMap<String, Vec<Value>>) -> BTreeMap<String, Vec<Value>> {
    let strip = |mut reading: Value| {
        let fields = reading.as_object_mut().expect("an object");
        ["type", "key", "evidence"].iter().for_each(|name| drop(fields.remove(*name)));
        reading
    };
    cameras.into_iter().map(|(camera, all)| (camera, all.into_iter().map(strip).collect())).collect()
}

#[test]
fn each_far_end_has_the_readings_of_the_store_although_it_was_killed_in_the_middle() {
    let sandbox = Sandbox::new();
    let (web_port, mqtt_port) = (free_port(), free_port());
    let web_file = sandbox.path("received.jsonl");
    let web = Receiver::start(web_port, &web_file);
    let start_mosquitto = || Mosquitto::start(&sandbox.path("out"), mqtt_port, "allow_anonymous true");
    let mosquitto = start_mosquitto();
    let subscriber = Subscriber::start(mqtt_port, "site/#");
    mosquitto.wait_until_saved("site/#");
    let kafka = Kafka::start("site.readings", 4);
    let consumer = kafka.consumer();
    let graph = graph(
        &sandbox,
        &[
            ("webhook_sink", &[("URL", format!("http://127.0.0.1:{web_port}/"))]),
            ("mqtt_sink", &[("BROKER", format!("mqtt://127.0.0.1:{mqtt_port}")), ("TOPIC", "site".to_owned())]),
            ("kafka_sink", &[("BROKERS", kafka.address()), ("TOPIC", "site.readings".to_owned())]),
        ],
    );
    let arrived = || {
        let mqtt: Vec<Value> = subscriber.got().into_iter().map(|(_, body)| body).collect();
        let kafka: Vec<Value> = consumer.got().into_iter().map(|got| got.body).collect();
        [("webhook_sink", Receiver::received(&web_file)), ("mqtt_sink", mqtt), ("kafka_sink", kafka)]
    };

    let stored = || lines(&sandbox.out()).len();
    let mut dora = sandbox.dora();
    dora.args(["run", &graph]).env("GANTRY_TEST_JSONL", sandbox.out()).env("GANTRY_RUN_DIR", sandbox.path("tmp/run"));
    let mut running = sandbox.start(dora);
    running.wait_until("each far end has a reading", 90, |_| arrived().iter().all(|(_, bodies)| !bodies.is_empty()));
    drop((web, mosquitto));
    kafka.kill();
    let at_kill = stored();
    running.wait_until("more readings are there, and each sink has missed its far end", 90, |s| {
        let stats = s.stats();
        let outages = |(kind, _): &(&str, Vec<Value>)| stats.get(*kind).and_then(|s| s["counters"]["outages"].as_u64()).unwrap_or(0);
        stored() >= at_kill + 2 && arrived().iter().map(outages).all(|n| n > 0)
    });
    let _back = (Receiver::start(web_port, &web_file), start_mosquitto());
    kafka.bring_back();
    running.end(120).assert_code(0);

    let stored = lines(&sandbox.out());
    assert!(stored.len() > 4, "{} readings are few", stored.len());
    let mut wanted: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for reading in stored {
        wanted.entry(reading["camera"].as_str().unwrap_or_default().to_owned()).or_default().push(reading);
    }
    let wanted = plain(wanted);
    // What a far end has acknowledged may still be on its way to those who read there.
    wait_until("each far end has every reading", || {
        arrived().iter().all(|(_, bodies)| once(bodies).values().flatten().count() >= wanted.values().flatten().count())
    });
    for (kind, bodies) in arrived() {
        assert_eq!(plain(once(&bodies)), wanted, "{kind}");
        assert_spool_is_empty(&sandbox.path(kind));
        println!("{kind}: {} readings arrived, {} of them twice", bodies.len(), bodies.len() - wanted.values().flatten().count());
    }
    sandbox.assert_nothing_left();
}

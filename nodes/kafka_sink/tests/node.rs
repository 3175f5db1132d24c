//! The node against brokers that speak Kafka's protocol: the cluster of librdkafka's own tests, over TCP. It goes away and comes back.

use gantry_brokers::{Got, Kafka as Cluster};
use gantry_node::{Outputs, Stage};
use gantry_node_kafka_sink::Kafka;
use gantry_sink::Sink;
use gantry_sink::testing::{open, reading, until, write};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const TOPIC: &str = "site.readings";

fn cluster() -> Cluster {
    Cluster::start(TOPIC, 4)
}

fn node(dir: &Path, brokers: &str, more: &[(&str, &str)]) -> (Sink<Kafka>, Outputs) {
    let mut env = vec![("BROKERS", brokers), ("TOPIC", TOPIC)];
    env.extend(more);
    (open::<Kafka>(dir, &env).unwrap(), Outputs::collector())
}

/// Every reading once without what came twice, each camera in one partition and in order.
fn assert_complete(all: &[Got], readings: u64) {
    Got::assert_sound(all);
    let mut seen = BTreeSet::new();
    let mut cameras: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for got in all.iter().filter(|got| seen.insert(&got.key)) {
        cameras.entry(&got.camera).or_default().push(got.body["track_id"].as_u64().unwrap());
    }
    assert_eq!(cameras.values().map(|tracks| tracks.len() as u64).sum::<u64>(), readings);
    cameras.values().for_each(|tracks| assert!(tracks.is_sorted(), "{tracks:?}"));
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Sink<Kafka>>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn readings_arrive_keyed_by_camera_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster();
    let (mut node, mut out) = node(dir.path(), &cluster.address(), &[]);
    for track in 1..=300 {
        write(&mut node, &mut out, &[reading(["entry", "exit", "yard"][track as usize % 3], track)]);
    }
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 300);
    let all = cluster.consumer().all(300);
    assert_eq!((all.len(), out.counted("failures")), (300, 0));
    assert_complete(&all, 300);
    node.finish(&mut out).unwrap();
}

#[test]
fn brokers_that_go_away_and_come_back_have_everything_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster();
    let (mut node, mut out) = node(dir.path(), &cluster.address(), &[("TIMEOUT_MS", "700")]);
    for track in 1..=900_u64 {
        write(&mut node, &mut out, &[reading(["entry", "exit"][track as usize % 2], track)]);
        match track {
            150 | 450 => cluster.kill(),
            300 | 600 => {
                until(&mut node, &mut out, "the outage is seen", |out| out.counted("outages") >= track / 300);
                cluster.bring_back();
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 900);
    let all = cluster.consumer().all(900);
    assert_complete(&all, 900);
    println!("900 readings, {} of them twice, {} outages", all.len() - 900, out.counted("outages"));
    node.finish(&mut out).unwrap();
}

#[test]
fn a_node_without_brokers_leaves_its_readings_to_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster();
    cluster.kill();
    let (mut node, mut out) = self::node(dir.path(), &cluster.address(), &[("FINISH_MS", "0"), ("TIMEOUT_MS", "300")]);
    write(&mut node, &mut out, &(1..=20).map(|track| reading("gate", track)).collect::<Vec<_>>());
    until(&mut node, &mut out, "it was tried", |out| out.counted("failures") >= 2);
    node.finish(&mut out).unwrap();
    assert_eq!((out.counted("sent"), out.gauged("spool_waiting")), (0, Some(20.0)));
    drop(node);
    cluster.bring_back();
    let (mut node, mut out) = self::node(dir.path(), &cluster.address(), &[]);
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 20);
    assert_complete(&cluster.consumer().all(20), 20);
}

#[test]
fn what_can_never_work_is_refused_at_the_start_and_shows_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kafka.credentials");
    std::fs::write(&file, "site:canary-k4").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.display().to_string();
    let refused = |env: &[(&str, &str)]| {
        let env = [&[("BROKERS", "127.0.0.1:1")], env].concat();
        open::<Kafka>(dir.path(), &env).err().expect("refused").to_string()
    };
    assert!(refused(&[("CREDENTIALS_FILE", &file)]).contains("`SECURITY` is `plaintext`"));
    assert!(refused(&[("SECURITY", "sasl_ssl")]).contains("there are none"));
    assert!(refused(&[("CA_FILE", "ca.pem")]).contains("`SECURITY: plaintext` is without TLS"));
    let plain = [("SECURITY", "sasl_plaintext"), ("CREDENTIALS_FILE", file.as_str()), ("CA_FILE", "ca.pem")];
    assert!(refused(&plain).contains("`SECURITY: sasl_plaintext` is without TLS"));
    let fault = refused(&[("SECURITY", "sasl_ssl"), ("CREDENTIALS_FILE", &file), ("CA_FILE", "/nowhere.pem")]);
    assert!(fault.contains("hint: ") && !fault.contains("canary"), "{fault}");
}

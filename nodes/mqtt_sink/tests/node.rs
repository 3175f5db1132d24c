//! The node against a real mosquitto: absent, killed, with a password, over TLS.

use gantry_brokers::{Authority, Mosquitto, Subscriber, free_port};
use gantry_messages::VisitRow;
use gantry_node::{Input, Outputs, Stage};
use gantry_node_mqtt_sink::Mqtt;
use gantry_sink::Sink;
use gantry_sink::testing::{open, reading, until, write};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Tracks in the order of their first arrival.
fn tracks(subscriber: &Subscriber) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    let all = subscriber.got();
    all.iter().filter(|(_, v)| seen.insert(v["key"].to_string())).map(|(_, v)| v["track_id"].as_u64().unwrap()).collect()
}

#[track_caller]
fn wait_for(subscriber: &Subscriber, wanted: impl Iterator<Item = u64>) {
    let wanted: Vec<u64> = wanted.collect();
    let started = Instant::now();
    while tracks(subscriber) != wanted {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?} came, not {wanted:?}", tracks(subscriber));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn node(dir: &Path, port: u16, more: &[(&str, &str)]) -> (Sink<Mqtt>, Outputs) {
    let broker = format!("mqtt://127.0.0.1:{port}");
    let mut env = vec![("BROKER", broker.as_str()), ("TOPIC", "site")];
    env.retain(|(k, _)| !more.iter().any(|(m, _)| m == k));
    env.extend(more);
    (open::<Mqtt>(dir, &env).unwrap(), Outputs::collector())
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Sink<Mqtt>>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn readings_and_visits_have_topics_of_their_own_and_arrive_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let _broker = Mosquitto::start(dir.path(), port, "allow_anonymous true");
    let subscriber = Subscriber::start(port, "site/#");
    let (mut node, mut out) = node(dir.path(), port, &[("EVIDENCE", "true")]);
    let mut large = reading("a/b+c", 3);
    large.evidence = vec![7; 60_000];
    write(&mut node, &mut out, &[reading("gate", 1), reading("exit", 2), large]);
    let visit = VisitRow { source: "gate".into(), visit: "v".into(), event: "left".into(), track_id: 4, ..VisitRow::default() };
    node.on_input(&Input::of("visits", &[visit]), &mut out).unwrap();
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 4);
    wait_for(&subscriber, 1..=4);
    let topics: Vec<String> = subscriber.got().into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["site/gate/reading", "site/exit/reading", "site/a-b-c/reading", "site/gate/visit"]);
    assert_eq!(subscriber.got()[0].1["key"], "test/gate/1/30");
    // More than one attempt can carry, and than the broker lets wait.
    write(&mut node, &mut out, &(5..1000).map(|track| reading("gate", track)).collect::<Vec<_>>());
    until(&mut node, &mut out, "all of these, too", |out| out.counted("sent") == 999);
    wait_for(&subscriber, 1..1000);
    assert_eq!(out.counted("failures"), 0);
    node.finish(&mut out).unwrap();
}

#[test]
fn a_broker_that_was_away_or_killed_gets_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let options = "allow_anonymous true";
    let broker = Mosquitto::start(dir.path(), port, options);
    let subscriber = Subscriber::start(port, "site/#");
    // It writes its subscriptions down.
    broker.end();

    let (mut node, mut out) = node(dir.path(), port, &[]);
    write(&mut node, &mut out, &(1..=50).map(|track| reading("gate", track)).collect::<Vec<_>>());
    until(&mut node, &mut out, "it was tried", |out| out.counted("failures") >= 3);
    assert_eq!((out.counted("sent"), out.gauged("spool_waiting")), (0, Some(50.0)));
    let broker = Mosquitto::start(dir.path(), port, options);
    until(&mut node, &mut out, "all are sent", |out| out.counted("sent") == 50);
    wait_for(&subscriber, 1..=50);

    // Killed while nothing is under way: what the broker had acknowledged is at the subscriber.
    drop(broker);
    for track in 51..=80 {
        write(&mut node, &mut out, &[reading("gate", track)]);
    }
    until(&mut node, &mut out, "the outage is seen", |out| out.counted("outages") >= 2);
    let broker = Mosquitto::start(dir.path(), port, options);
    until(&mut node, &mut out, "all are sent", |out| out.counted("sent") == 80);
    wait_for(&subscriber, 1..=80);

    // Ended and started again while readings come.
    let mut broker = Some(broker);
    for track in 81..=600 {
        write(&mut node, &mut out, &[reading("gate", track)]);
        match track {
            200 | 400 => broker.take().unwrap().end(),
            300 | 500 => broker = Some(Mosquitto::start(dir.path(), port, options)),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    until(&mut node, &mut out, "all are sent", |out| out.counted("sent") == 600);
    wait_for(&subscriber, 1..=600);
    let all = subscriber.got().len();
    println!("600 readings, {} of them twice, {} outages", all - 600, out.counted("outages"));
}

#[test]
fn the_password_goes_to_the_broker_alone_and_a_wrong_one_is_an_outage() {
    let dir = tempfile::tempdir().unwrap();
    let (users, file) = (dir.path().join("users"), dir.path().join("mqtt.credentials"));
    let status =
        Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["site", "canary-77x"]).stderr(Stdio::null()).status();
    assert!(status.expect("mosquitto_passwd, which comes with mosquitto").success());
    let port = free_port();
    let options = format!("allow_anonymous false\npassword_file {}", users.display());
    let _broker = Mosquitto::start(dir.path(), port, &options);
    let mut failed = Vec::new();
    for (password, wanted) in [("site:wrong", 0), ("site:canary-77x", 1)] {
        std::fs::write(&file, password).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (mut node, mut out) = node(dir.path(), port, &[("CREDENTIALS_FILE", file.to_str().unwrap()), ("FINISH_MS", "0")]);
        if wanted == 0 {
            write(&mut node, &mut out, &[reading("gate", 1)]);
        }
        until(&mut node, &mut out, "it was tried", |out| out.counted("failures") >= 2 || out.counted("sent") == 1);
        failed.push((out.counted("sent"), out.counted("refused"), out.gauged("spool_waiting") == Some(1.0)));
        node.finish(&mut out).unwrap();
    }
    assert_eq!(failed, [(0, 0, true), (1, 0, false)]);
}

#[test]
fn over_tls_the_broker_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, others) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "others"));
    let shown = ours.sign("broker", "DNS:localhost,IP:127.0.0.1");
    let port = free_port();
    let options = format!("allow_anonymous true\ncertfile {}\nkeyfile {}", shown.certificate.display(), shown.key.display());
    let _broker = Mosquitto::start(dir.path(), port, &options);
    let url = format!("mqtts://localhost:{port}");
    let trusting = |ca: &Path| node(dir.path(), port, &[("BROKER", &url), ("CA_FILE", ca.to_str().unwrap()), ("FINISH_MS", "0")]);
    let (mut node, mut out) = trusting(&others.file());
    write(&mut node, &mut out, &[reading("gate", 1)]);
    until(&mut node, &mut out, "it was tried", |out| out.counted("failures") >= 2);
    assert_eq!(out.counted("sent"), 0, "a certificate of somebody else");
    node.finish(&mut out).unwrap();
    drop(node);
    let (mut node, mut out) = trusting(&ours.file());
    until(&mut node, &mut out, "it is sent", |out| out.counted("sent") == 1);
    node.finish(&mut out).unwrap();
}

#[test]
fn what_can_never_work_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |env: &[(&str, &str)]| open::<Mqtt>(dir.path(), env).err().expect("refused").to_string();
    assert!(refused(&[("BROKER", "mqtt://h"), ("TOPIC", "a/#")]).contains("wildcard"));
    assert!(refused(&[("BROKER", "mqtt://h"), ("CA_FILE", "x.pem")]).contains("not reached over TLS"));
    assert!(!refused(&[("BROKER", "mqtt://u:canary-77x@h")]).contains("canary"));
    std::fs::write(dir.path().join("empty.pem"), "").unwrap();
    let empty = dir.path().join("empty.pem").display().to_string();
    assert!(refused(&[("BROKER", "mqtts://h"), ("CA_FILE", &empty)]).contains("has no certificate"));
}

//! The node against a real mosquitto: absent, killed, with a password, over TLS.

use gantry_messages::VisitRow;
use gantry_node::{Input, Outputs, Stage};
use gantry_node_mqtt_sink::Mqtt;
use gantry_sink::Sink;
use gantry_sink::testing::{open, reading, until, write};
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A broker as a process of its own, killed without a goodbye when it is dropped.
struct Mosquitto(Child);

impl Mosquitto {
    /// `more`: lines of its configuration.
    fn start(dir: &Path, port: u16, more: &str) -> Self {
        let config = dir.join("mosquitto.conf");
        let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let keeps = format!("persistence true\npersistence_location {}/\nautosave_interval 1\nautosave_on_changes true", dir.display());
        std::fs::write(&config, format!("user {user}\n{keeps}\nlistener {port} 127.0.0.1\n{more}\n")).unwrap();
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].iter().find(|p| Path::new(p).is_file()).unwrap_or(&"mosquitto");
        let log = std::fs::File::options().append(true).create(true).open(dir.join("mosquitto.log")).unwrap();
        let child = Command::new(program).arg("-c").arg(&config).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.unwrap_or_else(|e| panic!("mosquitto: {e}: `cargo xtask setup` installs it"));
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child)
    }

    /// As an administrator does: it writes down what it has.
    fn end(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A subscriber with a session that lasts, on a thread of its own.
struct Subscriber {
    got: Arc<Mutex<Vec<(String, serde_json::Value)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    fn start(port: u16) -> Self {
        let (got, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("subscriber".into()).spawn({
            let (got, stop) = (got.clone(), stop.clone());
            move || {
                let mut options = MqttOptions::new("subscriber", "127.0.0.1", port);
                options.set_clean_session(false).set_keep_alive(Duration::from_secs(5)).set_max_packet_size(1 << 20, 1 << 20);
                let (client, mut connection) = Client::new(options, 100);
                while !stop.load(Ordering::Relaxed) {
                    match connection.recv_timeout(Duration::from_millis(50)) {
                        Ok(Ok(Event::Incoming(Incoming::ConnAck(ack)))) if !ack.session_present => {
                            client.try_subscribe("site/#", QoS::AtLeastOnce).unwrap();
                        }
                        Ok(Ok(Event::Incoming(Incoming::SubAck(_)))) => ready.try_send(()).unwrap_or_default(),
                        Ok(Ok(Event::Incoming(Incoming::Publish(message)))) => {
                            assert_eq!((message.qos, message.retain), (QoS::AtLeastOnce, false));
                            got.lock().unwrap().push((message.topic, serde_json::from_slice(&message.payload).unwrap()));
                        }
                        Ok(Ok(_)) | Err(_) => {}
                        Ok(Err(_)) => std::thread::sleep(Duration::from_millis(50)),
                    }
                }
            }
        });
        is_ready.recv_timeout(Duration::from_secs(20)).expect("subscribed");
        Self { got, stop, thread: Some(thread.unwrap()) }
    }

    fn got(&self) -> Vec<(String, serde_json::Value)> {
        self.got.lock().unwrap().clone()
    }

    /// Tracks in the order of their first arrival.
    fn tracks(&self) -> Vec<u64> {
        let mut seen = BTreeSet::new();
        let all = self.got();
        all.iter().filter(|(_, v)| seen.insert(v["key"].to_string())).map(|(_, v)| v["track_id"].as_u64().unwrap()).collect()
    }

    #[track_caller]
    fn wait_for(&self, tracks: impl Iterator<Item = u64>) {
        let wanted: Vec<u64> = tracks.collect();
        let started = Instant::now();
        while self.tracks() != wanted {
            assert!(started.elapsed() < Duration::from_secs(20), "{:?} came, not {wanted:?}", self.tracks());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the subscriber has no fault of its own");
        }
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
    let subscriber = Subscriber::start(port);
    let (mut node, mut out) = node(dir.path(), port, &[("EVIDENCE", "true")]);
    let mut large = reading("a/b+c", 3);
    large.evidence = vec![7; 60_000];
    write(&mut node, &mut out, &[reading("gate", 1), reading("exit", 2), large]);
    let visit = VisitRow { source: "gate".into(), visit: "v".into(), event: "left".into(), track_id: 4, ..VisitRow::default() };
    node.on_input(&Input::of("visits", &[visit]), &mut out).unwrap();
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 4);
    subscriber.wait_for(1..=4);
    let topics: Vec<String> = subscriber.got().into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["site/gate/reading", "site/exit/reading", "site/a-b-c/reading", "site/gate/visit"]);
    assert_eq!(subscriber.got()[0].1["key"], "test/gate/1/30");
    // More than one attempt can carry, and than the broker lets wait.
    write(&mut node, &mut out, &(5..1000).map(|track| reading("gate", track)).collect::<Vec<_>>());
    until(&mut node, &mut out, "all of these, too", |out| out.counted("sent") == 999);
    subscriber.wait_for(1..1000);
    assert_eq!(out.counted("failures"), 0);
    node.finish(&mut out).unwrap();
}

#[test]
fn a_broker_that_was_away_or_killed_gets_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let options = "allow_anonymous true\nmax_queued_messages 0";
    let broker = Mosquitto::start(dir.path(), port, options);
    let subscriber = Subscriber::start(port);
    // It writes its subscriptions down.
    broker.end();

    let (mut node, mut out) = node(dir.path(), port, &[]);
    write(&mut node, &mut out, &(1..=50).map(|track| reading("gate", track)).collect::<Vec<_>>());
    until(&mut node, &mut out, "it was tried", |out| out.counted("failures") >= 3);
    assert_eq!((out.counted("sent"), out.gauged("spool_waiting")), (0, Some(50.0)));
    let broker = Mosquitto::start(dir.path(), port, options);
    until(&mut node, &mut out, "all are sent", |out| out.counted("sent") == 50);
    subscriber.wait_for(1..=50);

    // Killed while nothing is under way: what the broker had acknowledged is at the subscriber.
    drop(broker);
    for track in 51..=80 {
        write(&mut node, &mut out, &[reading("gate", track)]);
    }
    until(&mut node, &mut out, "the outage is seen", |out| out.counted("outages") >= 2);
    let broker = Mosquitto::start(dir.path(), port, options);
    until(&mut node, &mut out, "all are sent", |out| out.counted("sent") == 80);
    subscriber.wait_for(1..=80);

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
    subscriber.wait_for(1..=600);
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
    let [ca, certificate_of_broker, key] = certificate(dir.path(), "broker");
    let [other, ..] = certificate(dir.path(), "other");
    let port = free_port();
    let options = format!("allow_anonymous true\ncertfile {}\nkeyfile {}", certificate_of_broker.display(), key.display());
    let _broker = Mosquitto::start(dir.path(), port, &options);
    let url = format!("mqtts://localhost:{port}");
    let trusting = |ca: &Path| node(dir.path(), port, &[("BROKER", &url), ("CA_FILE", ca.to_str().unwrap()), ("FINISH_MS", "0")]);
    let (mut node, mut out) = trusting(&other);
    write(&mut node, &mut out, &[reading("gate", 1)]);
    until(&mut node, &mut out, "it was tried", |out| out.counted("failures") >= 2);
    assert_eq!(out.counted("sent"), 0, "a certificate of somebody else");
    node.finish(&mut out).unwrap();
    drop(node);
    let (mut node, mut out) = trusting(&ca);
    until(&mut node, &mut out, "it is sent", |out| out.counted("sent") == 1);
    node.finish(&mut out).unwrap();
}

/// An authority, a certificate that it has signed for this machine, and the key of that.
fn certificate(dir: &Path, name: &str) -> [PathBuf; 3] {
    let at = |what: &str| dir.join(format!("{name}.{what}"));
    let openssl = |arguments: &[&str]| {
        let status = Command::new("openssl").args(arguments).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.expect("openssl, which `cargo xtask setup` installs").success(), "openssl {arguments:?}");
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let name = |end: &str| format!("{name}.{end}");
    openssl(
        &[&["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", &name("ca.key"), "-out", &name("ca.pem")], &key[..]]
            .concat(),
    );
    openssl(&[&["req", "-subj", "/CN=localhost", "-keyout", &name("key"), "-out", &name("csr")], &key[..]].concat());
    std::fs::write(at("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    let signed = ["-CA", &name("ca.pem"), "-CAkey", &name("ca.key"), "-CAcreateserial", "-extfile", &name("ext")];
    openssl(&[&["x509", "-req", "-days", "2", "-in", &name("csr"), "-out", &name("pem")], &signed[..]].concat());
    [at("ca.pem"), at("pem"), at("key")]
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

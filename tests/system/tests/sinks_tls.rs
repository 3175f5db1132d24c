//! All three sinks over TLS, in a real graph: a far end whose certificate the right authority has signed for its name gets the readings; one that another
//! authority has signed, or that has another name, gets none, and the log says why, once.

use gantry_brokers::{Authority, Certificate, Kafka, Mosquitto, Receiver, Subscriber, TlsFront, free_port};
use gantry_system_tests::{ReadingsSite, Sandbox, assert_spool_is_empty, once, said};
use serde_json::Value;

/// Readings, at 20 a second: 4 s.
const COUNT: u64 = 80;

const KINDS: [&str; 3] = ["webhook_sink", "mqtt_sink", "kafka_sink"];

/// What a sink trusts and what it is shown, and whether the two fit.
struct Case {
    name: &'static str,
    trusts_ours: bool,
    shown_its_name: bool,
}

const CASES: [Case; 3] = [
    Case { name: "right", trusts_ours: true, shown_its_name: true },
    Case { name: "wrong_authority", trusts_ours: false, shown_its_name: true },
    Case { name: "wrong_name", trusts_ours: true, shown_its_name: false },
];

/// Two listeners with TLS of one mosquitto: the second with the certificate of somebody else's name.
fn mosquitto(sandbox: &Sandbox, plain: u16, [its, other]: [&Certificate; 2]) -> (Mosquitto, [u16; 2]) {
    let ports = [free_port(), free_port()];
    let listener = |port: u16, shown: &Certificate| {
        format!("listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}\n", shown.certificate.display(), shown.key.display())
    };
    let options = format!("allow_anonymous true\n{}{}", listener(ports[0], its), listener(ports[1], other));
    (Mosquitto::start(&sandbox.path("out"), plain, &options), ports)
}

#[test]
fn a_far_end_gets_readings_when_its_certificate_is_right_and_the_reason_is_said_once_when_it_is_not() {
    let sandbox = Sandbox::new();
    let (ours, others) = (Authority::new(&sandbox.path("out"), "ours"), Authority::new(&sandbox.path("out"), "others"));
    let its = ours.sign("its", "DNS:localhost,IP:127.0.0.1");
    let other = ours.sign("other", "DNS:elsewhere.example,IP:192.0.2.1");

    let (web_port, web_file, mqtt_port) = (free_port(), sandbox.path("received.jsonl"), free_port());
    let _web = Receiver::start(web_port, &web_file);
    let web_fronts = [&its, &other].map(|shown| TlsFront::start(&format!("127.0.0.1:{web_port}"), shown));
    let (_mosquitto, mqtt_ports) = mosquitto(&sandbox, mqtt_port, [&its, &other]);
    let subscriber = Subscriber::start(mqtt_port, "site/#");
    let kafka = Kafka::start("site.readings", 4);
    let consumer = kafka.consumer();
    let kafka_fronts = [&its, &other].map(|shown| TlsFront::start(&kafka.address(), shown));

    let mut site = ReadingsSite::new(&sandbox, COUNT, 20);
    for Case { name, trusts_ours, shown_its_name } in &CASES {
        let at = usize::from(!shown_its_name);
        let ca = if *trusts_ours { ours.file() } else { others.file() }.display().to_string();
        let url = format!("https://localhost:{}/", web_fronts[at].port());
        let broker = format!("mqtts://localhost:{}", mqtt_ports[at]);
        let brokers = format!("localhost:{}", kafka_fronts[at].port());
        let finish = if *name == "right" { "20000" } else { "0" };
        let sinks: [(&str, &[(&str, &str)]); 3] = [
            ("webhook_sink", &[("URL", &url)]),
            ("mqtt_sink", &[("BROKER", &broker), ("TOPIC", "site")]),
            ("kafka_sink", &[("BROKERS", &brokers), ("TOPIC", "site.readings"), ("SECURITY", "ssl")]),
        ];
        for (kind, env) in sinks {
            let id = format!("{kind}_{name}");
            let spool = sandbox.path(&id).display().to_string();
            let common =
                [("CA_FILE", ca.as_str()), ("SPOOL_DIR", &spool), ("RETRY_MS", "100"), ("TIMEOUT_MS", "700"), ("FINISH_MS", finish)];
            site = site.with(&id, kind, &[&common, env].concat());
        }
    }
    let mut dora = sandbox.dora();
    dora.args(["run", &site.write()]);
    sandbox.run(dora, 90).assert_code(0);

    let mqtt: Vec<Value> = subscriber.got().into_iter().map(|(_, body)| body).collect();
    let kafka: Vec<Value> = consumer.all(COUNT as usize).into_iter().map(|got| got.body).collect();
    let (stats, said) = (sandbox.stats(), said(&sandbox));
    for (kind, bodies) in [("webhook_sink", Receiver::received(&web_file)), ("mqtt_sink", mqtt), ("kafka_sink", kafka)] {
        assert_eq!(once(&bodies).values().flatten().count() as u64, COUNT, "{kind}: what the far end has");
        let id = format!("{kind}_right");
        assert_eq!(stats[&id]["counters"]["sent"], COUNT, "{id}");
        assert_spool_is_empty(&sandbox.path(id));
    }
    let wrong = CASES.iter().skip(1).flat_map(|case| KINDS.map(|kind| format!("{kind}_{}", case.name)));
    for (id, reason) in wrong.zip(REASONS) {
        assert!(stats[&id]["counters"]["failures"].as_u64() > Some(1), "{id} has not tried twice: {}", stats[&id]);
        assert_eq!(stats[&id]["counters"]["sent"], Value::Null, "{id} has sent something");
        let lines: Vec<&str> =
            said.lines().filter(|l| l.contains(&format!(" {id}: ")) && l.contains("the far end takes no readings")).collect();
        assert_eq!(lines.len(), 1, "{id}: {lines:#?}");
        assert!(reason.iter().all(|part| lines[0].contains(part)), "{id}: not `{reason:?}`: {}", lines[0]);
        println!("{}", lines[0]);
    }
    sandbox.assert_nothing_left();
}

/// What the log says of each sink that may not trust, those with the wrong authority first.
const REASONS: [&[&str]; 6] = [
    &["invalid peer certificate: UnknownIssuer"],
    &["invalid peer certificate: UnknownIssuer"],
    &["certificate"],
    &["certificate not valid for name", "localhost"],
    &["certificate not valid for name", "localhost"],
    &["certificate"],
];

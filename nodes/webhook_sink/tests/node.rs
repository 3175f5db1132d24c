//! The node against a real web server that answers, fails, refuses and goes away.

use gantry_messages::{ReadingRow, VisitRow};
use gantry_node::{Fault, Input, Outputs, Stage};
use gantry_node_webhook_sink::Webhook;
use gantry_sink::Sink;
use gantry_sink::testing::{self, reading, until, write};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tiny_http::{Header, Response};

/// One request.
#[derive(Clone, Debug)]
struct Post {
    key: String,
    authorization: String,
    body: serde_json::Value,
}

/// A web server; `answer` gets the requests so far and this one, and gives the status.
struct Web {
    server: Arc<tiny_http::Server>,
    thread: Option<JoinHandle<()>>,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Web {
    fn start(at: &str, answer: impl Fn(&[Post], &Post) -> (u16, Option<u32>) + Send + 'static) -> Self {
        let server = Arc::new(tiny_http::Server::http(at).expect("the port is free"));
        let posts = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::Builder::new().name("web".into()).spawn({
            let (server, posts) = (server.clone(), posts.clone());
            move || {
                for mut request in server.incoming_requests() {
                    let header = |name: &'static str| {
                        let found = request.headers().iter().find(|h| h.field.equiv(name));
                        found.map(|h| h.value.as_str().to_owned()).unwrap_or_default()
                    };
                    let (key, authorization, kind) = (header("Idempotency-Key"), header("Authorization"), header("Content-Type"));
                    assert_eq!((request.method(), kind.as_str()), (&tiny_http::Method::Post, "application/json"));
                    let post = Post { key, authorization, body: serde_json::from_reader(request.as_reader()).unwrap() };
                    let mut posts = posts.lock().unwrap();
                    let (status, after) = answer(&posts, &post);
                    if status == 200 {
                        posts.push(post);
                    }
                    let mut response = Response::from_string("").with_status_code(status);
                    if let Some(after) = after {
                        response.add_header(Header::from_bytes("Retry-After", after.to_string()).unwrap());
                    }
                    let _ = request.respond(response);
                }
            }
        });
        Self { server, thread: Some(thread.unwrap()), posts }
    }

    fn address(&self) -> SocketAddr {
        self.server.server_addr().to_ip().unwrap()
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    fn tracks(&self) -> Vec<u64> {
        self.posts().iter().map(|p| p.body["track_id"].as_u64().unwrap()).collect()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server has no fault of its own");
        }
    }
}

type Node = Sink<Webhook>;

fn open(dir: &Path, at: SocketAddr, extra: &[(&str, &str)]) -> Result<Node, Fault> {
    let url = format!("http://{at}/readings");
    let mut env = vec![("URL", url.as_str())];
    env.retain(|(k, _)| !extra.iter().any(|(e, _)| e == k));
    env.extend(extra);
    testing::open::<Webhook>(dir, &env)
}

/// An address where nothing listens.
fn nowhere() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Node>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn readings_and_visits_arrive_in_order_with_a_key_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let web = Web::start("127.0.0.1:0", |_, _| (200, None));
    let (mut node, mut out) = (open(dir.path(), web.address(), &[("EVIDENCE", "true")]).unwrap(), Outputs::collector());
    let end = ReadingRow { source: "gate".into(), end: true, ..ReadingRow::default() };
    write(&mut node, &mut out, &[reading("gate", 1), reading("exit", 1), reading("gate", 2), end]);
    let visit = VisitRow { source: "gate".into(), visit: "gate/7/1".into(), event: "entered".into(), ..VisitRow::default() };
    node.on_input(&Input::of("visits", &[visit]), &mut out).unwrap();
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 4);
    let keys: Vec<String> = web.posts().into_iter().map(|p| p.key).collect();
    assert_eq!(keys, ["test/gate/1/30", "test/exit/1/30", "test/gate/2/60", "visit/gate%2F7%2F1/entered/gate"]);
    let first = &web.posts()[0].body;
    assert_eq!((&first["type"], &first["plate"], &first["evidence_jpeg_base64"]), (&"reading".into(), &"KXW0001".into(), &"/9g=".into()));
    assert_eq!(web.posts()[3].body["event"], "entered");
    until(&mut node, &mut out, "the spool is empty", |out| out.gauged("spool_bytes") == Some(0.0));
    node.finish(&mut out).unwrap();
}

#[test]
fn what_comes_while_the_server_is_away_is_sent_when_it_is_back_also_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let at = nowhere();
    let (mut node, mut out) = (open(dir.path(), at, &[("FINISH_MS", "0")]).unwrap(), Outputs::collector());
    for track in 1..40 {
        write(&mut node, &mut out, &[reading("gate", track)]);
    }
    until(&mut node, &mut out, "it was tried", |out| out.counted("failures") >= 3);
    assert_eq!((out.counted("sent"), out.counted("outages"), out.gauged("spool_waiting")), (0, 1, Some(39.0)));
    node.finish(&mut out).unwrap();
    drop(node);

    let (mut node, mut out) = (open(dir.path(), at, &[]).unwrap(), Outputs::collector());
    write(&mut node, &mut out, &[reading("gate", 40)]);
    let web = Web::start(&at.to_string(), |_, _| (200, None));
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 40);
    assert_eq!(web.tracks(), (1..=40).collect::<Vec<u64>>());
    node.finish(&mut out).unwrap();
}

#[test]
fn a_server_that_fails_gets_the_same_again_and_one_that_refuses_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let failures = Mutex::new(0_u32);
    // Every third answer is a failure, some after the reading was taken all the same: the server has it twice.
    let web = Web::start("127.0.0.1:0", move |_, post| {
        let mut n = failures.lock().unwrap();
        *n += 1;
        match (post.body["track_id"].as_u64(), *n % 3) {
            (Some(5), _) => (422, None),
            (_, 1) => (503, (*n == 1).then_some(0)),
            _ => (200, None),
        }
    });
    let (mut node, mut out) = (open(dir.path(), web.address(), &[]).unwrap(), Outputs::collector());
    write(&mut node, &mut out, &(1..10).map(|track| reading("gate", track)).collect::<Vec<_>>());
    until(&mut node, &mut out, "all but one are sent", |out| out.counted("sent") == 8);
    assert_eq!(web.tracks(), [1, 2, 3, 4, 6, 7, 8, 9]);
    assert_eq!(out.counted("refused"), 1);
    let path = dir.path().join("spool/refused.jsonl");
    let aside: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&aside["why"], &aside["body"]["plate"]), (&"422 Unprocessable Entity".into(), &"KXW0005".into()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_server_says_when_it_wants_to_be_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let web = Web::start("127.0.0.1:0", {
        let asked = asked.clone();
        move |_, _| {
            let mut asked = asked.lock().unwrap();
            asked.push(Instant::now());
            if asked.len() == 1 { (429, Some(1)) } else { (200, None) }
        }
    });
    let (mut node, mut out) = (open(dir.path(), web.address(), &[("RETRY_MS", "5000")]).unwrap(), Outputs::collector());
    write(&mut node, &mut out, &[reading("gate", 1)]);
    until(&mut node, &mut out, "it is sent", |out| out.counted("sent") == 1);
    let asked = asked.lock().unwrap();
    assert!(asked[1] - asked[0] >= Duration::from_secs(1), "{:?}", asked[1] - asked[0]);
}

#[test]
fn duplicates_have_the_key_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let web = Web::start("127.0.0.1:0", |_, _| (200, None));
    let (mut node, mut out) = (open(dir.path(), web.address(), &[]).unwrap(), Outputs::collector());
    // As after a restart of `vote`.
    write(&mut node, &mut out, &[reading("gate", 1), reading("gate", 2)]);
    write(&mut node, &mut out, &[reading("gate", 2)]);
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 3);
    let keys: BTreeSet<String> = web.posts().into_iter().map(|p| p.key).collect();
    assert_eq!((web.posts().len(), keys.len()), (3, 2));
}

#[test]
fn the_server_gets_the_credentials_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.credentials");
    let file = path.to_str().unwrap();
    std::fs::write(&path, "site:canary-9f3\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let web = Web::start("127.0.0.1:0", |_, post| (if post.authorization == "Basic c2l0ZTpjYW5hcnktOWYz" { 200 } else { 401 }, None));
    let (mut node, mut out) =
        (open(dir.path(), web.address(), &[("AUTH", "basic"), ("CREDENTIALS_FILE", file)]).unwrap(), Outputs::collector());
    write(&mut node, &mut out, &[reading("gate", 1)]);
    until(&mut node, &mut out, "it is sent", |out| out.counted("sent") == 1);
    // A wrong password is an outage: it can be put right, and nothing is lost.
    std::fs::write(&path, "site:wrong\n").unwrap();
    let other = tempfile::tempdir().unwrap();
    let (mut node, mut out) =
        (open(other.path(), web.address(), &[("AUTH", "basic"), ("CREDENTIALS_FILE", file)]).unwrap(), Outputs::collector());
    write(&mut node, &mut out, &[reading("gate", 2)]);
    until(&mut node, &mut out, "it was tried", |out| out.counted("failures") >= 2);
    assert_eq!((out.counted("refused"), out.gauged("spool_waiting")), (0, Some(1.0)));

    let refused = |extra: &[(&str, &str)]| open(other.path(), web.address(), extra).err().expect("refused").to_string();
    assert!(refused(&[("CREDENTIALS_FILE", file)]).contains("`AUTH` is `none`"));
    assert!(refused(&[("AUTH", "bearer")]).contains("there are none"));
    assert!(refused(&[("CA_FILE", "ca.pem")]).contains("`URL` is not reached over TLS"));
    assert!(!refused(&[("URL", "http://u:canary-9f3@h/")]).contains("canary"));
    for found in std::fs::read_dir(dir.path().join("spool")).unwrap() {
        let found = std::fs::read(found.unwrap().path()).unwrap();
        assert!(!found.windows(10).any(|w| w == b"canary-9f3" || w == b"c2l0ZTpjYW"), "the spool has the password");
    }
}

#[test]
fn a_full_spool_says_what_it_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut node, mut out) =
        (open(dir.path(), nowhere(), &[("SPOOL_MB", "1"), ("FINISH_MS", "0"), ("EVIDENCE", "true")]).unwrap(), Outputs::collector());
    let large = |track| ReadingRow { evidence: vec![7; 60_000], ..reading("gate", track) };
    for track in 1..=30 {
        write(&mut node, &mut out, &[large(track)]);
    }
    node.on_tick(&mut out).unwrap();
    let (dropped, waiting) = (out.counted("spool_dropped"), out.gauged("spool_waiting").unwrap_or_default() as u64);
    assert!(dropped >= 18 && waiting >= 8, "{dropped} dropped, {waiting} waiting");
    assert_eq!((dropped + waiting, out.counted("spooled")), (30, 30));
}

#[test]
fn a_disk_that_takes_nothing_holds_readings_in_memory_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let web = Web::start("127.0.0.1:0", |_, _| (200, None));
    let (mut node, mut out) = (open(dir.path(), web.address(), &[]).unwrap(), Outputs::collector());
    // A folder that is gone is what root can be kept from writing to.
    let (spool, away) = (dir.path().join("spool"), dir.path().join("away"));
    std::fs::rename(&spool, &away).unwrap();
    write(&mut node, &mut out, &[reading("gate", 1), reading("gate", 2)]);
    node.on_tick(&mut out).unwrap();
    assert_eq!((out.counted("spooled"), out.gauged("held")), (0, Some(2.0)));
    std::fs::rename(&away, &spool).unwrap();
    until(&mut node, &mut out, "everything is sent", |out| out.counted("sent") == 2);
    assert_eq!(web.tracks(), [1, 2]);
    node.finish(&mut out).unwrap();
}

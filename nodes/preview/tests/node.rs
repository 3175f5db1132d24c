//! The node with real pools in one process, asked over HTTP.

mod common;

use common::{Bench, get, read_block, reading};
use gantry_frames::Mode;
use gantry_messages::ReadingRow;
use gantry_node::NodeStats;
use gantry_node_preview::Preview;
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn the_contract_fits_and_its_pages_are_up_to_date() {
    gantry_node::testing::check_contract::<Preview>(env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn nobody_looks_and_no_picture_is_made() {
    let mut bench = Bench::new(Mode::Live, &[]);
    for number in 0..50 {
        bench.frame(number);
        bench.tracks(number);
    }
    bench.tick();
    assert_eq!(bench.out.counted("pictures"), 0);
    assert!(!bench.joined(), "the frames' memory was not even mapped");
}

#[test]
fn who_looks_gets_the_frame_with_the_boxes_that_were_found_in_it_and_nothing_is_held_afterwards() {
    let mut bench = Bench::new(Mode::Live, &[]);
    bench.frame(0);
    bench.read(ReadingRow { track_id: 7, ..reading("gate", "AB123CD") });
    let answer = bench.while_asked("/api/pictures?p=300,0,gate&p=300,0,nowhere", |bench, number| {
        bench.frame(number);
        bench.tracks(number);
    });
    let (about, jpeg) = read_block(&answer.body);
    assert_eq!((about["camera"].as_str(), about["width"].as_u64(), about["height"].as_u64()), (Some("gate"), Some(960), Some(540)));
    let boxed = &about["boxes"][0];
    assert_eq!(boxed["plate"], serde_json::json!([400.0, 300.0, 520.0, 330.0]));
    assert_eq!((boxed["track_id"].as_u64(), boxed["text"].as_str()), (Some(7), Some("AB123CD")));
    assert!(jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]), "no JPEG of {} bytes", jpeg.len());
    assert_eq!(jpeg_size(&jpeg), (480, 270));

    // The look lapses: the frames that were held go back, and no more are taken.
    std::thread::sleep(Duration::from_millis(2200));
    bench.tick();
    let made = bench.out.counted("pictures");
    assert!(made > 0 && bench.out.counted("picture_us") > 0);
    (1000..1010).for_each(|number| bench.frame(number));
    bench.tick();
    assert_eq!((bench.out.counted("pictures"), bench.held()), (made, 0));
}

#[test]
fn without_tracks_pictures_come_as_they_are() {
    let mut bench = Bench::new(Mode::Live, &[]);
    bench.frame(0);
    let answer = bench.while_asked("/api/pictures?p=2000,0,gate", Bench::frame);
    let (about, jpeg) = read_block(&answer.body);
    assert_eq!(about["boxes"], serde_json::json!([]));
    // Never larger than the frame.
    assert_eq!(jpeg_size(&jpeg), (960, 540));
}

#[test]
fn frames_are_asked_for_while_somebody_looks_and_cameras_are_known_without_them() {
    let decode = |node: &str, rows: u64| NodeStats {
        node: node.into(),
        kind: "decode".into(),
        rows_out: [("frames".to_owned(), rows)].into(),
        uptime_s: 10.0,
        ..NodeStats::default()
    };
    let mut bench = Bench::on_demand(&[decode("gate.decode", 250), decode("yard.decode", 120)]);
    bench.tick();
    assert!(bench.asked().is_empty(), "nobody looks");

    // A page is open: one frame a second tells of each camera, and rates come from the nodes that decode.
    let mut events = bench.events();
    let (_, hello) = events.next();
    assert_eq!(hello["cameras"], serde_json::json!(["gate"]));
    assert_eq!(bench.asked(), [(String::new(), 1000)]);
    bench.frame(0);
    bench.frame_of("yard", 0);
    std::thread::sleep(Duration::from_secs(1));
    bench.tick();
    let (name, status) = events.next();
    assert_eq!(name, "status");
    let of = |n: usize| {
        let camera = &status["cameras"][n];
        (camera["name"].as_str(), camera["state"].as_str(), camera["fps"].as_f64(), camera["width"].as_u64())
    };
    assert_eq!(of(0), (Some("gate"), Some("live"), Some(25.0), Some(960)));
    assert_eq!(of(1), (Some("yard"), Some("live"), Some(12.0), Some(960)), "added while the site runs");
    assert_eq!(bench.asked(), [(String::new(), 1000)], "each tick says it again");
    assert!(!bench.joined(), "no frame was touched");

    // Somebody looks at one: at MAX_FPS, which is 60 here. Tracks may be faster than their frame.
    let answer = bench.while_asked("/api/pictures?p=300,0,gate", |bench, number| {
        bench.tracks(number);
        bench.frame(number);
    });
    assert_eq!(bench.asked()[0], ("gate".to_owned(), 15));
    let (about, _) = read_block(&answer.body);
    assert_eq!(about["boxes"][0]["track_id"], 7);
    drop(events);
}

#[test]
fn without_statistics_nothing_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let graph = serde_json::json!({ "nodes": [{ "id": "preview", "inputs": { "views": "crop/views" } }] });
    let context = gantry_node::Context::for_test("preview", Mode::Live, dir.path()).in_graph(graph).unwrap();
    let fault = Bench::open_in(context, "views", &[], dir).err().expect("refused");
    assert!(fault.message().contains("`views`") && fault.hint_text().unwrap().contains("GANTRY_RUN_DIR"), "{fault}");
}

#[test]
fn a_lossless_graph_does_not_wait_for_those_who_look() {
    let mut bench = Bench::new(Mode::Lossless, &[]);
    bench.frame(0);
    let started = Instant::now();
    // The pool has 16 slots: the 300th frame is published only if all before it were given back.
    let answer = bench.while_asked("/api/pictures?p=480,0,gate", |bench, number| {
        (0..6).for_each(|n| bench.frame(6 * number + n));
        bench.tracks(6 * number + 5);
    });
    assert!(!answer.body.is_empty());
    (10_000..10_300).for_each(|number| bench.frame(number));
    assert!(started.elapsed() < Duration::from_secs(10));
    bench.end();
    bench.drain();
}

#[test]
fn events_begin_with_what_there_is_and_go_on_with_what_comes() {
    let mut bench = Bench::new(Mode::Live, &[("TITLE", "North <gate>")]);
    bench.frame(0);
    bench.read(reading("gate", "OLD1"));
    let mut events = bench.events();
    let (name, hello) = events.next();
    assert_eq!((name.as_str(), hello["title"].as_str(), hello["cameras"][0].as_str()), ("hello", Some("North <gate>"), Some("gate")));
    assert_eq!(hello["readings"][0]["plate"], "OLD1");
    bench.read(reading("<b>gate</b>", "NEW2"));
    let (name, new) = events.next();
    assert_eq!((name.as_str(), new["plate"].as_str(), new["camera"].as_str()), ("reading", Some("NEW2"), Some("<b>gate</b>")));
    assert_eq!(new["votes"][0]["variant"], "original");
    std::thread::sleep(Duration::from_secs(1));
    bench.frame(1);
    bench.tick();
    let (name, status) = events.next();
    assert_eq!((name.as_str(), status["cameras"][0]["state"].as_str()), ("status", Some("live")));
    assert!(status["cameras"][0]["fps"].as_f64() > Some(0.0));
    drop(events);
    let picture = get(bench.address(), &format!("/api/evidence/{}", new["id"].as_str().unwrap()), &[]);
    assert_eq!((picture.status, picture.body), (200, vec![0xff, 0xd8, 9]));
    let found: Value = serde_json::from_slice(&get(bench.address(), "/api/search?plate=new*", &[]).body).unwrap();
    assert_eq!((found["readings"][0]["plate"].as_str(), found["readings"].as_array().map(Vec::len)), (Some("NEW2"), Some(1)));
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_may_not() {
    let bench = Bench::new(Mode::Live, &[]);
    let page = get(bench.address(), "/", &[]);
    let text = String::from_utf8(page.body).unwrap();
    assert_eq!(page.status, 200);
    assert!(
        page.head.contains("content-security-policy: default-src 'none'") && page.head.contains("cache-control: no-store"),
        "{}",
        page.head
    );
    for name in ["/style.css", "/icon.svg", "/app.js", "/live.js", "/readings.js", "/charts.js"] {
        let file = get(bench.address(), name, &[]);
        assert_eq!(file.status, 200, "{name}");
        let file = String::from_utf8(file.body).unwrap();
        assert!(!file.replace("http://www.w3.org/2000/svg", "").contains("://"), "{name} names an address");
        // Text from outside goes into the page as text.
        assert!(!file.contains("innerHTML") && !file.contains("insertAdjacentHTML") && !file.contains("eval("), "{name}");
    }
    assert!(!text.contains("://") && !text.contains("style=") && !text.contains("onclick"), "{text}");
    assert_eq!(get(bench.address(), "/api/none", &[]).status, 404);
    assert_eq!(get(bench.address(), "/../../etc/passwd", &[]).status, 404);
    assert_eq!(common::request(bench.address(), "PUT", "/", &[], "").status, 405);
}

#[test]
fn a_foreign_name_that_leads_to_this_machine_gets_nothing() {
    let bench = Bench::new(Mode::Live, &[]);
    let answer = common::request_to_host(bench.address(), "evil.example", "GET", "/api/search", &[], "");
    assert_eq!(answer.status, 421);
}

#[test]
fn with_a_token_the_page_opens_by_the_form_and_by_nothing_less() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "open-sesame\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let bench = Bench::new(Mode::Live, &[("CREDENTIALS_FILE", file.to_str().unwrap()), ("LISTEN", "0.0.0.0:0")]);
    let at = bench.address();
    let page = get(at, "/", &[]);
    assert!(page.status == 303 && page.head.contains("location: /login"), "{}", page.head);
    assert_eq!(get(at, "/api/search", &[]).status, 401);
    assert_eq!(get(at, "/login", &[]).status, 200);
    let wrong = common::request(at, "POST", "/login", &[], "token=open");
    assert!(wrong.status == 401 && !wrong.head.contains("set-cookie"), "{}", wrong.head);
    let right = common::request(at, "POST", "/login", &[], "token=open-sesame");
    let cookie = right.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(right.status == 303 && cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains("sesame"), "{cookie}");
    let value = cookie.split(';').next().unwrap();
    assert_eq!(get(at, "/", &[("Cookie", value)]).status, 200);
    assert_eq!(get(at, "/api/search", &[("Authorization", "Bearer open-sesame")]).status, 200);
}

#[test]
fn others_can_reach_it_only_with_a_token_and_a_taken_port_is_named() {
    let fault = Bench::open(Mode::Live, &[("LISTEN", "0.0.0.0:0")]).err().expect("refused");
    assert!(fault.message().contains("no token") && fault.hint_text().is_some(), "{fault}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let fault = Bench::open(Mode::Live, &[("LISTEN", &address)]).err().expect("refused");
    assert!(fault.message().contains(&address) && fault.hint_text().unwrap().contains("ss -ltnp"), "{fault}");
    let fault = Bench::open(Mode::Live, &[("LISTEN", "8100")]).err().expect("refused");
    assert!(fault.message().contains("`8100` is no address"), "{fault}");
}

/// Width and height in the frame header of a baseline JPEG.
fn jpeg_size(jpeg: &[u8]) -> (u16, u16) {
    let at = jpeg.windows(2).position(|bytes| bytes == [0xff, 0xc0]).expect("a baseline JPEG");
    let number = |at: usize| u16::from_be_bytes([jpeg[at], jpeg[at + 1]]);
    (number(at + 7), number(at + 5))
}

//! A live site on two real RTSP servers: one is killed and comes back, nodes are killed, and its password shows nowhere.

use gantry_rtsp::{Server, Stream};
use gantry_system_tests::{Sandbox, Site, lines, root, traffic};
use std::path::Path;
use std::time::{Duration, Instant};

/// Nowhere else in any file of a run.
const CANARY: &str = "Kanarienvogel-4711";
/// Every node, each with what must flow again when it was killed: rows that it sends or takes. A `store` takes rows only when a vehicle passes, and the page
/// when somebody looks.
const KILLED: [(&str, &str, &str); 10] = [
    ("gate.camera", "rows_out", "packets"),
    ("gate.decode", "rows_out", "frames"),
    ("detect", "rows_out", "detections"),
    ("track", "rows_out", "tracks"),
    ("crop", "rows_out", "crops"),
    ("enhance", "rows_out", "crops"),
    ("recognize", "rows_out", "texts"),
    ("vote", "rows_in", "texts"),
    ("store", "", ""),
    ("preview", "", ""),
];
/// The statistics of a node are written once a second, which is how late a test may see that it delivers.
const STATS_LATE: Duration = Duration::from_millis(1500);

#[test]
fn a_killed_camera_and_killed_nodes_come_back_and_the_other_camera_loses_nothing() {
    let sandbox = Sandbox::new();
    let long = traffic(&sandbox, "long.mp4");
    let login = Some(("operator".to_owned(), CANARY.to_owned()));
    let gate = Stream { login, ..Stream::h264(&long) };
    let server = Server::start(&gate, 0);
    let port = server.port();
    let road_server = Server::start(&Stream::h264(&long), 0);
    let credentials = sandbox.credentials("credentials", &format!("operator:{CANARY}"));
    let graph = std::fs::read_to_string(root().join("tests/graphs/two_live_cameras.yml")).unwrap();
    let text = |path: &Path| path.display().to_string();
    let env = [
        ("GANTRY_TEST_GATE", server.address()),
        ("GANTRY_TEST_ROAD", road_server.address()),
        ("GANTRY_TEST_CREDENTIALS", text(&credentials)),
        ("GANTRY_TEST_JSONL", text(&sandbox.out())),
    ];
    let site = Site::start(&sandbox, &graph, &env.each_ref().map(|(name, value)| (*name, value.as_str())));

    let reads = |camera: &str| lines(&sandbox.out()).iter().filter(|r| r["camera"] == camera && r["captured_at"].is_string()).count();
    site.wait(60, "readings of both cameras", |_| reads("gate") > 0 && reads("road") > 0);
    let dead = kill(server);
    site.wait(20, "the camera is missed", |site| site.counter("gate.camera", "connect_failures") > 3);
    let server = Server::start(&gate, port);
    let back = flows(&site, "gate.decode", "rows_out", "frames", Instant::now());
    assert!(
        back < Duration::from_secs(2) + STATS_LATE,
        "the first frame came {back:?} after the camera was back (away for {:?})",
        dead.elapsed()
    );

    for (node, rows, port) in KILLED {
        let before = site.stats(node);
        site.process(node).signal("KILL");
        let killed = Instant::now();
        site.wait(20, &format!("{node} is started again"), |site| site.stats(node)["uptime_s"].as_f64() < before["uptime_s"].as_f64());
        if !port.is_empty() {
            flows(&site, node, rows, port, killed);
        }
        let after = killed.elapsed();
        assert!(after < Duration::from_secs(3) + STATS_LATE, "{node} delivers {after:?} after it was killed");
        assert_eq!(
            site.stats(node)["starts"].as_u64().unwrap_or_default(),
            before["starts"].as_u64().unwrap_or(1) + 1,
            "{node} was started once more"
        );
    }
    let before = reads("gate");
    site.wait(60, "readings after all that", |_| reads("gate") > before);

    // The other camera saw nothing of it.
    let road = site.stats("road.camera");
    assert_eq!((site.counter("road.camera", "connects"), site.counter("road.camera", "packets_dropped")), (1, 0), "{road}");
    let decode = site.stats("road.decode");
    assert_eq!(decode["counters"]["decode_errors"].as_u64().unwrap_or(0), 0, "{decode}");
    let ages = &decode["latency"]["frames"];
    assert!(ages["count"].as_u64() > Some(100), "no ages of live frames: {decode}");

    let secrets = sandbox.places_with(CANARY, &credentials);
    site.stop();
    assert_eq!(secrets, Vec::<String>::new());
    assert_eq!(sandbox.places_with(CANARY, &credentials), Vec::<String>::new());
    drop(server);
    sandbox.assert_nothing_left();
}

/// Ends a server without a goodbye; the moment at which that was.
fn kill(server: Server) -> Instant {
    drop(server);
    Instant::now()
}

/// Waits until `node` has sent or taken more rows at `port` than now; how long after `since` that was seen.
#[track_caller]
fn flows(site: &Site<'_>, node: &str, rows: &str, port: &str, since: Instant) -> Duration {
    let counted = |site: &Site<'_>| site.stats(node)[rows][port].as_u64().unwrap_or(0);
    let before = counted(site);
    site.wait(20, &format!("`{node}` has more {rows} at `{port}`"), |site| counted(site) > before);
    since.elapsed()
}

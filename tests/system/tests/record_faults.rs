//! A recorder that is killed, and a disk that is full, on the real process: what was written until then can be replayed, and what is missing is said.

use gantry_recording::Recording;
use gantry_system_tests::{Sandbox, clip, may_mount, root};

#[test]
fn a_killed_recorder_loses_no_more_than_it_had_not_flushed_and_the_rest_is_replayed() {
    let sandbox = Sandbox::new();
    let recording = sandbox.path("run.mcap");
    let mut command = sandbox.gantry(["record"]);
    command.args([clip("gate_day.mp4"), clip("road_day.mp4")]).arg("--out").arg(&recording);
    let mut run = sandbox.start(command);
    // Statistics are written after what came before was flushed.
    let recorded = |s: &Sandbox| s.stats().get("record").and_then(|s| s["counters"]["packets"].as_u64()).unwrap_or(0);
    run.wait_until("packets are recorded", 60, |s| recorded(s) > 40);
    let flushed = recorded(&sandbox);
    sandbox.processes().into_iter().filter(|p| p.name() == "record").for_each(|p| p.signal("KILL"));
    let done = run.end(60);
    done.assert_code(1);
    done.assert_says(&["node `record` was ended by signal SIGKILL", "hint: "]);
    let survey = Recording::open(&recording).unwrap().survey().unwrap();
    let found: u64 = survey.cameras.iter().map(|c| c.packets.delivered()).sum();
    assert!(found >= flushed, "{found} packets of {flushed} that were flushed");
    let mut replay = sandbox.gantry(["replay"]);
    replay.arg(&recording).arg("--out").arg(sandbox.out());
    let done = sandbox.run(replay, 120);
    done.assert_code(0);
    done.assert_says(&["camera `gate_day`: no end: cut off after packet"]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_full_disk_ends_a_lossless_recording_with_the_reason_and_a_live_one_goes_on_without() {
    let Some(flags) = may_mount() else {
        eprintln!("skipped: this user may mount nothing");
        return;
    };
    for (graph, seconds, code) in [("graphs/read.yml", "8", 1), ("graphs/sites/gate.yml", "16", 0)] {
        let sandbox = Sandbox::new();
        std::fs::create_dir(sandbox.path("disk")).unwrap();
        // Room for some packets and their copies for Foxglove; what is on it is copied out of the namespace.
        let script = r#"mount -t tmpfs -o size=700k tmpfs "$DISK" || exit 99
"$0" record "$GRAPH" --out "$DISK/run.mcap" --readings "$READINGS" --set store.FORMAT=jsonl --seconds $SECONDS --keep-run; code=$?
cp "$DISK"/*.mcap "$COPY"; exit $code"#;
        let gantry = sandbox.gantry(["record"]);
        let mut command = sandbox.command("unshare");
        command.args(&flags).args(["sh", "-c", script]).arg(gantry.get_program());
        command
            .env("DISK", sandbox.path("disk"))
            .env("COPY", sandbox.path("out"))
            .env("GRAPH", root().join(graph))
            .env("SECONDS", seconds)
            .env("READINGS", sandbox.out());
        command.env_remove("GANTRY_RUNTIME_DIR");
        let done = sandbox.run(command, 120);
        done.assert_code(code);
        if code == 1 {
            done.assert_says(&["node `record`", "No space left on device", "whole and readable up to byte", "hint: "]);
        } else {
            let stats = sandbox.stats();
            assert!(stats["record"]["counters"]["unrecorded_messages"].as_u64().is_some_and(|n| n > 0), "{}", stats["record"]);
            assert!(!gantry_system_tests::lines(&sandbox.out()).is_empty(), "the site reads on");
        }
        let survey = Recording::open(&sandbox.path("out/run.mcap")).unwrap().survey().unwrap();
        // The recorder takes back what it wrote of a record: no byte is damaged, only the end is not there.
        assert!(survey.lost.iter().all(|lost| lost.bytes == 0), "{:?}", survey.lost);
        assert!(survey.cameras[0].packets.delivered() > 10 && !survey.cameras[0].packets.ended());
        sandbox.assert_nothing_left();
    }
}

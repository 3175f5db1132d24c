//! Buffers are accounted for, and rows come once and in order whatever the transport does to the messages.

use gantry_system_tests::{Sandbox, clip, program, root, unreliable_graph};
use serde_json::Value;

#[test]
fn every_frame_that_was_published_is_accounted_for_by_each_reader() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.read([clip("gate_day.mp4"), clip("road_day.mp4")]);
    command.args(["--seconds", "3", "--keep-run"]);
    sandbox.run(command, 180).assert_code(0);
    let stats = sandbox.stats();
    let made = |output: &str| {
        let node = output.split('/').next().unwrap_or_default();
        stats[node]["buffers_made"][output]["published"].as_u64().unwrap_or_else(|| panic!("{output}: {}", stats[node]))
    };
    for camera in ["cam0", "cam1"] {
        assert_eq!((made(&format!("decode_{camera}/frames")), made(&format!("resize_{camera}/images"))), (90, 90));
    }
    assert_eq!(made("crop/crops"), made("enhance/crops"));
    // One row per frame and one for the end of each camera.
    assert_eq!(stats["crop"]["rows_out"]["crops"], 2 * 91);
    let mut edges = Vec::new();
    for (node, stats) in &stats {
        for (output, read) in stats["buffers_read"].as_object().into_iter().flatten() {
            let count = |name: &str| read[name].as_u64().unwrap_or_else(|| panic!("{node} {output}: {read}"));
            assert_eq!(count("published"), made(output), "{node} reads {output}");
            assert_eq!((count("stale"), count("refused")), (0, 0), "{node} reads {output}: nothing is lost in a lossless run");
            if node == "crop" {
                // It looks only at frames that have a plate to be read, and tells of every frame all the same.
                assert!((1..90).contains(&count("used")), "{node} reads {output}: {read}");
            } else {
                assert_eq!((count("used"), count("dropped")), (made(output), 0), "{node} reads {output}");
            }
            edges.push(format!("{node} < {output}"));
        }
        for name in ["repeated_rows", "recovered_rows"] {
            assert_eq!(stats["counters"][name], Value::Null, "{node}: no message was lost or came twice");
        }
    }
    assert_eq!(edges.len(), 8, "{edges:?}");
    sandbox.assert_nothing_left();
}

/// Runs `graphs/read.yml` with `unreliable` between `detect` and `track`.
fn read_through(unreliable: &str) -> (Sandbox, gantry_system_tests::Finished) {
    let sandbox = Sandbox::new();
    let graph = unreliable_graph(&sandbox, unreliable);
    let mut command = sandbox.read([clip("gate_day.mp4")]);
    command.args(["--seconds", "6", "--keep-run", "--graph"]).arg(graph);
    let done = sandbox.run(command, 180);
    (sandbox, done)
}

#[test]
fn messages_that_come_twice_and_out_of_order_change_nothing() {
    let readings = |(sandbox, done): (Sandbox, gantry_system_tests::Finished)| {
        done.assert_code(0);
        let repeated = sandbox.stats()["track"]["counters"]["repeated_rows"].as_u64().unwrap_or(0);
        (std::fs::read_to_string(sandbox.out()).unwrap(), repeated)
    };
    let (undisturbed, none) = readings(read_through("none"));
    assert!(!undisturbed.is_empty() && none == 0);
    let (disturbed, repeated) = readings(read_through("repeat+swap"));
    assert!(repeated > 30, "the fault has fired: {repeated} rows came twice");
    assert_eq!(disturbed, undisturbed);
}

#[test]
fn a_message_that_is_lost_fails_the_run_and_names_the_frame() {
    let (_sandbox, done) = read_through("lose");
    done.assert_code(1);
    assert!(done.stderr.contains("input `detections`: frame 8 of camera `gate_day` never came"), "{}", done.stderr);
}

/// The edges of `graphs/read.yml` that carry handles of whole frames, each with `unreliable` in it. The real reader keeps its edge to the
/// pool, under a name that it does not know, for a pool lets in only those whom the graph connects to it.
fn read_through_on_frames(unreliable: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let edge = |source: &str| format!("{{ source: {source}, queue_size: 256, queue_policy: backpressure }}");
    let mut text = std::fs::read_to_string(root().join("graphs/read.yml")).unwrap();
    let replace = |text: &mut String, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        *text = text.replace(from, to);
    };
    for (reader, port, source, shim) in
        [("resize_cam0", "frames", "decode_cam0/frames", "shim_frames"), ("detect", "frames_cam0", "resize_cam0/images", "shim_images")]
    {
        let head = format!(
            "  - id: {reader}\n    path: bin/{}\n    inputs:\n      tick: dora/timer/millis/500\n",
            reader.trim_end_matches("_cam0")
        );
        let node = format!(
            "  - id: {shim}\n    path: bin/unreliable\n    inputs:\n      tick: dora/timer/millis/500\n      frames: {}\n    outputs: [frames]\n    \
             env: {{ FAULTS: {unreliable} }}\n\n",
            edge(source)
        );
        let before = format!("{head}      {port}: {}\n", edge(source));
        let after = format!("{node}{head}      {port}: {}\n      direct: {}\n", edge(&format!("{shim}/frames")), edge(source));
        replace(&mut text, &before, &after);
    }
    replace(&mut text, "      NAME: gate_day\n", "      NAME: gate_day\n      SECONDS: 4\n");
    let text = text
        .replace("path: bin/", &format!("path: {}/", program("gantry").parent().unwrap().display()))
        .replace("../out/", &format!("{}/", sandbox.path("out").display()))
        .replace("../", &format!("{}/", root().display()));
    let graph = sandbox.path("graph.yml");
    std::fs::write(&graph, text).unwrap();
    let mut command = sandbox.dora();
    command.env("GANTRY_RUN_DIR", sandbox.path("tmp/run")).arg("run").arg(graph);
    sandbox.run(command, 180).assert_code(0);
    let readings = std::fs::read_to_string(sandbox.out()).unwrap();
    (sandbox, readings)
}

#[test]
fn handles_that_are_lost_doubled_and_swapped_on_their_way_change_nothing() {
    let (undisturbed, wanted) = read_through_on_frames("none");
    assert!(!wanted.is_empty());
    let (disturbed, readings) = read_through_on_frames("all");
    let counter = |sandbox: &Sandbox, node: &str, name: &str| sandbox.stats()[node]["counters"][name].as_u64().unwrap_or(0);
    for (reader, shim) in [("resize_cam0", "shim_frames"), ("detect", "shim_images")] {
        for name in ["recovered_rows", "repeated_rows"] {
            assert_eq!(counter(&undisturbed, reader, name), 0, "{reader}: {name}");
        }
        // What is behind a hole comes out of the ring together with what fills it, so more is recovered than was lost.
        let lost = counter(&disturbed, shim, "lost_rows");
        assert!(lost >= 30, "{shim}: the fault has fired: {lost} rows were lost");
        let (recovered, repeated) = (counter(&disturbed, reader, "recovered_rows"), counter(&disturbed, reader, "repeated_rows"));
        assert!(recovered >= lost && repeated > 0, "{reader}: {recovered} rows recovered and {repeated} repeated of {lost} lost");
    }
    assert_eq!(readings, wanted);
}

#[test]
fn what_a_live_reader_missed_is_what_was_lost_on_the_way() {
    let sandbox = Sandbox::new();
    let programs = program("gantry").parent().unwrap().display().to_string();
    let node = |id: &str, inputs: &str, outputs: &str, env: &str| {
        format!(
            "  - id: {id}\n    path: {programs}/{id}\n    inputs:\n      tick: dora/timer/millis/500\n{inputs}    outputs: [{outputs}]\n    \
             env: {{ {env} }}\n"
        )
    };
    let input = |name: &str, source: &str, queue_size: u32| {
        format!("      {name}: {{ source: {source}, queue_size: {queue_size}, queue_policy: backpressure }}\n")
    };
    let text = [
        "env: { GANTRY_MODE: live }\nnodes:\n".to_owned(),
        node(
            "camera",
            &input("credit", "decode/credit", 64),
            "packets",
            &format!("SOURCE: {}, NAME: gate, PACE: realtime", clip("gate_day.mp4").display()),
        ),
        node("decode", &input("packets", "camera/packets", 64), "frames, credit", "DECODER: auto"),
        node("unreliable", &input("frames", "decode/frames", 16), "frames", "FAULTS: lose-some"),
        node(
            "resize",
            &[input("frames", "unreliable/frames", 16), input("direct", "decode/frames", 16)].concat(),
            "images",
            "WIDTH: 480, HEIGHT: 272",
        ),
    ];
    let graph = sandbox.path("graph.yml");
    std::fs::write(&graph, text.concat()).unwrap();
    let mut command = sandbox.dora();
    command.env("GANTRY_RUN_DIR", sandbox.path("tmp/run")).arg("run").arg(graph);
    sandbox.run(command, 120).assert_code(0);
    let stats = sandbox.stats();
    let published = stats["decode"]["buffers_made"]["decode/frames"]["published"].as_u64().unwrap();
    let lost = stats["unreliable"]["counters"]["lost_rows"].as_u64().unwrap();
    let read = &stats["resize"]["buffers_read"]["decode/frames"];
    let count = |name: &str| read[name].as_u64().unwrap();
    // Each number is counted where it happens: by the producer, by the reader when it takes a frame, finds it gone or passes it over for a
    // newer one, by the node that loses messages. `dropped` is the reader's own difference, and must be what was lost and passed over.
    let superseded = stats["resize"]["counters"]["superseded"].as_u64().unwrap_or(0);
    assert!(published > 200 && lost > 40, "{published} frames, {lost} lost");
    assert_eq!(count("used") + count("stale") + lost + superseded, published, "{read}, {lost} lost, {superseded} superseded");
    assert_eq!((count("dropped"), count("published")), (lost + superseded, published), "{read}");
}

//! Nodes from outside the workspace, in Rust and in Python, take part in a graph: `examples/outside-rust`, `examples/outside-python`.

use gantry_system_tests::{Finished, Sandbox, clip, lines, program, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

const SECONDS: &str = "3";

fn read(sandbox: &Sandbox, more: &[&str]) -> Finished {
    let mut command = sandbox.read([clip("gate_day.mp4")]);
    command.args(["--seconds", SECONDS]).args(more);
    sandbox.run(command, 180)
}

fn plates(sandbox: &Sandbox) -> Vec<String> {
    lines(&sandbox.out()).iter().map(|r| r["plate"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_voting_rule_of_another_workspace_takes_the_place_of_vote() {
    // `cargo xtask setup` builds it beside the others.
    let vote = program("vote_best");
    let sandbox = Sandbox::new();
    let replace = format!("vote={}", vote.display());
    let done = read(&sandbox, &["--replace", &replace, "--set", "vote.MIN_CONFIDENCE=0.6"]);
    done.assert_code(0);
    let readings = lines(&sandbox.out());
    assert!(!readings.is_empty(), "{}", done.stdout);
    for reading in &readings {
        let votes = reading["votes"].as_array().unwrap();
        assert!(votes.len() == 1 && votes[0]["text"] == reading["plate"], "one read, not a vote: {reading}");
        assert!(reading["confidence"].as_f64().unwrap() >= 0.6 && reading["evidence"].is_string());
    }
    let again = Sandbox::new();
    read(&again, &["--replace", &replace, "--set", "vote.MIN_CONFIDENCE=0.6"]).assert_code(0);
    assert_eq!(std::fs::read(sandbox.out()).unwrap(), std::fs::read(again.out()).unwrap());
    sandbox.assert_nothing_left();
}

/// Mean luma of each frame, by FFmpeg's own filter.
fn luma_of(clip: &std::path::Path) -> Vec<f64> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(clip)
        .args(["-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-", "-f", "null", "-"])
        .output();
    let text = String::from_utf8(output.expect("ffmpeg starts").stdout).unwrap();
    text.lines().filter_map(|l| l.strip_prefix("lavfi.signalstats.YAVG=")?.parse().ok()).collect()
}

#[test]
fn nodes_in_python_filter_readings_and_see_the_pixels_where_they_were_decoded() {
    let python = root().join(".gantry/dora/bin/python");
    assert!(python.is_file(), "{} is missing: run `cargo xtask setup`", python.display());
    // What is there without them.
    let plain = Sandbox::new();
    read(&plain, &[]).assert_code(0);
    let all = plates(&plain);
    assert!(all.len() >= 2, "too few readings to filter: {all:?}");
    let sandbox = Sandbox::new();
    let known = sandbox.path("plates.txt");
    std::fs::write(&known, format!("# the first one only\n{} # gate\n", all[0].to_lowercase())).unwrap();
    let light = sandbox.path("light.jsonl");
    let graph = std::fs::read_to_string(root().join("examples/outside-python/graph.yml")).unwrap();
    // The graph lies elsewhere: its paths are made absolute, as those of the example's own folder.
    let folder = root().join("examples/outside-python").display().to_string();
    let graph = graph
        .replace("../../out/light.jsonl", &light.display().to_string())
        .replace("PLATES: plates.txt", &format!("PLATES: {}", known.display()))
        .replace("path: bin/", &format!("path: {folder}/bin/"))
        .replace("../../", &format!("{}/", root().display()))
        .replace("args: ", &format!("args: {folder}/"));
    let path = sandbox.path("graph.yml");
    std::fs::write(&path, graph).unwrap();
    let done = read(&sandbox, &["--graph", &path.display().to_string()]);
    done.assert_code(0);
    assert_eq!(plates(&sandbox), all[..1].to_vec(), "{}", done.stderr);

    // Every frame was seen, once, and its pixels are the decoder's.
    let measured = lines(&light);
    let frames: u64 = measured.iter().map(|l| l["frames"].as_u64().unwrap()).sum();
    assert_eq!(frames, 90, "{measured:?}");
    let mut wanted: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (frame, luma) in luma_of(&clip("gate_day.mp4")).into_iter().take(90).enumerate() {
        wanted.entry(frame / 30).or_default().push(luma);
    }
    for line in &measured {
        let of = &wanted[&(line["second"].as_u64().unwrap() as usize)];
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        let found = line["luma"].as_f64().unwrap();
        // FFmpeg prints two decimals or so of each frame.
        assert!((found - mean).abs() < 0.02, "{line}: FFmpeg says {mean}");
    }
    sandbox.assert_nothing_left();
}

#[test]
fn what_a_python_reader_cannot_have_is_an_error_and_no_crash() {
    let script = "
import sys
sys.path.insert(0, 'runtime/frames_c/python')
import gantry_frames as g
reader = g.Reader(run='00000000-0000-0000-0000-000000000000', name='nobody')
for handle, error in [(b'short', g.FramesError), (bytes(192), g.FramesError)]:
    try:
        reader.take(handle)
    except error as e:
        print('refused:', e)
try:
    g.Reader(run='x', name='y', library='/nowhere.so')
    print('found in the checkout')
except g.FramesError as e:
    print('refused:', e)
";
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(root().join(".gantry/dora/bin/python"));
    command.args(["-c", script]);
    let done = sandbox.run(command, 60);
    done.assert_code(0);
    let said: Vec<Value> = done.stdout.lines().map(|l| Value::from(l.to_owned())).collect();
    assert!(
        said.len() == 3 && done.stdout.contains("a handle has 192 bytes, this has 5") && done.stdout.contains("malformed handle"),
        "{}",
        done.stdout
    );
}

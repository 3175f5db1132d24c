//! The main job: plates from a clip, with everything that belongs to it, and nothing left behind.

use gantry_system_tests::{Sandbox, clip, lines};
use serde_json::Value;
use std::collections::BTreeSet;

/// Vehicles of `gate_day` that may be read wrongly or not at all. The shipped models miss fewer; they still change.
const MARGIN: usize = 2;

fn truth(clip_name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(clip(clip_name).with_extension("truth.json")).unwrap();
    let truth: Value = serde_json::from_str(&text).unwrap();
    let vehicles = truth["vehicles"].as_array().unwrap();
    vehicles.iter().filter_map(|v| v["plate"].as_str()).map(str::to_owned).collect()
}

#[test]
fn reads_the_plates_of_the_gate_clip_with_all_fields_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    let done = sandbox.run(sandbox.read([clip("gate_day.mp4")]), 120);
    done.assert_code(0);
    assert_eq!(done.frames(), 240, "{}", done.stdout);

    let readings = lines(&sandbox.out());
    let truth = truth("gate_day.mp4");
    let plates: Vec<String> = readings.iter().map(|r| r["plate"].as_str().unwrap().to_owned()).collect();
    let exact = plates.iter().collect::<BTreeSet<_>>().iter().filter(|p| truth.contains(**p)).count();
    let wrong = plates.len() - exact;
    assert!(exact + MARGIN >= truth.len(), "{exact} of {} exact: read {plates:?}, true {truth:?}", truth.len());
    assert!(wrong <= MARGIN, "{wrong} false or duplicate: read {plates:?}, true {truth:?}");

    for reading in &readings {
        let text = reading.to_string();
        let number = |name: &str| reading[name].as_f64().unwrap_or_else(|| panic!("`{name}` is no number: {text}"));
        assert_eq!(reading["camera"], "gate_day", "{text}");
        assert!(reading["track_id"].is_u64() && reading["frames_read"].as_u64().is_some_and(|n| n > 0), "{text}");
        assert!((0.0..=1.0).contains(&number("confidence")), "{text}");
        assert!(0.0 <= number("first_seen_s") && number("first_seen_s") <= number("last_seen_s") && number("last_seen_s") <= 8.0, "{text}");
        for name in ["captured_at", "syntax"] {
            assert!(reading.get(name).is_some_and(|v| v.is_string() || v.is_null()), "`{name}`: {text}");
        }
        let votes = reading["votes"].as_array().unwrap_or_else(|| panic!("`votes`: {text}"));
        assert!(!votes.is_empty() && votes.iter().all(|v| v["text"].is_string() && v["variant"].is_string()), "{text}");
        let bbox: Vec<f64> = reading["bbox_xyxy"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert!(bbox.len() == 4 && bbox[0] < bbox[2] && bbox[1] < bbox[3] && bbox[2] <= 1920.0 && bbox[3] <= 1080.0, "{text}");
        let picture = sandbox.path("out").join(reading["evidence"].as_str().unwrap());
        let picture = std::fs::read(&picture).unwrap_or_else(|e| panic!("{}: {e}", picture.display()));
        assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]), "no JPEG: {text}");
    }
    sandbox.assert_nothing_left();
    sandbox.assert_temporary_folder_is_empty();
}

#[test]
fn start_and_seconds_read_a_part_of_each_source() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.read([clip("gate_day.mp4"), clip("road_day.mp4")]);
    command.args(["--start", "1.5", "--seconds", "1"]);
    let done = sandbox.run(command, 90);
    done.assert_code(0);
    assert_eq!(done.frames(), 60, "{}", done.stdout);
    sandbox.assert_nothing_left();
}

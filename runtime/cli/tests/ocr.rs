//! `gantry ocr` with the shipped models, on pictures cut from a shipped clip.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The plate in this frame of `gate_day`, by the clip's truth: `E9CJSNH`, 136 px wide.
const FRAME: u32 = 60;
const PLATE: &str = "E9CJSNH";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project's folder")
}

fn gantry(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gantry")).current_dir(project()).arg("ocr").args(arguments).output().expect("gantry starts")
}

fn picture(dir: &Path, name: &str, filter: &str) -> String {
    let to = dir.join(name);
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(project().join("tests/clips/gate_day.mp4"))
        .args(["-vf", &format!("select=eq(n\\,{FRAME}){filter}"), "-frames:v", "1"])
        .arg(&to)
        .status()
        .expect("ffmpeg starts");
    assert!(done.success());
    to.display().to_string()
}

/// Box of the plate in the frame, by the truth.
fn plate_xyxy() -> [f64; 4] {
    let text = std::fs::read_to_string(project().join("tests/clips/gate_day.truth.json")).expect("truth");
    let truth: Value = serde_json::from_str(&text).expect("truth is JSON");
    let vehicle = truth["vehicles"].as_array().expect("vehicles").iter().find(|v| v["plate"] == PLATE).expect("the vehicle");
    let frame = vehicle["frames"].as_array().expect("frames").iter().find(|f| f["frame"] == FRAME).expect("the frame");
    [0, 1, 2, 3].map(|i| frame["plate_xyxy"][i].as_f64().expect("number"))
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |[x0, y0, x1, y1]: [f64; 4]| (x1 - x0).max(0.0) * (y1 - y0).max(0.0);
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    both / (area(a) + area(b) - both)
}

fn pages(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON array")
}

#[test]
fn a_scene_gives_its_plate_with_every_variant_its_picture_and_a_sheet() {
    let dir = tempfile::tempdir().unwrap();
    let scene = picture(dir.path(), "scene.png", "");
    let out = dir.path().join("out");
    let pages = pages(&gantry(&[&scene, "--json", "--out", &out.display().to_string()]));
    let plates = pages[0]["plates"].as_array().unwrap();
    let plate = plates.iter().find(|p| p["vote"]["plate"] == PLATE).unwrap_or_else(|| panic!("{PLATE} is not among {plates:#?}"));
    let found = [0, 1, 2, 3].map(|i| plate["found"]["bbox_xyxy"][i].as_f64().unwrap());
    assert!(iou(found, plate_xyxy()) >= 0.5, "the box {found:?} is far from the truth {:?}", plate_xyxy());
    let variants: Vec<&str> = plate["variants"].as_array().unwrap().iter().map(|v| v["variant"].as_str().unwrap()).collect();
    assert_eq!(variants, ["original", "clahe", "equalize", "adaptive_threshold", "morphology", "sharpen"]);
    for variant in plate["variants"].as_array().unwrap() {
        let jpeg = std::fs::read(variant["file"].as_str().unwrap()).unwrap();
        assert!(jpeg.starts_with(&[0xFF, 0xD8]) && jpeg.len() > 500, "{variant}");
        let confidence = variant["confidence"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&confidence));
        assert_eq!(variant["characters"].as_array().unwrap().len(), variant["text"].as_str().unwrap().len());
    }
    assert!(std::fs::metadata(out.join("sheet.jpg")).unwrap().len() > 5000);
}

#[test]
fn a_picture_of_a_plate_alone_is_read_as_it_is_and_the_table_shows_the_vote() {
    let dir = tempfile::tempdir().unwrap();
    let [x0, y0, x1, y1] = plate_xyxy();
    let (w, h) = ((x1 - x0) * 1.16, (y1 - y0) * 1.16);
    let (x, y) = ((x0 + x1 - w) / 2.0, (y0 + y1 - h) / 2.0);
    let plate = picture(dir.path(), "plate.jpg", &format!(",crop={w:.0}:{h:.0}:{x:.0}:{y:.0}"));
    let output = gantry(&[&plate, "--plate", "--operators", "clahe"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("vote: {PLATE} ")), "{text}");
    assert!(text.contains("original") && text.contains("clahe") && !text.contains("sharpen"), "{text}");
}

#[test]
fn what_cannot_be_read_is_said_with_a_hint_and_an_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let no_picture = dir.path().join("notes.png");
    std::fs::write(&no_picture, "not a picture").unwrap();
    let no_picture = no_picture.display().to_string();
    let plate = picture(dir.path(), "plate.png", ",crop=160:60:600:900");
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let missing = gantry(&["nowhere.png", &plate]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("`nowhere.png`: no such file") && said(&missing).contains("hint: "), "{}", said(&missing));

    let unreadable = gantry(&["--plate", &no_picture, &plate]);
    assert_eq!(unreadable.status.code(), Some(1));
    assert!(said(&unreadable).contains("notes.png") && said(&unreadable).contains("1 of 2 pictures"), "{}", said(&unreadable));
    assert!(String::from_utf8_lossy(&unreadable.stdout).contains("plate.png"), "the other picture is read");

    let wrong_model = gantry(&["--plate", "--model", &plate, &plate]);
    assert_eq!(wrong_model.status.code(), Some(2));
    assert!(said(&wrong_model).contains("plate.png") && said(&wrong_model).contains("hint: "), "{}", said(&wrong_model));

    let no_operator = gantry(&["--plate", "--operators", "clahe,sharpn", &plate]);
    assert_eq!(no_operator.status.code(), Some(2));
    assert!(said(&no_operator).contains("sharpn"), "{}", said(&no_operator));
}

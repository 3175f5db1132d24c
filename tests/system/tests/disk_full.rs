//! Nowhere to write: a full disk, a folder that is read-only, a name that is a folder.

use gantry_system_tests::{Sandbox, clip, lines, may_mount};

#[test]
fn a_full_disk_fails_the_run_and_the_lines_before_it_stay_whole() {
    let Some(flags) = may_mount() else {
        eprintln!("skipped: this user may mount nothing");
        return;
    };
    let sandbox = Sandbox::new();
    let disk = sandbox.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let read = sandbox.gantry(["read"]);
    // The disk has room for one or two readings with their pictures (2 pages each) and their lines, then it is full. What is on it is copied out of the namespace.
    let script = r#"mount -t tmpfs -o size=20k tmpfs "$DISK" || exit 99
"$0" read "$CLIP" --out "$DISK/readings.jsonl"; code=$?
cp -r "$DISK/." "$COPY"; exit $code"#;
    let mut command = sandbox.command("unshare");
    command.args(flags).args(["sh", "-c", script]).arg(read.get_program());
    command.env("DISK", &disk).env("COPY", sandbox.path("out")).env("CLIP", clip("gate_day.mp4"));
    let done = sandbox.run(command, 90);
    done.assert_code(1);
    done.assert_says(&["node `store`", "No space left on device", "hint: "]);
    let kept = lines(&sandbox.out());
    assert!(!kept.is_empty(), "nothing was written before the disk was full: make it larger\n{}", done.stderr);
    for reading in kept {
        let picture = sandbox.path("out").join(reading["evidence"].as_str().unwrap());
        assert!(std::fs::read(&picture).unwrap().ends_with(&[0xff, 0xd9]), "{} is cut off", picture.display());
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_place_that_cannot_be_written_is_said_at_once() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.out()).unwrap();
    let done = sandbox.run(sandbox.read([clip("gate_day.mp4")]), 30);
    assert!((1..=2).contains(&done.code()), "{}", done.stderr);
    done.assert_says(&["error: ", "readings.jsonl", "hint: "]);
    assert!(done.seconds < 15.0, "took {:.1} s", done.seconds);

    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("file"), "").unwrap();
    let mut command = sandbox.gantry(["read"]);
    command.arg(clip("gate_day.mp4")).arg("--out").arg(sandbox.path("file/readings.jsonl"));
    let done = sandbox.run(command, 30);
    done.assert_code(2);
    done.assert_says(&["error: ", "hint: "]);
    sandbox.assert_nothing_left();
}

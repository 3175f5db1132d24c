//! Nowhere to write: a disk that is full or becomes full, a name that is a folder.

mod kept;

use gantry_brokers::{Receiver, free_port};
use gantry_system_tests::{Disk, ReadingsSite, Sandbox, clip, lines, may_mount, said, spooled};
use kept::{complaints, counter, gauge, in_bodies, in_database, in_lines, in_parquet};

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

#[test]
fn a_live_site_goes_on_when_a_full_disk_has_room_again_and_has_lost_nothing() {
    /// Readings, at 100 a second: 10 s.
    const COUNT: u64 = 1000;
    let sandbox = Sandbox::new();
    let Some(disk) = Disk::in_memory(&sandbox, "64m") else {
        eprintln!("skipped: this user may mount nothing");
        return;
    };
    let (port, file) = (free_port(), sandbox.path("received.jsonl"));
    let graph = ReadingsSite::new(&sandbox, COUNT, 100).with_all_on(disk.folder(), port).write();
    let mut dora = sandbox.dora();
    dora.args(["run", &graph]);
    let mut running = sandbox.start(disk.under(&dora, &sandbox));
    running.wait_until("readings are written", 60, |s| counter(s, "store", "readings").min(counter(s, "sink", "spooled")) > 50);
    disk.fill(&sandbox);
    running.wait_until("readings are held in memory", 30, |s| gauge(s, "store", "held").min(gauge(s, "sink", "held")) > 0.0);
    // What is on the disk is sent also while it is full.
    let on_disk = spooled(&said(&sandbox)).len();
    let _server = Receiver::start(port, &file);
    running.wait_until("what is in the spool is sent", 30, |_| Receiver::received(&file).len() >= on_disk);
    disk.free(&sandbox);
    running.wait_until("what was held is on the disk", 30, |s| gauge(s, "store", "held").max(gauge(s, "sink", "held")) == 0.0);
    running.end(60).assert_code(0);

    let all: Vec<u64> = (1..=COUNT).collect();
    assert_eq!(in_lines(disk.copy()), all);
    assert_eq!(in_database(disk.copy()), all);
    assert_eq!(in_parquet(disk.copy()), all);
    assert_eq!(in_bodies(&Receiver::received(&file)), all);
    for (node, at_most) in [("store", 2), ("sink", 3)] {
        let lines = complaints(&sandbox, node);
        let held =
            lines.iter().filter(|l| l.contains("held in memory until the disk") && l.contains("No space left") && l.contains("hint"));
        assert!(held.count() == 1 && lines.len() <= at_most, "{node}: {lines:#?}");
    }
    assert_eq!(said(&sandbox).matches("the disk takes readings again").count(), 2);
    sandbox.assert_nothing_left();
}

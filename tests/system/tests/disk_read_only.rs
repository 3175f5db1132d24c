//! A disk that becomes read-only while a live site writes to it: what was on it stays, what comes is held in memory. It goes to the disk when that can be
//! written again; if it cannot until the end, the nodes fail and say how much is lost.

mod kept;

use gantry_brokers::{Receiver, free_port};
use gantry_system_tests::{Disk, ReadingsSite, Sandbox, said, spooled};
use kept::{complaints, counter, gauge, in_bodies, in_database, in_lines, in_parquet};
use std::path::Path;

/// Readings, at 100 a second: 10 s.
const COUNT: u64 = 1000;
/// A failing ext4 has confirmed the append at the instant of its failure, and not written it (docs/results.md).
const LAST_APPEND: usize = 8;

#[test]
fn a_site_goes_on_when_its_disk_can_be_written_again_and_has_lost_nothing() {
    let sandbox = Sandbox::new();
    let Some(disk) = Disk::in_memory(&sandbox, "64m") else {
        eprintln!("skipped: this user may mount nothing");
        return;
    };
    let (port, file) = (free_port(), sandbox.path("received.jsonl"));
    let _server = Receiver::start(port, &file);
    let graph = ReadingsSite::new(&sandbox, COUNT, 100).with_all_on(disk.folder(), port).write();
    let mut dora = sandbox.dora();
    dora.args(["run", &graph]);
    let mut running = sandbox.start(disk.under(&dora, &sandbox));
    running.wait_until("readings are written and sent", 60, |s| counter(s, "store", "readings").min(counter(s, "sink", "sent")) > 50);
    disk.make_read_only(&sandbox);
    running.wait_until("readings are held in memory", 30, |s| gauge(s, "store", "held").min(gauge(s, "sink", "held")) > 0.0);
    disk.make_writable(&sandbox);
    running.wait_until("they are on the disk", 30, |s| gauge(s, "store", "held").max(gauge(s, "sink", "held")) == 0.0);
    running.end(60).assert_code(0);

    let all: Vec<u64> = (1..=COUNT).collect();
    assert_eq!(in_lines(disk.copy()), all);
    assert_eq!(in_database(disk.copy()), all);
    assert_eq!(in_parquet(disk.copy()), all);
    assert_eq!(std::fs::read_dir(disk.copy().join("evidence")).unwrap().count() as u64, COUNT);
    assert_eq!(in_bodies(&Receiver::received(&file)), all);
    for (node, at_most) in [("store", 1), ("sink", 2)] {
        let lines = complaints(&sandbox, node);
        let held = lines.iter().filter(|l| l.contains("held in memory") && l.contains("Read-only file system") && l.contains("hint"));
        assert!(held.count() == 1 && lines.len() <= at_most, "{node}: {lines:#?}");
    }
    assert_eq!(said(&sandbox).matches("the disk takes readings again").count(), 2);
    sandbox.assert_nothing_left();
}

#[test]
fn a_disk_that_fails_for_good_keeps_what_it_had_and_the_nodes_say_what_is_lost() {
    let sandbox = Sandbox::new();
    let Some(disk) = Disk::of_blocks(&sandbox) else {
        eprintln!("skipped: this user may mount no file system in a file");
        return;
    };
    let (port, file) = (free_port(), sandbox.path("received.jsonl"));
    let graph = ReadingsSite::new(&sandbox, COUNT, 100).without_restarts().with_all_on(disk.folder(), port).write();
    let mut dora = sandbox.dora();
    dora.args(["run", &graph]);
    let mut running = sandbox.start(disk.under(&dora, &sandbox));
    // The server is away, so that everything is in the spool.
    running.wait_until("readings are written", 60, |s| counter(s, "store", "readings").min(counter(s, "sink", "spooled")) > 50);
    disk.fail(&sandbox);
    running.end(60).assert_code(1);

    let written = counter(&sandbox, "store", "readings") as usize;
    assert!(written < COUNT as usize, "the disk has not failed");
    for tracks in [in_lines(disk.copy()), in_database(disk.copy())] {
        assert_eq!(tracks, (1..=tracks.len() as u64).collect::<Vec<_>>());
        assert!(tracks.len() + LAST_APPEND >= written, "{} of {written} readings are there", tracks.len());
    }
    for (node, lost) in [("store", "readings are not on the disk, and are lost"), ("sink", "neither sent nor on the disk, and are lost")] {
        let lines = complaints(&sandbox, node);
        for (what, n) in [("held in memory", 1), (lost, 1)] {
            assert_eq!(lines.iter().filter(|l| l.contains(what)).count(), n, "{node}, {what}: {lines:#?}");
        }
        // The server that is away; what was sent; the fault and its hint.
        assert!(lines.len() <= 6, "{node}: {lines:#?}");
    }
    let acked = spooled(&said(&sandbox));
    sandbox.assert_nothing_left();
    let server = Receiver::start(port, &file);
    send_what_waits(&disk.copy().join("spool"), port);
    let got: Vec<String> = Receiver::received(&file).iter().filter_map(|body| body["key"].as_str().map(str::to_owned)).collect();
    let missing: Vec<&String> = acked.iter().filter(|key| !got.contains(key)).collect();
    println!("{} in the spool, {} of them lost with the disk", acked.len(), missing.len());
    assert!(acked.len() > 50 && missing.iter().all(|key| acked[acked.len() - LAST_APPEND..].contains(key)), "lost: {missing:?}");
    drop(server);
}

/// A new site whose sink finds that spool.
fn send_what_waits(spool: &Path, port: u16) {
    let sandbox = Sandbox::new();
    let (url, spool) = (format!("http://127.0.0.1:{port}/readings"), spool.display().to_string());
    let site =
        ReadingsSite::new(&sandbox, 1, 100).with("sink", "webhook_sink", &[("URL", &url), ("SPOOL_DIR", &spool), ("FINISH_MS", "20000")]);
    let mut dora = sandbox.dora();
    dora.args(["run", &site.write()]);
    sandbox.run(dora, 60).assert_code(0);
    sandbox.assert_nothing_left();
}

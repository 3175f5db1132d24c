//! Truncated and flipped recordings: no crash, no wrong packet, and every packet accounted for.

mod common;

use common::{CAMERAS, about, packet, record};
use gantry_messages::PacketRow;
use gantry_recording::{OpenError, Recording};
use std::path::Path;

const FRAMES: u64 = 40;
const TRUNCATIONS: u64 = 400;
const FLIPS: u64 = 1000;

/// Numbers that do not repeat soon and are the same in every run.
fn scattered(n: u64) -> u64 {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 7
}

/// The packet without what the recorder and the reader add: the description at key frames and the mark of a hole.
fn core(row: &PacketRow) -> PacketRow {
    PacketRow {
        discontinuity: false,
        codec: String::new(),
        width: 0,
        height: 0,
        rotation_deg: 0,
        fps: 0.0,
        extradata: Vec::new(),
        ..row.clone()
    }
}

/// Checks a damaged file; how many packets could not be given.
fn check(path: &Path, what: &str) -> u64 {
    let recording = match Recording::open(path) {
        Ok(recording) => recording,
        Err(OpenError::NoMcap { .. }) => return FRAMES * 2,
        Err(e) => panic!("{what}: {e}"),
    };
    assert!(recording.about().is_none_or(|a| *a == about("a")), "{what}: wrong metadata");
    let survey = recording.survey().unwrap();
    let mut lost = 0;
    for camera in CAMERAS {
        let mut packets = recording.packets(camera);
        let mut given = Vec::new();
        for row in &mut packets {
            let row = row.unwrap();
            if !row.end {
                assert!(core(&row) == core(&packet(camera, row.frame)), "{what}: packet {} of {camera} is wrong", row.frame);
                given.push(row.frame);
            }
        }
        assert!(given.is_sorted_by(|a, b| a < b), "{what}: out of order");
        let sequence = packets.sequence();
        for number in 0..FRAMES {
            let is_in = |ranges: &[std::ops::Range<u64>]| ranges.iter().any(|r| r.contains(&number));
            let places = [
                given.contains(&number),
                is_in(sequence.missing()),
                is_in(sequence.unusable()),
                !sequence.ended() && number >= sequence.next_number(),
            ];
            assert_eq!(places.iter().filter(|p| **p).count(), 1, "{what}: packet {number} of {camera} is {places:?}");
        }
        lost += FRAMES - given.len() as u64;
        let found = survey.cameras.iter().find(|c| c.name == camera);
        assert_eq!(found.map_or(0, |c| c.packets.delivered()), given.len() as u64, "{what}: the survey says otherwise");
    }
    assert!(lost == 0 || !survey.is_complete() || survey.cameras.len() < CAMERAS.len(), "{what}: {lost} packets went unnoticed");
    lost
}

#[test]
fn no_truncation_and_no_flipped_bit_gives_a_wrong_packet_or_hides_a_missing_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    record(&path, FRAMES, u64::MAX);
    assert_eq!(check(&path, "whole"), 0);
    assert!(Recording::open(&path).unwrap().survey().unwrap().is_complete());
    let whole = std::fs::read(&path).unwrap();
    let mut harmed = 0;
    for n in 0..TRUNCATIONS {
        let len = scattered(n) as usize % whole.len();
        std::fs::write(&path, &whole[..len]).unwrap();
        harmed += u64::from(check(&path, &format!("cut at byte {len}")) > 0);
    }
    assert!(harmed > TRUNCATIONS / 2, "only {harmed} truncations cost anything: the test cuts the wrong bytes");
    let mut worst = 0;
    harmed = 0;
    for n in 0..FLIPS {
        let bit = scattered(n + TRUNCATIONS) as usize % (whole.len() * 8);
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bytes).unwrap();
        let lost = check(&path, &format!("bit {bit} flipped"));
        harmed += u64::from(lost > 0);
        worst = worst.max(lost);
    }
    assert!(harmed > FLIPS / 2, "only {harmed} flips cost anything: the test flips the wrong bits");
    // A chunk holds seven packets of each camera; those behind it wait for the next key frame.
    assert!(worst <= 2 * 24, "one bit cost {worst} packets");
}

#[test]
fn what_was_flushed_survives_a_writer_that_never_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    let mut recorder = gantry_recording::Recorder::create(&path, about("a"), common::limits(u64::MAX), true).unwrap();
    for frame in 0..25 {
        recorder.packet(&packet("gate", frame), None).unwrap();
        if frame == 19 {
            recorder.flush().unwrap();
        }
    }
    // As after kill -9: nothing more is written.
    let survey = Recording::open(&path).unwrap().survey().unwrap();
    assert_eq!((survey.cameras[0].packets.delivered(), survey.is_complete()), (20, false));
    assert_eq!(survey.faults()[0], "camera `gate`: no end: cut off after packet 19 at 0.76 s");
    drop(recorder);
}

#[test]
fn other_files_are_refused_with_what_they_begin_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mcap");
    for (bytes, wanted) in [(b"".as_slice(), "0 bytes only"), (b"\0\0\0\x20ftypisom", "00 00 00 20 66 74 79 70")] {
        std::fs::write(&path, bytes).unwrap();
        let error = Recording::open(&path).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    assert!(matches!(Recording::open(&dir.path().join("b.mcap")), Err(OpenError::Read { .. })));
}

#[test]
fn a_file_that_ends_between_two_records_has_lost_no_byte_and_says_that_it_was_not_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.mcap");
    record(&path, FRAMES, u64::MAX);
    let whole = std::fs::read(&path).unwrap();
    // Behind the magic every record has its opcode and its length.
    let mut ends = vec![];
    let mut at = 8;
    while let Some(length) = whole.get(at + 1..at + 9) {
        at += 9 + u64::from_le_bytes(length.try_into().unwrap()) as usize;
        ends.push(at);
        if at + 8 >= whole.len() {
            break;
        }
    }
    assert_eq!(*ends.last().unwrap(), whole.len() - 8, "records end where the last magic begins");
    for end in ends {
        std::fs::write(&path, &whole[..end]).unwrap();
        let survey = Recording::open(&path).unwrap().survey().unwrap();
        let lost: Vec<(u64, u64, &str)> = survey.lost.iter().map(|l| (l.offset, l.bytes, l.why.as_str())).collect();
        assert_eq!(lost, [(end as u64, 0, "the file ends without having been closed")]);
        assert!(!survey.is_complete());
    }
}

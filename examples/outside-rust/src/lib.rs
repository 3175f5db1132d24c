//! A voting rule of one's own, in place of `vote`: the reading of a pass is its surest single read. No frames are put together, no plate
//! layouts are known; what that costs is what `vote` is for.
//!
//! ```sh
//! cargo build --release --manifest-path examples/outside-rust/Cargo.toml --target-dir target
//! gantry read clip.mp4 --replace vote=target/release/vote_best
//! ```

use gantry_contract::{Arity, Contract, f64_param, input, int_param, list, output, text};
use gantry_messages::{CropText, ReadingRow, TextsRow, VariantRead, Vote};
use gantry_node::{Context, Fault, Input, Outputs, Stage};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Ports and parameters. The harness checks them, and `vote_best --contract` prints them.
pub const CONTRACT: Contract = Contract {
    name: text("vote_best"),
    summary: text("One reading per pass: its surest read."),
    inputs: list(
        const {
            &[
                input("texts", "texts/v1", Arity::One, "what was read in each frame"),
                input("tracks", "tracks/v1", Arity::Optional, "not needed; there because `vote` has it"),
            ]
        },
    ),
    outputs: list(const { &[output("readings", "readings/v1", "when a track has not been read for `quiet_frames`")] }),
    params: list(
        const {
            &[
                f64_param("min_confidence", "", 0.0, 1.0, 0.5, "a pass whose surest read is below this gives no reading"),
                int_param("quiet_frames", "frames", 1, 10_000, 30, "frames without a read after which a pass is over"),
            ]
        },
    ),
};

/// See [`CONTRACT`].
#[derive(Debug, Deserialize)]
pub struct Params {
    min_confidence: f32,
    quiet_frames: u64,
}

/// The node.
pub struct VoteBest {
    params: Params,
    /// Passes under way, by camera and track.
    passes: BTreeMap<String, BTreeMap<u64, ReadingRow>>,
}

impl Stage for VoteBest {
    type Params = Params;
    const CONTRACT: Contract = CONTRACT;

    fn open(params: Params, _: &Context) -> Result<Self, Fault> {
        Ok(Self { params, passes: BTreeMap::new() })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        if input.port != "texts" {
            return Ok(());
        }
        let mut readings = Vec::new();
        // In a lossless run there is one row per frame and camera, in order, whatever the messages did: nothing here depends on the time.
        for row in input.rows::<TextsRow>()? {
            let passes = self.passes.entry(row.source.clone()).or_default();
            for crop in &row.texts {
                take(passes, &row, crop);
            }
            let is_over = |pass: &ReadingRow| row.end || row.frame > pass.frame + self.params.quiet_frames;
            let over: Vec<u64> = passes.iter().filter(|(_, pass)| is_over(pass)).map(|(id, _)| *id).collect();
            readings.extend(over.iter().filter_map(|id| passes.remove(id)).filter(|r| r.confidence >= self.params.min_confidence));
            if row.end {
                readings.push(ReadingRow { source: row.source, frame: row.frame, end: true, ..ReadingRow::default() });
            }
        }
        out.count("readings", readings.iter().filter(|r| !r.end).count() as u64);
        out.send("readings", &readings)
    }
}

/// Takes the reads of a plate in one frame.
fn take(passes: &mut BTreeMap<u64, ReadingRow>, row: &TextsRow, crop: &CropText) {
    let Some(read) = crop.reads.iter().filter(|r| !r.text.is_empty()).max_by(|a, b| a.confidence.total_cmp(&b.confidence)) else { return };
    let pass = passes.entry(crop.track_id).or_insert_with(|| ReadingRow {
        source: row.source.clone(),
        track_id: crop.track_id,
        first_frame: row.frame,
        first_pts_ns: row.pts_ns,
        ..ReadingRow::default()
    });
    (pass.frame, pass.last_pts_ns) = (row.frame, row.pts_ns);
    pass.frames_read += 1;
    pass.reads += crop.reads.len() as u32;
    if read.confidence > pass.confidence {
        (pass.plate, pass.confidence) = (read.text.clone(), read.confidence);
        pass.votes = vec![vote(read, row.frame)];
    }
    // `crop` cuts a picture only where it is the most legible of its track so far.
    if !crop.evidence.is_empty() {
        (pass.evidence, pass.evidence_frame, pass.captured_ns) = (crop.evidence.clone(), row.frame, row.captured_ns);
        pass.bbox_in_source = crop.bbox_in_source;
    }
}

fn vote(read: &VariantRead, frame: u64) -> Vote {
    Vote { text: read.text.clone(), variant: read.variant.clone(), frames: vec![frame], weight: read.confidence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::BoxXyxy;

    fn texts(frame: u64, reads: &[(&str, f32)]) -> TextsRow {
        let read = |(text, confidence): &(&str, f32)| VariantRead {
            variant: "original".into(),
            text: (*text).into(),
            confidence: *confidence,
            characters: Vec::new(),
        };
        let crop = CropText {
            track_id: 7,
            bbox_in_source: BoxXyxy::default(),
            plate_confidence: 0.9,
            legibility: 0.5,
            reads: reads.iter().map(read).collect(),
            evidence: vec![1],
            overview: Vec::new(),
        };
        TextsRow { source: "gate".into(), frame, texts: if reads.is_empty() { vec![] } else { vec![crop] }, ..TextsRow::default() }
    }

    #[test]
    fn the_surest_read_of_a_pass_is_its_reading_once_the_pass_is_over() {
        let mut node = VoteBest { params: Params { min_confidence: 0.5, quiet_frames: 3 }, passes: BTreeMap::new() };
        let mut out = Outputs::collector();
        let mut send = |rows: &[TextsRow]| {
            node.on_input(&Input::of("texts", rows), &mut out).unwrap();
            out.taken::<ReadingRow>("readings")
        };
        assert!(send(&[texts(0, &[("AB1", 0.6), ("AB7", 0.7)]), texts(1, &[("AB1", 0.9)]), texts(2, &[("A81", 0.8)])]).is_empty());
        let readings = send(&[texts(3, &[]), texts(5, &[]), texts(6, &[])]);
        assert_eq!(readings.len(), 1);
        assert_eq!((readings[0].plate.as_str(), readings[0].frames_read, readings[0].reads), ("AB1", 3, 4));
        let end = TextsRow { source: "gate".into(), frame: 7, end: true, ..TextsRow::default() };
        assert!(send(&[texts(6, &[("LOW", 0.2)]), end]).iter().all(|r| r.end), "an unsure pass gives no reading");
    }
}

//! Frames in their turn: in lossless runs, on cards, and with models that take several pictures at once.

use crate::engine::Engine;
use crate::pixels::with_levels;
use crate::{Shared, detections, row_of};
use gantry_frames::{Acquired, Mode};
use gantry_messages::{DetectionsRow, FrameRow};
use gantry_node::{Fault, Outputs, Work};
use std::time::{Duration, Instant};

/// Runs of frames that wait, on this thread.
pub struct InTurn {
    engine: Engine,
}

impl InTurn {
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    pub fn work(&mut self, shared: &mut Shared, out: &mut Outputs) -> Result<Work, Fault> {
        let may_fill = shared.mode == Mode::Live && self.engine.batch() > 1;
        let patience = Duration::from_millis(if may_fill { shared.params.max_wait_ms } else { 0 });
        match shared.waiting.until_run(shared.params.max_batch, patience, Instant::now()) {
            None => Ok(Work::Idle),
            Some(left) if !left.is_zero() => Ok(Work::After(left)),
            Some(_) => self.run_waiting(shared, out).map(|()| Work::Again),
        }
    }

    /// Runs as long as there are frames for a full message.
    pub fn run_full(&mut self, shared: &mut Shared, out: &mut Outputs) -> Result<(), Fault> {
        while shared.waiting.len() >= shared.params.max_batch {
            self.run_waiting(shared, out)?;
        }
        Ok(())
    }

    /// Runs on all frames that wait, unless the graph was stopped.
    pub fn finish(&mut self, shared: &mut Shared, out: &mut Outputs) -> Result<(), Fault> {
        while !shared.waiting.is_empty() && !shared.stop.is_set() {
            self.run_waiting(shared, out)?;
        }
        Ok(())
    }

    /// Detects in the frames that wait, `max_batch` at most, sends their rows in one message, then acknowledges the frames.
    fn run_waiting(&mut self, shared: &mut Shared, out: &mut Outputs) -> Result<(), Fault> {
        let _edge = gantry_copies::edge("frames");
        let frames = shared.waiting.take(shared.params.max_batch);
        let mut rows = Vec::with_capacity(frames.len());
        let mut waiting: Vec<(usize, &FrameRow, Option<Acquired>)> = Vec::new();
        let mut still_frames = 0;
        let started = Instant::now();
        for frame in &frames {
            if !frame.end {
                let Some(acquired) = shared.acquire(frame, out)? else { continue };
                shared.check(frame, acquired.layout())?;
                if let Some(still) = &mut shared.still
                    && with_levels(&acquired, |levels| still.repeat(frame, levels).is_some())?
                {
                    let mut row = row_of(frame);
                    row.detections = still.found(&frame.source).unwrap_or_default().to_vec();
                    rows.push(row);
                    still_frames += 1;
                    continue;
                }
                waiting.push((rows.len(), frame, self.engine.take(waiting.len(), acquired)?));
            }
            if frame.end
                && let Some(still) = &mut shared.still
            {
                still.end(&frame.source);
            }
            rows.push(row_of(frame));
            if waiting.len() == self.engine.together() {
                self.run(shared, &mut waiting, &mut rows)?;
            }
        }
        self.run(shared, &mut waiting, &mut rows)?;
        out.count("busy_us", started.elapsed().as_micros() as u64);
        out.count("still", still_frames);
        out.count("boxes", rows.iter().map(|row| row.detections.len() as u64).sum());
        out.send("detections", &rows)?;
        for frame in frames.iter().filter(|frame| !frame.end) {
            shared.ack(frame)?;
        }
        Ok(())
    }

    /// Detects in the frames that are held, and gives them back.
    fn run(
        &mut self,
        shared: &mut Shared,
        waiting: &mut Vec<(usize, &FrameRow, Option<Acquired>)>,
        rows: &mut [DetectionsRow],
    ) -> Result<(), Fault> {
        if waiting.is_empty() {
            return Ok(());
        }
        let (mut places, mut pictures) = (Vec::new(), Vec::new());
        for (row, frame, acquired) in waiting.drain(..) {
            places.push((row, frame));
            pictures.push(acquired);
        }
        self.engine.detect(&pictures, &shared.selection, |index, found| {
            let (row, frame) = places[index];
            rows[row].detections = detections(found, frame, &shared.described.classes, &shared.kinds);
        })?;
        self.engine.give_back(pictures)?;
        if let Some(still) = &mut shared.still {
            for (row, frame) in places {
                still.keep(&frame.source, &rows[row].detections);
            }
        }
        Ok(())
    }
}

//! Live, with one frame in a run: each frame is looked at as far as there is time for it, and answered soon.

use crate::{Detect, Plan, detections, row_of};
use gantry_frames::Acquired;
use gantry_inference::Window;
use gantry_messages::{BoxXyxy, DetectionsRow, FrameRow};
use gantry_node::{Fault, Outputs};
use std::time::{Duration, Instant};

/// An answer goes out after so long, because the first frame in it waits for the last.
const PROMPT: Duration = Duration::from_millis(10);

/// A frame that is to be looked at whole lets glances at other cameras go first for so long.
const PATIENCE: Duration = Duration::from_millis(60);

/// Frames that were looked at and not answered yet.
#[derive(Default)]
struct Answer {
    rows: Vec<DetectionsRow>,
    frames: Vec<FrameRow>,
}

impl Detect {
    /// Looks at frames that wait, one after the other, and returns after 10 ms at most or one look at a whole picture: newer frames may have come by then.
    pub(crate) fn detect_promptly(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        let _edge = gantry_copies::edge("frames");
        let started = Instant::now();
        let mut answer = Answer::default();
        while answer.rows.len() < self.params.max_batch && started.elapsed() < PROMPT {
            let Some(frame) = self.next_frame() else { break };
            if frame.end {
                self.forget(&frame.source);
                answer.rows.push(row_of(&frame));
                answer.frames.push(frame);
                continue;
            }
            let Some(picture) = self.acquire(&frame, out)? else { continue };
            self.check(&frame, picture.layout())?;
            match self.plan(&frame, &picture, started) {
                None => {
                    let found = self.still.as_ref().and_then(|still| still.found(&frame.source));
                    answer.rows.push(DetectionsRow { detections: found.unwrap_or_default().to_vec(), ..row_of(&frame) });
                    out.count("still", 1);
                }
                Some(Plan::Windows(windows)) => {
                    answer.rows.push(self.glance(&frame, &picture, &windows)?);
                    out.count("glances", 1);
                    out.count("windows", windows.len() as u64);
                }
                // There is nothing to follow, and other cameras wait.
                Some(Plan::Nothing) if !self.waiting.is_empty() => {
                    out.count("superseded", 1);
                    drop(picture);
                    self.ack(&frame)?;
                    continue;
                }
                Some(Plan::Nothing | Plan::Whole) => {
                    if started.elapsed() + self.look_took > PROMPT {
                        self.answer(&mut answer, out)?;
                    }
                    self.look(&frame, picture, &mut answer)?;
                }
            }
            answer.frames.push(frame);
        }
        out.count("busy_us", started.elapsed().as_micros() as u64);
        self.answer(&mut answer, out)
    }

    /// Glances first: they are over in a moment, and would wait for a look to end.
    fn next_frame(&mut self) -> Option<FrameRow> {
        let now = Instant::now();
        let glances = self.glances.as_ref().map(|(_, glances)| glances);
        let is_quick = |row: &FrameRow| row.end || glances.is_some_and(|glances| !glances.is_due(&row.source, row.pts_ns, now));
        self.waiting.take_quick(PATIENCE, now, is_quick)
    }

    /// What there is to do with a frame; `None` where nothing moved.
    fn plan(&mut self, frame: &FrameRow, picture: &Acquired, now: Instant) -> Option<Plan> {
        if self.still.as_mut().is_some_and(|still| still.compare(frame, picture.bytes())) {
            return None;
        }
        let (Some((_, glances)), Some(still)) = (&mut self.glances, &self.still) else { return Some(Plan::Whole) };
        Some(glances.plan(&frame.source, frame.pts_ns, now, |part: &BoxXyxy| still.is_moving(&frame.source, part)))
    }

    /// Looks at the whole picture.
    fn look(&mut self, frame: &FrameRow, picture: Acquired, answer: &mut Answer) -> Result<(), Fault> {
        let started = Instant::now();
        if let Some(still) = &mut self.still {
            still.whole(frame);
        }
        answer.rows.push(row_of(frame));
        let picture = self.engine.take(0, picture)?;
        self.run(&mut vec![(answer.rows.len() - 1, frame, picture)], &mut answer.rows)?;
        self.look_took = started.elapsed();
        Ok(())
    }

    /// Looks at parts of the picture.
    fn glance(&mut self, frame: &FrameRow, picture: &Acquired, parts: &[Window]) -> Result<DetectionsRow, Fault> {
        let mut row = row_of(frame);
        let (Some((windows, glances)), Some(still)) = (&mut self.glances, &self.still) else { return Ok(row) };
        let mut found = Vec::new();
        for part in parts {
            let in_part = windows.detect(picture.bytes(), *part, &self.selection);
            found.extend_from_slice(in_part.map_err(|e| crate::engine::model_fault(&e))?);
        }
        let is_moving = |part: &BoxXyxy| still.is_moving(&frame.source, part);
        let all = glances.glanced(&frame.source, frame.pts_ns, &found, is_moving);
        row.detections = detections(&all, frame, self.engine.described().classes(), &self.kinds);
        Ok(row)
    }

    fn forget(&mut self, camera: &str) {
        if let Some(still) = &mut self.still {
            still.end(camera);
        }
        if let Some((_, glances)) = &mut self.glances {
            glances.end(camera);
        }
    }

    /// Sends the rows in one message, then acknowledges their frames.
    fn answer(&mut self, answer: &mut Answer, out: &mut Outputs) -> Result<(), Fault> {
        out.count("boxes", answer.rows.iter().map(|row| row.detections.len() as u64).sum());
        out.send("detections", &answer.rows)?;
        answer.rows.clear();
        for frame in answer.frames.drain(..).filter(|frame| !frame.end) {
            self.ack(&frame)?;
        }
        Ok(())
    }
}

//! Live, with one frame in a run: each frame is looked at as far as there is time for it, and answered soon.
//!
//! Whole pictures are looked at beside it, one at a time ([`Looker`]). Meanwhile plates that are followed are looked for in their windows, so that no
//! reading waits for a look: the frame that is looked at is answered with a glance, and what the look finds goes into the frames that follow. Only where
//! there is nothing to follow the frame's row waits for the look, and the frames of its camera behind it.

use crate::engine::{Host, model_fault};
use crate::looker::{Look, Looked, Looker};
use crate::pixels::{Pixels, with_levels};
use crate::{Glances, Params, Plan, Shared, detections, row_of};
use gantry_frames::Acquired;
use gantry_inference::{Window, Windows};
use gantry_messages::{BoxXyxy, DetectionsRow, FrameRow};
use gantry_node::{Fault, Outputs, Waker, Work};
use std::time::{Duration, Instant};

/// An answer goes out after so long at the latest, because the first frame in it waits for the last.
const PROMPT: Duration = Duration::from_millis(10);
/// When to see to a look whose end was not told.
const SURELY_OVER: Duration = Duration::from_millis(100);

/// Frames as they come.
pub struct Promptly {
    looker: Looker,
    /// For models that take parts of pictures.
    glances: Option<(Parts, Glances)>,
    /// Cameras whose next frame needs the looker, which was busy.
    blocked: Vec<String>,
    /// Rows that were not sent yet.
    rows: Vec<DetectionsRow>,
    /// When the first of them was there.
    since: Option<Instant>,
}

/// The model for parts of pictures, with what scales them.
pub type Parts = (Windows, Pixels);

impl Promptly {
    pub fn new(host: Box<Host>, parts: Option<Parts>, params: &Params, waker: Waker) -> Result<Self, Fault> {
        let glances = parts.map(|parts| {
            let glances = Glances::new(parts.0.picture_px(), parts.0.step(), Duration::from_millis(params.look_every_ms));
            (parts, glances)
        });
        Ok(Self { looker: Looker::start(host, waker)?, glances, blocked: Vec::new(), rows: Vec::new(), since: None })
    }

    pub fn set(&mut self, params: &Params) {
        if let Some((_, glances)) = &mut self.glances {
            glances.set(Duration::from_millis(params.look_every_ms));
        }
    }

    /// A frame waits from now on. What is left out for it, or was on its way here, is counted.
    pub fn take_note(&mut self, shared: &mut Shared, row: FrameRow, now: Instant, out: &mut Outputs) {
        if let Some((_, glances)) = &mut self.glances {
            glances.came(&row.source, row.frame, now);
        }
        let left_out = shared.waiting.push_newest(row, shared.params.max_waiting, now);
        if let Some((_, glances)) = self.glances.as_mut().filter(|_| left_out > 0) {
            glances.left_out(now);
        }
        out.count("superseded", left_out);
    }

    /// Sees to frames that wait. Where there is no time for all, rows of several cameras go out together, up to 10 ms later: each message costs all nodes behind this one.
    pub fn work(&mut self, shared: &mut Shared, out: &mut Outputs) -> Result<Work, Fault> {
        let is_done = self.see_to_waiting(shared, out)?;
        let now = Instant::now();
        if !self.rows.is_empty() {
            let since = *self.since.get_or_insert(now);
            let is_pressed = self.glances.as_ref().is_some_and(|(_, glances)| glances.is_pressed(now));
            let patience = if is_pressed { PROMPT } else { Duration::ZERO };
            let left = patience.saturating_sub(now.saturating_duration_since(since));
            if is_done && !left.is_zero() && self.rows.len() < shared.params.max_batch {
                return Ok(Work::After(left));
            }
        }
        self.send(out)?;
        Ok(match (is_done, self.looker.is_idle()) {
            (false, _) => Work::Again,
            (true, true) => Work::Idle,
            (true, false) => Work::After(SURELY_OVER),
        })
    }

    /// Sees to all frames that wait, unless the graph was stopped.
    pub fn finish(&mut self, shared: &mut Shared, out: &mut Outputs) -> Result<(), Fault> {
        while !shared.stop.is_set() {
            let is_done = self.see_to_waiting(shared, out)?;
            self.send(out)?;
            if is_done {
                match self.looker.wait()? {
                    Some(looked) => self.take_look(shared, looked, out),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Sees to frames that wait, one after the other, for 10 ms at most: newer ones may have come by then. Whether that were all for which nothing is missing.
    fn see_to_waiting(&mut self, shared: &mut Shared, out: &mut Outputs) -> Result<bool, Fault> {
        let _edge = gantry_copies::edge("frames");
        let started = Instant::now();
        let mut is_done = false;
        while !is_done && self.rows.len() < shared.params.max_batch && started.elapsed() < PROMPT {
            if let Some(looked) = self.looker.looked()? {
                self.take_look(shared, looked, out);
            }
            let (looker, blocked) = (&self.looker, &self.blocked);
            let is_ready = |row: &FrameRow| !looker.holds(&row.source) && !blocked.contains(&row.source);
            match shared.waiting.take_ready(is_ready) {
                None => is_done = true,
                Some((place, since, frame)) => {
                    if let Some(frame) = self.see_to(shared, frame, started, out)? {
                        self.blocked.push(frame.source.clone());
                        shared.waiting.put_back(place, since, frame);
                    }
                }
            }
        }
        out.count("busy_us", started.elapsed().as_micros() as u64);
        Ok(is_done)
    }

    fn send(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        out.count("boxes", self.rows.iter().map(|row| row.detections.len() as u64).sum());
        out.send("detections", &self.rows)?;
        self.rows.clear();
        self.since = None;
        Ok(())
    }

    /// Answers a frame, or begins to look at it. Returned is one that has to wait for the looker.
    fn see_to(&mut self, shared: &mut Shared, frame: FrameRow, now: Instant, out: &mut Outputs) -> Result<Option<FrameRow>, Fault> {
        if frame.end {
            self.forget(shared, &frame.source);
            self.rows.push(row_of(&frame));
            return Ok(None);
        }
        let Some(picture) = shared.acquire(&frame, out)? else { return Ok(None) };
        shared.check(&frame, picture.layout())?;
        match self.plan(shared, &frame, &picture, now)? {
            None => {
                let found = shared.still.as_ref().and_then(|still| still.found(&frame.source));
                self.rows.push(DetectionsRow { detections: found.unwrap_or_default().to_vec(), ..row_of(&frame) });
                out.count("still", 1);
            }
            Some(Plan::Windows(windows)) => {
                let row = self.glance(shared, &frame, &picture, &windows)?;
                self.rows.push(row);
                out.count("glances", 1);
                out.count("windows", windows.len() as u64);
                let is_due = self.glances.as_ref().is_some_and(|(_, glances)| glances.is_due(&frame.source, frame.pts_ns, now));
                if is_due && self.looker.is_idle() {
                    self.look(shared, frame, true, picture)?;
                }
            }
            // There is nothing to follow, and other cameras wait.
            Some(Plan::Nothing) if !self.looker.is_idle() || !shared.waiting.is_empty() => out.count("superseded", 1),
            Some(Plan::Nothing | Plan::Whole) if self.looker.is_idle() => self.look(shared, frame, false, picture)?,
            Some(Plan::Nothing | Plan::Whole) => return Ok(Some(frame)),
        }
        Ok(None)
    }

    /// What there is to do with a frame; `None` where nothing moved.
    fn plan(&mut self, shared: &mut Shared, frame: &FrameRow, picture: &Acquired, now: Instant) -> Result<Option<Plan>, Fault> {
        if let Some(still) = &mut shared.still
            && with_levels(picture, |levels| still.compare(frame, levels))?
        {
            return Ok(None);
        }
        let (Some((_, glances)), Some(still)) = (&mut self.glances, &shared.still) else { return Ok(Some(Plan::Whole)) };
        Ok(Some(glances.plan(&frame.source, frame.pts_ns, now, |part: &BoxXyxy| still.is_moving(&frame.source, part))))
    }

    /// Begins to look at the whole picture.
    fn look(&mut self, shared: &mut Shared, frame: FrameRow, is_answered: bool, picture: Acquired) -> Result<(), Fault> {
        if let Some(still) = &mut shared.still {
            still.look_began(&frame);
        }
        self.looker.look(Look { frame, is_answered }, picture, &shared.selection)
    }

    /// Takes what a look came to: the row that waited for it, and what the frames from now on are compared with.
    fn take_look(&mut self, shared: &mut Shared, looked: Looked, out: &mut Outputs) {
        let Looked { look: Look { frame, is_answered }, found, took } = looked;
        self.blocked.clear();
        out.count("busy_us", took.as_micros() as u64);
        out.busy("look", took, 1);
        out.count("looks", 1);
        let row = DetectionsRow { detections: detections(&found, &frame, &shared.described.classes, &shared.kinds), ..row_of(&frame) };
        if let Some(still) = &mut shared.still {
            still.look_over(&frame.source, &row.detections);
        }
        if let Some((_, glances)) = &mut self.glances {
            glances.looked(&frame.source, frame.pts_ns, &found, is_answered);
        }
        self.looker.reuse(found);
        if !is_answered {
            self.rows.push(row);
        }
    }

    /// Looks at parts of the picture.
    fn glance(&mut self, shared: &mut Shared, frame: &FrameRow, picture: &Acquired, parts: &[Window]) -> Result<DetectionsRow, Fault> {
        let mut row = row_of(frame);
        let (Some(((windows, pixels), glances)), Some(still)) = (&mut self.glances, &shared.still) else { return Ok(row) };
        let mut found = Vec::new();
        let pixels = pixels.windows(picture, parts)?;
        for part in parts {
            let in_part = windows.detect(pixels, *part, &shared.selection);
            found.extend_from_slice(in_part.map_err(|e| model_fault(&e))?);
        }
        let is_moving = |part: &BoxXyxy| still.is_moving(&frame.source, part);
        let all = glances.glanced(&frame.source, frame.pts_ns, &found, is_moving);
        row.detections = detections(&all, frame, &shared.described.classes, &shared.kinds);
        Ok(row)
    }

    fn forget(&mut self, shared: &mut Shared, camera: &str) {
        if let Some(still) = &mut shared.still {
            still.end(camera);
        }
        if let Some((_, glances)) = &mut self.glances {
            glances.end(camera);
        }
    }
}

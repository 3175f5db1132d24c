//! Frames for those who look. They are passed on with their tracks only while somebody asks for them, so that a page which nobody has open
//! costs the site nothing.

use gantry_messages::{FrameRow, TracksRow, WantedRow};
use gantry_node::{Context, Fault, Outputs};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Frames passed on, and the tracks of the same.
const VIEWS: &str = gantry_contract::PASSED_ON;
const TRACKS: &str = "view_tracks";

/// After that long without tracks frames are passed on as they come, ns.
const NO_TRACKS_NS: i64 = 1_000_000_000;
/// A frame so much older than the last is of a clock that was set back, ns.
const SET_BACK_NS: i64 = 10_000_000_000;

/// What is asked for, and what has gone out.
#[derive(Default)]
pub struct Views {
    frames_read: bool,
    tracks_read: bool,
    /// By camera; the empty name is for all.
    wishes: BTreeMap<String, Wish>,
    cameras: BTreeMap<String, Camera>,
    frames: Vec<FrameRow>,
    tracks: Vec<TracksRow>,
}

struct Wish {
    every_ns: u64,
    until: Instant,
}

/// Capture times, ns.
struct Camera {
    /// Of the last frame that was passed on.
    viewed: Option<i64>,
    /// Of the last frame that had tracks; before the first, of the first frame.
    tracked: i64,
}

impl Camera {
    fn is_due(&self, captured_ns: i64, every_ns: u64) -> bool {
        let passed = |last: i64| captured_ns.saturating_sub(last);
        let every = i64::try_from(every_ns).unwrap_or(i64::MAX);
        self.viewed.is_none_or(|last| passed(last) >= every || passed(last) < -SET_BACK_NS)
    }
}

impl Views {
    /// # Errors
    /// Somebody reads `views` and nobody can ask for them.
    pub fn new(context: &Context) -> Result<Self, Fault> {
        let [frames_read, tracks_read] = [VIEWS, TRACKS].map(|output| !context.consumers(output).is_empty());
        if (frames_read || tracks_read) && !context.inputs().iter().any(|edge| edge.input == "wanted" || edge.input.starts_with("wanted_"))
        {
            return Err(Fault::new(format!("`{VIEWS}` is read, and nobody can ask for it"))
                .hint("connect the output `wanted` of `preview` to the input `wanted` of this node; frames are passed on while they are asked for"));
        }
        Ok(Self { frames_read, tracks_read, ..Self::default() })
    }

    /// Somebody looks, or no longer.
    pub fn ask(&mut self, rows: Vec<WantedRow>, now: Instant) {
        for row in rows {
            if row.end {
                self.wishes.remove(&row.source);
            } else {
                self.wishes.insert(row.source, Wish { every_ns: row.every_ns, until: now + Duration::from_nanos(row.for_ns) });
            }
        }
    }

    /// Forgets wishes that were not said again.
    pub fn forget(&mut self, now: Instant) {
        self.wishes.retain(|_, wish| wish.until > now);
        if self.wishes.is_empty() {
            self.cameras.clear();
        }
    }

    /// Least time between two frames of a camera in ns, if somebody looks at it.
    fn every(&self, source: &str) -> Option<u64> {
        if self.wishes.is_empty() {
            return None;
        }
        let now = Instant::now();
        let wishes = [source, ""].into_iter().filter_map(|name| self.wishes.get(name));
        wishes.filter(|wish| wish.until > now).map(|wish| wish.every_ns).min()
    }

    fn camera(&mut self, row: &FrameRow) -> &mut Camera {
        self.cameras.entry(row.source.clone()).or_insert(Camera { viewed: None, tracked: row.captured_ns })
    }

    /// A frame has come. It waits for its tracks, if its camera has any.
    pub fn frame(&mut self, row: &FrameRow) {
        let Some(every_ns) = self.every(&row.source) else { return };
        let camera = self.camera(row);
        if row.captured_ns.saturating_sub(camera.tracked) >= NO_TRACKS_NS && camera.is_due(row.captured_ns, every_ns) {
            camera.viewed = Some(row.captured_ns);
            self.frames.push(row.clone());
        }
    }

    /// The tracks of a frame have come.
    pub fn both(&mut self, row: &FrameRow, tracks: &TracksRow) {
        let Some(every_ns) = self.every(&row.source) else { return };
        let camera = self.camera(row);
        camera.tracked = row.captured_ns;
        if camera.is_due(row.captured_ns, every_ns) {
            camera.viewed = Some(row.captured_ns);
            self.frames.push(row.clone());
            self.tracks.push(tracks.clone());
        }
    }

    /// The camera is over, which is said to those who do not look, too.
    pub fn end(&mut self, source: &str, frames: u64) {
        self.cameras.remove(source);
        if self.frames_read {
            self.frames.push(FrameRow { source: source.to_owned(), frame: frames, end: true, ..FrameRow::default() });
        }
    }

    /// # Errors
    /// As [`Outputs::send`].
    pub fn send(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        if self.frames_read {
            out.send(VIEWS, &self.frames)?;
        }
        if self.tracks_read {
            out.send(TRACKS, &self.tracks)?;
        }
        self.frames.clear();
        self.tracks.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_frames::Mode;

    const MS: i64 = 1_000_000;

    fn context(crop_inputs: serde_json::Value) -> Context {
        let preview = serde_json::json!({ "id": "preview", "inputs": { "views": "crop/views", "tracks": "crop/view_tracks" } });
        let graph = serde_json::json!({ "nodes": [{ "id": "crop", "inputs": crop_inputs }, preview] });
        Context::for_test("crop", Mode::Live, std::path::Path::new("/nowhere")).in_graph(graph).unwrap()
    }

    fn views() -> Views {
        Views::new(&context(serde_json::json!({ "frames": "decode/frames", "wanted": "preview/wanted" }))).unwrap()
    }

    fn wanted(source: &str, every_ms: u64) -> WantedRow {
        WantedRow { source: source.into(), every_ns: every_ms * MS as u64, for_ns: 2_000_000_000, ..WantedRow::default() }
    }

    /// Frame `number` of 25 a second, and whether it has tracks; its number and theirs if they go out.
    fn pass(views: &mut Views, source: &str, number: u64, has_tracks: bool) -> (Option<u64>, Option<u64>) {
        let row = FrameRow { source: source.into(), frame: number, captured_ns: 40 * MS * number as i64, ..FrameRow::default() };
        views.frame(&row);
        if has_tracks {
            views.both(&row, &TracksRow { source: source.into(), frame: number, ..TracksRow::default() });
        }
        let mut out = Outputs::collector();
        views.send(&mut out).unwrap();
        let (frames, tracks) = (out.taken::<FrameRow>(VIEWS), out.taken::<TracksRow>(TRACKS));
        (frames.first().map(|row| row.frame), tracks.first().map(|row| row.frame))
    }

    fn passed(views: &mut Views, source: &str, numbers: std::ops::Range<u64>, has_tracks: bool) -> Vec<u64> {
        numbers.filter_map(|number| pass(views, source, number, has_tracks).0).collect()
    }

    #[test]
    fn frames_go_out_with_their_tracks_as_often_as_asked_and_as_long() {
        let mut views = views();
        let start = Instant::now();
        assert!(passed(&mut views, "gate", 0..50, true).is_empty() && views.cameras.is_empty(), "nobody looks");
        views.ask(vec![wanted("gate", 75)], start);
        assert_eq!(pass(&mut views, "gate", 50, true), (Some(50), Some(50)));
        assert_eq!(passed(&mut views, "gate", 51..60, true), [52, 54, 56, 58]);
        assert!(passed(&mut views, "road", 50..60, true).is_empty());

        views.ask(vec![wanted("", 400), WantedRow { source: "gate".into(), end: true, ..WantedRow::default() }], start);
        assert_eq!((passed(&mut views, "road", 60..80, true), passed(&mut views, "gate", 60..80, true)), (vec![60, 70], vec![68, 78]));
        views.forget(start + Duration::from_millis(1900));
        assert!(!views.wishes.is_empty());
        views.forget(start + Duration::from_millis(2100));
        assert!(passed(&mut views, "road", 80..110, true).is_empty() && views.cameras.is_empty());
    }

    #[test]
    fn without_tracks_frames_go_out_alone_and_a_clock_may_be_set_back() {
        let mut views = views();
        views.ask(vec![wanted("gate", 75)], Instant::now());
        // Waits a second for tracks, and again when they stay away.
        assert_eq!(passed(&mut views, "gate", 1000..1030, false), [1025, 1027, 1029]);
        assert_eq!(pass(&mut views, "gate", 1031, true), (Some(1031), None), "it was gone when its tracks came");
        assert_eq!(pass(&mut views, "gate", 1033, true), (Some(1033), Some(1033)));
        assert_eq!(passed(&mut views, "gate", 1034..1062, false), [1058, 1060]);
        assert_eq!(pass(&mut views, "gate", 500, true), (Some(500), Some(500)));
        assert_eq!(pass(&mut views, "gate", 499, true), (None, None), "late");
    }

    #[test]
    fn an_end_is_told_and_who_reads_must_be_able_to_ask() {
        let mut views = views();
        views.end("gate", 7);
        assert!(views.frames[0].end && views.frames[0].frame == 7);
        let fault = Views::new(&context(serde_json::json!({ "frames": "decode/frames" }))).err().expect("refused");
        assert!(fault.message().contains("nobody can ask") && fault.hint_text().unwrap().contains("`wanted`"), "{fault}");
        let mut unread = Views::default();
        unread.end("gate", 7);
        assert!(unread.frames.is_empty());
    }
}

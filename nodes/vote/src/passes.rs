//! The passes of one camera: which reads belong together, and when a reading is due.

use crate::alignment::edit_distance;
use crate::clash::{self, differ};
use crate::consensus::Options;
use crate::segment::{FrameReads, MOST_FRAMES, Segment, Span, Trail, drop_lightest};
use crate::traffic::Traffic;
use gantry_messages::{CropText, ReadingRow, TracksRow};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::debug;

/// When a reading is sent.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How to vote.
    pub options: Options,
    /// Below this the pass has no reading.
    pub min_confidence: f32,
    /// Frames that must have been read.
    pub min_reads: u32,
    /// Frames in a row that must say the text before it is sent while the track goes on; `None`: only at its end.
    pub settle_frames: Option<u32>,
    /// Confidence from which a text can settle.
    pub settle_confidence: f32,
    /// Frames in a row that must surely say the text before `crop` is told that the track is decided; `None`: nobody is told.
    pub decide_frames: Option<u32>,
    /// Media time in ns within which a broken pass goes on.
    pub merge_ns: i64,
    /// Whether texts that stand still and that no sure vehicle carries are read too.
    pub boards: bool,
    /// Confidence from which a vehicle is sure.
    pub parked_vehicle_confidence: f32,
}

/// What became of passes, for the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passes with reads that were too few or too uncertain.
    pub abstained: u64,
    /// Tracks that were another part of a pass.
    pub merged: u64,
    /// Tracks with two plates one after the other.
    pub split: u64,
}

/// A track that is still followed.
#[derive(Clone, Debug)]
struct Live {
    span: Span,
    frames: Vec<FrameReads>,
    /// Text of the last frames and how many in a row say it. Of a decided track, which is read more seldom, a read stands for the frames before it.
    run: (String, u32),
    /// How many of the last frames say that text surely.
    sure_run: u32,
    /// Of the same text, the length of the run when it was last asked whether it is settled.
    asked: Option<u32>,
    /// The text that the track was decided with, as `crop` was told.
    decided: Option<String>,
    /// Plate width in px when the run began, and now.
    run_width: (f32, f32),
    /// Last frame whose tracks named it.
    listed_frame: u64,
    /// Last frame in which its plate was read.
    read_frame: u64,
    /// Key in `sent` once its reading is out.
    sent: Option<u64>,
}

/// A reading that is out.
#[derive(Clone, Debug)]
struct Sent {
    text: String,
    confidence: f32,
    frames_read: u32,
    first_pts_ns: i64,
    last_pts_ns: i64,
    trail: Trail,
}

/// State of one camera. Feed it with [`Passes::step`] in frame order.
#[derive(Clone, Debug)]
pub struct Passes {
    source: String,
    rules: Arc<Rules>,
    live: BTreeMap<u64, Live>,
    held: Vec<Segment>,
    /// Readings of the last minutes, by order of sending.
    sent: BTreeMap<u64, Sent>,
    next_sent: u64,
    /// Tracks that were decided since the last call, and those that no longer are.
    decided: Vec<(u64, bool)>,
    counts: Counts,
}

/// Frames after which a track that is neither named nor ended is over.
const UNLISTED_FRAMES: u64 = 100;

/// Most frames that one read of a decided track stands for.
const MOST_BETWEEN_READS: u64 = 10;

/// Reads from asking whether a text is sure to asking again: each costs a vote.
const ASK_EVERY: u32 = 4;

/// Longest time in ns that a reading waits for the end of a track that seems to be its other half.
const LONGEST_WAIT_NS: i64 = 10_000_000_000;

impl Passes {
    /// No passes yet.
    pub fn new(source: &str, rules: Arc<Rules>) -> Self {
        Self {
            source: source.to_owned(),
            rules,
            live: BTreeMap::new(),
            held: Vec::new(),
            sent: BTreeMap::new(),
            next_sent: 0,
            decided: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// New rules from the next frame on.
    pub fn set(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
    }

    /// Counts since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Tracks of which it was decided since the last call that more reads would hardly change their texts (`true`), or that they might after all.
    pub fn take_decided(&mut self) -> Vec<(u64, bool)> {
        std::mem::take(&mut self.decided)
    }

    /// One frame: its tracks and the texts read in it. Returns the readings that are due, in order.
    pub fn step(&mut self, tracks: &TracksRow, texts: Vec<CropText>) -> Vec<ReadingRow> {
        let mut due = Vec::new();
        for t in &tracks.tracks {
            let live = self.live.entry(t.track_id).or_insert_with(|| Live::new(t.track_id, tracks.frame, tracks.pts_ns));
            live.listed_frame = tracks.frame;
            if t.matched {
                live.span.traffic.add(t, self.rules.parked_vehicle_confidence);
                live.span.last_pts_ns = tracks.pts_ns;
                if let Some(sent) = live.sent.and_then(|k| self.sent.get_mut(&k)) {
                    sent.last_pts_ns = tracks.pts_ns;
                }
            }
        }
        for mut crop in texts {
            let id = crop.track_id;
            let live = self.live.entry(id).or_insert_with(|| Live::new(id, tracks.frame, tracks.pts_ns));
            let Some(reads) = FrameReads::of(tracks.frame, tracks.pts_ns, tracks.captured_ns, &mut crop, &self.rules.options) else {
                continue;
            };
            live.add(reads, live.sent.and_then(|k| self.sent.get(&k)).map(|s| s.text.as_str()));
            self.settle(id, &mut due);
            self.decide(id);
        }
        for id in &tracks.ended {
            self.end_track(*id);
        }
        // Live, the message that said so may have been dropped.
        let silent: Vec<u64> =
            self.live.iter().filter(|(_, l)| tracks.frame.saturating_sub(l.listed_frame) > UNLISTED_FRAMES).map(|(id, _)| *id).collect();
        for id in silent {
            self.end_track(id);
        }
        due.extend(self.release(Some(tracks.pts_ns)));
        due
    }

    /// Ends all tracks and returns everything that was held back.
    pub fn finish(&mut self) -> Vec<ReadingRow> {
        let ids: Vec<u64> = self.live.keys().copied().collect();
        for id in ids {
            self.end_track(id);
        }
        let due = self.release(None);
        self.sent.clear();
        due
    }

    /// Sends the reading of a track that goes on, if its text no longer changes.
    fn settle(&mut self, id: u64, due: &mut Vec<ReadingRow>) {
        let Some(wanted) = self.rules.settle_frames else { return };
        let Some(live) = self.live.get_mut(&id) else { return };
        let run = live.run.1;
        if live.sent.is_some() || run < wanted || live.asked.is_some_and(|asked| run < asked + ASK_EVERY) {
            return;
        }
        live.asked = Some(run);
        // A plate that still comes closer is read better in a moment.
        if live.run_width.1 > 1.15 * live.run_width.0 && run < 4 * wanted {
            return;
        }
        let Some(segment) = self.sure(id) else { return };
        let key = if let Some(key) = self.already_sent(&segment) {
            self.counts.merged += 1;
            key
        } else {
            let segment = self.with_held_parts(segment);
            if !self.worth_sending(&segment) {
                return;
            }
            due.push(segment.reading(&self.source));
            self.note_sent(&segment)
        };
        if let Some(live) = self.live.get_mut(&id) {
            live.sent = Some(key);
            live.frames.clear();
        }
    }

    /// Notes a track whose text is sure, also where it is not sent yet: while its plate comes closer, `crop` still reads it whenever it has become taller.
    /// One surely read other plate, and it is not: the tracker slipped to another vehicle.
    fn decide(&mut self, id: u64) {
        let Some(wanted) = self.rules.decide_frames else { return };
        let Some(live) = self.live.get_mut(&id) else { return };
        let text = &live.run.0;
        match &live.decided {
            None if live.sure_run >= wanted => {
                live.decided = Some(text.clone());
                self.decided.push((id, true));
            }
            Some(decided) if live.sure_run > 0 && differ(decided, text) => {
                live.decided = None;
                self.decided.push((id, false));
            }
            _ => {}
        }
    }

    /// The vote of a track that goes on, if it is certain and says what the last frames say.
    fn sure(&self, id: u64) -> Option<Segment> {
        let live = self.live.get(&id)?;
        let text = &live.run.0;
        if live.frames.last().is_none_or(|f| f.text != *text) || !cuts(&live.frames).is_empty() {
            return None;
        }
        let segment = Segment::vote(live.span.clone(), live.frames.clone(), &self.rules.options)?;
        let says_the_same = edit_distance(&segment.consensus.text, text) == 0 || looks_like(&segment.consensus.text, text);
        (says_the_same && segment.consensus.confidence >= self.rules.settle_confidence).then_some(segment)
    }

    /// A track is over: votes, cuts it where its text changed for good, and holds the result for its other half.
    fn end_track(&mut self, id: u64) {
        let Some(live) = self.live.remove(&id) else { return };
        let mut parts = live.parts();
        if live.sent.is_some() {
            // What is left are frames that say another text.
            parts.retain(|(_, frames)| frames.iter().filter(|f| f.confidence >= clash::SURE).count() >= clash::FRAMES);
            self.counts.split += parts.len() as u64;
        } else {
            self.counts.split += parts.len().saturating_sub(1) as u64;
        }
        for (span, frames) in parts {
            if frames.is_empty() {
                continue;
            }
            let Some(segment) = Segment::vote(span, frames, &self.rules.options) else {
                self.counts.abstained += 1;
                continue;
            };
            if let Some(key) = self.already_sent(&segment) {
                if let Some(sent) = self.sent.get_mut(&key) {
                    sent.last_pts_ns = sent.last_pts_ns.max(segment.span.last_pts_ns);
                }
                self.counts.merged += 1;
                continue;
            }
            let segment = self.with_held_parts(segment);
            self.held.push(segment);
        }
    }

    /// The reading that already stands for the pass of `segment`.
    fn already_sent(&self, segment: &Segment) -> Option<u64> {
        let other = Part::of(segment);
        let trail = segment.trail();
        self.sent.iter().find(|(_, s)| same_pass(&s.part(), &s.trail, &other, &trail, self.rules.merge_ns)).map(|(k, _)| *k)
    }

    /// Takes the held parts of the same pass into `segment`.
    fn with_held_parts(&mut self, mut segment: Segment) -> Segment {
        while let Some(i) =
            self.held.iter().position(|h| same_pass(&Part::of(h), &h.trail(), &Part::of(&segment), &segment.trail(), self.rules.merge_ns))
        {
            let held = self.held.remove(i);
            segment = held.joined(segment, &self.rules.options);
            self.counts.merged += 1;
        }
        segment
    }

    /// Held readings whose time has come (`None`: all), by last time and track.
    fn release(&mut self, now_ns: Option<i64>) -> Vec<ReadingRow> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let (due, held): (Vec<Segment>, Vec<Segment>) =
            std::mem::take(&mut self.held).into_iter().partition(|h| now_ns.is_none_or(|now| self.is_due(h, now)));
        self.held = held;
        let mut due = due;
        due.sort_by_key(|s| (s.span.last_pts_ns, s.span.track_id, s.span.first_frame));
        let mut readings = Vec::new();
        for segment in due {
            if self.worth_sending(&segment) {
                readings.push(segment.reading(&self.source));
                self.note_sent(&segment);
            } else {
                self.abstain(&segment);
            }
        }
        readings
    }

    fn is_due(&self, held: &Segment, now_ns: i64) -> bool {
        let until = held.span.last_pts_ns.saturating_add(self.rules.merge_ns);
        if now_ns <= until {
            return false;
        }
        // A track that began in time and reads much the same is likely the rest of this pass.
        let goes_on = self.live.values().any(|l| {
            l.sent.is_none()
                && l.span.first_pts_ns <= until
                && l.span.last_pts_ns >= held.span.first_pts_ns
                && edit_distance(&l.run.0, &held.consensus.text) <= 1
        });
        !goes_on || now_ns > until.saturating_add(LONGEST_WAIT_NS)
    }

    fn worth_sending(&self, segment: &Segment) -> bool {
        segment.consensus.confidence >= self.rules.min_confidence
            && segment.consensus.frames_read >= self.rules.min_reads
            && (self.rules.boards || !segment.span.traffic.is_board())
    }

    /// Counts a pass without a reading, and says at `debug` why it has none.
    fn abstain(&mut self, segment: &Segment) {
        self.counts.abstained += 1;
        let (span, says) = (&segment.span, &segment.consensus);
        let (board, frames_read, confidence) = (span.traffic.is_board(), says.frames_read, says.confidence);
        debug!(camera = self.source, track = span.track_id, text = says.text, confidence, frames_read, board, "a pass without a reading");
    }

    fn note_sent(&mut self, segment: &Segment) -> u64 {
        // What is too old to be continued is forgotten, or a camera's memory would grow for ever.
        let oldest = segment.span.last_pts_ns.saturating_sub(4 * (self.rules.merge_ns + LONGEST_WAIT_NS));
        let live = &self.live;
        self.sent.retain(|k, s| s.last_pts_ns >= oldest || live.values().any(|l| l.sent == Some(*k)));
        let part = Part::of(segment);
        let sent = Sent {
            text: segment.consensus.text.clone(),
            confidence: part.confidence,
            frames_read: part.frames_read,
            first_pts_ns: part.first_pts_ns,
            last_pts_ns: part.last_pts_ns,
            trail: segment.trail(),
        };
        let key = self.next_sent;
        self.next_sent += 1;
        self.sent.insert(key, sent);
        key
    }
}

impl Sent {
    fn part(&self) -> Part<'_> {
        Part {
            text: &self.text,
            confidence: self.confidence,
            frames_read: self.frames_read,
            first_pts_ns: self.first_pts_ns,
            last_pts_ns: self.last_pts_ns,
        }
    }
}

impl Live {
    fn new(track_id: u64, frame: u64, pts_ns: i64) -> Self {
        let span = Span { track_id, first_frame: frame, first_pts_ns: pts_ns, last_pts_ns: pts_ns, traffic: Traffic::default() };
        Self {
            span,
            frames: Vec::new(),
            run: (String::new(), 0),
            run_width: (0.0, 0.0),
            listed_frame: frame,
            sent: None,
            asked: None,
            sure_run: 0,
            decided: None,
            read_frame: frame,
        }
    }

    /// `sent`: the text that is out for this track; then only frames that say another one are kept.
    fn add(&mut self, reads: FrameReads, sent: Option<&str>) {
        if reads.text == self.run.0 {
            let between = reads.frame.saturating_sub(self.read_frame).clamp(1, MOST_BETWEEN_READS) as u32;
            self.run.1 += if self.decided.is_some() { between } else { 1 };
        } else {
            self.run = (reads.text.clone(), 1);
            self.asked = None;
            self.run_width.0 = reads.bbox.width();
        }
        self.read_frame = reads.frame;
        self.sure_run = if reads.confidence >= clash::SURE { (self.sure_run + 1).min(self.run.1) } else { 0 };
        self.run_width.1 = reads.bbox.width();
        if sent.is_some_and(|text| !differ(text, &reads.text)) {
            return;
        }
        self.frames.push(reads);
        if self.frames.len() > MOST_FRAMES {
            drop_lightest(&mut self.frames);
        }
    }

    /// The frames, cut where the text changes for good.
    fn parts(&self) -> Vec<(Span, Vec<FrameReads>)> {
        let cuts = cuts(&self.frames);
        let mut parts = Vec::with_capacity(cuts.len() + 1);
        let mut start = 0;
        for end in cuts.iter().copied().chain([self.frames.len()]) {
            let frames = self.frames[start..end].to_vec();
            let mut span = self.span.clone();
            if let (Some(first), true) = (frames.first(), start > 0 || self.sent.is_some()) {
                (span.first_frame, span.first_pts_ns) = (first.frame, first.pts_ns);
            }
            if let (Some(last), true) = (frames.last(), end < self.frames.len()) {
                span.last_pts_ns = last.pts_ns;
            }
            parts.push((span, frames));
            start = end;
        }
        parts
    }
}

fn cuts(frames: &[FrameReads]) -> Vec<usize> {
    let texts: Vec<(&str, f32)> = frames.iter().map(|f| (f.text.as_str(), f.confidence)).collect();
    clash::cuts(&texts)
}

/// Same length and at most two positions apart: look-alikes that the layout decided.
fn looks_like(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).filter(|(x, y)| x != y).count() <= 2
}

/// What decides whether two parts are one pass.
struct Part<'a> {
    text: &'a str,
    confidence: f32,
    frames_read: u32,
    first_pts_ns: i64,
    last_pts_ns: i64,
}

impl<'a> Part<'a> {
    fn of(segment: &'a Segment) -> Self {
        Self {
            text: &segment.consensus.text,
            confidence: segment.consensus.confidence,
            frames_read: segment.consensus.frames_read,
            first_pts_ns: segment.span.first_pts_ns,
            last_pts_ns: segment.span.last_pts_ns,
        }
    }
}

/// Whether two parts are one pass of one vehicle: they overlap in time or follow within `merge_ns`, and
/// - say the same text, or
/// - say it but for two edits (more, if one of them is weak and they are not clearly different plates; a fragment of it) at a
///   place that fits the motion. Fleet vehicles with numbers in a row differ by one character too, but are not in the same
///   place.
fn same_pass(a: &Part<'_>, a_trail: &Trail, b: &Part<'_>, b_trail: &Trail, merge_ns: i64) -> bool {
    let ((first, first_trail), (second, second_trail)) =
        if a.first_pts_ns <= b.first_pts_ns { ((a, a_trail), (b, b_trail)) } else { ((b, b_trail), (a, a_trail)) };
    if second.first_pts_ns > first.last_pts_ns.saturating_add(merge_ns) {
        return false;
    }
    let edits = edit_distance(a.text, b.text);
    if edits == 0 {
        return true;
    }
    let (weak, strong) = if (a.frames_read, a.confidence) <= (b.frames_read, b.confidence) { (a, b) } else { (b, a) };
    let is_weak = weak.confidence < 0.8 || weak.frames_read * 3 <= strong.frames_read;
    let fragment = weak.text.len() < strong.text.len() && strong.text.contains(weak.text);
    let alike = edits <= 2 || (is_weak && !differ(a.text, b.text)) || fragment;
    alike && first_trail.leads_to(second_trail)
}

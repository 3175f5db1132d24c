//! The passes of one camera: which reads belong together, and when a reading is due.

use crate::alignment::edit_distance;
use crate::clash::{self, differ};
use crate::consensus::Options;
use crate::segment::{FrameReads, MOST_FRAMES, Segment, Span, Trail, drop_lightest};
use crate::traffic::Traffic;
use gantry_messages::{CropText, ReadingRow, TracksRow};
use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// Text of the last frames and how many in a row say it.
    run: (String, u32),
    /// Plate width in px when the run began, and now.
    run_width: (f32, f32),
    /// Last frame whose tracks named it.
    listed_frame: u64,
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
    counts: Counts,
}

/// Frames after which a track that is neither named nor ended is over.
const UNLISTED_FRAMES: u64 = 100;

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
        let Some(live) = self.live.get(&id) else { return };
        let (text, run) = &live.run;
        // Asking again with every frame would cost a vote each; every fourth is enough.
        if live.sent.is_some() || *run < wanted || (*run - wanted) % 4 != 0 || live.frames.last().is_none_or(|f| f.text != *text) {
            return;
        }
        // A plate that still comes closer is read better in a moment.
        if live.run_width.1 > 1.15 * live.run_width.0 && *run < 4 * wanted {
            return;
        }
        if !cuts(&live.frames).is_empty() {
            return;
        }
        let Some(segment) = Segment::vote(live.span.clone(), live.frames.clone(), &self.rules.options) else { return };
        if segment.consensus.confidence < self.rules.settle_confidence
            || edit_distance(&segment.consensus.text, text) > 0 && !looks_like(&segment.consensus.text, text)
        {
            return;
        }
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
                self.counts.abstained += 1;
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
        Self { span, frames: Vec::new(), run: (String::new(), 0), run_width: (0.0, 0.0), listed_frame: frame, sent: None }
    }

    /// `sent`: the text that is out for this track; then only frames that say another one are kept.
    fn add(&mut self, reads: FrameReads, sent: Option<&str>) {
        if reads.text == self.run.0 {
            self.run.1 += 1;
        } else {
            self.run = (reads.text.clone(), 1);
            self.run_width.0 = reads.bbox.width();
        }
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

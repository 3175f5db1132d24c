//! The frames of one pass in which its plate was read.

use crate::consensus::{Consensus, Options, consensus};
use crate::read::{Read, is_original};
use crate::traffic::Traffic;
use gantry_messages::{BoxXyxy, CropText, ReadingRow};

/// Frames kept per track; beyond them the lightest goes.
pub const MOST_FRAMES: usize = 240;

/// One frame's reads of one plate.
#[derive(Clone, Debug)]
pub struct FrameReads {
    /// Frame number.
    pub frame: u64,
    /// Media time in ns.
    pub pts_ns: i64,
    /// Wall clock in ns.
    pub captured_ns: i64,
    /// Plate in source pixels.
    pub bbox: BoxXyxy,
    /// Legibility of the crop.
    pub legibility: f32,
    /// JPEG of the crop, where there is one.
    pub evidence: Vec<u8>,
    /// JPEG of the whole frame, where there is one.
    pub overview: Vec<u8>,
    /// One per variant.
    pub reads: Vec<Read>,
    /// Heaviest text of this frame.
    pub text: String,
    /// Highest confidence with which it was read.
    pub confidence: f32,
    /// Weight of the heaviest read.
    pub weight: f64,
}

impl FrameReads {
    /// Takes the reads of one crop; `None` if none of them takes part.
    pub fn of(frame: u64, pts_ns: i64, captured_ns: i64, crop: &mut CropText, options: &Options) -> Option<Self> {
        let reads: Vec<Read> = crop
            .reads
            .iter()
            .filter(|r| options.variants || is_original(&r.variant))
            .map(|r| Read::of(frame, crop, r))
            .filter(|r| !r.characters.is_empty())
            .collect();
        let mut texts: Vec<(String, f64, f32)> = Vec::with_capacity(reads.len());
        let mut weight = 0.0_f64;
        for r in &reads {
            let (text, w) = (r.text(), r.weight(options.variant_weight));
            weight = weight.max(w);
            match texts.iter_mut().find(|(t, _, _)| *t == text) {
                Some((_, sum, best)) => {
                    *sum += w;
                    *best = best.max(r.confidence);
                }
                None => texts.push((text, w, r.confidence)),
            }
        }
        let (text, _, confidence) = texts.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        Some(Self {
            frame,
            pts_ns,
            captured_ns,
            bbox: crop.bbox_in_source,
            legibility: crop.legibility,
            evidence: std::mem::take(&mut crop.evidence),
            overview: std::mem::take(&mut crop.overview),
            reads,
            text,
            confidence,
            weight,
        })
    }
}

/// When and where a pass took place.
#[derive(Clone, Debug)]
pub struct Span {
    /// Track whose id the reading bears.
    pub track_id: u64,
    /// First frame of the pass.
    pub first_frame: u64,
    /// Its media time in ns.
    pub first_pts_ns: i64,
    /// Media time in ns of the last frame in which it was seen.
    pub last_pts_ns: i64,
    /// Whether it moved and had a vehicle around it.
    pub traffic: Traffic,
}

/// A pass with all of its reads and what they say together.
#[derive(Clone, Debug)]
pub struct Segment {
    /// When.
    pub span: Span,
    /// The reads, by frame.
    pub frames: Vec<FrameReads>,
    /// What they say.
    pub consensus: Consensus,
}

impl Segment {
    /// Votes over `frames`; `None` if there is no text among them.
    pub fn vote(span: Span, frames: Vec<FrameReads>, options: &Options) -> Option<Self> {
        let consensus = vote(&frames, options)?;
        Some(Self { span, frames, consensus })
    }

    /// Both parts of one pass as one. The id is that of the earlier part.
    pub fn joined(self, other: Self, options: &Options) -> Self {
        let key = |s: &Self| (s.span.first_pts_ns, s.span.track_id);
        let (a, b) = if key(&self) <= key(&other) { (self, other) } else { (other, self) };
        let fallback = if a.consensus.confidence >= b.consensus.confidence { a.consensus.clone() } else { b.consensus.clone() };
        let mut frames = a.frames;
        // Both tracks may have had this plate in one frame: the heavier read stays.
        for f in b.frames {
            match frames.iter_mut().find(|x| x.frame == f.frame) {
                Some(x) if f.weight > x.weight => *x = f,
                Some(_) => {}
                None => frames.push(f),
            }
        }
        frames.sort_by_key(|f| f.frame);
        while frames.len() > MOST_FRAMES {
            drop_lightest(&mut frames);
        }
        let span = Span { last_pts_ns: a.span.last_pts_ns.max(b.span.last_pts_ns), traffic: a.span.traffic.with(b.span.traffic), ..a.span };
        let consensus = vote(&frames, options).unwrap_or(fallback);
        Self { span, frames, consensus }
    }

    /// Where the plate was when.
    pub fn trail(&self) -> Trail {
        Trail::of(&self.frames)
    }

    /// The message.
    pub fn reading(&self, source: &str) -> ReadingRow {
        // The most legible picture among the frames that say the text, or nearly so.
        let near = |f: &&FrameReads| crate::alignment::edit_distance(&f.text, &self.consensus.text) <= 2;
        let with_picture = || self.frames.iter().filter(|f| !f.evidence.is_empty());
        // One that shows the whole frame, too, where there is one.
        let clearest = |a: &'_ FrameReads, b: &'_ FrameReads| {
            let with_overview = (!a.overview.is_empty()).cmp(&!b.overview.is_empty());
            with_overview.then(a.legibility.total_cmp(&b.legibility)).then(b.frame.cmp(&a.frame))
        };
        let shown = with_picture()
            .filter(near)
            .max_by(|a, b| clearest(a, b))
            .or_else(|| with_picture().max_by(|a, b| clearest(a, b)))
            .or_else(|| self.frames.iter().max_by(|a, b| clearest(a, b)));
        ReadingRow {
            source: source.to_owned(),
            frame: self.frames.last().map_or(self.span.first_frame, |f| f.frame),
            end: false,
            track_id: self.span.track_id,
            plate: self.consensus.text.clone(),
            confidence: self.consensus.confidence,
            first_frame: self.span.first_frame,
            first_pts_ns: self.span.first_pts_ns,
            last_pts_ns: self.span.last_pts_ns,
            captured_ns: shown.map_or(0, |f| f.captured_ns),
            syntax: self.consensus.syntax.clone(),
            frames_read: self.consensus.frames_read,
            reads: self.consensus.reads,
            votes: self.consensus.votes.clone(),
            evidence_frame: shown.map_or(0, |f| f.frame),
            bbox_in_source: shown.map_or_else(BoxXyxy::default, |f| f.bbox),
            evidence: shown.map_or_else(Vec::new, |f| f.evidence.clone()),
            overview: shown.map_or_else(Vec::new, |f| f.overview.clone()),
        }
    }
}

/// Consensus over all reads of these frames.
pub fn vote(frames: &[FrameReads], options: &Options) -> Option<Consensus> {
    let reads: Vec<Read> = frames.iter().flat_map(|f| f.reads.iter().cloned()).collect();
    consensus(&reads, options)
}

/// Removes the frame with the smallest weight, the earliest among equals.
pub fn drop_lightest(frames: &mut Vec<FrameReads>) {
    let lightest = frames.iter().enumerate().min_by(|a, b| a.1.weight.total_cmp(&b.1.weight).then(a.0.cmp(&b.0))).map(|(i, _)| i);
    if let Some(i) = lightest {
        frames.remove(i);
    }
}

/// Centre and width of a plate over time.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    points: Vec<(i64, f32, f32, f32)>,
}

impl Trail {
    /// From the boxes of `frames`.
    pub fn of(frames: &[FrameReads]) -> Self {
        let points = frames
            .iter()
            .map(|f| {
                let (x, y) = f.bbox.center();
                (f.pts_ns, x, y, f.bbox.width())
            })
            .collect();
        Self { points }
    }

    /// Whether a plate that starts `other` may be this one going on: it is then within three widths of where this one was
    /// at that time or would be by now at the speed of its last frames, half as much again for each second in between.
    pub fn leads_to(&self, other: &Self) -> bool {
        let (Some(&(t, x, y, w)), Some(&last)) = (other.points.first(), self.points.last()) else { return false };
        let (ex, ey, ew) = if t <= last.0 {
            let nearest = self.points.iter().min_by_key(|p| (p.0 - t).abs()).copied().unwrap_or(last);
            (nearest.1, nearest.2, nearest.3)
        } else {
            let before = self.points[self.points.len().saturating_sub(6)];
            let seconds = |ns: i64| ns as f32 / 1e9;
            let (dt, ahead) = (seconds(last.0 - before.0), seconds(t - last.0));
            let (vx, vy) = if dt > 0.0 { ((last.1 - before.1) / dt, (last.2 - before.2) / dt) } else { (0.0, 0.0) };
            (last.1 + vx * ahead, last.2 + vy * ahead, last.3 * (1.0 + 0.5 * ahead))
        };
        (ex - x).hypot(ey - y) <= 3.0 * ew.max(w).max(1.0)
    }
}

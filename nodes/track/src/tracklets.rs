//! The boxes of one kind: which detection continues which box of the frame before.

use crate::assignment::assign;
use crate::kalman::{BoxFilter, Noise};
use gantry_messages::BoxXyxy;

/// A detected box of the kind that is tracked.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// Source pixels.
    pub bbox: BoxXyxy,
    /// Score.
    pub confidence: f32,
}

/// How detections find their tracklets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Motion of each box by a Kalman filter; sure detections first, then doubtful ones; the best assignment of all
    /// (Zhang et al., "ByteTrack", ECCV 2022).
    #[default]
    ByteTrack,
    /// No motion: the oldest tracklet takes the nearest box to its last one, then the next (Bochinski et al., "High-speed
    /// tracking-by-detection without using image information", AVSS 2017). Other than there, a tracklet outlives missed
    /// frames where it was last seen.
    Iou,
}

/// Thresholds of one set of tracklets.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How detections find their tracklets.
    pub method: Method,
    /// Detections from here on are matched first and may start a tracklet.
    pub high_confidence: f32,
    /// Detections from here on may continue a tracklet that was seen in the frame before.
    pub low_confidence: f32,
    /// Frames without a match after which a tracklet ends.
    pub max_lost_frames: u64,
    /// Matches before a tracklet counts.
    pub min_hits: u32,
    /// How boxes are compared.
    pub measure: Measure,
    /// Noise of the filter.
    pub noise: Noise,
}

/// Cost of calling two boxes the same object.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// `1 - IoU` of both boxes grown by a tenth of their size per side; pairs below `match_iou` are not made.
    Overlap {
        /// Smallest IoU of a match.
        match_iou: f64,
    },
    /// Distance of the centres in lengths of the plate. Plates of 30 x 8 px that move by their own height have no overlap
    /// at all, while two different plates are at least a vehicle's width, some three plates, apart.
    Centres {
        /// Largest distance of a match once the motion is known.
        known: f64,
        /// Largest distance before (first three frames).
        unknown: f64,
    },
}

/// One object through the frames in which the detector saw it.
#[derive(Clone, Debug)]
pub struct Tracklet {
    /// Unique in its set, in order of birth.
    pub key: u64,
    /// Last detected box.
    pub bbox: BoxXyxy,
    /// Score of the last detected box.
    pub confidence: f32,
    /// Frames in which it was matched.
    pub hits: u32,
    /// Frames since the last match; 0 if matched in this frame.
    pub lost_frames: u64,
    filter: BoxFilter,
    min_hits: u32,
}

impl Tracklet {
    /// Whether it was matched in this frame.
    pub fn matched(&self) -> bool {
        self.lost_frames == 0
    }

    /// Whether it was matched often enough to count.
    pub fn confirmed(&self) -> bool {
        self.hits >= self.min_hits
    }

    /// The detected box, or where it should be by now.
    pub fn position(&self) -> BoxXyxy {
        if self.matched() { self.bbox } else { self.filter.bbox() }
    }
}

/// The tracklets of one kind (vehicles, or plates) of one camera.
#[derive(Clone, Debug)]
pub struct Tracklets {
    settings: Settings,
    living: Vec<Tracklet>,
    next_key: u64,
}

impl Tracklets {
    /// None yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, living: Vec::new(), next_key: 1 }
    }

    /// New thresholds from the next frame on.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        for t in &mut self.living {
            t.min_hits = settings.min_hits;
        }
    }

    /// Ends all tracklets.
    pub fn clear(&mut self) {
        self.living.clear();
    }

    /// Living tracklets by key.
    pub fn living(&self) -> &[Tracklet] {
        &self.living
    }

    /// The living tracklet of that key.
    pub fn get(&self, key: u64) -> Option<&Tracklet> {
        self.living.binary_search_by_key(&key, |t| t.key).ok().map(|i| &self.living[i])
    }

    /// Takes in the detections of the next frame.
    ///
    /// `frames`: frames since the last call, 1 if none was missed. `hint(key)`: a second opinion on where a tracklet is now
    /// (a plate moves with its vehicle). `picture`: width and height of the source; a lost tracklet whose centre has left
    /// it ends at once.
    pub fn step(&mut self, observations: &[Observation], frames: u64, picture: (f32, f32), hint: impl Fn(u64) -> Option<BoxXyxy>) {
        let (high, low): (Vec<usize>, Vec<usize>) = (0..observations.len())
            .filter(|&i| observations[i].confidence >= self.settings.low_confidence)
            .partition(|&i| observations[i].confidence >= self.settings.high_confidence);
        let mut taken = vec![false; observations.len()];
        let mut matches: Vec<Option<usize>> = vec![None; self.living.len()];
        match self.settings.method {
            Method::ByteTrack => {
                for t in &mut self.living {
                    if t.lost_frames > 0 {
                        t.filter.freeze_size();
                    }
                    t.filter.predict(frames);
                }
                let established = |t: &Tracklet| t.confirmed();
                let recent = |t: &Tracklet| t.confirmed() && t.lost_frames == 0;
                let tentative = |t: &Tracklet| !t.confirmed();
                // First the sure detections, then the doubtful ones for what was seen just before, last the newcomers.
                self.associate(observations, &high, &mut taken, &mut matches, established, &hint);
                self.associate(observations, &low, &mut taken, &mut matches, recent, &hint);
                self.associate(observations, &high, &mut taken, &mut matches, tentative, &hint);
                self.associate(observations, &low, &mut taken, &mut matches, tentative, &hint);
            }
            Method::Iou => self.take_nearest(observations, &mut taken, &mut matches),
        }

        for (t, found) in self.living.iter_mut().zip(&matches) {
            if let Some(i) = found {
                let seen = observations[*i];
                match self.settings.method {
                    Method::ByteTrack => {
                        t.filter.update(&seen.bbox, if seen.confidence >= self.settings.high_confidence { 1.0 } else { 0.5 });
                    }
                    // At rest where it was seen.
                    Method::Iou => t.filter = BoxFilter::new(&seen.bbox, self.settings.noise),
                }
                t.bbox = seen.bbox;
                t.confidence = seen.confidence;
                t.hits += 1;
                t.lost_frames = 0;
            } else {
                t.lost_frames += frames;
            }
        }
        let settings = self.settings;
        self.living.retain(|t| {
            let (cx, cy) = t.filter.bbox().center();
            let gone = t.lost_frames >= 3 && !BoxXyxy::new(0.0, 0.0, picture.0, picture.1).contains(cx, cy);
            let patience = if t.confirmed() { settings.max_lost_frames } else { 2.min(settings.max_lost_frames) };
            t.lost_frames <= patience && !gone
        });
        for &i in &high {
            if taken[i] || self.is_double(&observations[i]) {
                continue;
            }
            let seen = observations[i];
            self.living.push(Tracklet {
                key: self.next_key,
                bbox: seen.bbox,
                confidence: seen.confidence,
                hits: 1,
                lost_frames: 0,
                filter: BoxFilter::new(&seen.bbox, settings.noise),
                min_hits: settings.min_hits,
            });
            self.next_key += 1;
        }
    }

    /// A detection that lies on a box matched in this frame is that object once more, not a new one.
    fn is_double(&self, seen: &Observation) -> bool {
        self.living.iter().any(|t| t.matched() && t.bbox.iou(&seen.bbox) > 0.6)
    }

    /// [`Method::Iou`]: one tracklet after the other, the oldest first.
    fn take_nearest(&self, observations: &[Observation], taken: &mut [bool], matches: &mut [Option<usize>]) {
        for (t, found) in self.living.iter().zip(matches) {
            let mut nearest: Option<(f64, usize)> = None;
            for (i, seen) in observations.iter().enumerate() {
                if taken[i] || seen.confidence < self.settings.low_confidence {
                    continue;
                }
                let cost = self.cost(t, None, seen);
                if cost <= 1.0 && nearest.is_none_or(|(least, _)| cost < least) {
                    nearest = Some((cost, i));
                }
            }
            if let Some((_, i)) = nearest {
                taken[i] = true;
                *found = Some(i);
            }
        }
    }

    fn associate(
        &self,
        observations: &[Observation],
        candidates: &[usize],
        taken: &mut [bool],
        matches: &mut [Option<usize>],
        eligible: impl Fn(&Tracklet) -> bool,
        hint: &impl Fn(u64) -> Option<BoxXyxy>,
    ) {
        let rows: Vec<usize> = (0..self.living.len()).filter(|&i| matches[i].is_none() && eligible(&self.living[i])).collect();
        let columns: Vec<usize> = candidates.iter().copied().filter(|&i| !taken[i]).collect();
        let hints: Vec<Option<BoxXyxy>> = rows.iter().map(|&r| hint(self.living[r].key)).collect();
        let found =
            assign(rows.len(), columns.len(), 1.0, |r, c| self.cost(&self.living[rows[r]], hints[r].as_ref(), &observations[columns[c]]));
        for (row, column) in found.into_iter().enumerate() {
            if let Some(column) = column {
                matches[rows[row]] = Some(columns[column]);
                taken[columns[column]] = true;
            }
        }
    }

    /// Cost in units of the limit: above 1 the pair is not made.
    fn cost(&self, t: &Tracklet, hint: Option<&BoxXyxy>, seen: &Observation) -> f64 {
        let predicted = t.filter.bbox();
        let by = |b: &BoxXyxy, known: bool| match self.settings.measure {
            Measure::Overlap { match_iou } => (1.0 - f64::from(grown(b).iou(&grown(&seen.bbox)))) / (1.0 - match_iou).max(1e-6),
            Measure::Centres { known: near, unknown: far } => centre_cost(b, &seen.bbox, if known { near } else { far }),
        };
        // The frame-to-frame distance counts as well: a filter that overshoots after a stop must not lose a standing box.
        let mut cost = by(&predicted, t.hits >= 3);
        if t.lost_frames <= 1 {
            cost = cost.min(by(&t.bbox, t.hits >= 3) + 0.1);
        }
        if let Some(b) = hint {
            cost = cost.min(by(b, true));
        }
        cost
    }
}

fn grown(b: &BoxXyxy) -> BoxXyxy {
    let (dx, dy) = (b.width() * 0.1, b.height() * 0.1);
    BoxXyxy::new(b.x0 - dx, b.y0 - dy, b.x1 + dx, b.y1 + dy)
}

fn centre_cost(a: &BoxXyxy, b: &BoxXyxy, limit: f64) -> f64 {
    let ((ax, ay), (bx, by)) = (a.center(), b.center());
    // Two-row plates are square-like: twice the height stands for the length.
    let length = |x: &BoxXyxy| f64::from(x.width().max(2.0 * x.height()).max(1.0));
    let (la, lb) = (length(a), length(b));
    let distance = f64::from((ax - bx).hypot(ay - by)) / (0.5 * (la + lb));
    // A plate of twice the length is another plate; a tenth more or less is noise.
    let size = (la / lb).ln().abs() / std::f64::consts::LN_2;
    distance / limit + (size - 0.15).max(0.0) * 0.8
}

//! Live, where there is no time for whole pictures: plates that are known are looked for near where they were, which takes a tenth of the time.
//!
//! A camera's picture is looked at whole every `look_every_ms`, as far as there is time for it. Its other frames, and those that come while a look goes on, get a glance: a window around each plate of the last look around
//! which something moved, as far as it may have come since. What is found there goes on with that plate and begins no other. A vehicle moves with its plate;
//! what did not move is where it was; of a vehicle that moves without a plate a glance says nothing, as of one that the model missed.
//!
//! Glances begin when frames are left out, and end [`PRESSED`] after the last that was.

use gantry_inference::{RawDetection, Window};
use gantry_messages::{BoxXyxy, Kind};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Glances go on for so long after a frame was left out. Then whole pictures are tried again.
pub const PRESSED: Duration = Duration::from_secs(20);
/// Plates below this score are not followed: many are boards and grilles, and `crop` reads none below 0.75.
const FOLLOWED: f32 = 0.65;
/// A plate is looked for within this part of the picture's width around the place where it should be by now: 32 px of 960.
const REACH: f32 = 1.0 / 30.0;
/// A plate that was seen once is looked for in so many times the reach at most, by the time that has gone by since.
const MOST_REACH: f32 = 3.0;
/// Between two frames of a usual camera, in ns.
const FRAME_NS: f32 = 1e9 / 30.0;
/// Windows of more than this part of the picture are no glance.
const MOST_AREA: f32 = 0.2;
/// A plate that this many glances in a row did not find is no longer looked for.
const MOST_MISSED: u32 = 3;

/// What to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The whole picture.
    Whole,
    /// These parts of it.
    Windows(Vec<Window>),
    /// There is no plate to follow.
    Nothing,
}

/// What is known of all cameras.
#[derive(Debug)]
pub struct Glances {
    picture_px: (usize, usize),
    step: usize,
    every: Duration,
    cameras: BTreeMap<String, Known>,
    pressed: Option<Instant>,
}

#[derive(Debug, Default)]
struct Known {
    /// Number of the last frame.
    newest: Option<u64>,
    /// Media time of the last look in ns.
    looked_ns: i64,
    seen_ns: i64,
    plates: Vec<Plate>,
    vehicles: Vec<RawDetection>,
    /// A look was over when later frames had been answered already: no row has told yet what glances do not see.
    is_news: bool,
}

#[derive(Clone, Debug)]
struct Plate {
    /// As the last look found it.
    looked: RawDetection,
    /// Where it was seen last, and how it moves, in px/s.
    bbox: BoxXyxy,
    /// `None`: seen once.
    speed: Option<(f32, f32)>,
    seen_ns: i64,
    missed: u32,
    /// Index of the vehicle that carries it.
    vehicle: Option<usize>,
    /// Whether the glance that is under way looks for it.
    is_looked_for: bool,
}

impl Plate {
    /// Where it will be at that media time.
    fn expected(&self, at_ns: i64) -> BoxXyxy {
        let s = (at_ns - self.seen_ns) as f32 / 1e9;
        let (x, y) = self.speed.unwrap_or_default();
        moved(&self.bbox, x * s, y * s)
    }

    /// How far from there it may be, where `reach` is enough for the next frame. One that was seen once may have gone anywhere since.
    fn reach(&self, reach: f32, at_ns: i64) -> f32 {
        let frames = (at_ns - self.seen_ns) as f32 / FRAME_NS;
        if self.speed.is_some() { reach } else { reach * frames.clamp(1.0, MOST_REACH) }
    }
}

impl Glances {
    /// For pictures of that width and height, in windows of whole `step`s.
    #[must_use]
    pub fn new(picture_px: (usize, usize), step: usize, every: Duration) -> Self {
        Self { picture_px, step, every, cameras: BTreeMap::new(), pressed: None }
    }

    /// Another longest time between looks from now on; zero: no glances.
    pub fn set(&mut self, every: Duration) {
        self.every = every;
    }

    /// A frame came; those between it and the one before were left out on their way.
    pub fn came(&mut self, camera: &str, frame: u64, now: Instant) {
        let Some(known) = self.camera(camera) else { return };
        let is_gap = known.newest.is_some_and(|newest| frame > newest + 1);
        known.newest = Some(frame);
        if is_gap {
            self.left_out(now);
        }
    }

    /// A frame was left out at `now`.
    pub fn left_out(&mut self, now: Instant) {
        self.pressed = Some(now);
    }

    /// What a look found in the picture of that media time. `is_late`: that frame was answered with a glance, and others since.
    pub fn looked(&mut self, camera: &str, at_ns: i64, found: &[RawDetection], is_late: bool) {
        let Some(known) = (if is_late { self.cameras.get_mut(camera) } else { self.camera(camera) }) else { return };
        let before = std::mem::take(&mut known.plates);
        known.vehicles = found.iter().filter(|one| one.group != Kind::Plate as u8).copied().collect();
        let plates = found.iter().filter(|one| one.group == Kind::Plate as u8);
        known.plates = plates.map(|plate| of_look(plate, at_ns, &known.vehicles, &before, is_late)).collect();
        known.looked_ns = at_ns;
        known.is_news = is_late;
        if !is_late {
            known.seen_ns = at_ns;
        }
    }

    /// Whether it is time to look at the whole picture of that media time, whatever moves in it.
    #[must_use]
    pub fn is_due(&self, camera: &str, at_ns: i64, now: Instant) -> bool {
        let Some(known) = self.cameras.get(camera).filter(|_| self.is_pressed(now)) else { return true };
        u64::try_from(at_ns - known.looked_ns).map_or(Duration::MAX, Duration::from_nanos) >= self.every
    }

    /// Whether frames were left out not long ago.
    #[must_use]
    pub fn is_pressed(&self, now: Instant) -> bool {
        !self.every.is_zero() && self.pressed.is_some_and(|since| now.saturating_duration_since(since) < PRESSED)
    }

    /// What to do with the picture of that media time. `is_moving`: whether something moved in a part of it since the last look.
    pub fn plan(&mut self, camera: &str, at_ns: i64, now: Instant, is_moving: impl Fn(&BoxXyxy) -> bool) -> Plan {
        let (size, step, is_due) = (self.picture_px, self.step, self.is_due(camera, at_ns, now));
        if !self.is_pressed(now) {
            return Plan::Whole;
        }
        let Some(known) = self.cameras.get_mut(camera).filter(|known| at_ns > known.seen_ns) else { return Plan::Whole };
        let mut windows: Vec<Window> = Vec::new();
        for plate in &mut known.plates {
            let (expected, reach) = (plate.expected(at_ns), plate.reach(REACH * size.0 as f32, at_ns));
            plate.is_looked_for = plate.looked.confidence >= FOLLOWED && plate.missed < MOST_MISSED && is_moving(&expected);
            let around = BoxXyxy::new(expected.x0 - reach, expected.y0 - reach, expected.x1 + reach, expected.y1 + reach);
            windows.extend(Window::around(&around, step, size).filter(|_| plate.is_looked_for));
        }
        join(&mut windows);
        let area: usize = windows.iter().map(Window::area).sum();
        if windows.is_empty() {
            if is_due { Plan::Whole } else { Plan::Nothing }
        } else if area as f32 > MOST_AREA * (size.0 * size.1) as f32 {
            Plan::Whole
        } else {
            Plan::Windows(windows)
        }
    }

    /// What is in the picture for which [`Glances::plan`] had windows, in which `found` was found.
    pub fn glanced(&mut self, camera: &str, at_ns: i64, found: &[RawDetection], is_moving: impl Fn(&BoxXyxy) -> bool) -> Vec<RawDetection> {
        let reach = REACH * self.picture_px.0 as f32;
        let Some(known) = self.cameras.get_mut(camera) else { return Vec::new() };
        let is_news = std::mem::take(&mut known.is_news);
        let mut free: Vec<&RawDetection> = found.iter().filter(|one| one.group == Kind::Plate as u8).collect();
        let (mut all, mut shifts) = (Vec::new(), vec![None; known.vehicles.len()]);
        for plate in &mut known.plates {
            let expected = plate.expected(at_ns);
            if !plate.is_looked_for {
                // Where nothing moved it is where it was.
                if !is_moving(&plate.looked.bbox_in_input) {
                    all.push(plate.looked);
                } else if is_news {
                    all.push(RawDetection { bbox_in_input: expected, ..plate.looked });
                }
                continue;
            }
            let reach = plate.reach(reach, at_ns);
            let nearest = (0..free.len())
                .filter(|&i| goes_on(&expected, &free[i].bbox_in_input, reach))
                .min_by(|&a, &b| distance(&expected, &free[a].bbox_in_input).total_cmp(&distance(&expected, &free[b].bbox_in_input)));
            let Some(nearest) = nearest else {
                plate.missed += 1;
                continue;
            };
            let seen = free.swap_remove(nearest);
            plate.saw(seen.bbox_in_input, at_ns);
            all.push(*seen);
            if let Some(vehicle) = plate.vehicle {
                shifts[vehicle] = Some(between(&plate.looked.bbox_in_input, &plate.bbox));
            }
        }
        for (vehicle, shift) in known.vehicles.iter().zip(shifts) {
            match shift {
                Some((x, y)) => all.push(RawDetection { bbox_in_input: moved(&vehicle.bbox_in_input, x, y), ..*vehicle }),
                None => all.extend((is_news || !is_moving(&vehicle.bbox_in_input)).then_some(*vehicle)),
            }
        }
        known.seen_ns = at_ns;
        all.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        all
    }

    /// Forgets a camera that is over.
    pub fn end(&mut self, camera: &str) {
        self.cameras.remove(camera);
    }

    /// What is known of a camera, which is there from now on. Its name is copied once.
    fn camera(&mut self, camera: &str) -> Option<&mut Known> {
        if !self.cameras.contains_key(camera) {
            self.cameras.insert(camera.to_owned(), Known::default());
        }
        self.cameras.get_mut(camera)
    }
}

impl Plate {
    fn saw(&mut self, bbox: BoxXyxy, at_ns: i64) {
        let s = (at_ns - self.seen_ns) as f32 / 1e9;
        if s > 0.0 {
            let (x, y) = between(&self.bbox, &bbox);
            self.speed = Some((x / s, y / s));
        }
        (self.bbox, self.seen_ns, self.missed) = (bbox, at_ns, 0);
    }
}

/// A plate of a look, on the smallest vehicle around its middle. It goes on with the speed of the one before, and where the look `is_late` from the place where that was seen since.
fn of_look(plate: &RawDetection, at_ns: i64, vehicles: &[RawDetection], before: &[Plate], is_late: bool) -> Plate {
    let (x, y) = plate.bbox_in_input.center();
    let carriers = vehicles.iter().enumerate().filter(|(_, vehicle)| vehicle.bbox_in_input.contains(x, y));
    let smallest = carriers.min_by(|(_, a), (_, b)| a.bbox_in_input.area().total_cmp(&b.bbox_in_input.area()));
    let (bbox, vehicle) = (plate.bbox_in_input, smallest.map(|(index, _)| index));
    let new = Plate { looked: *plate, bbox, speed: None, seen_ns: at_ns, missed: 0, vehicle, is_looked_for: false };
    let same = before.iter().map(|old| (old, distance(&old.expected(at_ns), &bbox)));
    let same = same.filter(|(old, _)| goes_on(&old.expected(at_ns), &bbox, bbox.width()));
    match same.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
        Some((old, _)) if is_late && old.seen_ns >= at_ns => Plate { looked: new.looked, vehicle, ..old.clone() },
        Some((old, _)) => {
            let mut seen = old.clone();
            seen.saw(bbox, at_ns);
            Plate { speed: seen.speed, ..new }
        }
        None => new,
    }
}

/// Windows that cost less together than apart are one.
fn join(windows: &mut Vec<Window>) {
    let mut i = 0;
    while i < windows.len() {
        let cheaper = |j: &usize| windows[i].joined(&windows[*j]).area() <= windows[i].area() + windows[*j].area();
        match (i + 1..windows.len()).find(cheaper) {
            Some(j) => {
                let other = windows.swap_remove(j);
                windows[i] = windows[i].joined(&other);
                i = 0;
            }
            None => i += 1,
        }
    }
}

/// Whether a plate seen at `seen` may be the one that was expected at `expected`.
fn goes_on(expected: &BoxXyxy, seen: &BoxXyxy, reach: f32) -> bool {
    let grown = seen.width() / expected.width().max(1.0);
    distance(expected, seen) <= reach && (0.5..=2.0).contains(&grown)
}

fn distance(a: &BoxXyxy, b: &BoxXyxy) -> f32 {
    let (x, y) = between(a, b);
    x.hypot(y)
}

/// From the middle of `a` to that of `b`.
fn between(a: &BoxXyxy, b: &BoxXyxy) -> (f32, f32) {
    let ((ax, ay), (bx, by)) = (a.center(), b.center());
    (bx - ax, by - ay)
}

fn moved(b: &BoxXyxy, x: f32, y: f32) -> BoxXyxy {
    BoxXyxy::new(b.x0 + x, b.y0 + y, b.x1 + x, b.y1 + y)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const FRAME: i64 = 33 * MS;

    fn found(kind: Kind, confidence: f32, x: f32, y: f32, width: f32, height: f32) -> RawDetection {
        let bbox_in_input = BoxXyxy::new(x, y, x + width, y + height);
        RawDetection { class: kind as u32, group: kind as u8, confidence, bbox_in_input }
    }

    fn plate(x: f32, y: f32) -> RawDetection {
        found(Kind::Plate, 0.9, x, y, 50.0, 16.0)
    }

    fn car(x: f32, y: f32) -> RawDetection {
        found(Kind::Vehicle, 0.8, x, y, 200.0, 150.0)
    }

    /// A camera `gate` that was looked at at 0, and frames were left out.
    fn pressed(seen: &[RawDetection], now: Instant) -> Glances {
        let mut glances = Glances::new((960, 544), 32, Duration::from_millis(200));
        glances.looked("gate", 0, seen, false);
        glances.left_out(now);
        glances
    }

    #[test]
    fn whole_pictures_are_looked_at_while_there_is_time_and_again_when_it_is_due() {
        let now = Instant::now();
        let mut glances = Glances::new((960, 544), 32, Duration::from_millis(200));
        glances.looked("gate", 0, &[plate(400.0, 300.0)], false);
        let plan = |glances: &mut Glances, at_ns: i64, now: Instant| glances.plan("gate", at_ns, now, |_| true);
        assert_eq!(plan(&mut glances, FRAME, now), Plan::Whole);
        for number in [1, 2, 3] {
            glances.came("gate", number, now);
        }
        assert_eq!(plan(&mut glances, FRAME, now), Plan::Whole, "no frame is missing");
        glances.came("gate", 5, now);
        assert!(matches!(plan(&mut glances, FRAME, now), Plan::Windows(_)));
        let is_due = |at_ns: i64| glances.is_due("gate", at_ns, now);
        assert_eq!([is_due(199 * MS), is_due(200 * MS), glances.is_due("gate", FRAME, now + PRESSED)], [false, true, true]);
        assert!(matches!(plan(&mut glances, 200 * MS, now), Plan::Windows(_)), "a glance is possible all the same");
        assert_eq!(glances.plan("gate", 200 * MS, now, |_| false), Plan::Whole, "there is nothing to follow, and it is due");
        assert_eq!(plan(&mut glances, -FRAME, now), Plan::Whole, "its clock was set back");
        assert_eq!(glances.plan("road", FRAME, now, |_| true), Plan::Whole, "nothing is known of it");
        assert_eq!(plan(&mut glances, FRAME, now + PRESSED), Plan::Whole, "there is time again");
        glances.set(Duration::ZERO);
        assert_eq!(plan(&mut glances, FRAME, now), Plan::Whole, "glances are not wanted");
    }

    #[test]
    fn windows_lie_around_the_sure_plates_that_move_and_overlapping_ones_are_one() {
        let now = Instant::now();
        let unsure = found(Kind::Plate, 0.6, 100.0, 400.0, 50.0, 16.0);
        let mut glances = pressed(&[plate(400.0, 300.0), plate(410.0, 330.0), plate(700.0, 100.0), unsure, car(300.0, 200.0)], now);
        let is_moving = |part: &BoxXyxy| part.x0 < 600.0;
        let Plan::Windows(windows) = glances.plan("gate", FRAME, now, is_moving) else { panic!("no glance") };
        assert_eq!(windows, [Window { x: 352, y: 256, width: 160, height: 128 }]);
        assert_eq!(glances.plan("gate", FRAME, now, |_| false), Plan::Nothing);
        // So many that the whole picture is hardly dearer.
        let many: Vec<RawDetection> = (0..12).map(|i| plate(20.0 + 75.0 * i as f32, 40.0 * i as f32)).collect();
        assert_eq!(pressed(&many, now).plan("gate", FRAME, now, |_| true), Plan::Whole);
    }

    #[test]
    fn a_plate_goes_on_takes_its_vehicle_along_and_is_expected_where_it_moves() {
        let now = Instant::now();
        let parked = found(Kind::Vehicle, 0.7, 700.0, 60.0, 150.0, 100.0);
        let leaving = found(Kind::Vehicle, 0.7, 20.0, 60.0, 90.0, 80.0);
        let mut glances = pressed(&[plate(400.0, 300.0), car(300.0, 200.0), parked, leaving], now);
        let is_moving = |part: &BoxXyxy| part.x0 < 600.0;
        let mut last = Vec::new();
        for number in 1..=5 {
            let at_ns = number * FRAME;
            assert!(matches!(glances.plan("gate", at_ns, now, is_moving), Plan::Windows(_)), "{number}");
            // 20 px a frame: beyond the reach of the place where it was looked at, and not of where it should be.
            let x = 400.0 + 20.0 * number as f32;
            last = glances.glanced("gate", at_ns, &[plate(x, 300.0), plate(x + 120.0, 300.0)], is_moving);
        }
        assert_eq!(last, [plate(500.0, 300.0), car(400.0, 200.0), parked]);
    }

    #[test]
    fn what_was_not_begun_by_a_look_is_not_begun_by_a_glance_and_a_lost_plate_is_given_up() {
        let now = Instant::now();
        let mut glances = pressed(&[plate(400.0, 300.0), car(300.0, 200.0)], now);
        for number in 1..=3 {
            assert!(matches!(glances.plan("gate", number * FRAME, now, |_| true), Plan::Windows(_)), "{number}");
            // A large board beside it, and a plate too far away.
            let others = [found(Kind::Plate, 0.9, 380.0, 290.0, 140.0, 40.0), plate(520.0, 330.0)];
            assert_eq!(glances.glanced("gate", number * FRAME, &others, |_| true), []);
        }
        assert_eq!(glances.plan("gate", 4 * FRAME, now, |_| true), Plan::Nothing);
        // The next look finds it again.
        glances.looked("gate", 6 * FRAME, &[plate(520.0, 330.0)], false);
        assert!(matches!(glances.plan("gate", 7 * FRAME, now, |_| true), Plan::Windows(_)));
        glances.end("gate");
        assert_eq!(glances.plan("gate", 8 * FRAME, now, |_| true), Plan::Whole);
    }

    #[test]
    fn a_plate_that_left_its_place_is_not_told_there_again() {
        let now = Instant::now();
        let mut glances = pressed(&[plate(400.0, 300.0)], now);
        glances.plan("gate", FRAME, now, |_| true);
        assert_eq!(glances.glanced("gate", FRAME, &[plate(420.0, 300.0)], |_| true), [plate(420.0, 300.0)]);
        // Where it is expected the picture is as it was at the look; where it was then it is not.
        let is_moving = |part: &BoxXyxy| part.x0 < 410.0;
        assert_eq!(glances.plan("gate", 2 * FRAME, now, is_moving), Plan::Nothing);
        assert_eq!(glances.glanced("gate", 2 * FRAME, &[], is_moving), []);
    }

    #[test]
    fn what_a_late_look_found_goes_into_the_frames_that_follow() {
        let now = Instant::now();
        let mut glances = pressed(&[plate(400.0, 300.0), car(300.0, 200.0)], now);
        let glance = |glances: &mut Glances, number: i64, found: &[RawDetection]| {
            glances.plan("gate", number * FRAME, now, |_| true);
            glances.glanced("gate", number * FRAME, found, |_| true)
        };
        // Frame 1 is looked at; frames 1 to 3 are glanced at meanwhile.
        for number in 1..=3 {
            glance(&mut glances, number, &[plate(400.0 + 20.0 * number as f32, 300.0)]);
        }
        let (van, unsure) = (found(Kind::Vehicle, 0.7, 50.0, 60.0, 120.0, 100.0), found(Kind::Plate, 0.6, 90.0, 130.0, 40.0, 12.0));
        glances.looked("gate", FRAME, &[plate(420.0, 300.0), car(320.0, 200.0), plate(700.0, 100.0), van, unsure], true);
        // The known plate goes on from where it was seen last, the new one is looked for further away the longer ago it was seen; its vehicle and what is not followed are told once.
        let found = [plate(480.0, 300.0), plate(770.0, 100.0)];
        assert_eq!(glance(&mut glances, 4, &found), [found[0], found[1], car(380.0, 200.0), van, unsure]);
        assert_eq!(glance(&mut glances, 5, &[plate(500.0, 300.0)]), [plate(500.0, 300.0), car(400.0, 200.0)]);
        // Of a camera that is over nothing is kept.
        glances.end("gate");
        glances.looked("gate", 5 * FRAME, &[plate(500.0, 300.0)], true);
        assert_eq!(glances.plan("gate", 6 * FRAME, now, |_| true), Plan::Whole);
    }

    #[test]
    fn a_look_goes_on_with_the_speed_of_the_one_before() {
        let now = Instant::now();
        let mut glances = pressed(&[plate(400.0, 300.0)], now);
        glances.looked("gate", 100 * MS, &[plate(440.0, 300.0)], false);
        // 400 px/s: 150 ms later it is 60 px further.
        glances.plan("gate", 250 * MS, now, |_| true);
        assert_eq!(glances.glanced("gate", 250 * MS, &[plate(500.0, 300.0)], |_| true), [plate(500.0, 300.0)]);
    }
}

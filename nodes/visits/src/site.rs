//! Which visit a reading belongs to, and what it means for it. No files, no clock: times come with what is seen.

use crate::rules::Role;
use crate::similarity::distance;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most visits that are open at once; the oldest expires when there are more.
const MAX_OPEN: usize = 100_000;

/// Limits, see the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Not seen for so long: gone.
    pub absent_ns: i64,
    /// Came in and was never seen to leave.
    pub expire_ns: i64,
    /// Plates that differ by so much are one.
    pub max_distance: f32,
}

/// What a camera saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting<'a> {
    /// Camera.
    pub camera: &'a str,
    /// Plate.
    pub plate: &'a str,
    /// When, in ns.
    pub at_ns: i64,
    /// What it means.
    pub role: Role,
    /// Names a visit that begins with it.
    pub id: &'a str,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `entered`, `left`, `seen` or `expired`.
    pub name: &'static str,
    /// The visit as it was then.
    pub visit: Visit,
    /// When, in ns.
    pub at_ns: i64,
}

/// A vehicle on the site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// Unique on the site.
    pub id: String,
    /// The plate as it was read first.
    pub plate: String,
    /// When it came, in ns; -1 if nobody saw that.
    pub entered_ns: i64,
    /// Camera that saw it come, empty if none did.
    pub entered_by: String,
    /// When it was seen last, in ns.
    pub last_ns: i64,
    /// Camera that saw it last.
    pub last_camera: String,
    /// Cameras that have seen it.
    pub cameras: BTreeSet<String>,
    /// It came through an entry, so it leaves through an exit and not by being absent.
    pub gated: bool,
}

/// The vehicles on the site, and those that have just left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Site {
    open: Vec<Visit>,
    gone: Vec<Visit>,
}

impl Site {
    /// Vehicles that are there.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Cameras whose time matters for who is there, and for who has just left.
    #[must_use]
    pub fn cameras(&self) -> BTreeSet<String> {
        self.open.iter().chain(&self.gone).map(|visit| visit.last_camera.clone()).collect()
    }

    /// Takes what a camera saw. No event: it is known, a parked car read once more.
    pub fn see(&mut self, seen: &Sighting<'_>, limits: &Limits) -> Vec<Event> {
        let mut events = self.pass_time(seen.camera, seen.at_ns, limits);
        match seen.role {
            Role::Entry => self.entry(seen, limits, &mut events),
            Role::Exit => self.exit(seen, limits, &mut events),
            Role::Seen => self.passer(seen, limits, &mut events),
        }
        if self.open.len() > MAX_OPEN {
            let visit = self.open.remove(0);
            events.push(Event { name: "expired", at_ns: visit.last_ns, visit });
        }
        events
    }

    /// The vehicle of that visit is still in the picture.
    pub fn is_there(&mut self, visit: &str, at_ns: i64) {
        // The one that was seen last stands at the end.
        if let Some(visit) = self.open.iter_mut().rev().find(|v| v.id == visit) {
            visit.last_ns = visit.last_ns.max(at_ns);
        }
    }

    /// The open visit of that plate, if there is one.
    #[must_use]
    pub fn visit_of(&self, plate: &str, limits: &Limits) -> Option<&Visit> {
        nearest(&self.open, plate, limits.max_distance).map(|i| &self.open[i])
    }

    /// It is `now_ns` at a camera: who was not seen there for long has left.
    pub fn pass_time(&mut self, camera: &str, now_ns: i64, limits: &Limits) -> Vec<Event> {
        let mut events = Vec::new();
        self.open.retain(|visit| {
            let silent = if visit.last_camera == camera { now_ns - visit.last_ns } else { 0 };
            let name = match visit.gated {
                false if silent > limits.absent_ns => "left",
                true if silent > limits.expire_ns => "expired",
                _ => return true,
            };
            events.push(Event { name, visit: visit.clone(), at_ns: visit.last_ns });
            false
        });
        self.gone.retain(|visit| visit.last_camera != camera || now_ns - visit.last_ns <= limits.absent_ns);
        events
    }

    fn entry(&mut self, seen: &Sighting<'_>, limits: &Limits, events: &mut Vec<Event>) {
        if let Some(i) = nearest(&self.open, seen.plate, limits.max_distance) {
            if seen.at_ns - self.open[i].last_ns <= limits.absent_ns {
                self.touch(i, seen);
                return;
            }
            // It comes in and was in already: its exit was missed.
            let visit = self.open.remove(i);
            events.push(Event { name: "expired", at_ns: visit.last_ns, visit });
        }
        self.begin(seen, true, events);
    }

    fn exit(&mut self, seen: &Sighting<'_>, limits: &Limits, events: &mut Vec<Event>) {
        let mut visit = match nearest(&self.open, seen.plate, limits.max_distance) {
            Some(i) => self.open.remove(i),
            None => {
                if let Some(i) = nearest(&self.gone, seen.plate, limits.max_distance) {
                    // It stands in the exit and was read again.
                    self.gone[i].last_ns = self.gone[i].last_ns.max(seen.at_ns);
                    return;
                }
                Visit { entered_ns: -1, entered_by: String::new(), ..new_visit(seen, true) }
            }
        };
        visit.last_ns = visit.last_ns.max(seen.at_ns);
        visit.last_camera = seen.camera.to_owned();
        events.push(Event { name: "left", visit: visit.clone(), at_ns: seen.at_ns });
        self.gone.push(visit);
    }

    fn passer(&mut self, seen: &Sighting<'_>, limits: &Limits, events: &mut Vec<Event>) {
        match nearest(&self.open, seen.plate, limits.max_distance) {
            Some(i) => {
                let is_new_camera = self.touch(i, seen);
                if let Some(visit) = self.open.last().filter(|_| is_new_camera) {
                    events.push(Event { name: "seen", visit: visit.clone(), at_ns: seen.at_ns });
                }
            }
            None => self.begin(seen, false, events),
        }
    }

    fn begin(&mut self, seen: &Sighting<'_>, gated: bool, events: &mut Vec<Event>) {
        let visit = new_visit(seen, gated);
        events.push(Event { name: "entered", visit: visit.clone(), at_ns: seen.at_ns });
        self.open.push(visit);
    }

    /// Notes that an open visit was seen, and puts it last. Whether this camera had not seen it before.
    fn touch(&mut self, i: usize, seen: &Sighting<'_>) -> bool {
        let mut visit = self.open.remove(i);
        visit.last_ns = visit.last_ns.max(seen.at_ns);
        visit.last_camera = seen.camera.to_owned();
        let is_new = visit.cameras.insert(seen.camera.to_owned());
        self.open.push(visit);
        is_new
    }
}

fn new_visit(seen: &Sighting<'_>, gated: bool) -> Visit {
    Visit {
        id: seen.id.to_owned(),
        plate: seen.plate.to_owned(),
        entered_ns: seen.at_ns,
        entered_by: seen.camera.to_owned(),
        last_ns: seen.at_ns,
        last_camera: seen.camera.to_owned(),
        cameras: BTreeSet::from([seen.camera.to_owned()]),
        gated,
    }
}

/// Place of the visit with the most similar plate; of those that are as similar, the one seen last.
fn nearest(visits: &[Visit], plate: &str, most: f32) -> Option<usize> {
    let mut best: Option<(f32, usize)> = None;
    for (i, visit) in visits.iter().enumerate().rev() {
        let distance = distance(&visit.plate, plate);
        if distance <= most && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, i));
        }
    }
    best.map(|(_, i)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;
    const LIMITS: Limits = Limits { absent_ns: 600 * S, expire_ns: 72 * 3600 * S, max_distance: 0.5 };

    /// Events as `name visit plate@entered`.
    fn run(site: &mut Site, steps: &[(&str, Role, &str, i64)]) -> Vec<String> {
        let mut all = Vec::new();
        for (camera, role, plate, at_s) in steps {
            let id = format!("{camera}/{at_s}");
            let events = site.see(&Sighting { camera, plate, at_ns: at_s * S, role: *role, id: &id }, &LIMITS);
            all.extend(events.iter().map(|e| format!("{} {} {} @{}", e.name, e.visit.id, e.visit.plate, e.at_ns / S)));
        }
        all
    }

    #[test]
    fn coming_and_leaving_are_paired_also_when_the_plate_was_read_a_little_differently() {
        let mut site = Site::default();
        let events = run(
            &mut site,
            &[
                ("in", Role::Entry, "AB120CD", 0),
                ("in", Role::Entry, "KXW77", 10),
                ("out", Role::Exit, "A812OCD", 3600),
                ("out", Role::Exit, "KXW77", 3700),
                ("in", Role::Entry, "AB120CD", 3900),
            ],
        );
        let wanted = [
            "entered in/0 AB120CD @0",
            "entered in/10 KXW77 @10",
            "left in/0 AB120CD @3600",
            "left in/10 KXW77 @3700",
            "entered in/3900 AB120CD @3900",
        ];
        assert_eq!(events, wanted);
        assert_eq!(site.open(), 1);
    }

    #[test]
    fn of_two_similar_plates_the_nearest_leaves() {
        let mut site = Site::default();
        let steps = [
            ("in", Role::Entry, "AB12OCO", 0),
            ("in", Role::Entry, "A8I2OC0", 10),
            ("out", Role::Exit, "AB12OCO", 100),
            ("out", Role::Exit, "A812OC0", 110),
        ];
        let wanted = ["entered in/0 AB12OCO @0", "entered in/10 A8I2OC0 @10", "left in/0 AB12OCO @100", "left in/10 A8I2OC0 @110"];
        assert_eq!(run(&mut site, &steps), wanted);
    }

    #[test]
    fn a_parked_car_is_one_visit_and_its_return_a_new_one() {
        let mut site = Site::default();
        // Read every minute for half an hour, away for an hour, back.
        let mut steps: Vec<(&str, Role, &str, i64)> = (0..30).map(|m| ("yard", Role::Seen, "AB123CD", m * 60)).collect();
        steps.push(("yard", Role::Seen, "AB123CD", 29 * 60 + 3600));
        let events = run(&mut site, &steps);
        let wanted = ["entered yard/0 AB123CD @0", "left yard/0 AB123CD @1740", "entered yard/5340 AB123CD @5340"];
        assert_eq!(events, wanted);
    }

    #[test]
    fn a_car_that_is_not_read_again_is_there_as_long_as_its_track_lives() {
        let mut site = Site::default();
        run(&mut site, &[("yard", Role::Seen, "AB123CD", 0)]);
        for minute in 0..60 {
            site.is_there("yard/0", minute * 60 * S);
            assert_eq!(site.pass_time("yard", minute * 60 * S, &LIMITS), []);
        }
        assert_eq!(site.pass_time("other", 9000 * S, &LIMITS), [], "another camera's clock says nothing");
        let left = site.pass_time("yard", 4141 * S, &LIMITS);
        assert_eq!((left.len(), left[0].name, left[0].at_ns), (1, "left", 3540 * S));
        assert_eq!(site.open(), 0);
    }

    #[test]
    fn a_car_in_the_gate_is_read_once_and_a_missed_exit_is_told() {
        let mut site = Site::default();
        let events = run(
            &mut site,
            &[
                ("in", Role::Entry, "AB1", 0),
                ("in", Role::Entry, "AB1", 300),
                ("in", Role::Entry, "AB1", 5000),
                ("out", Role::Exit, "AB1", 6000),
                ("out", Role::Exit, "AB1", 6300),
                ("out", Role::Exit, "ZZ9", 6400),
            ],
        );
        let wanted = [
            "entered in/0 AB1 @0",
            "expired in/0 AB1 @300",
            "entered in/5000 AB1 @5000",
            "left in/5000 AB1 @6000",
            "left out/6400 ZZ9 @6400",
        ];
        assert_eq!(events, wanted);
    }

    #[test]
    fn a_further_camera_sees_a_visit_once() {
        let mut site = Site::default();
        let steps = [
            ("in", Role::Entry, "AB1", 0),
            ("yard", Role::Seen, "AB1", 60),
            ("yard", Role::Seen, "AB1", 120),
            ("roof", Role::Seen, "AB1", 180),
            // Longer away than `absent_ns`: it came through an entry and stays until an exit.
            ("roof", Role::Seen, "AB1", 5000),
            ("out", Role::Exit, "AB1", 9000),
        ];
        let wanted = ["entered in/0 AB1 @0", "seen in/0 AB1 @60", "seen in/0 AB1 @180", "left in/0 AB1 @9000"];
        assert_eq!(run(&mut site, &steps), wanted);
    }

    #[test]
    fn who_came_in_and_never_left_expires() {
        let mut site = Site::default();
        run(&mut site, &[("in", Role::Entry, "AB1", 0)]);
        assert_eq!(site.pass_time("in", 71 * 3600 * S, &LIMITS), []);
        assert_eq!(site.pass_time("in", 73 * 3600 * S, &LIMITS)[0].name, "expired");
    }

    #[test]
    fn it_survives_json() {
        let mut site = Site::default();
        run(&mut site, &[("in", Role::Entry, "AB1", 0), ("out", Role::Exit, "CD2", 5)]);
        let back: Site = serde_json::from_str(&serde_json::to_string(&site).unwrap()).unwrap();
        assert_eq!(back, site);
    }
}

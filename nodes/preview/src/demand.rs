//! Who looks at what: the one thing that makes this node touch a picture.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a look counts: longer than the pause between two requests of a page on a slow line.
const KEEP: Duration = Duration::from_secs(2);

/// Widths that pictures are made in, px. Few, so that several pages share the same JPEG.
const WIDTHS: [u32; 3] = [480, 960, 1920];

/// The smallest width that fills `wanted` px; the largest there is for more.
#[must_use]
pub fn width_for(wanted: u32) -> u32 {
    WIDTHS.into_iter().find(|width| *width >= wanted).unwrap_or(WIDTHS[WIDTHS.len() - 1])
}

/// Widths that are looked at, each with the end of the look, by camera.
#[derive(Debug, Default)]
pub struct Demand(Mutex<BTreeMap<String, BTreeMap<u32, Instant>>>);

impl Demand {
    /// Somebody looks at `camera` now, in one of the widths of [`width_for`]. Whether nobody did before.
    pub fn look(&self, camera: &str, width: u32, now: Instant) -> bool {
        let mut all = self.lock();
        let widths = all.entry(camera.to_owned()).or_default();
        let is_new = !widths.values().any(|until| *until > now);
        widths.insert(width, now + KEEP);
        is_new
    }

    /// The cameras that somebody looks at.
    pub fn cameras(&self, now: Instant) -> Vec<String> {
        let all = self.lock();
        all.iter().filter(|(_, widths)| widths.values().any(|until| *until > now)).map(|(camera, _)| camera.clone()).collect()
    }

    /// Whether somebody looks at any camera.
    pub fn any(&self, now: Instant) -> bool {
        let mut all = self.lock();
        all.retain(|_, widths| widths.values().any(|until| *until > now));
        !all.is_empty()
    }

    /// The widths in which somebody looks at `camera`.
    pub fn widths(&self, camera: &str, now: Instant) -> Vec<u32> {
        let all = self.lock();
        let widths = all.get(camera).into_iter().flatten();
        widths.filter(|(_, until)| **until > now).map(|(width, _)| *width).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<u32, Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_ends_by_itself_and_widths_are_counted_apart() {
        let demand = Demand::default();
        let start = Instant::now();
        assert!(!demand.any(start) && demand.widths("gate", start).is_empty());
        assert!(demand.look("gate", 480, start));
        assert!(!demand.look("gate", 960, start + KEEP / 2));
        assert_eq!(demand.cameras(start + KEEP), ["gate"]);
        assert_eq!(demand.widths("gate", start + KEEP / 2), [480, 960]);
        assert!(demand.widths("road", start).is_empty());
        assert_eq!(demand.widths("gate", start + KEEP), [960]);
        assert!(demand.any(start + KEEP));
        assert!(demand.cameras(start + 2 * KEEP).is_empty());
        assert!(!demand.any(start + 2 * KEEP) && demand.look("gate", 480, start + 2 * KEEP));
    }

    #[test]
    fn a_width_fills_what_is_wanted_as_far_as_there_is_one() {
        assert_eq!([1, 480, 481, 1920, 4000].map(width_for), [480, 480, 960, 1920, 1920]);
    }
}

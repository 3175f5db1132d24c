//! The newest pictures of several cameras in one answer, as soon as one of them has a new one.
//!
//! A page asks, shows what it gets, and asks again: a slow one gets fewer pictures and nothing ever queues for it. One connection serves
//! all its cameras. That a request waits here is what makes this node look at frames at all.
//!
//! The answer is a row of blocks: length of the JSON (u32, little endian), the JSON, length of the JPEG, the JPEG. Empty after
//! [`WAIT`] without a picture.

use super::answer::Answer;
use super::http::Connection;
use super::query::Pairs;
use crate::demand::width_for;
use crate::site::{Picture, Site};
use std::time::{Duration, Instant};

/// How long a request waits for a picture.
const WAIT: Duration = Duration::from_secs(5);
/// How often a request that waits says so: demand lapses after 2 s.
const AGAIN: Duration = Duration::from_secs(1);
/// Cameras of one request.
const MOST: usize = 64;

/// One camera of a request.
#[derive(Debug, PartialEq)]
struct Wanted<'a> {
    camera: &'a str,
    width: u32,
    after: u64,
}

impl<'a> Wanted<'a> {
    /// `<width in px>,<number of the last picture>,<camera>`.
    fn of(text: &'a str) -> Option<Self> {
        let (width, rest) = text.split_once(',')?;
        let (after, camera) = rest.split_once(',')?;
        Some(Self { camera, width: width_for(width.parse().ok()?), after: after.parse().ok()? })
    }
}

/// Answers with the pictures that are new.
pub fn wait(site: &Site, pairs: &Pairs, connection: &Connection) -> Answer {
    let wanted: Vec<Wanted<'_>> = pairs.all("p").filter_map(Wanted::of).filter(|w| site.has_camera(w.camera)).take(MOST).collect();
    if wanted.is_empty() {
        return Answer::error(404, "none of these is a camera");
    }
    let started = Instant::now();
    loop {
        let newest = site.newest_picture();
        let now = Instant::now();
        wanted.iter().for_each(|w| site.look(w.camera, w.width, now));
        let mut body = Vec::new();
        for w in &wanted {
            if let Some(picture) = site.picture(w.camera).filter(|picture| picture.number > w.after) {
                add(&mut body, &picture, w.width);
            }
        }
        if !body.is_empty() || started.elapsed() >= WAIT {
            return Answer::new(200, "application/octet-stream", body);
        }
        if !site.wait_for_picture(newest, AGAIN) && connection.is_over() {
            return Answer::error(408, "nobody waits for this");
        }
    }
}

/// The block of a picture, if it was made in that width.
fn add(body: &mut Vec<u8>, picture: &Picture, width: u32) {
    let Some((_, jpeg)) = picture.jpegs.iter().find(|(asked, _)| *asked == width) else { return };
    for part in [picture.about.as_bytes(), jpeg] {
        body.extend_from_slice(&(part.len() as u32).to_le_bytes());
        body.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_asked_for_by_width_number_and_a_name_with_anything_in_it() {
        assert_eq!(Wanted::of("300,17,gate, north"), Some(Wanted { camera: "gate, north", width: 480, after: 17 }));
        assert_eq!(["", "300", "300,17", "x,1,a", "300,-1,a"].map(Wanted::of), [const { None }; 5]);
    }
}

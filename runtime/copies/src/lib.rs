//! Counts copies of frame-sized buffers, per edge of the graph.
//!
//! Frames are passed on by handle; a copy of one is an exception that must be seen. Whatever can make one says so here, at the place that makes
//! it: `gantry-cuda` for all transfers of a card, the decoder for pictures that it cannot decode in place, the detector for its batches. Nodes say
//! which edge they work on with [`edge`]; harness and tests read [`counted`].
//!
//! ```
//! # use gantry_copies::{FRAME_BYTES, Way, counted, edge, note};
//! let _edge = edge("images");
//! note(Way::ToCard, FRAME_BYTES);
//! note(Way::ToCard, FRAME_BYTES - 1); // a crop or a table, not a frame
//! assert_eq!(counted()["images"].to_card, 1);
//! ```

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes from which a buffer counts as a frame: a picture of 640x360 in 4:2:0 has 345,600, the largest crop of a plate a tenth of this.
pub const FRAME_BYTES: usize = 256 << 10;

/// From where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Host memory to host memory.
    OnHost,
    /// Host memory to a card's.
    ToCard,
    /// A card's memory to the host's.
    FromCard,
    /// Within a card's memory: the one copy of NVDEC's surface into a pool is allowed.
    OnCard,
}

/// Frame-sized copies on one edge since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copies {
    /// Host memory to host memory.
    pub on_host: u64,
    /// Host memory to a card's.
    pub to_card: u64,
    /// A card's memory to the host's.
    pub from_card: u64,
    /// Within a card's memory.
    pub on_card: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Results that came off a card, of any size: boxes, scores, texts, evidence ([`results`]). Not among the others.
    pub results: u64,
    /// Their bytes.
    pub result_bytes: u64,
}

impl Copies {
    /// Those that a graph declares a budget for: all that a CPU has a part in, results left out.
    #[must_use]
    pub fn of_host(&self) -> u64 {
        self.on_host + self.to_card + self.from_card
    }
}

static COUNTED: Mutex<BTreeMap<String, Copies>> = Mutex::new(BTreeMap::new());

thread_local! {
    static EDGE: RefCell<Cow<'static, str>> = const { RefCell::new(Cow::Borrowed("")) };
    static FETCHES_RESULTS: Cell<bool> = const { Cell::new(false) };
}

/// Until it is dropped this thread fetches results.
#[must_use = "results are fetched for as long as this lives"]
#[derive(Debug)]
pub struct OnResults {
    before: bool,
}

/// What this thread copies from a card from here on are results and not frames: boxes, scores, texts, the evidence picture of a reading. They are counted
/// by themselves, however large or small.
pub fn results() -> OnResults {
    OnResults { before: FETCHES_RESULTS.replace(true) }
}

impl Drop for OnResults {
    fn drop(&mut self) {
        FETCHES_RESULTS.set(self.before);
    }
}

/// Names the edge that this thread works on until it is dropped; the one named before is back then.
#[must_use = "the edge is named for as long as this lives"]
#[derive(Debug)]
pub struct OnEdge {
    before: Cow<'static, str>,
}

/// The copies that this thread makes from here on belong to edge `name`: the port that the frame came in or goes out by.
pub fn edge(name: impl Into<Cow<'static, str>>) -> OnEdge {
    OnEdge { before: EDGE.replace(name.into()) }
}

impl Drop for OnEdge {
    fn drop(&mut self) {
        EDGE.set(std::mem::take(&mut self.before));
    }
}

/// A copy of `bytes` bytes was made, or asked for; less than [`FRAME_BYTES`] are not counted unless they are [`results`]. Without an edge it counts
/// under the empty name.
pub fn note(way: Way, bytes: usize) {
    let is_result = way == Way::FromCard && FETCHES_RESULTS.get();
    if bytes < FRAME_BYTES && !is_result {
        return;
    }
    EDGE.with_borrow(|edge| {
        let mut all = all();
        if !all.contains_key(&**edge) {
            all.insert(edge.to_string(), Copies::default());
        }
        let Some(copies) = all.get_mut(&**edge) else { return };
        if is_result {
            copies.results += 1;
            copies.result_bytes += bytes as u64;
            return;
        }
        copies.bytes += bytes as u64;
        *match way {
            Way::OnHost => &mut copies.on_host,
            Way::ToCard => &mut copies.to_card,
            Way::FromCard => &mut copies.from_card,
            Way::OnCard => &mut copies.on_card,
        } += 1;
    });
}

/// Copies `from` to the start of `to` and counts it. Bytes that do not fit are left out: the caller has compared the lengths.
pub fn copy(from: &[u8], to: &mut [u8]) {
    let len = from.len().min(to.len());
    to[..len].copy_from_slice(&from[..len]);
    note(Way::OnHost, len);
}

/// All copies of this process, by edge.
#[must_use]
pub fn counted() -> BTreeMap<String, Copies> {
    all().clone()
}

fn all() -> MutexGuard<'static, BTreeMap<String, Copies>> {
    COUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_sized_copies_count_on_the_edge_of_their_thread_and_smaller_ones_nowhere() {
        let bytes = vec![7; FRAME_BYTES];
        let mut to = vec![0; FRAME_BYTES];
        {
            let _frames = edge("test/frames");
            copy(&bytes, &mut to);
            assert_eq!(to, bytes);
            copy(&bytes[1..], &mut to);
            {
                let _inner = edge("test/inner");
                note(Way::ToCard, FRAME_BYTES);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let _other = edge("test/other");
                        note(Way::FromCard, 2 * FRAME_BYTES);
                    });
                });
            }
            note(Way::OnCard, FRAME_BYTES);
        }
        {
            let _edge = edge("test/results");
            let _results = results();
            note(Way::FromCard, 4);
            note(Way::FromCard, FRAME_BYTES);
            // Not from the card: frames all the same.
            note(Way::ToCard, FRAME_BYTES);
        }
        note(Way::FromCard, 4);
        let counted = counted();
        let results = counted["test/results"];
        assert_eq!((results.results, results.result_bytes, results.of_host()), (2, 4 + FRAME_BYTES as u64, 1));
        let frames = Copies { on_host: 1, on_card: 1, bytes: 2 * FRAME_BYTES as u64, ..Copies::default() };
        assert_eq!((counted["test/frames"], counted["test/frames"].of_host()), (frames, 1));
        assert_eq!((counted["test/inner"].to_card, counted["test/other"].from_card), (1, 1));
        assert_eq!(counted["test/other"].bytes, 2 * FRAME_BYTES as u64);
    }
}

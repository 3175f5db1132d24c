//! What each stage of a run took, from the statistics of its nodes.

use crate::read::engine::decoded;
use gantry_node::{Busy, NodeStats};
use std::collections::BTreeMap;

/// A node, or the nodes of one name for all cameras (`decode_cam0`, `decode_cam1`, ...).
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Id without `_cam<n>`, and without the module in front of it.
    pub name: String,
    /// Time in ms that it worked on a frame, waits for buffers left out; mean over all frames of the run.
    pub busy_ms: f64,
    /// What 95 % of the rows of its busiest input stay below, in ms.
    pub busy_p95_ms: Option<f64>,
    /// CPU time per frame in ms, all threads.
    pub cpu_ms: f64,
    /// Age of frames in ms when their rows were sent, half and 95 % of them; live cameras only.
    pub age_ms: Option<(f64, f64)>,
}

/// Kinds in the order in which a frame meets them.
const ORDER: [&str; 10] = ["camera", "decode", "resize", "detect", "track", "crop", "enhance", "recognize", "vote", "store"];

/// The stages in the order of the graph; empty without statistics.
pub fn stages(stats: &BTreeMap<String, NodeStats>) -> Vec<Stage> {
    let frames = decoded(stats).max(1) as f64;
    let mut groups: BTreeMap<(usize, String), Vec<&NodeStats>> = BTreeMap::new();
    for (id, node) in stats {
        let rank = ORDER.iter().position(|kind| *kind == node.kind).unwrap_or(ORDER.len());
        groups.entry((rank, group_of(id))).or_default().push(node);
    }
    groups
        .into_iter()
        .map(|((_, name), nodes)| {
            let mut busiest = Busy::default();
            let mut total_us = 0;
            let mut by_input: BTreeMap<&str, Busy> = BTreeMap::new();
            for (input, busy) in nodes.iter().flat_map(|n| &n.busy) {
                total_us += busy.sum_us;
                by_input.entry(input).or_default().merge(busy);
            }
            for busy in by_input.into_values() {
                if busy.sum_us > busiest.sum_us {
                    busiest = busy;
                }
            }
            let age = nodes.iter().flat_map(|n| n.latency.values()).max_by_key(|l| l.count);
            Stage {
                name,
                busy_ms: total_us as f64 / 1000.0 / frames,
                busy_p95_ms: busiest.quantile_ms(0.95),
                cpu_ms: nodes.iter().map(|n| n.cpu_s).sum::<f64>() * 1000.0 / frames,
                age_ms: age.and_then(|l| Some((l.quantile_ms(0.5)?, l.quantile_ms(0.95)?))),
            }
        })
        .collect()
}

/// `gate.decode` and `decode_cam12` are `decode`.
fn group_of(id: &str) -> String {
    let name = id.rsplit('.').next().unwrap_or(id);
    match name.rsplit_once("_cam") {
        Some((stem, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => stem.to_owned(),
        _ => name.to_owned(),
    }
}

/// Speed and load of a whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Frames that were read.
    pub frames: u64,
    /// Wall clock in s, with starting and ending.
    pub seconds: f64,
    /// CPU of all nodes in s.
    pub cpu_s: f64,
    /// Sum of the largest resident memory of each node, in bytes.
    pub peak_rss_bytes: u64,
}

impl Load {
    /// From the statistics of the nodes.
    pub fn of(stats: &BTreeMap<String, NodeStats>, seconds: f64) -> Self {
        Self {
            frames: decoded(stats),
            seconds,
            cpu_s: stats.values().map(|s| s.cpu_s).sum(),
            peak_rss_bytes: stats.values().map(|s| s.peak_rss_bytes).sum(),
        }
    }

    /// Frames a second.
    pub fn fps(&self) -> f64 {
        self.frames as f64 / self.seconds.max(1e-9)
    }

    /// CPU per frame in ms.
    pub fn cpu_ms(&self) -> f64 {
        1000.0 * self.cpu_s / self.frames.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: &str, cpu_s: f64) -> NodeStats {
        NodeStats { kind: kind.into(), cpu_s, ..NodeStats::default() }
    }

    #[test]
    fn nodes_of_all_cameras_are_one_stage_in_the_order_of_the_graph() {
        let mut decode = node("decode", 1.0);
        decode.rows_out.insert("frames".into(), 50);
        let stats = BTreeMap::from([
            ("vote".to_owned(), node("vote", 0.1)),
            ("decode_cam0".to_owned(), decode.clone()),
            ("north.decode".to_owned(), decode),
            ("mine".to_owned(), node("mine", 0.2)),
        ]);
        let found: Vec<(String, f64)> = stages(&stats).into_iter().map(|s| (s.name, (s.cpu_ms * 10.0).round() / 10.0)).collect();
        assert_eq!(found, [("decode".to_owned(), 20.0), ("vote".to_owned(), 1.0), ("mine".to_owned(), 2.0)]);
        let load = Load::of(&stats, 2.0);
        assert_eq!((load.frames, load.fps()), (100, 50.0));
        assert_eq!(stages(&BTreeMap::new()), []);
    }
}

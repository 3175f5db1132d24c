use crate::{Green, Stillness};
use gantry_inference::Selection;
use gantry_messages::Kind;
use serde::Deserialize;

/// Parameters, see the contract.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Params {
    pub model: String,
    pub min_plate_confidence: f32,
    pub min_vehicle_confidence: f32,
    pub nms_iou: f32,
    pub max_detections: usize,
    pub max_batch: usize,
    pub max_wait_ms: u64,
    pub max_waiting: usize,
    pub look_every_ms: u64,
    pub still_frames: u32,
    pub motion_level: f64,
    pub threads: usize,
    pub device: String,
    pub memory: String,
    pub fp16: bool,
    pub cuda_graph: bool,
    pub engine_cache: Option<String>,
    pub plate_classes: Vec<String>,
    pub vehicle_classes: Vec<String>,
}

impl Params {
    /// What the classes of a model stand for; `None` for those that are neither.
    pub fn kinds(&self, classes: &[String]) -> Vec<Option<Kind>> {
        let named = |list: &[String], class: &str| list.iter().any(|name| plain(name) == plain(class));
        let kind = |class: &String| {
            if named(&self.plate_classes, class) { Some(Kind::Plate) } else { named(&self.vehicle_classes, class).then_some(Kind::Vehicle) }
        };
        classes.iter().map(kind).collect()
    }

    /// What tells still frames, for pictures whose green samples lie there.
    #[must_use]
    pub fn stillness(&self, green: Green) -> Stillness {
        Stillness::new(green, self.motion_level, self.still_frames)
    }

    /// What the detector is to look for.
    pub fn selection(&self, kinds: &[Option<Kind>]) -> Selection {
        let least = |kind: &Kind| match kind {
            Kind::Plate => self.min_plate_confidence,
            Kind::Vehicle => self.min_vehicle_confidence,
        };
        Selection {
            wanted: kinds.iter().map(|kind| kind.as_ref().map(|kind| (*kind as u8, least(kind)))).collect(),
            nms_iou: self.nms_iou,
            max_detections: self.max_detections,
        }
    }
}

fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace([' ', '-'], "_")
}

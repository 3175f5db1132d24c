//! What of a graph a plan needs: cameras with what their pictures go through, and pools.

use super::plates::View;
use crate::failure::Failure;
use gantry_contract::ParamKind;
use gantry_frames::Layout;
use gantry_graph::{Graph, NodeSpec, Origin, contract_of, pool_sizes};
use gantry_media::{Demuxer, OpenOptions};
use gantry_node_decode::{SlotPlan, plan_slots};
use std::collections::BTreeMap;

/// What a camera sends where nothing says otherwise.
const USUAL_SIZE: (u32, u32) = (1920, 1080);
const USUAL_FPS: f64 = 30.0;
/// Pictures that a decoder of H.264 or HEVC keeps at most.
const DECODER_HELD: u32 = 19;

/// One camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Name in all messages.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Node that decodes it.
    pub decode: Option<String>,
    /// Width of the detector's input in px, where it is known.
    pub detector_width: Option<f64>,
    /// Whether the detector takes its pictures as they are, and scales them itself.
    pub is_scaled_by_detector: bool,
    /// Width and height of its pictures, and frames per second.
    pub size: (u32, u32),
    /// See `size`.
    pub fps: f64,
    /// `said`, `read from the file` or `assumed`.
    pub size_from: &'static str,
    /// What the graph or the command line says of where it looks.
    pub view: View,
}

/// The value of a parameter: given by the graph, or the node's own.
pub fn param(node: &NodeSpec, name: &str) -> Option<String> {
    if let Some(given) = node.given(name) {
        return Some(given.to_owned());
    }
    match &contract_of(node.kind())?.param(name)?.kind {
        ParamKind::Float { default, .. } => Some(default.to_string()),
        ParamKind::Int { default, .. } => Some(default.to_string()),
        ParamKind::Bool { default } => Some(default.to_string()),
        ParamKind::Choice { default, .. } => Some(default.to_string()),
        ParamKind::Text { default, .. } | ParamKind::Path { default, .. } => default.as_ref().map(ToString::to_string),
        ParamKind::List { default } => Some(default.join(",")),
    }
}

fn number(node: &NodeSpec, name: &str) -> Option<u64> {
    param(node, name)?.parse().ok()
}

/// The nodes that read an output of `id`.
fn readers<'a>(graph: &'a Graph, id: &'a str) -> impl Iterator<Item = &'a NodeSpec> {
    let reads = move |node: &&NodeSpec| node.inputs.iter().any(|i| matches!(&i.origin, Origin::Output { node, .. } if node == id));
    graph.nodes.iter().filter(reads)
}

/// The cameras of a graph; `views` by name win over what the graph says.
///
/// # Errors
/// A view that says nothing sensible, or one of a camera that there is not.
pub fn cameras(graph: &Graph, mut views: BTreeMap<String, View>) -> Result<Vec<Camera>, Failure> {
    let mut found = Vec::new();
    for node in graph.nodes.iter().filter(|node| node.kind() == "camera") {
        let name = node.given("name").unwrap_or(&node.id).to_owned();
        let of_graph = node.given("view").map(View::parse).transpose();
        let of_graph =
            of_graph.map_err(|what| Failure::refused(format!("{}: node `{}`, `view`: {what}", graph.file.display(), node.id)))?;
        let view = views.remove(&name).or(of_graph).unwrap_or_default();
        let decode = readers(graph, &node.id).find(|reader| reader.kind() == "decode");
        let reader = |kind: &str| decode.and_then(|decode| readers(graph, &decode.id).find(|reader| reader.kind() == kind));
        let resize = reader("resize");
        let (size, fps, size_from) = picture(graph, node, &view);
        found.push(Camera {
            name,
            node: node.id.clone(),
            decode: decode.map(|node| node.id.clone()),
            detector_width: resize.and_then(|node| number(node, "width")).map(|width| width as f64),
            is_scaled_by_detector: resize.is_none() && reader("detect").is_some(),
            size,
            fps,
            size_from,
            view,
        });
    }
    if let Some((name, _)) = views.pop_first() {
        let names: Vec<String> = found.iter().map(|camera| format!("`{}`", camera.name)).collect();
        return Err(Failure::refused(format!("there is no camera `{name}`")).hint(format!("there are: {}", names.join(", "))));
    }
    Ok(found)
}

/// Size and rate of a camera's pictures, and where they are known from.
fn picture(graph: &Graph, node: &NodeSpec, view: &View) -> ((u32, u32), f64, &'static str) {
    let source = node.given("source").unwrap_or_default();
    let file = graph.folder.join(source);
    // A camera that may be far away is not called for a plan.
    let info = (!source.contains("://") && file.is_file()).then(|| Demuxer::open(&file.display().to_string(), &OpenOptions::default()));
    let info = info.and_then(Result::ok).map(|demuxer| demuxer.info().clone());
    let of_file = info.as_ref().filter(|info| info.width > 0 && info.height > 0).map(|info| (info.width, info.height));
    let fps = view.fps().or_else(|| info.as_ref().map(|info| info.fps).filter(|fps| *fps > 0.0)).unwrap_or(USUAL_FPS);
    match (view.size, of_file) {
        (Some(size), _) => (size, fps, "said"),
        (None, Some(size)) => (size, fps, "read from the file"),
        (None, None) => (USUAL_SIZE, fps, "assumed"),
    }
}

/// A pool with its size.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Node and output.
    pub output: String,
    /// Slots.
    pub slots: u32,
    /// Bytes of one.
    pub slot_bytes: u64,
}

impl Pool {
    /// Bytes if every slot is written; memory is taken when a slot is first used.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.slot_bytes * u64::from(self.slots)
    }
}

/// The pools of a graph. Those of programs that this project does not know are not among them.
#[must_use]
pub fn pools(graph: &Graph, cameras: &[Camera]) -> Vec<Pool> {
    let is_live = graph.env.iter().any(|(name, mode)| name == "GANTRY_MODE" && mode == "live");
    let known = pool_sizes(graph).into_iter().filter_map(|pool| {
        let node = graph.node(&pool.node)?;
        let slot_bytes = slot_bytes(node, cameras)?;
        let slots = match pool.slots {
            Some(slots) => slots,
            None => {
                let mine = cameras.iter().filter(|camera| camera.decode.as_deref() == Some(node.id.as_str())).count().max(1) as u32;
                plan_slots(&SlotPlan {
                    slot_bytes,
                    asked: 0,
                    max_bytes: number(node, "pool_mb").unwrap_or(0) * 1_000_000,
                    decoder_held: DECODER_HELD * mine,
                    group: if is_live { 1 } else { number(node, "group_frames").unwrap_or(1) as u32 },
                    cameras: mine,
                    fewest: pool.fewest + DECODER_HELD * mine,
                })
            }
        };
        Some(Pool { output: format!("{}/{}", pool.node, pool.output), slots, slot_bytes })
    });
    known.collect()
}

/// Bytes of one buffer of a node.
fn slot_bytes(node: &NodeSpec, cameras: &[Camera]) -> Option<u64> {
    match node.kind() {
        "decode" => {
            let mine = cameras.iter().filter(|camera| camera.decode.as_deref() == Some(node.id.as_str()));
            // Decoders write whole blocks and some rows more.
            let padded = |n: u32| n.next_multiple_of(64);
            mine.filter_map(|camera| Some(Layout::i420(padded(camera.size.0), padded(camera.size.1)).ok()?.byte_len())).max()
        }
        "resize" => {
            let sample = if param(node, "dtype")? == "u8" { 1 } else { 4 };
            Some(3 * sample * number(node, "width")? * number(node, "height")?)
        }
        "crop" => {
            let height = number(node, "max_height_px")?;
            Some(3 * height * height * gantry_node_crop::geometry::MAX_ASPECT as u64)
        }
        "enhance" => {
            let variants = param(node, "operators")?.split(',').filter(|name| !name.trim().is_empty()).count() as u64;
            Some(number(node, "max_crop_pixels")? * (variants + 1))
        }
        _ => None,
    }
}

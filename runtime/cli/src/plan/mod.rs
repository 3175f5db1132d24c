//! `gantry plan`: what a site will ask of this machine, and how large plates will be in each camera's picture.

mod figures;
mod plates;
mod site;

use crate::failure::Failure;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use figures::Figures;
use gantry_graph::{Graph, check, render};
use plates::{Legible, View};
use serde::Serialize;
use site::{Camera, cameras, param, pools};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A site that uses more of the processor than that has no room for a busy minute.
const FULL: f64 = 0.85;

/// Arguments of `gantry plan`.
#[derive(Args)]
pub struct PlanArgs {
    /// Graph file of the site.
    site: PathBuf,
    /// Where a camera looks: `gate:width_m=6` (width of the scene where plates are read), `gate:focal_mm=8 sensor_mm=5.4 distance_m=14
    /// height_m=4`, or `gate:plate_px=120`; also `size=1920x1080` and `fps=25`. Wins over `VIEW` in the graph. May be given several times.
    #[arg(long = "view", value_name = "CAMERA:VIEW")]
    views: Vec<String>,
    /// Width and height of plates in mm.
    #[arg(long, value_name = "WxH", default_value = "520x110")]
    plate_mm: String,
    /// Measures decoding of this clip and the detector here, instead of taking the figures of docs/performance.md (15 s).
    #[arg(long, value_name = "CLIP")]
    measure: Option<PathBuf>,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
}

/// The whole plan.
#[derive(Debug, Serialize)]
struct Plan {
    site: String,
    figures_from: String,
    cameras: Vec<CameraPlan>,
    nodes: Vec<NodePlan>,
    pools: Vec<PoolPlan>,
    /// Cores that it takes, with traffic all the time.
    cores: f64,
    /// Cores of this machine.
    cores_here: usize,
    /// Memory with every buffer written, MB.
    memory_mb: u64,
    /// Memory of this machine, MB.
    memory_here_mb: u64,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CameraPlan {
    camera: String,
    width_px: u32,
    height_px: u32,
    fps: f64,
    size_from: &'static str,
    plate_width_px: Option<f64>,
    plate_height_px: Option<f64>,
    legible: Option<Legible>,
}

#[derive(Debug, Serialize)]
struct NodePlan {
    node: String,
    kind: String,
    cores: f64,
}

#[derive(Debug, Serialize)]
struct PoolPlan {
    output: String,
    slots: u32,
    slot_bytes: u64,
    megabytes: u64,
}

/// Prints the plan of a site; warnings are no failure.
///
/// # Errors
/// A graph that does not pass the check, or a view that says nothing sensible.
pub fn run(args: &PlanArgs) -> Result<(), Failure> {
    let graph = Graph::read(&args.site).map_err(|faults| Failure::refused(render(&faults)))?;
    let faults = check(&graph);
    if !faults.is_empty() {
        return Err(Failure::refused(render(&faults)));
    }
    let plate = plate_size(&args.plate_mm)?;
    let mut cameras = cameras(&graph, views(&args.views)?)?;
    let mut warnings = Vec::new();
    if let Some(model) = model(&graph).filter(|_| cameras.iter().any(|camera| camera.is_scaled_by_detector)) {
        match figures::detector_width(&model) {
            Ok(width) => cameras.iter_mut().filter(|c| c.is_scaled_by_detector).for_each(|c| c.detector_width = Some(width)),
            Err(why) => warnings.push(format!("the detector's input is taken to be {USUAL_INPUT} px wide, its model says nothing: {why}")),
        }
    }
    let figures = match &args.measure {
        Some(clip) => Figures::measured(clip, model(&graph).as_deref())?,
        None => Figures::written_down(),
    };
    let mut plan = plan(&graph, &cameras, &figures, plate);
    plan.warnings.append(&mut warnings);
    if args.json {
        let json = serde_json::to_string_pretty(&plan).map_err(|e| Failure::failed(e.to_string()))?;
        outln!("{json}");
    } else {
        print(&plan, plate);
    }
    Ok(())
}

fn views(given: &[String]) -> Result<BTreeMap<String, View>, Failure> {
    let one = |text: &String| {
        let (camera, view) = text.split_once(':').ok_or_else(|| Failure::refused(format!("`--view {text}`: no `camera:view`")))?;
        let view = View::parse(view).map_err(|what| Failure::refused(format!("`--view {text}`: {what}")))?;
        Ok((camera.to_owned(), view))
    };
    given.iter().map(one).collect()
}

/// Width of the shipped detector's input in px.
const USUAL_INPUT: f64 = 960.0;

fn plate_size(text: &str) -> Result<(f64, f64), Failure> {
    let size = text.split_once('x').and_then(|(w, h)| Some((w.parse::<f64>().ok()?, h.parse::<f64>().ok()?)));
    size.filter(|(w, h)| *w > 0.0 && *h > 0.0 && w.is_finite() && h.is_finite())
        .ok_or_else(|| Failure::refused(format!("`--plate-mm {text}`: no size")).hint("width x height in mm, e.g. 520x110"))
}

/// The detector's model, if the graph has one.
fn model(graph: &Graph) -> Option<PathBuf> {
    let node = graph.nodes.iter().find(|node| node.kind() == "detect")?;
    Some(graph.folder.join(param(node, "model")?))
}

fn plan(graph: &Graph, cameras: &[Camera], figures: &Figures, plate: (f64, f64)) -> Plan {
    let frames: f64 = cameras.iter().map(|camera| camera.fps).sum();
    let node = |node: &gantry_graph::NodeSpec| {
        // Nodes of one camera have its frames, all others those of all.
        let of_camera =
            |camera: &&Camera| camera.node == node.id || camera.decode.as_deref() == Some(node.id.as_str()) || feeds(graph, node, camera);
        let mine: Vec<&Camera> = cameras.iter().filter(of_camera).collect();
        let cores: f64 = if matches!(node.kind(), "camera" | "decode" | "resize") {
            mine.iter().map(|camera| figures.cores(node.kind(), camera.fps, camera.size)).sum()
        } else {
            let scaled = mine.iter().filter(|camera| node.kind() == "detect" && camera.is_scaled_by_detector);
            let scaling: f64 = scaled.map(|camera| figures.cores("resize", camera.fps, camera.size)).sum();
            figures.cores(node.kind(), frames, (1, 1)) + scaling
        };
        NodePlan { node: node.id.clone(), kind: node.kind().to_owned(), cores: cores + figures.idle_ms / 1000.0 }
    };
    let nodes: Vec<NodePlan> = graph.nodes.iter().map(node).collect();
    let pools: Vec<PoolPlan> = pools(graph, cameras)
        .into_iter()
        .map(|pool| PoolPlan { slots: pool.slots, slot_bytes: pool.slot_bytes, megabytes: pool.bytes() / 1_000_000, output: pool.output })
        .collect();
    let cores = nodes.iter().map(|node| node.cores).sum();
    let buffers: u64 = pools.iter().map(|pool| pool.megabytes).sum();
    let (cores_here, memory_here_mb) = (std::thread::available_parallelism().map_or(1, usize::from), memory_mb());
    let mut plan = Plan {
        site: graph.file.display().to_string(),
        figures_from: figures.from.clone(),
        cameras: cameras.iter().map(|camera| camera_plan(camera, plate)).collect(),
        cores,
        cores_here,
        memory_mb: buffers + (figures.process_mb * graph.nodes.len() as f64) as u64,
        memory_here_mb,
        nodes,
        pools,
        warnings: Vec::new(),
    };
    plan.warnings = warnings(&plan, cameras, figures);
    plan
}

/// Whether `node` takes the frames that `camera` gives, straight from its decoder.
fn feeds(graph: &Graph, node: &gantry_graph::NodeSpec, camera: &Camera) -> bool {
    let decode = camera.decode.as_deref().and_then(|id| graph.node(id));
    decode.is_some_and(|decode| {
        node.inputs.iter().any(|input| matches!(&input.origin, gantry_graph::Origin::Output { node, .. } if *node == decode.id))
    })
}

fn camera_plan(camera: &Camera, plate: (f64, f64)) -> CameraPlan {
    let width = f64::from(camera.size.0);
    let px = camera.view.plate_px(width, plate);
    let legible = px.map(|px| Legible::of(px, px.0 * camera.detector_width.unwrap_or(USUAL_INPUT).min(width) / width));
    CameraPlan {
        camera: camera.name.clone(),
        width_px: camera.size.0,
        height_px: camera.size.1,
        fps: camera.fps,
        size_from: camera.size_from,
        plate_width_px: px.map(|px| px.0),
        plate_height_px: px.map(|px| px.1),
        legible,
    }
}

fn warnings(plan: &Plan, cameras: &[Camera], figures: &Figures) -> Vec<String> {
    let mut found = Vec::new();
    for camera in &plan.cameras {
        let Some((legible, width, height)) =
            camera.legible.zip(camera.plate_width_px).zip(camera.plate_height_px).map(|((l, w), h)| (l, w, h))
        else {
            continue;
        };
        let plates = format!("camera `{}`: plates {height:.0} px high and {width:.0} px wide", camera.camera);
        match legible {
            Legible::Well => {}
            Legible::Less => found.push(format!("{plates} are read less well; 90 px wide and 19 px high is what the reader wants")),
            Legible::TooSmall => {
                found.push(format!("{plates} are too small to read; zoom in, come nearer, or take a camera with more pixels"));
            }
            Legible::NotFound => found.push(format!("{plates} will not be found: the detector's input has less than 20 px of each")),
        }
    }
    let unknown = plan.cameras.iter().filter(|camera| camera.legible.is_none()).count();
    if unknown > 0 {
        found.push(format!(
            "plate size of {unknown} of {} cameras unknown: `--view CAMERA:width_m=6`, or `VIEW` in the graph",
            plan.cameras.len()
        ));
    }
    let room = plan.cores_here as f64 * FULL;
    if plan.cores > room {
        let fits = (cameras.len() as f64 * room / plan.cores).floor();
        found.push(format!(
            "{:.1} cores are wanted, {} are here: frames will be left out by `detect`; about {fits:.0} of these {} cameras fit",
            plan.cores,
            plan.cores_here,
            cameras.len()
        ));
    }
    if plan.memory_here_mb > 0 && plan.memory_mb * 10 > plan.memory_here_mb * 8 {
        found.push(format!(
            "{} MB of memory are wanted, {} MB are here; shorter queues or `POOL_MB` at `decode` save some",
            plan.memory_mb, plan.memory_here_mb
        ));
    }
    let strange: Vec<&str> =
        plan.nodes.iter().filter(|node| figures.ms.iter().all(|(kind, _)| *kind != node.kind)).map(|node| node.node.as_str()).collect();
    if !strange.is_empty() {
        found.push(format!("nobody has measured what these nodes take; they count as idle: {}", strange.join(", ")));
    }
    found
}

/// Memory of this machine; 0 where the system does not tell.
fn memory_mb() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kb| kb * 1024 / 1_000_000)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn print(plan: &Plan, plate: (f64, f64)) {
    outln!("{}\n", plan.site);
    let mut cameras = table(&["camera", "picture", "fps", "plate px", ""]);
    for camera in &plan.cameras {
        let px = camera.plate_width_px.zip(camera.plate_height_px);
        cameras.add_row([
            camera.camera.clone(),
            format!("{}x{}", camera.width_px, camera.height_px),
            format!("{:.0}", camera.fps),
            px.map_or_else(|| "unknown".to_owned(), |(w, h)| format!("{w:.0}x{h:.0}")),
            match camera.legible {
                None => format!("size {}", camera.size_from),
                Some(Legible::Well) => "read well".to_owned(),
                Some(Legible::Less) => "read less well".to_owned(),
                Some(Legible::TooSmall) => "too small".to_owned(),
                Some(Legible::NotFound) => "not found".to_owned(),
            },
        ]);
    }
    outln!("{cameras}\n  (plates of {:.0}x{:.0} mm)\n", plate.0, plate.1);
    let mut by_kind: Vec<(&str, usize, f64)> = Vec::new();
    for node in &plan.nodes {
        match by_kind.iter_mut().find(|(kind, ..)| *kind == node.kind) {
            Some((_, count, cores)) => (*count, *cores) = (*count + 1, *cores + node.cores),
            None => by_kind.push((&node.kind, 1, node.cores)),
        }
    }
    let mut load = table(&["node", "processes", "cores"]);
    for (kind, count, cores) in by_kind {
        load.add_row([kind.to_owned(), count.to_string(), format!("{cores:.2}")]);
    }
    outln!("{load}\n");
    let mut pools = table(&["buffers of", "slots", "MB at most"]);
    for pool in &plan.pools {
        pools.add_row([pool.output.clone(), pool.slots.to_string(), pool.megabytes.to_string()]);
    }
    outln!("{pools}\n");
    outln!("load    {:.2} of {} cores, with a vehicle in every picture; figures: {}", plan.cores, plan.cores_here, plan.figures_from);
    outln!("memory  {} of {} MB, with every buffer written", plan.memory_mb, plan.memory_here_mb);
    for warning in &plan.warnings {
        outln!("warning: {warning}");
    }
}

//! `gantry ocr`: plates of still pictures, with every step shown: each variant's picture, its text, the vote.
//!
//! A scene goes the way of the graph: letterbox and detector, crop with levelling and upscaling, operators, reader, vote. A
//! picture of nothing but a plate is read as it is. The parameters are the defaults of the nodes' contracts.

mod engine;
mod sheet;

use crate::failure::Failure;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use engine::{Engine, Models, Plate, Seen};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `gantry ocr`.
#[derive(Args)]
pub struct OcrArgs {
    /// Pictures: PNG, JPEG, or whatever FFmpeg reads; of a video the first frame.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The pictures show nothing but a plate: do not look for one.
    #[arg(long)]
    plate: bool,
    /// Score from which a detection is taken for a plate.
    #[arg(long, value_name = "SCORE", default_value_t = 0.5)]
    min_plate_confidence: f32,
    /// Write every variant's picture into this folder, and all of them with their texts in `sheet.jpg`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The reader, an ONNX file. Default: models/reader.onnx of the project.
    #[arg(long, value_name = "ONNX")]
    model: Option<PathBuf>,
    /// The detector, an ONNX file. Default: models/detector.onnx of the project.
    #[arg(long, value_name = "ONNX")]
    detector: Option<PathBuf>,
    /// Operators to run, separated by commas; an empty text for the original alone. Default: those of `enhance`.
    #[arg(long, value_name = "NAMES")]
    operators: Option<String>,
    /// Folders of the operator libraries, separated by colons. Default: the folder of this program.
    #[arg(long, value_name = "DIRS")]
    operator_path: Option<String>,
    /// One JSON array on stdout instead of tables.
    #[arg(long)]
    json: bool,
}

/// What was found in one picture.
#[derive(Serialize)]
struct Page {
    image: PathBuf,
    #[serde(flatten)]
    seen: Seen,
}

/// Reads every picture, prints, writes.
pub fn run(args: &OcrArgs) -> Result<(), Failure> {
    let missing: Vec<String> = args.images.iter().filter(|p| !p.is_file()).map(|p| format!("`{}`", p.display())).collect();
    if !missing.is_empty() {
        return Err(Failure::refused(format!("{}: no such file", missing.join(", "))).hint("name pictures: PNG, JPEG"));
    }
    if let Some(dir) = &args.out {
        std::fs::create_dir_all(dir)
            .map_err(|e| Failure::refused(format!("{}: {e}", dir.display())).hint("name a folder that can be written with `--out`"))?;
    }
    let mut engine = Engine::open(&Models {
        reader: model(args.model.as_deref(), "models/reader.onnx", "--model")?,
        detector: if args.plate { None } else { Some(model(args.detector.as_deref(), "models/detector.onnx", "--detector")?) },
        operators: args.operators.as_deref(),
        operator_path: args.operator_path.as_deref(),
        min_plate_confidence: args.min_plate_confidence,
    })?;
    let mut pages = Vec::with_capacity(args.images.len());
    let mut unreadable = 0;
    for image in &args.images {
        match engine.read(image) {
            Ok(mut seen) => {
                if let Some(dir) = &args.out {
                    sheet::write_pictures(dir, image, &mut seen.plates)?;
                }
                let page = Page { image: image.clone(), seen };
                if !args.json {
                    print(&page);
                }
                pages.push(page);
            }
            Err(failure) => {
                failure.print();
                unreadable += 1;
            }
        }
    }
    if args.json {
        let text = serde_json::to_string_pretty(&pages).map_err(|e| Failure::failed(format!("result as JSON: {e}")))?;
        outln!("{text}");
    }
    if let Some(dir) = args.out.as_ref().filter(|_| pages.iter().any(|p| !p.seen.plates.is_empty())) {
        let rows: Vec<(&Path, &Plate)> = pages.iter().flat_map(|p| p.seen.plates.iter().map(|plate| (p.image.as_path(), plate))).collect();
        let path = sheet::write_sheet(dir, &rows)?;
        if !args.json {
            outln!("pictures: {}", path.display());
        }
    }
    match unreadable {
        0 => Ok(()),
        n => Err(Failure::failed(format!("{n} of {} pictures could not be read", args.images.len()))),
    }
}

/// The model that was named, else the project's.
fn model(named: Option<&Path>, default: &str, option: &str) -> Result<PathBuf, Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => crate::paths::project().map(|p| p.join(default)).ok_or_else(|| {
            Failure::refused(format!("{default} was not found"))
                .hint(format!("run this inside the project, or name a model with `{option}`"))
        })?,
    };
    if path.is_file() {
        Ok(path)
    } else {
        Err(Failure::refused(format!("model {}: no such file", path.display())).hint(format!("name an ONNX file with `{option}`")))
    }
}

/// Why the whole picture was read.
fn whole(best_rejected: Option<f32>) -> String {
    match best_rejected {
        Some(score) => format!(
            "no plate was found, the best candidate has {:.1} % (`--min-plate-confidence`); the whole picture is read as one",
            score * 100.0
        ),
        None => "the whole picture is read as a plate".to_owned(),
    }
}

fn print(page: &Page) {
    outln!("{} ({}x{})", page.image.display(), page.seen.width, page.seen.height);
    for (index, plate) in page.seen.plates.iter().enumerate() {
        match &plate.found {
            Some(found) => {
                let [x0, y0, x1, y1] = found.bbox_xyxy.map(|v| v.round() as i64);
                outln!("plate {} at {x0},{y0} to {x1},{y1}, detected with {:.1} %", index + 1, found.confidence * 100.0);
            }
            None => outln!("{}", whole(page.seen.best_rejected)),
        }
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["variant", "text", "confidence"]);
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for variant in &plate.variants {
            table.add_row([variant.variant.clone(), variant.text.clone(), format!("{:.1} %", variant.confidence * 100.0)]);
        }
        outln!("{table}");
        match &plate.vote {
            Some(vote) => {
                let syntax = if vote.syntax.is_empty() { "no known layout".to_owned() } else { format!("layout {}", vote.syntax) };
                outln!("vote: {}  {:.1} %  {syntax}, legibility {:.2}\n", vote.plate, vote.confidence * 100.0, plate.legibility);
            }
            None => outln!("vote: no text of a plate's length, legibility {:.2}\n", plate.legibility),
        }
    }
}

//! What a frame costs: as written down in docs/performance.md, or measured here.

use crate::failure::Failure;
use gantry_inference::{Detector, Device, Options, Selection};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// Width of the pictures that the figures are for.
const FIGURE_PIXELS: f64 = 1920.0 * 1080.0;
/// How long the detector is measured.
const MEASURED: Duration = Duration::from_secs(3);

/// CPU ms of one core per frame of 1080p, by node kind, with traffic as in the shipped clips: a vehicle is nearly always in the picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Where they come from.
    pub from: String,
    /// By kind.
    pub ms: Vec<(&'static str, f64)>,
    /// CPU ms that any process takes per second, busy or not.
    pub idle_ms: f64,
    /// Memory of one process without its buffers, MB.
    pub process_mb: f64,
}

impl Figures {
    /// docs/performance.md: 2 cores of an AMD EPYC, 2026-11-27, the graph with two clips of 128 s; the sum of track, crop, enhance and vote in the
    /// proportion of the table before it, `camera` and `visits` from live cameras.
    #[must_use]
    pub fn written_down() -> Self {
        Self {
            from: "docs/performance.md (AMD EPYC, 2026-11-27)".to_owned(),
            ms: vec![
                ("camera", 1.0),
                ("decode", 3.23),
                ("resize", 0.55),
                ("detect", 5.46),
                ("track", 0.1),
                ("crop", 0.52),
                ("enhance", 0.33),
                ("recognize", 4.36),
                ("vote", 0.16),
                ("store", 0.01),
                ("visits", 0.1),
                ("metrics", 0.0),
                ("preview", 0.05),
            ],
            idle_ms: 4.6,
            // 617 MB of 13 processes, less the pools that they had touched.
            process_mb: 36.0,
        }
    }

    /// The same, with the decoder and the detector measured on this machine, and all else in the proportion of the two.
    ///
    /// # Errors
    /// If the clip or the model cannot be used.
    pub fn measured(clip: &Path, model: Option<&Path>) -> Result<Self, Failure> {
        let mut figures = Self::written_down();
        let report = gantry_media::probe(&clip.display().to_string(), &gantry_media::OpenOptions::default())
            .map_err(|e| Failure::refused(e.to_string()))?;
        let pixels = f64::from(report.width) * f64::from(report.height);
        let cpu_s =
            report.cpu_s_per_video_s.ok_or_else(|| Failure::refused(format!("{}: no frame rate to measure with", clip.display())))?;
        let decode = 1000.0 * cpu_s / report.fps * FIGURE_PIXELS / pixels;
        let (before, mut now) = (figures.of("decode"), decode);
        let mut before_all = before;
        let mut said = format!("measured here: decode {decode:.2} ms");
        let detect = model.map(detector_ms).transpose()?;
        if let Some(detect) = detect {
            before_all += figures.of("detect");
            now += detect;
            said.push_str(&format!(", detect {detect:.2} ms"));
        }
        let factor = now / before_all;
        for (kind, ms) in &mut figures.ms {
            *ms = match *kind {
                "decode" => decode,
                "detect" => detect.unwrap_or(*ms * factor),
                _ => *ms * factor,
            };
        }
        figures.from = format!("{said}; the rest is {factor:.2} times docs/performance.md");
        Ok(figures)
    }

    /// ms per frame of that kind; 0 for kinds that nobody measured.
    #[must_use]
    pub fn of(&self, kind: &str) -> f64 {
        self.ms.iter().find(|(name, _)| *name == kind).map_or(0.0, |(_, ms)| *ms)
    }

    /// Cores for `fps` frames per second of that size.
    #[must_use]
    pub fn cores(&self, kind: &str, fps: f64, (width, height): (u32, u32)) -> f64 {
        // What comes before the model works on all pixels; the model has an input of one size, and plates are cut out.
        let share = if matches!(kind, "camera" | "decode" | "resize") { f64::from(width) * f64::from(height) / FIGURE_PIXELS } else { 1.0 };
        self.of(kind) * share * fps / 1000.0
    }
}

/// Width in px of what the detector takes.
///
/// # Errors
/// If the model cannot be opened.
pub fn detector_width(model: &Path) -> Result<f64, gantry_inference::ModelError> {
    let options = Options { device: Device::Cpu, threads: 1, ..Options::default() };
    Ok(Detector::open(model, &options)?.info().image.width as f64)
}

/// CPU ms of one run of the detector on one thread.
fn detector_ms(model: &Path) -> Result<f64, Failure> {
    let options = Options { device: Device::Cpu, threads: 1, ..Options::default() };
    let refused = |e: gantry_inference::ModelError| Failure::refused(e.to_string()).hint(e.hint());
    let mut detector = Detector::open(model, &options).map_err(refused)?;
    let (element, dims) = detector.picture();
    let words = vec![0x5a5a_5a5a_5a5a_5a5a_u64; (dims.iter().product::<usize>() * element.size()).div_ceil(8)];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let picture = &bytes[..dims.iter().product::<usize>() * element.size()];
    let selection = Selection { wanted: vec![Some((0, 0.25)); detector.classes().len()], nms_iou: 0.5, max_detections: 64 };
    detector.detect(picture, &selection).map_err(refused)?;
    let mut times = Vec::new();
    let began = Instant::now();
    while times.len() < 10 || began.elapsed() < MEASURED {
        let run = Instant::now();
        detector.detect(picture, &selection).map_err(refused)?;
        times.push(run.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    // A busy machine only ever makes a run longer.
    Ok(times[times.len() / 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_follows_rate_and_pixels_where_all_pixels_are_touched() {
        let figures = Figures::written_down();
        let cores = |kind, size| figures.cores(kind, 30.0, size);
        assert!((cores("decode", (1920, 1080)) - 0.0969).abs() < 1e-9);
        assert!((cores("decode", (3840, 2160)) - 0.3876).abs() < 1e-9);
        assert!((cores("detect", (3840, 2160)) - 0.1638).abs() < 1e-9);
        assert_eq!(cores("my_node", (1920, 1080)), 0.0);
    }
}

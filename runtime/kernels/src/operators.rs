//! The preprocessing operators on batches of grey crops, as `operators/*` on the CPU.

use bytemuck::{Pod, Zeroable};
use gantry_operators::pixels::Gaussian;

use crate::cut::largest;
use crate::launch::{batch, batch_of, filled};
use crate::morphology::{Extreme, extremes};
use crate::{GreyView, Kernel, KernelError, Launch, Morphology, Region, Scratch};

/// Crops of one launch.
const MOST: usize = 64;
/// Crops of one launch of CLAHE.
const MOST_CLAHE: usize = 48;
/// Threads of a block that counts levels: one per level.
const LEVELS: [u32; 3] = [256, 1, 1];
/// A tile of CLAHE is no smaller, as in `operators/clahe`.
const MIN_TILE_PX: u32 = 24;
/// Most weights of a blur: the middle and one side.
const MOST_WEIGHTS: usize = 128;

/// How `adaptive_threshold` weighs the surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// Near pixels count more.
    Gaussian,
    /// All count the same.
    Mean,
}

/// An operator with its options: names, ranges and meanings as in `docs/operators.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operator {
    /// Contrast-limited adaptive histogram equalisation.
    Clahe {
        /// A level may hold this many times its even share of a tile.
        clip_limit: f64,
        /// Most tiles along each side.
        tiles: u32,
    },
    /// Histogram equalisation of the whole crop.
    Equalize,
    /// Black and white against the local mean.
    AdaptiveThreshold {
        /// How the surroundings are weighed.
        mean: Surroundings,
        /// Side of the surroundings, odd, in px.
        block_px: u32,
        /// Levels by which a pixel must be darker than its surroundings to be black.
        c: i32,
    },
    /// Minimum and maximum over a rectangle.
    Morphology {
        /// What is made of them.
        operation: Morphology,
        /// Width of the rectangle in px.
        width_px: u32,
        /// Height of the rectangle in px.
        height_px: u32,
    },
    /// Unsharp mask.
    Sharpen {
        /// Width of the blur in px.
        sigma_px: f64,
        /// How much of the difference is added.
        amount: f64,
        /// Differences up to this many levels stay.
        threshold: i32,
    },
}

/// `GreyJob` in operators.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct GreyJob {
    from: u64,
    out: u64,
    from_stride: u32,
    out_stride: u32,
    width: u32,
    height: u32,
}
batch!(GreyJob, 64);

/// `ClaheJob` in operators.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ClaheJob {
    from: u64,
    out: u64,
    tables: u64,
    clip_limit: f64,
    from_stride: u32,
    out_stride: u32,
    width: u32,
    height: u32,
    across: u32,
    down: u32,
}
batch!(ClaheJob, 48);

/// `BlurJob` in operators.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct BlurJob {
    from: u64,
    out: u64,
    middle: u64,
    from_stride: u32,
    out_stride: u32,
    width: u32,
    height: u32,
}

/// `BlurBatch` in operators.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct BlurBatch {
    count: u32,
    radius: u32,
    is_gaussian: u32,
    finish: u32,
    amount: i32,
    threshold: i32,
    weights_q14: [i32; MOST_WEIGHTS],
    jobs: [BlurJob; MOST],
}

/// BT.601 luma of RGB crops, u8 `[height, width, 3]` with rows `stride` bytes apart: each into a grey picture of its size.
///
/// # Errors
/// [`KernelError::Pixels`] if a crop does not lie in its region.
pub fn grey_from_rgb(crops: &[(Region, u32, GreyView)]) -> Result<Vec<Launch>, KernelError> {
    let mut jobs = Vec::new();
    for (rgb, stride, to) in crops {
        let from = rgb.rows("rgb", 3 * u64::from(to.width), to.height.into(), (*stride).into())?;
        jobs.push(GreyJob { from, out: to.address, from_stride: *stride, out_stride: to.stride, width: to.width, height: to.height });
    }
    Ok(grey_launches(Kernel::Greys, &jobs))
}

fn grey_launches(kernel: Kernel, jobs: &[GreyJob]) -> Vec<Launch> {
    let launch = |jobs: &[GreyJob]| {
        let size = largest(jobs.iter().map(|j| (j.width, j.height)));
        let batch = batch_of::<_, MOST>(jobs);
        match kernel {
            // One block per crop.
            Kernel::Equalize => Launch::new(kernel, [1, 1, jobs.len() as u32], LEVELS, 0, &batch),
            _ => Launch::pixels(kernel, size, jobs.len(), &batch),
        }
    };
    jobs.chunks(MOST).map(launch).collect()
}

/// Runs `operator` on each first picture and writes the second, which has its size and lies elsewhere.
///
/// # Errors
/// [`KernelError::Parameter`] for options out of range, [`KernelError::Sizes`] if those of a pair differ, [`KernelError::Scratch`].
pub fn operate(operator: &Operator, pairs: &[(GreyView, GreyView)], scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    for (from, to) in pairs {
        if from.size() != to.size() {
            return Err(KernelError::Sizes { from: from.size(), to: to.size() });
        }
    }
    match *operator {
        Operator::Clahe { clip_limit, tiles } => clahe(pairs, clip_limit, tiles, scratch),
        Operator::Equalize => {
            let job = |(from, to): &(GreyView, GreyView)| GreyJob {
                from: from.address,
                out: to.address,
                from_stride: from.stride,
                out_stride: to.stride,
                width: from.width,
                height: from.height,
            };
            Ok(grey_launches(Kernel::Equalize, &pairs.iter().map(job).collect::<Vec<_>>()))
        }
        Operator::AdaptiveThreshold { mean, block_px, c } => {
            if !(3..=255).contains(&block_px) || block_px.is_multiple_of(2) {
                return Err(wrong("adaptive_threshold", "block_px", block_px, "an odd number from 3 to 255"));
            }
            let radius = block_px / 2;
            let gaussian = Gaussian::new(0.3 * (f64::from(radius) - 1.0) + 0.8, radius as usize);
            let weights = (mean == Surroundings::Gaussian).then(|| gaussian.weights_q14().to_vec());
            blur(pairs, radius, weights.as_deref(), Finish { kind: 0, amount: c, threshold: 0 }, scratch)
        }
        Operator::Morphology { operation, width_px, height_px } => {
            if !(1..=64).contains(&width_px) || !(1..=64).contains(&height_px) {
                let found = format!("{width_px}x{height_px}");
                return Err(wrong("morphology", "width_px", found, "1 to 64 px each way"));
            }
            morphology(operation, pairs, width_px, height_px, scratch)
        }
        Operator::Sharpen { sigma_px, amount, threshold } => {
            if !(0.3..=16.0).contains(&sigma_px) {
                return Err(wrong("sharpen", "sigma_px", sigma_px, "0.3 to 16"));
            }
            if !(0.0..=10.0).contains(&amount) {
                return Err(wrong("sharpen", "amount", amount, "0 to 10"));
            }
            let gaussian = Gaussian::new(sigma_px, (3.0 * sigma_px).ceil() as usize);
            let weights = gaussian.weights_q14();
            let finish = Finish { kind: 1, amount: (amount * 256.0).round() as i32, threshold };
            blur(pairs, weights.len() as u32 - 1, Some(weights), finish, scratch)
        }
    }
}

fn wrong(operator: &'static str, parameter: &'static str, found: impl ToString, wanted: &'static str) -> KernelError {
    KernelError::Parameter { operator, parameter, found: found.to_string(), wanted }
}

fn clahe(pairs: &[(GreyView, GreyView)], clip_limit: f64, tiles: u32, scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    if !(1..=64).contains(&tiles) || !(1.0..=100.0).contains(&clip_limit) {
        return Err(wrong("clahe", "tiles", format!("{tiles} with clip_limit {clip_limit}"), "1 to 64 tiles and a clip_limit of 1 to 100"));
    }
    let mut jobs = Vec::new();
    for (from, to) in pairs {
        let grid = |side: u32| (side / MIN_TILE_PX).clamp(1, tiles);
        let (across, down) = (grid(from.width), grid(from.height));
        let tables = scratch.take(256 * u64::from(across) * u64::from(down))?.address;
        jobs.push(ClaheJob {
            from: from.address,
            out: to.address,
            tables,
            clip_limit,
            from_stride: from.stride,
            out_stride: to.stride,
            width: from.width,
            height: from.height,
            across,
            down,
        });
    }
    let mut launches = Vec::new();
    for jobs in jobs.chunks(MOST_CLAHE) {
        let batch = batch_of::<_, MOST_CLAHE>(jobs);
        let tiles = jobs.iter().map(|j| j.across * j.down).max().unwrap_or(1);
        launches.push(Launch::new(Kernel::ClaheTables, [tiles, 1, jobs.len() as u32], LEVELS, 0, &batch));
        launches.push(Launch::pixels(Kernel::ClaheMix, largest(jobs.iter().map(|j| (j.width, j.height))), jobs.len(), &batch));
    }
    Ok(launches)
}

/// What becomes of a pixel and the mean of its surroundings.
#[derive(Clone, Copy)]
struct Finish {
    /// THRESHOLD or SHARPEN of operators.cu.
    kind: u32,
    amount: i32,
    threshold: i32,
}

fn blur(
    pairs: &[(GreyView, GreyView)],
    radius: u32,
    weights: Option<&[i32]>,
    finish: Finish,
    scratch: &mut Scratch,
) -> Result<Vec<Launch>, KernelError> {
    let mut weights_q14 = [0; MOST_WEIGHTS];
    weights_q14.iter_mut().zip(weights.unwrap_or_default()).for_each(|(to, from)| *to = *from);
    let mut launches = Vec::new();
    for pairs in pairs.chunks(MOST) {
        let mut jobs = Vec::new();
        for (from, to) in pairs {
            let middle = scratch.take(2 * u64::from(from.width) * u64::from(from.height))?.address;
            jobs.push(BlurJob {
                from: from.address,
                out: to.address,
                middle,
                from_stride: from.stride,
                out_stride: to.stride,
                width: from.width,
                height: from.height,
            });
        }
        let batch = BlurBatch {
            count: jobs.len() as u32,
            radius,
            is_gaussian: weights.is_some().into(),
            finish: finish.kind,
            amount: finish.amount,
            threshold: finish.threshold,
            weights_q14,
            jobs: filled(&jobs),
        };
        let size = largest(jobs.iter().map(|j| (j.width, j.height)));
        launches.push(Launch::pixels(Kernel::BlurRows, size, jobs.len(), &batch));
        launches.push(Launch::pixels(Kernel::BlurColumns, size, jobs.len(), &batch));
    }
    Ok(launches)
}

fn morphology(
    operation: Morphology,
    pairs: &[(GreyView, GreyView)],
    width_px: u32,
    height_px: u32,
    scratch: &mut Scratch,
) -> Result<Vec<Launch>, KernelError> {
    let mut launches = Vec::new();
    for pairs in pairs.chunks(Extreme::MOST) {
        launches.extend(extremes(operation, pairs, width_px, height_px, scratch)?);
    }
    Ok(launches)
}

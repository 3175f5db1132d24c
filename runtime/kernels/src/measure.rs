//! Numbers about crops, as `legibility` and `estimate_slant` in gantry-images.

use bytemuck::{Pod, Zeroable};
use gantry_images::{PixelsError, Window};

use crate::launch::{batch, batch_of};
use crate::plane::{Resize, resize};
use crate::{FrameView, GreyView, Kernel, KernelError, Launch, Region, Scratch};

/// Height at which legibility is measured, in px.
const HEIGHT: u32 = 64;
/// Crops of one launch.
const MOST: usize = 128;
/// Threads of a block: one block per crop.
const THREADS: [u32; 3] = [256, 1, 1];
/// Bins of the slope's kernel, and the steepest slope that it looks for.
const MAX_BINS: u32 = 1024;
const MAX_SLOPE: f32 = 0.25;
/// Smallest side of a picture with a slope.
const MIN_SIDE: u32 = 12;

/// `MeasureJob` in measure.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct MeasureJob {
    from: u64,
    out: u64,
    width: u32,
    height: u32,
}
batch!(MeasureJob, 128);

/// What [`slants`] writes per picture.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct Measured {
    /// Pixels down per pixel to the right.
    pub slope: f32,
    /// How much better the edges line up at `slope` than level; 0 where there is nothing to trust.
    pub gain: f32,
}

/// Where in a frame a slope is looked for, and the size of the picture that it is looked for in: at least 12x12 px.
#[derive(Clone, Copy, Debug)]
pub struct SlantJob {
    /// The frame.
    pub frame: FrameView,
    /// The part of it.
    pub window: Window,
    /// Width in px.
    pub width: u32,
    /// Height in px.
    pub height: u32,
}

/// The legibility of each crop, f32 one after the other from the start of `out`.
///
/// # Errors
/// [`KernelError::Pixels`] if `out` is too short, [`KernelError::Shrink`], [`KernelError::Scratch`].
pub fn legibility(crops: &[GreyView], out: Region, scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    if crops.is_empty() {
        return Ok(Vec::new());
    }
    let out = out.bytes("legibility", 4 * crops.len() as u64)?;
    let mut parts = Vec::new();
    for crop in crops {
        let width = (crop.width * HEIGHT).div_ceil(crop.height).clamp(8, 1024);
        let window = [0.0, 0.0, f64::from(crop.width), f64::from(crop.height)];
        parts.push(Resize { from: *crop, window, to: GreyView::scratch(width, HEIGHT, scratch)? });
    }
    measured(Kernel::Legibilities, &parts, out, 4, scratch)
}

/// The slope of the lines of each window, [`Measured`] one after the other from the start of `out`.
///
/// # Errors
/// [`KernelError::Pixels`] if `out` is too short or a picture too small, [`KernelError::Shrink`], [`KernelError::Scratch`].
pub fn slants(jobs: &[SlantJob], out: Region, scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let out = out.bytes("slopes", (size_of::<Measured>() * jobs.len()) as u64)?;
    let mut parts = Vec::new();
    for job in jobs {
        let reach = (MAX_SLOPE * job.width as f32 / 2.0).ceil() as u32 + 2;
        if job.width < MIN_SIDE || job.height < MIN_SIDE || job.height.saturating_add(2 * reach) > MAX_BINS {
            return Err(PixelsError::Empty { width: job.width as usize, height: job.height as usize }.into());
        }
        let Window { x, y, width, height } = job.window;
        let from =
            GreyView { address: job.frame.planes.y, width: job.frame.width, height: job.frame.height, stride: job.frame.planes.y_stride };
        parts.push(Resize { from, window: [x, y, width, height], to: GreyView::scratch(job.width, job.height, scratch)? });
    }
    measured(Kernel::Slants, &parts, out, size_of::<Measured>() as u64, scratch)
}

fn measured(kernel: Kernel, parts: &[Resize], out: u64, bytes: u64, scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    let mut launches = resize(parts, scratch)?;
    let jobs: Vec<MeasureJob> = (0u64..)
        .zip(parts)
        .map(|(i, part)| MeasureJob { from: part.to.address, out: out + bytes * i, width: part.to.width, height: part.to.height })
        .collect();
    launches.extend(jobs.chunks(MOST).map(|jobs| Launch::new(kernel, [1, 1, jobs.len() as u32], THREADS, 0, &batch_of::<_, MOST>(jobs))));
    Ok(launches)
}

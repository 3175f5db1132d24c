//! Grey pictures at another size, as `resize_gray` and `Cutter::luma` in gantry-images.

use bytemuck::{Pod, Zeroable};
use gantry_images::Filter;

use crate::axis::{Axes, Axis, Span, tile_rows, tiles};
use crate::launch::filled;
use crate::{Kernel, KernelError, Launch, Region, Scratch};

/// Planes of one launch.
const MOST: usize = 32;

/// Grey, u8 `[height, width]`, whose rows were checked against their memory.
#[derive(Clone, Copy, Debug)]
pub struct GreyView {
    pub(crate) address: u64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) stride: u32,
}

impl GreyView {
    /// Rows of `width` bytes, `stride` apart, from the start of `region`.
    ///
    /// # Errors
    /// [`KernelError::Pixels`] if they do not lie in it.
    pub fn new(region: Region, width: u32, height: u32, stride: u32) -> Result<Self, KernelError> {
        let address = region.rows("grey", width.into(), height.into(), stride.into())?;
        Ok(Self { address, width, height, stride })
    }

    /// Width and height in px.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// A new picture in scratch, without padding.
    pub(crate) fn scratch(width: u32, height: u32, scratch: &mut Scratch) -> Result<Self, KernelError> {
        let region = scratch.take(u64::from(width) * u64::from(height))?;
        Self::new(region, width, height, width)
    }
}

/// `PlaneJob` in resample.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct PlaneJob {
    from: u64,
    across: Axis,
    down: Axis,
    out: u64,
    from_stride: u32,
    out_stride: u32,
    width: u32,
    height: u32,
}

/// `PlaneBatch` in resample.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct PlaneBatch {
    count: u32,
    columns: u32,
    reserved: [u32; 2],
    jobs: [PlaneJob; MOST],
}

/// A part `[x, y, width, height]` of a plane, which may reach beyond it, and the picture that it becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resize {
    pub from: GreyView,
    pub window: [f64; 4],
    pub to: GreyView,
}

/// Stretches each first picture to the size of the second: bilinear when growing, a widened triangle when shrinking.
///
/// # Errors
/// [`KernelError::Shrink`], [`KernelError::Scratch`].
pub fn resize_grey(pairs: &[(GreyView, GreyView)], scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    let whole = |from: &GreyView| [0.0, 0.0, f64::from(from.width), f64::from(from.height)];
    let parts: Vec<Resize> = pairs.iter().map(|(from, to)| Resize { from: *from, window: whole(from), to: *to }).collect();
    resize(&parts, scratch)
}

pub(crate) fn resize(parts: &[Resize], scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    let mut axes = Axes::default();
    let (mut jobs, mut launches) = (Vec::new(), Vec::new());
    for Resize { from, window: [x, y, width, height], to } in parts {
        let across = Span { source: from.width, start: *x, length: *width, out: to.width, filter: Filter::Triangle };
        let down = Span { source: from.height, start: *y, length: *height, out: to.height, filter: Filter::Triangle };
        let job = PlaneJob {
            from: from.address,
            across: axes.add(&across, scratch)?,
            down: axes.add(&down, scratch)?,
            out: to.address,
            from_stride: from.stride,
            out_stride: to.stride,
            width: to.width,
            height: to.height,
        };
        jobs.push((job, across.columns(), width / f64::from(to.width)));
    }
    launches.extend(axes.launches());
    for jobs in jobs.chunks(MOST) {
        let columns = jobs.iter().map(|(_, columns, _)| *columns).max().unwrap_or(0);
        let shrinks = jobs.iter().map(|(_, _, scale)| *scale).fold(1.0, f64::max);
        let (threads, shared_bytes) = tile_rows(columns, shrinks)?;
        let most = |pick: fn(&PlaneJob) -> u32| jobs.iter().map(|(job, ..)| pick(job)).max().unwrap_or(1);
        let all: Vec<PlaneJob> = jobs.iter().map(|(job, ..)| *job).collect();
        let batch = PlaneBatch { count: jobs.len() as u32, columns: columns as u32, reserved: [0; 2], jobs: filled(&all) };
        let blocks = tiles((most(|j| j.width), most(|j| j.height)), threads, jobs.len());
        launches.push(Launch::new(Kernel::Planes, blocks, threads, shared_bytes, &batch));
    }
    Ok(launches)
}

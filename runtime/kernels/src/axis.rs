//! Weights of resampling filters, made on the device.

use bytemuck::{Pod, Zeroable};
use gantry_images::{Filter, Taps};

use crate::launch::{batch, batch_of};
use crate::{Kernel, KernelError, Launch, Scratch};

/// Pixels of a tile's row in resample.cu.
const TILE: u32 = 32;
/// Shared memory that a block has on every card without asking for more.
const SHARED_BYTES: u64 = 48 * 1024;
/// Axes of one launch.
const MOST: usize = 48;
/// Threads of a block that makes weights.
const THREADS: u32 = 128;

/// `Axis` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct Axis {
    first: u64,
    weights: u64,
    pub count: u32,
    reserved: u32,
}

/// `AxisJob` in axes.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct AxisJob {
    start: f64,
    length: f64,
    to: Axis,
    source: u32,
    out: u32,
    filter: u32,
    reserved: u32,
}
batch!(AxisJob, 48);

/// The axes of the pictures of a plan.
#[derive(Debug, Default)]
pub(crate) struct Axes {
    jobs: Vec<AxisJob>,
}

/// What one axis is to do: `start..start + length` of `source` samples becomes `out` samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub source: u32,
    pub start: f64,
    pub length: f64,
    pub out: u32,
    pub filter: Filter,
}

impl Span {
    fn count(&self) -> u32 {
        Taps::count_of(self.source as usize, self.length, self.out as usize, self.filter) as u32
    }

    /// The most samples that a tile's row needs of this axis.
    pub fn columns(&self) -> u64 {
        // From the first tap of the first pixel to the last tap of the last one; a ceiling of a sum is at most one above the sum of ceilings.
        let apart = (f64::from(TILE.min(self.out) - 1) * self.length / f64::from(self.out)).ceil() as u64 + 1;
        (apart + u64::from(self.count())).min(self.source.into())
    }
}

impl Axes {
    /// Asks for the weights of one axis.
    pub fn add(&mut self, span: &Span, scratch: &mut Scratch) -> Result<Axis, KernelError> {
        let (count, out) = (span.count(), u64::from(span.out));
        let first = scratch.take(4 * out)?.address;
        let weights = scratch.take(2 * out * u64::from(count))?.address;
        let to = Axis { first, weights, count, reserved: 0 };
        let Span { source, start, length, out, filter } = *span;
        let filter = u32::from(filter == Filter::CatmullRom);
        self.jobs.push(AxisJob { start, length, to, source, out, filter, reserved: 0 });
        Ok(to)
    }

    /// The launches that make them; they come before what uses them.
    pub fn launches(&self) -> impl Iterator<Item = Launch> {
        self.jobs.chunks(MOST).map(|jobs| {
            let longest = jobs.iter().map(|job| job.out).max().unwrap_or(1);
            let blocks = [longest.div_ceil(THREADS), jobs.len() as u32, 1];
            Launch::new(Kernel::Axes, blocks, [THREADS, 1, 1], 0, &batch_of::<_, MOST>(jobs))
        })
    }
}

/// Rows of a block that makes tiles, and its shared memory, when a row of a tile takes `samples` samples between the passes.
pub(crate) fn tile_rows(samples: u64, scale: f64) -> Result<([u32; 3], u32), KernelError> {
    let bytes = |rows: u32| u64::from(rows) * samples * 2;
    let rows = [8, 4, 2, 1].into_iter().find(|rows| bytes(*rows) <= SHARED_BYTES);
    let rows = rows.ok_or(KernelError::Shrink { by: scale, samples })?;
    Ok(([TILE, rows, 1], bytes(rows) as u32))
}

/// Blocks that cover `count` pictures of at most `width` x `height`.
pub(crate) fn tiles((width, height): (u32, u32), threads: [u32; 3], count: usize) -> [u32; 3] {
    [width.div_ceil(TILE), height.div_ceil(threads[1]), count as u32]
}

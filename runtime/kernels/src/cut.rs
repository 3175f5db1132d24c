//! Plates out of frames, as `Cutter::rgb` and `rectify` in gantry-images.

use bytemuck::{Pod, Zeroable};
use gantry_images::{Filter, Perspective, PixelsError, Shear, Window};

use crate::axis::Axes;
use crate::frame::RawColour;
use crate::launch::{batch, batch_of};
use crate::scale::{FrameJob, Place, Planned, Target, frame_launches, job};
use crate::{FrameView, Kernel, KernelError, Launch, Region, Scratch};

/// Rows kept above and below the sheared window for the four taps of the cubic.
const SHEAR_BORDER: u32 = 2;
/// Shears of one launch.
const MOST_SHEARS: usize = 64;
/// Quads of one launch.
const MOST_QUADS: usize = 20;

/// What part of a frame is cut and how it is made upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// A window, its lines made level.
    Window(Window, Shear),
    /// Four corners.
    Quad(Perspective),
}

/// One plate: u8 `[height, width, 3]` RGB, rows `stride` bytes apart from the start of `out`.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The frame.
    pub frame: FrameView,
    /// Where.
    pub look: Look,
    /// Width of the crop in px.
    pub width: u32,
    /// Height of the crop in px.
    pub height: u32,
    /// Room for the crop.
    pub out: Region,
    /// Bytes from row to row.
    pub stride: u32,
}

/// `ShearJob` in crop.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ShearJob {
    from: u64,
    out: u64,
    rows_per_column: f64,
    out_stride: u32,
    width: u32,
    height: u32,
    reach: u32,
}
batch!(ShearJob, 64);

/// `QuadJob` in crop.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct QuadJob {
    y: u64,
    u: u64,
    v: u64,
    y_stride: u32,
    chroma_stride: u32,
    chroma_bytes: u32,
    frame_width: u32,
    frame_height: u32,
    width: u32,
    height: u32,
    out_stride: u32,
    out: u64,
    matrix: [f64; 9],
    colour: RawColour,
    samples: u32,
}
batch!(QuadJob, 20);

/// Cuts plates, of any frames, in one batch. Growing (and native size) is Catmull-Rom, shrinking a widened triangle; colour is a triangle.
///
/// # Errors
/// [`KernelError::Pixels`] if a crop or window is empty or a crop does not lie in its region, [`KernelError::Shrink`], [`KernelError::Scratch`].
pub fn cut(cuts: &[Cut], scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    let mut axes = Axes::default();
    let (mut levels, mut shears, mut quads) = (Vec::new(), Vec::new(), Vec::new());
    for c in cuts {
        let out = c.out.rows("crop", 3 * u64::from(c.width), c.height.into(), c.stride.into())?;
        match c.look {
            Look::Quad(perspective) => quads.push(quad(c, &perspective, out)),
            Look::Window(window, _) if !(window.width > 0.0 && window.height > 0.0) => {
                return Err(PixelsError::Empty { width: window.width as usize, height: window.height as usize }.into());
            }
            Look::Window(window, shear) if shear.0 == 0.0 => {
                levels.push(level(c, &window, c.height, Target::rgb(out, c.stride), &mut axes, scratch)?);
            }
            Look::Window(window, shear) => {
                // A taller cut whose columns are moved, in target pixels by at most `reach`.
                let (scale_x, scale_y) = (window.width / f64::from(c.width), window.height / f64::from(c.height));
                let rows_per_column = shear.0 * scale_x / scale_y;
                let reach = (rows_per_column.abs() * f64::from(c.width) / 2.0).ceil() as u32 + SHEAR_BORDER;
                let rise = f64::from(reach) * scale_y;
                let tall = Window { y: window.y - rise, height: window.height + 2.0 * f64::from(reach) * scale_y, ..window };
                let (tall_height, stride) = (c.height + 2 * reach, 3 * c.width);
                let from = scratch.take(u64::from(stride) * u64::from(tall_height))?.address;
                levels.push(level(c, &tall, tall_height, Target::rgb(from, stride), &mut axes, scratch)?);
                shears.push(ShearJob { from, out, rows_per_column, out_stride: c.stride, width: c.width, height: c.height, reach });
            }
        }
    }
    let mut launches: Vec<Launch> = axes.launches().collect();
    launches.extend(frame_launches(&levels)?);
    launches.extend(shears.chunks(MOST_SHEARS).map(|jobs| {
        let size = largest(jobs.iter().map(|j| (j.width, j.height)));
        Launch::pixels(Kernel::Shears, size, jobs.len(), &batch_of::<_, MOST_SHEARS>(jobs))
    }));
    launches.extend(quads.chunks(MOST_QUADS).map(|jobs| {
        let size = largest(jobs.iter().map(|j| (j.width, j.height)));
        Launch::pixels(Kernel::Quads, size, jobs.len(), &batch_of::<_, MOST_QUADS>(jobs))
    }));
    Ok(launches)
}

/// A window at `height` rows, without moving columns.
fn level(
    c: &Cut,
    window: &Window,
    height: u32,
    to: Target,
    axes: &mut Axes,
    scratch: &mut Scratch,
) -> Result<Planned<FrameJob>, KernelError> {
    let filter = if window.height > f64::from(height) * 1.05 { Filter::Triangle } else { Filter::CatmullRom };
    let part = [window.x, window.y, window.width, window.height];
    job(&c.frame, part, (c.width, height), filter, to, Place::whole(c.width, height), axes, scratch)
}

fn quad(c: &Cut, perspective: &Perspective, out: u64) -> QuadJob {
    let planes = &c.frame.planes;
    QuadJob {
        y: planes.y,
        u: planes.u,
        v: planes.v,
        y_stride: planes.y_stride,
        chroma_stride: planes.chroma_stride,
        chroma_bytes: planes.chroma_bytes,
        frame_width: c.frame.width,
        frame_height: c.frame.height,
        width: c.width,
        height: c.height,
        out_stride: c.stride,
        out,
        matrix: perspective.matrix,
        colour: planes.colour,
        samples: perspective.samples,
    }
}

/// The size that covers all of them.
pub(crate) fn largest(sizes: impl Iterator<Item = (u32, u32)>) -> (u32, u32) {
    sizes.fold((1, 1), |most, size| (most.0.max(size.0), most.1.max(size.1)))
}

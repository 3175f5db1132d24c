//! Frames to the input of a model: as `FrameScaler` in gantry-images, and also f16 and other normalisations.

use bytemuck::{Pod, Zeroable};
use gantry_frames::DType;
use gantry_images::{Arrangement, Filter, Letterbox, PAD_GREY};

use crate::axis::{Axes, Axis, Span, tile_rows, tiles};
use crate::frame::FramePlanes;
use crate::launch::{batch, batch_of, filled};
use crate::{FrameView, Kernel, KernelError, Launch, Region, Scratch};

/// Frames of one launch.
const MOST: usize = 16;

/// How the input of a model lies in memory, and what its numbers mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorFormat {
    /// Type of the numbers.
    pub dtype: DType,
    /// `[3, H, W]`, else `[H, W, 3]`.
    pub is_planar: bool,
    /// A number is the level 0 to 255 times this, per channel R, G, B; of u8 tensors it is the level itself.
    pub scale: [f32; 3],
    /// Plus this.
    pub offset: [f32; 3],
}

impl TensorFormat {
    /// Levels for u8, 0.0 to 1.0 for the others.
    #[must_use]
    pub fn unit(dtype: DType, is_planar: bool) -> Self {
        Self { dtype, is_planar, scale: [1.0 / 255.0; 3], offset: [0.0; 3] }
    }

    /// `(level / 255 - mean) / deviation`, as models trained on ImageNet want it.
    #[must_use]
    pub fn normalised(dtype: DType, is_planar: bool, mean: [f32; 3], deviation: [f32; 3]) -> Self {
        let scale = deviation.map(|d| 1.0 / (255.0 * d));
        Self { dtype, is_planar, scale, offset: std::array::from_fn(|c| -mean[c] / deviation[c]) }
    }

    /// Bytes of a tensor of that size.
    #[must_use]
    pub fn byte_len(&self, width: usize, height: usize) -> u64 {
        3 * self.dtype.size() * width as u64 * height as u64
    }
}

impl From<Arrangement> for TensorFormat {
    fn from(arrangement: Arrangement) -> Self {
        match arrangement {
            Arrangement::PlanarU8 => Self::unit(DType::U8, true),
            Arrangement::PlanarF32 => Self::unit(DType::F32, true),
            Arrangement::InterleavedU8 => Self::unit(DType::U8, false),
            Arrangement::InterleavedF32 => Self::unit(DType::F32, false),
        }
    }
}

/// One frame and where its tensor goes.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// What is scaled.
    pub frame: FrameView,
    /// Where it lies in the tensor; fitted to the frame's size.
    pub letterbox: Letterbox,
    /// Room for the tensor.
    pub out: Region,
}

/// `Target` in resample.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct Target {
    out: u64,
    pixel_step: u64,
    row_step: u64,
    channel_step: u64,
    scale: [f32; 3],
    offset: [f32; 3],
    dtype: u32,
    pad_level: u32,
}

/// `Place` in resample.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct Place {
    width: u32,
    height: u32,
    left: u32,
    top: u32,
    inner_width: u32,
    inner_height: u32,
}

impl Target {
    /// RGB, u8 `[height, width, 3]`, rows `stride` bytes apart.
    pub fn rgb(out: u64, stride: u32) -> Self {
        let row_step = stride.into();
        Self { out, pixel_step: 3, row_step, channel_step: 1, scale: [1.0; 3], offset: [0.0; 3], dtype: 0, pad_level: 0 }
    }

    fn tensor(out: u64, width: u32, height: u32, format: &TensorFormat) -> Self {
        let (w, h) = (u64::from(width), u64::from(height));
        let (pixel_step, row_step, channel_step) = if format.is_planar { (1, w, w * h) } else { (3, 3 * w, 1) };
        let dtype = match format.dtype {
            DType::U8 => 0,
            DType::F16 => 1,
            DType::F32 => 2,
        };
        let TensorFormat { scale, offset, .. } = *format;
        Self { out, pixel_step, row_step, channel_step, scale, offset, dtype, pad_level: PAD_GREY.into() }
    }
}

impl Place {
    /// The picture and nothing else.
    pub fn whole(width: u32, height: u32) -> Self {
        Self { width, height, left: 0, top: 0, inner_width: width, inner_height: height }
    }

    fn of(b: &Letterbox) -> Self {
        let [width, height, left, top, inner_width, inner_height] =
            [b.width, b.height, b.left, b.top, b.inner_width, b.inner_height].map(|n| n as u32);
        Self { width, height, left, top, inner_width, inner_height }
    }
}

/// `FrameJob` in resample.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct FrameJob {
    pub frame: FramePlanes,
    pub luma_x: Axis,
    pub luma_y: Axis,
    pub chroma_x: Axis,
    pub chroma_y: Axis,
    pub to: Target,
    pub place: Place,
}

/// `FrameBatch` in resample.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct FrameBatch {
    count: u32,
    luma_columns: u32,
    chroma_columns: u32,
    reserved: u32,
    jobs: [FrameJob; MOST],
}

/// `HalfJob` in resample.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct HalfJob {
    frame: FramePlanes,
    to: Target,
    place: Place,
}
batch!(HalfJob, 16);

/// A frame's job and how many samples a row of its tiles takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned<Job> {
    pub job: Job,
    pub luma_columns: u64,
    pub chroma_columns: u64,
    pub shrinks: f64,
}

/// Scales `items` into tensors of `format`.
///
/// # Errors
/// [`KernelError::Pixels`] if a tensor does not lie in its region or a letterbox is for another size, [`KernelError::Shrink`],
/// [`KernelError::Scratch`].
pub fn scale(items: &[Scale], format: &TensorFormat, scratch: &mut Scratch) -> Result<Vec<Launch>, KernelError> {
    let mut axes = Axes::default();
    let (mut halves, mut frames) = (Vec::new(), Vec::new());
    for item in items {
        let (frame, b) = (&item.frame, &item.letterbox);
        let size = (frame.width as usize, frame.height as usize);
        if (b.source_width, b.source_height) != size {
            let found = (b.source_width, b.source_height);
            return Err(KernelError::Letterbox { found, wanted: size });
        }
        let place = Place::of(b);
        let out = item.out.bytes("tensor", format.byte_len(b.width, b.height))?;
        let to = Target::tensor(out, place.width, place.height, format);
        if frame.width == 2 * place.inner_width && frame.height == 2 * place.inner_height {
            halves.push(HalfJob { frame: frame.planes, to, place });
            continue;
        }
        let window = [0.0, 0.0, f64::from(frame.width), f64::from(frame.height)];
        frames.push(job(frame, window, (place.inner_width, place.inner_height), Filter::Triangle, to, place, &mut axes, scratch)?);
    }
    let mut launches: Vec<Launch> = axes.launches().collect();
    launches.extend(halves.chunks(MOST).map(|jobs| {
        let most = |pick: fn(&Place) -> u32| jobs.iter().map(|job| pick(&job.place)).max().unwrap_or(1);
        // A thread makes four pixels.
        Launch::pixels(Kernel::Halves, (most(|p| p.width).div_ceil(4), most(|p| p.height)), jobs.len(), &batch_of::<_, MOST>(jobs))
    }));
    launches.extend(frame_launches(&frames)?);
    Ok(launches)
}

/// The job of a window `[x, y, width, height]` of a frame that becomes `size` pixels.
#[expect(clippy::too_many_arguments)]
pub(crate) fn job(
    frame: &FrameView,
    window: [f64; 4],
    size: (u32, u32),
    filter: Filter,
    to: Target,
    place: Place,
    axes: &mut Axes,
    scratch: &mut Scratch,
) -> Result<Planned<FrameJob>, KernelError> {
    let [x, y, width, height] = window;
    let chroma = frame.chroma_size();
    let span = |source: u32, start: f64, length: f64, out: u32, filter: Filter| Span { source, start, length, out, filter };
    let luma_x = span(frame.width, x, width, size.0, filter);
    let luma_y = span(frame.height, y, height, size.1, filter);
    let chroma_x = span(chroma.0, x / 2.0, width / 2.0, size.0, Filter::Triangle);
    let chroma_y = span(chroma.1, y / 2.0, height / 2.0, size.1, Filter::Triangle);
    let mut add = |span: &Span| axes.add(span, scratch);
    let job = FrameJob {
        frame: frame.planes,
        luma_x: add(&luma_x)?,
        luma_y: add(&luma_y)?,
        chroma_x: add(&chroma_x)?,
        chroma_y: add(&chroma_y)?,
        to,
        place,
    };
    let shrinks = width / f64::from(size.0);
    Ok(Planned { job, luma_columns: luma_x.columns(), chroma_columns: chroma_x.columns(), shrinks })
}

/// The launches of jobs whose axes are there.
pub(crate) fn frame_launches(jobs: &[Planned<FrameJob>]) -> Result<Vec<Launch>, KernelError> {
    jobs.chunks(MOST)
        .map(|jobs| {
            let luma = jobs.iter().map(|j| j.luma_columns).max().unwrap_or(0);
            let chroma = jobs.iter().map(|j| j.chroma_columns).max().unwrap_or(0);
            let shrinks = jobs.iter().map(|j| j.shrinks).fold(1.0, f64::max);
            let (threads, shared_bytes) = tile_rows(luma + 2 * chroma, shrinks)?;
            let most = |pick: fn(&Place) -> u32| jobs.iter().map(|j| pick(&j.job.place)).max().unwrap_or(1);
            let blocks = tiles((most(|p| p.width), most(|p| p.height)), threads, jobs.len());
            let all: Vec<FrameJob> = jobs.iter().map(|j| j.job).collect();
            let batch = FrameBatch {
                count: jobs.len() as u32,
                luma_columns: luma as u32,
                chroma_columns: chroma as u32,
                reserved: 0,
                jobs: filled(&all),
            };
            Ok(Launch::new(Kernel::Frames, blocks, threads, shared_bytes, &batch))
        })
        .collect()
}

//! Pixel operations over borrowed pictures. Nothing here knows of dora or of pools; nothing allocates per frame once its
//! scratch has grown.
//!
//! | what | where |
//! |---|---|
//! | I420 / NV12 to a model's RGB input, scale and letterbox in one pass | [`FrameScaler`], [`Letterbox`] |
//! | a piece of a frame as RGB, upscaled with Catmull-Rom, optionally sheared upright | [`Cutter`] |
//! | four corners of a frame to an upright rectangle | [`rectify`], [`Quad`] |
//! | grey from RGB, grey to the reader's size | [`gray_from_rgb`], [`resize_gray`] |
//! | slant of the lines of a plate | [`estimate_slant`] |
//! | how readable a crop is | [`legibility`] |
//! | how bright the columns of some rows are | [`sum_columns`] |
//! | JPEG of a crop | [`encode_jpeg`] |
//!
//! Sample positions: pixel `i` covers `i..i + 1`, its centre is `i + 0.5`. Chroma is taken as sited in the centre of its four
//! luma samples; MPEG-2's left siting (a quarter of a chroma sample) and primaries and transfer are ignored.
//!
//! Arithmetic is integer (Q14 weights, Q5 colour), so every CPU gives the same bytes whichever instructions it has.

mod colour;
mod cut;
mod gray;
mod jpeg;
mod legibility;
mod letterbox;
mod quad;
mod resample;
mod scale;
mod slant;
mod sums;
mod taps;
mod view;

pub use colour::{ChromaSample, Coefficients, rgb_row};
pub use cut::{Cutter, Shear, Window};
pub use gray::{GrayScratch, gray_from_rgb, gray_from_yuv, resize_gray};
pub use jpeg::{JpegError, encode_jpeg};
pub use legibility::{LegibilityScratch, legibility};
pub use letterbox::{Letterbox, PAD_GREY, Transform};
pub use quad::{Perspective, Quad, rectify};
pub use resample::Resampler;
pub use scale::{Arrangement, FrameScaler};
pub use slant::{Slant, SlantScratch, estimate_slant};
pub use sums::sum_columns;
pub use taps::{Filter, Taps};
pub use view::{Chroma, Gray, PixelsError, Plane, Rgb, Yuv};

/// Runs an expression compiled once per instruction set (AVX-512 is left out: it is rare and no faster here), choosing at run time.
/// The called function must be `#[inline(always)]`.
macro_rules! simd {
    ($f:ident ( $($arg:ident : $ty:ty),* $(,)? )) => {{
        struct Call<'a>($($ty),*, std::marker::PhantomData<&'a ()>);
        impl<'a> pulp::NullaryFnOnce for Call<'a> {
            type Output = ();
            #[inline(always)]
            fn call(self) {
                let Call($($arg),*, _) = self;
                $f($($arg),*)
            }
        }
        pulp::Arch::new().dispatch(Call($($arg),*, std::marker::PhantomData))
    }};
}
pub(crate) use simd;

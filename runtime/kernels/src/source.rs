//! The kernels' text.

use std::ffi::CStr;

/// A text that is compiled by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Weights of resampling filters.
    Axes,
    /// Frames and planes at another size.
    Resample,
    /// Plates made upright.
    Crop,
    /// The preprocessing operators.
    Operators,
    /// Numbers about crops.
    Measure,
    /// Outputs of detectors.
    Detect,
    /// Inputs of readers.
    Input,
}

impl Source {
    /// All texts.
    pub const ALL: [Self; 7] = [Self::Axes, Self::Resample, Self::Crop, Self::Operators, Self::Measure, Self::Detect, Self::Input];
    /// What they include.
    pub const HEADERS: [(&'static str, &'static str); 1] = [("common.cuh", include_str!("../cuda/common.cuh"))];
    /// How they are compiled: contraction would round differently than the CPU does.
    pub const OPTIONS: [&'static str; 2] = ["--std=c++17", "--fmad=false"];

    /// File name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Axes => "axes.cu",
            Self::Resample => "resample.cu",
            Self::Crop => "crop.cu",
            Self::Operators => "operators.cu",
            Self::Measure => "measure.cu",
            Self::Detect => "detect.cu",
            Self::Input => "input.cu",
        }
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Axes => include_str!("../cuda/axes.cu"),
            Self::Resample => include_str!("../cuda/resample.cu"),
            Self::Crop => include_str!("../cuda/crop.cu"),
            Self::Operators => include_str!("../cuda/operators.cu"),
            Self::Measure => include_str!("../cuda/measure.cu"),
            Self::Detect => include_str!("../cuda/detect.cu"),
            Self::Input => include_str!("../cuda/input.cu"),
        }
    }

    /// The program for the compiler.
    #[must_use]
    pub fn program(self) -> gantry_cuda::Program<'static> {
        gantry_cuda::Program { name: self.name(), text: self.text(), headers: &Self::HEADERS }
    }
}

macro_rules! kernels {
    ($($kernel:ident $name:literal $source:ident $doc:literal,)*) => {
        /// A kernel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kernel {
            $(#[doc = $doc] $kernel,)*
        }

        impl Kernel {
            /// All kernels.
            pub const ALL: &'static [Self] = &[$(Self::$kernel,)*];

            /// Its name in the text.
            #[must_use]
            pub fn name(self) -> &'static CStr {
                match self {
                    $(Self::$kernel => $name,)*
                }
            }

            /// The text that has it.
            #[must_use]
            pub fn source(self) -> Source {
                match self {
                    $(Self::$kernel => Source::$source,)*
                }
            }
        }
    };
}

kernels! {
    Axes c"axes" Axes "Weights of axes.",
    Frames c"frames" Resample "Frames to RGB at another size.",
    Planes c"planes" Resample "Planes at another size.",
    Halves c"halves" Resample "Frames to RGB at half size.",
    Shears c"shears" Crop "Columns moved along a slope.",
    Quads c"quads" Crop "Four corners to a rectangle.",
    Greys c"greys" Operators "RGB to grey.",
    Equalize c"equalize" Operators "Histogram equalisation.",
    ClaheTables c"clahe_tables" Operators "CLAHE: a table per tile.",
    ClaheMix c"clahe_mix" Operators "CLAHE: the tables applied.",
    BlurRows c"blur_rows" Operators "A mean along rows.",
    BlurColumns c"blur_columns" Operators "A mean along columns, and what is made of it.",
    Extremes c"extremes" Operators "Minimum or maximum along one axis.",
    Legibilities c"legibilities" Measure "Legibility of crops.",
    Slants c"slants" Measure "Slope of the lines of crops.",
    Candidates c"candidates" Detect "Anchors of a detector that score enough.",
    Levels c"levels" Input "Grey levels to numbers of a model.",
}

//! Erosion and dilation over a rectangle, along rows and then along columns, and what is made of them.

use bytemuck::{Pod, Zeroable};

use crate::cut::largest;
use crate::launch::filled;
use crate::{GreyView, Kernel, KernelError, Launch, Scratch};

/// What `morphology` makes of minimum and maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Morphology {
    /// Erode, then dilate.
    Open,
    /// Dilate, then erode.
    Close,
    /// The picture less its opening.
    Tophat,
    /// The closing less the picture.
    Blackhat,
    /// Dilation less erosion.
    Gradient,
    /// Minimum.
    Erode,
    /// Maximum.
    Dilate,
}

/// `ExtremeJob` in operators.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ExtremeJob {
    from: u64,
    out: u64,
    other: u64,
    from_stride: u32,
    out_stride: u32,
    other_stride: u32,
    width: u32,
    height: u32,
    reserved: u32,
}

/// `ExtremeBatch` in operators.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct ExtremeBatch {
    count: u32,
    is_maximum: u32,
    is_column: u32,
    before: u32,
    after: u32,
    combine: u32,
    reserved: [u32; 2],
    jobs: [ExtremeJob; Extreme::MOST],
}

/// Erosion or dilation of a batch: two launches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extreme {
    is_maximum: bool,
    /// Left, up, right, down of the pixel.
    reach: [u32; 4],
    combine: Combine,
}

/// What becomes of the result: the numbers are those of operators.cu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combine {
    Plain = 0,
    OtherLessResult = 1,
    ResultLessOther = 2,
}

/// One crop on its way through the passes.
struct Crop {
    from: GreyView,
    /// Between rows and columns.
    middle: GreyView,
    /// Between the first and the second operation.
    first: GreyView,
    to: GreyView,
}

/// The launches of `operation` on at most [`Extreme::MOST`] crops.
pub(crate) fn extremes(
    operation: Morphology,
    pairs: &[(GreyView, GreyView)],
    width_px: u32,
    height_px: u32,
    scratch: &mut Scratch,
) -> Result<Vec<Launch>, KernelError> {
    let mut crops = Vec::new();
    for (from, to) in pairs {
        let mut own = || GreyView::scratch(from.width, from.height, scratch);
        crops.push(Crop { from: *from, middle: own()?, first: own()?, to: *to });
    }
    let (left, up) = (width_px / 2, height_px / 2);
    let reach = [left, up, width_px - 1 - left, height_px - 1 - up];
    // The second pass mirrors the rectangle, so that an even one does not shift the picture.
    let back = [reach[2], reach[3], reach[0], reach[1]];
    let erode = Extreme { is_maximum: false, reach, combine: Combine::Plain };
    let dilate = Extreme { is_maximum: true, ..erode };
    let (eroded_back, dilated_back) = (Extreme { reach: back, ..erode }, Extreme { reach: back, ..dilate });
    // From the crop into `first`, from the crop into `to`, from `first` into `to`.
    let first = |extreme: Extreme| extreme.launches(&crops, |c| (c.from, c.first, c.from));
    let only = |extreme: Extreme| extreme.launches(&crops, |c| (c.from, c.to, c.first));
    let second = |extreme: Extreme| extreme.launches(&crops, |c| (c.first, c.to, c.from));
    let (one, two) = match operation {
        Morphology::Erode => (None, only(erode)),
        Morphology::Dilate => (None, only(dilate)),
        Morphology::Open => (Some(first(erode)), second(dilated_back)),
        Morphology::Close => (Some(first(dilate)), second(eroded_back)),
        Morphology::Tophat => (Some(first(erode)), second(Extreme { combine: Combine::OtherLessResult, ..dilated_back })),
        Morphology::Blackhat => (Some(first(dilate)), second(Extreme { combine: Combine::ResultLessOther, ..eroded_back })),
        Morphology::Gradient => (Some(first(erode)), only(Extreme { combine: Combine::ResultLessOther, ..dilate })),
    };
    Ok(one.into_iter().flatten().chain(two).collect())
}

impl Extreme {
    /// Crops of one launch.
    pub const MOST: usize = 64;

    /// `pick` says from where, to where, and what the result is combined with.
    fn launches(self, crops: &[Crop], pick: impl Fn(&Crop) -> (GreyView, GreyView, GreyView)) -> [Launch; 2] {
        let [left, up, right, down] = self.reach;
        let rows = |c: &Crop| (pick(c).0, c.middle, c.middle);
        let columns = |c: &Crop| (c.middle, pick(c).1, pick(c).2);
        [self.pass(crops, rows, false, (left, right), Combine::Plain), self.pass(crops, columns, true, (up, down), self.combine)]
    }

    fn pass(
        self,
        crops: &[Crop],
        pick: impl Fn(&Crop) -> (GreyView, GreyView, GreyView),
        is_column: bool,
        (before, after): (u32, u32),
        combine: Combine,
    ) -> Launch {
        let job = |crop: &Crop| {
            let (from, to, other) = pick(crop);
            ExtremeJob {
                from: from.address,
                out: to.address,
                other: other.address,
                from_stride: from.stride,
                out_stride: to.stride,
                other_stride: other.stride,
                width: from.width,
                height: from.height,
                reserved: 0,
            }
        };
        let jobs: Vec<ExtremeJob> = crops.iter().map(job).collect();
        let batch = ExtremeBatch {
            count: jobs.len() as u32,
            is_maximum: self.is_maximum.into(),
            is_column: is_column.into(),
            before,
            after,
            combine: combine as u32,
            reserved: [0; 2],
            jobs: filled(&jobs),
        };
        Launch::pixels(Kernel::Extremes, largest(jobs.iter().map(|j| (j.width, j.height))), jobs.len(), &batch)
    }
}

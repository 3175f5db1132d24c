//! Candidates out of a detector's output, as `decode_yolo` in gantry-inference finds them.

use bytemuck::{Pod, Zeroable};

use crate::launch::filled;
use crate::{Kernel, KernelError, Launch, Region};

/// Pictures of one launch.
const MOST: usize = 64;
/// Classes that the kernel knows.
const MOST_CLASSES: usize = 256;
/// Threads of a block: one per anchor.
const THREADS: u32 = 256;

/// An anchor whose best class is wanted and scores enough; boxes in pixels of the model's input, not yet checked for sense.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct Candidate {
    /// The best score.
    pub confidence: f32,
    /// Left, upper, right, lower edge.
    pub xyxy: [f32; 4],
    /// Index of the best class.
    pub class: u32,
    /// Which anchor.
    pub anchor: u32,
}

/// The shape of a detector's output `[pictures, 4 + classes, anchors]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectorOutput {
    /// Pictures.
    pub pictures: usize,
    /// Classes, 1 to 256.
    pub classes: usize,
    /// Anchors.
    pub anchors: usize,
    /// Half precision, else single.
    pub is_half: bool,
}

/// `CandidateJob` in detect.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct CandidateJob {
    output: u64,
    count: u64,
    found: u64,
}

/// `CandidateBatch` in detect.cu.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct CandidateBatch {
    count: u32,
    anchors: u32,
    classes: u32,
    is_half: u32,
    least_of_all: f32,
    reserved: f32,
    least: [f32; MOST_CLASSES],
    jobs: [CandidateJob; MOST],
}

impl DetectorOutput {
    /// Bytes of the output.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        let numbers = self.pictures as u64 * (4 + self.classes as u64) * self.anchors as u64;
        numbers * if self.is_half { 2 } else { 4 }
    }

    /// Bytes of the candidates' room for all pictures.
    #[must_use]
    pub fn found_len(&self) -> u64 {
        (self.pictures * self.anchors * size_of::<Candidate>()) as u64
    }
}

/// Finds the candidates of the first `pictures` pictures of an output. `least` has the least score of each class, `None` where it is not wanted.
///
/// `counts`: a u32 per picture, 0 before. `found`: room for [`DetectorOutput::found_len`] bytes; picture i's candidates start at i times
/// `anchors`, in no order.
///
/// # Errors
/// [`KernelError::Parameter`] for more than 256 classes or another number than the output's, [`KernelError::Pixels`] if a region is too short.
pub fn candidates(
    output: Region,
    shape: &DetectorOutput,
    pictures: usize,
    least: &[Option<f32>],
    counts: Region,
    found: Region,
) -> Result<Vec<Launch>, KernelError> {
    if least.len() != shape.classes || !(1..=MOST_CLASSES).contains(&shape.classes) {
        let found = format!("{} with {} scores", shape.classes, least.len());
        return Err(KernelError::Parameter { operator: "candidates", parameter: "classes", found, wanted: "1 to 256, each with a score" });
    }
    let pictures = pictures.min(shape.pictures);
    let output = output.bytes("detector output", shape.byte_len())?;
    let counts = counts.bytes("counts of candidates", 4 * shape.pictures as u64)?;
    let found = found.bytes("candidates", shape.found_len())?;
    let (one, room) = (shape.byte_len() / shape.pictures as u64, shape.found_len() / shape.pictures as u64);
    let jobs: Vec<CandidateJob> =
        (0..pictures as u64).map(|i| CandidateJob { output: output + one * i, count: counts + 4 * i, found: found + room * i }).collect();
    // No score reaches NaN: a class that is not wanted has no candidates.
    let mut scores = [f32::NAN; MOST_CLASSES];
    scores.iter_mut().zip(least).for_each(|(to, from)| *to = from.unwrap_or(f32::NAN));
    let least_of_all = least.iter().flatten().copied().fold(f32::INFINITY, f32::min);
    Ok(jobs
        .chunks(MOST)
        .map(|jobs| {
            let batch = CandidateBatch {
                count: jobs.len() as u32,
                anchors: shape.anchors as u32,
                classes: shape.classes as u32,
                is_half: shape.is_half.into(),
                least_of_all,
                reserved: 0.0,
                least: scores,
                jobs: filled(jobs),
            };
            let blocks = [(shape.anchors as u32).div_ceil(THREADS), jobs.len() as u32, 1];
            Launch::new(Kernel::Candidates, blocks, [THREADS, 1, 1], 0, &batch)
        })
        .collect())
}

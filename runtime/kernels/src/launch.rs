//! One run of a kernel.

use bytemuck::Pod;
use gantry_cuda::Grid;

use crate::Kernel;

/// What a kernel's argument may take on every card and driver.
const MOST_ARGUMENT_BYTES: usize = 4096;
/// Threads of a block along a picture's row and down its rows.
pub(crate) const BLOCK: [u32; 3] = [32, 8, 1];

/// A kernel, its grid and its argument.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Which kernel.
    pub kernel: Kernel,
    /// Blocks and threads.
    pub grid: Grid,
    /// The argument, in whole words.
    words: Box<[u64]>,
}

impl Launch {
    pub(crate) fn new<A: Pod>(kernel: Kernel, blocks: [u32; 3], threads: [u32; 3], shared_bytes: u32, argument: &A) -> Self {
        const { assert!(size_of::<A>() <= MOST_ARGUMENT_BYTES && size_of::<A>().is_multiple_of(8)) };
        let words = bytemuck::bytes_of(argument).chunks_exact(8).map(|word| u64::from_ne_bytes(std::array::from_fn(|i| word[i])));
        Self { kernel, grid: Grid { blocks, threads, shared_bytes }, words: words.collect() }
    }

    /// One thread per pixel of `count` pictures of at most `width` x `height`.
    pub(crate) fn pixels<A: Pod>(kernel: Kernel, (width, height): (u32, u32), count: usize, argument: &A) -> Self {
        let blocks = [width.div_ceil(BLOCK[0]), height.div_ceil(BLOCK[1]), count as u32];
        Self::new(kernel, blocks, BLOCK, 0, argument)
    }

    /// The argument.
    #[must_use]
    pub fn argument(&self) -> &[u64] {
        &self.words
    }
}

/// Jobs of one launch, as `Batch` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Batch<Job, const N: usize> {
    pub count: u32,
    pub reserved: u32,
    pub jobs: [Job; N],
}

macro_rules! batch {
    ($job:ty, $n:literal) => {
        const _: () = assert!(size_of::<crate::launch::Batch<$job, $n>>() == 8 + $n * size_of::<$job>());
        // SAFETY: all bytes 0 is a count of 0 and jobs that are themselves zeroable.
        #[allow(unsafe_code)]
        unsafe impl bytemuck::Zeroable for crate::launch::Batch<$job, $n> {}
        // SAFETY: plain numbers and plain jobs, without padding (asserted above), `repr(C)`, no pointers.
        #[allow(unsafe_code)]
        unsafe impl bytemuck::Pod for crate::launch::Batch<$job, $n> {}
    };
}
pub(crate) use batch;

/// The first `N` jobs; the rest of the array is zero.
pub(crate) fn filled<Job: Pod, const N: usize>(jobs: &[Job]) -> [Job; N] {
    std::array::from_fn(|i| jobs.get(i).copied().unwrap_or_else(Job::zeroed))
}

/// One batch.
pub(crate) fn batch_of<Job: Pod, const N: usize>(jobs: &[Job]) -> Batch<Job, N> {
    Batch { count: jobs.len() as u32, reserved: 0, jobs: filled(jobs) }
}

//! Plans run on a stream.

use gantry_cuda::{DeviceMemory, DeviceSlice, DeviceSliceMut, Stream};
use gantry_images::{Letterbox, Window};

use crate::measure::Measured;
use crate::{
    Candidate, Cut, DetectorOutput, DeviceFrame, DeviceGrey, DeviceGreyMut, GreyView, KernelError, Kernels, Launch, LevelFormat, Look,
    Operator, Region, Scale, Scratch, SlantJob, TensorFormat, candidates, cut, grey_from_rgb, legibility, levels, operate, resize_grey,
    scale, slants,
};

/// Scratch grows in steps of this, so that a slightly larger batch does not allocate again.
const SCRATCH_UNIT: u64 = 4 << 20;

/// A stream, the kernels, and the memory that kernels hand to each other. All calls but those that return numbers return before the work is done.
#[derive(Debug)]
pub struct Queue {
    kernels: Kernels,
    stream: Stream,
    scratch: Option<DeviceMemory>,
}

/// A frame, where it lies in its tensor, and room for the tensor.
#[derive(Debug)]
pub struct ScaleItem<'a> {
    /// The frame.
    pub frame: DeviceFrame<'a>,
    /// Fitted to the frame's size.
    pub letterbox: Letterbox,
    /// Room for the tensor.
    pub out: DeviceSliceMut<'a>,
}

/// A plate of a frame and room for its crop.
#[derive(Debug)]
pub struct CutItem<'a> {
    /// The frame.
    pub frame: DeviceFrame<'a>,
    /// Where.
    pub look: Look,
    /// Width of the crop in px.
    pub width: u32,
    /// Height of the crop in px.
    pub height: u32,
    /// Room for the crop.
    pub out: DeviceSliceMut<'a>,
    /// Bytes from row to row of the crop.
    pub stride: u32,
}

impl Queue {
    /// Runs `kernels` on a stream of its own.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(kernels: &Kernels) -> Result<Self, KernelError> {
        let stream = Stream::new(kernels.context()).map_err(KernelError::cuda("no stream"))?;
        Ok(Self { kernels: kernels.clone(), stream, scratch: None })
    }

    /// The stream, for copies in order with the kernels and for waiting.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Scales frames into tensors of `format`.
    ///
    /// # Errors
    /// As [`scale`], and what the driver says.
    pub fn scale(&mut self, items: &mut [ScaleItem<'_>], format: &TensorFormat) -> Result<(), KernelError> {
        let mut plan = Vec::new();
        for item in items {
            self.own(&[item.frame.pixels, item.out.as_slice()])?;
            plan.push(Scale { frame: item.frame.view()?, letterbox: item.letterbox, out: Region::from(&item.out) });
        }
        self.run(|scratch| scale(&plan, format, scratch))
    }

    /// Cuts plates.
    ///
    /// # Errors
    /// As [`cut`], and what the driver says.
    pub fn cut(&mut self, items: &mut [CutItem<'_>]) -> Result<(), KernelError> {
        let mut plan = Vec::new();
        for item in items {
            self.own(&[item.frame.pixels, item.out.as_slice()])?;
            let CutItem { look, width, height, stride, .. } = *item;
            plan.push(Cut { frame: item.frame.view()?, look, width, height, out: Region::from(&item.out), stride });
        }
        self.run(|scratch| cut(&plan, scratch))
    }

    /// RGB crops, rows the given bytes apart, to grey pictures of their sizes.
    ///
    /// # Errors
    /// As [`grey_from_rgb`], and what the driver says.
    pub fn grey_from_rgb(&mut self, crops: &mut [(DeviceSlice<'_>, u32, DeviceGreyMut<'_>)]) -> Result<(), KernelError> {
        let mut plan = Vec::new();
        for (rgb, stride, to) in crops {
            self.own(&[*rgb, to.pixels.as_slice()])?;
            plan.push((Region::from(&*rgb), *stride, to.view()?));
        }
        self.run(|_| grey_from_rgb(&plan))
    }

    /// Stretches grey pictures to the sizes of others.
    ///
    /// # Errors
    /// As [`resize_grey`], and what the driver says.
    pub fn resize_grey(&mut self, pairs: &mut [(DeviceGrey<'_>, DeviceGreyMut<'_>)]) -> Result<(), KernelError> {
        let plan = self.pairs(pairs)?;
        self.run(|scratch| resize_grey(&plan, scratch))
    }

    /// Turns `pictures` grey pictures of `format.pixels` bytes, one after the other in `from`, into the numbers of a model's input.
    ///
    /// # Errors
    /// As [`levels`], and what the driver says.
    pub fn levels(
        &mut self,
        from: &DeviceSlice<'_>,
        pictures: usize,
        format: &LevelFormat,
        out: &mut DeviceSliceMut<'_>,
    ) -> Result<(), KernelError> {
        self.own(&[*from, out.as_slice()])?;
        let (from, out) = (Region::from(from), Region::from(&*out));
        self.run(|_| levels(from, pictures, format, out))
    }

    /// Runs an operator on crops.
    ///
    /// # Errors
    /// As [`operate`], and what the driver says.
    pub fn operate(&mut self, operator: &Operator, pairs: &mut [(DeviceGrey<'_>, DeviceGreyMut<'_>)]) -> Result<(), KernelError> {
        let plan = self.pairs(pairs)?;
        self.run(|scratch| operate(operator, &plan, scratch))
    }

    /// Legibility of each crop. Waits, and copies 4 bytes per crop to the host.
    ///
    /// # Errors
    /// As [`legibility`], and what the driver says.
    pub fn legibility(&mut self, crops: &[DeviceGrey<'_>]) -> Result<Vec<f32>, KernelError> {
        let mut plan = Vec::new();
        for crop in crops {
            self.own(&[crop.pixels])?;
            plan.push(crop.view()?);
        }
        let mut found = vec![0.0; crops.len()];
        self.numbers(&mut found, |out, scratch| legibility(&plan, out, scratch))?;
        Ok(found)
    }

    /// Slope of the lines of each window, looked for in a picture of the given width and height. Waits, and copies 8 bytes per window to the host.
    ///
    /// # Errors
    /// As [`slants`], and what the driver says.
    pub fn slants(&mut self, windows: &[(DeviceFrame<'_>, Window, u32, u32)]) -> Result<Vec<Measured>, KernelError> {
        let mut plan = Vec::new();
        for (frame, window, width, height) in windows {
            self.own(&[frame.pixels])?;
            plan.push(SlantJob { frame: frame.view()?, window: *window, width: *width, height: *height });
        }
        let mut found = vec![Measured::default(); windows.len()];
        self.numbers(&mut found, |out, scratch| slants(&plan, out, scratch))?;
        Ok(found)
    }

    /// Candidates of the first `pictures` pictures of a detector's output at `output`, each picture's by anchor. Waits, and copies to the host 4 bytes per
    /// picture and 28 per candidate.
    ///
    /// # Safety
    /// `output` is memory of this card that lives until this returns, written before by work of this stream or by work that is done.
    ///
    /// # Errors
    /// As [`candidates`], and what the driver says.
    #[allow(unsafe_code)]
    pub unsafe fn candidates(
        &mut self,
        output: Region,
        shape: &DetectorOutput,
        pictures: usize,
        least: &[Option<f32>],
    ) -> Result<Vec<Vec<Candidate>>, KernelError> {
        let not_fetched = || KernelError::cuda("candidates were not fetched");
        let (counts_len, one) = (4 * shape.pictures, shape.anchors * size_of::<Candidate>());
        let mut needed = Scratch::counting();
        let found_at = needed.take(counts_len as u64).and_then(|_| needed.take(shape.found_len()))?.address;
        let (Some(region), Some(memory)) = (self.reserve(needed.used())?, &self.scratch) else { return Ok(Vec::new()) };
        let found = region.from_offset(found_at);
        let mut counts_on_card = memory.slice_mut(0, counts_len).map_err(not_fetched())?;
        self.stream.fill(&mut counts_on_card, 0).map_err(not_fetched())?;
        for launch in candidates(output, shape, pictures, least, region, found)? {
            // SAFETY: the output by the caller's promise; counts and candidates lie in scratch.
            unsafe { self.launch(&launch) }?;
        }
        let _results = gantry_copies::results();
        let mut counts = vec![0u32; shape.pictures];
        self.stream.download(&counts_on_card.as_slice(), bytemuck::cast_slice_mut(&mut counts)).map_err(not_fetched())?;
        let fetch = |(picture, count): (usize, &u32)| {
            let mut all = vec![Candidate::default(); (*count as usize).min(shape.anchors)];
            if !all.is_empty() {
                let start = found_at as usize + one * picture;
                let slice = memory.slice(start, size_of_val(&all[..])).map_err(not_fetched())?;
                self.stream.download(&slice, bytemuck::cast_slice_mut(&mut all)).map_err(not_fetched())?;
            }
            all.sort_unstable_by_key(|candidate| candidate.anchor);
            Ok(all)
        };
        counts.iter().enumerate().take(pictures).map(fetch).collect()
    }

    fn pairs(&self, pairs: &mut [(DeviceGrey<'_>, DeviceGreyMut<'_>)]) -> Result<Vec<(GreyView, GreyView)>, KernelError> {
        let view = |(from, to): &mut (DeviceGrey<'_>, DeviceGreyMut<'_>)| {
            self.own(&[from.pixels, to.pixels.as_slice()])?;
            Ok((from.view()?, to.view()?))
        };
        pairs.iter_mut().map(view).collect()
    }

    /// All memory belongs to the stream's context.
    fn own(&self, slices: &[DeviceSlice<'_>]) -> Result<(), KernelError> {
        slices.iter().try_for_each(|slice| self.stream.bind_for("kernel", slice)).map_err(KernelError::cuda("a kernel was not run"))
    }

    /// Runs a plan whose results are numbers, and fetches them.
    fn numbers<T: bytemuck::Pod>(
        &mut self,
        found: &mut [T],
        plan: impl Fn(Region, &mut Scratch) -> Result<Vec<Launch>, KernelError>,
    ) -> Result<(), KernelError> {
        let bytes = bytemuck::cast_slice_mut::<T, u8>(found);
        if bytes.is_empty() {
            return Ok(());
        }
        let _results = gantry_copies::results();
        // The results are the first thing in scratch.
        let len = bytes.len();
        self.run(|scratch| {
            let out = scratch.take(len as u64)?;
            plan(out, scratch)
        })?;
        let memory = self.scratch.as_ref().ok_or(KernelError::Scratch { needed: len as u64, found: 0 })?;
        let download = memory.slice(0, len).and_then(|slice| self.stream.download(&slice, bytes));
        download.map_err(KernelError::cuda("results were not fetched"))
    }

    fn run(&mut self, plan: impl Fn(&mut Scratch) -> Result<Vec<Launch>, KernelError>) -> Result<(), KernelError> {
        let mut counting = Scratch::counting();
        plan(&mut counting)?;
        let launches = match self.reserve(counting.used())? {
            Some(region) => plan(&mut Scratch::new(region))?,
            None => plan(&mut Scratch::new(Region { address: 0, len: 0 }))?,
        };
        for launch in &launches {
            // SAFETY: the plan has checked that all addresses lie in the slices that it was made from, which belong to this context (`own`), or in
            // scratch. `DeviceMemory` waits for the context's work before it goes.
            #[allow(unsafe_code)]
            unsafe { self.launch(launch) }?;
        }
        Ok(())
    }

    /// Runs a launch of a plan that was made by hand; returns before it is done.
    ///
    /// # Safety
    /// All addresses that the plan was given are memory of this card that lives until the stream's work is done.
    ///
    /// # Errors
    /// What the driver says.
    #[allow(unsafe_code)]
    pub unsafe fn launch(&self, launch: &Launch) -> Result<(), KernelError> {
        let name = launch.kernel.name();
        let function = self.kernels.function(launch.kernel).ok_or(KernelError::Missing { kernel: launch.kernel })?;
        // SAFETY: the argument is what the kernel of this name takes: tests/kernels compares the sizes and runs the same text. The addresses are the
        // caller's promise.
        let launched = unsafe { self.stream.launch(function, &launch.grid, launch.argument()) };
        launched.map_err(KernelError::cuda(format!("kernel {name:?} was not run")))
    }

    /// Scratch of at least `bytes`. The stream's work is in order, so one plan's scratch is free when the next plan's kernels run.
    fn reserve(&mut self, bytes: u64) -> Result<Option<Region>, KernelError> {
        if bytes == 0 {
            return Ok(None);
        }
        if self.scratch.as_ref().is_none_or(|memory| (memory.len() as u64) < bytes) {
            // The old memory goes first: it waits for the work that still uses it.
            self.scratch = None;
            let len = bytes.next_multiple_of(SCRATCH_UNIT) as usize;
            let memory = DeviceMemory::create_private(self.kernels.context(), len);
            self.scratch = Some(memory.map_err(KernelError::cuda(format!("no {len} bytes of scratch")))?);
        }
        let Some(memory) = &self.scratch else { return Ok(None) };
        let slice = memory.slice(0, memory.len()).map_err(KernelError::cuda("no scratch"))?;
        Ok(Some(Region::from(&slice)))
    }
}

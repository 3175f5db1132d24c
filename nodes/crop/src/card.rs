//! Plates cut on a card: all of a frame in one batch, from frames of the card into slots there. Bytes and numbers are those of `cutting` on the CPU.

use crate::cutting::{Cutting, Plan, slant_size, trusted};
use crate::geometry::{Sizes, window};
use gantry_cuda::{CudaError, DeviceSliceMut};
use gantry_frames::{Acquired, Filled, Layout, Loaned, Memory};
use gantry_images::{Shear, Window, Yuv};
use gantry_kernels::{CutItem, DeviceFrame, DeviceGrey, DeviceGreyMut, KernelError, Kernels, LoadOptions, Look, Queue, Room};
use gantry_messages::BoxXyxy;
use gantry_node::Fault;

/// Smallest side of a picture that a slope is looked for in, in px: `estimate_slant` finds none in smaller ones.
const MIN_SIDE: usize = 12;
/// Grey pictures start at multiples of this.
const ALIGN: usize = 256;

/// The card and its kernels.
pub struct OnCard {
    queue: Queue,
    /// Grey pictures of a frame's crops, for their legibility.
    grey: Room,
    /// A frame that was scaled down.
    whole: Room,
    /// A crop of a frame that lies on the host.
    small: Vec<u8>,
}

impl OnCard {
    /// Compiles the kernels for the card of `memory`.
    ///
    /// # Errors
    /// Memory of the host, or what is missing on this machine, with the command that brings it.
    pub fn open(memory: &Memory) -> Result<Self, Fault> {
        let wanted = |fault: Fault| fault.context("parameter `memory` is `cuda`");
        let no_card = || Fault::new("buffers of the host, a card's are wanted").hint("`gantry doctor` says what is missing");
        let card = memory.context().ok_or_else(|| wanted(no_card()))?;
        let kernels = Kernels::load(card, &LoadOptions::from_env()).map_err(|e| wanted(kernel_fault(&e)))?;
        let queue = Queue::new(&kernels).map_err(|e| wanted(kernel_fault(&e)))?;
        Ok(Self { queue, grey: Room::default(), whole: Room::default(), small: Vec::new() })
    }

    /// Cuts each plate of a frame, in its pixels, into the slot of the same index, and says how legible it is. The frame is not read any more when this
    /// returns. Per plate 12 bytes come to the host.
    ///
    /// # Errors
    /// A slot that is too short, what the driver says.
    pub fn cut(
        &mut self,
        frame: DeviceFrame<'_>,
        plates: &[BoxXyxy],
        sizes: &Sizes,
        rectify: bool,
        slots: &mut [Loaned],
    ) -> Result<Vec<(Plan, f32)>, Fault> {
        let windows: Vec<Window> = plates.iter().map(|plate| window(plate, sizes.margin)).collect();
        let slopes = if rectify { self.slopes(frame, &windows)? } else { vec![0.0; windows.len()] };
        let plans: Vec<Plan> = windows.into_iter().zip(slopes).map(|(cut, slope)| Plan::of(cut, slope, sizes)).collect();
        let mut rooms = Vec::with_capacity(slots.len());
        for (slot, plan) in slots.iter_mut().zip(&plans) {
            let stride = plan.stride()?;
            let room = slot.device_mut().ok_or_else(|| Fault::new("a slot that is not on the card"))?;
            rooms.push((room.split(stride * plan.height).map_err(|e| cuda_fault(&e))?.0, stride as u32));
        }
        let mut items = Vec::with_capacity(rooms.len());
        for ((room, stride), plan) in rooms.iter_mut().zip(&plans) {
            let (look, len) = (Look::Window(plan.window, Shear(plan.slope)), room.len());
            let out = room.part(0, len).map_err(|e| cuda_fault(&e))?;
            items.push(CutItem { frame, look, width: plan.width as u32, height: plan.height as u32, out, stride: *stride });
        }
        self.queue.cut(&mut items).map_err(|e| kernel_fault(&e))?;
        drop(items);
        let legibility = self.legibility(&rooms, &plans)?;
        Ok(plans.into_iter().zip(legibility).collect())
    }

    /// The slopes of the lines in the windows, 0 where none is to be trusted.
    fn slopes(&mut self, frame: DeviceFrame<'_>, windows: &[Window]) -> Result<Vec<f64>, Fault> {
        let sized = |w: &Window| (*w, slant_size(w));
        let large = |(_, (width, height)): &(Window, (usize, usize))| *width >= MIN_SIDE && *height >= MIN_SIDE;
        let wanted: Vec<_> = windows.iter().map(sized).filter(large).map(|(w, (x, y))| (frame, w, x as u32, y as u32)).collect();
        let mut found = self.queue.slants(&wanted).map_err(|e| kernel_fault(&e))?.into_iter();
        let slope = |w: &Window| if large(&sized(w)) { found.next().map_or(0.0, |m| trusted(m.slope, m.gain)) } else { 0.0 };
        Ok(windows.iter().map(slope).collect())
    }

    fn legibility(&mut self, rooms: &[(DeviceSliceMut<'_>, u32)], plans: &[Plan]) -> Result<Vec<f32>, Fault> {
        let Self { queue, grey, .. } = self;
        let context = queue.stream().context().clone();
        let areas: Vec<usize> = plans.iter().map(|plan| plan.width * plan.height).collect();
        let total = areas.iter().map(|area| area.next_multiple_of(ALIGN)).sum();
        let memory = grey.at_least(&context, total).map_err(|e| kernel_fault(&e))?;
        let (mut start, mut made, mut crops) = (0, Vec::new(), Vec::new());
        for (((room, stride), plan), area) in rooms.iter().zip(plans).zip(areas) {
            let (width, height) = (plan.width as u32, plan.height as u32);
            let pixels = memory.slice_mut(start, area).map_err(|e| cuda_fault(&e))?;
            crops.push(DeviceGrey { pixels: pixels.as_slice(), width, height, stride: width });
            made.push((room.as_slice(), *stride, DeviceGreyMut { pixels, width, height, stride: width }));
            start += area.next_multiple_of(ALIGN);
        }
        queue.grey_from_rgb(&mut made).map_err(|e| kernel_fault(&e))?;
        queue.legibility(&crops).map_err(|e| kernel_fault(&e))
    }

    /// Cuts a plate of a frame in host memory and uploads the crop.
    ///
    /// # Errors
    /// As [`OnCard::cut`].
    pub fn cut_on_host(&mut self, cutting: &mut Cutting, frame: &Yuv<'_>, plan: &Plan, slot: &mut Loaned) -> Result<f32, Fault> {
        let stride = plan.stride()?;
        self.small.clear();
        self.small.resize(stride * plan.height, 0);
        let legibility = cutting.cut(frame, plan, &mut self.small, stride)?;
        let mut room = slot.device_mut().ok_or_else(|| Fault::new("a slot that is not on the card"))?;
        let mut room = room.part(0, self.small.len()).map_err(|e| cuda_fault(&e))?;
        self.queue.stream().upload(&self.small, &mut room).map_err(|e| cuda_fault(&e))?;
        Ok(legibility)
    }

    /// The pixels of a crop, for the evidence of a reading: the one picture that leaves the card.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fetch(&mut self, plan: &Plan, slot: &mut Loaned) -> Result<&[u8], Fault> {
        let len = plan.stride()? * plan.height;
        let room = slot.device_mut().ok_or_else(|| Fault::new("a slot that is not on the card"))?;
        let pixels = room.as_slice().part(0, len).map_err(|e| cuda_fault(&e))?;
        self.small.resize(len, 0);
        let _results = gantry_copies::results();
        self.queue.stream().download(&pixels, &mut self.small[..len]).map_err(|e| cuda_fault(&e))?;
        Ok(&self.small[..len])
    }

    /// The pixels of a whole frame of the card, scaled down there.
    ///
    /// # Errors
    /// What the driver says.
    pub fn overview(&mut self, frame: DeviceFrame<'_>, plan: &Plan) -> Result<&[u8], Fault> {
        let stride = plan.stride()?;
        let len = stride * plan.height;
        let context = self.queue.stream().context().clone();
        let memory = self.whole.at_least(&context, len).map_err(|e| kernel_fault(&e))?;
        let out = memory.slice_mut(0, len).map_err(|e| cuda_fault(&e))?;
        let look = Look::Window(plan.window, Shear(0.0));
        let mut item = [CutItem { frame, look, width: plan.width as u32, height: plan.height as u32, out, stride: stride as u32 }];
        self.queue.cut(&mut item).map_err(|e| kernel_fault(&e))?;
        let [item] = item;
        self.small.resize(len, 0);
        let _results = gantry_copies::results();
        self.queue.stream().download(&item.out.as_slice(), &mut self.small[..len]).map_err(|e| cuda_fault(&e))?;
        Ok(&self.small[..len])
    }

    /// Gives a frame back, once the card's work on it is done.
    ///
    /// # Errors
    /// What the driver says.
    pub fn give_back(&self, frame: Acquired) -> Result<(), Fault> {
        frame.release_after(self.queue.stream()).map_err(|e| cuda_fault(&e))
    }

    /// Says what the slot holds, once the card's work on it is done.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fill(&self, slot: Loaned, layout: Layout) -> Result<Filled, Fault> {
        Ok(slot.fill_after(layout, self.queue.stream())?)
    }
}

fn cuda_fault(error: &CudaError) -> Fault {
    Fault::new(error.to_string()).hint(error.hint())
}

fn kernel_fault(error: &KernelError) -> Fault {
    Fault::new(error.full()).hint(error.hint())
}

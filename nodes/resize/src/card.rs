//! Tensors in a card's memory.

use gantry_cuda::CudaError;
use gantry_frames::{Acquired, Filled, ImageLayout, Layout, Loaned, Memory};
use gantry_images::{Arrangement, FrameScaler, Letterbox, Yuv};
use gantry_kernels::{DeviceFrame, KernelError, Kernels, LoadOptions, Queue, ScaleItem, TensorFormat};
use gantry_node::Fault;

/// The card, its kernels, and room for a tensor of a frame that lies on the host.
pub struct OnCard {
    queue: Queue,
    scaler: FrameScaler,
    small: Vec<u8>,
}

impl OnCard {
    /// Compiles the kernels for the card of `memory`.
    ///
    /// # Errors
    /// Memory of the host, or what is missing on this machine, with the command that brings it.
    pub fn open(memory: &Memory) -> Result<Self, Fault> {
        let wanted = || "parameter `memory` is `cuda`".to_owned();
        let no_card = || Fault::new("buffers of the host, a card's are wanted").hint("`gantry doctor` says what is missing");
        let card = memory.context().ok_or_else(|| no_card().context(wanted()))?;
        let kernels = Kernels::load(card, &LoadOptions::from_env()).map_err(|e| kernel_fault(&e).context(wanted()))?;
        let queue = Queue::new(&kernels).map_err(|e| kernel_fault(&e))?;
        Ok(Self { queue, scaler: FrameScaler::default(), small: Vec::new() })
    }

    /// Scales `frame` into the slot and waits until it is there.
    ///
    /// # Errors
    /// A frame that is no picture, a slot that is too short, what the driver says.
    pub fn resize(
        &mut self,
        frame: &Acquired,
        image: &ImageLayout,
        letterbox: &Letterbox,
        arrangement: Arrangement,
        loaned: &mut Loaned,
    ) -> Result<(), Fault> {
        let bytes = arrangement.byte_len(letterbox.width, letterbox.height);
        let mut slot = loaned.device_mut().ok_or_else(|| Fault::new("a slot that is not on the card"))?;
        let mut out = slot.part(0, bytes).map_err(|e| cuda_fault(&e))?;
        if let Some(pixels) = frame.device() {
            let mut items = [ScaleItem { frame: DeviceFrame { layout: image, pixels }, letterbox: *letterbox, out }];
            self.queue.scale(&mut items, &TensorFormat::from(arrangement)).map_err(|e| kernel_fault(&e))?;
            return Ok(());
        }
        self.small.resize(bytes, 0);
        self.scaler.run(&Yuv::of(image, frame.bytes())?, letterbox, arrangement, &mut self.small);
        self.queue.stream().upload(&self.small, &mut out).map_err(|e| cuda_fault(&e))
    }

    /// Says what the slot holds, once the card's work on it is done, and gives the frame back that it was made from.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fill(&self, loaned: Loaned, tensor: Layout, frame: Acquired) -> Result<Filled, Fault> {
        let filled = loaned.fill_after(tensor, self.queue.stream())?;
        frame.release_after(self.queue.stream()).map_err(|e| cuda_fault(&e))?;
        Ok(filled)
    }
}

fn cuda_fault(error: &CudaError) -> Fault {
    Fault::new(error.to_string()).hint(error.hint())
}

fn kernel_fault(error: &KernelError) -> Fault {
    let why = std::error::Error::source(error).map(|why| format!(": {why}")).unwrap_or_default();
    Fault::new(format!("{error}{why}")).hint(error.hint())
}

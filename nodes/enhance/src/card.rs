//! Variants made on a card: those of several crops in one batch, from crops of the card into slots there. Bytes are those of the operators' libraries.

use crate::kernels::kernel_of;
use gantry_cuda::{CudaError, DeviceSlice, DeviceSliceMut};
use gantry_frames::{Acquired, Filled, Layout, Loaned, Memory};
use gantry_images::PixelsError;
use gantry_kernels::{DeviceGrey, DeviceGreyMut, KernelError, Kernels, LoadOptions, Operator, Queue};
use gantry_node::Fault;
use gantry_operators::Instance;

/// Crops that are taken together: what the harness lets a reader hold at once.
pub const TOGETHER: usize = 8;

/// The card and its kernels.
pub struct OnCard {
    queue: Queue,
    operators: Vec<Operator>,
}

/// A crop, the operators that run on it (ascending indices), and the slot of its variants.
pub struct Item {
    /// The crop, RGB.
    pub crop: Acquired,
    /// Operators.
    pub chosen: Vec<usize>,
    /// Room for the grey original and a picture per operator, one after the other.
    pub slot: Loaned,
}

/// Where an item's pixels lie.
struct Place<'a> {
    rgb: DeviceSlice<'a>,
    rgb_stride: u32,
    width: u32,
    height: u32,
    chosen: &'a [usize],
    room: DeviceSliceMut<'a>,
}

impl Place<'_> {
    fn area(&self) -> usize {
        self.width as usize * self.height as usize
    }
}

impl OnCard {
    /// Compiles the kernels for the card of `memory`. `operators` are the loaded libraries and `options` theirs, in the same order.
    ///
    /// # Errors
    /// Memory of the host; an operator that has no kernel; what is missing on this machine, with the command that brings it.
    pub fn open(memory: &Memory, operators: &[Instance], options: &[String]) -> Result<Self, Fault> {
        let wanted = |fault: Fault| fault.context("parameter `memory` is `cuda`");
        let no_card = || Fault::new("buffers of the host, a card's are wanted").hint("`gantry doctor` says what is missing");
        let card = memory.context().ok_or_else(|| wanted(no_card()))?;
        let kernel = |(operator, options): (&Instance, &String)| kernel_of(operator.name(), operator.params(), options);
        let operators = operators.iter().zip(options).map(kernel).collect::<Result<_, _>>().map_err(wanted)?;
        let kernels = Kernels::load(card, &LoadOptions::from_env()).map_err(|e| wanted(kernel_fault(&e)))?;
        let queue = Queue::new(&kernels).map_err(|e| wanted(kernel_fault(&e)))?;
        Ok(Self { queue, operators })
    }

    /// Fills the slots of all items: `[1 + chosen, H, W]`, grey, the original first. Crops are given back; slots are complete when this returns.
    ///
    /// # Errors
    /// A crop that is no RGB picture or lies on the host, a slot that is too short, what the driver says.
    pub fn enhance(&mut self, items: Vec<Item>, layouts: &[Layout]) -> Result<Vec<Filled>, Fault> {
        let (mut crops, mut parts) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for Item { crop, chosen, slot } in items {
            crops.push(crop);
            parts.push((chosen, slot));
        }
        let mut places = Vec::with_capacity(crops.len());
        for (crop, (chosen, slot)) in crops.iter().zip(&mut parts) {
            places.push(place(crop, chosen, slot)?);
        }
        self.run(&mut places)?;
        drop(places);
        for crop in crops {
            crop.release_after(self.queue.stream()).map_err(|e| cuda_fault(&e))?;
        }
        let fill = |((_, slot), layout): ((Vec<usize>, Loaned), &Layout)| Ok(slot.fill_after(*layout, self.queue.stream())?);
        parts.into_iter().zip(layouts).map(fill).collect()
    }

    fn run(&mut self, places: &mut [Place<'_>]) -> Result<(), Fault> {
        let mut originals = Vec::with_capacity(places.len());
        for place in places.iter_mut() {
            let (width, height, area) = (place.width, place.height, place.area());
            let pixels = place.room.part(0, area).map_err(|e| cuda_fault(&e))?;
            originals.push((place.rgb, place.rgb_stride, DeviceGreyMut { pixels, width, height, stride: width }));
        }
        self.queue.grey_from_rgb(&mut originals).map_err(|e| kernel_fault(&e))?;
        drop(originals);
        for (index, operator) in self.operators.iter().enumerate() {
            let mut pairs = Vec::new();
            for place in places.iter_mut() {
                let Some(at) = place.chosen.iter().position(|chosen| *chosen == index) else { continue };
                let (width, height, area) = (place.width, place.height, place.area());
                let original = place.room.as_slice().part(0, area).map_err(|e| cuda_fault(&e))?;
                let pixels = place.room.part((1 + at) * area, area).map_err(|e| cuda_fault(&e))?;
                pairs.push((
                    DeviceGrey { pixels: original, width, height, stride: width },
                    DeviceGreyMut { pixels, width, height, stride: width },
                ));
            }
            if !pairs.is_empty() {
                self.queue.operate(operator, &mut pairs).map_err(|e| kernel_fault(&e))?;
            }
        }
        Ok(())
    }
}

fn place<'a>(crop: &'a Acquired, chosen: &'a [usize], slot: &'a mut Loaned) -> Result<Place<'a>, Fault> {
    let (width, height, stride) = size_of(crop)?;
    let rgb = crop
        .device_plane(0)
        .ok_or_else(|| Fault::new("a crop in host memory, the card's are enhanced").hint("set MEMORY: cuda at `crop`"))?;
    let room = slot.device_mut().ok_or_else(|| Fault::new("a slot that is not on the card"))?;
    let needed = (width as usize * height as usize).saturating_mul(1 + chosen.len());
    let (room, _) = room.split(needed).map_err(|_| Fault::new("slot is too short for the variants"))?;
    Ok(Place { rgb, rgb_stride: stride, width, height, chosen, room })
}

/// Width, height and bytes from row to row of a crop.
///
/// # Errors
/// If it is no RGB picture.
pub fn size_of(crop: &Acquired) -> Result<(u32, u32, u32), Fault> {
    let image = crop
        .layout()
        .as_image()
        .ok_or_else(|| Fault::new("the crop is a tensor, a picture is wanted").hint("connect the output `crops` of `crop`"))?;
    if image.format != gantry_frames::PixelFormat::Rgb8 {
        return Err(PixelsError::Format { found: image.format, wanted: "rgb8" }.into());
    }
    Ok((image.width, image.height, image.planes()[0].stride))
}

fn cuda_fault(error: &CudaError) -> Fault {
    Fault::new(error.to_string()).hint(error.hint())
}

fn kernel_fault(error: &KernelError) -> Fault {
    Fault::new(error.full()).hint(error.hint())
}

//! Runs over memory that stays where it is: the input is read at its address, the outputs are written into tensors that live as long as the binding.
//! On a card nothing passes through the host, and the work of a run can be recorded and replayed.
#![allow(unsafe_code)]

use crate::{Device, ElementType, Model, ModelError, TensorSpec};
use half::f16;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, SessionInputValue};
use ort::value::{Shape, Tensor, TensorRefMut};
use std::fmt;

/// Outputs of a model for runs of one size.
pub struct Bound {
    options: RunOptions<HasSelectedOutputs>,
    outputs: Vec<BoundOutput>,
    pictures: usize,
}

/// Where an output lies, on the model's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundOutput {
    /// Address of the first element.
    pub address: u64,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub element: ElementType,
}

impl BoundOutput {
    /// Bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.element.size()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("outputs", &self.outputs).field("pictures", &self.pictures).finish_non_exhaustive()
    }
}

impl Bound {
    /// The outputs, in the model's order. Their bytes are those of the last run.
    #[must_use]
    pub fn outputs(&self) -> &[BoundOutput] {
        &self.outputs
    }
}

impl Model {
    /// Allocates the outputs of runs of `pictures` pictures, whose shapes an earlier run showed, on the model's device.
    ///
    /// # Errors
    /// [`ModelError::Run`] if ONNX Runtime has no memory, [`ModelError::Output`] for another number of shapes or another type.
    pub fn bind(&self, pictures: usize, shapes: &[Vec<usize>]) -> Result<Bound, ModelError> {
        let info = self.info();
        if shapes.len() != info.outputs.len() {
            return Err(info.bad_output(format!("{} outputs", info.outputs.len()), format!("{}, as in the first run", shapes.len())));
        }
        let failed = |e: ort::Error| ModelError::Run { path: info.path.clone(), reason: e.to_string() };
        let allocator = Allocator::new(self.session(), self.memory().map_err(failed)?).map_err(failed)?;
        let mut selector = OutputSelector::default();
        let mut outputs = Vec::new();
        for (TensorSpec { name, element, .. }, shape) in info.outputs.iter().zip(shapes) {
            let dims: Vec<i64> = shape.iter().map(|d| *d as i64).collect();
            let address = match element {
                Some(ElementType::F32) => {
                    let mut tensor = Tensor::<f32>::new(&allocator, dims).map_err(failed)?;
                    let address = tensor.data_ptr_mut();
                    selector = selector.preallocate(name, tensor);
                    address
                }
                Some(ElementType::F16) => {
                    let mut tensor = Tensor::<f16>::new(&allocator, dims).map_err(failed)?;
                    let address = tensor.data_ptr_mut();
                    selector = selector.preallocate(name, tensor);
                    address
                }
                _ => return Err(info.bad_output(format!("`{name}` of another type"), "f32 or f16")),
            };
            let element = element.unwrap_or(ElementType::F32);
            outputs.push(BoundOutput { address: address.addr() as u64, shape: shape.clone(), element });
        }
        let options = RunOptions::new().map_err(failed)?.with_outputs(selector);
        Ok(Bound { options, outputs, pictures })
    }

    /// Runs the pictures at `input`; the outputs of `bound` have the results when this returns.
    ///
    /// # Safety
    /// `input` is the address of `image.dims(pictures)` elements of the input's type in memory of the model's device, aligned for them, that nobody
    /// writes until this returns.
    ///
    /// # Errors
    /// [`ModelError::Run`] if ONNX Runtime fails.
    pub unsafe fn run_bound(&mut self, bound: &Bound, input: u64) -> Result<(), ModelError> {
        let path = self.info().path.clone();
        let failed = |e: ort::Error| ModelError::Run { path: path.clone(), reason: e.to_string() };
        let dims = self.info().image.dims(bound.pictures).map(|d| d as i64);
        let (element, memory) = (self.info().element, self.memory().map_err(failed)?);
        let at = std::ptr::with_exposed_provenance_mut(input as usize);
        // SAFETY: memory of that device with as many elements of that type, by the caller's promise; the tensor is gone when this returns.
        let value: SessionInputValue<'_> = unsafe {
            match element {
                ElementType::U8 => TensorRefMut::<u8>::from_raw(memory, at, Shape::new(dims)).map_err(failed)?.into(),
                ElementType::F16 => TensorRefMut::<f16>::from_raw(memory, at, Shape::new(dims)).map_err(failed)?.into(),
                ElementType::F32 => TensorRefMut::<f32>::from_raw(memory, at, Shape::new(dims)).map_err(failed)?.into(),
            }
        };
        self.session_mut().run_with_options([value], &bound.options).map(drop).map_err(failed)
    }

    fn memory(&self) -> ort::Result<MemoryInfo<'static>> {
        let (device, index) = match self.info().device {
            Device::Cpu | Device::Auto => (AllocationDevice::CPU, 0),
            Device::Cuda | Device::Tensorrt => (AllocationDevice::CUDA, self.gpu()),
        };
        MemoryInfo::new(device, index, AllocatorType::Device, MemoryType::Default)
    }
}

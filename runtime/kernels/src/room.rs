//! Device memory that grows with what is asked of it.

use gantry_cuda::{Context, DeviceMemory};

use crate::KernelError;

/// Grows in steps of this, so that slightly more does not allocate again.
const UNIT: usize = 1 << 20;

/// Memory for what one step hands to the next. What it holds is lost when it grows.
#[derive(Debug, Default)]
pub struct Room {
    memory: Option<DeviceMemory>,
}

impl Room {
    /// At least `bytes` bytes. A larger one waits for the work that still uses the one before.
    ///
    /// # Errors
    /// [`KernelError::Cuda`] if the card has no memory.
    pub fn at_least(&mut self, context: &Context, bytes: usize) -> Result<&DeviceMemory, KernelError> {
        if self.memory.as_ref().is_some_and(|memory| memory.len() < bytes) {
            self.memory = None;
        }
        match &mut self.memory {
            Some(memory) => Ok(memory),
            empty => {
                let len = bytes.max(1).next_multiple_of(UNIT);
                let memory = DeviceMemory::create_private(context, len);
                Ok(empty.insert(memory.map_err(KernelError::cuda(format!("no {len} bytes of the card's memory")))?))
            }
        }
    }
}

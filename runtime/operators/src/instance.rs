//! The host's side: an operator at work.

use crate::abi::{self, Buffer, PictureC, PictureMutC, Text};
use crate::library::Loaded;
use crate::{OperatorError, Picture, PictureMut};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

/// Longest message that is kept, in bytes.
const MESSAGE_BYTES: usize = 1024;

/// An operator with its options. Used by one thread at a time; keeps its library loaded.
#[derive(Debug)]
pub struct Instance {
    raw: NonNull<c_void>,
    panicked: Option<String>,
    library: Arc<Loaded>,
}

// SAFETY: the ABI lets an instance move between threads (include/gantry_operator.h); `&mut self` makes calls exclusive.
unsafe impl Send for Instance {}

impl Instance {
    pub(crate) fn create(library: Arc<Loaded>, options: &str) -> Result<Self, OperatorError> {
        let mut raw = std::ptr::null_mut();
        let (code, said) = with_message(|message| {
            // SAFETY: options, pointer and buffer are valid for the call; the library is loaded.
            unsafe { (library.plugin.create)(Text::of(options), &raw mut raw, message) }
        });
        if code != abi::OK {
            return Err(outcome(&library.name, code, said));
        }
        let protocol = || OperatorError::Protocol { operator: library.name.clone(), why: "`create` made nothing".to_owned() };
        let raw = NonNull::new(raw).ok_or_else(protocol)?;
        Ok(Self { raw, panicked: None, library })
    }

    /// Name of the operator.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.library.name
    }

    /// The options that its library takes, with their defaults.
    #[must_use]
    pub fn params(&self) -> &[gantry_contract::Param] {
        &self.library.params
    }

    /// Writes the operator's picture of `input` into `output`.
    ///
    /// # Errors
    /// [`OperatorError`]; after [`OperatorError::Panicked`] every further call returns it again without running anything.
    pub fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), OperatorError> {
        let operator = &self.library.name;
        if let Some(why) = &self.panicked {
            return Err(OperatorError::Panicked { operator: operator.clone(), why: why.clone() });
        }
        // A side has at most 65535 pixels.
        let size = |w: usize, h: usize| (w as u32, h as u32);
        let (from, to) = (size(input.width(), input.height()), size(output.width(), output.height()));
        if from != to {
            return Err(OperatorError::Size { operator: operator.clone(), input: from, output: to });
        }
        let input = PictureC { data: input.as_ptr(), stride: input.stride(), width: from.0, height: from.1 };
        let output = PictureMutC { data: output.as_mut_ptr(), stride: output.stride(), width: to.0, height: to.1 };
        let (code, said) = with_message(|message| {
            // SAFETY: the instance is ours alone (`&mut self`); the pictures borrow their memory for the call, one shared and one
            // exclusively, so they do not overlap; sizes were checked when they were made.
            unsafe { (self.library.plugin.run)(self.raw.as_ptr(), &raw const input, &raw const output, message) }
        });
        if code == abi::OK {
            return Ok(());
        }
        if code == abi::PANICKED {
            self.panicked = Some(said.clone());
        }
        Err(outcome(operator, code, said))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: made by this library's `create`, given back once; the library is still loaded, `library` is dropped after this.
        unsafe { (self.library.plugin.destroy)(self.raw.as_ptr()) };
    }
}

fn with_message(call: impl FnOnce(*mut Buffer) -> i32) -> (i32, String) {
    let mut bytes = [0u8; MESSAGE_BYTES];
    let mut buffer = Buffer { bytes: bytes.as_mut_ptr(), capacity: bytes.len(), len: 0 };
    let code = call(&raw mut buffer);
    let said = if code == abi::OK { String::new() } else { String::from_utf8_lossy(&bytes[..buffer.len.min(MESSAGE_BYTES)]).into_owned() };
    (code, said)
}

fn outcome(operator: &str, code: i32, why: String) -> OperatorError {
    let operator = operator.to_owned();
    match code {
        abi::REFUSED => OperatorError::Options { operator, why },
        abi::FAILED => OperatorError::Failed { operator, why },
        abi::PANICKED => OperatorError::Panicked { operator, why },
        other => OperatorError::Protocol { operator, why: format!("code {other}: {why}") },
    }
}

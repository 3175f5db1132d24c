//! The operator's side: a safe trait, and the C functions made from it.

use crate::abi::{self, BAD_CALL, Buffer, FAILED, Header, OK, PANICKED, PictureC, PictureMutC, Plugin, REFUSED, Text};
use crate::{Picture, PictureMut};
use gantry_contract::{Contract, Param, ParamSet, list, text};
use serde::de::DeserializeOwned;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Turns a grey picture into another of the same size. Exported with [`crate::export_operator!`].
///
/// The same picture and options must always give the same bytes.
pub trait Operator: Sized + Send + 'static {
    /// Name, as in the parameters of `enhance`: lower case, underscores.
    const NAME: &'static str;
    /// The options, with type, range, default and one sentence each.
    const PARAMS: &'static [Param];
    /// The options as a struct; field names are the names in the table.
    type Params: DeserializeOwned;

    /// Makes an instance; scratch belongs in it.
    ///
    /// # Errors
    /// What is wrong with the options, where the table cannot say it.
    fn open(params: Self::Params) -> Result<Self, String>;

    /// Writes every pixel of `output`, which has the size of `input`.
    ///
    /// # Errors
    /// Why this picture cannot be processed; the host gives up on it.
    fn run(&mut self, input: &Picture<'_>, output: &mut PictureMut<'_>) -> Result<(), String>;
}

/// Exports an [`Operator`] from a cdylib.
#[macro_export]
macro_rules! export_operator {
    ($operator:ty) => {
        const _: () = {
            static PLUGIN: $crate::abi::Plugin = $crate::plugin::plugin::<$operator>(env!("CARGO_PKG_VERSION"));

            /// The operator's one exported function.
            #[allow(unsafe_code)]
            #[unsafe(no_mangle)]
            pub extern "C" fn gantry_operator_v1() -> *const $crate::abi::Header {
                (&raw const PLUGIN).cast()
            }
        };
    };
}

/// The constant data of one operator.
#[must_use]
pub const fn plugin<O: Operator>(version: &'static str) -> Plugin {
    let header = Header {
        magic: abi::MAGIC,
        abi: abi::ABI,
        plugin_bytes: size_of::<Plugin>() as u32,
        picture_bytes: size_of::<PictureC>() as u32,
        buffer_bytes: size_of::<Buffer>() as u32,
        name: Text::of(O::NAME),
        version: Text::of(version),
        built_with: Text::of(concat!("gantry-operators ", env!("CARGO_PKG_VERSION"))),
    };
    Plugin { header, describe: describe::<O>, create: create::<O>, run: run::<O>, destroy: destroy::<O> }
}

/// Makes an operator as the boundary does, for tests of operators.
///
/// # Errors
/// What is wrong with `options`.
pub fn open<O: Operator>(options: &str) -> Result<O, String> {
    let contract = Contract { name: text(O::NAME), summary: text(""), inputs: list(&[]), outputs: list(&[]), params: list(O::PARAMS) };
    let mut pairs = Vec::new();
    for part in options.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is no `key=value`"))?;
        pairs.push((key.trim(), value.trim()));
    }
    let set = ParamSet::from_env(&contract, pairs).map_err(|faults| {
        let lines = faults.iter().map(|f| match f.hint() {
            Some(hint) => format!("{f} ({hint})"),
            None => f.to_string(),
        });
        lines.collect::<Vec<_>>().join("; ")
    })?;
    O::open(set.to().map_err(|e| e.to_string())?)
}

/// Runs `f`, turns its outcome into a code and leaves a message.
///
/// # Safety
/// `message` is null or points to a [`Buffer`] whose `bytes` may be written for `capacity` bytes.
unsafe fn guarded(message: *mut Buffer, f: impl FnOnce() -> Result<(), (i32, String)>) -> i32 {
    let (code, said) = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            // Dropping a panic's payload may itself panic; it is a few bytes, once.
            std::mem::forget(panic);
            (PANICKED, said.unwrap_or_else(|| "no message".to_owned()))
        }
    };
    // SAFETY: the caller's promise is passed on.
    unsafe { write(message, said.as_bytes()) };
    code
}

/// # Safety
/// As [`guarded`].
unsafe fn write(buffer: *mut Buffer, bytes: &[u8]) {
    // SAFETY: null or valid, by the caller's promise.
    let Some(buffer) = (unsafe { buffer.as_mut() }) else { return };
    buffer.len = bytes.len();
    if !buffer.bytes.is_null() {
        let n = bytes.len().min(buffer.capacity);
        // SAFETY: `bytes` may be written for `capacity >= n` bytes by the caller's promise and is no part of our own memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.bytes, n) };
    }
}

/// # Safety
/// As [`guarded`].
unsafe extern "C" fn describe<O: Operator>(json: *mut Buffer) -> i32 {
    let mut text = String::new();
    let work = || {
        text = serde_json::to_string(O::PARAMS).map_err(|e| (FAILED, e.to_string()))?;
        Ok(())
    };
    // SAFETY: the caller's promise is passed on.
    let code = unsafe { guarded(json, work) };
    if code == OK {
        // SAFETY: as above.
        unsafe { write(json, text.as_bytes()) };
    }
    code
}

/// # Safety
/// As [`guarded`]; `options` points to `len` readable bytes, `instance` to a pointer that may be written.
unsafe extern "C" fn create<O: Operator>(options: Text, instance: *mut *mut c_void, message: *mut Buffer) -> i32 {
    let work = || {
        if instance.is_null() || (options.bytes.is_null() && options.len > 0) {
            return Err((BAD_CALL, "null pointer".to_owned()));
        }
        let bytes: &[u8] = match options.len {
            0 => &[],
            // SAFETY: not null (checked), readable for `len` bytes during the call by the caller's promise.
            n => unsafe { std::slice::from_raw_parts(options.bytes, n) },
        };
        let options = std::str::from_utf8(bytes).map_err(|e| (REFUSED, e.to_string()))?;
        let operator = open::<O>(options).map_err(|why| (REFUSED, why))?;
        // SAFETY: not null (checked), writable by the caller's promise.
        unsafe { instance.write(Box::into_raw(Box::new(operator)).cast()) };
        Ok(())
    };
    // SAFETY: the caller's promise is passed on.
    unsafe { guarded(message, work) }
}

/// # Safety
/// As [`guarded`]; `instance` comes from `create::<O>` and is not in use elsewhere; the pictures describe memory that may be read
/// and written for the call, and do not overlap.
unsafe extern "C" fn run<O: Operator>(
    instance: *mut c_void,
    input: *const PictureC,
    output: *const PictureMutC,
    message: *mut Buffer,
) -> i32 {
    let work = || {
        // SAFETY: null or valid by the caller's promise.
        let (operator, input, output) = unsafe { (instance.cast::<O>().as_mut(), input.as_ref(), output.as_ref()) };
        let (Some(operator), Some(input), Some(output)) = (operator, input, output) else {
            return Err((BAD_CALL, "null pointer".to_owned()));
        };
        let (w, h) = (input.width as usize, input.height as usize);
        if (input.width, input.height) != (output.width, output.height) || input.data.is_null() || output.data.is_null() || w == 0 || h == 0
        {
            return Err((BAD_CALL, "pictures do not fit".to_owned()));
        }
        let bytes = |stride: usize| stride.checked_mul(h - 1).and_then(|n| n.checked_add(w)).filter(|n| isize::try_from(*n).is_ok());
        let (Some(input_bytes), Some(output_bytes)) = (bytes(input.stride), bytes(output.stride)) else {
            return Err((BAD_CALL, "strides overflow".to_owned()));
        };
        // SAFETY: not null (checked); by the caller's promise both hold `height` rows of `width` bytes, `stride` apart, which is
        // the length computed above, do not overlap and stay for the call.
        let (from, to) =
            unsafe { (std::slice::from_raw_parts(input.data, input_bytes), std::slice::from_raw_parts_mut(output.data, output_bytes)) };
        let input = Picture::new(from, w, h, input.stride).map_err(|e| (BAD_CALL, e.to_string()))?;
        let mut output = PictureMut::new(to, w, h, output.stride).map_err(|e| (BAD_CALL, e.to_string()))?;
        operator.run(&input, &mut output).map_err(|why| (FAILED, why))
    };
    // SAFETY: the caller's promise is passed on.
    unsafe { guarded(message, work) }
}

/// # Safety
/// `instance` comes from `create::<O>` and is used no more.
unsafe extern "C" fn destroy<O: Operator>(instance: *mut c_void) {
    if !instance.is_null() {
        let work = || {
            // SAFETY: made by `Box::into_raw` in `create::<O>` and given back once, by the caller's promise.
            drop(unsafe { Box::from_raw(instance.cast::<O>()) });
            Ok(())
        };
        // SAFETY: null is allowed: there is nobody to read a message.
        unsafe { guarded(std::ptr::null_mut(), work) };
    }
}

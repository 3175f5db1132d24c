//! The binary interface, version 1: the same as `include/gantry_operator.h`.

use std::ffi::c_void;

/// First eight bytes of the header: `GNTRYOP1`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"GNTRYOP1");
/// Version of everything behind the header.
pub const ABI: u32 = 1;
/// The one exported symbol.
pub const SYMBOL: &str = "gantry_operator_v1";

/// It worked.
pub const OK: i32 = 0;
/// The options are wrong.
pub const REFUSED: i32 = 1;
/// This picture could not be processed.
pub const FAILED: i32 = 2;
/// The operator panicked; its instance must only be destroyed.
pub const PANICKED: i32 = 3;
/// The host called with null or with pictures that do not fit.
pub const BAD_CALL: i32 = 4;

/// Borrowed UTF-8.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Start.
    pub bytes: *const u8,
    /// Length in bytes.
    pub len: usize,
}

impl Text {
    /// Points to `s`, which must live as long as the value is used: for statics always.
    #[must_use]
    pub const fn of(s: &str) -> Self {
        Self { bytes: s.as_ptr(), len: s.len() }
    }
}

/// Room for a message of the callee.
#[repr(C)]
#[derive(Debug)]
pub struct Buffer {
    /// Start.
    pub bytes: *mut u8,
    /// Bytes that may be written.
    pub capacity: usize,
    /// Length of the whole message, which may be more than `capacity`.
    pub len: usize,
}

/// Grey, u8 `[H, W]`, to read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PictureC {
    /// First row.
    pub data: *const u8,
    /// Bytes from row to row.
    pub stride: usize,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Grey, u8 `[H, W]`, to write.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PictureMutC {
    /// First row.
    pub data: *mut u8,
    /// Bytes from row to row.
    pub stride: usize,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// What a library says first. Its layout never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`ABI`].
    pub abi: u32,
    /// Size of [`Plugin`].
    pub plugin_bytes: u32,
    /// Size of [`PictureC`].
    pub picture_bytes: u32,
    /// Size of [`Buffer`].
    pub buffer_bytes: u32,
    /// Name of the operator.
    pub name: Text,
    /// Its version.
    pub version: Text,
    /// What built it.
    pub built_with: Text,
}

/// The functions of an operator.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    /// Handshake.
    pub header: Header,
    /// Writes the options as JSON.
    pub describe: unsafe extern "C" fn(json: *mut Buffer) -> i32,
    /// Makes an instance from `key=value;key=value`.
    pub create: unsafe extern "C" fn(options: Text, instance: *mut *mut c_void, message: *mut Buffer) -> i32,
    /// Processes one picture.
    pub run: unsafe extern "C" fn(instance: *mut c_void, input: *const PictureC, output: *const PictureMutC, message: *mut Buffer) -> i32,
    /// Ends an instance.
    pub destroy: unsafe extern "C" fn(instance: *mut c_void),
}

// SAFETY: a `Plugin` is constant data: its texts point to statics and its functions are called by contract with instances of one
// thread at a time.
unsafe impl Sync for Plugin {}

/// The exported function.
pub type Entry = unsafe extern "C" fn() -> *const Header;

const _: () = {
    assert!(size_of::<PictureC>() == size_of::<PictureMutC>());
    assert!(cfg!(not(target_pointer_width = "64")) || (size_of::<Header>() == 72 && size_of::<Plugin>() == 104));
    assert!(cfg!(not(target_pointer_width = "64")) || (size_of::<PictureC>() == 24 && size_of::<Buffer>() == 24));
};

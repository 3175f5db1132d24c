//! Cameras at this machine: `v4l2:/dev/video0`, through FFmpeg's libavdevice.
//!
//! That library brings a dozen others along (X11, SDL, sound), so it is loaded only by who opens a device.
#![allow(unsafe_code)]

use crate::MediaError;
use ffmpeg_sys_next as sys;
use std::os::unix::fs::FileTypeExt;
use std::sync::OnceLock;

/// What an address of a device begins with.
const SCHEME: &str = "v4l2:";

/// The path of the device, if `source` is the address of one.
#[must_use]
pub fn device_path(source: &str) -> Option<&str> {
    source.strip_prefix(SCHEME)
}

/// Loads libavdevice, once.
///
/// # Errors
/// [`MediaError::Open`] where it is missing or knows nothing of V4L2.
pub(crate) fn input_format(source: &str) -> Result<*const sys::AVInputFormat, MediaError> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let missing = |why: String| MediaError::Open {
        source_name: source.to_owned(),
        why: format!("FFmpeg's library for devices: {why}"),
        hint: "install it (Debian: `apt-get install libavdevice59`, in the version of the other FFmpeg libraries)".to_owned(),
    };
    LOADED.get_or_init(load).clone().map_err(missing)?;
    // SAFETY: a zero-terminated name; the result is null or a static of the library, which is never unloaded.
    let format = unsafe { sys::av_find_input_format(c"video4linux2".as_ptr()) };
    if format.is_null() { Err(missing("it was built without Video4Linux".to_owned())) } else { Ok(format) }
}

fn load() -> Result<(), String> {
    // libavdevice has the major version of libavformat in every release since FFmpeg 5.
    // SAFETY: plain getter.
    let major = unsafe { sys::avformat_version() } >> 16;
    // SAFETY: FFmpeg's own library; what it does when it is loaded is what linking it would do.
    let library = unsafe { libloading::Library::new(format!("libavdevice.so.{major}")) }.map_err(|e| e.to_string())?;
    // SAFETY: this is its signature in every version; it adds its formats to libavformat's list.
    unsafe {
        let register = library.get::<unsafe extern "C" fn()>(b"avdevice_register_all\0").map_err(|e| e.to_string())?;
        register();
    }
    // Its formats stay in libavformat's list for good.
    std::mem::forget(library);
    Ok(())
}

/// What FFmpeg would word badly: no such device, or a path that is none.
pub(crate) fn check_device(source: &str, path: &str) -> Result<(), MediaError> {
    let fail = |why: String, hint: &str| Err(MediaError::Open { source_name: source.to_owned(), why, hint: hint.to_owned() });
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => fail(
            "no such device".to_owned(),
            "`ls -l /dev/v4l/by-id` shows the cameras that are plugged in; those names stay when others come",
        ),
        Err(e) => fail(e.to_string().to_lowercase(), "check the permissions of the device and its folder"),
        Ok(meta) if !meta.file_type().is_char_device() => {
            fail("it is no device".to_owned(), "name a device, e.g. `v4l2:/dev/video0`; a file is named without `v4l2:`")
        }
        Ok(_) => Ok(()),
    }
}

/// What to do about a device that FFmpeg cannot open.
pub(crate) fn hint(path: &str, denied: bool) -> String {
    if denied {
        format!("this user may not use `{path}`: add it to the group of the device (usually `video`), `adduser USER video`")
    } else {
        format!("`v4l2-ctl -d {path} --list-formats-ext` shows formats and sizes that it offers; another program may be using it")
    }
}

//! What the driver refuses, with its own name for it and what to do.

/// A CUDA operation did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// `libcuda.so` is not there.
    #[error("no CUDA device: the driver library `libcuda.so.1` is not installed")]
    NoDriver,
    /// The driver is there and older than what this build needs.
    #[error("no CUDA device: the driver supports CUDA {major}.{minor}, 12.0 or later is needed")]
    OldDriver {
        /// CUDA version of the driver.
        major: i32,
        /// Its second part.
        minor: i32,
    },
    /// The driver works and shows no device.
    #[error("no CUDA device: the driver shows none to this process")]
    NoDevice,
    /// No visible device has this UUID.
    #[error("CUDA device `{uuid}` is not visible to this process, which sees {visible}")]
    UnknownDevice {
        /// The UUID that was looked for.
        uuid: String,
        /// The UUIDs that are there.
        visible: String,
    },
    /// An argument reaches beyond its memory.
    #[error("`{operation}`: {asked} bytes asked for, {available} are there")]
    Bounds {
        /// What was tried.
        operation: &'static str,
        /// Bytes asked for.
        asked: usize,
        /// Bytes there.
        available: usize,
    },
    /// The memory is not made for that, or the system refused.
    #[error("`{operation}`: {why}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// Why it cannot be.
        why: String,
    },
    /// Memory of one device or context was used with another.
    #[error("`{operation}`: the memory belongs to another device")]
    OtherDevice {
        /// What was tried.
        operation: &'static str,
    },
    /// The library of the driver's video decoder is not there.
    #[error("no NVDEC: {why}")]
    NoVideoDecoder {
        /// The loader's reason.
        why: String,
    },
    /// NVRTC is not there.
    #[error("no CUDA compiler (NVRTC): {why}", why = match file { Some(file) => format!("`{}`: {why}", file.display()), None => why.clone() })]
    NoCompiler {
        /// The file that was looked for first.
        file: Option<std::path::PathBuf>,
        /// The loader's reason.
        why: String,
    },
    /// A kernel's text does not compile.
    #[error("`{name}` does not compile with `{target}`: {why}")]
    Compile {
        /// Which text.
        name: String,
        /// For which architecture.
        target: String,
        /// The compiler's messages.
        why: String,
    },
    /// The driver refused a call.
    #[error("`{operation}` failed: {name} ({code})")]
    Driver {
        /// The driver's function.
        operation: &'static str,
        /// The number of the result.
        code: u32,
        /// The name of the result, as in `CUDA_ERROR_OUT_OF_MEMORY`.
        name: String,
    },
}

impl CudaError {
    /// What the person at the machine can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoDriver => "install the NVIDIA driver; in a container start it with `--gpus all` (NVIDIA container toolkit)",
            Self::OldDriver { .. } => "install a driver of release 525 or later",
            Self::NoDevice => "look at `nvidia-smi` and at `CUDA_VISIBLE_DEVICES`; in a container start it with `--gpus all`",
            Self::UnknownDevice { .. } => "give all nodes of the graph the same `CUDA_VISIBLE_DEVICES`",
            Self::NoCompiler { .. } => "`cargo xtask setup` fetches it into .gantry/nvrtc; or name `libnvrtc.so.12` in `GANTRY_NVRTC`",
            Self::NoVideoDecoder { .. } => {
                "`apt-get install libnvcuvid1`; in a container start it with `-e NVIDIA_DRIVER_CAPABILITIES=compute,utility,video`"
            }
            Self::Compile { .. } => {
                "an architecture that this NVRTC does not know needs a newer one; else please report it with the whole message"
            }
            Self::Bounds { .. } | Self::Refused { .. } | Self::OtherDevice { .. } => {
                "this is a bug: please report it with the whole message"
            }
            Self::Driver { code, .. } => match code {
                2 => "the card's memory is full: use fewer or smaller slots, or end other programs (`nvidia-smi` lists them)",
                34 => "this is the CUDA toolkit's stub of libcuda: take its folder out of LD_LIBRARY_PATH",
                36 => "the driver is too old for this call: update it",
                3 | 4 | 802 => "the driver is not ready: look at `nvidia-smi`; after an update of the driver, restart the machine",
                46 => "the card is taken by another program in exclusive mode (`nvidia-smi -c 0` ends that)",
                100 | 101 => "look at `nvidia-smi` and at `CUDA_VISIBLE_DEVICES`; in a container start it with `--gpus all`",
                209 | 218 | 222 => {
                    "compiled kernels do not fit card or driver: update the driver, or remove the kernels' cache (~/.cache/gantry/kernels)"
                }
                214 | 226 | 700 | 702 | 710 | 714..=719 => {
                    "a kernel failed and this process must be restarted; `dmesg | grep NVRM` may say more"
                }
                800 | 801 => "this card or container does not allow it: the legacy IPC needs `--ipc=host` and a shared PID namespace",
                803 => "driver library and kernel module differ: restart the machine",
                _ => "look at `nvidia-smi` and `dmesg | grep NVRM`",
            },
        }
    }

    /// The number of the driver's result, if it was the driver that refused.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Driver { code, .. } => Some(*code),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_says_what_failed_and_what_to_do() {
        let full = CudaError::Driver { operation: "cuMemCreate", code: 2, name: "CUDA_ERROR_OUT_OF_MEMORY".into() };
        assert_eq!(full.to_string(), "`cuMemCreate` failed: CUDA_ERROR_OUT_OF_MEMORY (2)");
        assert!(full.hint().contains("memory is full"));
        assert_eq!(full.code(), Some(2));
        for absent in [CudaError::NoDriver, CudaError::NoDevice, CudaError::OldDriver { major: 11, minor: 4 }] {
            assert!(absent.to_string().starts_with("no CUDA device: "), "{absent}");
            assert!(!absent.hint().is_empty() && absent.code().is_none());
        }
    }
}

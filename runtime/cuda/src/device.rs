//! Devices, known by UUID: an index means another card in each process (`CUDA_VISIBLE_DEVICES`).
#![allow(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use cudarc::driver::sys::{self, CUdevice, CUdevice_attribute, CUuuid};

use crate::CudaError;
use crate::driver::{check, ready};

/// The 16 bytes that name a device on every machine and in every process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceUuid(pub [u8; 16]);

impl fmt::Display for DeviceUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GPU-")?;
        self.0.iter().enumerate().try_for_each(|(i, byte)| {
            let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")
        })
    }
}

impl FromStr for DeviceUuid {
    type Err = String;

    /// Takes what [`fmt::Display`] and `nvidia-smi -L` write; dashes may be anywhere.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.strip_prefix("GPU-").unwrap_or(text).chars().filter(|c| *c != '-').collect();
        let is_uuid = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_uuid.then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
        number.map(|number| Self(number.to_be_bytes())).ok_or_else(|| format!("`{text}` is no UUID of a device"))
    }
}

impl fmt::Debug for DeviceUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A device that this process sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    pub(crate) raw: CUdevice,
    uuid: DeviceUuid,
}

impl Device {
    /// The devices that this process sees, at least one.
    ///
    /// # Errors
    /// [`CudaError::NoDriver`], [`CudaError::OldDriver`], [`CudaError::NoDevice`], or what the driver says.
    pub fn all() -> Result<Vec<Self>, CudaError> {
        ready()?;
        let mut count = 0;
        // SAFETY: the driver is initialised; writes one int.
        check("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&mut count) })?;
        let devices = (0..count).map(Self::at).collect::<Result<Vec<_>, _>>()?;
        if devices.is_empty() { Err(CudaError::NoDevice) } else { Ok(devices) }
    }

    fn at(index: i32) -> Result<Self, CudaError> {
        let mut raw = 0;
        // SAFETY: the driver is initialised; writes one int; any index is answered.
        check("cuDeviceGet", unsafe { sys::cuDeviceGet(&mut raw, index) })?;
        let mut uuid = CUuuid { bytes: [0; 16] };
        // SAFETY: `raw` is a device; writes 16 bytes. Version 2 names a MIG slice and not its card.
        check("cuDeviceGetUuid_v2", unsafe { sys::cuDeviceGetUuid_v2(&mut uuid, raw) })?;
        Ok(Self { raw, uuid: DeviceUuid(uuid.bytes.map(|byte| byte as u8)) })
    }

    /// The device of this name.
    ///
    /// # Errors
    /// [`CudaError::UnknownDevice`] if this process does not see it; else as [`Device::all`].
    pub fn by_uuid(uuid: DeviceUuid) -> Result<Self, CudaError> {
        let all = Self::all()?;
        let visible = || all.iter().map(|device| device.uuid.to_string()).collect::<Vec<_>>().join(", ");
        let found = all.iter().find(|device| device.uuid == uuid).copied();
        found.ok_or_else(|| CudaError::UnknownDevice { uuid: uuid.to_string(), visible: visible() })
    }

    /// Its name for all processes.
    #[must_use]
    pub fn uuid(&self) -> DeviceUuid {
        self.uuid
    }

    /// Its name for people, as in `NVIDIA H100 80GB HBM3`.
    ///
    /// # Errors
    /// What the driver says.
    pub fn name(&self) -> Result<String, CudaError> {
        let mut name = [0; 256];
        // SAFETY: `raw` is a device; writes at most 256 bytes, with the 0 at the end.
        check("cuDeviceGetName", unsafe { sys::cuDeviceGetName(name.as_mut_ptr(), name.len() as i32, self.raw) })?;
        let bytes: Vec<u8> = name.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it says that its memory can be handed over as a file descriptor. A hint for messages: only a round trip proves it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn says_posix_fd(&self) -> Result<bool, CudaError> {
        self.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED).map(|value| value != 0)
    }

    /// Its index among the devices that this process sees, for libraries that take one.
    #[must_use]
    pub fn index(&self) -> i32 {
        self.raw
    }

    /// Its architecture: major and minor compute capability, as (9, 0) for `sm_90`.
    ///
    /// # Errors
    /// What the driver says.
    pub fn compute_capability(&self) -> Result<(i32, i32), CudaError> {
        let major = self.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        Ok((major, self.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?))
    }

    fn attribute(&self, attribute: CUdevice_attribute) -> Result<i32, CudaError> {
        let mut value = 0;
        // SAFETY: `raw` is a device; writes one int.
        check("cuDeviceGetAttribute", unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, self.raw) })?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_nvidia_smi_writes_it() {
        let uuid = DeviceUuid(std::array::from_fn(|i| i as u8));
        assert_eq!(uuid.to_string(), "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
        assert!("GPU-00010203-0405-0607-0809-0a0b0c0d0e".parse::<DeviceUuid>().is_err());
        assert!("GPU-+0010203-0405-0607-0809-0a0b0c0d0e0f".parse::<DeviceUuid>().is_err());
    }

    #[test]
    fn a_machine_without_a_device_gets_an_error_that_says_so() {
        match Device::all() {
            Ok(devices) => assert!(Device::by_uuid(devices[0].uuid()).is_ok()),
            Err(error) => {
                assert!(error.to_string().starts_with("no CUDA device: ") || error.code().is_some(), "{error}");
                assert_eq!(Device::by_uuid(DeviceUuid([0; 16])), Err(error), "the first answer is repeated");
                println!("skipped: {}", Device::all().unwrap_err());
            }
        }
    }
}

//! The 192 bytes that travel in a message, and the one function that checks them.
//!
//! All numbers are little-endian:
//!
//! ```text
//!   0 magic "GFH1"    4 version u16     6 backend u8   7 mode u8       8 pool_id [16]
//!  24 seq u64        32 slot u32       36 generation u32              40 device_uuid [16]
//!  56 offset u64     64 len u64        72 fourcc u32  76 kind u8 (1 picture, 2 tensor)
//!  77 dtype u8       78 planes or rank 79 matrix u8   80 range u8     81 flags [7], zero
//!  88 published_ns u64
//!  96 picture: width u32, height u32, 4 x { offset u64, stride u32, rows u32 };  tensor: shape 6 x u32, strides 6 x u64
//! 168 zero [24]
//! ```

use std::fmt;

use gantry_cuda::DeviceUuid;

use crate::layout::{MAX_PLANES, MAX_RANK};
use crate::{Backend, Colour, DType, Layout, LayoutError, Mode, PixelFormat, Plane};

/// Bytes of a [`Handle`].
pub const HANDLE_BYTES: usize = 192;
const MAGIC: u32 = u32::from_le_bytes(*b"GFH1");
const VERSION: u16 = 1;
const KIND_IMAGE: u8 = 1;
const KIND_TENSOR: u8 = 2;

/// Names a pool: random, new at each start of its producer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub [u8; 16]);

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolId({self})")
    }
}

/// Names one frame in one slot of one pool. Bytes from another process: only [`Handle::decode_checked`] looks inside.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle([u8; HANDLE_BYTES]);

/// What a handle says, checked in itself; that it fits its pool is checked when it is acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The pool.
    pub pool: PoolId,
    /// Where its slots lie.
    pub backend: Backend,
    /// Its mode.
    pub mode: Mode,
    /// Number of the frame in its pool, consecutive from 0 in the order of publishing.
    pub seq: u64,
    /// Index of the slot.
    pub slot: u32,
    /// The slot's generation: how often it was written.
    pub generation: u32,
    /// The device that the memory belongs to; zeros for host memory.
    pub device_uuid: [u8; 16],
    /// Bytes from the start of the slot to the payload.
    pub offset: u64,
    /// Bytes of the payload.
    pub len: u64,
    /// How the payload is to be read; its offsets count from the start of the payload.
    pub layout: Layout,
    /// When it was published, ns of the monotonic clock.
    pub published_ns: u64,
}

/// Why bytes are no handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError {
    /// Wrong number of bytes.
    #[error("a handle has {HANDLE_BYTES} bytes, found {found}")]
    Length {
        /// Bytes found.
        found: usize,
    },
    /// Does not start as a handle does.
    #[error("magic is {found:#010x}, expected {MAGIC:#010x}")]
    Magic {
        /// First four bytes.
        found: u32,
    },
    /// Another version of the layout.
    #[error("handle version {found}, this build reads {VERSION}: build all nodes from one checkout")]
    Version {
        /// Version found.
        found: u16,
    },
    /// A code that this version does not know.
    #[error("field `{field}` has the unknown value {value:#x}")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// Value found.
        value: u64,
    },
    /// Bytes that must be zero are not.
    #[error("reserved bytes are not zero")]
    Reserved,
    /// The planes or the shape cannot be.
    #[error("layout does not hold")]
    Layout(#[from] LayoutError),
    /// The layout reaches beyond the payload.
    #[error("layout spans {needed} bytes, the payload has {len}")]
    Payload {
        /// Bytes that the layout spans.
        needed: u64,
        /// Bytes of the payload.
        len: u64,
    },
    /// A field contradicts the pool.
    #[error("field `{field}` is {value}, the pool allows less than or exactly {limit}")]
    Pool {
        /// Which field.
        field: &'static str,
        /// Value found.
        value: u64,
        /// What the pool says.
        limit: u64,
    },
    /// The device is not the pool's.
    #[error("the handle names device {found}, its pool lies on {pool}")]
    Device {
        /// Device claimed.
        found: DeviceUuid,
        /// The pool's device.
        pool: DeviceUuid,
    },
    /// The handle is not the one that the pool's descriptor page shows for this slot and generation.
    #[error("handle with seq {seq} differs from what its producer published")]
    Forged {
        /// The seq claimed.
        seq: u64,
    },
}

impl Handle {
    /// The bytes, for a `FixedSizeBinary(192)` column.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; HANDLE_BYTES] {
        &self.0
    }

    /// Copies bytes from a message. Any 192 bytes are taken; nothing is believed before [`Handle::decode_checked`].
    /// An array `[u8; 192]` gives a `Handle`; borrowed bytes give a `Result`, [`HandleError::Length`] if there are not 192.
    pub fn from_bytes<B: HandleBytes>(bytes: B) -> B::Made {
        bytes.into_handle()
    }

    /// The pool that the handle claims to name; unchecked, for grouping only.
    #[must_use]
    pub fn pool(&self) -> PoolId {
        PoolId(self.array(8))
    }

    /// The seq that the handle claims; unchecked, for logs and ordering only.
    #[must_use]
    pub fn seq(&self) -> u64 {
        u64::from_le_bytes(self.array(24))
    }

    pub(crate) fn encode(d: &Descriptor) -> Self {
        let mut h = Self([0; HANDLE_BYTES]);
        h.put(0, &MAGIC.to_le_bytes());
        h.put(4, &VERSION.to_le_bytes());
        h.put(6, &[d.backend as u8, d.mode as u8]);
        h.put(8, &d.pool.0);
        h.put(24, &d.seq.to_le_bytes());
        h.put(32, &d.slot.to_le_bytes());
        h.put(36, &d.generation.to_le_bytes());
        h.put(40, &d.device_uuid);
        h.put(56, &d.offset.to_le_bytes());
        h.put(64, &d.len.to_le_bytes());
        h.put(88, &d.published_ns.to_le_bytes());
        match &d.layout {
            Layout::Image(image) => {
                h.put(72, &image.format.fourcc().to_le_bytes());
                let planes = image.planes();
                h.put(76, &[KIND_IMAGE, 0, planes.len() as u8, image.colour.matrix as u8, image.colour.range as u8]);
                h.put(96, &image.width.to_le_bytes());
                h.put(100, &image.height.to_le_bytes());
                for (at, plane) in (104..).step_by(16).zip(planes) {
                    h.put(at, &plane.offset.to_le_bytes());
                    h.put(at + 8, &plane.stride.to_le_bytes());
                    h.put(at + 12, &plane.rows.to_le_bytes());
                }
            }
            Layout::Tensor(tensor) => {
                h.put(76, &[KIND_TENSOR, tensor.dtype as u8, tensor.shape().len() as u8]);
                for (axis, (n, stride)) in tensor.shape().iter().zip(tensor.strides()).enumerate() {
                    h.put(96 + 4 * axis, &n.to_le_bytes());
                    h.put(120 + 8 * axis, &stride.to_le_bytes());
                }
            }
        }
        h
    }

    /// Reads and checks the bytes. Total: returns for any bytes, never panics, never overflows.
    ///
    /// # Errors
    /// [`HandleError`] names the first field that cannot be.
    pub fn decode_checked(&self) -> Result<Descriptor, HandleError> {
        let unknown = |field, value: u64| HandleError::Unknown { field, value };
        let magic = u32::from_le_bytes(self.array(0));
        if magic != MAGIC {
            return Err(HandleError::Magic { found: magic });
        }
        let version = u16::from_le_bytes(self.array(4));
        if version != VERSION {
            return Err(HandleError::Version { found: version });
        }
        let backend = Backend::from_code(self.0[6]).ok_or(unknown("backend", self.0[6].into()))?;
        let mode = match self.0[7] {
            0 => Mode::Live,
            1 => Mode::Lossless,
            other => return Err(unknown("mode", other.into())),
        };
        let device_uuid: [u8; 16] = self.array(40);
        let no_device: &[u8] = if backend == Backend::HostMemfd { &device_uuid } else { &[] };
        if self.0[81..88].iter().chain(&self.0[168..]).chain(no_device).any(|byte| *byte != 0) {
            return Err(HandleError::Reserved);
        }
        let layout = match self.0[76] {
            KIND_IMAGE => self.decode_image()?,
            KIND_TENSOR => self.decode_tensor()?,
            other => return Err(unknown("kind", other.into())),
        };
        let (offset, len) = (u64::from_le_bytes(self.array(56)), u64::from_le_bytes(self.array(64)));
        let needed = layout.checked_len()?;
        if needed > len {
            return Err(HandleError::Payload { needed, len });
        }
        offset.checked_add(len).ok_or(LayoutError::Overflow)?;
        Ok(Descriptor {
            pool: self.pool(),
            backend,
            mode,
            seq: self.seq(),
            slot: u32::from_le_bytes(self.array(32)),
            generation: u32::from_le_bytes(self.array(36)),
            device_uuid,
            offset,
            len,
            layout,
            published_ns: u64::from_le_bytes(self.array(88)),
        })
    }

    fn decode_image(&self) -> Result<Layout, HandleError> {
        let fourcc = u32::from_le_bytes(self.array(72));
        let format = PixelFormat::from_fourcc(fourcc).ok_or(HandleError::Unknown { field: "format", value: fourcc.into() })?;
        let colour = Colour::from_codes(self.0[79], self.0[80])
            .ok_or(HandleError::Unknown { field: "colour", value: u16::from_le_bytes(self.array(79)).into() })?;
        let (width, height) = (u32::from_le_bytes(self.array(96)), u32::from_le_bytes(self.array(100)));
        let planes: [Plane; MAX_PLANES] = std::array::from_fn(|index| {
            let at = 104 + 16 * index;
            Plane {
                offset: u64::from_le_bytes(self.array(at)),
                stride: u32::from_le_bytes(self.array(at + 8)),
                rows: u32::from_le_bytes(self.array(at + 12)),
            }
        });
        let count = usize::from(self.0[78]);
        let given = planes.get(..count).ok_or(HandleError::Unknown { field: "planes", value: count as u64 })?;
        if self.0[77] != 0 || planes[count..].iter().any(|plane| *plane != Plane::default()) {
            return Err(HandleError::Reserved);
        }
        Ok(Layout::image(format, width, height, given, colour)?)
    }

    fn decode_tensor(&self) -> Result<Layout, HandleError> {
        let code = self.0[77];
        let dtype = DType::from_code(code).ok_or(HandleError::Unknown { field: "dtype", value: code.into() })?;
        let rank = usize::from(self.0[78]);
        let shape: [u32; MAX_RANK] = std::array::from_fn(|axis| u32::from_le_bytes(self.array(96 + 4 * axis)));
        let strides: [u64; MAX_RANK] = std::array::from_fn(|axis| u64::from_le_bytes(self.array(120 + 8 * axis)));
        let (Some((shape, no_axes)), Some((strides, no_strides))) = (shape.split_at_checked(rank), strides.split_at_checked(rank)) else {
            return Err(HandleError::Unknown { field: "rank", value: rank as u64 });
        };
        let image_only: [u8; 6] = [self.0[72], self.0[73], self.0[74], self.0[75], self.0[79], self.0[80]];
        if image_only != [0; 6] || no_axes.iter().any(|n| *n != 0) || no_strides.iter().any(|stride| *stride != 0) {
            return Err(HandleError::Reserved);
        }
        Ok(Layout::tensor_strided(dtype, shape, strides)?)
    }

    /// `N` bytes from `at`; every call has constants within the 192 bytes.
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.0[at..at + N]);
        out
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn to_words(self) -> [u64; HANDLE_BYTES / 8] {
        std::array::from_fn(|i| u64::from_le_bytes(self.array(8 * i)))
    }

    pub(crate) fn from_words(words: &[u64; HANDLE_BYTES / 8]) -> Self {
        let mut h = Self([0; HANDLE_BYTES]);
        for (i, word) in words.iter().enumerate() {
            h.put(8 * i, &word.to_le_bytes());
        }
        h
    }
}

/// Bytes that [`Handle::from_bytes`] takes.
pub trait HandleBytes {
    /// `Handle`, or a `Result` where the length is not in the type.
    type Made;
    /// Makes it.
    fn into_handle(self) -> Self::Made;
}

impl HandleBytes for [u8; HANDLE_BYTES] {
    type Made = Handle;
    fn into_handle(self) -> Handle {
        Handle(self)
    }
}

impl HandleBytes for &[u8] {
    type Made = Result<Handle, HandleError>;
    fn into_handle(self) -> Self::Made {
        self.try_into().map(Handle).map_err(|_| HandleError::Length { found: self.len() })
    }
}

impl HandleBytes for &Vec<u8> {
    type Made = Result<Handle, HandleError>;
    fn into_handle(self) -> Self::Made {
        self.as_slice().into_handle()
    }
}

impl<const N: usize> HandleBytes for &[u8; N] {
    type Made = Result<Handle, HandleError>;
    fn into_handle(self) -> Self::Made {
        self.as_slice().into_handle()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decode_checked() {
            Ok(d) => write!(f, "Handle({} seq {} slot {} generation {})", d.pool, d.seq, d.slot, d.generation),
            Err(error) => write!(f, "Handle(malformed: {error})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layouts() -> impl Strategy<Value = Layout> {
        use PixelFormat::{Bgr8, Gray8, I420, Nv12, Rgb8};
        let colour = (0u8..4, 0u8..2).prop_map(|(matrix, range)| Colour::from_codes(matrix, range).unwrap());
        let format = prop::sample::select(vec![I420, Nv12, Rgb8, Bgr8, Gray8]);
        let image = (format, 1u32..5000, 1u32..5000, colour).prop_map(|(f, w, h, c)| Layout::packed(f, w, h, c).unwrap());
        let dtype = prop::sample::select(vec![DType::U8, DType::F16, DType::F32]);
        let tensor = (dtype, prop::collection::vec(1u32..100, 1..=6)).prop_map(|(d, shape)| Layout::tensor(d, &shape).unwrap());
        prop_oneof![image, tensor]
    }

    fn descriptors() -> impl Strategy<Value = Descriptor> {
        let backend = prop::sample::select(vec![Backend::HostMemfd, Backend::CudaVmmFd, Backend::CudaIpcLegacy]);
        let device = (backend, any::<[u8; 16]>());
        (layouts(), any::<[u8; 16]>(), any::<(u64, u32, u32, u64)>(), 0u64..1 << 40, any::<bool>(), device).prop_map(
            |(layout, pool, (seq, slot, generation, published_ns), offset, live, (backend, device_uuid))| Descriptor {
                pool: PoolId(pool),
                backend,
                mode: if live { Mode::Live } else { Mode::Lossless },
                seq,
                slot,
                generation,
                device_uuid: if backend == Backend::HostMemfd { [0; 16] } else { device_uuid },
                offset,
                len: layout.byte_len(),
                layout,
                published_ns,
            },
        )
    }

    proptest! {
        #[test]
        fn a_descriptor_survives_the_message_and_the_page(descriptor in descriptors()) {
            let handle = Handle::encode(&descriptor);
            prop_assert_eq!(handle.decode_checked(), Ok(descriptor));
            prop_assert_eq!(Handle::from_words(&handle.to_words()), handle);
            prop_assert_eq!((handle.pool(), handle.seq()), (descriptor.pool, descriptor.seq));
        }

        #[test]
        fn any_bytes_are_refused_or_hold_together(descriptor in descriptors(), edits in prop::collection::vec((0usize..192, any::<u8>()), 0..24)) {
            let mut bytes = *Handle::encode(&descriptor).as_bytes();
            for (at, value) in edits {
                bytes[at] = value;
            }
            if let Ok(d) = Handle::from_bytes(&bytes).unwrap().decode_checked() {
                prop_assert_eq!(*Handle::encode(&d).as_bytes(), bytes, "nothing in the bytes is ignored");
                prop_assert!(d.layout.byte_len() <= d.len && d.offset.checked_add(d.len).is_some());
                if let Some(image) = d.layout.as_image() {
                    for plane in image.planes() {
                        prop_assert!(plane.offset + u64::from(plane.stride) * u64::from(plane.rows) <= d.len);
                    }
                }
            }
        }

        #[test]
        fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 192)) {
            // Four magic bytes by chance: not in a test's life.
            let noise = Handle::from_bytes(&bytes).unwrap();
            let found = u32::from_le_bytes(noise.array(0));
            prop_assert_eq!(noise.decode_checked(), Err(HandleError::Magic { found }));
            let shown = format!("{noise:?}");
            prop_assert!(shown.contains("malformed"));
        }
    }

    #[test]
    fn bytes_that_a_layout_has_no_use_for_are_zero() {
        let refused = |layout: Layout, unused: &mut dyn Iterator<Item = usize>| {
            let handle = Handle::encode(&Descriptor {
                pool: PoolId([1; 16]),
                backend: Backend::HostMemfd,
                mode: Mode::Live,
                seq: 0,
                slot: 0,
                generation: 1,
                device_uuid: [0; 16],
                offset: 0,
                len: layout.byte_len(),
                layout,
                published_ns: 0,
            });
            assert!(handle.decode_checked().is_ok());
            for at in unused.chain(81..88).chain(168..192).chain(40..56) {
                let mut bytes = *handle.as_bytes();
                bytes[at] = 1;
                assert_eq!(Handle::from_bytes(bytes).decode_checked(), Err(HandleError::Reserved), "byte {at} of {layout:?}");
            }
        };
        // The data type, and the planes behind the last one.
        refused(Layout::gray8(8, 8).unwrap(), &mut [77].into_iter().chain(120..168));
        refused(Layout::i420(8, 8).unwrap(), &mut [77].into_iter().chain(152..168));
        // Format and colour, and the axes and strides behind the last one.
        let (shape, format_and_colour) = ([2, 3], (72..76).chain(79..81));
        let behind = (96 + 4 * shape.len()..120).chain(120 + 8 * shape.len()..168);
        refused(Layout::tensor(DType::U8, &shape).unwrap(), &mut format_and_colour.chain(behind));
    }

    #[test]
    fn names_are_written_in_full() {
        let id = PoolId(std::array::from_fn(|i| 0x10 * i as u8 + 0x0f));
        assert_eq!(id.to_string(), "0f1f2f3f4f5f6f7f8f9fafbfcfdfefff");
        assert_eq!(format!("{id:?}"), "PoolId(0f1f2f3f4f5f6f7f8f9fafbfcfdfefff)");
    }

    #[test]
    fn the_bytes_of_a_handle_are_those_it_was_made_of() {
        let bytes: [u8; HANDLE_BYTES] = std::array::from_fn(|i| i as u8);
        assert_eq!(*Handle::from_bytes(bytes).as_bytes(), bytes);
    }

    #[test]
    fn another_length_is_no_handle() {
        assert_eq!(Handle::from_bytes(&[0; 191]), Err(HandleError::Length { found: 191 }));
        assert_eq!(Handle::from_bytes(&[][..]), Err(HandleError::Length { found: 0 }));
        assert_eq!(Handle::from_bytes(&[5; 192]), Ok(Handle::from_bytes([5; 192])));
    }
}

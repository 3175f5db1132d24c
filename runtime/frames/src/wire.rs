//! What client and producer say to each other over the pool's socket: hello, welcome with three descriptors, goodbye.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use crate::pages::Geometry;
use crate::{Backend, Mode, PoolId};

const VERSION: u32 = 2;
const HELLO: u8 = 1;
const GOODBYE: u8 = 2;
const WELCOME: u8 = 3;
const REFUSED: u8 = 4;
/// Longest name of a node or an output, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 128;
const MAX_MESSAGE: usize = 256;

/// From the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Hello { name: String, max_held: u32 },
    Goodbye,
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Undeclared,
    InUse { pid: u32 },
    MaxHeld { declared: u32 },
    Closing,
}

/// From the producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Welcome { geometry: Geometry, index: u32, output: String },
    Refused { refusal: Refusal, output: String },
}

struct Writer(Vec<u8>);

impl Writer {
    fn new(kind: u8) -> Self {
        Self([&VERSION.to_le_bytes()[..], &[kind]].concat())
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }
    fn text(mut self, text: &str) -> Self {
        self.0.push(text.len().min(255) as u8);
        self.0.extend(text.as_bytes());
        self
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn text(&mut self) -> Option<String> {
        let len = usize::from(self.u8()?);
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello { name, max_held } => Writer::new(HELLO).u32(*max_held).text(name).0,
            Self::Goodbye => Writer::new(GOODBYE).0,
        }
    }

    /// `None` for anything that is no request of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u32()? != VERSION {
            return None;
        }
        let request = match reader.u8()? {
            HELLO => {
                let max_held = reader.u32()?;
                Self::Hello { name: reader.text()?, max_held }
            }
            GOODBYE => Self::Goodbye,
            _ => return None,
        };
        reader.0.is_empty().then_some(request)
    }
}

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome { geometry: g, index, output } => {
                let kind = u32::from(g.backend as u8) << 8 | g.mode as u32;
                let mut writer = Writer::new(WELCOME).u32(*index).u32(kind).u32(g.slots).u64(g.slot_bytes);
                writer.0.extend(g.id.0.iter().chain(&g.device_uuid));
                writer.text(output).0
            }
            Self::Refused { refusal, output } => {
                let (code, value) = match refusal {
                    Refusal::Undeclared => (0, 0),
                    Refusal::InUse { pid } => (1, *pid),
                    Refusal::MaxHeld { declared } => (2, *declared),
                    Refusal::Closing => (3, 0),
                };
                Writer::new(REFUSED).u32(code).u32(value).text(output).0
            }
        }
    }

    /// `None` for anything that is no reply of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u32()? != VERSION {
            return None;
        }
        let reply = match reader.u8()? {
            WELCOME => {
                let index = reader.u32()?;
                let [mode, backend, 0, 0] = reader.array()? else { return None };
                let mode = match mode {
                    0 => Mode::Live,
                    1 => Mode::Lossless,
                    _ => return None,
                };
                let backend = Backend::from_code(backend)?;
                let (slots, slot_bytes, id) = (reader.u32()?, reader.u64()?, PoolId(reader.array()?));
                let device_uuid = reader.array()?;
                let geometry = Geometry { id, mode, slots, slot_bytes, backend, device_uuid };
                Self::Welcome { geometry, index, output: reader.text()? }
            }
            REFUSED => {
                let refusal = match (reader.u32()?, reader.u32()?) {
                    (0, _) => Refusal::Undeclared,
                    (1, pid) => Refusal::InUse { pid },
                    (2, declared) => Refusal::MaxHeld { declared },
                    (3, _) => Refusal::Closing,
                    _ => return None,
                };
                Self::Refused { refusal, output: reader.text()? }
            }
            _ => return None,
        };
        reader.0.is_empty().then_some(reply)
    }
}

/// Sends one message, with descriptors or without.
pub(crate) fn send(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message with up to three descriptors; an empty message means the other end is gone.
pub(crate) fn receive(socket: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too long"));
    }
    if got.flags.contains(ReturnFlags::CTRUNC) {
        let why = "not all descriptors came through: this process may open no more files (`ulimit -n`), or more than 3 were sent";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    bytes.truncate(got.bytes);
    Ok((bytes, fds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_and_replies_survive_the_wire() {
        let (backend, device_uuid) = (Backend::CudaVmmFd, [9; 16]);
        let geometry = Geometry { id: PoolId([7; 16]), mode: Mode::Lossless, slots: 9, slot_bytes: 1 << 33, backend, device_uuid };
        for request in [Request::Hello { name: "detect".into(), max_held: 3 }, Request::Goodbye] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        let output = "x".repeat(MAX_NAME_BYTES);
        let refusals = [Refusal::Undeclared, Refusal::InUse { pid: 7 }, Refusal::MaxHeld { declared: 2 }, Refusal::Closing];
        let refused = refusals.map(|refusal| Reply::Refused { refusal, output: output.clone() });
        for reply in refused.into_iter().chain([Reply::Welcome { geometry, index: 27, output: output.clone() }]) {
            assert!(reply.encode().len() <= MAX_MESSAGE);
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_nothing_or_to_what_encodes_them(bytes in prop::collection::vec(any::<u8>(), 0..64), kind in 0u8..6) {
            let bytes = [&VERSION.to_le_bytes()[..], &[kind], &bytes].concat();
            if let Some(request) = Request::decode(&bytes) {
                prop_assert_eq!(request.encode(), bytes.clone());
            }
            if let Some(Reply::Welcome { .. }) = Reply::decode(&bytes) {
                prop_assert_eq!(Reply::decode(&bytes).unwrap().encode(), bytes);
            }
        }
    }
}

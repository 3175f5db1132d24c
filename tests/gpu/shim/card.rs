//! The memory of a card: memfds, whose names say which card of which run. They vanish when the last process lets go of them, as device memory does.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::LazyLock;

use cudarc::driver::sys::CUresult;
use rustix::fs::MemfdFlags;

/// Bytes of a card, small enough to fill.
pub const TOTAL: usize = 1 << 30;

/// One byte per visible device, of which its UUID is made.
pub static CARDS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let list = std::env::var("GANTRY_SHIM_CARDS").unwrap_or_else(|_| "7".into());
    list.split(',').filter_map(|byte| byte.parse().ok()).collect()
});

static RUN: LazyLock<String> = LazyLock::new(|| std::env::var("GANTRY_SHIM_RUN").unwrap_or_else(|_| "shared".into()));

/// One allocation.
#[derive(Debug)]
pub struct Block {
    pub fd: OwnedFd,
    pub card: usize,
    pub size: usize,
}

fn name(card: usize) -> String {
    format!("gantry-shim-{}-{}", *RUN, CARDS[card])
}

impl Block {
    pub fn new(card: usize, size: usize) -> Result<Self, CUresult> {
        if used(card) + size > TOTAL {
            return Err(crate::CUDA_ERROR_OUT_OF_MEMORY);
        }
        let refused = |_| crate::CUDA_ERROR_OPERATING_SYSTEM;
        let fd = rustix::fs::memfd_create(name(card), MemfdFlags::CLOEXEC).map_err(refused)?;
        rustix::fs::ftruncate(&fd, size as u64).map_err(refused)?;
        Ok(Self { fd, card, size })
    }

    /// A descriptor that some process exported; not of this card or of no card: refused.
    pub fn import(fd: OwnedFd, card: usize) -> Result<Self, CUresult> {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).map_err(|_| crate::CUDA_ERROR_INVALID_VALUE)?;
        let size = rustix::fs::fstat(&fd).map_err(|_| crate::CUDA_ERROR_INVALID_VALUE)?.st_size as usize;
        let is_of_card = link.to_string_lossy() == format!("/memfd:{} (deleted)", name(card));
        if is_of_card { Ok(Self { fd, card, size }) } else { Err(crate::CUDA_ERROR_INVALID_VALUE) }
    }

    pub fn inode(&self) -> u64 {
        rustix::fs::fstat(&self.fd).map_or(0, |stat| stat.st_ino)
    }
}

/// Bytes of the card that any process has mapped or can still map.
pub fn used(card: usize) -> usize {
    let wanted = format!("/memfd:{} (deleted)", name(card));
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    for pid in processes() {
        for (inode, size) in mappings(pid, &wanted) {
            sizes.insert(inode, size);
        }
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if std::fs::read_link(&path).is_ok_and(|link| link.to_string_lossy() == wanted)
                && let Ok(found) = std::fs::metadata(&path)
            {
                sizes.insert(found.ino(), found.len() as usize);
            }
        }
    }
    sizes.values().sum()
}

/// Whether another process has the allocation mapped.
pub fn is_mapped_elsewhere(block: &Block) -> bool {
    let (wanted, inode) = (format!("/memfd:{} (deleted)", name(block.card)), block.inode());
    let own = std::process::id();
    processes().filter(|pid| *pid != own).any(|pid| mappings(pid, &wanted).iter().any(|(found, _)| *found == inode))
}

fn processes() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Inode and bytes of the mappings of files called `wanted`.
fn mappings(pid: u32, wanted: &str) -> Vec<(u64, usize)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let size = usize::from_str_radix(end, 16).ok()? - usize::from_str_radix(start, 16).ok()?;
        Some((fields.nth(3)?.parse().ok()?, size))
    };
    maps.lines().filter(|line| line.ends_with(wanted)).filter_map(parse).collect()
}

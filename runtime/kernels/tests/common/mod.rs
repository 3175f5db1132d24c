//! Where kernels are run in these tests, and pictures for them.
//!
//! Every machine has the shim, in both orders of threads. A machine with a GPU has that too; `GANTRY_GPU_REQUIRED` makes its absence a failure.
#![allow(unsafe_code, dead_code)]

use std::path::PathBuf;

use gantry_cuda::{Context, DeviceMemory};
use gantry_frames::{Colour, ImageLayout, Layout, Matrix, PixelFormat, Plane, Range};
use gantry_images::Yuv;
use gantry_kernels::{FrameView, GreyView, KernelError, Kernels, Launch, LoadOptions, Queue, Region, Scratch};
use gantry_kernels_shim::Order;

/// Bytes around host memory that no kernel may touch.
const GUARD: usize = 256;
const UNTOUCHED: u8 = 0xa5;

pub enum Device {
    Shim(Order),
    Gpu(Box<Queue>),
}

pub enum Memory {
    Host { bytes: Vec<u8>, start: usize, len: usize },
    Device(DeviceMemory),
}

pub fn devices() -> Vec<Device> {
    let mut all = vec![Device::Shim(Order::Forward), Device::Shim(Order::Reverse)];
    match gantry_cuda::Device::all() {
        Ok(found) => {
            let context = Context::primary(found[0]).unwrap();
            let kernels = Kernels::load(&context, &LoadOptions::from_env()).unwrap_or_else(|e| panic!("{e}; {}", e.hint()));
            all.push(Device::Gpu(Box::new(Queue::new(&kernels).unwrap())));
        }
        Err(error) if std::env::var_os("GANTRY_GPU_REQUIRED").is_some() => panic!("{error}; {}", error.hint()),
        Err(error) => println!("without a GPU: {error}"),
    }
    all
}

impl Device {
    pub fn name(&self) -> String {
        match self {
            Self::Shim(order) => format!("shim, {order:?}"),
            Self::Gpu(_) => "gpu".to_owned(),
        }
    }

    /// Memory with these bytes, `start` bytes behind an address that is a multiple of 256.
    pub fn put_at(&self, start: usize, content: &[u8]) -> Memory {
        match self {
            Self::Shim(_) => {
                let mut bytes = vec![UNTOUCHED; content.len() + start + 3 * GUARD];
                let start = bytes.as_ptr().addr().next_multiple_of(GUARD) - bytes.as_ptr().addr() + GUARD + start;
                bytes[start..start + content.len()].copy_from_slice(content);
                Memory::Host { bytes, start, len: content.len() }
            }
            Self::Gpu(queue) => {
                assert_eq!(start, 0, "a card's memory is taken whole");
                let memory = DeviceMemory::create_private(queue.stream().context(), content.len()).unwrap();
                queue.stream().upload(content, &mut memory.slice_mut(0, content.len()).unwrap()).unwrap();
                Memory::Device(memory)
            }
        }
    }

    pub fn put(&self, content: &[u8]) -> Memory {
        self.put_at(0, content)
    }

    pub fn room(&self, len: usize) -> Memory {
        self.put(&vec![UNTOUCHED; len])
    }

    pub fn get(&self, memory: &Memory) -> Vec<u8> {
        match (self, memory) {
            (Self::Gpu(queue), Memory::Device(memory)) => {
                let mut bytes = vec![0; memory.len()];
                queue.stream().download(&memory.slice(0, memory.len()).unwrap(), &mut bytes).unwrap();
                bytes
            }
            (_, Memory::Host { bytes, start, len }) => {
                let end = start + len;
                assert!(bytes[..*start].iter().chain(&bytes[end..]).all(|b| *b == UNTOUCHED), "bytes around the memory were written");
                bytes[*start..end].to_vec()
            }
            _ => panic!("memory of another device"),
        }
    }

    /// Plans with as much scratch as the plan takes, and runs.
    pub fn run(&mut self, plan: impl Fn(&mut Scratch) -> Result<Vec<Launch>, KernelError>) -> Result<(), KernelError> {
        let mut counting = Scratch::counting();
        plan(&mut counting)?;
        let memory = self.room(counting.used().max(1) as usize);
        let launches = plan(&mut Scratch::new(memory.region()))?;
        for launch in &launches {
            match self {
                // SAFETY: plans keep to the regions that the test gave them, all of which live here.
                Self::Shim(order) => unsafe { gantry_kernels_shim::run(launch, *order) }.unwrap(),
                // SAFETY: as above, on the card.
                Self::Gpu(queue) => unsafe { queue.launch(launch) }?,
            }
        }
        if let Self::Gpu(queue) = self {
            queue.stream().synchronize().unwrap();
        }
        self.get(&memory);
        Ok(())
    }
}

impl Memory {
    pub fn region(&self) -> Region {
        match self {
            Self::Host { bytes, start, len } => Region { address: bytes[*start..].as_ptr().addr() as u64, len: *len as u64 },
            Self::Device(memory) => Region::from(&memory.slice(0, memory.len()).unwrap()),
        }
    }

    pub fn grey(&self, width: usize, height: usize, stride: usize) -> GreyView {
        GreyView::new(self.region(), width as u32, height as u32, stride as u32).unwrap()
    }
}

/// Numbers that look random and are the same in each run.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Noise over slow waves, so that both flat and busy places occur.
    pub fn bytes(&mut self, len: usize, row: usize) -> Vec<u8> {
        (0..len)
            .map(|i| {
                let wave = 128.0 + 90.0 * ((i % row) as f64 * 0.13).sin() * ((i / row) as f64 * 0.21).cos();
                (wave + (self.next() >> 57) as f64 - 64.0).clamp(0.0, 255.0) as u8
            })
            .collect()
    }
}

pub struct Picture {
    pub layout: ImageLayout,
    pub bytes: Vec<u8>,
}

impl Picture {
    /// A frame as a decoder lays it out: rows `padding` bytes longer than the picture.
    pub fn new(format: PixelFormat, width: u32, height: u32, colour: Colour, padding: u32, seed: u64) -> Self {
        let mut offset = 0;
        let planes: Vec<Plane> = (0..format.plane_count())
            .map(|i| {
                let (row_bytes, rows) = format.plane_size(i, width, height);
                let plane = Plane { offset, stride: row_bytes as u32 + padding, rows };
                offset += u64::from(plane.stride) * u64::from(rows);
                plane
            })
            .collect();
        let layout = *Layout::image(format, width, height, &planes, colour).unwrap().as_image().unwrap();
        Self { layout, bytes: Noise::new(seed).bytes(offset as usize, width as usize + padding as usize) }
    }

    pub fn yuv(&self) -> Yuv<'_> {
        Yuv::of(&self.layout, &self.bytes).unwrap()
    }

    pub fn view(&self, memory: &Memory) -> FrameView {
        FrameView::of(&self.layout, memory.region()).unwrap()
    }
}

pub const COLOURS: [Colour; 5] = [
    Colour::BT601_LIMITED,
    Colour::BT709_LIMITED,
    Colour { matrix: Matrix::Bt601, range: Range::Full },
    Colour { matrix: Matrix::Bt709, range: Range::Full },
    Colour { matrix: Matrix::Bt2020, range: Range::Limited },
];

/// The largest difference between two pictures in levels, and how many bytes differ.
pub fn difference(found: &[u8], wanted: &[u8]) -> (u8, usize) {
    assert_eq!(found.len(), wanted.len());
    let differences = found.iter().zip(wanted).map(|(a, b)| a.abs_diff(*b));
    differences.fold((0, 0), |(most, count), d| (most.max(d), count + usize::from(d > 0)))
}

/// The shared library of an operator: beside the tests, or where cargo puts it.
pub fn operator_library(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let file = gantry_operators::library_file(name);
    let found = program.ancestors().skip(1).take(2).map(|folder| folder.join(&file)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{file} is not beside {}: cargo build --release", program.display()))
}

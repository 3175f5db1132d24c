//! What nodes call: pictures in device memory through every operation, against the CPU. On a card, or over the driver shim.

use gantry_cuda::DeviceMemory;
use gantry_frames::{Colour, DType, ImageLayout, Layout, PixelFormat};
use gantry_gpu_checks::{REQUIRED, context, over_the_shim};
use gantry_images::{
    Arrangement, Cutter, FrameScaler, Gray, LegibilityScratch, Letterbox, Rgb, Shear, SlantScratch, Window, Yuv, estimate_slant,
    gray_from_rgb,
};
use gantry_inference::yolo::{YoloScratch, decode_candidates, decode_yolo};
use gantry_kernels::{
    CutItem, DetectorOutput, DeviceFrame, DeviceGrey, DeviceGreyMut, Kernels, LoadOptions, Look, Operator, Queue, Region, ScaleItem,
    TensorFormat,
};

/// Noise over slow waves, NV12 as a decoder gives it.
struct Picture {
    layout: ImageLayout,
    bytes: Vec<u8>,
}

impl Picture {
    fn new(width: u32, height: u32) -> Self {
        let layout = *Layout::packed(PixelFormat::Nv12, width, height, Colour::BT709_LIMITED).unwrap().as_image().unwrap();
        let mut state = 4u32;
        let noise = |i: u64| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (128.0 + 90.0 * (i as f64 * 0.013).sin() + f64::from(state >> 26) - 32.0) as u8
        };
        Self { layout, bytes: (0..Layout::Image(layout).byte_len()).map(noise).collect() }
    }

    fn yuv(&self) -> Yuv<'_> {
        Yuv::of(&self.layout, &self.bytes).unwrap()
    }
}

fn queue() -> Option<Queue> {
    let context = context()?;
    let kernels = Kernels::load(&context, &LoadOptions::from_env()).unwrap_or_else(|e| panic!("{e}; {}", e.hint()));
    Some(Queue::new(&kernels).unwrap())
}

#[test]
fn all_operations_pass_over_the_driver_shim() {
    if std::env::var_os(REQUIRED).is_none() {
        over_the_shim(&["a_frame_goes_through", "candidates_are"], &[]);
    }
}

fn put(queue: &Queue, bytes: &[u8]) -> DeviceMemory {
    let memory = DeviceMemory::create_private(queue.stream().context(), bytes.len()).unwrap();
    queue.stream().upload(bytes, &mut memory.slice_mut(0, bytes.len()).unwrap()).unwrap();
    memory
}

fn get(queue: &Queue, memory: &DeviceMemory) -> Vec<u8> {
    let mut bytes = vec![0; memory.len()];
    queue.stream().download(&memory.slice(0, memory.len()).unwrap(), &mut bytes).unwrap();
    bytes
}

#[test]
fn a_frame_goes_through_scaling_cutting_an_operator_and_measuring_without_leaving_the_card() {
    let Some(mut queue) = queue() else { return };
    let picture = Picture::new(640, 360);
    let memory = put(&queue, &picture.bytes);
    let frame = DeviceFrame { layout: &picture.layout, pixels: memory.slice(0, memory.len()).unwrap() };

    let letterbox = Letterbox::fit(640, 360, 320, 192);
    let tensor = put(&queue, &vec![0; 3 * 320 * 192]);
    let mut items = [ScaleItem { frame, letterbox, out: tensor.slice_mut(0, tensor.len()).unwrap() }];
    queue.scale(&mut items, &TensorFormat::unit(DType::U8, true)).unwrap();
    let mut wanted = vec![0; 3 * 320 * 192];
    FrameScaler::default().run(&picture.yuv(), &letterbox, Arrangement::PlanarU8, &mut wanted);
    assert!(get(&queue, &tensor) == wanted, "scaled");

    let window = Window { x: 100.0, y: 90.0, width: 160.0, height: 36.0 };
    let (w, h, shear) = (320u32, 72u32, Shear(0.08));
    let (rgb, grey, made) = (put(&queue, &vec![0; 3 * 320 * 72]), put(&queue, &vec![0; 320 * 72]), put(&queue, &vec![0; 320 * 72]));
    let out = rgb.slice_mut(0, rgb.len()).unwrap();
    queue.cut(&mut [CutItem { frame, look: Look::Window(window, shear), width: w, height: h, out, stride: 3 * w }]).unwrap();
    let target = DeviceGreyMut { pixels: grey.slice_mut(0, grey.len()).unwrap(), width: w, height: h, stride: w };
    queue.grey_from_rgb(&mut [(rgb.slice(0, rgb.len()).unwrap(), 3 * w, target)]).unwrap();
    let crop = DeviceGrey { pixels: grey.slice(0, grey.len()).unwrap(), width: w, height: h, stride: w };
    let target = DeviceGreyMut { pixels: made.slice_mut(0, made.len()).unwrap(), width: w, height: h, stride: w };
    queue.operate(&Operator::Equalize, &mut [(crop, target)]).unwrap();
    let legibility = queue.legibility(&[crop]).unwrap();
    let slopes = queue.slants(&[(frame, window, 96, 36)]).unwrap();

    let (mut on_cpu, mut grey_on_cpu) = (vec![0; 3 * 320 * 72], vec![0; 320 * 72]);
    Cutter::default().rgb(&picture.yuv(), &window, shear, 320, 72, &mut on_cpu, 960);
    gray_from_rgb(&Rgb::new(&on_cpu, 320, 72, 960).unwrap(), &mut grey_on_cpu);
    assert!(get(&queue, &rgb) == on_cpu, "cut");
    assert!(get(&queue, &grey) == grey_on_cpu, "grey");
    assert!(get(&queue, &made) != grey_on_cpu, "equalised");
    let gray = Gray::new(&grey_on_cpu, 320, 72, 320).unwrap();
    assert_eq!(legibility, [gantry_images::legibility(&mut LegibilityScratch::default(), &gray)]);
    let mut luma = vec![0; 96 * 36];
    Cutter::default().luma(&picture.yuv(), &window, 96, 36, &mut luma);
    let slant = estimate_slant(&mut SlantScratch::default(), &Gray::new(&luma, 96, 36, 96).unwrap());
    assert_eq!(slopes[0].gain, slant.map_or(0.0, |s| s.gain));
}

/// How fast the kernel that touches every frame is: bytes read and written in the time that a card takes for one of many.
#[test]
#[allow(unsafe_code)]
fn candidates_are_those_of_the_cpu() {
    let Some(mut queue) = queue() else { return };
    let shape = DetectorOutput { pictures: 3, classes: 2, anchors: 700, is_half: false };
    let numbers: Vec<f32> = (0..shape.byte_len() / 4).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as f32 % 1000.0 / 1000.0).collect();
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    let memory = put(&queue, &bytes);
    let region = Region { address: memory.slice(0, memory.len()).unwrap().address(), len: shape.byte_len() };
    let wanted = [Some((0, 0.9)), Some((1, 0.95))];
    // SAFETY: `memory` lives on, and its upload is done.
    let found = unsafe { queue.candidates(region, &shape, 2, &wanted.map(|w| w.map(|(_, least)| least))) }.unwrap();
    assert_eq!(found.len(), 2);
    for (candidates, one) in found.iter().zip(numbers.chunks(numbers.len() / 3)) {
        let (mut on_card, mut on_cpu) = (Vec::new(), Vec::new());
        decode_candidates(candidates, &wanted, &mut on_card);
        decode_yolo(one, shape.anchors, &wanted, &mut YoloScratch::default(), &mut on_cpu);
        assert!(on_cpu.len() > 20 && on_cpu.len() < 600, "{}", on_cpu.len());
        assert_eq!(on_card, on_cpu);
    }
}

#[test]
fn full_hd_is_scaled_faster_than_the_frames_of_50_cameras_come() {
    let Some(mut queue) = queue() else { return };
    const BATCH: usize = 16;
    const ROUNDS: u32 = 200;
    let picture = Picture::new(1920, 1080);
    let frames: Vec<_> = (0..BATCH).map(|_| put(&queue, &picture.bytes)).collect();
    let letterbox = Letterbox::fit(1920, 1080, 960, 544);
    let tensors: Vec<_> = (0..BATCH).map(|_| put(&queue, &vec![0; 3 * 960 * 544])).collect();
    let round = |queue: &mut Queue| {
        let mut items: Vec<ScaleItem<'_>> = frames
            .iter()
            .zip(&tensors)
            .map(|(frame, tensor)| ScaleItem {
                frame: DeviceFrame { layout: &picture.layout, pixels: frame.slice(0, frame.len()).unwrap() },
                letterbox,
                out: tensor.slice_mut(0, tensor.len()).unwrap(),
            })
            .collect();
        queue.scale(&mut items, &TensorFormat::unit(DType::U8, true)).unwrap();
    };
    round(&mut queue);
    queue.stream().synchronize().unwrap();
    let start = std::time::Instant::now();
    (0..ROUNDS).for_each(|_| round(&mut queue));
    queue.stream().synchronize().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let count = f64::from(ROUNDS) * BATCH as f64;
    let bytes = count * (picture.bytes.len() + 3 * 960 * 544) as f64;
    println!("{:.1} us per frame, {:.0} GB/s in batches of {BATCH}", seconds / count * 1e6, bytes / seconds / 1e9);
    assert!(count / seconds > 50.0 * 30.0, "{:.0} frames/s", count / seconds);
}

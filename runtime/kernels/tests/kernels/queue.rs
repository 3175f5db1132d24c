//! What nodes call, on a card: pictures in device memory through every operation, against the CPU. Without a card: `skipped`.

use gantry_cuda::{Context, Device, DeviceMemory};
use gantry_frames::{DType, PixelFormat};
use gantry_images::{
    Arrangement, Cutter, FrameScaler, Gray, LegibilityScratch, Letterbox, Rgb, Shear, SlantScratch, Window, estimate_slant, gray_from_rgb,
};
use gantry_kernels::{
    CutItem, DeviceFrame, DeviceGrey, DeviceGreyMut, Kernels, LoadOptions, Look, Operator, Queue, ScaleItem, TensorFormat,
};

use crate::common::{COLOURS, Picture};

fn queue() -> Option<Queue> {
    match Device::all() {
        Ok(found) => {
            let context = Context::primary(found[0]).unwrap();
            let kernels = Kernels::load(&context, &LoadOptions::from_env()).unwrap_or_else(|e| panic!("{e}; {}", e.hint()));
            Some(Queue::new(&kernels).unwrap())
        }
        Err(error) if std::env::var_os("GANTRY_GPU_REQUIRED").is_some() => panic!("{error}; {}", error.hint()),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
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
    let picture = Picture::new(PixelFormat::Nv12, 640, 360, COLOURS[1], 0, 4);
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
fn full_hd_is_scaled_faster_than_the_frames_of_50_cameras_come() {
    let Some(mut queue) = queue() else { return };
    const BATCH: usize = 16;
    const ROUNDS: u32 = 200;
    let picture = Picture::new(PixelFormat::Nv12, 1920, 1080, COLOURS[1], 0, 4);
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

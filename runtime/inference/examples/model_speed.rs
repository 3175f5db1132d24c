//! Prints ms per run of a detector or a reader, by the wall clock and (of the calling thread) on the CPU, which a busy machine distorts
//! less: `cargo run --release -p gantry-inference --example model_speed -- MODEL [THREADS] [BATCH]`.

use gantry_inference::{Detector, Device, Options, Picture, Reader, Selection, library};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("usage: model_speed MODEL [THREADS] [BATCH]")?;
    let threads = arguments.get(1).map_or(Ok(1), |t| t.parse())?;
    let batch: usize = arguments.get(2).map_or(Ok(6), |b| b.parse())?;
    let options = Options { device: Device::Cpu, threads, ..Options::default() };
    println!("{} ({})", library::loaded()?.display(), library::version()?);
    let opening = Instant::now();
    if let Ok(mut reader) = Reader::open(Path::new(path), &options) {
        println!("opened in {:.0} ms, {}", ms(opening), reader.info().input);
        let noise: Vec<u8> = (0..80 * 240u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let pictures = vec![Picture::gray(&noise, 240, 80, 240)?; batch];
        return measure(&format!("{batch} pictures of 240x80"), || Ok(reader.read(&pictures, 3).map(|_| ())?));
    }
    let mut detector = Detector::open(Path::new(path), &options)?;
    println!("opened in {:.0} ms, {}, {:?}", ms(opening), detector.info().input, detector.head());
    let (element, dims) = detector.picture();
    let words = vec![0u64; (dims.iter().product::<usize>() * element.size()).div_ceil(8)];
    let picture = &bytemuck::cast_slice::<u64, u8>(&words)[..dims.iter().product::<usize>() * element.size()];
    let selection = Selection { wanted: vec![Some((0, 0.25)); detector.classes().len()], nms_iou: 0.5, max_detections: 64 };
    measure("one picture", || Ok(detector.detect(picture, &selection).map(|_| ())?))
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn measure(what: &str, mut run: impl FnMut() -> Result<(), Box<dyn std::error::Error>>) -> Result<(), Box<dyn std::error::Error>> {
    let mut times = Vec::new();
    let begin = Instant::now();
    let cpu_began = cpu_ms();
    while times.len() < 30 || (begin.elapsed().as_secs() < 3 && times.len() < 500) {
        let run_began = Instant::now();
        run()?;
        times.push(ms(run_began));
    }
    let cpu = (cpu_ms() - cpu_began) / times.len() as f64;
    times.sort_by(f64::total_cmp);
    println!(
        "{what}: best {:.2} ms, median {:.2} ms, CPU {cpu:.2} ms on average, of {} runs",
        times[0],
        times[times.len() / 2],
        times.len()
    );
    Ok(())
}

/// Time that this thread has run, from the kernel's scheduler statistics; 0 where there are none.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

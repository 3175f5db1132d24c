//! Plates out of frames.

use gantry_frames::PixelFormat;
use gantry_images::{Cutter, Perspective, Quad, Shear, Window, rectify};
use gantry_kernels::{Cut, KernelError, Look, Scratch, cut};

use crate::common::{COLOURS, Noise, Picture, devices};

struct Case {
    picture: Picture,
    look: Look,
    width: usize,
    height: usize,
    stride: usize,
}

impl Case {
    fn on_cpu(&self, background: &[u8]) -> Vec<u8> {
        let mut out = background.to_vec();
        match &self.look {
            Look::Window(window, shear) => {
                Cutter::default().rgb(&self.picture.yuv(), window, *shear, self.width, self.height, &mut out, self.stride);
            }
            Look::Quad(perspective) => rectify(&self.picture.yuv(), perspective, self.width, self.height, &mut out, self.stride),
        }
        out
    }
}

/// Windows that grow, shrink, keep their size and reach beyond the border.
fn cases(count: u64, look: impl Fn(&mut Noise, &Window, usize, usize) -> Look) -> Vec<Case> {
    (0..count)
        .map(|seed| {
            let mut noise = Noise::new(seed);
            let (w, h) = (60 + noise.next() % 200, 40 + noise.next() % 120);
            let format = if noise.next().is_multiple_of(2) { PixelFormat::Nv12 } else { PixelFormat::I420 };
            let picture = Picture::new(format, w as u32, h as u32, COLOURS[seed as usize % 5], seed as u32 % 4, seed);
            let window = Window {
                x: noise.unit() * w as f64 - 10.0,
                y: noise.unit() * h as f64 - 10.0,
                width: 8.0 + noise.unit() * 120.0,
                height: 6.0 + noise.unit() * 60.0,
            };
            let up = [0.4, 1.0, 1.04, 2.2, 3.7][seed as usize % 5];
            let (width, height) = ((window.width * up).ceil() as usize, (window.height * up).ceil() as usize);
            let look = look(&mut noise, &window, width, height);
            Case { picture, look, width, height, stride: 3 * width + seed as usize % 7 }
        })
        .collect()
}

/// Runs all cases in one batch.
fn same_as_cpu(cases: &[Case]) {
    for mut device in devices() {
        let frames: Vec<_> = cases.iter().map(|case| device.put(&case.picture.bytes)).collect();
        let outs: Vec<_> = cases.iter().map(|case| device.room(case.stride * case.height)).collect();
        let cuts: Vec<Cut> = cases
            .iter()
            .zip(frames.iter().zip(&outs))
            .map(|(case, (frame, out))| Cut {
                frame: case.picture.view(frame),
                look: case.look,
                width: case.width as u32,
                height: case.height as u32,
                out: out.region(),
                stride: case.stride as u32,
            })
            .collect();
        let background: Vec<Vec<u8>> = outs.iter().map(|out| device.get(out)).collect();
        device.run(|scratch| cut(&cuts, scratch)).unwrap();
        for (i, case) in cases.iter().enumerate() {
            // Bytes between rows stay as they were, as on the CPU.
            assert!(device.get(&outs[i]) == case.on_cpu(&background[i]), "{} case {i}: {:?}", device.name(), case.look);
        }
    }
}

#[test]
fn level_cuts_give_the_bytes_of_the_cpu() {
    same_as_cpu(&cases(70, |_, window, _, _| Look::Window(*window, Shear(0.0))));
}

#[test]
fn sheared_cuts_give_the_bytes_of_the_cpu() {
    same_as_cpu(&cases(70, |noise, window, _, _| Look::Window(*window, Shear(noise.unit() * 0.5 - 0.25))));
}

#[test]
fn rectified_corners_give_the_bytes_of_the_cpu() {
    let corners = |noise: &mut Noise, w: &Window, width: usize, height: usize| {
        let mut near = |x: f64, y: f64| (x + (noise.unit() - 0.5) * 0.3 * w.width, y + (noise.unit() - 0.5) * 0.3 * w.height);
        let (right, bottom) = (w.x + w.width, w.y + w.height);
        let quad = Quad([near(w.x, w.y), near(right, w.y), near(right, bottom), near(w.x, bottom)]);
        Look::Quad(Perspective::of(&quad, width, height).expect("corners that are moved by less than a third stay convex"))
    };
    same_as_cpu(&cases(45, corners));
}

#[test]
fn cuts_of_all_kinds_go_in_one_batch() {
    let kinds = |noise: &mut Noise, window: &Window, width: usize, height: usize| match noise.next() % 3 {
        0 => Look::Window(*window, Shear(0.0)),
        1 => Look::Window(*window, Shear(0.1)),
        _ => {
            let (right, bottom) = (window.x + window.width, window.y + window.height);
            let quad = Quad([(window.x, window.y), (right, window.y + 2.0), (right, bottom + 2.0), (window.x, bottom)]);
            Look::Quad(Perspective::of(&quad, width, height).expect("a parallelogram"))
        }
    };
    same_as_cpu(&cases(30, kinds));
}

#[test]
fn an_empty_window_and_a_crop_that_does_not_fit_are_refused() {
    let picture = Picture::new(PixelFormat::Nv12, 64, 48, COLOURS[0], 0, 1);
    let device = &devices()[0];
    let (frame, out) = (device.put(&picture.bytes), device.room(3 * 20 * 10));
    let look = Look::Window(Window { x: 1.0, y: 1.0, width: 20.0, height: 10.0 }, Shear(0.0));
    let fits = Cut { frame: picture.view(&frame), look, width: 20, height: 10, out: out.region(), stride: 60 };
    assert!(cut(&[fits], &mut Scratch::counting()).is_ok());
    for wrong in [Cut { height: 11, ..fits }, Cut { stride: 59, ..fits }, Cut { width: 0, ..fits }] {
        assert!(matches!(cut(&[wrong], &mut Scratch::counting()), Err(KernelError::Pixels(_))), "{wrong:?}");
    }
    let empty = Look::Window(Window { x: 1.0, y: 1.0, width: f64::NAN, height: 10.0 }, Shear(0.0));
    assert!(matches!(cut(&[Cut { look: empty, ..fits }], &mut Scratch::counting()), Err(KernelError::Pixels(_))));
}

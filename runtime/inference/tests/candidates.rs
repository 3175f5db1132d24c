//! The kernel that finds candidates on a card, through the host's compiler, against the decoder of the CPU.
#![allow(unsafe_code)]

use gantry_inference::yolo::{YoloScratch, decode_candidates, decode_yolo};
use gantry_kernels::{Candidate, DetectorOutput, KernelError, Region, candidates};
use gantry_kernels_shim::Order;
use half::f16;

fn region<T>(memory: &mut [T]) -> Region {
    Region { address: memory.as_mut_ptr().expose_provenance() as u64, len: size_of_val(memory) as u64 }
}

/// Boxes all over the picture, scores of which few are high, and numbers that are none.
fn output(shape: &DetectorOutput, seed: u64) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let one = (4 + shape.classes) * shape.anchors;
    (0..shape.pictures * one)
        .map(|i| {
            let (row, odd) = (i % one / shape.anchors, next());
            let number = if row < 4 { next() * 900.0 - 20.0 } else { next().powi(6) * 1.2 };
            match odd {
                o if o < 0.003 => f32::NAN,
                o if o < 0.006 => f32::INFINITY,
                o if o < 0.009 => -number,
                o if o < 0.012 => number * 1e-7,
                _ => number,
            }
        })
        .collect()
}

#[test]
fn candidates_are_those_of_the_cpu_in_single_and_in_half_precision() {
    let mut seen = 0;
    for (seed, (pictures, classes, anchors)) in (1..).zip([(1, 2, 10_710), (3, 1, 100), (70, 5, 33), (2, 80, 700), (1, 256, 9)]) {
        for is_half in [false, true] {
            let shape = DetectorOutput { pictures, classes, anchors, is_half };
            let halves: Vec<f16> = output(&shape, seed).into_iter().map(f16::from_f32).collect();
            let mut numbers: Vec<f32> = if is_half { halves.iter().map(|h| h.to_f32()).collect() } else { output(&shape, seed) };
            let mut halves = halves;
            let at = if is_half { region(&mut halves) } else { region(&mut numbers) };
            let wanted: Vec<Option<(u8, f32)>> =
                (0..classes).map(|c| (c % 4 != 3).then_some(((c % 2) as u8, 0.2 + 0.1 * (c % 3) as f32))).collect();
            let least: Vec<Option<f32>> = wanted.iter().map(|w| w.map(|(_, least)| least)).collect();
            for order in [Order::Forward, Order::Reverse] {
                let mut counts = vec![0u32; pictures];
                let mut room = vec![Candidate::default(); pictures * anchors];
                // The last picture is not asked for where there are several.
                let asked = pictures.div_ceil(2);
                for launch in candidates(at, &shape, asked, &least, region(&mut counts), region(&mut room)).unwrap() {
                    // SAFETY: all regions are the vectors above, which nobody else uses.
                    unsafe { gantry_kernels_shim::run(&launch, order) }.unwrap();
                }
                assert!(counts[asked..].iter().all(|count| *count == 0));
                for picture in 0..asked {
                    let mut found = room[picture * anchors..][..counts[picture] as usize].to_vec();
                    found.sort_unstable_by_key(|candidate| candidate.anchor);
                    let (mut on_card, mut on_cpu) = (Vec::new(), Vec::new());
                    decode_candidates(&found, &wanted, &mut on_card);
                    let one = (4 + classes) * anchors;
                    decode_yolo(&numbers[picture * one..][..one], anchors, &wanted, &mut YoloScratch::default(), &mut on_cpu);
                    assert_eq!(on_card, on_cpu, "{shape:?} picture {picture} {order:?}");
                    seen += on_cpu.len();
                }
            }
        }
    }
    assert!(seen > 1000, "{seen} candidates were compared");
}

#[test]
fn classes_beyond_the_kernels_and_rooms_that_are_too_small_are_refused() {
    let shape = DetectorOutput { pictures: 2, classes: 2, anchors: 10, is_half: false };
    let at = |len: u64| Region { address: 4096, len };
    let least = [Some(0.5), None];
    let (output, counts, found) = (at(shape.byte_len()), at(8), at(shape.found_len()));
    assert_eq!(candidates(output, &shape, 2, &least, counts, found).unwrap().len(), 1);
    for (output, counts, found) in [(at(shape.byte_len() - 1), counts, found), (output, at(7), found), (output, counts, at(559))] {
        assert!(matches!(candidates(output, &shape, 2, &least, counts, found), Err(KernelError::Pixels(_))));
    }
    let many = DetectorOutput { classes: 257, ..shape };
    assert!(matches!(candidates(at(1 << 20), &many, 2, &[None; 257], counts, found), Err(KernelError::Parameter { .. })));
    assert!(matches!(candidates(output, &shape, 2, &[None; 3], counts, found), Err(KernelError::Parameter { .. })));
}

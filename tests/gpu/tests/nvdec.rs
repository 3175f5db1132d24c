//! Decoding on a card against decoding in software: H.264 says every bit of a picture, so both must be the same. Without a card: `skipped`.

use gantry_cuda::{Context, DeviceMemory};
use gantry_gpu_checks::pictures::planes;
use gantry_gpu_checks::{REQUIRED, context, over_the_shim};
use gantry_media::{DecoderOptions, Demuxer, FrameReader, MediaError, NvdecDecoder, NvdecDevice, OpenOptions, StreamInfo};
use std::path::PathBuf;
use std::sync::Arc;

/// A clip of the tree, in a folder above this program (packed ones bring theirs) or where it was built.
fn clip(name: &str) -> String {
    let (program, name) = (std::env::current_exe().unwrap(), PathBuf::from("tests/clips").join(name));
    let tree = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let found = program.ancestors().chain([tree.as_path()]).map(|folder| folder.join(&name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no {} above the program or in the tree", name.display())).display().to_string()
}

fn device() -> Option<(Context, Arc<NvdecDevice>)> {
    let context = context()?;
    let device = NvdecDevice::open(&context).unwrap_or_else(|e| panic!("{e}"));
    Some((context, Arc::new(device)))
}

#[test]
fn pictures_of_the_card_are_those_of_the_software_decoder() {
    let Some((context, device)) = device() else { return };
    for name in ["gate_day.mp4", "road_night.mp4"] {
        let mut software = FrameReader::open(&clip(name)).unwrap();
        let mut demuxer = Demuxer::open(&clip(name), &OpenOptions::default()).unwrap();
        let mut decoder = NvdecDecoder::open(demuxer.info(), DecoderOptions::default(), &device).unwrap_or_else(|e| panic!("{e}"));
        let (width, height) = (demuxer.info().width, demuxer.info().height);
        let slot = DeviceMemory::create_private(&context, NvdecDecoder::slot_bytes(width, height) as usize).unwrap();
        let (mut frames, mut ended) = (0u64, false);
        while !ended {
            match demuxer.next_packet().unwrap() {
                Some(packet) => decoder.send(&packet).unwrap(),
                None => {
                    decoder.send_end().unwrap();
                    ended = true;
                }
            }
            while let Some(surface) = decoder.receive().unwrap() {
                let layout = surface.copy_to(&mut slot.slice_mut(0, slot.len()).unwrap()).unwrap();
                let mut bytes = vec![0; slot.len()];
                device.stream().download(&slot.slice(0, slot.len()).unwrap(), &mut bytes).unwrap();
                let wanted = software.next_frame().unwrap().expect("as many frames");
                let found = planes(layout.as_image().unwrap(), &bytes);
                let wanted = planes(wanted.layout.as_image().unwrap(), wanted.slot.bytes());
                assert!(found == wanted, "{name} frame {frames}");
                frames += 1;
            }
        }
        assert!(software.next_frame().unwrap().is_none(), "{name}: {frames} frames");
        assert_eq!((decoder.stats().frames, decoder.stats().errors), (frames, 0));
    }
}

#[test]
fn turned_pictures_and_codecs_that_no_card_has_are_refused_with_a_reason() {
    let Some((_, device)) = device() else { return };
    let turned = StreamInfo { codec: "h264".into(), rotation_deg: 90, ..StreamInfo::default() };
    let refused = NvdecDecoder::open(&turned, DecoderOptions::default(), &device).err().unwrap();
    assert!(matches!(&refused, MediaError::NoDevice { why, .. } if why.contains("90 degrees")), "{refused}");
    let other = StreamInfo { codec: "prores".into(), ..StreamInfo::default() };
    assert!(matches!(NvdecDecoder::open(&other, DecoderOptions::default(), &device), Err(MediaError::NoCodec { .. })));
}

/// The pictures themselves: tests/decode, whose clips are short enough for the shim's video decoder.
#[test]
fn what_is_refused_is_refused_over_the_driver_shim() {
    if std::env::var_os(REQUIRED).is_none() {
        over_the_shim(&["turned_pictures"], &[]);
    }
}

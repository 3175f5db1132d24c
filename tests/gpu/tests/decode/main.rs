//! The node `decode` with NVDEC: the pictures of the software decoder, in slots of the card, whatever becomes of the camera beside it. On a card, or over
//! the driver shim, whose video decoder looks its pictures up.
#![allow(clippy::disallowed_methods, reason = "commands of a test end with it")]

mod clips;

use clips::{Clip, Folder, of_h264};
use gantry_contract::ParamSet;
use gantry_frames::{Client, Handle, Memory, Mode};
use gantry_gpu_checks::{REQUIRED, context as card_context, over_the_shim};
use gantry_messages::{FrameRow, PacketRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, Work};
use gantry_node_decode::{CONTRACT, Decode, Params};
use std::path::Path;

fn params(given: &[(&str, &str)]) -> Params {
    ParamSet::from_env(&CONTRACT, given.iter().copied()).expect("parameters are right").to().expect("defaults fit")
}

/// The node with a reader of its frames.
struct Rig {
    node: Decode,
    out: Outputs,
    reader: Client,
    card: gantry_cuda::Context,
    rows: Vec<FrameRow>,
    planes: Vec<[Vec<u8>; 3]>,
    on_card: Vec<bool>,
}

impl Rig {
    fn new(dir: &Path, mode: Mode, given: &[(&str, &str)]) -> Option<Result<Self, Fault>> {
        let card = card_context()?;
        let memory = Memory::CudaVmmFd(card.clone());
        let context = Context::for_test("decode0", mode, dir).with_consumer("frames", "reader").with_memory(memory.clone());
        let reader = Context::for_test("reader", mode, dir).client_on(8, &memory).unwrap();
        let node = Decode::open(params(given), &context);
        let (rows, planes, on_card) = (Vec::new(), Vec::new(), Vec::new());
        Some(node.map(|node| Self { node, out: Outputs::collector(), reader, card, rows, planes, on_card }))
    }

    fn give(&mut self, row: PacketRow) -> Result<(), Fault> {
        self.node.on_input(&Input::of("packets", &[row]), &mut self.out)?;
        while self.node.work(&mut self.out)? == Work::Again {}
        self.take();
        Ok(())
    }

    /// Reads and acknowledges what came.
    fn take(&mut self) {
        for row in self.out.taken::<FrameRow>("frames") {
            if !row.end {
                let frame = self.reader.acquire(&Handle::from_bytes(row.handle)).unwrap();
                let bytes = match frame.device() {
                    Some(card) => {
                        let mut bytes = vec![0; card.len()];
                        gantry_cuda::Stream::new(&self.card).unwrap().download(&card, &mut bytes).unwrap();
                        bytes
                    }
                    None => frame.bytes().to_vec(),
                };
                self.planes.push(clips::planes(frame.layout().as_image().unwrap(), &bytes));
                self.on_card.push(frame.device().is_some());
                frame.ack();
            }
            self.rows.push(row);
        }
    }

    /// All packets of all clips, in turn, then their ends.
    fn run(&mut self, clips: &[(&str, &Clip)]) -> Result<(), Fault> {
        let longest = clips.iter().map(|(_, clip)| clip.packets.len()).max().unwrap_or(0);
        for i in 0..longest {
            for (name, clip) in clips.iter().filter(|(_, clip)| i < clip.packets.len()) {
                self.give(clip.row(name, i))?;
            }
        }
        for (name, clip) in clips {
            self.give(PacketRow { source: (*name).to_owned(), frame: clip.packets.len() as u64, end: true, ..PacketRow::default() })?;
        }
        self.node.finish(&mut self.out)?;
        self.take();
        Ok(())
    }

    /// Pictures of a camera, and whether each lay on the card.
    fn of(&self, camera: &str) -> (Vec<&[Vec<u8>; 3]>, Vec<bool>) {
        let frames = self.rows.iter().filter(|row| !row.end).zip(self.planes.iter().zip(&self.on_card));
        frames.filter(|(row, _)| row.source == camera).map(|(_, (planes, on))| (planes, *on)).unzip()
    }

    fn assert_whole(&self, camera: &str, clip: &Clip, on_card: bool) {
        let (planes, places) = self.of(camera);
        assert_eq!(planes.len(), clip.pictures.len(), "{camera}");
        for (i, (found, wanted)) in planes.iter().zip(&clip.pictures).enumerate() {
            assert!(*found == wanted, "{camera}: picture {i} differs");
        }
        assert!(places.iter().all(|place| *place == on_card), "{camera}: {places:?}");
        let numbers: Vec<u64> = self.rows.iter().filter(|row| row.source == camera).map(|row| row.frame).collect();
        assert_eq!(numbers, (0..=clip.pictures.len() as u64).collect::<Vec<_>>(), "{camera}: frames and end");
    }
}

const H264: &str = "-c:v libx264 -preset fast -g 25 -pix_fmt yuv420p";

#[test]
fn two_cameras_in_one_context_give_the_pictures_of_the_software_decoder() {
    let folder = Folder::new("decode-two");
    let Some(rig) = Rig::new(&folder.0, Mode::Lossless, &[("MEMORY", "cuda"), ("DECODER", "nvdec")]) else { return };
    let mut rig = rig.unwrap();
    let counted = || gantry_copies::counted().get("frames").copied().unwrap_or_default();
    let before = counted();
    // Pictures that come in another order than they are decoded in; a height that is no multiple of 16 px.
    let a = of_h264(&folder, "a.mp4", &format!("-f lavfi -i testsrc2=size=426x240:rate=25 -frames:v 60 {H264} -bf 2"));
    let b = of_h264(&folder, "b.mp4", &format!("-f lavfi -i testsrc2=size=640x362:rate=30 -frames:v 40 {H264} -bf 0"));
    rig.run(&[("a", &a), ("b", &b)]).unwrap();
    rig.assert_whole("a", &a, true);
    rig.assert_whole("b", &b, true);
    assert_eq!((rig.out.counted("frames_on_card"), rig.out.counted("decode_errors")), (100, 0));
    let frames = counted();
    // Pictures of 640x362 are frame-sized, those of 426x240 are not.
    assert_eq!((frames.on_card - before.on_card, frames.of_host() - before.of_host()), (40, 0));
}

#[test]
fn a_stream_that_shows_a_part_of_what_it_codes_loses_left_and_top_too() {
    let folder = Folder::new("decode-crop");
    let Some(rig) = Rig::new(&folder.0, Mode::Lossless, &[("MEMORY", "cuda"), ("DECODER", "nvdec")]) else { return };
    let mut rig = rig.unwrap();
    // FFmpeg's software decoders cut off a multiple of 32 columns at the left and show the others.
    // The same slices with and without: the shim knows the whole pictures, as they lie in a card's surfaces.
    let coded = format!("-f lavfi -i testsrc2=size=640x368:rate=25 -frames:v 30 {H264} -bf 2");
    let whole = of_h264(&folder, "coded.mp4", &coded);
    let part = Clip::new(&folder, "part.mp4", &format!("{coded} -bsf:v h264_metadata=crop_left=64:crop_top=18:crop_right=6:crop_bottom=2"));
    rig.run(&[("whole", &whole), ("part", &part)]).unwrap();
    rig.assert_whole("whole", &whole, true);
    rig.assert_whole("part", &part, true);
    assert_eq!(part.pictures[0][0].len(), 570 * 348);
    let first_row = |clip: &Clip, at: usize| clip.pictures[0][0][at..][..570].to_vec();
    assert_eq!(first_row(&part, 0), first_row(&whole, 18 * 640 + 64), "software decoding cuts the same part off");
}

/// Where the context of the one card that they share is lost, no camera of the process can go on; dora starts the node again.
fn losing_the_context_ends_the_node_with_a_fault(mode: Mode) {
    let Some(spoil) = std::env::var_os("GANTRY_SHIM_SPOIL") else { return };
    let folder = Folder::new("decode-lost");
    let Some(rig) = Rig::new(&folder.0, mode, &[("MEMORY", "cuda"), ("DECODER", "auto")]) else { return };
    let mut rig = rig.unwrap();
    let clip = of_h264(&folder, "card.mp4", &format!("-f lavfi -i testsrc2=size=426x240:rate=25 -frames:v 30 {H264} -bf 0"));
    for i in 0..10 {
        rig.give(clip.row("a", i)).unwrap();
        rig.give(clip.row("b", i)).unwrap();
    }
    assert!(rig.of("a").0.len() >= 8 && rig.of("b").0.len() >= 8, "both cameras deliver before");
    std::fs::write(spoil, "").unwrap();
    let fault = (10..30).find_map(|i| rig.give(clip.row("a", i)).err()).expect("a lost context is no reason to decode in software");
    assert!(fault.to_string().contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{fault}");
    assert!(fault.hint_text().is_some_and(|hint| hint.contains("restarted")), "{fault}");
}

#[test]
fn over_the_shim_a_live_run_loses_the_context() {
    losing_the_context_ends_the_node_with_a_fault(Mode::Live);
}

#[test]
fn over_the_shim_a_lossless_run_loses_the_context() {
    losing_the_context_ends_the_node_with_a_fault(Mode::Lossless);
}

#[test]
fn auto_decodes_in_software_what_the_card_refuses_and_loses_nothing() {
    let folder = Folder::new("decode-auto");
    let Some(rig) = Rig::new(&folder.0, Mode::Lossless, &[("MEMORY", "cuda"), ("DECODER", "auto")]) else { return };
    let mut rig = rig.unwrap();
    let card = of_h264(&folder, "card.mp4", &format!("-f lavfi -i testsrc2=size=426x240:rate=25 -frames:v 40 {H264} -bf 2"));
    let deep = "-c:v libx264 -preset fast -g 25 -bf 2 -pix_fmt yuv420p10le";
    let deep = Clip::new(&folder, "deep.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 40 {deep}"));
    let fields = "-c:v libx264 -preset fast -g 25 -flags +ildct+ilme -pix_fmt yuv420p -vf setfield=tff";
    let fields = of_h264(&folder, "fields.mp4", &format!("-f lavfi -i testsrc2=size=320x192:rate=25 -frames:v 30 {fields}"));
    rig.run(&[("card", &card), ("deep", &deep), ("fields", &fields)]).unwrap();
    rig.assert_whole("card", &card, true);
    rig.assert_whole("deep", &deep, false);
    rig.assert_whole("fields", &fields, false);
    assert_eq!(rig.out.counted("nvdec_fallbacks"), 2);
}

#[test]
fn a_damaged_stream_costs_its_own_camera_some_pictures_and_the_other_none() {
    let folder = Folder::new("decode-damaged");
    let Some(rig) = Rig::new(&folder.0, Mode::Lossless, &[("MEMORY", "cuda"), ("DECODER", "nvdec")]) else { return };
    let mut rig = rig.unwrap();
    let whole = of_h264(&folder, "whole.mp4", &format!("-f lavfi -i testsrc2=size=426x240:rate=25 -frames:v 60 {H264} -bf 2"));
    let mut damaged = of_h264(&folder, "damaged.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 60 {H264} -bf 0"));
    for (i, packet) in damaged.packets.iter_mut().enumerate().filter(|(i, _)| (20..30).contains(i)) {
        let len = packet.data.len();
        match i % 3 {
            0 => packet.data.truncate(len / 4),
            1 => packet.data.fill(0x55),
            _ => packet.data[len / 2..].fill(0xFF),
        }
    }
    rig.run(&[("whole", &whole), ("damaged", &damaged)]).unwrap();
    rig.assert_whole("whole", &whole, true);
    let (found, _) = rig.of("damaged");
    assert!((40..=60).contains(&found.len()), "{} pictures", found.len());
    let after_the_next_key_frame = damaged.pictures.len() - 10;
    assert!(found[found.len() - 10..].iter().zip(&damaged.pictures[after_the_next_key_frame..]).all(|(found, wanted)| *found == wanted));
}

#[test]
fn in_live_mode_a_camera_that_the_card_does_not_decode_is_left_out() {
    let folder = Folder::new("decode-live");
    let Some(rig) = Rig::new(&folder.0, Mode::Live, &[("MEMORY", "cuda"), ("DECODER", "nvdec")]) else { return };
    let mut rig = rig.unwrap();
    let card = of_h264(&folder, "card.mp4", &format!("-f lavfi -i testsrc2=size=426x240:rate=25 -frames:v 30 {H264} -bf 0"));
    let deep = "-c:v libx264 -preset fast -g 25 -bf 0 -pix_fmt yuv420p10le";
    let deep = Clip::new(&folder, "deep.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 30 {deep}"));
    for i in 0..30 {
        rig.give(deep.row("deep", i)).unwrap();
        rig.give(card.row("card", i)).unwrap();
    }
    let (found, _) = rig.of("card");
    assert!(found.len() >= 28 && found.iter().zip(&card.pictures).all(|(found, wanted)| *found == wanted), "{}", found.len());
    assert!(rig.of("deep").0.is_empty());
    assert!(rig.out.counted("packets_refused") >= 25, "{}", rig.out.counted("packets_refused"));
}

#[test]
fn a_lossless_run_with_nvdec_ends_with_the_cameras_name_where_the_card_refuses() {
    let folder = Folder::new("decode-refused");
    let Some(rig) = Rig::new(&folder.0, Mode::Lossless, &[("MEMORY", "cuda"), ("DECODER", "nvdec")]) else { return };
    let mut rig = rig.unwrap();
    let deep = "-c:v libx264 -preset fast -g 25 -pix_fmt yuv420p10le";
    let deep = Clip::new(&folder, "deep.mp4", &format!("-f lavfi -i testsrc2=size=320x180:rate=25 -frames:v 10 {deep}"));
    let fault = rig.run(&[("gate", &deep)]).unwrap_err();
    let said = fault.message();
    assert!(said.contains("camera `gate`") && said.contains("yuv420p10") && fault.hint_text().is_some(), "{fault}");
}

#[test]
fn parameters_that_do_not_go_together_are_refused() {
    let folder = Folder::new("decode-params");
    let Some(rig) = Rig::new(&folder.0, Mode::Lossless, &[("MEMORY", "cuda"), ("DECODER", "software")]) else { return };
    let fault = rig.err().unwrap();
    assert!(fault.message().contains("decodes into host memory") && fault.hint_text().is_some(), "{fault}");
    let fault = Rig::new(&folder.0, Mode::Lossless, &[("DECODER", "nvdec")]).unwrap().err().unwrap();
    assert!(fault.message().contains("nvdec") && fault.hint_text().is_some_and(|hint| hint.contains("MEMORY: cuda")), "{fault}");
}

#[test]
fn the_node_passes_over_the_driver_shim() {
    if std::env::var_os(REQUIRED).is_none() {
        let shown = Folder::new("shim-pictures");
        let pictures = ("GANTRY_SHIM_VIDEO", shown.0.to_str().unwrap());
        let names =
            ["two_cameras", "a_stream_that_shows", "auto_decodes", "a_damaged", "in_live_mode", "a_lossless_run_with", "parameters_that"];
        over_the_shim(&names, &[pictures]);
        // A context that is lost stays so until the process ends.
        for name in ["a_live_run_loses_the_context", "a_lossless_run_loses_the_context"] {
            let folder = Folder::new(name);
            over_the_shim(&[name], &[pictures, ("GANTRY_SHIM_SPOIL", folder.0.join("spoil").to_str().unwrap())]);
        }
    }
}

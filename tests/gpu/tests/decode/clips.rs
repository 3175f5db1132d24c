//! Clips made by the `ffmpeg` command, the pictures that they show, and the same for the driver shim's video decoder.

use gantry_frames::{ImageLayout, PixelFormat};
use gantry_media::{Demuxer, FrameReader, OpenOptions, StreamInfo, VideoPacket};
use gantry_messages::PacketRow;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where tests/gpu/pack.sh lets the clips be kept that it takes along: the other machine has no `ffmpeg` command.
const KEEP: &str = "GANTRY_KEEP_CLIPS";

/// Name of the clip that `ffmpeg` makes with these arguments.
fn kept_name(arguments: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(arguments.as_bytes());
    format!("{:016x}.mp4", hasher.finish())
}

/// A folder that goes away with the value.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("gantry-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A clip: its packets, and the planes of its pictures in display order.
pub struct Clip {
    pub info: StreamInfo,
    pub packets: Vec<VideoPacket>,
    pub pictures: Vec<[Vec<u8>; 3]>,
    times: Vec<i64>,
    size: (u32, u32),
}

impl Clip {
    pub fn new(folder: &Folder, name: &str, arguments: &str) -> Self {
        let out = folder.0.join(name);
        let kept = kept_name(arguments);
        let program = std::env::current_exe().unwrap();
        if let Some(packed) = program.ancestors().map(|folder| folder.join("gpu-clips").join(&kept)).find(|path| path.is_file()) {
            return Self::of(&packed);
        }
        let done = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(&out).status();
        assert!(done.expect("the tests make their clips with the `ffmpeg` command").success(), "ffmpeg {arguments}");
        if let Some(keep) = std::env::var_os(KEEP) {
            std::fs::copy(&out, PathBuf::from(keep).join(kept)).unwrap();
        }
        Self::of(&out)
    }

    fn of(file: &Path) -> Self {
        let file = file.to_str().unwrap();
        let mut demuxer = Demuxer::open(file, &OpenOptions::default()).unwrap();
        let packets: Vec<VideoPacket> = std::iter::from_fn(|| demuxer.next_packet().unwrap()).collect();
        let mut reader = FrameReader::open(file).unwrap();
        let (mut pictures, mut times, mut size) = (Vec::new(), Vec::new(), (0, 0));
        while let Some(frame) = reader.next_frame().unwrap() {
            let image = *frame.layout.as_image().unwrap();
            size = (image.width, image.height);
            pictures.push(planes(&image, frame.slot.bytes()));
            times.push(frame.pts_ns);
        }
        Self { info: demuxer.info().clone(), packets, pictures, times, size }
    }

    /// Packet number `i` as `camera` sends it.
    pub fn row(&self, camera: &str, i: usize) -> PacketRow {
        let packet = &self.packets[i];
        let described = packet.keyframe;
        PacketRow {
            source: camera.to_owned(),
            frame: i as u64,
            pts_ns: packet.pts_ns.unwrap_or(i64::MIN),
            dts_ns: packet.dts_ns.unwrap_or(i64::MIN),
            captured_ns: packet.pts_ns.unwrap_or(0),
            keyframe: packet.keyframe,
            codec: if described { self.info.codec.clone() } else { String::new() },
            extradata: if described { self.info.extradata.clone() } else { Vec::new() },
            width: self.info.width,
            height: self.info.height,
            rotation_deg: self.info.rotation_deg,
            fps: self.info.fps,
            data: packet.data.clone(),
            ..PacketRow::default()
        }
    }
}

/// A clip whose pictures the driver shim's video decoder knows.
pub fn of_h264(folder: &Folder, name: &str, arguments: &str) -> Clip {
    let clip = Clip::new(folder, name, arguments);
    if let Some(pictures) = std::env::var_os("GANTRY_SHIM_VIDEO").map(PathBuf::from) {
        for packet in &clip.packets {
            let shown = clip.times.iter().position(|time| (time - packet.pts_ns.unwrap()).abs() < 1_000_000).expect("each packet is shown");
            let [y, u, v] = &clip.pictures[shown];
            let mut file = [clip.size.0.to_le_bytes(), clip.size.1.to_le_bytes()].concat();
            file.extend(y);
            file.extend(u.iter().zip(v).flat_map(|(u, v)| [*u, *v]));
            std::fs::write(pictures.join(of_slices(&packet.data)), file).unwrap();
        }
    }
    clip
}

/// The name that tests/gpu/shim/video.rs gives to the picture of a packet of an MP4 file: of its slices, each behind a start code.
fn of_slices(packet: &[u8]) -> String {
    let (mut rest, mut slices) = (packet, Vec::new());
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let (unit, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
        if matches!(unit[0] & 31, 1 | 5) {
            slices.extend([0, 0, 1]);
            slices.extend(unit);
        }
        rest = tail;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(&slices);
    format!("{:016x}", hasher.finish())
}

/// Rows of Y, U and V, without padding.
pub fn planes(image: &ImageLayout, bytes: &[u8]) -> [Vec<u8>; 3] {
    let rows = |index: usize, step: usize, first: usize| -> Vec<u8> {
        let plane = image.planes()[index];
        let (row_bytes, rows) = image.format.plane_size(index, image.width, image.height);
        let row = |y: usize| &bytes[plane.offset as usize + y * plane.stride as usize..][..row_bytes as usize];
        (0..rows as usize).flat_map(|y| row(y).iter().copied().skip(first).step_by(step)).collect()
    };
    match image.format {
        PixelFormat::Nv12 => [rows(0, 1, 0), rows(1, 2, 0), rows(1, 2, 1)],
        _ => [rows(0, 1, 0), rows(1, 1, 0), rows(2, 1, 0)],
    }
}

//! Clips made by the `ffmpeg` command, the pictures that they show, and the same for the driver shim's video decoder.

pub use gantry_gpu_checks::pictures::planes;

use gantry_gpu_checks::pictures::tell_the_shim;
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
    file: PathBuf,
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
        let name = file.to_str().unwrap();
        let mut demuxer = Demuxer::open(name, &OpenOptions::default()).unwrap();
        let packets: Vec<VideoPacket> = std::iter::from_fn(|| demuxer.next_packet().unwrap()).collect();
        let mut reader = FrameReader::open(name).unwrap();
        let mut pictures = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            pictures.push(planes(frame.layout.as_image().unwrap(), frame.slot.bytes()));
        }
        Self { info: demuxer.info().clone(), packets, pictures, file: file.to_owned() }
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
        let told = tell_the_shim(&clip.file, &pictures).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(told, clip.pictures.len());
    }
    clip
}

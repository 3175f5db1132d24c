//! The node on a bench: a pool that it reads, and a client of HTTP in a few lines.

use gantry_contract::ParamSet;
use gantry_frames::{FrameMeta, Layout, Mode, Pool, SourceName, StopFlag, View};
use gantry_messages::{BoxXyxy, FrameRow, ReadingRow, Track, TracksRow, Vote, WantedRow};
use gantry_node::{Context, Fault, Input, NodeStats, Outputs, Stage, frame_row};
use gantry_node_preview::{CONTRACT, Params, Preview};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The node, a camera `gate` in front of it.
pub struct Bench {
    pool: Pool,
    node: Preview,
    pub out: Outputs,
    /// Input that frames come on.
    frames: &'static str,
    _dir: tempfile::TempDir,
}

pub fn reading(camera: &str, plate: &str) -> ReadingRow {
    ReadingRow {
        source: camera.into(),
        plate: plate.into(),
        track_id: 1,
        confidence: 0.9,
        captured_ns: 1_700_000_000_000_000_000,
        votes: vec![Vote { text: plate.into(), variant: "original".into(), frames: vec![1], weight: 1.0 }],
        evidence: vec![0xff, 0xd8, 9],
        ..ReadingRow::default()
    }
}

impl Bench {
    pub fn new(mode: Mode, given: &[(&str, &str)]) -> Self {
        Self::open(mode, given).expect("the node opens")
    }

    pub fn open(mode: Mode, given: &[(&str, &str)]) -> Result<Self, Fault> {
        let dir = tempfile::tempdir().unwrap();
        let context = Context::for_test("preview", mode, dir.path());
        Self::open_in(context, "frames", given, dir)
    }

    /// A node that asks for frames, in a site whose nodes write these statistics.
    pub fn on_demand(stats: &[NodeStats]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let graph = serde_json::json!({ "nodes": [
            { "id": "gate.camera", "env": { "PARAM_NAME": "gate" } },
            { "id": "gate.decode", "inputs": { "packets": "gate.camera/packets" } },
            { "id": "crop", "inputs": { "frames_gate": "gate.decode/frames", "wanted": "preview/wanted" } },
            { "id": "preview", "inputs": { "views": "crop/views", "tracks": "crop/view_tracks" } },
        ]});
        let mut context = Context::for_test("preview", Mode::Live, dir.path()).in_graph(graph).unwrap();
        context.run_dir = Some(dir.path().to_owned());
        let folder = dir.path().join(gantry_node::STATS_DIR);
        std::fs::create_dir(&folder).unwrap();
        for stats in stats {
            std::fs::write(folder.join(format!("{}.json", stats.node)), serde_json::to_vec(stats).unwrap()).unwrap();
        }
        Self::open_in(context, "views", &[], dir).expect("the node opens")
    }

    pub fn open_in(context: Context, frames: &'static str, given: &[(&str, &str)], dir: tempfile::TempDir) -> Result<Self, Fault> {
        let mode = context.mode;
        let layout = Layout::i420(960, 540).unwrap();
        let slots = if mode == Mode::Live { 40 } else { 16 };
        let pool =
            Context::for_test("decode", mode, dir.path()).with_consumer("frames", "preview").pool("frames", slots, layout.byte_len());
        let mut env = vec![("LISTEN", "127.0.0.1:0"), ("MAX_FPS", "60")];
        env.retain(|(name, _)| !given.iter().any(|(other, _)| other == name));
        env.extend(given);
        let params: Params = ParamSet::from_env(&CONTRACT, env).expect("parameters are right").to().expect("they fit");
        let node = Preview::open(params, &context)?;
        Ok(Self { pool: pool.expect("pool"), node, out: Outputs::collector(), frames, _dir: dir })
    }

    pub fn address(&self) -> SocketAddr {
        let address = self.node.address();
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    }

    pub fn frame(&mut self, number: u64) {
        self.frame_of("gate", number);
    }

    pub fn frame_of(&mut self, camera: &str, number: u64) {
        let mut slot = self.pool.begin_write(&StopFlag::new()).expect("a slot");
        slot.bytes_mut().fill((number % 200) as u8);
        let layout = Layout::i420(960, 540).unwrap();
        let meta =
            FrameMeta { source: SourceName::new(camera).unwrap(), frame: number, view: View::whole(960, 540), ..FrameMeta::default() };
        let published = slot.fill(layout).unwrap().publish(&meta);
        self.send(self.frames, &[frame_row(&published.handle, &layout, &meta)]);
    }

    pub fn end(&mut self) {
        self.send(self.frames, &[FrameRow { source: "gate".into(), end: true, ..FrameRow::default() }]);
    }

    /// Tracks of a frame: one vehicle with its plate.
    pub fn tracks(&mut self, number: u64) {
        let track = Track {
            track_id: 7,
            age_frames: 1,
            matched: true,
            vehicle_in_source: Some(BoxXyxy::new(300.0, 100.0, 700.0, 400.0)),
            vehicle_confidence: 0.9,
            plate_in_source: Some(BoxXyxy::new(400.0, 300.0, 520.0, 330.0)),
            plate_confidence: 0.9,
            plate_frames: 1,
        };
        self.send("tracks", &[TracksRow { source: "gate".into(), frame: number, tracks: vec![track], ..TracksRow::default() }]);
    }

    pub fn read(&mut self, row: ReadingRow) {
        self.send("readings", &[row]);
    }

    fn send<T: gantry_messages::Message>(&mut self, port: &str, rows: &[T]) {
        self.node.on_input(&Input::of(port, rows), &mut self.out).unwrap();
    }

    /// What the node asks for when it is woken: camera and ms between two frames.
    pub fn asked(&mut self) -> Vec<(String, u64)> {
        self.node.work(&mut self.out).unwrap();
        self.out.taken::<WantedRow>("wanted").into_iter().map(|row| (row.source, row.every_ns / 1_000_000)).collect()
    }

    pub fn tick(&mut self) {
        self.node.on_tick(&mut self.out).unwrap();
    }

    /// Asks for `path` and calls `step` with rising numbers until the answer is there.
    pub fn while_asked(&mut self, path: &str, mut step: impl FnMut(&mut Self, u64)) -> Answer {
        let (address, path) = (self.address(), path.to_owned());
        let asking = std::thread::Builder::new().name("asking".into()).spawn(move || get(address, &path, &[])).expect("a thread");
        for number in 1..1500 {
            if asking.is_finished() {
                break;
            }
            step(self, number);
            std::thread::sleep(Duration::from_millis(4));
        }
        asking.join().expect("an answer")
    }

    pub fn events(&self) -> Events {
        let mut stream = connect(self.address());
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        Events(BufReader::new(stream))
    }

    /// Whether the node has ever asked for the memory of the frames.
    pub fn joined(&self) -> bool {
        self.pool.stats().consumers.iter().any(|consumer| consumer.joins > 0)
    }

    /// Slots that it holds now.
    pub fn held(&self) -> u32 {
        self.pool.stats().leased_slots
    }

    /// Ends only if every frame was acknowledged and given back.
    pub fn drain(&self) {
        self.pool.drain(&StopFlag::new(), Some(Duration::from_secs(5))).expect("everything is given back");
    }
}

/// Server-sent events as they come.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// Name and JSON of the next one.
    pub fn next(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect("an event in time") > 0, "the events ended");
            if let Some(rest) = line.strip_prefix("event: ") {
                name = rest.trim().to_owned();
            } else if let Some(rest) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(rest).expect("JSON"));
            }
        }
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    request(address, "GET", path, headers, "")
}

pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    request_to_host(address, "localhost", method, path, headers, body)
}

pub fn request_to_host(address: SocketAddr, host: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = connect(address);
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an answer in time");
    let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(all[..end].to_vec()).unwrap().replace("\r\n", "\n");
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, body: all[end..].to_vec() }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the page is served");
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream
}

/// The first block of an answer with pictures: what it is, and the JPEG.
pub fn read_block(body: &[u8]) -> (Value, Vec<u8>) {
    let length = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
    let about = length(0);
    let jpeg = length(4 + about);
    (serde_json::from_slice(&body[4..4 + about]).unwrap(), body[8 + about..8 + about + jpeg].to_vec())
}

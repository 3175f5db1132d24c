//! The node that stands for a camera and its decoder: at each period of its frame rate one message of each kind.

use crate::pool;
use crate::times::{ThreadTimer, cpu_of_ns, now_ns, process_cpu_ns, threads_cpu_ns};
use crate::wire::{HEADER_PARAMETERS, Job, Kind, Report, put_header};
use arrow_array::ArrayRef;
use dora_node_api::dora_core::config::DataId;
use dora_node_api::{DoraArray, DoraNode, Event, EventStream, MetadataParameters, Parameter, SampleAllocator};
use gantry_frames::{Layout, Pool, StopFlag};
use gantry_messages::{FrameRow, encode};
use gantry_node::{Fault, Writer};
use std::time::Duration;

/// Bytes of the smallest message: a handle alone.
const SMALL: usize = gantry_frames::HANDLE_BYTES;
/// After the last message: readers finish before the pool closes.
const AFTER_LAST: Duration = Duration::from_millis(500);

struct Source {
    job: Job,
    node: DoraNode,
    writer: Writer,
    pool: Pool,
    layout: Layout,
    stop: StopFlag,
    timer: ThreadTimer,
    /// What a decoder of its own memory would have written.
    picture: Vec<u8>,
    bare: Vec<u8>,
    /// Of the frames that the next message tells of.
    rows: Vec<FrameRow>,
    columns: ArrayRef,
    report: Report,
    /// Whether this frame is counted.
    counts: bool,
}

/// Runs the node.
pub fn run() -> Result<(), Fault> {
    let job = Job::from_env()?;
    let (node, events) = DoraNode::init_from_env().map_err(|e| Fault::new(e.to_string()))?;
    let stop = StopFlag::new();
    watch(events, stop.clone())?;
    let layout = pool::layout()?;
    let source = Source {
        pool: pool::live(&job.sockets, &format!("{}/handle", job.name), &job.consumers)?,
        timer: ThreadTimer::new(job.timed),
        picture: vec![114; layout.byte_len() as usize],
        bare: vec![0; bare_bytes(&job)?],
        rows: Vec::new(),
        columns: encode(&[FrameRow { format: "I420".into(), source: job.name.clone(), ..FrameRow::default() }])?,
        report: Report::default(),
        counts: false,
        writer: Writer::default(),
        layout,
        stop,
        node,
        job,
    };
    source.send_all()
}

/// Ctrl-C reaches a node as `Stop`.
fn watch(mut events: EventStream, stop: StopFlag) -> Result<(), Fault> {
    std::thread::Builder::new().name("events".into()).spawn(move || {
        while let Some(event) = events.recv() {
            if matches!(event, Event::Stop(_)) {
                break;
            }
        }
        stop.set();
    })?;
    Ok(())
}

/// Payload with which a message of plain bytes is as long on the wire as the message of a handle.
fn bare_bytes(job: &Job) -> Result<usize, Fault> {
    let allocator = SampleAllocator::heap();
    let row = FrameRow { format: "I420".into(), source: job.name.clone(), ..FrameRow::default() };
    let handle = allocator.encode_arrow(&DoraArray::from(encode(&[row])?))?.as_bytes().len();
    let plain = allocator.encode_arrow(&dora_node_api::IntoArrow::into_arrow(vec![0u8; 1024]))?.as_bytes().len() - 1024;
    Ok(handle.saturating_sub(plain).max(SMALL))
}

impl Source {
    fn send_all(mut self) -> Result<(), Fault> {
        let kinds = self.job.kinds.clone();
        let step_ns = 1_000_000_000 / (self.job.fps * kinds.len().max(1) as u64);
        let started = now_ns();
        let daemon = std::os::unix::process::parent_id();
        let mut window = None;
        for frame in 0..self.job.warm_up_frames + self.job.frames {
            if frame == self.job.warm_up_frames {
                window = Some((now_ns(), process_cpu_ns(), cpu_of_ns(daemon), threads_cpu_ns("frames-")));
                self.counts = true;
            }
            for (place, _) in kinds.iter().enumerate() {
                let due = started + (frame * kinds.len() as u64 + place as u64) * step_ns;
                std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
                if self.stop.is_set() {
                    return Ok(());
                }
                // In turn, so that no kind always follows the same other one.
                let kind = kinds[(place + frame as usize) % kinds.len()];
                self.send(kind, frame).map_err(|fault| fault.context(format!("source `{}`, {} {frame}", self.job.name, kind.name())))?;
            }
        }
        if let Some((wall, cpu, of_daemon, threads)) = window {
            self.report.wall_ns = now_ns() - wall;
            self.report.cpu_ns = process_cpu_ns() - cpu;
            self.report.daemon_cpu_ns = cpu_of_ns(daemon) - of_daemon;
            self.report.threads_ns = threads_cpu_ns("frames-") - threads;
        }
        std::thread::sleep(AFTER_LAST);
        self.report.write(&self.job)
    }

    fn send(&mut self, kind: Kind, frame: u64) -> Result<(), Fault> {
        let output = DataId::from(kind.name().to_owned());
        let sent = match kind {
            Kind::Handle => {
                self.report.messages += u64::from(self.counts);
                return self.send_handle(frame);
            }
            Kind::Bare | Kind::Small => {
                let len = if kind == Kind::Bare { self.bare.len() } else { SMALL };
                let bytes = &mut self.bare[..len];
                put_header(bytes, frame, now_ns());
                self.node.send_output_bytes(output, MetadataParameters::default(), len, bytes)
            }
            Kind::Columns => {
                let mut parameters = MetadataParameters::default();
                for (name, value) in HEADER_PARAMETERS.into_iter().zip([frame, now_ns()]) {
                    parameters.insert(name.to_owned(), Parameter::Integer(value as i64));
                }
                self.node.send_output(output, parameters, DoraArray::from(self.columns.clone()))
            }
            Kind::Pixels => {
                if !self.completes(frame) {
                    return Ok(());
                }
                pool::stamp(&mut self.picture, frame);
                put_header(&mut self.picture, frame, now_ns());
                let (picture, len) = (&self.picture, self.picture.len() * self.job.group as usize);
                self.report.messages += (self.job.group - 1) * u64::from(self.counts);
                self.node.send_output_raw(output, MetadataParameters::default(), len, |out| {
                    out.chunks_exact_mut(picture.len()).for_each(|place| place.copy_from_slice(picture));
                })
            }
        };
        self.report.messages += u64::from(self.counts);
        sent.map_err(|e| Fault::new(e.to_string()))
    }

    /// Whether `frame` is the last one of a message.
    fn completes(&self, frame: u64) -> bool {
        (frame + 1).is_multiple_of(self.job.group)
    }

    /// Publishes the frame and sends its message as nodes do. The decoder wrote into the slot, so that nothing is copied here.
    fn send_handle(&mut self, frame: u64) -> Result<(), Fault> {
        let meta = pool::meta(&self.job.name, frame)?;
        self.timer.start();
        let mut loaned = self.pool.begin_write(&self.stop)?;
        let mut pool_ns = self.timer.lap();
        pool::stamp(loaned.bytes_mut(), frame);
        self.timer.start();
        let published = loaned.fill(self.layout)?.publish(&meta);
        pool_ns += self.timer.lap();
        self.rows.push(pool::row(&meta, &published.handle));
        let rows = if self.completes(frame) { std::mem::take(&mut self.rows) } else { Vec::new() };
        let message = if rows.is_empty() { None } else { Some(self.writer.encode(Kind::Handle.name(), &rows)?) };
        let arrow_ns = self.timer.lap();
        if self.counts {
            self.report.pool_ns += pool_ns;
            self.report.arrow_ns += arrow_ns;
        }
        let Some(message) = message else { return Ok(()) };
        message.send::<FrameRow>(&mut self.node, Kind::Handle.name())
    }
}

//! The node that stands for a reader: takes each frame, looks at it, gives it back.

use crate::pool;
use crate::times::{ThreadTimer, now_ns, process_cpu_ns, threads_cpu_ns};
use crate::wire::{HEADER_PARAMETERS, Job, Kind, Report, header};
use dora_node_api::{DoraArray, DoraNode, Event, MetadataParameters, Parameter};
use gantry_frames::{AcquireError, Client, Handle};
use gantry_messages::{FrameRow, decode};
use gantry_node::Fault;

struct Sink {
    job: Job,
    client: Client,
    timer: ThreadTimer,
    report: Report,
    window: Option<(u64, u64, u64)>,
}

/// Runs the node.
pub fn run() -> Result<(), Fault> {
    let job = Job::from_env()?;
    let (_node, mut events) = DoraNode::init_from_env().map_err(|e| Fault::new(e.to_string()))?;
    let client = pool::client(&job.sockets, &job.name);
    let mut sink = Sink { client, timer: ThreadTimer::new(job.timed), report: Report::default(), window: None, job };
    while let Some(event) = events.recv() {
        match event {
            Event::Input { id, data, metadata } => {
                if let Some(kind) = Kind::of_input(id.as_str()) {
                    sink.take(kind, data, &metadata.parameters)
                        .map_err(|fault| fault.context(format!("sink `{}`, input `{id}`", sink.job.name)))?;
                }
            }
            Event::Stop(_) => break,
            _ => {}
        }
    }
    sink.report.write(&sink.job)
}

impl Sink {
    fn take(&mut self, kind: Kind, data: DoraArray, parameters: &MetadataParameters) -> Result<(), Fault> {
        let frame = match kind {
            Kind::Handle => self.take_handle(data)?,
            Kind::Columns => {
                let number = |name: &str| match parameters.get(name) {
                    Some(Parameter::Integer(value)) => Ok(*value as u64),
                    _ => Err(Fault::new(format!("parameter `{name}` is missing"))),
                };
                let [frame, sent_ns] = HEADER_PARAMETERS.map(number);
                let frame = frame?;
                self.sample(kind, frame, now_ns().saturating_sub(sent_ns?));
                frame
            }
            Kind::Bare | Kind::Small | Kind::Pixels => {
                let bytes: &[u8] = (&data).try_into().map_err(|e| Fault::new(format!("no bytes: {e}")))?;
                let (frame, sent_ns) = header(bytes).ok_or_else(|| Fault::new(format!("a message of {} bytes", bytes.len())))?;
                self.sample(kind, frame, now_ns().saturating_sub(sent_ns));
                if kind == Kind::Pixels {
                    self.report.wrong += u64::from(bytes.len() as u64 != self.job.group * pool::layout()?.byte_len());
                    self.report.messages += (self.job.group - 1) * u64::from(self.counts(frame));
                }
                frame
            }
        };
        // The window of this process begins at the first message that counts and ends at the last whole second of frames.
        if self.counts(frame) {
            let (wall, cpu, threads) = *self.window.get_or_insert_with(|| (now_ns(), process_cpu_ns(), threads_cpu_ns("frames-")));
            if (frame + 1).is_multiple_of(self.job.fps.next_multiple_of(self.job.group))
                || frame + 1 == self.job.warm_up_frames + self.job.frames
            {
                self.report.wall_ns = now_ns() - wall;
                self.report.cpu_ns = process_cpu_ns() - cpu;
                self.report.threads_ns = threads_cpu_ns("frames-") - threads;
            }
        }
        Ok(())
    }

    fn take_handle(&mut self, data: DoraArray) -> Result<u64, Fault> {
        self.timer.start();
        let rows = decode::<FrameRow>(&data.into_inner())?;
        let arrow_ns = self.timer.lap();
        let mut last = 0;
        for row in rows {
            last = row.frame;
            let handle = Handle::from_bytes(row.handle);
            let started = now_ns();
            self.timer.start();
            let taken = self.client.acquire(&handle);
            let mut pool_ns = self.timer.lap();
            let acquired = now_ns();
            let frame = match taken {
                Ok(frame) => frame,
                Err(AcquireError::Stale { .. }) => {
                    self.report.stale += 1;
                    continue;
                }
                Err(e) => return Err(Fault::from(e).context(format!("frame {}", row.frame))),
            };
            self.sample(Kind::Handle, row.frame, acquired.saturating_sub(frame.published_ns()));
            self.report.wrong += u64::from(!pool::is_stamped(frame.bytes(), row.frame));
            let releasing = now_ns();
            self.timer.start();
            drop(frame);
            pool_ns += self.timer.lap();
            if self.counts(row.frame) {
                self.report.acquire_ns.push(acquired - started + (now_ns() - releasing));
                self.report.pool_ns += pool_ns;
            }
        }
        if self.counts(last) {
            self.report.arrow_ns += arrow_ns;
        }
        Ok(last)
    }

    fn counts(&self, frame: u64) -> bool {
        frame >= self.job.warm_up_frames
    }

    fn sample(&mut self, kind: Kind, frame: u64, ns: u64) {
        if self.counts(frame) {
            self.report.messages += 1;
            self.report.latency_ns.entry(kind.name().to_owned()).or_default().push(ns);
        }
    }
}

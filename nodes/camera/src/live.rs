//! A source in live mode: its own thread reads, the newest packets win, and it comes back when it was gone.

use crate::reader::{self, Plan, Shared};
use crate::{Batch, Next};
use gantry_media::StreamInfo;
use gantry_messages::PacketRow;
use gantry_node::{Fault, Outputs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Packets that wait for the window: a burst after a delay of two seconds fits.
const BACKLOG_PACKETS: usize = 64;
/// Longest wait for a packet before the node looks at its inputs again.
const WAIT: Duration = Duration::from_millis(20);

/// The node's end.
pub struct Live {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    info: StreamInfo,
}

impl Live {
    /// Starts reading.
    ///
    /// # Errors
    /// No thread.
    pub fn start(plan: Plan) -> Result<Self, Fault> {
        let shared = Arc::new(Shared::new(BACKLOG_PACKETS));
        let thread = std::thread::Builder::new().name("camera-reader".into()).spawn({
            let shared = shared.clone();
            move || reader::read(&plan, &shared)
        })?;
        Ok(Self { shared, thread: Some(thread), info: StreamInfo::default() })
    }

    /// The stream of the packets taken last.
    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// Up to `count` packets, after a short wait if there is none.
    pub fn read(&mut self, count: usize, out: &mut Outputs) -> Batch {
        let mut backlog = self.shared.wait(WAIT);
        let (arrived, is_over, counts) = (backlog.take(count), backlog.is_over(), backlog.take_counts());
        drop(backlog);
        for (name, n) in counts.into_iter().filter(|(_, n)| *n > 0) {
            out.count(name, n);
        }
        let mut rows = Vec::with_capacity(arrived.len());
        for one in arrived {
            let mut row = PacketRow {
                pts_ns: one.packet.pts_ns.unwrap_or(i64::MIN),
                dts_ns: one.packet.dts_ns.unwrap_or(i64::MIN),
                captured_ns: one.captured_ns,
                keyframe: one.packet.keyframe,
                discontinuity: one.discontinuity || one.packet.corrupt,
                discard: one.packet.discard,
                data: one.packet.data,
                ..PacketRow::default()
            };
            let is_new = one.info.is_some();
            self.info = one.info.unwrap_or_else(|| std::mem::take(&mut self.info));
            // Decoding starts with a key frame, also in a `decode` that was started again.
            if is_new || row.keyframe || row.discontinuity {
                crate::describe(&mut row, &self.info);
            }
            rows.push(row);
        }
        Batch { next: if is_over && rows.is_empty() { Next::End } else { Next::Now }, rows }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the reading thread of the camera panicked");
        }
    }
}

//! Writes pictures that came in messages ([`pack`](pack.md)) into buffers of this machine and passes them on by handle: the nodes behind
//! it read them as they read those of `decode`.
//!
//! ```yaml
//! - id: unpack_cam0
//!   path: bin/unpack
//!   inputs:
//!     tick: dora/timer/millis/500
//!     pixels: { source: pack_cam0/pixels, queue_size: 256, queue_policy: backpressure }
//!   outputs: [frames, credit]
//! ```
//!
//! In a lossless run each frame is passed on once and in order: repeated ones are left out, and behind a hole all is asked for again. A
//! frame is acknowledged (`credit`) when it is in a buffer, and a full pool waits for its readers: so `pack` sends no faster than this
//! machine reads. In a live run what comes is passed on.
//!
//! A picture whose bytes do not fit its size and format is an error; nothing of it is passed on.

mod contract;

pub use contract::CONTRACT;

use gantry_frames::{
    Colour, DrainError, FrameMeta, ImageLayout, Layout, Loaned, Matrix, Mode, PixelFormat, Pool, Range, SourceName, StopFlag, View,
};
use gantry_messages::{CreditRow, FrameRow, PixelsRow};
use gantry_node::{Context, Fault, Input, Outputs, Stage, frame_row};
use serde::Deserialize;

/// See [`CONTRACT`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    max_bytes: u64,
    pool_slots: u32,
}

/// The node.
pub struct Unpack {
    pool: Pool,
    mode: Mode,
    stop: StopFlag,
    /// Lossless: the number that comes next.
    next: u64,
    /// Lossless: the number that was asked for again and has not come, and the one behind the hole that showed it.
    asked: Option<(u64, u64)>,
    /// Published and not sent.
    rows: Vec<FrameRow>,
}

impl Stage for Unpack {
    type Params = Params;
    const CONTRACT: gantry_contract::Contract = CONTRACT;

    fn open(params: Params, context: &Context) -> Result<Self, Fault> {
        let pool = context.pool("frames", params.pool_slots, params.max_bytes)?;
        Ok(Self { pool, mode: context.mode, stop: context.stop.clone(), next: 0, asked: None, rows: Vec::new() })
    }

    fn on_input(&mut self, input: &Input, out: &mut Outputs) -> Result<(), Fault> {
        let mut credit = None;
        for row in input.rows::<PixelsRow>()? {
            if self.mode == Mode::Lossless {
                if row.frame > self.next {
                    // Once per hole, for what is under way behind it comes, too. When the frame that showed it comes again, then what was
                    // sent again is there, and the missing one was lost once more.
                    let is_known = self.asked.is_some_and(|(missing, shown_by)| missing == self.next && shown_by != row.frame);
                    if !is_known {
                        self.asked = Some((self.next, row.frame));
                        out.count("asked_again", 1);
                        let ask = CreditRow { source: row.source, frame: self.next, resend: true, ..CreditRow::default() };
                        self.flush(out)?;
                        out.send("credit", &[ask])?;
                    }
                    continue;
                }
                let repeated = row.frame < self.next;
                credit = Some(CreditRow { source: row.source.clone(), end: row.end, ..CreditRow::default() });
                if repeated {
                    out.count("repeated", 1);
                    continue;
                }
                self.next += 1;
            }
            if !self.take(row, out)? {
                return Ok(());
            }
        }
        self.flush(out)?;
        match credit {
            Some(credit) => out.send("credit", &[CreditRow { frame: self.next, ..credit }]),
            None => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        self.flush(out)?;
        match self.pool.drain(&self.stop, None) {
            Ok(()) | Err(DrainError::Stopped { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

impl Unpack {
    /// Publishes one picture; false if the run was stopped while it waited for a slot.
    fn take(&mut self, row: PixelsRow, out: &mut Outputs) -> Result<bool, Fault> {
        if row.end {
            self.rows.push(FrameRow {
                source: row.source,
                frame: row.frame,
                end: true,
                captured_ns: row.captured_ns,
                ..FrameRow::default()
            });
            return Ok(true);
        }
        let fault = |fault: Fault| fault.context(format!("camera `{}`, frame {}", row.source, row.frame));
        let layout = layout_of(&row).map_err(fault)?;
        let Some(slot) = self.slot(out)? else { return Ok(false) };
        let published = publish(&row, layout, slot).map_err(fault)?;
        self.rows.push(published);
        Ok(true)
    }

    /// A slot to write into; what is finished goes out before a wait, for the readers may need it to free one.
    fn slot(&mut self, out: &mut Outputs) -> Result<Option<Loaned>, Fault> {
        if let Some(slot) = self.pool.try_begin_write()? {
            return Ok(Some(slot));
        }
        self.flush(out)?;
        match self.pool.begin_write(&self.stop) {
            Ok(slot) => Ok(Some(slot)),
            Err(_) if self.stop.is_set() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn flush(&mut self, out: &mut Outputs) -> Result<(), Fault> {
        out.send("frames", &self.rows)?;
        self.rows.clear();
        Ok(())
    }
}

/// How the picture will lie in its slot, if its bytes are as many as its size and format say.
fn layout_of(row: &PixelsRow) -> Result<Layout, Fault> {
    let known =
        |what: &str, value: &str| Fault::new(format!("{what} `{value}` is not known")).hint("`pack` of the same checkout sends what is");
    let format = PixelFormat::from_name(&row.format.to_ascii_lowercase()).ok_or_else(|| known("format", &row.format))?;
    let matrix = Matrix::from_name(&row.matrix).ok_or_else(|| known("matrix", &row.matrix))?;
    let range = Range::from_name(&row.range).ok_or_else(|| known("range", &row.range))?;
    let layout = Layout::packed(format, row.width, row.height, Colour { matrix, range })?;
    let wanted: u64 = (0..format.plane_count())
        .map(|index| format.plane_size(index, row.width, row.height))
        .map(|(bytes, rows)| bytes * u64::from(rows))
        .sum();
    if row.data.len() as u64 != wanted {
        return Err(Fault::new(format!("{} bytes came, {}x{} {} has {wanted}", row.data.len(), row.width, row.height, row.format))
            .hint("rows stand one after the other without padding (docs/messages.md)"));
    }
    Ok(layout)
}

fn publish(row: &PixelsRow, layout: Layout, mut slot: Loaned) -> Result<FrameRow, Fault> {
    let needed = layout.byte_len();
    if needed > slot.len() as u64 {
        return Err(Fault::new(format!("a picture of {}x{} takes {needed} bytes, a slot has {}", row.width, row.height, slot.len()))
            .hint(format!("set `MAX_BYTES` to {needed} or more")));
    }
    if let Some(image) = layout.as_image() {
        write(row, image, slot.bytes_mut());
    }
    let view = View {
        width: row.width,
        height: row.height,
        source_width: row.source_width,
        source_height: row.source_height,
        scale_x: row.scale_x,
        scale_y: row.scale_y,
        offset_x: row.offset_x,
        offset_y: row.offset_y,
    };
    let meta =
        FrameMeta { source: SourceName::new(&row.source)?, frame: row.frame, pts_ns: row.pts_ns, captured_ns: row.captured_ns, view };
    let published = slot.fill(layout)?.publish(&meta);
    Ok(frame_row(&published.handle, &layout, &meta))
}

/// Rows to the places that the layout has for them; the lengths were compared.
fn write(row: &PixelsRow, image: &ImageLayout, slot: &mut [u8]) {
    let mut data = row.data.as_slice();
    for (index, plane) in image.planes().iter().enumerate() {
        let (row_bytes, rows) = image.format.plane_size(index, image.width, image.height);
        let (from, rest) = data.split_at((row_bytes * u64::from(rows)) as usize);
        let to = slot[plane.offset as usize..].chunks_mut(plane.stride as usize);
        for (to, from) in to.zip(from.chunks(row_bytes as usize)) {
            to[..from.len()].copy_from_slice(from);
        }
        data = rest;
    }
    gantry_copies::note(gantry_copies::Way::OnHost, row.data.len());
}

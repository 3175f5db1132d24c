//! The message of a frame, from what its pool keeps beside the pixels.

use gantry_frames::{FrameMeta, Handle, Layout};
use gantry_messages::FrameRow;

/// The row that tells of a published frame. Producers send it, and a consumer that a message did not reach makes the very same one
/// from the pool's descriptor page.
#[must_use]
pub fn frame_row(handle: &Handle, layout: &Layout, meta: &FrameMeta) -> FrameRow {
    let view = &meta.view;
    FrameRow {
        source: meta.source.as_str().to_owned(),
        frame: meta.frame,
        end: false,
        pts_ns: meta.pts_ns,
        captured_ns: meta.captured_ns,
        width: view.width,
        height: view.height,
        format: match layout {
            Layout::Image(image) => image.format.name().to_ascii_uppercase(),
            Layout::Tensor(_) => "TNSR".to_owned(),
        },
        source_width: view.source_width,
        source_height: view.source_height,
        scale_x: view.scale_x,
        scale_y: view.scale_y,
        offset_x: view.offset_x,
        offset_y: view.offset_y,
        handle: *handle.as_bytes(),
    }
}

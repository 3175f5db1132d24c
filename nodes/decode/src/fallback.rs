//! What becomes of a camera that NVDEC does not decode.

use crate::decoder::Decoder;
use crate::{Decode, media_fault};
use gantry_frames::Mode;
use gantry_media::{MediaError, StreamInfo, VideoPacket};
use gantry_node::{Fault, Outputs};
use tracing::{error, warn};

impl Decode {
    /// NVDEC could not be opened for a camera.
    pub(crate) fn not_opened(&mut self, index: usize, info: StreamInfo, error: MediaError, out: &mut Outputs) -> Result<(), Fault> {
        self.elsewhere(index, info, error, Some(Vec::new()), out)
    }

    /// The decoder of a camera did not take a packet or gave no picture.
    pub(crate) fn not_decoded(&mut self, index: usize, error: MediaError, out: &mut Outputs) -> Result<(), Fault> {
        let info = self.streams[index].info().clone();
        let kept = self.streams[index].take_kept();
        self.elsewhere(index, info, error, kept, out)
    }

    /// Software instead where the graph says `auto`. Else the error of this camera: it ends a lossless run, and a live one goes on without the camera.
    /// `kept`: what NVDEC was given and made no picture of; unknown when pictures were out already.
    fn elsewhere(
        &mut self,
        index: usize,
        info: StreamInfo,
        error: MediaError,
        kept: Option<Vec<VideoPacket>>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let camera = self.streams[index].source.clone();
        let of_camera = |fault: Fault| fault.context(format!("camera `{camera}`"));
        if !matches!(error, MediaError::NoDevice { .. } | MediaError::NoCodec { .. }) {
            return Err(of_camera(media_fault(error)));
        }
        let is_live = self.context.mode == Mode::Live;
        if self.params.decoder != "auto" {
            if !is_live {
                return Err(of_camera(media_fault(error)));
            }
            error!(camera, %error, hint = error.hint(), "this camera is not decoded, the others go on");
            self.streams[index].refuse();
            return Ok(());
        }
        warn!(camera, decoder = "software", reason = %error, "NVDEC does not take this camera, its frames stay in host memory");
        out.count("nvdec_fallbacks", 1);
        let decoder = Decoder::software(&info, self.options, self.host.slots()).map_err(|e| of_camera(media_fault(e)))?;
        self.use_decoder(index, info, decoder)?;
        match kept {
            Some(packets) => {
                for packet in packets {
                    self.reserve(index, out)?;
                    self.streams[index].pass(packet).map_err(|e| of_camera(media_fault(e)))?;
                    self.receive_all(index, out)?;
                }
                Ok(())
            }
            None if is_live => {
                self.streams[index].wait_for_key();
                Ok(())
            }
            None => Err(of_camera(media_fault(error))
                .hint("the stream changed in the middle of a lossless run, where frames would be missing; set `DECODER: software`")),
        }
    }
}

//! NVDEC for all cameras of this node: one context, one stream, one pool on the card.

use crate::lane::Lane;
use crate::{Params, media_fault};
use gantry_media::{DecoderChoice, MediaError, NvdecDevice, choose};
use gantry_node::{Context, Fault};
use std::sync::Arc;
use tracing::{info, warn};

/// The card.
pub struct Card {
    /// FFmpeg's device over our context.
    pub device: Arc<NvdecDevice>,
    /// Slots in the card's memory.
    pub lane: Lane,
}

/// Decides what decodes. `None`: software, and why is in the log.
///
/// # Errors
/// Parameters that do not go together; no memory of a card where `memory` is `cuda`; no NVDEC where `decoder` is `nvdec`.
pub fn open(params: &Params, context: &Context) -> Result<Option<Card>, Fault> {
    let threads = params.threads;
    if params.memory == "host" {
        let choice = if params.decoder == "software" { DecoderChoice::Software } else { DecoderChoice::Auto };
        let choice = if params.decoder == "nvdec" { DecoderChoice::Nvdec } else { choice };
        let chosen = choose(choice).map_err(media_fault)?;
        info!(decoder = chosen.decoder, reason = chosen.reason, threads);
        return Ok(None);
    }
    let wanted = |fault: Fault| fault.context("parameter `memory` is `cuda`");
    if params.decoder == "software" {
        return Err(wanted(Fault::new("`decoder` is `software`, which decodes into host memory"))
            .hint("set `MEMORY: host`; `resize` with `MEMORY: cuda` scales such frames first and uploads them small"));
    }
    let memory = context.memory_of_card()?;
    let no_card = || Fault::new("buffers of the host, a card's are wanted").hint("`gantry doctor` says what is missing");
    let card = memory.context().ok_or_else(|| wanted(no_card()))?;
    match NvdecDevice::open(card) {
        Ok(device) => Ok(Some(Card { device: Arc::new(device), lane: Lane::new(memory, &context.stop) })),
        Err(error @ MediaError::NoDevice { .. }) if params.decoder == "auto" => {
            warn!(decoder = "software", reason = %error, threads, "NVDEC is not to be had, frames stay in host memory");
            Ok(None)
        }
        Err(error) => Err(wanted(media_fault(error))),
    }
}

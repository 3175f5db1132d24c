//! Recordings: what cameras sent and what was made of it, in [MCAP](https://mcap.dev) files.
//!
//! ```text
//! run.mcap, run.0001.mcap, ..        parts of one recording, cut by size and time
//!   metadata `gantry.recording`      graph, parameters, digests of models, run; with a checksum ([`About`])
//!   chunks, LZ4, each with a CRC
//!     /gate/packets   packets/v1     one message per access unit: Arrow, as `camera` sent it ([`Packets`] reads them back)
//!     /gate/video     foxglove.CompressedVideo   the same in the form that Foxglove plays; compression makes it almost free
//!     /vote/readings  readings/v1    and other result edges, as they were sent
//!   summary                          missing after a crash; nothing here needs it
//! ```
//!
//! A schema record holds the Arrow schema (encoding `arrow-ipc-schema`), a message one Arrow record batch (encoding
//! `arrow-ipc-batch`): both together are an Arrow IPC stream, so `pyarrow.ipc.open_stream(schema.data + message.data)` reads one.
//!
//! [`Recorder`] ends its chunk at each [`Recorder::flush`]: what was flushed survives the death of the process. [`Recording`] finds chunks by
//! themselves, whatever else of the file is damaged, takes only those whose CRC fits, and accounts for every packet of every camera by its
//! number: delivered, missing, or unusable because its key frame is missing.

mod about;
mod batch;
mod chunks;
mod entries;
mod error;
mod files;
mod format;
mod foxglove;
mod packets;
mod part;
mod recorder;
mod sequence;
mod survey;

pub use about::About;
pub use batch::read_array;
pub use entries::{Entries, Entry, Lost, Message};
pub use error::{OpenError, RecordError};
pub use files::Recording;
pub use packets::Packets;
pub use recorder::{Limits, Recorder, Taken, Video};
pub use sequence::Sequence;
pub use survey::{CameraSurvey, Survey};

/// What the names of MCAP records say.
mod names {
    /// Schema encoding of Arrow messages.
    pub const ARROW_SCHEMA: &str = "arrow-ipc-schema";
    /// Message encoding of Arrow messages.
    pub const ARROW_BATCH: &str = "arrow-ipc-batch";
    /// The metadata record.
    pub const ABOUT: &str = "gantry.recording";
    /// Profile in the header.
    pub const PROFILE: &str = "gantry";
}

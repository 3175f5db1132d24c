//! What a recording holds and what it lacks.

use crate::entries::{Entry, Lost};
use crate::packets::{packets_of, topic};
use crate::sequence::Sequence;
use crate::{OpenError, Recording};
use std::collections::BTreeMap;
use std::fmt::Write;

/// One camera.
#[derive(Clone, Debug)]
pub struct CameraSurvey {
    /// Its name.
    pub name: String,
    /// Which of its packets are there.
    pub packets: Sequence,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Width in px.
    pub width: u32,
    /// Height in px.
    pub height: u32,
    /// Pictures that will be shown.
    pub shown: u64,
    /// First and last media time in ns.
    pub media_ns: Option<(i64, i64)>,
    /// First and last capture time in ns.
    pub captured_ns: Option<(i64, i64)>,
    /// Bytes of its packets.
    pub bytes: u64,
}

/// Everything in a recording.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// By name.
    pub cameras: Vec<CameraSurvey>,
    /// Messages per other channel.
    pub results: BTreeMap<String, u64>,
    /// What could not be read.
    pub lost: Vec<Lost>,
}

impl Survey {
    pub(crate) fn of(recording: &Recording) -> Result<Self, OpenError> {
        let mut cameras: BTreeMap<String, CameraSurvey> = BTreeMap::new();
        let mut survey = Self::default();
        for entry in recording.entries() {
            let message = match entry? {
                Entry::Message(message) => message,
                Entry::Lost(lost) => {
                    survey.lost.push(lost);
                    continue;
                }
            };
            let Some(rows) = packets_of(&message) else {
                *survey.results.entry(message.topic).or_default() += 1;
                continue;
            };
            for row in rows.into_iter().filter(|r| topic(&r.source) == message.topic) {
                let camera = cameras.entry(row.source.clone()).or_insert_with(|| CameraSurvey::new(&row.source, recording.first()));
                if let Some(row) = camera.packets.take(row).filter(|r| !r.end) {
                    camera.add(&row);
                }
            }
        }
        survey.cameras = cameras.into_values().collect();
        Ok(survey)
    }

    /// Whether every packet of every camera is there, from its first to its end.
    pub fn is_complete(&self) -> bool {
        self.lost.is_empty() && self.cameras.iter().all(|c| c.faults().is_none())
    }

    /// One line per camera that lacks something and per damaged place; empty if [`Survey::is_complete`].
    pub fn faults(&self) -> Vec<String> {
        let cameras = self.cameras.iter().filter_map(|c| Some(format!("camera `{}`: {}", c.name, c.faults()?)));
        cameras.chain(self.lost.iter().map(ToString::to_string)).collect()
    }
}

impl CameraSurvey {
    fn new(name: &str, first: u64) -> Self {
        Self {
            name: name.to_owned(),
            packets: Sequence::starting_at(first),
            codec: String::new(),
            width: 0,
            height: 0,
            shown: 0,
            media_ns: None,
            captured_ns: None,
            bytes: 0,
        }
    }

    fn add(&mut self, row: &gantry_messages::PacketRow) {
        if !row.codec.is_empty() {
            (self.codec, self.width, self.height) = (row.codec.clone(), row.width, row.height);
        }
        self.bytes += row.data.len() as u64;
        self.shown += u64::from(!row.discard);
        let widened = |span: Option<(i64, i64)>, t: i64| Some(span.map_or((t, t), |(a, b)| (a.min(t), b.max(t))));
        if row.pts_ns != i64::MIN && !row.discard {
            self.media_ns = widened(self.media_ns, row.pts_ns);
        }
        self.captured_ns = widened(self.captured_ns, row.captured_ns);
    }

    /// What it lacks, in words.
    pub fn faults(&self) -> Option<String> {
        let mut text = String::new();
        let mut say = |what: &str, ranges: &[std::ops::Range<u64>]| {
            let count: u64 = ranges.iter().map(|r| r.end - r.start).sum();
            if count > 0 {
                let places: Vec<String> = ranges.iter().take(5).map(|r| format!("{} to {}", r.start, r.end - 1)).collect();
                let more = if ranges.len() > 5 { ", .." } else { "" };
                let _ = write!(text, "{count} packets {what} ({}{more}); ", places.join(", "));
            }
        };
        say("missing", self.packets.missing());
        say("without their key frame", self.packets.unusable());
        if !self.packets.ended() {
            let at = self.media_ns.map_or(0.0, |(_, last)| last as f64 / 1e9);
            let _ = write!(text, "no end: cut off after packet {} at {at:.2} s; ", self.packets.next_number().saturating_sub(1));
        }
        let text = text.trim_end_matches("; ");
        (!text.is_empty()).then(|| text.to_owned())
    }
}

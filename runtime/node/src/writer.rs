//! Rows to the Arrow IPC stream that dora sends.
//!
//! A stream of one frame is 4 kB, of which 0.4 kB are values: the rest says how they lie and is the same in every message. Making it
//! again costs 40 us per message at camera rates, where the caches are cold. So the last stream of each output is kept; while
//! batches have the same shape (rows, lengths of texts) only the values in it are replaced.

use crate::Fault;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use dora_node_api::arrow_utils::{IpcPayload, decode_arrow_ipc_zero_copy};
use dora_node_api::dora_core::config::DataId;
use dora_node_api::{DoraArray, DoraNode, MetadataParameters, Parameter, SampleAllocator, metadata};
use gantry_messages::{Flat, Message, encode};
use std::collections::BTreeMap;

/// Sends the messages of one node.
#[derive(Debug, Default)]
pub struct Writer {
    flat: Flat,
    outputs: BTreeMap<String, Output>,
}

/// What is kept of an output.
#[derive(Debug, Default)]
struct Output {
    /// Shape of the last batch.
    ends: Vec<usize>,
    /// Made at the second batch of that shape; none if it cannot be made.
    template: Option<Option<Template>>,
}

/// A stream whose values can be replaced.
#[derive(Debug)]
struct Template {
    stream: Vec<u8>,
    /// Where each buffer of the flat batch starts in the stream.
    starts: Vec<usize>,
}

/// A message that is ready to be sent.
#[derive(Debug)]
pub enum Encoded<'a> {
    /// The whole stream.
    Stream(&'a [u8]),
    /// An array, of which dora makes the stream.
    Array(ArrayRef),
}

impl Writer {
    /// Makes the message of `rows`, which goes to output `port`.
    ///
    /// # Errors
    /// If the rows cannot be expressed in Arrow.
    pub fn encode<T: Message>(&mut self, port: &str, rows: &[T]) -> Result<Encoded<'_>, Fault> {
        let array = || encode(rows).map_err(|e| Fault::from(e).context(format!("output `{port}`")));
        self.flat.clear();
        if !T::flat(rows, &mut self.flat) {
            return Ok(Encoded::Array(array()?));
        }
        if !self.outputs.contains_key(port) {
            self.outputs.insert(port.to_owned(), Output::default());
        }
        let Some(output) = self.outputs.get_mut(port) else { return Ok(Encoded::Array(array()?)) };
        if output.ends != self.flat.ends() {
            // The first of its shape; a template would cost more than it saves if the next one is different again.
            output.ends = self.flat.ends().to_vec();
            output.template = None;
            return Ok(Encoded::Array(array()?));
        }
        match &mut output.template {
            Some(Some(template)) => template.fill(&self.flat),
            Some(None) => {}
            none => *none = Some(Template::of(array()?, &self.flat)),
        }
        match &output.template {
            Some(Some(template)) => Ok(Encoded::Stream(&template.stream)),
            _ => Ok(Encoded::Array(array()?)),
        }
    }

    /// Makes and sends the message.
    ///
    /// # Errors
    /// As [`Writer::encode`], and if dora does not take it.
    pub fn send<T: Message>(&mut self, node: &mut DoraNode, port: &str, rows: &[T]) -> Result<(), Fault> {
        self.encode(port, rows)?.send::<T>(node, port)
    }
}

impl Encoded<'_> {
    /// Sends the message, which is of type `T`.
    ///
    /// # Errors
    /// If dora does not take it.
    pub fn send<T: Message>(self, node: &mut DoraNode, port: &str) -> Result<(), Fault> {
        let mut parameters = MetadataParameters::default();
        parameters.insert("gantry_type".to_owned(), Parameter::String(T::TYPE.to_owned()));
        let output = DataId::from(port.to_owned());
        let sent = match self {
            Self::Array(array) => node.send_output(output, parameters, DoraArray::from(array)),
            Self::Stream(stream) => node.allocate_data_sample(stream.len()).and_then(|mut sample| {
                sample.copy_from_slice(stream);
                parameters.insert(metadata::FRAMING.to_owned(), Parameter::String(metadata::FRAMING_ARROW_IPC.to_owned()));
                node.send_output_sample(output, parameters, Some(sample))
            }),
        };
        sent.map_err(|e| Fault::new(e.to_string()).context(format!("output `{port}`")))
    }
}

impl Template {
    /// The stream of `array`, whose values `flat` has too. `None` if it is not found exactly there: then Arrow or dora lays
    /// messages out in another way than this build was tested with.
    fn of(array: ArrayRef, flat: &Flat) -> Option<Self> {
        let encoded = SampleAllocator::heap().encode_arrow(&DoraArray::from(array)).ok()?;
        let stream = encoded.as_bytes().to_vec();
        // Arrays decoded without a copy point into the stream, which tells where their values lie.
        let copy = stream.clone();
        let base = copy.as_ptr() as usize;
        let decoded = decode_arrow_ipc_zero_copy(IpcPayload::from_vec(copy)).ok()?.into_inner();
        let mut found = Vec::new();
        for column in decoded.as_struct_opt()?.columns() {
            let data = column.to_data();
            if data.offset() != 0 || data.null_count() != 0 || !data.child_data().is_empty() {
                return None;
            }
            found.extend(data.buffers().iter().map(|buffer| (buffer.as_ptr() as usize).wrapping_sub(base)));
        }
        let template = Self { stream, starts: found };
        let same = |(start, values): (&usize, &[u8])| values.is_empty() || template.at(*start, values.len()) == Some(values);
        let complete = template.starts.len() == flat.buffers().count();
        (complete && template.starts.iter().zip(flat.buffers()).all(same)).then_some(template)
    }

    fn at(&self, start: usize, len: usize) -> Option<&[u8]> {
        self.stream.get(start..start.checked_add(len)?)
    }

    /// Replaces the values; `flat` has the shape of the batch that the template was made of.
    fn fill(&mut self, flat: &Flat) {
        for (start, values) in self.starts.iter().zip(flat.buffers()) {
            if let Some(place) = self.stream.get_mut(*start..start.saturating_add(values.len())) {
                place.copy_from_slice(values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_messages::{CreditRow, FrameRow};

    fn row(n: u64) -> FrameRow {
        FrameRow {
            source: format!("cam{}", n % 10),
            frame: n,
            end: n.is_multiple_of(3),
            pts_ns: -(n as i64),
            captured_ns: i64::MAX - n as i64,
            width: 1920,
            height: n as u32,
            format: "I420".to_owned(),
            source_width: u32::MAX,
            source_height: 2,
            scale_x: n as f32 / 3.0,
            scale_y: f32::NAN,
            offset_x: -0.0,
            offset_y: f32::INFINITY,
            handle: [n as u8; gantry_messages::HANDLE_BYTES],
        }
    }

    /// The stream that dora makes of the rows.
    fn doras(rows: &[FrameRow]) -> Vec<u8> {
        let array = DoraArray::from(encode(rows).unwrap());
        SampleAllocator::heap().encode_arrow(&array).unwrap().as_bytes().to_vec()
    }

    #[test]
    fn a_filled_template_is_the_stream_that_dora_makes() {
        let mut writer = Writer::default();
        let mut streams = 0;
        for batch in [1, 1, 1, 8, 8, 9, 1, 8, 8, 8, 8, 0, 0, 0, 30, 30, 30] {
            let start = streams + 7 * batch;
            let rows: Vec<FrameRow> = (start..start + batch).map(row).collect();
            match writer.encode("frames", &rows).unwrap() {
                Encoded::Stream(stream) => {
                    assert!(stream == doras(&rows), "{batch} rows after {streams} streams");
                    streams += 1;
                }
                Encoded::Array(array) => assert_eq!(array.len() as u64, batch),
            }
        }
        // All but the first of each run of equal shapes.
        assert_eq!(streams, 10);
    }

    #[test]
    fn outputs_and_lengths_of_texts_do_not_mix() {
        let mut writer = Writer::default();
        let is_stream = |encoded: Encoded<'_>| matches!(encoded, Encoded::Stream(_));
        let longer = FrameRow { source: "another camera".to_owned(), ..row(5) };
        assert!(!is_stream(writer.encode("a", &[row(1)]).unwrap()));
        assert!(!is_stream(writer.encode("b", std::slice::from_ref(&longer)).unwrap()));
        assert!(is_stream(writer.encode("a", &[row(2)]).unwrap()));
        assert!(is_stream(writer.encode("b", std::slice::from_ref(&longer)).unwrap()));
        assert!(!is_stream(writer.encode("a", std::slice::from_ref(&longer)).unwrap()));
        match writer.encode("a", std::slice::from_ref(&longer)).unwrap() {
            Encoded::Stream(stream) => assert!(stream == doras(std::slice::from_ref(&longer))),
            Encoded::Array(_) => panic!("the second of its shape is a stream"),
        }
        assert!(!is_stream(writer.encode("credit", &[CreditRow::default()]).unwrap()), "a type without a flat form");
    }
}

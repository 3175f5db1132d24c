//! Values of a batch as Arrow lays them out in its buffers, without Arrow.

/// The buffers of flat columns without nulls, one after the other, in the order in which Arrow counts them: a number or fixed-size
/// column has one, a boolean column one of bits, a text column its offsets and its bytes. Memory is kept from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct Flat {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Flat {
    /// Forgets the last batch.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The buffers.
    pub fn buffers(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// Where each buffer ends: batches with the same ends differ in values only.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// A column of numbers in little-endian bytes, or of fixed-size values.
    pub(crate) fn fixed<const N: usize>(&mut self, values: impl Iterator<Item = [u8; N]>) {
        values.for_each(|value| self.bytes.extend_from_slice(&value));
        self.end();
    }

    /// A column of booleans.
    pub(crate) fn bits(&mut self, values: impl Iterator<Item = bool>) {
        for (i, value) in values.enumerate() {
            if i % 8 == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value) << (i % 8);
            }
        }
        self.end();
    }

    /// A column of texts.
    pub(crate) fn texts<'a>(&mut self, values: impl Iterator<Item = &'a str> + Clone) {
        let mut offset = 0i32;
        self.bytes.extend_from_slice(&offset.to_le_bytes());
        for value in values.clone() {
            // A message of 2 GiB of text fails in the comparison with what Arrow made, and long before.
            offset = offset.wrapping_add(value.len() as i32);
            self.bytes.extend_from_slice(&offset.to_le_bytes());
        }
        self.end();
        values.for_each(|value| self.bytes.extend_from_slice(value.as_bytes()));
        self.end();
    }
}

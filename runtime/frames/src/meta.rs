//! What is said about a frame besides its pixels.

use std::fmt;

/// Longest source name, in bytes of UTF-8.
pub const MAX_SOURCE_BYTES: usize = 64;

/// A camera id of up to 64 bytes, stored inline so that frame metadata is `Copy` and fits the shared descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceName {
    len: u8,
    bytes: [u8; MAX_SOURCE_BYTES],
}

/// Why a text is no [`SourceName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("source name of {len} bytes is too long, at most {MAX_SOURCE_BYTES} are kept with a frame")]
pub struct SourceNameError {
    /// Bytes of UTF-8 in the refused name.
    pub len: usize,
}

impl SourceName {
    /// Keeps `name`.
    ///
    /// # Errors
    /// [`SourceNameError`] if it has more than 64 bytes; nothing is ever cut off, two cameras must not become one.
    pub fn new(name: &str) -> Result<Self, SourceNameError> {
        let source = name.as_bytes();
        let mut bytes = [0; MAX_SOURCE_BYTES];
        bytes.get_mut(..source.len()).ok_or(SourceNameError { len: source.len() })?.copy_from_slice(source);
        Ok(Self { len: source.len() as u8, bytes })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    pub(crate) fn to_words(self) -> [u64; 9] {
        let mut words = [0; 9];
        words[0] = u64::from(self.len);
        for (word, chunk) in words[1..].iter_mut().zip(self.bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        }
        words
    }

    /// `None` when the words are no name: they come from a page that another process writes.
    pub(crate) fn from_words(words: &[u64; 9]) -> Option<Self> {
        let len = u8::try_from(words[0]).ok().filter(|len| usize::from(*len) <= MAX_SOURCE_BYTES)?;
        let mut bytes = [0; MAX_SOURCE_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(&words[1..]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        std::str::from_utf8(&bytes[..usize::from(len)]).ok()?;
        Some(Self { len, bytes })
    }
}

impl Default for SourceName {
    fn default() -> Self {
        Self { len: 0, bytes: [0; MAX_SOURCE_BYTES] }
    }
}

impl fmt::Debug for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<&str> for SourceName {
    type Error = SourceNameError;
    fn try_from(name: &str) -> Result<Self, SourceNameError> {
        Self::new(name)
    }
}

/// How a picture lies in the one that the camera sent: x in the source = x in the picture * `scale_x` + `offset_x`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Width of the picture in px.
    pub width: u32,
    /// Height in px.
    pub height: u32,
    /// Width in px of the picture that the camera sent.
    pub source_width: u32,
    /// Height of that in px.
    pub source_height: u32,
    /// Source px per picture px.
    pub scale_x: f32,
    /// See `scale_x`.
    pub scale_y: f32,
    /// In source px.
    pub offset_x: f32,
    /// See `offset_x`.
    pub offset_y: f32,
}

impl View {
    /// The picture is the camera's own.
    #[must_use]
    pub fn whole(width: u32, height: u32) -> Self {
        Self { width, height, source_width: width, source_height: height, scale_x: 1.0, scale_y: 1.0, offset_x: 0.0, offset_y: 0.0 }
    }

    pub(crate) fn to_words(self) -> [u64; 4] {
        let two = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let floats = |low: f32, high: f32| two(low.to_bits(), high.to_bits());
        let sizes = [two(self.width, self.height), two(self.source_width, self.source_height)];
        [sizes[0], sizes[1], floats(self.scale_x, self.scale_y), floats(self.offset_x, self.offset_y)]
    }

    pub(crate) fn from_words([size, source, scale, offset]: [u64; 4]) -> Self {
        let two = |word: u64| (word as u32, (word >> 32) as u32);
        let floats = |word: u64| (f32::from_bits(word as u32), f32::from_bits((word >> 32) as u32));
        let ((width, height), (source_width, source_height)) = (two(size), two(source));
        let ((scale_x, scale_y), (offset_x, offset_y)) = (floats(scale), floats(offset));
        Self { width, height, source_width, source_height, scale_x, scale_y, offset_x, offset_y }
    }
}

impl Default for View {
    fn default() -> Self {
        Self::whole(0, 0)
    }
}

/// What a message about a frame says in columns of its own; kept beside the pixels too, so that a lost message can be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FrameMeta {
    /// Camera id.
    pub source: SourceName,
    /// Frame number in that source, from 0.
    pub frame: u64,
    /// Media time in ns.
    pub pts_ns: i64,
    /// Wall clock at capture, ns since the Unix epoch.
    pub captured_ns: i64,
    /// Its size and place.
    pub view: View,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_name_survives_the_shared_page_and_is_never_cut() {
        let name = SourceName::new("north_gate_länge").unwrap();
        assert_eq!(SourceName::from_words(&name.to_words()), Some(name));
        assert_eq!(name.as_str(), "north_gate_länge");
        assert_eq!(SourceName::new(&"x".repeat(64)).unwrap().as_str().len(), 64);
        assert_eq!(SourceName::new(&"x".repeat(65)), Err(SourceNameError { len: 65 }));
        let mut scribbled = name.to_words();
        scribbled[0] = 65;
        assert_eq!(SourceName::from_words(&scribbled), None);
        scribbled = name.to_words();
        scribbled[1] = u64::MAX;
        assert_eq!(SourceName::from_words(&scribbled), None);
    }

    #[test]
    fn a_view_survives_the_shared_page() {
        let view = View {
            width: 1,
            height: u32::MAX,
            source_width: 1920,
            source_height: 1080,
            scale_x: 2.0,
            scale_y: f32::MIN_POSITIVE,
            offset_x: -0.0,
            offset_y: -4.0,
        };
        let back = View::from_words(view.to_words());
        assert_eq!(back, view);
        assert!(back.offset_x.is_sign_negative());
    }
}

//! Frames: a big-endian length and that many bytes, one after the other to the end of the file.

/// Bytes of a frame's length prefix.
pub const PREFIX_BYTES: usize = 4;

/// The body of one frame and where it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Offset of the body's first byte in the file.
    pub offset: u64,
    /// The body.
    pub body: &'a [u8],
}

/// How a file ends. Offsets are the ones that LMCache's reader prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At the end of a frame.
    Clean,
    /// Inside a length prefix that starts at `offset`.
    InPrefix {
        /// Offset of the prefix.
        offset: u64,
        /// Bytes of it that are there.
        have_bytes: u64,
    },
    /// Inside a body that starts at `offset`.
    InBody {
        /// Offset of the body.
        offset: u64,
        /// Bytes of it that are there.
        have_bytes: u64,
        /// Bytes that its prefix promises.
        want_bytes: u64,
    },
}

impl Ending {
    /// Whether the file ends inside a frame.
    pub fn is_truncated(&self) -> bool {
        *self != Self::Clean
    }

    /// Where the frame that is cut short begins, prefix included: everything before it was read.
    pub fn cut_offset(&self) -> Option<u64> {
        match *self {
            Self::Clean => None,
            Self::InPrefix { offset, .. } => Some(offset),
            Self::InBody { offset, .. } => Some(offset - PREFIX_BYTES as u64),
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Clean => f.write_str("complete"),
            Self::InPrefix { offset, have_bytes } => {
                write!(
                    f,
                    "cut short in a frame's length at offset {offset} ({have_bytes} of 4 bytes are there)"
                )
            }
            Self::InBody { offset, have_bytes, want_bytes } => {
                write!(
                    f,
                    "cut short in a frame at offset {offset} ({have_bytes} of {want_bytes} bytes are there)"
                )
            }
        }
    }
}

/// Walks the frames of `bytes`.
#[derive(Clone, Debug)]
pub struct FrameCursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> FrameCursor<'a> {
    /// A cursor at `position` of a file's bytes, which must be the start of a frame.
    pub fn new(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position: position.min(bytes.len()) }
    }

    /// Where the next frame starts.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The next frame, or how the file ends.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Frame<'a>, Ending> {
        let rest = &self.bytes[self.position..];
        let Some(prefix) = rest.first_chunk::<PREFIX_BYTES>() else {
            return Err(match rest.len() {
                0 => Ending::Clean,
                have => Ending::InPrefix { offset: self.position as u64, have_bytes: have as u64 },
            });
        };
        let (body, want_bytes) = (&rest[PREFIX_BYTES..], u32::from_be_bytes(*prefix) as usize);
        let offset = (self.position + PREFIX_BYTES) as u64;
        let Some(body) = body.get(..want_bytes) else {
            let have_bytes = body.len() as u64;
            return Err(Ending::InBody { offset, have_bytes, want_bytes: want_bytes as u64 });
        };
        self.position += PREFIX_BYTES + want_bytes;
        Ok(Frame { offset, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_one_by_one_and_the_end_says_how() {
        let bytes = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 3, 9];
        let mut frames = FrameCursor::new(&bytes, 0);
        assert_eq!(frames.next_frame(), Ok(Frame { offset: 4, body: &[7, 8] }));
        assert_eq!(frames.next_frame(), Ok(Frame { offset: 10, body: &[] }));
        let ending = Ending::InBody { offset: 14, have_bytes: 1, want_bytes: 3 };
        assert_eq!(frames.next_frame(), Err(ending));
        assert_eq!(ending.cut_offset(), Some(10));
        assert_eq!(FrameCursor::new(&bytes[..12], 10).next_frame().unwrap_err().cut_offset(), Some(10));
        assert_eq!(FrameCursor::new(&bytes[..10], 10).next_frame(), Err(Ending::Clean));
    }
}

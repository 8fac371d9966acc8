//! Kinds of chunks and records, by the numbers that stand in the file.

use crate::format::model::Op;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ChunkKind {
    /// Records of calls, and what they refer to.
    Records = 1,
    /// Sections of the key table of a compact file.
    Keys = 2,
}

impl ChunkKind {
    /// The kind of a number in a file, if this build knows it.
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Records, Self::Keys].into_iter().find(|kind| *kind as u32 == number)
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// One of the six storage calls.
    Call(Op),
    /// What became of a call.
    Completion,
    /// A call that the host defined: a name and bytes.
    HostCall,
    /// A record of LMCache whose arguments have another shape than 0.5.6 writes.
    ForeignCall,
    /// Bytes of an LMCache file that are no record.
    ForeignBytes,
    /// Defines a thread.
    Thread,
    /// Defines a key scope.
    Scope,
    /// Defines a layout.
    Layout,
    /// Defines a name.
    Name,
    /// Bytes that rows refer to.
    Bytes,
    /// Keys of the key table.
    KeySection,
    /// Calls that are not in the file.
    Loss,
}

impl RecordKind {
    /// The kind of a number in a file, if this build knows it.
    #[inline]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Call(Op::FinishRead),
            2 => Self::Call(Op::FinishWrite),
            3 => Self::Call(Op::ReadEnter),
            4 => Self::Call(Op::ReadExit),
            5 => Self::Call(Op::ReserveWrite),
            6 => Self::Call(Op::SubmitPrefetch),
            16 => Self::Completion,
            17 => Self::HostCall,
            18 => Self::ForeignCall,
            19 => Self::ForeignBytes,
            32 => Self::Thread,
            33 => Self::Scope,
            34 => Self::Layout,
            35 => Self::Name,
            36 => Self::Bytes,
            40 => Self::KeySection,
            48 => Self::Loss,
            _ => return None,
        })
    }

    /// The number in the file.
    #[inline]
    pub const fn number(self) -> u8 {
        match self {
            Self::Call(op) => op as u8 + 1,
            Self::Completion => 16,
            Self::HostCall => 17,
            Self::ForeignCall => 18,
            Self::ForeignBytes => 19,
            Self::Thread => 32,
            Self::Scope => 33,
            Self::Layout => 34,
            Self::Name => 35,
            Self::Bytes => 36,
            Self::KeySection => 40,
            Self::Loss => 48,
        }
    }

    /// Whether it is a call: what LMCache would have made a record of.
    #[inline]
    pub const fn is_call(self) -> bool {
        matches!(self, Self::Call(_) | Self::HostCall | Self::ForeignCall)
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It did all that it was asked for.
    Done = 1,
    /// It did some of it.
    Partly = 2,
    /// It did none of it.
    Failed = 3,
    /// It returned an error, or raised.
    Raised = 4,
}

impl Outcome {
    /// The outcome of a number in a file, if this build knows it.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Done, Self::Partly, Self::Failed, Self::Raised]
            .into_iter()
            .find(|outcome| *outcome as u8 == number)
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partly => "partly",
            Self::Failed => "failed",
            Self::Raised => "raised",
        }
    }
}

/// Why calls are not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum LossReason {
    /// The thread's ring was full.
    RingFull = 1,
    /// The call was too large for the ring.
    TooLarge = 2,
    /// The file could not be written.
    NotWritten = 3,
}

impl LossReason {
    /// The reason of a number in a file, if this build knows it.
    pub fn from_number(number: u16) -> Option<Self> {
        [Self::RingFull, Self::TooLarge, Self::NotWritten].into_iter().find(|reason| *reason as u16 == number)
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::RingFull => "the thread's ring was full",
            Self::TooLarge => "a call was too large for the ring",
            Self::NotWritten => "the file could not be written",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_are_never_reused() {
        let known: Vec<_> = (0..=u8::MAX).filter_map(RecordKind::from_number).collect();
        assert_eq!(known.len(), Op::COUNT + 11);
        for kind in known {
            assert_eq!(RecordKind::from_number(kind.number()), Some(kind));
        }
        // These are in files; whoever changes the order of `Op` must not change them.
        assert_eq!(RecordKind::Call(Op::FinishRead).number(), 1);
        assert_eq!(RecordKind::Call(Op::SubmitPrefetch).number(), 6);
        assert_eq!(Outcome::from_number(3), Some(Outcome::Failed));
        assert_eq!(LossReason::from_number(4), None);
        assert_eq!(ChunkKind::from_number(3), None);
    }
}

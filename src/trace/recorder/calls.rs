//! What a host says of a call beside its keys, and the name that it gets.

use crate::format::model::Op;
use crate::format::native::kind::{Outcome, RecordKind};

/// Names a recorded call, so that what became of it can be recorded too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId {
    pub(super) thread: u32,
    pub(super) sequence: u32,
    pub(super) op: u8,
}

impl CallId {
    /// Thread and sequence in one word, for whoever keeps it between the beginning of a call and its end.
    pub fn to_bits(self) -> u64 {
        u64::from(self.thread) << 32 | u64::from(self.sequence)
    }

    /// The number of its kind in a file, for whoever keeps it beside the word.
    pub fn kind_number(self) -> u8 {
        self.op
    }

    /// The call with these numbers; nothing if the second is that of no call.
    pub fn from_numbers(bits: u64, kind_number: u8) -> Option<Self> {
        let kind = RecordKind::from_number(kind_number)?;
        let call = Self { thread: (bits >> 32) as u32, sequence: bits as u32, op: kind_number };
        matches!(kind, RecordKind::Call(_) | RecordKind::HostCall).then_some(call)
    }

    /// The call of `op` with the word that [`Self::to_bits`] gave.
    pub fn from_bits(bits: u64, op: Op) -> Self {
        let kind = RecordKind::Call(op);
        Self { thread: (bits >> 32) as u32, sequence: bits as u32, op: kind.number() }
    }
}

/// A call that needs nothing beside its keys, or next to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashedCall {
    /// `finish_write`.
    FinishWrite,
    /// The enter of `read_prefetched_results`.
    ReadEnter,
    /// Its exit.
    ReadExit,
    /// `finish_read_prefetched`.
    FinishRead {
        /// Locks on each key.
        read_locks: u16,
    },
}

impl HashedCall {
    #[inline(always)]
    pub(super) fn op_and_value(self) -> (Op, u16) {
        match self {
            Self::FinishWrite => (Op::FinishWrite, 0),
            Self::ReadEnter => (Op::ReadEnter, 0),
            Self::ReadExit => (Op::ReadExit, 0),
            Self::FinishRead { read_locks } => (Op::FinishRead, read_locks),
        }
    }
}

/// What became of a call. Times are those of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// How the call ended.
    pub outcome: Outcome,
    /// How long it took.
    pub duration_ns: u64,
    /// From the call to the moment its data was there, if that is known.
    pub data_ready_ns: Option<u64>,
    /// Keys that were asked for.
    pub requested_keys: u32,
    /// Keys that were reserved, found, read or released.
    pub hit_keys: u32,
    /// Bytes of their objects.
    pub bytes: u64,
}

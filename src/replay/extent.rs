//! How much there is to replay, and what is known to be missing.

use crate::clock::NS_PER_S;
use crate::format::lct::Ending;
use crate::replay::schedule::Schedule;
use crate::trace::{Entry, TraceReader};

/// What only a native file can say of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NativeExtent {
    /// Calls that the recorder could not keep.
    pub lost_calls: u64,
    /// Chunks that cannot be read.
    pub damaged_chunks: u64,
    /// The calls in them, as their slots have it.
    pub damaged_calls: u64,
    /// Bytes where chunks should be and are not.
    pub gap_bytes: u64,
    /// Whether the recorder closed the file.
    pub is_closed: bool,
    /// Whether the file is a conversion of one that was cut short.
    pub is_cut_import: bool,
}

impl NativeExtent {
    pub(super) fn is_complete(&self) -> bool {
        self.lost_calls == 0
            && self.damaged_chunks == 0
            && self.gap_bytes == 0
            && self.is_closed
            && !self.is_cut_import
    }
}

/// How much there is to replay, found by walking the file once without decoding arguments.
#[derive(Clone, Copy, Debug)]
pub struct TraceExtent {
    /// Records in the file.
    pub records: u64,
    /// Frames that are no records.
    pub undecodable_frames: u64,
    /// How the file ends.
    pub ending: Ending,
    /// The latest time that a replay waits for, in seconds from the start.
    pub duration_s: f64,
    /// What only a native file can say of itself.
    pub native: Option<NativeExtent>,
}

impl TraceExtent {
    /// Walks `reader` to its end.
    pub fn of(reader: &TraceReader) -> Self {
        let mut entries = reader.records();
        let mut schedule = Schedule::default();
        let (mut records, mut latest_ns) = (0, 0);
        for entry in &mut entries {
            if let Entry::Record(record) = entry {
                records += 1;
                latest_ns = schedule.due_ns(record.t_mono_s).unwrap_or(latest_ns);
            }
        }
        Self {
            records,
            undecodable_frames: entries.skipped(),
            ending: entries.ending().unwrap_or(Ending::Clean),
            duration_s: latest_ns as f64 / NS_PER_S as f64,
            native: None,
        }
    }

    /// Whether every byte of the file was a record, and no call is known to be missing.
    pub fn is_complete(&self) -> bool {
        self.undecodable_frames == 0
            && !self.ending.is_truncated()
            && self.native.is_none_or(|native| native.is_complete())
    }
}

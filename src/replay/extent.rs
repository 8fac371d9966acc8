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
    /// What two files lack together.
    fn with(self, other: Self) -> Self {
        Self {
            lost_calls: self.lost_calls.saturating_add(other.lost_calls),
            damaged_chunks: self.damaged_chunks.saturating_add(other.damaged_chunks),
            damaged_calls: self.damaged_calls.saturating_add(other.damaged_calls),
            gap_bytes: self.gap_bytes.saturating_add(other.gap_bytes),
            is_closed: self.is_closed && other.is_closed,
            is_cut_import: self.is_cut_import || other.is_cut_import,
        }
    }

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

    /// Several traces on one clock, each of which begins so many seconds after the start. Where it is cut short is that of the
    /// first that is.
    pub fn of_all(traces: impl IntoIterator<Item = (Self, f64)>) -> Self {
        let nothing =
            Self { records: 0, undecodable_frames: 0, ending: Ending::Clean, duration_s: 0.0, native: None };
        traces.into_iter().fold(nothing, |all, (one, begins_s)| Self {
            records: all.records.saturating_add(one.records),
            undecodable_frames: all.undecodable_frames.saturating_add(one.undecodable_frames),
            ending: if all.ending.is_truncated() { all.ending } else { one.ending },
            duration_s: all.duration_s.max(begins_s + one.duration_s),
            native: match (all.native, one.native) {
                (Some(all), Some(one)) => Some(all.with(one)),
                (all, one) => all.or(one),
            },
        })
    }

    /// Whether every byte of the file was a record, and no call is known to be missing.
    pub fn is_complete(&self) -> bool {
        self.undecodable_frames == 0
            && !self.ending.is_truncated()
            && self.native.is_none_or(|native| native.is_complete())
    }
}

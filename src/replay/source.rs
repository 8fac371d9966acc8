//! Where records come from: decoded, in the order of the file.

use crate::format::model::StorageCall;
use crate::sync::Arc;

/// A record on its way into a replay.
#[derive(Clone, Debug)]
pub struct TimedRecord {
    /// How many records come before it in the trace.
    pub seq: u64,
    /// Seconds from the start of the recording. Comes from a file: may be anything that a double can be.
    pub t_mono_s: f64,
    /// What was recorded.
    pub body: RecordBody,
}

/// What a record asks for.
#[derive(Clone, Debug)]
pub enum RecordBody {
    /// A call to dispatch.
    Call(StorageCall),
    /// Nothing that can be dispatched.
    Skipped {
        /// The qualified name in the record.
        qualname: Arc<str>,
        /// Why: its arguments do not decode, or nobody knows the name.
        reason: Arc<str>,
    },
}

/// Yields the records of a trace. Called on the decoder thread; may be as slow as the trace's own pace.
pub trait CallSource {
    /// The next record, or nothing after the last.
    fn next_record(&mut self) -> Option<TimedRecord>;
}

impl<I: Iterator<Item = TimedRecord>> CallSource for I {
    fn next_record(&mut self) -> Option<TimedRecord> {
        self.next()
    }
}

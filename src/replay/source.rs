//! Where records come from: decoded, in the order of the file.
//!
//! A replay takes any iterator of [`TimedRecord`]; [`TraceSource`] is the one that reads a file, LMCache's here, ours
//! in `native_source`.

use crate::clock::NS_PER_S;
use crate::error::Result;
use crate::format::lct::prefetch::is_current_spec;
use crate::format::lct::{Ending, Value, decode_call};
use crate::format::model::key::KeyInterner;
use crate::format::model::{Op, StorageCall};
use crate::format::native::KeyTable;
use crate::replay::native_source::{NativeExtent, NativeSource};
use crate::replay::schedule::Schedule;
use crate::storage::prefetch::validate_spec;
use crate::sync::Arc;
use crate::trace::{Entry, NativeTrace, Record, Records, Trace, TraceReader};

/// How much of a name that is no call's is kept: names queue up for whoever prints them.
pub const MAX_NAME_CHARS: usize = 256;

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
        /// The qualified name in the record, or its first [`MAX_NAME_CHARS`] characters.
        qualname: Arc<str>,
        /// Why: its arguments do not decode, LMCache refuses to build them, or nobody knows the name.
        reason: Arc<str>,
    },
}

/// The records of an open trace file, decoded as they are asked for.
#[derive(Debug)]
pub struct TraceSource<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Lct(LctSource<'a>),
    Native(Box<NativeSource<'a>>),
}

impl<'a> TraceSource<'a> {
    /// All records of an LMCache file, from the first.
    pub fn new(reader: &'a TraceReader) -> Self {
        Self(Source::Lct(LctSource { entries: reader.records(), interner: KeyInterner::default() }))
    }

    /// All calls of a native file, from the first. `keys` is its [`NativeTrace::key_table`].
    pub fn native(trace: &'a NativeTrace, keys: Option<&'a KeyTable<'a>>) -> Self {
        Self(Source::Native(Box::new(NativeSource::new(trace, keys))))
    }

    /// All records of either kind of file. `keys` is [`Trace::key_table`].
    pub fn of(trace: &'a Trace, keys: Option<&'a KeyTable<'a>>) -> Self {
        match trace {
            Trace::Lct(reader) => Self::new(reader),
            Trace::Native(trace) => Self::native(trace, keys),
        }
    }
}

impl Iterator for TraceSource<'_> {
    type Item = TimedRecord;

    /// What is no record is stepped over, as by LMCache's reader, and so are damaged chunks; [`TraceExtent`] counts
    /// both.
    fn next(&mut self) -> Option<TimedRecord> {
        match &mut self.0 {
            Source::Lct(source) => source.next(),
            Source::Native(source) => source.next(),
        }
    }
}

#[derive(Debug)]
struct LctSource<'a> {
    entries: Records<'a>,
    interner: KeyInterner,
}

impl LctSource<'_> {
    fn next(&mut self) -> Option<TimedRecord> {
        loop {
            if let Entry::Record(record) = self.entries.next()? {
                let body = decode(&record, &mut self.interner);
                return Some(TimedRecord { seq: record.seq, t_mono_s: record.t_mono_s, body });
            }
        }
    }
}

pub(super) fn decode(record: &Record<'_>, interner: &mut KeyInterner) -> RecordBody {
    let skipped = |reason: String| RecordBody::skipped(record.qualname, reason);
    match Op::from_qualname(record.qualname) {
        None => skipped("nobody knows a call of this name".to_owned()),
        Some(op) => match decode_call(op, &record.args, interner) {
            Ok(call) => match check(&call, &record.args) {
                Ok(()) => RecordBody::Call(call),
                Err(error) => skipped(format!("LMCache refuses to build its spec: {error}")),
            },
            Err(error) => skipped(format!("its arguments do not decode: {error}")),
        },
    }
}

/// What the constructors of LMCache 0.5.6 check while its replay decodes a record. Specs of earlier releases were
/// built by other rules.
fn check(call: &StorageCall, args: &Value<'_>) -> Result<()> {
    match call {
        StorageCall::SubmitPrefetch { spec, .. } if is_current_spec(args) => validate_spec(spec),
        _ => Ok(()),
    }
}

impl RecordBody {
    pub(super) fn skipped(qualname: &str, reason: impl Into<Arc<str>>) -> Self {
        Self::Skipped { qualname: Arc::from(beginning(qualname)), reason: reason.into() }
    }
}

fn beginning(name: &str) -> &str {
    name.char_indices().nth(MAX_NAME_CHARS).map_or(name, |(end, _)| &name[..end])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_to_the_limit_and_cut_past_it() {
        let at_limit = "\u{e9}".repeat(MAX_NAME_CHARS);
        assert_eq!(beginning(&at_limit), at_limit);
        assert_eq!(beginning(&(at_limit.clone() + "x")), at_limit);
    }
}

//! A record on its way into a replay.

use crate::error::Result;
use crate::format::lct::prefetch::is_current_spec;
use crate::format::lct::{Value, decode_call};
use crate::format::model::KeyInterner;
use crate::format::model::{Op, StorageCall};
use crate::storage::prefetch::validate_spec;
use crate::sync::Arc;
use crate::trace::Record;

/// How much of a name that is no call's is kept: names queue up for whoever prints them.
pub const MAX_NAME_CHARS: usize = 256;

/// A record on its way into a replay. The default is a place for one.
#[derive(Clone, Debug, Default)]
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

impl Default for RecordBody {
    fn default() -> Self {
        Self::Call(StorageCall::FinishWrite { keys: Vec::new() })
    }
}

impl RecordBody {
    /// Gives the lists of a call that is done with to those that come.
    pub(super) fn give_back(&mut self, keys: &mut KeyInterner) {
        if let Self::Call(call) = self {
            keys.take_back(call);
        }
    }

    pub(super) fn skipped(qualname: &str, reason: impl Into<Arc<str>>) -> Self {
        Self::Skipped { qualname: Arc::from(beginning(qualname)), reason: reason.into() }
    }
}

fn beginning(name: &str) -> &str {
    name.char_indices().nth(MAX_NAME_CHARS).map_or(name, |(end, _)| &name[..end])
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

//! A walk over a file of either kind.

use super::sink::{Progress, Sink};
use super::{Conversion, lmcache_source, native_source};
use crate::error::Result;
use crate::trace::Trace;

/// Hands all records of `file` to `sink` and counts them.
pub(super) fn walk(file: &Trace, sink: &mut impl Sink, progress: &mut Progress<'_>) -> Result<Conversion> {
    match file {
        Trace::Lct(reader) => lmcache_source::walk(reader, sink, progress),
        Trace::Native(trace) => native_source::walk(trace, sink, progress),
    }
}

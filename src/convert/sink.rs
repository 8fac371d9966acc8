//! What a walk over a file of either kind hands out, and to whom.

use std::ops::Range;

use crate::error::Result;
use crate::format::model::KeyView;
use crate::format::model::view::{CallView, RowView};
use crate::format::native::pod::CompletionBody;
use crate::format::native::schema::ThreadFacts;
use crate::format::native::{LossReason, Stamp};

/// Told every now and then how many bytes of the input are done. An error from it ends the conversion.
pub type Progress<'a> = dyn FnMut(u64) -> Result<()> + 'a;

/// Bytes of input between two reports of progress.
pub(super) const PROGRESS_BYTES: u64 = 1 << 20;

/// Takes the records of a file, in the order of the file. What a sink has no use for it leaves alone.
pub(super) trait Sink {
    /// A thread that calls after this may name.
    fn thread(&mut self, _number: u32, _facts: &ThreadFacts) {}

    /// One of the six storage calls.
    fn call<'a, K, R>(&mut self, _stamp: &Stamp, _call: CallView<'a, K, R>) -> Result<()>
    where
        K: ExactSizeIterator<Item = KeyView<'a>> + Clone,
        R: ExactSizeIterator<Item = RowView<'a, K>> + Clone,
    {
        Ok(())
    }

    /// A call that the host defined.
    fn host_call(&mut self, _stamp: &Stamp, _name: &str, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }

    /// A record of LMCache that is kept as the body of its frame.
    fn foreign_call(&mut self, _stamp: &Stamp, _qualname: &str, _frame: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Bytes of an LMCache file that are no record.
    fn foreign_bytes(&mut self, _t_ns: u64, _is_cut: bool, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }

    /// What became of a call.
    fn completion(&mut self, _stamp: &Stamp, _body: &CompletionBody) -> Result<()> {
        Ok(())
    }

    /// Calls that are not in the file; the stamp has the sequence number of the first.
    fn loss(&mut self, _stamp: &Stamp, _loss: &Loss) -> Result<()> {
        Ok(())
    }
}

/// Calls that are not in a file.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    pub(super) reason: LossReason,
    pub(super) count: u64,
    pub(super) when_ns: Range<u64>,
}

/// A sink for whoever only wants the report.
pub(super) struct Nowhere;

impl Sink for Nowhere {}

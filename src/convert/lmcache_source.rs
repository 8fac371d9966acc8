//! Walks an LMCache file: what can be a call without losing a byte becomes one, everything else stays as it is.

use super::Conversion;
use super::facts::Clocks;
use super::sink::{PROGRESS_BYTES, Progress, Sink};
use crate::error::Result;
use crate::format::lct::{FrameCursor, WireRecord, decode_call, is_canonical};
use crate::format::model::KeyInterner;
use crate::format::model::{Op, StorageCall, WriteMode};
use crate::format::native::Stamp;
use crate::format::native::pod::FLAG_LATE;
use crate::trace::TraceReader;

/// An end that was cut off is kept in pieces of at most this length: it may be longer than any chunk, and what does not
/// fit into the rest of one leaves that rest empty.
const MAX_CUT_PIECE_BYTES: usize = 1 << 16;

/// A prefetch with more rows stays as it is: a chunk numbers no more layouts.
const MAX_TYPED_ROWS: usize = 1 << 16;

/// Hands all frames behind the header to `sink`.
pub(super) fn walk(
    reader: &TraceReader,
    sink: &mut impl Sink,
    progress: &mut Progress<'_>,
) -> Result<Conversion> {
    let mut frames = FrameCursor::new(reader.bytes(), reader.first_record_offset());
    let mut walk = Walk::new(reader, sink);
    let mut next_progress = PROGRESS_BYTES;
    while let Ok(frame) = frames.next_frame() {
        walk.frame(frame.body)?;
        let done_bytes = frames.position() as u64;
        if done_bytes >= next_progress {
            progress(done_bytes)?;
            next_progress = done_bytes + PROGRESS_BYTES;
        }
    }
    walk.cut(&reader.bytes()[frames.position()..])?;
    Ok(walk.report)
}

struct Walk<'s, S> {
    sink: &'s mut S,
    clocks: Clocks,
    interner: KeyInterner,
    scratch: Vec<u8>,
    latest_ns: u64,
    report: Conversion,
}

impl<'s, S: Sink> Walk<'s, S> {
    fn new(reader: &TraceReader, sink: &'s mut S) -> Self {
        Self {
            sink,
            clocks: Clocks::of_header(reader.header()),
            interner: KeyInterner::default(),
            scratch: Vec::new(),
            latest_ns: 0,
            report: Conversion::default(),
        }
    }

    fn frame(&mut self, body: &[u8]) -> Result<()> {
        let Ok(record) = WireRecord::decode(body) else {
            self.report.undecodable += 1;
            return self.sink.foreign_bytes(self.latest_ns, false, body);
        };
        if let Some((stamp, call)) = self.typed(body, &record) {
            let stamp = self.in_order(stamp);
            self.report.calls += 1;
            return self.sink.call(&stamp, call.view());
        }
        let t_ns = self.clocks.nearest_ns(record.t_mono_s).unwrap_or(self.latest_ns);
        let stamp = self.in_order(Stamp { t_ns, ..Stamp::default() });
        self.report.foreign_calls += 1;
        self.sink.foreign_call(&stamp, record.qualname, body)
    }

    /// The call that says all that `body` says.
    fn typed(&mut self, body: &[u8], record: &WireRecord<'_>) -> Option<(Stamp, StorageCall)> {
        let op = Op::from_qualname(record.qualname)?;
        let stamp = self.clocks.exact_stamp(record)?;
        let call = decode_call(op, &record.args, &mut self.interner).ok()?;
        let is_whole = has_native_form(&call) && is_canonical(body, record, &call, &mut self.scratch);
        is_whole.then_some((stamp, call))
    }

    /// Marks what LMCache's threads published after later records.
    fn in_order(&mut self, stamp: Stamp) -> Stamp {
        if stamp.t_ns < self.latest_ns {
            return Stamp { flags: FLAG_LATE, ..stamp };
        }
        self.latest_ns = stamp.t_ns;
        stamp
    }

    fn cut(&mut self, rest: &[u8]) -> Result<()> {
        self.report.cut_bytes += rest.len() as u64;
        rest.chunks(MAX_CUT_PIECE_BYTES)
            .try_for_each(|piece| self.sink.foreign_bytes(self.latest_ns, true, piece))
    }
}

/// Whether a native record can say the same: it has no room for the modes that LMCache gave up.
fn has_native_form(call: &StorageCall) -> bool {
    match call {
        StorageCall::ReserveWrite { mode, .. } => *mode == WriteMode::New,
        StorageCall::SubmitPrefetch { spec, .. } => spec.key_groups.len() <= MAX_TYPED_ROWS,
        _ => true,
    }
}

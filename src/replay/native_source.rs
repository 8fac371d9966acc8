//! The calls of a native file, decoded chunk by chunk.
//!
//! What becomes a record is what LMCache would have made one of: storage calls, calls of an imported file in another
//! shape, and calls of the host, which nobody but the host can make again. Completions, losses and definitions are none.

use crate::error::Result;
use crate::format::lct::{Ending, WireRecord};
use crate::format::model::KeyInterner;
use crate::format::model::StorageCall;
use crate::format::native::{
    Body, CallView, Chunk, ChunkScopes, Header, KeyMaker, KeyTable, RecordKind, RecordView,
};
use crate::replay::extent::{NativeExtent, TraceExtent};
use crate::replay::latency::RecordedOutcomes;
use crate::replay::schedule::Schedule;
use crate::replay::source::Step;
use crate::replay::timed::{RecordBody, TimedRecord, decode};
use crate::storage::prefetch::validate_spec;
use crate::sync::Arc;
use crate::trace::native::{ChunkPlace, DamagedChunk, NativeEnding};
use crate::trace::{NativeTrace, Record};

/// The calls of a native file, from the first; damaged chunks are stepped over.
#[derive(Debug)]
pub(super) struct NativeSource<'a> {
    trace: &'a NativeTrace,
    keys: Option<&'a KeyTable<'a>>,
    places: std::vec::IntoIter<&'a ChunkPlace>,
    open: Option<OpenChunk<'a>>,
    /// Who is told of completions.
    recorded: Option<Arc<RecordedOutcomes>>,
}

/// The chunk whose calls are being read.
#[derive(Debug)]
struct OpenChunk<'a> {
    chunk: Chunk<'a>,
    scopes: ChunkScopes,
    /// Where its next record starts.
    position: usize,
    /// Number of its next call.
    next_seq: u64,
}

impl<'a> NativeSource<'a> {
    pub(super) fn new(trace: &'a NativeTrace, keys: Option<&'a KeyTable<'a>>) -> Self {
        let places: Vec<_> = trace.record_chunks().collect();
        Self { trace, keys, places: places.into_iter(), open: None, recorded: None }
    }

    /// Tells `recorded` of completions on the way.
    pub(super) fn tell(&mut self, recorded: Arc<RecordedOutcomes>) {
        self.recorded = Some(recorded);
    }

    /// Whether nearly all calls are ours; an imported file may have calls of other releases, which stand in it as LMCache wrote them. A
    /// file that was not closed was not imported.
    pub(super) fn is_read_in_place(&self) -> bool {
        self.trace.index().is_none_or(|index| {
            let others = index.names.iter().fold(0_u64, |sum, (_, calls)| sum.saturating_add(*calls));
            others <= index.calls / 16
        })
    }

    #[inline]
    pub(super) fn step(&mut self, place: &mut TimedRecord, interner: &mut KeyInterner) -> Step {
        loop {
            let Some(open) = &mut self.open else {
                self.open = self.next_chunk();
                if self.open.is_none() {
                    return Step::End;
                }
                continue;
            };
            if open.next_call(place, self.trace.header(), interner, self.recorded.as_deref()) {
                return Step::Record;
            }
            self.open = None;
        }
    }

    fn next_chunk(&mut self) -> Option<OpenChunk<'a>> {
        let (trace, keys) = (self.trace, self.keys);
        let chunk = self.places.find_map(|place| trace.open_chunk(place, keys).ok())?;
        let (next_seq, scopes) = (chunk.header().calls_before, ChunkScopes::default());
        Some(OpenChunk { next_seq, position: 0, scopes, chunk })
    }
}

impl OpenChunk<'_> {
    /// Puts the next call into `place`; false if there is none.
    #[inline]
    fn next_call(
        &mut self,
        place: &mut TimedRecord,
        header: &Header,
        interner: &mut KeyInterner,
        recorded: Option<&RecordedOutcomes>,
    ) -> bool {
        let mut records = self.chunk.records_from(self.position);
        for record in records.by_ref() {
            match record.kind() {
                Some(kind) if kind.is_call() => {
                    self.position = records.position();
                    place.seq = self.next_seq;
                    self.next_seq = self.next_seq.wrapping_add(1);
                    if let (Some(recorded), RecordKind::Call(op)) = (recorded, kind) {
                        let prefix = record.prefix();
                        recorded.call(op, (prefix.thread, prefix.sequence), place.seq);
                    }
                    decode_native(&record, place, header, &mut KeyMaker::new(interner, &mut self.scopes));
                    return true;
                }
                Some(RecordKind::Completion) => tell(recorded, &record),
                _ => {}
            }
        }
        self.position = records.position();
        false
    }
}

fn tell(recorded: Option<&RecordedOutcomes>, record: &RecordView<'_>) {
    if let (Some(recorded), Body::Completion(body)) = (recorded, record.body()) {
        recorded.completion(&body);
    }
}

/// Puts a call into `place`, whose number is there.
#[inline]
fn decode_native(
    record: &RecordView<'_>,
    place: &mut TimedRecord,
    header: &Header,
    keys_by: &mut KeyMaker<'_>,
) {
    match record.call() {
        Some(call) => {
            place.t_mono_s = call.t_mono_s(header);
            decode_typed(&call, &mut place.body, keys_by);
        }
        None => decode_other(record, place, header, keys_by),
    }
}

#[inline]
fn decode_typed(call: &CallView<'_>, body: &mut RecordBody, keys_by: &mut KeyMaker<'_>) {
    if let RecordBody::Skipped { .. } = body {
        *body = RecordBody::default();
    }
    let RecordBody::Call(place) = &mut *body else { return };
    let failed = match call.write_to(place, keys_by) {
        Ok(()) => match check(place) {
            Ok(()) => return,
            Err(error) => format!("LMCache refuses to build its spec: {error}"),
        },
        Err(error) => error.to_string(),
    };
    *body = RecordBody::skipped(&call.op().qualname(), failed);
}

/// What is no storage call of LMCache 0.5.6.
#[inline(never)]
fn decode_other(
    record: &RecordView<'_>,
    place: &mut TimedRecord,
    header: &Header,
    keys_by: &mut KeyMaker<'_>,
) {
    place.t_mono_s = header.t_mono_s(record.prefix().t_ns);
    place.body = match record.body() {
        Body::ForeignCall { qualname, frame } => match WireRecord::decode(frame) {
            Ok(WireRecord { t_mono_s, t_wall_s, qualname, args }) => {
                place.t_mono_s = t_mono_s;
                let (seq, offset) = (place.seq, record.offset());
                let record = Record { seq, offset, t_mono_s, t_wall_s, qualname, args };
                decode(&record, keys_by.interner())
            }
            Err(error) => {
                RecordBody::skipped(qualname, format!("its frame is no record of LMCache: {error}"))
            }
        },
        Body::HostCall { name, .. } => {
            RecordBody::skipped(name, "a call of the host, which only the host can make again")
        }
        _ => RecordBody::skipped("", "no call"),
    };
}

fn check(call: &StorageCall) -> Result<()> {
    match call {
        StorageCall::SubmitPrefetch { spec, .. } => validate_spec(spec),
        _ => Ok(()),
    }
}

impl TraceExtent {
    /// Reads and checks every chunk of `trace`, whose key table is `keys`; `on_damage` is told about those that are
    /// damaged, which a replay leaves out.
    pub fn of_native(
        trace: &NativeTrace,
        keys: Option<&KeyTable<'_>>,
        mut on_damage: impl FnMut(&DamagedChunk),
    ) -> Self {
        let is_closed = trace.ending() == NativeEnding::Closed;
        let mut native = NativeExtent { is_closed, ..NativeExtent::default() };
        native.gap_bytes = trace.gaps().iter().fold(0, |bytes: u64, gap| bytes.saturating_add(gap.bytes));
        let mut walk = Walk { schedule: Schedule::default(), latest_ns: 0, records: 0, undecodable: 0 };
        for place in trace.record_chunks() {
            match trace.open_chunk(place, keys) {
                Ok(chunk) => {
                    native.lost_calls = native.lost_calls.saturating_add(chunk.slot().lost);
                    chunk.records().for_each(|record| walk.add(&record, trace.header(), &mut native));
                }
                Err(error) => {
                    let damaged = DamagedChunk::new(place, &error);
                    on_damage(&damaged);
                    native.damaged_chunks += 1;
                    native.damaged_calls += damaged.calls;
                }
            }
        }
        Self {
            records: walk.records,
            undecodable_frames: walk.undecodable,
            ending: Ending::Clean,
            duration_s: walk.latest_ns as f64 / crate::clock::NS_PER_S as f64,
            native: Some(native),
        }
    }
}

/// What is counted of the records.
struct Walk {
    schedule: Schedule,
    latest_ns: u64,
    records: u64,
    undecodable: u64,
}

impl Walk {
    fn add(&mut self, record: &RecordView<'_>, header: &Header, native: &mut NativeExtent) {
        let t_mono_s = match record.kind() {
            Some(RecordKind::ForeignBytes) => {
                let is_cut = matches!(record.body(), Body::ForeignBytes { is_cut: true, .. });
                native.is_cut_import |= is_cut;
                self.undecodable += u64::from(!is_cut);
                return;
            }
            Some(RecordKind::ForeignCall) => match record.body() {
                Body::ForeignCall { frame, .. } => WireRecord::decode(frame).map(|wire| wire.t_mono_s).ok(),
                _ => None,
            },
            Some(RecordKind::Call(_)) => match record.body() {
                Body::Call(call) => Some(call.t_mono_s(header)),
                _ => None,
            },
            Some(kind) if kind.is_call() => None,
            _ => return,
        };
        self.records += 1;
        let t_mono_s = t_mono_s.unwrap_or_else(|| header.t_mono_s(record.prefix().t_ns));
        self.latest_ns = self.schedule.due_ns(t_mono_s).unwrap_or(self.latest_ns);
    }
}

//! Records of native files, where they lie: nothing is allocated for one, and its hashes are not copied.

use super::damage::Met;
use super::draft::Draft;
use super::lmcache_records::{CallMaker, policy_numbers};
use super::record::{
    LMCACHE_RECORD_COMPLETION, LMCACHE_RECORD_FOREIGN_CALL, LMCACHE_RECORD_HOST_CALL, LMCACHE_RECORD_LOSS,
    lmcache_recorded_layout, lmcache_recorded_scope,
};
use crate::ffi::recorder::producer::lmcache_completion;
use crate::format::lct::WireRecord;
use crate::format::model::Op;
use crate::format::native::chunk::{DefinedLayout, Records};
use crate::format::native::pod::{CompletionBody, LossBody};
use crate::format::native::{Body, CallView, Chunk, ChunkKind, KeyList, KeyTable, RecordKind, RecordView};
use crate::sync::Arc;
use crate::trace::NativeTrace;
use crate::trace::native::DamagedChunk;

/// The records of a native file.
pub(super) struct NativeWalk {
    open: Option<OpenChunk>,
    trace: &'static NativeTrace,
    keys: Option<&'static KeyTable<'static>>,
    /// Which of the chunks is opened next, and which of the gaps is told next.
    next_chunk: usize,
    next_gap: usize,
    calls: CallMaker,
}

/// The chunk whose records are read. Its fields go in this order: what borrows before what is borrowed from.
struct OpenChunk {
    records: Records<'static>,
    /// Number of its next call.
    next_call: u64,
    /// By their numbers in the chunk.
    scopes: Vec<*const lmcache_recorded_scope>,
    layouts: Vec<*const lmcache_recorded_layout>,
    /// Where the chunk's layouts stand in memory, by which a row names one.
    layouts_at: usize,
    _chunk: Arc<Chunk<'static>>,
}

impl OpenChunk {
    fn new(chunk: Chunk<'static>, draft: &mut Draft) -> Self {
        let chunk = Arc::new(chunk);
        // SAFETY: the chunk stays where it is as long as the `Arc` does, which this value holds; what borrows from it is in
        // this value alone and goes before.
        let lent: &'static Chunk<'static> = unsafe { &*Arc::as_ptr(&chunk) };
        let scopes = (0..).map_while(|number| lent.scope(number)).map(|facts| draft.scopes.of_facts(facts));
        let scopes = scopes.collect();
        let layouts = (0..).map_while(|number| lent.layout(number)).map(|defined| {
            let tensors = defined.facts.groups.iter();
            let tensors = tensors.map(|tensor| (tensor.shape.clone().into(), tensor.dtype.clone())).collect();
            draft.layouts.of_tensors(tensors, defined.layout.as_ref().map(|layout| layout.size_bytes()))
        });
        let layouts = layouts.collect();
        let layouts_at = lent.layout(0).map_or(0, |first| std::ptr::from_ref(first).addr());
        Self {
            records: lent.records(),
            next_call: lent.header().calls_before,
            scopes,
            layouts,
            layouts_at,
            _chunk: chunk,
        }
    }

    fn layout(&self, defined: &DefinedLayout) -> *const lmcache_recorded_layout {
        let number = (std::ptr::from_ref(defined).addr() - self.layouts_at) / size_of::<DefinedLayout>();
        self.layouts[number]
    }
}

impl NativeWalk {
    /// # Safety
    /// `trace` and `keys`, which is its key table, stay until this value and the record that it made last are gone.
    pub(super) unsafe fn new(trace: &'static NativeTrace, keys: Option<&'static KeyTable<'static>>) -> Self {
        Self { open: None, trace, keys, next_chunk: 0, next_gap: 0, calls: CallMaker::default() }
    }

    /// Puts the next record into `draft`. False at the end.
    pub(super) fn next(&mut self, draft: &mut Draft, met: &mut Met) -> bool {
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_next(draft, met) {
                    return false;
                }
                continue;
            };
            let Some(record) = open.records.next() else {
                self.open = None;
                continue;
            };
            let number = open.next_call;
            open.next_call = number.wrapping_add(u64::from(record.kind().is_some_and(RecordKind::is_call)));
            if self.fill(draft, met, &record) {
                draft.record.number = number;
                return true;
            }
        }
    }

    /// Opens the next chunk that can be read. False if there is none.
    fn open_next(&mut self, draft: &mut Draft, met: &mut Met) -> bool {
        while let Some(place) = self.trace.chunks().get(self.next_chunk) {
            self.next_chunk += 1;
            self.tell_gaps(met, place.offset);
            let header = place.unverified.header();
            match ChunkKind::from_number(header.kind) {
                Some(ChunkKind::Records) => {}
                Some(ChunkKind::Keys) => continue,
                None => {
                    met.stats.unknown += 1;
                    continue;
                }
            }
            match self.trace.open_chunk(place, self.keys) {
                Ok(chunk) => {
                    met.stats.unknown += chunk.unknown_records();
                    self.open = Some(OpenChunk::new(chunk, draft));
                    return true;
                }
                Err(error) => {
                    let calls = DamagedChunk::new(place, &error).calls;
                    met.chunk(place.offset, header.chunk_bytes.into(), calls, || error.to_string());
                }
            }
        }
        self.tell_gaps(met, u64::MAX);
        false
    }

    /// Tells of the gaps before `offset` that were not told yet.
    fn tell_gaps(&mut self, met: &mut Met, offset: u64) {
        while let Some(gap) = self.trace.gaps().get(self.next_gap).filter(|gap| gap.offset < offset) {
            met.gap(gap.offset, gap.bytes);
            self.next_gap += 1;
        }
    }

    /// Says in `draft` what a record says; false if it says nothing to a host.
    fn fill(&mut self, draft: &mut Draft, met: &mut Met, record: &RecordView<'static>) -> bool {
        let (prefix, header) = (record.prefix(), self.trace.header());
        draft.record.offset = record.offset();
        draft.record.t_ns = prefix.t_ns;
        draft.record.t_mono_s = header.t_mono_s(prefix.t_ns);
        draft.record.t_wall_s = header.t_wall_s(prefix.t_ns, None);
        (draft.record.thread, draft.record.sequence) = (prefix.thread, prefix.sequence);
        draft.record.is_late = u32::from(record.is_late());
        match record.body() {
            Body::Call(call) => {
                draft.record.t_mono_s = call.t_mono_s(header);
                draft.record.t_wall_s = header.t_wall_s(prefix.t_ns, call.wall_ns());
                if let Some(open) = &self.open {
                    fill_call(draft, open, &call);
                }
            }
            Body::Completion(body) => fill_completion(draft, &body),
            Body::Loss(body) => fill_loss(draft, &body, prefix.aux),
            Body::HostCall { name, bytes } => {
                draft.record.kind = LMCACHE_RECORD_HOST_CALL;
                draft.set_name(name);
                draft.set_bytes(bytes);
            }
            Body::ForeignCall { qualname, frame } => self.fill_foreign(draft, qualname, frame),
            Body::ForeignBytes { is_cut, bytes } => {
                match is_cut {
                    true => met.cut(record.offset(), bytes.len() as u64),
                    false => met.frame(record.offset(), bytes.len() as u64, || {
                        "the file that was converted had a frame here that is no record".to_owned()
                    }),
                }
                return false;
            }
            Body::KeySection { .. } | Body::Other => return false,
        }
        true
    }

    fn fill_foreign(&mut self, draft: &mut Draft, qualname: &str, frame: &[u8]) {
        match WireRecord::decode(frame) {
            Ok(wire) => {
                (draft.record.t_mono_s, draft.record.t_wall_s) = (wire.t_mono_s, wire.t_wall_s);
                self.calls.fill(draft, wire.qualname, &wire.args, frame);
            }
            Err(_) => {
                draft.record.kind = LMCACHE_RECORD_FOREIGN_CALL;
                draft.set_name(qualname);
                draft.set_bytes(frame);
            }
        }
    }

    fn stand_at_chunk(&mut self, chunk: usize) {
        let offset = self.trace.chunks().get(chunk).map_or(u64::MAX, |place| place.offset);
        (self.open, self.next_chunk) = (None, chunk);
        self.next_gap = self.trace.gaps().partition_point(|gap| gap.offset < offset);
    }

    /// Goes back to the first record.
    pub(super) fn rewind(&mut self) {
        (self.open, self.next_chunk, self.next_gap) = (None, 0, 0);
    }

    /// Goes to the call with this number, or to the first after it that can be read, by the places of the chunks. False if there is
    /// none.
    pub(super) fn seek_call(&mut self, draft: &mut Draft, met: &mut Met, call: u64) -> bool {
        self.stand_at_chunk(self.trace.seek_call(call));
        self.skip_until(draft, met, |number, _| number >= call)
    }

    /// Goes to the first call that was not made before, by the times of the chunks. False if there is none.
    pub(super) fn seek_time(&mut self, draft: &mut Draft, met: &mut Met, t_mono_s: f64) -> bool {
        let header = self.trace.header();
        // A double of seconds and a count of nanoseconds are not the same moment to the last digit.
        const SLACK_S: f64 = 1e-3;
        let start_ns =
            ((header.t_mono_start_s() + t_mono_s - SLACK_S) * crate::clock::NS_PER_S as f64) as u64;
        self.stand_at_chunk(self.trace.seek_time(start_ns));
        self.skip_until(draft, met, |_, record| {
            let made_s = match record.body() {
                Body::Call(call) => call.t_mono_s(header),
                Body::ForeignCall { frame, .. } => {
                    WireRecord::decode(frame).map_or(f64::NAN, |wire| wire.t_mono_s)
                }
                _ => header.t_mono_s(record.prefix().t_ns),
            };
            made_s >= t_mono_s
        })
    }

    /// Stands before the first call that `is_it`, which is told its number.
    fn skip_until(
        &mut self,
        draft: &mut Draft,
        met: &mut Met,
        is_it: impl Fn(u64, &RecordView<'static>) -> bool,
    ) -> bool {
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_next(draft, met) {
                    return false;
                }
                continue;
            };
            let before = open.records.clone();
            let Some(record) = open.records.next() else {
                self.open = None;
                continue;
            };
            if record.kind().is_some_and(RecordKind::is_call) {
                if is_it(open.next_call, &record) {
                    open.records = before;
                    return true;
                }
                open.next_call = open.next_call.wrapping_add(1);
            }
        }
    }
}

fn add_keys(draft: &mut Draft, keys: KeyList<'static>, scopes: &[*const lmcache_recorded_scope]) {
    let Some(rows) = keys.as_rows() else {
        return draft.add_keys(keys.iter());
    };
    if draft.has_room_for(rows.len()) {
        for (row, key) in rows.iter().zip(keys.iter()) {
            draft.push(key.chunk_hash, scopes[row.scope_number() as usize]);
        }
    }
}

fn fill_call(draft: &mut Draft, open: &OpenChunk, call: &CallView<'static>) {
    draft.set_op(call.op());
    if let Some(layout) = call.layout() {
        draft.record.layout = open.layout(layout);
    }
    if call.op() == Op::FinishRead {
        draft.record.read_locks = call.read_locks();
    }
    let Some(prefetch) = call.prefetch().filter(|_| call.op() == Op::SubmitPrefetch) else {
        return add_keys(draft, call.keys(), &open.scopes);
    };
    for row in prefetch.rows() {
        add_keys(draft, row.keys, &open.scopes);
        draft.end_row(open.layout(row.layout), row.sliding_window_size, row.object_group_id);
    }
    let (policy, mode) = policy_numbers(prefetch.fetching_policy(), prefetch.lock_mode());
    (draft.record.fetching_policy, draft.record.lock_mode) = (policy, mode);
    draft.record.num_kv_readers = prefetch.num_kv_readers();
    draft.record.skip_l2 = u32::from(prefetch.skip_l2());
    draft.set_request_id(prefetch.external_request_id());
}

fn fill_completion(draft: &mut Draft, body: &CompletionBody) {
    draft.record.kind = LMCACHE_RECORD_COMPLETION;
    draft.record.call_kind = body.op.into();
    (draft.record.call_thread, draft.record.call_sequence) = (body.call_thread, body.call_sequence);
    draft.set_completion(lmcache_completion {
        struct_size: size_of::<lmcache_completion>() as u32,
        outcome: body.outcome.into(),
        requested_keys: body.requested_keys,
        hit_keys: body.hit_keys,
        duration_ns: body.duration_ns,
        data_ready_ns: body.data_ready_ns,
        bytes: body.bytes,
    });
}

fn fill_loss(draft: &mut Draft, body: &LossBody, reason: u16) {
    draft.record.kind = LMCACHE_RECORD_LOSS;
    draft.record.lost_calls = body.count;
    draft.record.lost_first_sequence = body.first_sequence;
    (draft.record.lost_from_ns, draft.record.lost_until_ns) = (body.from_ns, body.until_ns);
    draft.record.lost_reason = reason.into();
}

//! The recording side: a call becomes bytes in the thread's ring.

use crate::error::Result;
use crate::format::model::{
    FetchingPolicy, KeyScope, LockMode, MemoryLayoutDesc, ObjectKey, Op, PrefetchTaskSpec,
};
use crate::format::native::kind::RecordKind;
use crate::format::native::pod::{
    BodyHead, CompletionBody, FLAG_WIDE, KEY_ROW_BYTES, NOT_KNOWN, PREFIX_BYTES, RecordPrefix,
};
use crate::format::native::schema::ThreadFacts;
use crate::os;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::trace::recorder::calls::{CallId, Completion, HashedCall};
use crate::trace::recorder::into_ring::{
    SENT, long_hash_bytes, reserve, row_tail, write_prefix, write_row, write_rows,
};
use crate::trace::recorder::numbers::{Numbers, ScopeNumber};
use crate::trace::recorder::shared::{Arrival, Shared, ThreadLosses};
use crate::trace::recorder::wire::{GroupHead, PrefetchHead, call_bytes};
use crate::trace::ring::{self, Producer, Refusal};

/// Records the calls of one thread. It may be moved to another thread, but not shared: each has its own, from
/// [`TraceRecorder::thread`](super::TraceRecorder::thread).
///
/// A recorded call costs a time stamp, its bytes and one store; it never blocks (unless the host chose
/// [`FullPolicy::Wait`](super::FullPolicy::Wait)), allocates, locks, or calls the system, but for the first time
/// that a scope or a layout is met. What does not fit into the ring is dropped and counted.
#[derive(Debug)]
pub struct ThreadRecorder {
    pub(super) shared: Arc<Shared>,
    ring: Producer,
    losses: Arc<ThreadLosses>,
    number: u32,
    /// Calls that were attempted.
    pub(super) attempted: u64,
    pub(super) numbers: Numbers,
}

impl ThreadRecorder {
    pub(super) fn new(shared: Arc<Shared>) -> Result<Self> {
        let (ring, consumer) = ring::create(shared.ring_bytes)?;
        let (number, losses) = (shared.next_thread(), Arc::<ThreadLosses>::default());
        // The kernel's name, since std's cannot be asked for while a thread ends.
        let facts = ThreadFacts { os_thread_id: os::thread::current_id(), name: os::thread::name() };
        shared.arrive(Arrival { number, facts, ring: consumer, losses: Arc::clone(&losses) });
        Ok(Self { shared, ring, losses, number, attempted: 0, numbers: Numbers::default() })
    }

    /// Whether calls are recorded at the moment: one relaxed load.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.shared.is_on()
    }

    /// The thread's number in the recording.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Calls that were attempted while recording was on: what is in the file and what was lost.
    pub fn attempted(&self) -> u64 {
        self.attempted
    }

    /// Which recorder it belongs to.
    pub(super) fn recorder_id(&self) -> u64 {
        self.shared.id
    }

    /// Whether the recorder takes no more, ever.
    pub(super) fn is_over(&self) -> bool {
        self.shared.is_over()
    }

    /// A number for `scope` that [`Self::record_hashes`] takes. It stays good as long as this value.
    pub fn scope(&mut self, scope: &Arc<KeyScope>) -> ScopeNumber {
        self.numbers.keep_scope(self.number, scope)
    }

    /// The same, if `scope` has a number already or fewer than `most` scopes have: what numbers cost stays as long as this value.
    pub fn scope_of_few(&mut self, scope: &Arc<KeyScope>, most: usize) -> Option<ScopeNumber> {
        self.numbers.keep_scope_of_few(self.number, scope, most)
    }

    /// Records a call whose keys are of one scope, with hashes of 32 bytes. A scope number of another thread is refused,
    /// and the call counted as lost.
    #[inline(always)]
    pub fn record_hashes(
        &mut self,
        call: HashedCall,
        scope: ScopeNumber,
        hashes: &[[u8; 32]],
    ) -> Option<CallId> {
        if !self.shared.is_on() {
            return None;
        }
        self.record_hashes_on(call, scope, hashes)
    }

    #[inline]
    fn record_hashes_on(
        &mut self,
        call: HashedCall,
        scope: ScopeNumber,
        hashes: &[[u8; 32]],
    ) -> Option<CallId> {
        let ((op, value), ticks) = (call.op_and_value(), self.shared.source.now());
        if scope.thread != self.number {
            return self.lose(Refusal::TooLarge, ticks);
        }
        if !self.numbers.is_kept_sent(scope)
            && let Err(refusal) = self.send_kept(scope, ticks)
        {
            return self.lose(refusal, ticks);
        }
        let length_bytes = call_bytes(hashes.len(), 0);
        let prefix = self.prefix(RecordKind::Call(op), ticks, length_bytes, value, hashes.len());
        let tail = row_tail(scope.number, 32);
        let written = self.write(length_bytes, move |bytes| {
            let (head, rows) = bytes.split_at_mut(PREFIX_BYTES);
            write_prefix(head, prefix);
            for (row, hash) in rows.as_chunks_mut::<KEY_ROW_BYTES>().0.iter_mut().zip(hashes) {
                write_row(row, hash, tail);
            }
        });
        match written {
            Ok(()) => self.recorded(op),
            Err(refusal) => self.lose(refusal, ticks),
        }
    }

    /// Records `reserve_write`.
    pub fn reserve_write(&mut self, keys: &[ObjectKey], layout: &MemoryLayoutDesc) -> Option<CallId> {
        if !self.shared.is_on() {
            return None;
        }
        let ticks = self.shared.source.now();
        match self.layout_number(layout, ticks) {
            Ok(layout) => self.record_keys(Op::ReserveWrite, ticks, i64::from(layout), keys),
            Err(refusal) => self.lose(refusal, ticks),
        }
    }

    /// Records `finish_write`.
    #[inline(always)]
    pub fn finish_write(&mut self, keys: &[ObjectKey]) -> Option<CallId> {
        self.record(Op::FinishWrite, 0, keys)
    }

    /// Records the enter of `read_prefetched_results`.
    #[inline(always)]
    pub fn read_enter(&mut self, keys: &[ObjectKey]) -> Option<CallId> {
        self.record(Op::ReadEnter, 0, keys)
    }

    /// Records the exit of `read_prefetched_results`.
    #[inline(always)]
    pub fn read_exit(&mut self, keys: &[ObjectKey]) -> Option<CallId> {
        self.record(Op::ReadExit, 0, keys)
    }

    /// Records `finish_read_prefetched`.
    #[inline(always)]
    pub fn finish_read_prefetched(&mut self, keys: &[ObjectKey], read_locks: i64) -> Option<CallId> {
        self.record(Op::FinishRead, read_locks, keys)
    }

    #[inline(always)]
    fn record(&mut self, op: Op, value: i64, keys: &[ObjectKey]) -> Option<CallId> {
        if !self.shared.is_on() {
            return None;
        }
        self.record_on(op, value, keys)
    }

    #[inline]
    fn record_on(&mut self, op: Op, value: i64, keys: &[ObjectKey]) -> Option<CallId> {
        let ticks = self.shared.source.now();
        self.record_keys(op, ticks, value, keys)
    }

    #[inline]
    fn record_keys(&mut self, op: Op, ticks: u64, value: i64, keys: &[ObjectKey]) -> Option<CallId> {
        if self.try_one_scope(op, ticks, value, keys) {
            return self.recorded(op);
        }
        self.record_any_keys(op, ticks, value, keys)
    }

    /// Records a call in one pass over its keys, if they are what nearly all are: of one scope that was sent, with
    /// hashes that fit into rows. False if they are not, or there is no room: nothing is recorded then.
    #[inline]
    fn try_one_scope(&mut self, op: Op, ticks: u64, value: i64, keys: &[ObjectKey]) -> bool {
        let (Some(first), Ok(aux)) = (keys.first(), u16::try_from(value)) else { return false };
        let Some(scope) = self.numbers.scope(self.attempted, first.scope()) else { return false };
        let length_bytes = call_bytes(keys.len(), 0);
        let prefix = self.prefix(RecordKind::Call(op), ticks, length_bytes, aux, keys.len());
        let Ok(mut reserved) = self.ring.reserve(length_bytes) else { return false };
        let (head, rows) = reserved.bytes().split_at_mut(PREFIX_BYTES);
        write_prefix(head, prefix);
        for (row, key) in rows.as_chunks_mut::<KEY_ROW_BYTES>().0.iter_mut().zip(keys) {
            let Some((hash, hash_bytes)) = key.chunk_hash().as_inline() else { return false };
            if !Arc::ptr_eq(key.scope(), first.scope()) {
                return false;
            }
            write_row(row, hash, row_tail(scope, hash_bytes));
        }
        reserved.commit();
        true
    }

    fn record_any_keys(&mut self, op: Op, ticks: u64, value: i64, keys: &[ObjectKey]) -> Option<CallId> {
        if let Err(refusal) = self.send_scopes(keys, ticks) {
            return self.lose(refusal, ticks);
        }
        let (aux, wide) = u16::try_from(value).map_or((0, Some(value.to_le_bytes())), |aux| (aux, None));
        let wide = wide.as_ref().map_or(&[][..], |wide| &wide[..]);
        let length_bytes = call_bytes(keys.len(), wide.len() + long_hash_bytes(keys));
        let mut prefix = self.prefix(RecordKind::Call(op), ticks, length_bytes, aux, keys.len());
        prefix.flags = if wide.is_empty() { 0 } else { FLAG_WIDE };
        let (shared, numbers, call) = (&self.shared, &mut self.numbers, self.attempted);
        let written = reserve(&mut self.ring, shared, length_bytes, |bytes| {
            let (head, body) = bytes.split_at_mut(PREFIX_BYTES);
            write_prefix(head, prefix);
            let (rows, rest) = body.split_at_mut(keys.len() * KEY_ROW_BYTES);
            rest[..wide.len()].copy_from_slice(wide);
            write_rows(rows, keys.iter(), rest, wide.len(), |key| numbers.scope(call, key.scope()));
        });
        match written {
            Ok(()) => self.recorded(op),
            Err(refusal) => self.lose(refusal, ticks),
        }
    }

    /// Records `submit_prefetch_task`.
    pub fn submit_prefetch_task(
        &mut self,
        spec: &PrefetchTaskSpec,
        external_request_id: &str,
        skip_l2: bool,
    ) -> Option<CallId> {
        if !self.shared.is_on() {
            return None;
        }
        let ticks = self.shared.source.now();
        for row in &spec.key_groups {
            let sent =
                self.layout_number(&row.layout, ticks).and_then(|_| self.send_scopes(&row.keys, ticks));
            if let Err(refusal) = sent {
                return self.lose(refusal, ticks);
            }
        }
        let head = PrefetchHead {
            num_kv_readers: spec.num_kv_readers,
            groups: spec.key_groups.len() as u32,
            id_bytes: external_request_id.len() as u32,
            fetching_policy: u8::from(spec.fetching_policy == FetchingPolicy::Full),
            lock_mode: u8::from(spec.lock_mode == LockMode::NoLock),
            skip_l2: u8::from(skip_l2),
            reserved: [0; 5],
        };
        let keys = spec.key_groups.iter().flat_map(|row| &row.keys);
        let key_count: usize = spec.key_groups.iter().map(|row| row.keys.len()).sum();
        let groups_bytes = spec.key_groups.len() * size_of::<GroupHead>();
        let fixed_bytes = size_of::<PrefetchHead>() + groups_bytes + external_request_id.len();
        let long_bytes: usize = spec.key_groups.iter().map(|row| long_hash_bytes(&row.keys)).sum();
        let length_bytes = call_bytes(key_count, fixed_bytes + long_bytes);
        let op = Op::SubmitPrefetch;
        let prefix = self.prefix(RecordKind::Call(op), ticks, length_bytes, 0, key_count);
        let (shared, numbers, call) = (&self.shared, &mut self.numbers, self.attempted);
        let written = reserve(&mut self.ring, shared, length_bytes, |bytes| {
            let (start, body) = bytes.split_at_mut(PREFIX_BYTES);
            write_prefix(start, prefix);
            let (rows, rest) = body.split_at_mut(key_count * KEY_ROW_BYTES);
            rest[..size_of::<PrefetchHead>()].copy_from_slice(bytemuck::bytes_of(&head));
            let groups = rest[size_of::<PrefetchHead>()..].chunks_exact_mut(size_of::<GroupHead>());
            for (row, group) in spec.key_groups.iter().zip(groups) {
                group.copy_from_slice(bytemuck::bytes_of(&GroupHead {
                    sliding_window_size: row.sliding_window_size,
                    keys: row.keys.len() as u32,
                    object_group_id: row.object_group_id,
                    layout: numbers.layouts.find(call, |known| *known == row.layout).expect(SENT),
                    reserved: 0,
                }));
            }
            let id_start = size_of::<PrefetchHead>() + groups_bytes;
            rest[id_start..fixed_bytes].copy_from_slice(external_request_id.as_bytes());
            write_rows(rows, keys, rest, fixed_bytes, |key| numbers.scope(call, key.scope()));
        });
        match written {
            Ok(()) => self.recorded(op),
            Err(refusal) => self.lose(refusal, ticks),
        }
    }

    /// Records a call that the host defines, by a name and bytes that mean something to it.
    pub fn host_call(&mut self, name: &str, bytes: &[u8]) -> Option<CallId> {
        if !self.shared.is_on() {
            return None;
        }
        let ticks = self.shared.source.now();
        let number = match self.name_number(name, ticks) {
            Ok(number) => number,
            Err(refusal) => return self.lose(refusal, ticks),
        };
        let head = BodyHead { first: number, bytes: bytes.len() as u32 };
        let length_bytes = call_bytes(0, size_of::<BodyHead>() + bytes.len());
        let prefix = self.prefix(RecordKind::HostCall, ticks, length_bytes, 0, 0);
        let written = self.write(length_bytes, |out| {
            let (start, body) = out.split_at_mut(PREFIX_BYTES);
            write_prefix(start, prefix);
            let (start, body) = body.split_at_mut(size_of::<BodyHead>());
            start.copy_from_slice(bytemuck::bytes_of(&head));
            body.copy_from_slice(bytes);
        });
        match written {
            Ok(()) => self.recorded_as(RecordKind::HostCall),
            Err(refusal) => self.lose(refusal, ticks),
        }
    }

    /// Whether `call` is of a thread of this recording.
    #[inline]
    pub fn knows(&self, call: CallId) -> bool {
        self.shared.has_given(call.thread)
    }

    /// Records what became of a call, which another thread may have recorded. False if recording is off, if the call is of no thread
    /// of this recording, or if the completion does not fit into the ring: then it is counted, and the call itself is there.
    pub fn complete(&mut self, call: CallId, completion: &Completion) -> bool {
        if !self.shared.is_on() || !self.knows(call) {
            return false;
        }
        let ticks = self.shared.source.now();
        let body = CompletionBody {
            call_thread: call.thread,
            call_sequence: call.sequence,
            duration_ns: completion.duration_ns,
            data_ready_ns: completion.data_ready_ns.unwrap_or(NOT_KNOWN),
            bytes: completion.bytes,
            hit_keys: completion.hit_keys,
            requested_keys: completion.requested_keys,
            op: call.op,
            outcome: completion.outcome as u8,
            reserved: [0; 6],
        };
        let length_bytes = call_bytes(0, size_of::<CompletionBody>());
        let prefix = self.prefix(RecordKind::Completion, ticks, length_bytes, 0, 0);
        let written = self.write(length_bytes, |out| {
            let (start, rest) = out.split_at_mut(PREFIX_BYTES);
            write_prefix(start, prefix);
            rest.copy_from_slice(bytemuck::bytes_of(&body));
        });
        if written.is_err() {
            // Relaxed: a count that somebody prints.
            self.shared.totals.lost_completions.fetch_add(1, Ordering::Relaxed);
        }
        written.is_ok()
    }

    #[inline(always)]
    pub(super) fn prefix(
        &self,
        kind: RecordKind,
        ticks: u64,
        length_bytes: usize,
        aux: u16,
        rows: usize,
    ) -> RecordPrefix {
        RecordPrefix {
            t_ns: ticks,
            length_bytes: length_bytes.next_multiple_of(8) as u32,
            sequence: self.attempted as u32,
            thread: rows as u32,
            kind: kind.number(),
            flags: 0,
            aux,
        }
    }

    #[inline(always)]
    pub(super) fn write(&mut self, length_bytes: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), Refusal> {
        reserve(&mut self.ring, &self.shared, length_bytes, fill)
    }

    #[inline(always)]
    fn recorded(&mut self, op: Op) -> Option<CallId> {
        self.recorded_as(RecordKind::Call(op))
    }

    #[inline(always)]
    fn recorded_as(&mut self, kind: RecordKind) -> Option<CallId> {
        let sequence = self.attempted as u32;
        self.attempted += 1;
        Some(CallId { thread: self.number, sequence, op: kind.number() })
    }

    /// Counts a call that is not recorded. The writer finds the missing number, or is told by `losses`.
    #[cold]
    #[inline(never)]
    fn lose(&mut self, refusal: Refusal, ticks: u64) -> Option<CallId> {
        // A note of 24 bytes says why: the missing number alone would look like a full ring.
        let prefix = self.prefix(RecordKind::Loss, ticks, PREFIX_BYTES, 0, 0);
        self.attempted += 1;
        let is_noted =
            refusal == Refusal::TooLarge && self.write(PREFIX_BYTES, |out| write_prefix(out, prefix)).is_ok();
        if !is_noted {
            self.losses.set(self.attempted, ticks);
        }
        None
    }
}

impl Drop for ThreadRecorder {
    /// Says how many calls there were; the writer reclaims the ring once it is empty, if there is a writer.
    fn drop(&mut self) {
        self.losses.set(self.attempted, self.shared.source.now());
        self.shared.count_leftovers(Some(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::ChunkHash;
    use crate::format::native::Outcome;
    use crate::trace::recorder::{RecorderOptions, TraceRecorder};

    /// Such calls come from threads that are stopped between the gate and the ring.
    #[test]
    fn calls_that_passed_the_gate_and_come_after_the_end_are_counted_once() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = TraceRecorder::open(RecorderOptions::new(directory.path().join("a.lct"))).unwrap();
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").unwrap());
        let keys = [ObjectKey::new(ChunkHash::new(&[1; 32]), scope)];
        let [mut stays, mut goes] = [(); 2].map(|()| recorder.thread().unwrap());
        let call = stays.finish_write(&keys).unwrap();
        goes.finish_write(&keys).unwrap();
        recorder.close().unwrap();
        stays.record_on(Op::FinishWrite, 0, &keys).unwrap();
        goes.record_on(Op::FinishWrite, 0, &keys).unwrap();
        drop(goes);
        for _ in 0..2 {
            assert_eq!((recorder.stats().calls, recorder.stats().lost), (2, 2));
        }
        stays.record_on(Op::ReadEnter, 0, &keys).unwrap();
        assert_eq!((recorder.stats().calls, recorder.stats().lost), (2, 3));
        let done = Completion {
            outcome: Outcome::Done,
            duration_ns: 1,
            data_ready_ns: None,
            requested_keys: 1,
            hit_keys: 1,
            bytes: 0,
        };
        assert!(!stays.complete(call, &done), "recording is off");
    }

    #[test]
    fn completions_are_of_threads_that_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = TraceRecorder::open(RecorderOptions::new(directory.path().join("a.lct"))).unwrap();
        let thread = recorder.thread().unwrap();
        let of = |number: u64| CallId::from_bits(number << 32, Op::FinishWrite);
        let known = [0, 1, 2, u64::from(u32::MAX)].map(|number| thread.knows(of(number)));
        assert_eq!(known, [false, true, false, false]);
    }
}

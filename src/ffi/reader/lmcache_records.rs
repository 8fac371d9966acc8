//! Records of LMCache's: those of its files, and those that were taken over into native files.

use super::damage::Met;
use super::draft::Draft;
use super::record::{LMCACHE_NOT_KNOWN, LMCACHE_RECORD_FOREIGN_CALL};
use crate::ffi::prefetch_spec::{LMCACHE_FETCH_FULL, LMCACHE_FETCH_PREFIX, LMCACHE_LOCK, LMCACHE_NO_LOCK};
use crate::format::lct::times::monotonic_ns_of;
use crate::format::lct::{Ending, Value, decode_call};
use crate::format::model::KeyInterner;
use crate::format::model::{FetchingPolicy, LockMode, ObjectKey, Op, StorageCall, WriteMode};
use crate::trace::{Entry, Record, Records, TraceReader};

/// Makes calls of LMCache's records, in whatever shape its releases wrote them.
#[derive(Default)]
pub(super) struct CallMaker {
    interner: KeyInterner,
    /// The call that the last record borrows from.
    call: Option<StorageCall>,
}

impl CallMaker {
    /// Says in `draft` what a record asks for. `frame` is the record itself.
    pub(super) fn fill(&mut self, draft: &mut Draft, qualname: &str, args: &Value<'_>, frame: &[u8]) {
        let op = Op::from_qualname(qualname);
        match op.and_then(|op| decode_call(op, args, &mut self.interner).ok()) {
            Some(call) => fill_call(draft, self.call.insert(call)),
            None => {
                draft.record.kind = LMCACHE_RECORD_FOREIGN_CALL;
                draft.set_name(qualname);
                draft.set_bytes(frame);
            }
        }
    }
}

/// Numbers of a policy and of a mode in the interface.
pub(super) fn policy_numbers(policy: FetchingPolicy, mode: LockMode) -> (u32, u32) {
    let policy = match policy {
        FetchingPolicy::Prefix => LMCACHE_FETCH_PREFIX,
        FetchingPolicy::Full => LMCACHE_FETCH_FULL,
    };
    let mode = match mode {
        LockMode::Lock => LMCACHE_LOCK,
        LockMode::NoLock => LMCACHE_NO_LOCK,
    };
    (policy, mode)
}

fn fill_call(draft: &mut Draft, call: &StorageCall) {
    draft.set_op(call.op());
    match call {
        StorageCall::ReserveWrite { keys, layout, mode } => {
            draft.record.layout = draft.layouts.of(layout);
            draft.record.write_mode = match mode {
                WriteMode::New => 0,
                WriteMode::Update => 1,
                WriteMode::All => 2,
            };
            draft.add_keys(keys.iter().map(ObjectKey::view));
        }
        StorageCall::FinishWrite { keys }
        | StorageCall::ReadEnter { keys }
        | StorageCall::ReadExit { keys } => draft.add_keys(keys.iter().map(ObjectKey::view)),
        StorageCall::FinishRead { keys, read_locks } => {
            draft.record.read_locks = *read_locks;
            draft.add_keys(keys.iter().map(ObjectKey::view));
        }
        StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2 } => {
            for row in &spec.key_groups {
                draft.add_keys(row.keys.iter().map(ObjectKey::view));
                let layout = draft.layouts.of(&row.layout);
                draft.end_row(layout, row.sliding_window_size, row.object_group_id);
            }
            let (policy, mode) = policy_numbers(spec.fetching_policy, spec.lock_mode);
            (draft.record.fetching_policy, draft.record.lock_mode) = (policy, mode);
            draft.record.num_kv_readers = spec.num_kv_readers;
            draft.record.skip_l2 = u32::from(*skip_l2);
            draft.set_request_id(external_request_id);
        }
    }
}

/// The records of an LMCache file, from the first.
pub(super) struct LmcacheWalk {
    reader: &'static TraceReader,
    records: Records<'static>,
    calls: CallMaker,
    is_end_told: bool,
}

impl LmcacheWalk {
    /// # Safety
    /// `reader` stays until this value and the record that it made last are gone.
    pub(super) unsafe fn new(reader: &'static TraceReader) -> Self {
        Self { reader, records: reader.records(), calls: CallMaker::default(), is_end_told: false }
    }

    /// Puts the next record into `draft`. False at the end.
    pub(super) fn next(&mut self, draft: &mut Draft, met: &mut Met) -> bool {
        let Some(record) = self.step(met) else { return false };
        let start = usize::try_from(record.offset).unwrap_or(usize::MAX);
        let frame = self.reader.bytes().get(start..self.records.position()).unwrap_or_default();
        let t_mono_start_s = self.reader.header().t_mono_start_s;
        draft.record.number = record.seq;
        draft.record.offset = record.offset;
        draft.record.t_mono_s = record.t_mono_s;
        draft.record.t_wall_s = record.t_wall_s;
        draft.record.t_ns = monotonic_ns_of(record.t_mono_s, t_mono_start_s).unwrap_or(LMCACHE_NOT_KNOWN);
        self.calls.fill(draft, record.qualname, &record.args, frame);
        true
    }

    /// The next record; what is none is counted.
    fn step(&mut self, met: &mut Met) -> Option<Record<'static>> {
        loop {
            match self.records.next() {
                Some(Entry::Record(record)) => return Some(record),
                Some(Entry::Undecodable { offset, error }) => {
                    let bytes = (self.records.position() as u64).saturating_sub(offset);
                    met.frame(offset, bytes, || error.to_string());
                }
                None => {
                    self.tell_end(met);
                    return None;
                }
            }
        }
    }

    fn tell_end(&mut self, met: &mut Met) {
        let is_told = std::mem::replace(&mut self.is_end_told, true);
        let offset =
            self.records.ending().filter(Ending::is_truncated).and_then(|ending| ending.cut_offset());
        if let (Some(offset), false) = (offset, is_told) {
            met.cut(offset, (self.reader.bytes().len() as u64).saturating_sub(offset));
        }
    }

    /// Goes back to the first record.
    pub(super) fn rewind(&mut self) {
        (self.records, self.is_end_told) = (self.reader.records(), false);
    }

    /// Goes to the first record that `is_it`. The file has no index, so everything before is walked. False if there is none.
    pub(super) fn seek(&mut self, met: &mut Met, is_it: impl Fn(&Record<'static>) -> bool) -> bool {
        self.rewind();
        loop {
            let before = self.records.clone();
            let Some(record) = self.step(met) else { return false };
            if is_it(&record) {
                // What is no record before it was counted, and is stepped over once more: it is taken back there.
                return self.stand_before(before, &record);
            }
        }
    }

    /// Stands before `record`, which comes after `before` with nothing but what is no record between them.
    fn stand_before(&mut self, before: Records<'static>, record: &Record<'static>) -> bool {
        self.records = before;
        loop {
            let here = self.records.clone();
            match self.records.next() {
                Some(Entry::Record(found)) if found.offset == record.offset => {
                    self.records = here;
                    return true;
                }
                Some(_) => {}
                None => return false,
            }
        }
    }
}

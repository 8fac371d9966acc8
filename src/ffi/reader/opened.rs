//! An open trace together with the walk that borrows from it.

use super::damage::Met;
use super::draft::Draft;
use super::header::TraceHeader;
use super::lmcache_records::LmcacheWalk;
use super::native_records::NativeWalk;
use super::record::{LMCACHE_RECORD_COMPLETION, LMCACHE_RECORD_LOSS, lmcache_record};
use crate::error::Result;
use crate::ffi::handles::{Exclusive, Kind, Object};
use crate::format::native::KeyTable;
use crate::sync::Arc;
use crate::trace::Trace;

enum Walk {
    Native(Box<NativeWalk>),
    Lmcache(Box<LmcacheWalk>),
}

/// An open trace. Its fields go in this order: what borrows before what is borrowed from.
pub(super) struct Reader {
    draft: Draft,
    walk: Walk,
    pub(super) met: Met,
    pub(super) header: TraceHeader,
    _keys: Option<Arc<KeyTable<'static>>>,
    _trace: Arc<Trace>,
}

// SAFETY: its raw pointers lead to what it owns, nobody else has a part of what it counts references to, and it is used by one thread
// at a time.
unsafe impl Send for Reader {}

impl Object for Reader {
    const KIND: Kind = Kind::Reader;
    const NAME: &'static str = "reader";
}

impl Exclusive for Reader {}

impl Reader {
    pub(super) fn new(trace: Trace) -> Result<Self> {
        let header = TraceHeader::of(&trace);
        let trace = Arc::new(trace);
        // SAFETY: the trace stays where it is as long as the `Arc` does, which this value holds; what borrows from it is in this
        // value alone, and goes before.
        let lent: &'static Trace = unsafe { &*Arc::as_ptr(&trace) };
        let keys = lent.key_table()?.map(Arc::new);
        let walk = match lent {
            Trace::Native(native) => {
                // SAFETY: as above.
                let lent_keys = keys.as_ref().map(|keys| unsafe { &*Arc::as_ptr(keys) });
                // SAFETY: as above, for both.
                Walk::Native(Box::new(unsafe { NativeWalk::new(native, lent_keys) }))
            }
            // SAFETY: as above.
            Trace::Lct(reader) => Walk::Lmcache(Box::new(unsafe { LmcacheWalk::new(reader) })),
        };
        Ok(Self { draft: Draft::new(), walk, met: Met::default(), header, _keys: keys, _trace: trace })
    }

    /// The next record; nothing at the end.
    pub(super) fn next(&mut self) -> Option<&lmcache_record> {
        self.draft.begin();
        let is_there = match &mut self.walk {
            Walk::Native(walk) => walk.next(&mut self.draft, &mut self.met),
            Walk::Lmcache(walk) => walk.next(&mut self.draft, &mut self.met),
        };
        if !is_there {
            return None;
        }
        let (record, stats) = (self.draft.finish(), &mut self.met.stats);
        stats.records += 1;
        match record.kind {
            LMCACHE_RECORD_LOSS => {
                stats.losses += 1;
                stats.lost_calls = stats.lost_calls.saturating_add(record.lost_calls);
            }
            LMCACHE_RECORD_COMPLETION => {}
            _ => stats.calls += 1,
        }
        Some(record)
    }

    /// Goes back to the first record.
    pub(super) fn rewind(&mut self) {
        self.forget();
        match &mut self.walk {
            Walk::Native(walk) => walk.rewind(),
            Walk::Lmcache(walk) => walk.rewind(),
        }
    }

    /// Goes to the call with this number, or the first after it. False if there is none.
    pub(super) fn seek_call(&mut self, call: u64) -> bool {
        self.forget();
        match &mut self.walk {
            Walk::Native(walk) => walk.seek_call(&mut self.draft, &mut self.met, call),
            Walk::Lmcache(walk) => walk.seek(&mut self.met, |record| record.seq >= call),
        }
    }

    /// Goes to the first call that was not made before. False if there is none.
    pub(super) fn seek_time(&mut self, t_mono_s: f64) -> bool {
        self.forget();
        match &mut self.walk {
            Walk::Native(walk) => walk.seek_time(&mut self.draft, &mut self.met, t_mono_s),
            Walk::Lmcache(walk) => walk.seek(&mut self.met, |record| record.t_mono_s >= t_mono_s),
        }
    }

    fn forget(&mut self) {
        self.draft.begin();
        self.met = Met::default();
    }
}

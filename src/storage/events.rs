//! What happens inside the manager, for metrics and logs: LMCache's events, by its names.
//!
//! A sink is attached once, before the first call. Without one an event costs one load. There is a second place, for a sink
//! that wants nothing but the events of L2: it leaves the calls that L1 answers as quick as they are. A sink is called on the thread
//! on which the event happens, after the state has changed and outside of all locks of L1; it must be quick, and must
//! not call the manager. LMCache queues its events, and drops them when the queue is full; here nothing is queued.

use std::fmt;

use crate::format::model::ObjectKey;
use crate::storage::l1::code::L1Error;
use crate::storage::l2::L2AdapterId;
use crate::sync::{Arc, OnceLock};

/// Why objects of a prefetch did not come from L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrefetchFailure {
    /// L1 had no room for them.
    L1Oom,
    /// They became resident between lookup and reservation.
    L1Contended,
    /// The adapter had promised them, and did not deliver.
    NotFound,
}

impl PrefetchFailure {
    /// LMCache's `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::L1Oom => "l1_oom",
            Self::L1Contended => "l1_contended",
            Self::NotFound => "not_found",
        }
    }
}

/// Why L1 could not be read where it should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadFailure {
    /// The object is not there.
    NotFound,
    /// Nobody holds a read lock on it: LMCache's `write_locked`.
    WriteLocked,
}

impl ReadFailure {
    /// LMCache's `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::WriteLocked => "write_locked",
        }
    }
}

/// What happened. Keys are borrowed for the call.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// `l1.read.reserved`: objects were read-locked.
    L1ReadReserved(L1Keys<'a>),
    /// `l1.read.finished`: read locks were released.
    L1ReadFinished(L1Keys<'a>),
    /// `l1.write.reserved`: buffers were handed out, to a client or to a prefetch.
    L1WriteReserved(L1Keys<'a>),
    /// `l1.write.finished`: objects became readable.
    L1WriteFinished(L1Keys<'a>),
    /// `l1.write_finished_and_read_reserved`: objects from L2 became readable.
    L1WriteFinishedAndReadReserved(L1Keys<'a>),
    /// `l1.keys.evicted`: objects are gone, for whatever reason.
    L1KeysEvicted(L1Keys<'a>),
    /// `l1.keys.accessed`: objects were touched.
    L1KeysAccessed(L1Keys<'a>),
    /// `l1.eviction.loop_tick`: a pass of the eviction controller.
    L1EvictionLoopTick {
        /// Which L1.
        l1_tag: &'a str,
        /// Share of its bytes in use.
        usage: f64,
        /// The share from which it evicts.
        watermark: f64,
        /// Whether it did.
        triggered: bool,
    },
    /// `l1.allocation.failed`: a writer got no memory.
    L1AllocationFailed {
        /// For what: LMCache has `l1_store` alone.
        during: &'static str,
        /// The keys that got none.
        keys: &'a [&'a ObjectKey],
    },
    /// `l1.read.failed`: an object could not be read where it should have been.
    L1ReadFailed {
        /// For what: `l1_retrieve` or `l2_store`.
        during: &'static str,
        /// Why.
        reason: ReadFailure,
        /// The keys.
        keys: &'a [&'a ObjectKey],
    },
    /// `sm.write.reserved`.
    SmWriteReserved(SmKeys<'a>),
    /// `sm.write.finished`.
    SmWriteFinished(SmKeys<'a>),
    /// `sm.read.prefetched_finished`.
    SmReadPrefetchedFinished(SmKeys<'a>),
    /// `l2.store.submitted`.
    L2StoreSubmitted(L2Task<'a>),
    /// `l2.store.completed`.
    L2StoreCompleted {
        /// The task; its keys are those that are in L2 now.
        task: L2Task<'a>,
        /// How many of its objects are not.
        failed_count: usize,
        /// When the write of each key of `task` was finished, in nanoseconds on `CLOCK_MONOTONIC`.
        written_ns: &'a [u64],
    },
    /// `l2.store.given_up`, which LMCache does not have: objects are not in an adapter, and are not tried again.
    L2StoreGivenUp {
        /// The keys, once an adapter.
        keys: &'a [ObjectKey],
    },
    /// `l2.prefetch.lookup.submitted`.
    L2PrefetchLookupSubmitted {
        /// Which prefetch.
        request_id: u64,
        /// What is looked up.
        keys: &'a [ObjectKey],
        /// In how many adapters.
        adapter_count: usize,
    },
    /// `l2.prefetch.load.submitted`.
    L2PrefetchLoadSubmitted {
        /// Which prefetch.
        request_id: u64,
        /// What is loaded.
        keys: &'a [ObjectKey],
        /// From how many adapters.
        adapter_count: usize,
    },
    /// `l2.prefetch.load.completed`.
    L2PrefetchLoadCompleted {
        /// Which prefetch.
        request_id: u64,
        /// What came.
        loaded: &'a [ObjectKey],
        /// How many objects did not.
        failed_count: usize,
        /// From which adapter.
        adapter_index: L2AdapterId,
        /// Bytes of what came.
        loaded_bytes: u64,
    },
    /// `l2.load_task.submitted`.
    L2LoadTaskSubmitted(L2Task<'a>),
    /// `l2.load_task.completed`.
    L2LoadTaskCompleted(L2Task<'a>),
    /// `l2.prefetch.failed`.
    L2PrefetchFailed {
        /// Why.
        reason: PrefetchFailure,
        /// The keys.
        keys: &'a [ObjectKey],
    },
    /// `l2.keys.evicted`: what an adapter was asked to delete, and how much of it went.
    L2KeysEvicted {
        /// Which adapter.
        adapter_index: L2AdapterId,
        /// The victims.
        keys: &'a [ObjectKey],
        /// How many of them went.
        deleted_count: usize,
    },
    /// `l2.keys.stored`.
    L2KeysStored {
        /// LMCache's name of the adapter's type.
        backend: &'a str,
        /// Whether other servers use the same store.
        shared: bool,
        /// The keys, with the bytes that each added.
        keys: &'a [(ObjectKey, u64)],
    },
    /// `l2.keys.accessed`.
    L2KeysAccessed {
        /// See above.
        backend: &'a str,
        /// See above.
        shared: bool,
        /// The keys.
        keys: &'a [ObjectKey],
    },
    /// `l2.keys.deleted`.
    L2KeysDeleted {
        /// See above.
        backend: &'a str,
        /// See above.
        shared: bool,
        /// The keys, with the bytes that each gave back.
        keys: &'a [(ObjectKey, u64)],
    },
    /// `timeout.raised`.
    TimeoutRaised {
        /// LMCache's name of the exception.
        exception_type: &'static str,
        /// What took too long.
        message: &'a str,
    },
}

/// The variants as functions of any lifetime, to be handed on.
impl Event<'_> {
    pub(super) fn l1_read_reserved(keys: L1Keys<'_>) -> Event<'_> {
        Event::L1ReadReserved(keys)
    }

    pub(super) fn l1_read_finished(keys: L1Keys<'_>) -> Event<'_> {
        Event::L1ReadFinished(keys)
    }

    pub(super) fn l1_write_reserved(keys: L1Keys<'_>) -> Event<'_> {
        Event::L1WriteReserved(keys)
    }

    pub(super) fn l1_write_finished(keys: L1Keys<'_>) -> Event<'_> {
        Event::L1WriteFinished(keys)
    }

    pub(super) fn l1_write_finished_and_read_reserved(keys: L1Keys<'_>) -> Event<'_> {
        Event::L1WriteFinishedAndReadReserved(keys)
    }

    pub(super) fn l1_keys_evicted(keys: L1Keys<'_>) -> Event<'_> {
        Event::L1KeysEvicted(keys)
    }

    pub(super) fn l1_keys_accessed(keys: L1Keys<'_>) -> Event<'_> {
        Event::L1KeysAccessed(keys)
    }

    pub(super) fn sm_write_reserved(keys: SmKeys<'_>) -> Event<'_> {
        Event::SmWriteReserved(keys)
    }

    pub(super) fn sm_write_finished(keys: SmKeys<'_>) -> Event<'_> {
        Event::SmWriteFinished(keys)
    }

    pub(super) fn sm_read_finished(keys: SmKeys<'_>) -> Event<'_> {
        Event::SmReadPrefetchedFinished(keys)
    }
}

impl Event<'_> {
    /// LMCache's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::L1ReadReserved(_) => "l1.read.reserved",
            Self::L1ReadFinished(_) => "l1.read.finished",
            Self::L1WriteReserved(_) => "l1.write.reserved",
            Self::L1WriteFinished(_) => "l1.write.finished",
            Self::L1WriteFinishedAndReadReserved(_) => "l1.write_finished_and_read_reserved",
            Self::L1KeysEvicted(_) => "l1.keys.evicted",
            Self::L1KeysAccessed(_) => "l1.keys.accessed",
            Self::L1EvictionLoopTick { .. } => "l1.eviction.loop_tick",
            Self::L1AllocationFailed { .. } => "l1.allocation.failed",
            Self::L1ReadFailed { .. } => "l1.read.failed",
            Self::SmWriteReserved(_) => "sm.write.reserved",
            Self::SmWriteFinished(_) => "sm.write.finished",
            Self::SmReadPrefetchedFinished(_) => "sm.read.prefetched_finished",
            Self::L2StoreSubmitted(_) => "l2.store.submitted",
            Self::L2StoreCompleted { .. } => "l2.store.completed",
            Self::L2StoreGivenUp { .. } => "l2.store.given_up",
            Self::L2PrefetchLookupSubmitted { .. } => "l2.prefetch.lookup.submitted",
            Self::L2PrefetchLoadSubmitted { .. } => "l2.prefetch.load.submitted",
            Self::L2PrefetchLoadCompleted { .. } => "l2.prefetch.load.completed",
            Self::L2LoadTaskSubmitted(_) => "l2.load_task.submitted",
            Self::L2LoadTaskCompleted(_) => "l2.load_task.completed",
            Self::L2PrefetchFailed { .. } => "l2.prefetch.failed",
            Self::L2KeysEvicted { .. } => "l2.keys.evicted",
            Self::L2KeysStored { .. } => "l2.keys.stored",
            Self::L2KeysAccessed { .. } => "l2.keys.accessed",
            Self::L2KeysDeleted { .. } => "l2.keys.deleted",
            Self::TimeoutRaised { .. } => "timeout.raised",
        }
    }
}

/// Keys of one L1 for which something succeeded.
#[derive(Clone, Copy, Debug)]
pub struct L1Keys<'a> {
    /// Which L1.
    pub l1_tag: &'a str,
    /// The keys. Can be none.
    pub keys: &'a [&'a ObjectKey],
}

/// The keys of a call of the storage manager.
#[derive(Clone, Copy, Debug)]
pub struct SmKeys<'a> {
    /// Those that were served.
    pub succeeded: &'a [&'a ObjectKey],
    /// The others.
    pub failed: &'a [&'a ObjectKey],
}

/// A task of an adapter.
#[derive(Clone, Copy, Debug)]
pub struct L2Task<'a> {
    /// Which adapter.
    pub adapter_index: L2AdapterId,
    /// LMCache's name of its type.
    pub l2_name: &'a str,
    /// Number of the task among all of the manager.
    pub task_id: u64,
    /// Its keys.
    pub keys: &'a [&'a ObjectKey],
    /// Bytes of its objects; of a finished store, those that were really written.
    pub bytes: u64,
    /// How long it took, in nanoseconds; 0 when it begins.
    pub duration_ns: u64,
}

/// Sees events.
pub trait EventSink: Send + Sync + fmt::Debug {
    /// An event happened.
    fn on_event(&self, event: &Event<'_>);

    /// Whether it is told of reservations and touches, too: of `l1.read.reserved`, `l1.write.reserved`, `l1.keys.accessed`
    /// and `sm.write.reserved`. A sink that is not spares each call the gathering of the keys. Asked when it is attached.
    fn hears_reservations(&self) -> bool {
        true
    }
}

/// A sink, and what it said of itself.
#[derive(Debug)]
struct Attached {
    sink: Arc<dyn EventSink>,
    hears_reservations: bool,
}

/// The places of a manager's sinks.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Sinks>);

#[derive(Debug, Default)]
struct Sinks {
    all: OnceLock<Attached>,
    of_l2: OnceLock<Arc<dyn EventSink>>,
}

impl Events {
    /// Attaches the sink of all events. False if there is one already.
    pub(super) fn attach(&self, sink: Arc<dyn EventSink>) -> bool {
        let hears_reservations = sink.hears_reservations();
        self.0.all.set(Attached { sink, hears_reservations }).is_ok()
    }

    /// Attaches the sink of L2's events alone. False if there is one already.
    pub(super) fn attach_l2(&self, sink: Arc<dyn EventSink>) -> bool {
        self.0.of_l2.set(sink).is_ok()
    }

    /// Publishes what became of the keys of a call of the manager.
    pub(super) fn publish_outcomes(
        &self,
        outcomes: &[(&ObjectKey, L1Error)],
        event: impl for<'b> FnOnce(SmKeys<'b>) -> Event<'b>,
    ) {
        let keys = |is_served: bool| -> Vec<&ObjectKey> {
            let wanted = outcomes.iter().filter(|(_, code)| (*code == L1Error::Success) == is_served);
            wanted.map(|(key, _)| *key).collect()
        };
        let (succeeded, failed) = (keys(true), keys(false));
        self.publish(|| event(SmKeys { succeeded: &succeeded, failed: &failed }));
    }

    /// Whether anybody listens: for who would have to gather what an event needs.
    #[inline]
    pub(super) fn has_sink(&self) -> bool {
        self.0.all.get().is_some()
    }

    /// The same, for events of L2.
    pub(super) fn has_l2_sink(&self) -> bool {
        self.has_sink() || self.0.of_l2.get().is_some()
    }

    /// Whether anybody listens to reservations and touches.
    #[inline]
    pub(super) fn has_sink_for_reservations(&self) -> bool {
        self.0.all.get().is_some_and(|attached| attached.hears_reservations)
    }

    /// Tells the sink, if there is one; `event` is made only then.
    #[inline]
    pub(super) fn publish<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if let Some(attached) = self.0.all.get() {
            attached.sink.on_event(&event());
        }
    }

    /// Tells both sinks of an event of L2.
    pub(super) fn publish_l2<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if self.has_l2_sink() {
            let event = event();
            let all = self.0.all.get().map(|attached| &attached.sink);
            all.into_iter().chain(self.0.of_l2.get()).for_each(|sink| sink.on_event(&event));
        }
    }
}

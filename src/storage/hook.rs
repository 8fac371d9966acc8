//! Lets somebody see the calls that LMCache traces: the six, with their arguments when they begin and what became of
//! them when they end.
//!
//! A manager without a hook pays one load a call. A hook that does not want a call says so at its beginning, and is
//! not told of its end; clocks are read only for calls that are wanted.

use std::fmt;

use crate::clock::monotonic_ns;
use crate::format::model::{MemoryLayoutDesc, ObjectKey, Op, PrefetchTaskSpec};
use crate::format::native::Outcome;
use crate::storage::l1::{KeyCodes, L1Error};
use crate::storage::prefetch::PrefetchHandle;
use crate::sync::Arc;

/// A call that begins.
#[derive(Clone, Copy, Debug)]
pub enum HookedCall<'a> {
    /// `reserve_write`.
    ReserveWrite {
        /// See [`StorageCall`](crate::format::model::StorageCall), for all fields.
        keys: &'a [ObjectKey],
        /// The layout of each object.
        layout: &'a MemoryLayoutDesc,
    },
    /// `finish_write`.
    FinishWrite(&'a [ObjectKey]),
    /// The enter of `read_prefetched_results`.
    ReadEnter(&'a [ObjectKey]),
    /// Its exit.
    ReadExit(&'a [ObjectKey]),
    /// `finish_read_prefetched`.
    FinishRead {
        /// The objects to release.
        keys: &'a [ObjectKey],
        /// Locks on each.
        read_locks: i64,
    },
    /// `submit_prefetch_task`.
    SubmitPrefetch {
        /// What to fetch.
        spec: &'a PrefetchTaskSpec,
        /// The engine's name for the request.
        external_request_id: &'a str,
        /// Looks in L1 only.
        skip_l2: bool,
    },
}

impl HookedCall<'_> {
    /// Which operation.
    pub fn op(&self) -> Op {
        match self {
            Self::ReserveWrite { .. } => Op::ReserveWrite,
            Self::FinishWrite(_) => Op::FinishWrite,
            Self::ReadEnter(_) => Op::ReadEnter,
            Self::ReadExit(_) => Op::ReadExit,
            Self::FinishRead { .. } => Op::FinishRead,
            Self::SubmitPrefetch { .. } => Op::SubmitPrefetch,
        }
    }
}

/// What a hook calls a call that it wants to be told the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallToken(pub u64);

/// A call that ended.
#[derive(Clone, Copy, Debug)]
pub struct CallEnd {
    /// Which operation.
    pub op: Op,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, without what the hook did at its beginning.
    pub duration_ns: u64,
    /// For a prefetch: how long it took until the data was in L1, if that is known. A prefetch that goes to L2 ends
    /// when it is, later than its call returns, and on another thread.
    pub data_ready_ns: Option<u64>,
    /// Keys that were asked for.
    pub requested_keys: u32,
    /// Keys that were reserved, made readable, found, read or released.
    pub hit_keys: u32,
    /// Bytes of their objects; 0 where the call does not look at them.
    pub bytes: u64,
}

/// Sees calls. Called on the threads that make them.
pub trait CallHook: Send + Sync + fmt::Debug {
    /// A call begins. With a token the hook is told how it ends.
    fn begin(&self, call: &HookedCall<'_>) -> Option<CallToken>;

    /// A call that [`Self::begin`] gave a token for has ended.
    fn end(&self, token: CallToken, end: &CallEnd);
}

/// What a call did, before its hook is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effect {
    pub(super) requested_keys: usize,
    pub(super) hit_keys: usize,
    pub(super) bytes: u64,
}

impl Effect {
    pub(super) fn of_codes(codes: &KeyCodes) -> Self {
        let hit_keys = codes.count(L1Error::Success);
        Self { requested_keys: codes.as_slice().len(), hit_keys, bytes: 0 }
    }
}

impl std::iter::Sum for Effect {
    fn sum<I: Iterator<Item = Self>>(effects: I) -> Self {
        effects.fold(Self::default(), |sum, effect| Self {
            requested_keys: sum.requested_keys + effect.requested_keys,
            hit_keys: sum.hit_keys + effect.hit_keys,
            bytes: sum.bytes + effect.bytes,
        })
    }
}

/// A call between its beginning and its end; nothing if nobody wants to know.
#[must_use = "a call that begins must end"]
pub(super) struct Hooked(Option<Begun>);

struct Begun {
    hook: Arc<dyn CallHook>,
    op: Op,
    token: CallToken,
    start_ns: u64,
}

impl Hooked {
    #[inline]
    pub(super) fn begin<'a>(hook: Option<&Arc<dyn CallHook>>, call: impl FnOnce() -> HookedCall<'a>) -> Self {
        let Some(hook) = hook else { return Self(None) };
        let call = call();
        // The clock is read when the hook is done: what it does is no part of the call.
        Self(hook.begin(&call).map(|token| Begun {
            hook: Arc::clone(hook),
            op: call.op(),
            token,
            start_ns: monotonic_ns(),
        }))
    }

    #[inline]
    pub(super) fn end(self, effect: impl FnOnce() -> Effect) {
        if let Some(begun) = self.0 {
            begun.end(Some(effect()));
        }
    }

    /// The call returned an error.
    pub(super) fn raise(self) {
        if let Some(begun) = self.0 {
            begun.end(None);
        }
    }

    /// Ends with what `result` says.
    pub(super) fn end_with<T, E>(self, result: &Result<T, E>, effect: impl FnOnce(&T) -> Effect) {
        match result {
            Ok(done) => self.end(|| effect(done)),
            Err(_) => self.raise(),
        }
    }
}

impl Hooked {
    /// Ends a prefetch that was submitted: when its result is there.
    pub(super) fn end_prefetch(self, handle: &PrefetchHandle, spec: &PrefetchTaskSpec) {
        let Some(begun) = self.0 else { return };
        let duration_ns = begun.elapsed_ns();
        if let Some(effect) = handle.effect(spec) {
            return begun.end_after(duration_ns, Some(effect), Some(duration_ns));
        }
        // Every request is answered at the latest when the manager closes, so the handle does not outlive it for ever.
        let (done, spec) = (handle.clone(), spec.clone());
        handle.on_done(move || {
            let ready_ns = begun.elapsed_ns();
            begun.end_after(duration_ns, done.effect(&spec), Some(ready_ns));
        });
    }
}

impl Begun {
    fn elapsed_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.start_ns)
    }

    fn end(self, effect: Option<Effect>) {
        let duration_ns = self.elapsed_ns();
        self.end_after(duration_ns, effect, None);
    }

    fn end_after(self, duration_ns: u64, effect: Option<Effect>, data_ready_ns: Option<u64>) {
        let Effect { requested_keys, hit_keys, bytes } = effect.unwrap_or_default();
        let outcome = match effect {
            None => Outcome::Raised,
            Some(_) if hit_keys >= requested_keys => Outcome::Done,
            Some(_) if hit_keys > 0 => Outcome::Partly,
            Some(_) => Outcome::Failed,
        };
        let end = CallEnd {
            op: self.op,
            outcome,
            duration_ns,
            data_ready_ns,
            requested_keys: u32::try_from(requested_keys).unwrap_or(u32::MAX),
            hit_keys: u32::try_from(hit_keys).unwrap_or(u32::MAX),
            bytes,
        };
        self.hook.end(self.token, &end);
    }
}

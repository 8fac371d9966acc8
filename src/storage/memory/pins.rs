//! Who is doing I/O on which bytes of the arena, so that no byte is given away under a running I/O.
//!
//! An adapter works on an object's bytes from a thread of its own, and a device or a kernel may go on with them
//! after everybody has lost patience: the request was aborted, the lock ran out, the manager closed. So the
//! adapter holds a pin. The owner of the address space (L1, under the allocator's mutex) asks before it frees a span: what
//! is pinned is put aside, and comes back by [`Pins::take_unpinned`] once its last pin is gone.
//!
//! # Why nothing is freed under a pin
//!
//! *A pin is made, and a span is released, under the owner's lock.* So of a span's pin and its release one
//! happens before the other. A pin that came first is in the table, and in `live`, which counts every pin from
//! before it enters the table until after it left it:
//!
//! * `release` finds `live` above zero: it looks into the table, under the table's lock. If the span is there,
//!   its entry is marked, and the pin that takes the entry out hands the span over. If it is not there, its pins
//!   are gone; the table's lock orders all that they did before the answer.
//! * `release` finds `live` at zero: the load reads a value that comes after the pin's own increment (which
//!   happened before), so after its decrement too. Every decrement is a release and every change of `live` is a
//!   read-modify-write, so the acquiring load of zero is ordered after all of them, and with them after all
//!   I/O that was done under the pins. This one load is all that a free costs while nobody does I/O.
//!
//! A pin may be given up on any thread, at any time. Nothing here waits for I/O.

use super::span::Span;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};

/// What became of a span that its owner let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a span that is pinned must not be freed yet"]
pub enum Released {
    /// Nobody uses it: it can be freed at once.
    Now,
    /// An I/O uses it. It comes back by `take_unpinned`, once.
    WhenUnpinned,
}

/// How much is pinned at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinCounts {
    /// Pins that are held.
    pub pins: u64,
    /// Spans that were released and wait: for their last pin to go, or to be taken.
    pub waiting_spans: u64,
    /// What those take up.
    pub waiting_bytes: u64,
}

/// The pins on one span.
#[derive(Debug, Default)]
struct Pinned {
    pins: u64,
    /// The span, once its owner has let go of it.
    released: Option<Span>,
}

#[derive(Debug, Default)]
struct Table {
    /// By the offset of the span: two objects never have the same, because a span is not handed out again
    /// before its pins are gone.
    by_offset: hashbrown::HashMap<u64, Pinned, foldhash::fast::RandomState>,
    /// Released spans whose last pin is gone.
    unpinned: Vec<Span>,
}

/// The pins on an arena.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Pins that are held, and some that are just leaving.
    live: AtomicU64,
    /// How many spans `Table::unpinned` has.
    unpinned: AtomicU64,
    table: Mutex<Table>,
}

impl Pins {
    /// Pins the span at `offset_bytes`. The caller holds the lock under which the span would be released.
    pub(super) fn pin(&self, offset_bytes: u64) {
        // Relaxed: whoever releases the span is ordered behind this by the owner's lock. Before the entry: a
        // pin that is in the table is counted.
        self.live.fetch_add(1, Ordering::Relaxed);
        let mut table = lock(&self.table);
        let pinned = table.by_offset.entry(offset_bytes).or_default();
        debug_assert!(pinned.released.is_none(), "a span was pinned that its owner had released");
        pinned.pins += 1;
    }

    /// Takes back one pin on the span at `offset_bytes`.
    pub(super) fn unpin(&self, offset_bytes: u64) {
        let mut table = lock(&self.table);
        let Some(pinned) = table.by_offset.get_mut(&offset_bytes) else {
            unreachable!("a pin is in the table for as long as it is held");
        };
        pinned.pins -= 1;
        if pinned.pins == 0 {
            let released = pinned.released;
            table.by_offset.remove(&offset_bytes);
            table.unpinned.extend(released);
            // Relaxed: a hint; `take_unpinned` gets the spans under the lock.
            self.unpinned.store(table.unpinned.len() as u64, Ordering::Relaxed);
        }
        drop(table);
        // Release, and after the entry is gone: see the head of this file.
        self.live.fetch_sub(1, Ordering::Release);
    }

    /// Lets go of `span`. The caller holds the lock under which spans are pinned, and frees it if it may.
    pub(super) fn release(&self, span: Span) -> Released {
        // Acquire: see the head of this file.
        if self.live.load(Ordering::Acquire) == 0 {
            return Released::Now;
        }
        match lock(&self.table).by_offset.get_mut(&span.offset_bytes) {
            None => Released::Now,
            Some(pinned) => {
                debug_assert!(pinned.released.is_none(), "a span was released twice");
                pinned.released = Some(span);
                Released::WhenUnpinned
            }
        }
    }

    /// Whether an I/O uses the span at `offset_bytes`. The caller holds the lock under which spans are pinned:
    /// no is an answer that lasts as long as that.
    pub(super) fn is_pinned(&self, offset_bytes: u64) -> bool {
        // Acquire, as in `release`: after a no the caller may write the bytes.
        self.live.load(Ordering::Acquire) > 0 && lock(&self.table).by_offset.contains_key(&offset_bytes)
    }

    /// The released spans whose last pin went since the last call: they can be freed. Costs one load while
    /// there are none.
    pub(super) fn take_unpinned(&self) -> Vec<Span> {
        // Relaxed: a span that is missed now is found by the next call. The lock orders the I/O on a span that
        // is found before whatever is done with it.
        if self.unpinned.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut table = lock(&self.table);
        self.unpinned.store(0, Ordering::Relaxed);
        std::mem::take(&mut table.unpinned)
    }

    /// What is pinned now. Looks at every pinned span.
    pub(super) fn counts(&self) -> PinCounts {
        let table = lock(&self.table);
        let held = table.by_offset.values();
        let waiting = || table.by_offset.values().filter_map(|p| p.released.as_ref()).chain(&table.unpinned);
        PinCounts {
            pins: held.map(|pinned| pinned.pins).sum(),
            waiting_spans: waiting().count() as u64,
            waiting_bytes: waiting().map(|span| span.phy_size_bytes).sum(),
        }
    }
}

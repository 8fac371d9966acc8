//! Memory of the host that the driver was told of: what copies are asynchronous from, and what kernels may read.
//!
//! The driver knows a registration in every context of the process, and so does the book here. It is looked into before a kernel is given an
//! address, since one that the driver does not know would cost the process its device, and before a copy, since no copy reaches across the
//! border of two registrations.
#![expect(unsafe_code, reason = "the driver is called")]

use std::ptr::NonNull;

use cudarc::driver::sys::{CU_MEMHOSTREGISTER_DEVICEMAP, CU_MEMHOSTREGISTER_PORTABLE};

use super::context::{Context, call};
use crate::device::registrar::Registration;
use crate::error::{Error, Result};
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// Start and end of each registration, in the order of their addresses. They do not overlap: the driver refuses those that do.
type Spans = Vec<(u64, u64)>;

fn book() -> &'static Mutex<Arc<Spans>> {
    static BOOK: OnceLock<Mutex<Arc<Spans>>> = OnceLock::new();
    BOOK.get_or_init(Mutex::default)
}

/// Tells the driver of the `len_bytes` at `base`, until the registration is dropped.
pub(super) fn register(context: &Arc<Context>, base: NonNull<u8>, len_bytes: usize) -> Result<Registration> {
    let start = base.addr().get() as u64;
    let end = start.checked_add(len_bytes as u64).filter(|end| *end > start);
    let end = end.ok_or_else(|| {
        Error::invalid("memory to register has a byte or more").with_context("bytes", len_bytes)
    })?;
    let cannot = |failure| {
        context.error(failure, "cannot register memory with the CUDA driver").with_context("bytes", len_bytes)
    };
    let entered = context.enter().map_err(cannot)?;
    let flags = CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP;
    let at = base.as_ptr().cast();
    // SAFETY: the caller maps the pages as long as the registration is there. The driver changes no byte of them.
    entered.outcome(unsafe { call!(cuMemHostRegister_v2(at, len_bytes, flags)) }).map_err(cannot)?;
    note((start, end));
    let (context, base) = (Arc::clone(context), base.addr());
    Ok(Registration::new(move || unregister(&context, base.get() as u64)))
}

fn note(span: (u64, u64)) {
    let mut book = lock(book());
    let spans = Arc::make_mut(&mut book);
    let at = spans.partition_point(|other| *other < span);
    spans.insert(at, span);
}

fn unregister(context: &Context, start: u64) {
    let mut book = lock(book());
    Arc::make_mut(&mut book).retain(|span| span.0 != start);
    drop(book);
    let Some(entered) = context.enter_to_free() else { return };
    let at = std::ptr::without_provenance_mut(start as usize);
    // SAFETY: it was registered here. Who drops a registration has no transfer under way that uses it.
    let _ = entered.outcome(unsafe { call!(cuMemHostUnregister(at)) });
}

/// The registrations as they were at one time.
#[derive(Clone, Debug)]
pub(super) struct Registered(Arc<Spans>);

impl Registered {
    pub(super) fn now() -> Self {
        Self(Arc::clone(&lock(book())))
    }

    /// The bytes of each registration that lie within `len_bytes` from `start` on, in their order; `None` if some are in none.
    pub(super) fn parts(
        &self,
        start: u64,
        len_bytes: u64,
    ) -> Option<impl Iterator<Item = (u64, u64)> + use<'_>> {
        let end = start.checked_add(len_bytes)?;
        let first = self.0.partition_point(|span| span.1 <= start);
        let within = self.0[first..].iter().take_while(move |span| span.0 < end);
        let mut at = start;
        for span in within.clone() {
            if span.0 > at {
                return None;
            }
            at = span.1.min(end);
        }
        let part = move |span: &(u64, u64)| (span.0.max(start), span.1.min(end));
        (at == end).then(|| within.map(part).map(|(from, to)| (from, to - from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_apart_at_the_borders_and_refused_where_one_is_missing() {
        let registered = Registered(Arc::new(vec![(100, 200), (200, 300), (400, 500)]));
        let parts =
            |start, len_bytes| registered.parts(start, len_bytes).map(|parts| parts.collect::<Vec<_>>());
        assert_eq!(parts(150, 50).unwrap(), [(150, 50)]);
        assert_eq!(parts(150, 100).unwrap(), [(150, 50), (200, 50)]);
        assert_eq!(parts(100, 200).unwrap(), [(100, 100), (200, 100)]);
        for (start, len_bytes) in [(99, 2), (299, 2), (250, 200), (300, 1), (500, 1), (u64::MAX, 2), (0, 50)]
        {
            assert!(parts(start, len_bytes).is_none(), "{start} {len_bytes}");
        }
    }
}

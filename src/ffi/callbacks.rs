//! Functions of the host, while they run: what they are within cannot be freed, and must not be waited for.

use std::cell::Cell;

use super::boundary::Failure;
use super::handle::{Held, hold};
use super::hazards::MAX_DEPTH;
use super::status::Status;

/// What to do about a call that a callback cannot make.
pub(super) const RETURN_FIRST: &str =
    "return from the callback first, and make the call on a thread of the host";

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is in a function of the host that the library called.
pub(super) fn is_within() -> bool {
    DEPTH.try_with(Cell::get).unwrap_or(0) > 0
}

/// Refuses what would wait for the thread that the host's function is on.
pub(super) fn refuse_within(what: &str) -> Result<(), Failure> {
    match is_within() {
        false => Ok(()),
        true => Err(Failure::misuse(
            Status::LMCACHE_STATUS_BUSY,
            format!("{what} waits for threads, one of which this callback may be on"),
        )
        .with_hint(RETURN_FIRST)),
    }
}

/// Refuses what may call a function of the host, from one that is too deep already.
pub(super) fn refuse_deeper() -> Result<(), Failure> {
    match DEPTH.try_with(Cell::get).unwrap_or(0) < MAX_DEPTH as u32 {
        true => Ok(()),
        false => Err(Failure::misuse(
            Status::LMCACHE_STATUS_TOO_MANY,
            format!("callbacks are more than {MAX_DEPTH} deep within each other"),
        )
        .with_hint(RETURN_FIRST)),
    }
}

/// A function of the host runs, and holds the objects behind these handles. They are let go of first: one that is dropped by that
/// must know that it is on a thread of the library.
pub(super) struct Within {
    _held: [Held; 2],
    _deeper: Deeper,
}

impl Within {
    /// Before the function is called. A number of 0 is no handle.
    pub(super) fn enter(handles: [u64; 2]) -> Self {
        let _deeper = Deeper::new();
        Self { _held: handles.map(hold), _deeper }
    }
}

struct Deeper;

impl Deeper {
    fn new() -> Self {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for Deeper {
    fn drop(&mut self) {
        // A child that was forked within the function begins at 0.
        let _ = DEPTH.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

/// In the child of a `fork`: its only thread is the host's, and waits for no thread of the parent.
pub(super) fn forget() {
    let _ = DEPTH.try_with(|depth| depth.set(0));
}

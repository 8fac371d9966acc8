//! Functions of the host, while they run: what they are within cannot be freed, nothing in them waits for threads, and they go only so
//! deep within each other. Every one of them is called by [`call_host`].

use std::cell::Cell;

use super::border::boundary::Failure;
use super::border::status::Status;
use super::handles::forks::ForkWatch;
use super::handles::hazards::MAX_DEPTH;
use super::handles::slots::{self, Entered};

/// What to do about a call that a callback cannot make.
pub(super) const RETURN_FIRST: &str =
    "return from the callback first, and make the call on a thread of the host";

static FORKS: ForkWatch = ForkWatch::new();

thread_local! {
    /// How many functions of the host this thread is in, one within the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

fn depth() -> usize {
    DEPTH.try_with(Cell::get).unwrap_or(0)
}

/// Whether this thread is in a function of the host.
pub(super) fn is_in_callback() -> bool {
    depth() > 0
}

/// Refuses what waits for threads, of which the host's function may be on one.
pub(super) fn refuse_in_callback(what: &str) -> Result<(), Failure> {
    match is_in_callback() {
        false => Ok(()),
        true => Err(Failure::misuse(
            Status::LMCACHE_STATUS_BUSY,
            format!("{what} waits for threads, one of which this callback may be on"),
        )
        .with_hint(RETURN_FIRST)),
    }
}

/// Refuses what calls a function of the host on this thread, from one that is too deep already.
pub(super) fn refuse_too_deep() -> Result<(), Failure> {
    match depth() < MAX_DEPTH {
        true => Ok(()),
        false => Err(Failure::misuse(
            Status::LMCACHE_STATUS_TOO_MANY,
            format!("callbacks are more than {MAX_DEPTH} deep within each other"),
        )
        .with_hint(RETURN_FIRST)),
    }
}

/// Calls a function of the host. What stands behind `handles` stays until it returns, and this thread finds it busy if it frees it; 0 is
/// no handle, and one that is gone by now is left alone.
pub(super) fn call_host<R>(handles: [u64; 2], function: impl FnOnce() -> R) -> R {
    FORKS.watch(forget);
    let _callback = Callback::enter(handles);
    function()
}

/// A function of the host that runs.
struct Callback {
    kept: [Option<Entered>; 2],
}

impl Callback {
    fn enter(handles: [u64; 2]) -> Self {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() + 1));
        // A call of this thread that is in the slot keeps it anyway.
        let keep = |handle: u64| (handle != 0 && !slots::is_in(handle)).then(|| Entered::new(handle).ok());
        Self { kept: handles.map(|handle| keep(handle).flatten()) }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // What is dropped by this is dropped within the callback still: it must not wait either.
        self.kept = [None, None];
        // A child that was forked within the function begins at 0.
        let _ = DEPTH.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

/// In the child of a `fork`: its only thread is the host's, and waits for no thread of the parent.
extern "C" fn forget() {
    let _ = DEPTH.try_with(|depth| depth.set(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deeper(levels: usize) -> Result<(), Failure> {
        match levels {
            0 => refuse_too_deep(),
            _ => call_host([0, 0], || deeper(levels - 1)),
        }
    }

    #[test]
    fn callbacks_go_as_deep_as_the_limit_and_not_past_it() {
        assert!(deeper(MAX_DEPTH - 1).is_ok());
        let failure = deeper(MAX_DEPTH).expect_err("too deep");
        assert_eq!(failure.status(), Status::LMCACHE_STATUS_TOO_MANY);
        assert!(refuse_in_callback("this").is_ok(), "all of them are over");
    }

    #[test]
    fn nothing_waits_within_one() {
        let refused = call_host([0, 0], || refuse_in_callback("this"));
        assert_eq!(refused.expect_err("within").status(), Status::LMCACHE_STATUS_BUSY);
    }
}

//! The border: what comes in from C is checked here, and no panic goes out.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::ffi::border::last_error;
use crate::ffi::border::status::Status;
use crate::os::thread::Uncancellable;

/// Why a call failed. Boxed: a call that does not fail returns in registers.
#[derive(Debug)]
pub(in crate::ffi) struct Failure(Box<Reason>);

#[derive(Debug)]
enum Reason {
    /// The library says so.
    Error(Error),
    /// The interface does, and perhaps what to do about it.
    Misuse(Status, Cow<'static, str>, Option<&'static str>),
}

impl Failure {
    /// A misuse of the interface.
    #[cold]
    pub(in crate::ffi) fn misuse(status: Status, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Reason::Misuse(status, sentence.into(), None)))
    }

    /// Says what to do about a misuse.
    #[cold]
    pub(in crate::ffi) fn with_hint(mut self, hint: &'static str) -> Self {
        if let Reason::Misuse(_, _, place) = &mut *self.0 {
            *place = Some(hint);
        }
        self
    }

    /// What can never be right.
    #[cold]
    pub(in crate::ffi) fn invalid(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::misuse(Status::LMCACHE_STATUS_INVALID_ARGUMENT, sentence)
    }

    /// A NULL where none may be.
    #[cold]
    pub(in crate::ffi) fn null(what: &str) -> Self {
        Self::misuse(Status::LMCACHE_STATUS_NULL_POINTER, format!("{what} is NULL"))
    }

    pub(in crate::ffi) fn status(&self) -> Status {
        match &*self.0 {
            Reason::Error(error) => Status::of(error.kind()),
            Reason::Misuse(status, ..) => *status,
        }
    }

    pub(in crate::ffi) fn sentence(&self) -> String {
        match &*self.0 {
            Reason::Error(error) => error.to_string(),
            Reason::Misuse(_, sentence, _) => sentence.to_string(),
        }
    }

    pub(in crate::ffi) fn hint(&self) -> Option<&str> {
        match &*self.0 {
            Reason::Error(error) => error.hint(),
            Reason::Misuse(_, _, hint) => *hint,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(Box::new(Reason::Error(error)))
    }
}

/// How a call that did not fail ended, or why it failed.
pub(in crate::ffi) type Ended = Result<Status, Failure>;

/// Success.
pub(in crate::ffi) const OK: Ended = Ok(Status::LMCACHE_STATUS_OK);

/// Carries a call out. What went wrong is kept for `lmcache_last_error`; a panic is a status, and a `pthread_cancel` waits for the end.
#[inline(always)]
pub(in crate::ffi) fn guard(call: impl FnOnce() -> Ended) -> Status {
    let _uncancellable = Uncancellable::new();
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => failed(&failure),
        Err(panic) => failed(&panicked(&*panic)),
    }
}

/// Keeps what went wrong for `lmcache_last_error`.
#[cold]
#[inline(never)]
pub(in crate::ffi) fn failed(failure: &Failure) -> Status {
    // Neither the words of an error nor dropping what was thrown may let a panic out.
    let _ = catch_unwind(AssertUnwindSafe(|| last_error::set(failure)));
    failure.status()
}

/// What a panic said.
pub(in crate::ffi) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    Failure::misuse(
        Status::LMCACHE_STATUS_PANIC,
        format!("liblmcache panicked, which is a defect; please report it: {said}"),
    )
}

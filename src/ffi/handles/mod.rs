//! Handles with their types: one kind of handle for each type of object, and who may use it.
//!
//! * [`slots`]: which handles there are; a handle is looked up, never followed. [`hazards`]: which of them calls are in.
//! * [`threads`]: what a thread leaves behind. [`forks`]: what a child of `fork` must not inherit.

pub(super) mod forks;
pub(super) mod hazards;
pub(super) mod slots;
mod threads;

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ffi::border::boundary::{Ended, Failure, failed, panicked};
use crate::ffi::border::status::Status;
use crate::ffi::callbacks;
use crate::ffi::handles::hazards::MAX_DEPTH;
use crate::ffi::handles::slots::{Entered, Header, MAX_HANDLES, OwnedRefusal, Refusal};
use crate::os::thread;
use crate::sync::atomic::{AtomicBool, Ordering};

/// The kinds of handles, by the number that is in each handle of the kind. All stand here, so that no two can have one number: a handle
/// would be taken for one of another type.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ffi) enum Kind {
    Scope = 1,
    Layout,
    Recorder,
    Producer,
    Storage,
    Prefetch,
    Reader,
    Replay,
    Device,
    DeviceStream,
    PagedLayout,
    Transfer,
    DeviceMemory,
}

/// What stands behind a kind of handle.
pub(in crate::ffi) trait Object: Sized + 'static {
    /// Which kind: each type has its own.
    const KIND: Kind;
    /// What it is called in sentences.
    const NAME: &'static str;
}

/// An object that any number of threads may use at once.
pub(in crate::ffi) trait Shared: Object + Sync + Send {}

/// An object that one thread at a time may use.
pub(in crate::ffi) trait Exclusive: Object + Send {}

/// An object that belongs to the thread that made it, and goes with it at the latest.
pub(in crate::ffi) trait Owned: Object + Send {}

#[repr(C)]
struct Boxed<T> {
    header: Header,
    is_poisoned: AtomicBool,
    is_in_use: AtomicBool,
    value: UnsafeCell<T>,
}

/// # Safety
/// `header` is that of a [`Boxed<T>`] which nobody uses any more.
unsafe fn drop_boxed<T>(header: *mut Header) {
    // SAFETY: it was leaked as such a box by `new`; the caller has it alone.
    let boxed = unsafe { Box::from_raw(header.cast::<Boxed<T>>()) };
    // A destructor that panics has done what it could.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(boxed)));
}

fn insert<T: Object, C>(value: T, owner: usize) -> Result<*mut C, Failure> {
    let boxed = Box::new(Boxed {
        header: Header { drop: drop_boxed::<T> },
        is_poisoned: AtomicBool::new(false),
        is_in_use: AtomicBool::new(false),
        value: UnsafeCell::new(value),
    });
    let object = Box::into_raw(boxed);
    let Some(handle) = slots::insert(T::KIND as u8, object.cast(), owner) else {
        // SAFETY: nobody else has seen it.
        drop(unsafe { Box::from_raw(object) });
        let sentence = format!("{MAX_HANDLES} handles are open, which is the most there can be");
        return Err(Failure::misuse(Status::LMCACHE_STATUS_TOO_MANY, sentence)
            .with_hint("free handles that are used no more: what else uses a scope or a layout keeps it"));
    };
    Ok(std::ptr::without_provenance_mut(handle as usize))
}

/// A new handle of the calling thread's alone.
pub(in crate::ffi) fn new_owned<T: Owned, C>(value: T) -> Result<*mut C, Failure> {
    if !threads::watch() {
        let sentence =
            "the thread is ending, or the system has no thread-specific key left (pthread_key_create)";
        return Err(Failure::misuse(Status::LMCACHE_STATUS_IO, sentence));
    }
    let handle: *mut C = insert(value, thread::pointer())?;
    threads::note_owned(handle.addr() as u64);
    Ok(handle)
}

/// A new handle.
pub(in crate::ffi) fn new<T: Object + Send, C>(value: T) -> Result<*mut C, Failure> {
    insert(value, 0)
}

/// The number in a handle of type `T`.
#[inline(always)]
pub(in crate::ffi) fn number<T: Object, C>(handle: *const C) -> Result<u64, Failure> {
    let number = handle.addr() as u64;
    match slots::kind_of(number) == T::KIND as u8 {
        true => Ok(number),
        false => Err(wrong::<T>(number)),
    }
}

#[cold]
fn wrong<T: Object>(number: u64) -> Failure {
    match number {
        0 => Failure::null(T::NAME),
        _ => Failure::misuse(
            Status::LMCACHE_STATUS_INVALID_HANDLE,
            format!("this is no handle of a {}", T::NAME),
        ),
    }
}

#[cold]
fn gone<T: Object>() -> Failure {
    let sentence = format!("the handle of the {} was freed, or never was one", T::NAME);
    Failure::misuse(Status::LMCACHE_STATUS_INVALID_HANDLE, sentence)
}

#[cold]
fn refused<T: Object>(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Invalid => gone::<T>(),
        Refusal::Busy => busy::<T>(),
        Refusal::TooDeep => Failure::misuse(
            Status::LMCACHE_STATUS_TOO_MANY,
            format!("callbacks call the library more than {MAX_DEPTH} deep"),
        )
        .with_hint(callbacks::RETURN_FIRST),
    }
}

/// The object is in use.
#[cold]
pub(in crate::ffi) fn busy<T: Object>() -> Failure {
    let sentence =
        format!("the {} is in use: by another thread, or by the call that this one is within", T::NAME);
    Failure::misuse(Status::LMCACHE_STATUS_BUSY, sentence)
        .with_hint("let the other call end first; threads that work at the same time have one each")
}

#[cold]
fn poisoned<T: Object>() -> Failure {
    let sentence = format!("a call on this {} panicked before; only freeing it works", T::NAME);
    Failure::misuse(Status::LMCACHE_STATUS_POISONED, sentence)
}

/// Runs `call`; if it panics, the object is poisoned.
#[inline(always)]
fn run<T: Object>(is_poisoned: &AtomicBool, call: impl FnOnce() -> Ended) -> Ended {
    // Relaxed, both: the flag is all that is communicated.
    if is_poisoned.load(Ordering::Relaxed) {
        return Err(poisoned::<T>());
    }
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        is_poisoned.store(true, Ordering::Relaxed);
        Err(panicked(&*panic))
    })
}

/// A call on an object that threads share.
#[inline(always)]
pub(in crate::ffi) fn with<T: Shared, C>(handle: *const C, call: impl FnOnce(&T) -> Ended) -> Ended {
    let entered = Entered::new(number::<T, C>(handle)?).map_err(refused::<T>)?;
    // SAFETY: the kind of the handle says which type its object has, and the object stays while it is entered.
    let boxed = unsafe { &*entered.object().cast::<Boxed<T>>() };
    // SAFETY: objects that are shared are never borrowed mutably.
    run::<T>(&boxed.is_poisoned, || call(unsafe { &*boxed.value.get() }))
}

/// Frees the flag of an object that is in use.
struct InUse<'a>(&'a AtomicBool);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        // Release, with the acquire in `with_exclusive`.
        self.0.store(false, Ordering::Release);
    }
}

/// A call on an object that one thread at a time may use.
pub(in crate::ffi) fn with_exclusive<T: Exclusive, C>(
    handle: *mut C,
    call: impl FnOnce(&mut T) -> Ended,
) -> Ended {
    let entered = Entered::new(number::<T, C>(handle)?).map_err(refused::<T>)?;
    // SAFETY: as in `with`.
    let boxed = unsafe { &*entered.object().cast::<Boxed<T>>() };
    // Acquire, with the release in `InUse::drop`: what the call before did is seen.
    if boxed.is_in_use.swap(true, Ordering::Acquire) {
        return Err(busy::<T>());
    }
    let _in_use = InUse(&boxed.is_in_use);
    // SAFETY: the flag is this call's, so nobody else borrows the value.
    run::<T>(&boxed.is_poisoned, || call(unsafe { &mut *boxed.value.get() }))
}

#[cold]
fn not_owned<T: Object>(refusal: OwnedRefusal) -> Failure {
    match refusal {
        OwnedRefusal::Invalid => gone::<T>(),
        OwnedRefusal::WrongThread => Failure::misuse(
            Status::LMCACHE_STATUS_WRONG_THREAD,
            format!("the {} belongs to the thread that made it", T::NAME),
        )
        .with_hint("make one on each thread, and free it there"),
    }
}

/// A whole call on an object of the calling thread: what [`guard`](crate::ffi::border::boundary::guard) does, too, in one go, for the calls that are
/// made for every chunk of every prompt. `call` must not call back into the host, nor the system where a thread can be cancelled.
#[inline(always)]
pub(in crate::ffi) fn call_owned<T: Owned, C>(handle: *mut C, call: impl FnOnce(&mut T) -> Ended) -> Status {
    // Nothing in it but `call` can panic.
    match with_owned(handle, call) {
        Ok(status) => status,
        Err(failure) => failed(&failure),
    }
}

/// A call on an object of the calling thread.
#[inline(always)]
fn with_owned<T: Owned, C>(handle: *mut C, call: impl FnOnce(&mut T) -> Ended) -> Ended {
    let object = slots::owned(number::<T, C>(handle)?).map_err(not_owned::<T>)?;
    // SAFETY: the kind of the handle says which type its object has; only this thread can free it, which it does not do now.
    let boxed = unsafe { &*object.cast::<Boxed<T>>() };
    // SAFETY: this thread alone uses the value, and the call does not come back here.
    run::<T>(&boxed.is_poisoned, || call(unsafe { &mut *boxed.value.get() }))
}

/// Frees a handle; NULL is none and fine. What stands behind it goes when no call is in it any more.
pub(in crate::ffi) fn free<T: Object, C>(handle: *mut C) -> Ended {
    if handle.is_null() {
        return crate::ffi::border::boundary::OK;
    }
    slots::remove(number::<T, C>(handle)?).map_err(refused::<T>)?;
    crate::ffi::border::boundary::OK
}

/// Frees a handle after `last` was done with what stands behind it, which may be poisoned; NULL is none and fine. Calls of other threads
/// go on meanwhile.
pub(in crate::ffi) fn free_after<T: Shared, C>(handle: *mut C, last: impl FnOnce(&T)) -> Ended {
    if handle.is_null() {
        return crate::ffi::border::boundary::OK;
    }
    let number = number::<T, C>(handle)?;
    let entered = Entered::new(number).map_err(refused::<T>)?;
    // SAFETY: as in `with`.
    let boxed = unsafe { &*entered.object().cast::<Boxed<T>>() };
    // SAFETY: objects that are shared are never borrowed mutably.
    let done = catch_unwind(AssertUnwindSafe(|| last(unsafe { &*boxed.value.get() })));
    drop(entered);
    slots::remove(number).map_err(refused::<T>)?;
    match done {
        Ok(()) => crate::ffi::border::boundary::OK,
        Err(panic) => Err(panicked(&*panic)),
    }
}

/// Frees a handle of the calling thread.
pub(in crate::ffi) fn free_owned<T: Owned, C>(handle: *mut C) -> Ended {
    if handle.is_null() {
        return crate::ffi::border::boundary::OK;
    }
    let number = number::<T, C>(handle)?;
    slots::owned(number).map_err(not_owned::<T>)?;
    threads::forget_owned(number);
    free::<T, C>(handle)
}

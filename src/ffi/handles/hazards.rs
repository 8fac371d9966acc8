//! Which slots the calls of a thread are in: a few words a thread, which it alone writes, and which are looked at by whoever frees a handle.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::ffi::handles::threads;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};

/// Calls of one thread that can be under way at once: one, and those of callbacks within callbacks.
pub(in crate::ffi) const MAX_DEPTH: usize = 4;

/// Slots that a thread can be in at once. Each of those calls is in one, and for a moment in that of an argument; the callback that it is in
/// holds one more.
const MAX_HAZARDS: usize = 3 * MAX_DEPTH;

/// The slots that a thread is in.
struct Hazards {
    /// Numbers of slots and one, or 0.
    slots: [AtomicU32; MAX_HAZARDS],
    /// A thread has it. When it ends, another takes it: there are as many as there were threads at once.
    is_taken: AtomicBool,
    /// The address of the next one, or 0. Their memory is never given back.
    next: AtomicUsize,
}

/// The address of the first, or 0.
static FIRST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Those of this thread, from its first call on. Without a destructor, so that it is there until the thread's memory goes.
    static OWN: Cell<Option<&'static Hazards>> = const { Cell::new(None) };
}

fn all() -> impl Iterator<Item = &'static Hazards> {
    // Acquire, here and below, with the release in `add`.
    let mut next = FIRST.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: the address is that of a leaked box, or 0.
        let hazards = unsafe { (next as *const Hazards).as_ref() }?;
        next = hazards.next.load(Ordering::Acquire);
        Some(hazards)
    })
}

/// Says that the calling thread is in a slot.
pub(in crate::ffi) struct Hazard {
    place: &'static AtomicU32,
    /// Hazards for this one alone: of a thread whose end has come.
    borrowed: Option<&'static Hazards>,
    /// It is of the thread that made it.
    _not_send: PhantomData<*const ()>,
}

impl Hazard {
    /// Notes the slot. Nothing if the thread is in too many already.
    #[inline]
    pub(in crate::ffi) fn new(slot: usize) -> Option<Self> {
        let (hazards, borrowed) = match OWN.get() {
            Some(own) => (own, None),
            None => take(),
        };
        // Relaxed, here and for the store: only this thread writes them; a barrier of the caller's orders the store.
        let place = hazards.slots.iter().find(|place| place.load(Ordering::Relaxed) == 0)?;
        place.store(slot as u32 + 1, Ordering::Relaxed);
        Some(Self { place, borrowed, _not_send: PhantomData })
    }

    /// Notes that the thread is not in the slot any more.
    #[inline]
    pub(in crate::ffi) fn clear(&self) {
        // Release, with the acquire in `is_any`: what was done in the slot happened before.
        self.place.store(0, Ordering::Release);
    }
}

impl Drop for Hazard {
    #[inline]
    fn drop(&mut self) {
        if let Some(hazards) = self.borrowed {
            give_back(hazards);
        }
    }
}

/// Whether some call is in a slot.
pub(in crate::ffi) fn is_any(slot: usize) -> bool {
    all().flat_map(|hazards| &hazards.slots).any(|place| {
        // Acquire, with the release in `Hazard::clear`.
        place.load(Ordering::Acquire) == slot as u32 + 1
    })
}

/// Whether a call of this thread is in a slot.
pub(in crate::ffi) fn is_own(slot: usize) -> bool {
    // Relaxed: written by this thread.
    let is_slot = |place: &AtomicU32| place.load(Ordering::Relaxed) == slot as u32 + 1;
    OWN.get().is_some_and(|own| own.slots.iter().any(is_slot))
}

/// Whether no other thread has hazards. To be asked behind a fence.
pub(in crate::ffi) fn are_own_alone() -> bool {
    let own = OWN.get().map_or(std::ptr::null(), std::ptr::from_ref);
    // Acquire, with the release in `give_back`: what a thread did before it gave them back is done.
    all().all(|hazards| std::ptr::eq(hazards, own) || !hazards.is_taken.load(Ordering::Acquire))
}

/// Hazards for this thread; once more if they are for one call alone, since the thread's end has come and nobody would give them back.
#[cold]
fn take() -> (&'static Hazards, Option<&'static Hazards>) {
    let is_free = |hazards: &&Hazards| {
        // Acquire, with the release in `give_back`.
        let taken = hazards.is_taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok()
    };
    let hazards = all().find(is_free).unwrap_or_else(add);
    // With the one before `are_own_alone`: either this thread sees the grave, or its hazards are seen to be taken.
    fence(Ordering::SeqCst);
    if threads::has_ended() {
        return (hazards, Some(hazards));
    }
    // If nobody tells of the end, they stay this thread's for good: some bytes.
    threads::watch();
    OWN.set(Some(hazards));
    (hazards, None)
}

fn add() -> &'static Hazards {
    let hazards = Box::leak(Box::new(Hazards {
        slots: [const { AtomicU32::new(0) }; MAX_HAZARDS],
        is_taken: AtomicBool::new(true),
        next: AtomicUsize::new(0),
    }));
    let hazards: &'static Hazards = hazards;
    // Relaxed: the exchange decides.
    let mut first = FIRST.load(Ordering::Relaxed);
    loop {
        hazards.next.store(first, Ordering::Relaxed);
        let address = std::ptr::from_ref(hazards) as usize;
        // Release, with the acquire in `all`.
        match FIRST.compare_exchange(first, address, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return hazards,
            Err(other) => first = other,
        }
    }
}

fn give_back(hazards: &Hazards) {
    // Release, with the acquire in `take` and `are_own_alone`.
    hazards.is_taken.store(false, Ordering::Release);
}

/// Gives back what this thread has, at its end.
pub(in crate::ffi) fn give_back_own() {
    if let Some(hazards) = OWN.take() {
        give_back(hazards);
    }
}

/// In the child of a `fork`, whose only thread this is.
pub(in crate::ffi) fn forget_all() {
    // Relaxed: there is no other thread.
    all().flat_map(|hazards| &hazards.slots).for_each(|place| place.store(0, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::handles::slots::tests::{ALONE, watched};
    use crate::ffi::handles::slots::{Entered, remove};
    use crate::sync::lock;

    thread_local! {
        static FREES: FreesAtEnd = const { FreesAtEnd };
    }

    /// Frees a handle when its thread ends.
    struct FreesAtEnd;

    impl Drop for FreesAtEnd {
        fn drop(&mut self) {
            let (handle, is_gone) = watched();
            drop(Entered::new(handle).expect("it is there"));
            remove(handle).expect("nobody is in it");
            assert!(is_gone.load(Ordering::SeqCst));
        }
    }

    /// Threads that end one after the other need no more hazards than one, whenever they make their last call.
    #[test]
    fn hazards_of_threads_that_ended_are_taken_again() {
        const THREADS: usize = 200;
        let _alone = lock(&ALONE);
        let before = all().count();
        for round in 0..THREADS {
            let work = move || {
                let call_once = || drop(Entered::new(1));
                // Of what a call registers and what a host does, either may come first.
                if round % 2 == 0 {
                    call_once();
                }
                FREES.with(|_| ());
                call_once();
            };
            std::thread::spawn(work).join().expect("no panic");
        }
        // Other tests have threads of their own.
        let more = all().count() - before;
        assert!(more < THREADS / 4, "{more} more");
    }

    #[test]
    fn calls_after_the_end_of_a_thread_keep_nothing() {
        let _alone = lock(&ALONE);
        let (handle, is_gone) = watched();
        let thread = std::thread::spawn(move || {
            threads::end();
            for _ in 0..3 {
                let hazard = Hazard::new(1).expect("room");
                let hazards = hazard.borrowed.expect("for this one alone");
                assert!(hazards.is_taken.load(Ordering::SeqCst) && OWN.get().is_none());
                hazard.clear();
                drop(Entered::new(handle).expect("it is there"));
            }
        });
        thread.join().expect("no panic");
        remove(handle).expect("nobody is in it");
        assert!(is_gone.load(Ordering::SeqCst));
    }

    #[test]
    fn a_thread_is_in_so_many_slots_and_no_more() {
        let _alone = lock(&ALONE);
        let hazards: Vec<_> = (0..MAX_HAZARDS).map(|_| Hazard::new(7).expect("room")).collect();
        assert!(Hazard::new(7).is_none() && is_own(7) && is_any(7));
        hazards.iter().for_each(Hazard::clear);
        assert!(!is_own(7));
    }
}

//! Which handles there are: a table that is looked up by number, so that no handle of a host is ever taken for an address.
//!
//! ```text
//!  handle   generation: 40 bits | slot: 16 bits | kind: 8 bits
//!  slot     state: the handle that is in it, or a generation and one of FREE, RESERVED, GRAVE, DROPPING
//! ```
//!
//! A call *enters* a slot: it notes the slot where only its thread writes (a [hazard](crate::ffi::handles::hazards)), passes a barrier, and looks whether the
//! state is still the handle. Whoever frees the handle makes its state a grave, passes the other side of the barrier, and looks for
//! hazards. Either the call sees the grave or it is seen. A call that *leaves* takes its hazard away, passes the barrier and looks at the
//! state: if it is a grave by now, it looks for hazards as well. So the last one to leave, or whoever freed the handle if nobody was
//! there, drops the object. Neither waits for the other, and where the kernel has `membarrier(2)` entering and leaving cost no instruction
//! that locks the bus.
//!
//! A handle that belongs to a thread is not entered: nobody else takes it away, and its thread does so at its [end](crate::ffi::handles::threads), if it
//! has not before.

use crate::ffi::handles::forks::ForkWatch;
use crate::ffi::handles::hazards::{self, Hazard};
use crate::os::barrier;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Handles of all kinds that can be open at once.
pub(in crate::ffi) const MAX_HANDLES: usize = 1 << 16;

const KIND_BITS: u32 = 8;
const SLOT_BITS: u32 = 16;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;

/// What stands in the place of the kind where a slot has no handle. The kinds of handles are between.
const FREE: u64 = 0;
const DROPPING: u64 = 0xfd;
const GRAVE: u64 = 0xfe;
const RESERVED: u64 = 0xff;

/// Why a handle could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ffi) enum Refusal {
    /// It is none, or none any more.
    Invalid,
    /// It is of a call that this one is within.
    Busy,
    /// Too many calls are within each other.
    TooDeep,
}

/// What every object begins with.
#[repr(C)]
pub(in crate::ffi) struct Header {
    /// Drops the object that begins here.
    pub(in crate::ffi) drop: unsafe fn(*mut Header),
}

/// Aligned, so that none lies in two cache lines.
#[repr(align(32))]
struct Slot {
    state: AtomicU64,
    /// The address of the object.
    object: AtomicUsize,
    /// For a handle of one thread, that thread; else 0. Another thread can get the same number when that one is gone, and its handles
    /// are gone by then.
    owner: AtomicUsize,
}

struct Table {
    slots: [Slot; MAX_HANDLES],
    /// Where the next search for a free slot begins: slots take turns, so that it takes long until one comes again.
    cursor: AtomicUsize,
    /// There may be graves that nobody comes back to: the kernel refused the barrier.
    has_forgotten_graves: AtomicBool,
}

static TABLE: Table = Table {
    slots: [const { Slot { state: AtomicU64::new(0), object: AtomicUsize::new(0), owner: AtomicUsize::new(0) } };
        MAX_HANDLES],
    cursor: AtomicUsize::new(0),
    has_forgotten_graves: AtomicBool::new(false),
};

fn slot_of(handle: u64) -> usize {
    (handle >> KIND_BITS) as usize & (MAX_HANDLES - 1)
}

/// The state of a slot whose generation is that of `state`, with another kind.
fn with_kind(state: u64, kind: u64) -> u64 {
    state & !KIND_MASK | kind
}

/// The kind that a handle says it is of.
pub(in crate::ffi) fn kind_of(handle: u64) -> u8 {
    handle as u8
}

static FORKS: ForkWatch = ForkWatch::new();

/// Takes in an object, and returns its handle; nothing if there are [`MAX_HANDLES`]. `owner` is the thread that it belongs to, or 0.
pub(in crate::ffi) fn insert(kind: u8, object: *mut Header, owner: usize) -> Option<u64> {
    barrier::prepare();
    FORKS.watch(forget_all);
    for _ in 0..MAX_HANDLES {
        // Relaxed: where a search begins.
        let number = TABLE.cursor.fetch_add(1, Ordering::Relaxed) % MAX_HANDLES;
        let slot = &TABLE.slots[number];
        // Relaxed: the exchange decides.
        let state = slot.state.load(Ordering::Relaxed);
        if state & KIND_MASK != FREE {
            continue;
        }
        // Acquire, with the release in `bury`: the object before is gone.
        let reserved = slot.state.compare_exchange(
            state,
            with_kind(state, RESERVED),
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if reserved.is_err() {
            continue;
        }
        let generation = state >> (KIND_BITS + SLOT_BITS);
        let handle = (generation << SLOT_BITS | number as u64) << KIND_BITS | u64::from(kind);
        // Relaxed, both: the release below publishes them.
        slot.object.store(object as usize, Ordering::Relaxed);
        slot.owner.store(owner, Ordering::Relaxed);
        // Release, with the acquire in `Entered::new` and `owned`.
        slot.state.store(handle, Ordering::Release);
        return Some(handle);
    }
    None
}

/// The object of a handle that belongs to the calling thread, and to no other thread.
#[inline(always)]
pub(in crate::ffi) fn owned(handle: u64) -> Result<*mut Header, OwnedRefusal> {
    let slot = &TABLE.slots[slot_of(handle)];
    // Acquire, with the release in `insert`. Nobody but its thread takes a handle away that has an owner.
    if slot.state.load(Ordering::Acquire) != handle {
        return Err(OwnedRefusal::Invalid);
    }
    // Relaxed, both: see above.
    if slot.owner.load(Ordering::Relaxed) != crate::os::thread::pointer() {
        return Err(OwnedRefusal::WrongThread);
    }
    Ok(slot.object.load(Ordering::Relaxed) as *mut Header)
}

/// Why a handle is not the calling thread's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ffi) enum OwnedRefusal {
    /// It is none, or none any more.
    Invalid,
    /// It is another's.
    WrongThread,
}

/// Whether a handle is there at this moment.
#[inline(always)]
pub(in crate::ffi) fn is_there(handle: u64) -> bool {
    // Relaxed: nothing behind the handle is looked at.
    TABLE.slots[slot_of(handle)].state.load(Ordering::Relaxed) == handle
}

/// Whether a call of this thread is in the slot of a handle.
pub(in crate::ffi) fn is_in(handle: u64) -> bool {
    hazards::is_own(slot_of(handle))
}

/// A call that is in a slot: the object stays until it is dropped.
pub(in crate::ffi) struct Entered {
    number: usize,
    hazard: Hazard,
}

impl Entered {
    /// Enters the slot of `handle`.
    #[inline]
    pub(in crate::ffi) fn new(handle: u64) -> Result<Self, Refusal> {
        let number = slot_of(handle);
        let entered = Self { number, hazard: Hazard::new(number).ok_or(Refusal::TooDeep)? };
        // With `pass_barrier` in `bury`: either this thread sees the grave, or its hazard is seen.
        barrier::light();
        // Acquire, with the release in `insert`: the object is whole. Who is refused leaves as any other: its hazard may have been
        // seen by whoever frees what is in the slot.
        match TABLE.slots[number].state.load(Ordering::Acquire) == handle {
            true => Ok(entered),
            false => Err(Refusal::Invalid),
        }
    }

    /// The object, which stays as long as this value.
    pub(in crate::ffi) fn object(&self) -> *mut Header {
        // Relaxed: published by the state.
        TABLE.slots[self.number].object.load(Ordering::Relaxed) as *mut Header
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        self.hazard.clear();
        // With `pass_barrier` in `bury`: either this thread sees the grave, or its hazard is seen to be gone.
        barrier::light();
        // Relaxed: the exchange in `bury` decides.
        let state = TABLE.slots[self.number].state.load(Ordering::Relaxed);
        if state & KIND_MASK == GRAVE {
            bury(self.number, state);
        }
    }
}

/// Takes a handle away. Its object is dropped as soon as no call is in it.
pub(in crate::ffi) fn remove(handle: u64) -> Result<(), Refusal> {
    bury_forgotten();
    let number = slot_of(handle);
    if is_in(handle) {
        return Err(if is_there(handle) { Refusal::Busy } else { Refusal::Invalid });
    }
    let grave = with_kind(handle, GRAVE);
    // AcqRel: after what the last call saw, before what comes in this slot.
    TABLE.slots[number]
        .state
        .compare_exchange(handle, grave, Ordering::AcqRel, Ordering::Relaxed)
        .map_err(|_| Refusal::Invalid)?;
    bury(number, grave);
    Ok(())
}

/// Drops what is in a slot whose state was seen to be `grave`, unless a call is in it: then that does it. The state was seen before hazards
/// are looked for, and has to be the same one after: by then the object may be gone, another one may have come, been entered and freed.
#[cold]
fn bury(number: usize, grave: u64) {
    match pass_barrier() {
        true => drop_unless_in_use(number, grave),
        // Relaxed: see `bury_forgotten`.
        false => TABLE.has_forgotten_graves.store(true, Ordering::Relaxed),
    }
}

/// The other side of what calls pass when they enter and leave. False if it cannot be passed: a call may be in a slot unseen.
fn pass_barrier() -> bool {
    // `heavy` is a fence in any case; threads without hazards are in no slot, and pass one before they enter their first.
    barrier::heavy() || hazards::are_own_alone()
}

/// Buries what could not be before.
pub(in crate::ffi) fn bury_forgotten() {
    // Relaxed, both: who frees a handle later than that comes here later, too.
    if !TABLE.has_forgotten_graves.load(Ordering::Relaxed)
        || !TABLE.has_forgotten_graves.swap(false, Ordering::Relaxed)
    {
        return;
    }
    // Relaxed: the exchange in `drop_unless_in_use` decides.
    let states = TABLE.slots.iter().map(|slot| slot.state.load(Ordering::Relaxed)).enumerate();
    let graves: Vec<_> = states.filter(|(_, state)| state & KIND_MASK == GRAVE).collect();
    match pass_barrier() {
        true => graves.into_iter().for_each(|(number, grave)| drop_unless_in_use(number, grave)),
        false => TABLE.has_forgotten_graves.store(true, Ordering::Relaxed),
    }
}

/// What [`bury`] does behind the barrier.
fn drop_unless_in_use(number: usize, grave: u64) {
    if hazards::is_any(number) {
        return;
    }
    let slot = &TABLE.slots[number];
    // AcqRel: after what the last call did; of several that see no hazard one drops the object.
    let taken =
        slot.state.compare_exchange(grave, with_kind(grave, DROPPING), Ordering::AcqRel, Ordering::Relaxed);
    if taken.is_err() {
        return;
    }
    // Relaxed: as in `Entered::object`.
    let object = slot.object.load(Ordering::Relaxed) as *mut Header;
    // SAFETY: the object was taken in by `insert`, its handle is gone, no call is in it, and the exchange above was this
    // thread's, so nobody else has it.
    let drop = unsafe { (*object).drop };
    // SAFETY: as above; the function is the one that the object came with.
    unsafe { drop(object) };
    // Release, with the acquire in `insert`.
    slot.state.store(next_free(number, grave), Ordering::Release);
}

/// The state of a slot whose object is gone, before the next one comes.
fn next_free(number: usize, state: u64) -> u64 {
    let generation = (state >> (KIND_BITS + SLOT_BITS)).wrapping_add(1);
    (generation << SLOT_BITS | number as u64) << KIND_BITS | FREE
}

/// In the child of a `fork`, whose only thread this is: handles are gone, and what they stood for is left alone, since the threads
/// behind it are not there.
extern "C" fn forget_all() {
    // Relaxed, all: there is no other thread.
    TABLE.has_forgotten_graves.store(false, Ordering::Relaxed);
    for (number, slot) in TABLE.slots.iter().enumerate() {
        let state = slot.state.load(Ordering::Relaxed);
        if state & KIND_MASK != FREE {
            slot.state.store(next_free(number, state), Ordering::Relaxed);
        }
    }
    hazards::forget_all();
}

#[cfg(test)]
pub(in crate::ffi) mod tests {
    use super::*;
    use crate::sync::{Arc, Mutex, lock};

    /// One of these tests takes every slot in turn, which those that expect to find theirs again do not stand.
    pub(in crate::ffi) static ALONE: Mutex<()> = Mutex::new(());

    const KIND: u8 = 0xf0;

    /// Says when it goes.
    #[repr(C)]
    struct Watched {
        header: Header,
        is_gone: Arc<AtomicBool>,
    }

    /// # Safety
    /// `header` is that of a [`Watched`] that nobody uses any more.
    unsafe fn drop_watched(header: *mut Header) {
        // SAFETY: it was leaked as such a box by `watched`.
        let watched = unsafe { Box::from_raw(header.cast::<Watched>()) };
        assert!(!watched.is_gone.swap(true, Ordering::SeqCst), "dropped twice");
    }

    pub(in crate::ffi) fn watched() -> (u64, Arc<AtomicBool>) {
        let is_gone = Arc::<AtomicBool>::default();
        let watched = Watched { header: Header { drop: drop_watched }, is_gone: Arc::clone(&is_gone) };
        let handle = insert(KIND, Box::into_raw(Box::new(watched)).cast(), 0).expect("a slot");
        (handle, is_gone)
    }

    #[test]
    fn an_object_goes_with_its_handle_or_with_the_last_call_that_is_in_it() {
        let _alone = lock(&ALONE);
        let (handle, is_gone) = watched();
        drop(Entered::new(handle).expect("it is there"));
        remove(handle).expect("nobody is in it");
        assert!(is_gone.load(Ordering::SeqCst));
        assert_eq!(remove(handle), Err(Refusal::Invalid));
        assert!(matches!(Entered::new(handle), Err(Refusal::Invalid)));

        let (handle, is_gone) = watched();
        let calls = [(); 2].map(|()| Entered::new(handle).expect("it is there"));
        assert_eq!(remove(handle), Err(Refusal::Busy), "by this thread");
        std::thread::scope(|scope| scope.spawn(|| remove(handle)).join().expect("no panic")).expect("freed");
        assert!(matches!(Entered::new(handle), Err(Refusal::Invalid)));
        let [first, last] = calls;
        drop(first);
        assert!(!is_gone.load(Ordering::SeqCst));
        drop(last);
        assert!(is_gone.load(Ordering::SeqCst));
    }

    /// Whoever saw a grave may be slow: by then another object is in the slot, in use and freed.
    #[test]
    fn a_grave_that_was_seen_long_ago_costs_no_later_object() {
        let _alone = lock(&ALONE);
        let (handle, is_gone) = watched();
        let (number, old_grave) = (slot_of(handle), with_kind(handle, GRAVE));
        remove(handle).expect("nobody is in it");
        assert!(is_gone.load(Ordering::SeqCst));
        let is_later_gone = Arc::<AtomicBool>::default();
        let later = Watched { header: Header { drop: drop_watched }, is_gone: Arc::clone(&is_later_gone) };
        let slot = &TABLE.slots[number];
        let later_grave = with_kind(next_free(number, old_grave), GRAVE);
        // The later one takes the slot at once, though its turn would be long after.
        let free = slot.state.swap(with_kind(later_grave, RESERVED), Ordering::SeqCst);
        assert_eq!(free, next_free(number, old_grave), "nobody else has taken it");
        slot.object.store(Box::into_raw(Box::new(later)) as usize, Ordering::SeqCst);
        slot.state.store(later_grave, Ordering::SeqCst);
        bury(number, old_grave);
        assert!(!is_later_gone.load(Ordering::SeqCst));
        bury(number, later_grave);
        assert!(is_later_gone.load(Ordering::SeqCst));
    }

    /// As after a refusal of the kernel's.
    #[test]
    fn forgotten_graves_are_found_with_the_next_that_is_freed() {
        let _alone = lock(&ALONE);
        let (forgotten, is_gone) = watched();
        let (other, _) = watched();
        let slot = &TABLE.slots[slot_of(forgotten)];
        slot.state.store(with_kind(forgotten, GRAVE), Ordering::SeqCst);
        TABLE.has_forgotten_graves.store(true, Ordering::SeqCst);
        assert!(!is_gone.load(Ordering::SeqCst), "nobody has looked for it");
        remove(other).expect("nobody is in it");
        assert!(is_gone.load(Ordering::SeqCst));
        assert!(matches!(Entered::new(forgotten), Err(Refusal::Invalid)));
    }

    #[test]
    fn numbers_come_back_as_other_handles() {
        let _alone = lock(&ALONE);
        let (first, _) = watched();
        remove(first).expect("nobody is in it");
        let mut tries = 0;
        let again = loop {
            let (handle, _) = watched();
            tries += 1;
            if slot_of(handle) == slot_of(first) {
                break handle;
            }
            remove(handle).expect("nobody is in it");
        };
        assert!(again != first && tries > MAX_HANDLES / 2, "slots take turns ({tries})");
        assert_eq!(remove(first), Err(Refusal::Invalid));
        remove(again).expect("nobody is in it");
    }
}

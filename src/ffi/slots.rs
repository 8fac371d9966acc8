//! Which handles there are: a table that is looked up by number, so that no handle of a host is ever taken for an address.
//!
//! ```text
//!  handle   generation: 40 bits | slot: 16 bits | kind: 8 bits
//!  slot     state: the handle that is in it, or a generation and one of FREE, RESERVED, GRAVE, DROPPING
//! ```
//!
//! A call *enters* a slot: it notes the slot where only its thread writes (a hazard), passes a barrier, and looks whether the
//! state is still the handle. Whoever frees the handle makes its state a grave, passes the other side of the barrier, and looks for
//! hazards. Either the call sees the grave or it is seen. A call that *leaves* takes its hazard away, passes the barrier and looks at the
//! state: if it is a grave by now, it looks for hazards as well. So the last one to leave, or whoever freed the handle if nobody was
//! there, drops the object. Neither waits for the other, and a call costs no instruction that locks the bus.

use std::cell::Cell;
use std::marker::PhantomData;

use crate::os::barrier;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Handles of all kinds that can be open at once.
pub(super) const MAX_HANDLES: usize = 1 << 16;

/// Calls of one thread that can be under way at once: one, and those of callbacks within callbacks.
pub(super) const MAX_DEPTH: usize = 4;

/// Slots that a thread can be in at once: each of those calls is in one, looks up what its arguments name, and the callback that it comes
/// from holds another.
const MAX_HAZARDS: usize = 3 * MAX_DEPTH;

const KIND_BITS: u32 = 8;
const SLOT_BITS: u32 = 16;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;

/// Kinds of a slot that hold no handle; those of handles are between them.
const FREE: u64 = 0;
const DROPPING: u64 = 0xfd;
const GRAVE: u64 = 0xfe;
const RESERVED: u64 = 0xff;

/// Why a handle could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is none, or none any more.
    Invalid,
    /// It is of a call that this one is within.
    Busy,
    /// Too many calls are within each other.
    TooDeep,
}

/// What every object begins with.
#[repr(C)]
pub(super) struct Header {
    /// Drops the object that begins here.
    pub(super) drop: unsafe fn(*mut Header),
}

struct Slot {
    state: AtomicU64,
    /// The address of the object.
    object: AtomicUsize,
    /// For a handle of one thread, that thread; else 0.
    owner: AtomicUsize,
}

/// The slots that a thread's calls are in; written by that thread alone.
struct Hazards {
    /// Slots and one, or 0.
    slots: [AtomicU32; MAX_HAZARDS],
    is_taken: AtomicBool,
    /// The address of the next one; they are never given back.
    next: AtomicUsize,
}

struct Table {
    slots: [Slot; MAX_HANDLES],
    /// Where the next search for a free slot begins: those that were free for longest come first.
    cursor: AtomicUsize,
    /// The address of the first of all hazards.
    hazards: AtomicUsize,
}

static TABLE: Table = Table {
    slots: [const { Slot { state: AtomicU64::new(0), object: AtomicUsize::new(0), owner: AtomicUsize::new(0) } };
        MAX_HANDLES],
    cursor: AtomicUsize::new(0),
    hazards: AtomicUsize::new(0),
};

fn slot_of(handle: u64) -> usize {
    (handle >> KIND_BITS) as usize & (MAX_HANDLES - 1)
}

/// The state of a slot whose generation is that of `state`, with another kind.
fn with_kind(state: u64, kind: u64) -> u64 {
    state & !KIND_MASK | kind
}

/// The kind that a handle says it is of.
pub(super) fn kind_of(handle: u64) -> u8 {
    handle as u8
}

/// Takes in an object, and returns its handle; nothing if there are [`MAX_HANDLES`]. `owner` is the thread that it belongs to, or 0.
pub(super) fn insert(kind: u8, object: *mut Header, owner: usize) -> Option<u64> {
    barrier::prepare();
    watch_forks();
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
pub(super) fn owned(handle: u64) -> Result<*mut Header, OwnedRefusal> {
    let slot = &TABLE.slots[slot_of(handle)];
    // Acquire, with the release in `insert`. Nobody but this thread takes a handle of its own away.
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
pub(super) enum OwnedRefusal {
    /// It is none, or none any more.
    Invalid,
    /// It is another's.
    WrongThread,
}

/// Whether a handle is there at this moment.
#[inline(always)]
pub(super) fn is_there(handle: u64) -> bool {
    // Relaxed: nothing behind the handle is looked at.
    TABLE.slots[slot_of(handle)].state.load(Ordering::Relaxed) == handle
}

/// Whether a call of this thread is in the slot of a handle.
pub(super) fn is_in(handle: u64) -> bool {
    let mark = slot_of(handle) as u32 + 1;
    // Relaxed: written by this thread.
    own_hazards().slots.iter().any(|hazard| hazard.load(Ordering::Relaxed) == mark)
}

/// A call that is in a slot: the object stays until it is dropped.
pub(super) struct Entered {
    number: usize,
    hazard: &'static AtomicU32,
    /// Hazards belong to the thread that wrote them.
    _not_send: PhantomData<*const ()>,
}

impl Entered {
    /// Enters the slot of `handle`.
    #[inline]
    pub(super) fn new(handle: u64) -> Result<Self, Refusal> {
        let number = slot_of(handle);
        // Relaxed, here and for the store: only this thread writes its hazards; the barrier orders the store.
        let free = |hazard: &&AtomicU32| hazard.load(Ordering::Relaxed) == 0;
        let hazard = own_hazards().slots.iter().find(free).ok_or(Refusal::TooDeep)?;
        hazard.store(number as u32 + 1, Ordering::Relaxed);
        let entered = Self { number, hazard, _not_send: PhantomData };
        // With `heavy` in `bury`: either this thread sees the grave, or its hazard is seen.
        barrier::light();
        // Acquire, with the release in `insert`: the object is whole. Who is refused leaves as any other: its hazard may have been
        // seen by whoever frees what is in the slot.
        match TABLE.slots[number].state.load(Ordering::Acquire) == handle {
            true => Ok(entered),
            false => Err(Refusal::Invalid),
        }
    }

    /// The object, which stays as long as this value.
    pub(super) fn object(&self) -> *mut Header {
        // Relaxed: published by the state.
        TABLE.slots[self.number].object.load(Ordering::Relaxed) as *mut Header
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        // Release, with the acquire in `is_hazard`: what this call did happened before the object is dropped.
        self.hazard.store(0, Ordering::Release);
        // With `heavy` in `bury`: either this thread sees the grave, or its hazard is seen to be gone.
        barrier::light();
        // Relaxed: the exchange in `bury` decides.
        let state = TABLE.slots[self.number].state.load(Ordering::Relaxed);
        if state & KIND_MASK == GRAVE {
            bury(self.number, state);
        }
    }
}

/// Takes a handle away. Its object is dropped as soon as no call is in it.
pub(super) fn remove(handle: u64) -> Result<(), Refusal> {
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
    barrier::heavy();
    if is_hazard(number) {
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

/// Whether some call is in a slot.
fn is_hazard(number: usize) -> bool {
    all_hazards().flat_map(|hazards| &hazards.slots).any(|hazard| {
        // Acquire, with the release in `Entered::drop`.
        hazard.load(Ordering::Acquire) == number as u32 + 1
    })
}

fn all_hazards() -> impl Iterator<Item = &'static Hazards> {
    // Acquire, here and below, with the release in `take_hazards`.
    let mut next = TABLE.hazards.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: the address is that of a leaked box, or 0.
        let hazards = unsafe { (next as *const Hazards).as_ref() }?;
        next = hazards.next.load(Ordering::Acquire);
        Some(hazards)
    })
}

thread_local! {
    static OWN: Cell<Option<&'static Hazards>> = const { Cell::new(None) };
    static GIVES_BACK: GivesBack = const { GivesBack };
}

/// Gives a thread's hazards back at its end.
struct GivesBack;

impl Drop for GivesBack {
    fn drop(&mut self) {
        if let Some(hazards) = OWN.take() {
            // Release, with the acquire in `take_hazards`.
            hazards.is_taken.store(false, Ordering::Release);
        }
    }
}

#[inline(always)]
fn own_hazards() -> &'static Hazards {
    match OWN.get() {
        Some(hazards) => hazards,
        None => take_hazards(),
    }
}

#[cold]
fn take_hazards() -> &'static Hazards {
    let take = |hazards: &&Hazards| {
        let exchange = hazards.is_taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        exchange.is_ok()
    };
    let hazards = all_hazards().find(take).unwrap_or_else(add_hazards);
    OWN.set(Some(hazards));
    // A thread that is ending already keeps them for good: some bytes.
    let _ = GIVES_BACK.try_with(|_| ());
    hazards
}

fn add_hazards() -> &'static Hazards {
    let hazards = Box::leak(Box::new(Hazards {
        slots: [const { AtomicU32::new(0) }; MAX_HAZARDS],
        is_taken: AtomicBool::new(true),
        next: AtomicUsize::new(0),
    }));
    let hazards: &'static Hazards = hazards;
    // Relaxed: the exchange decides.
    let mut first = TABLE.hazards.load(Ordering::Relaxed);
    loop {
        hazards.next.store(first, Ordering::Relaxed);
        let address = std::ptr::from_ref(hazards) as usize;
        // Release, with the acquire in `all_hazards`.
        match TABLE.hazards.compare_exchange(first, address, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return hazards,
            Err(other) => first = other,
        }
    }
}

/// Has handles of a process be none in its children.
fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    // Relaxed: registering twice does no harm.
    if !WATCHED.swap(true, Ordering::Relaxed) {
        crate::os::host::in_forked_children(forget_all);
    }
}

/// In the child of a `fork`, whose only thread this is: handles are gone, and what they stood for is left alone, since the threads
/// behind it are not there.
extern "C" fn forget_all() {
    // Relaxed, all: there is no other thread.
    for (number, slot) in TABLE.slots.iter().enumerate() {
        let state = slot.state.load(Ordering::Relaxed);
        if state & KIND_MASK != FREE {
            slot.state.store(next_free(number, state), Ordering::Relaxed);
        }
    }
    all_hazards().flat_map(|hazards| &hazards.slots).for_each(|hazard| hazard.store(0, Ordering::Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Arc, Mutex, lock};

    /// One of these tests takes every slot in turn, which those that expect to find theirs again do not stand.
    static ALONE: Mutex<()> = Mutex::new(());

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

    fn watched() -> (u64, Arc<AtomicBool>) {
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

//! What a thread of the host keeps here, and what becomes of it when the thread ends.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;

use crate::ffi::handles::{hazards, slots};
use crate::os::thread_end::ThreadEnd;

// Neither has a destructor, so that both are there until the thread's memory goes.
thread_local! {
    /// Handles that belong to this thread.
    static OWNED: RefCell<ManuallyDrop<Vec<u64>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    /// Nobody gives back any more what this thread keeps.
    static HAS_ENDED: Cell<bool> = const { Cell::new(false) };
}

static END: ThreadEnd = ThreadEnd::new(end);

/// Frees what the calling thread leaves behind, and gives its hazards back.
pub(in crate::ffi) fn end() {
    let owned = ManuallyDrop::into_inner(OWNED.replace(ManuallyDrop::new(Vec::new())));
    for handle in owned {
        // In a child of `fork` it is none any more.
        let _ = slots::remove(handle);
    }
    HAS_ENDED.set(true);
    hazards::give_back_own();
    slots::bury_forgotten();
}

/// Has [`end`] come when the calling thread ends. False if it does not.
pub(in crate::ffi) fn watch() -> bool {
    !has_ended() && END.watch()
}

/// Whether it has come.
pub(in crate::ffi) fn has_ended() -> bool {
    HAS_ENDED.get()
}

/// A handle that belongs to this thread has come.
pub(in crate::ffi) fn note_owned(handle: u64) {
    OWNED.with_borrow_mut(|owned| owned.push(handle));
}

/// Such a handle goes.
pub(in crate::ffi) fn forget_owned(handle: u64) {
    OWNED.with_borrow_mut(|owned| owned.retain(|known| *known != handle));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::handles::slots::tests::{ALONE, watched};
    use crate::ffi::handles::slots::{Refusal, remove};
    use crate::sync::atomic::Ordering;
    use crate::sync::lock;

    #[test]
    fn a_thread_that_ends_takes_its_handles_with_it() {
        let _alone = lock(&ALONE);
        let thread = std::thread::spawn(|| {
            let ((kept, is_gone), (freed, _)) = (watched(), watched());
            assert!(watch());
            note_owned(kept);
            note_owned(freed);
            remove(freed).expect("nobody is in it");
            forget_owned(freed);
            (kept, freed, is_gone)
        });
        let (kept, freed, is_gone) = thread.join().expect("no panic");
        assert!(is_gone.load(Ordering::SeqCst));
        assert_eq!([kept, freed].map(remove), [Err(Refusal::Invalid); 2]);
    }

    #[test]
    fn a_thread_that_has_ended_keeps_nothing_more() {
        let ended = std::thread::spawn(|| {
            end();
            (has_ended(), watch())
        });
        assert_eq!(ended.join().expect("no panic"), (true, false));
    }
}

//! Handles that are freed while other threads use them, and while threads come and go, over and over: what ThreadSanitizer is to look at.
//!
//! ```text
//! cargo run --example handle_stress 2000
//! ```

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use lmcache::ffi::border::status::Status;
use lmcache::ffi::keys::{
    lmcache_layout, lmcache_layout_free, lmcache_layout_new, lmcache_layout_size_bytes, lmcache_tensor,
};

const THREADS: usize = 3;

/// After so many rounds a thread comes, asks once, and goes.
const ROUNDS_PER_GUEST: u64 = 16;

/// A layout of so many bytes.
#[expect(unsafe_code, reason = "the functions of C are called as C calls them")]
fn layout(bytes: u64) -> *mut lmcache_layout {
    let tensor = lmcache_tensor { shape: &bytes, dimensions: 1, dtype: c"torch.uint8".as_ptr() };
    let mut layout = std::ptr::null_mut();
    // SAFETY: all pointers are to values that outlive the call.
    let made = unsafe { lmcache_layout_new(&tensor, 1, &mut layout) };
    assert_eq!(made, Status::LMCACHE_STATUS_OK);
    layout
}

/// Asks for the size of whatever layout is there, until told to stop. Returns how often it was answered and refused.
#[expect(unsafe_code, reason = "the functions of C are called as C calls them")]
fn ask(current: &AtomicPtr<lmcache_layout>, is_over: &AtomicBool) -> (u64, u64) {
    let (mut answered, mut refused) = (0, 0);
    loop {
        let mut bytes = 0;
        // SAFETY: the output outlives the call; the handle may be gone, which is what is tried here.
        match unsafe { lmcache_layout_size_bytes(current.load(Ordering::Relaxed), &mut bytes) } {
            Status::LMCACHE_STATUS_OK => answered += 1,
            Status::LMCACHE_STATUS_INVALID_HANDLE => refused += 1,
            other => panic!("{other:?}"),
        }
        assert!(bytes <= 1 << 20, "an object that is gone was looked at");
        if is_over.load(Ordering::Relaxed) {
            return (answered, refused);
        }
    }
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(2000_u64);
    let (current, is_over) = (AtomicPtr::new(layout(1)), AtomicBool::new(false));
    let (answered, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let (own_answered, own_refused) = ask(&current, &is_over);
                answered.fetch_add(own_answered, Ordering::Relaxed);
                refused.fetch_add(own_refused, Ordering::Relaxed);
            });
        }
        for round in 0..rounds {
            if round.is_multiple_of(ROUNDS_PER_GUEST) {
                scope.spawn(|| ask(&current, &AtomicBool::new(true)));
            }
            let before = current.swap(layout(round % (1 << 20) + 1), Ordering::Relaxed);
            assert_eq!(lmcache_layout_free(before), Status::LMCACHE_STATUS_OK);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(lmcache_layout_free(current.into_inner()), Status::LMCACHE_STATUS_OK);
    println!("{rounds} layouts, {} answers, {} refusals", answered.into_inner(), refused.into_inner());
}

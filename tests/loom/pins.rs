//! Pins: an owner that releases a span while its I/O ends, in every interleaving and with every value that the
//! memory model lets a load return.

#[path = "../../src/storage/memory/span.rs"]
#[expect(unreachable_pub, reason = "the file stands in another crate here")]
mod span;
#[path = "../../src/storage/memory/pins.rs"]
#[expect(unreachable_pub, dead_code, reason = "the file stands in another crate here")]
mod table;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use span::Span;
use table::{Pins, Released};

/// The bytes of two spans. Loom refuses a cell that one thread writes while another may still use it.
struct Memory {
    pins: Pins,
    spans: [UnsafeCell<u64>; 2],
}

fn span(position: usize) -> Span {
    Span { offset_bytes: position as u64, phy_size_bytes: 1, size_bytes: 1 }
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self { pins: Pins::default(), spans: Default::default() })
    }

    fn write(&self, position: usize) {
        // SAFETY: loom checks what is to be shown here, that nobody else has the span.
        self.spans[position].with_mut(|cell| unsafe { *cell += 1 });
    }

    /// An I/O of another thread on the span, under a pin that was made here.
    fn start_io(memory: &Arc<Self>, position: usize) -> thread::JoinHandle<()> {
        memory.pins.pin(position as u64);
        let memory = Arc::clone(memory);
        thread::spawn(move || {
            memory.write(position);
            memory.pins.unpin(position as u64);
        })
    }

    /// Lets go of the span, and writes it as its next owner if it may. Says whether it did.
    fn reuse(&self, position: usize) -> bool {
        let is_free = self.pins.release(span(position)) == Released::Now;
        if is_free {
            self.write(position);
        }
        is_free
    }

    /// Writes the spans that came back as their next owner. Returns how many.
    fn collect(&self) -> usize {
        let spans = self.pins.take_unpinned();
        spans.iter().for_each(|span| self.write(span.offset_bytes as usize));
        spans.len()
    }
}

#[test]
fn a_span_is_reused_after_its_io() {
    loom::model(|| {
        let memory = Memory::new();
        let io = Memory::start_io(&memory, 0);
        let mut reused = usize::from(memory.reuse(0));
        reused += memory.collect();
        io.join().expect("the I/O does not panic");
        reused += memory.collect();
        assert_eq!(reused, 1);
        assert_eq!(memory.pins.counts(), table::PinCounts::default());
        assert!(memory.reuse(0));
    });
}

#[test]
fn two_pins_on_one_span_are_both_waited_for() {
    loom::model(|| {
        let memory = Memory::new();
        // Two I/Os that read: each has the other's leave to.
        let read = |memory: &Arc<Memory>| {
            memory.pins.pin(0);
            let memory = Arc::clone(memory);
            thread::spawn(move || {
                // SAFETY: as in `write`.
                memory.spans[0].with(|cell| unsafe { *cell });
                memory.pins.unpin(0);
            })
        };
        let ios = [read(&memory), read(&memory)];
        let mut reused = usize::from(memory.reuse(0));
        reused += memory.collect();
        ios.into_iter().for_each(|io| io.join().expect("the I/O does not panic"));
        reused += memory.collect();
        assert_eq!(reused, 1);
    });
}

#[test]
fn the_pin_of_another_span_delays_nobody() {
    loom::model(|| {
        let memory = Memory::new();
        let io = Memory::start_io(&memory, 0);
        assert!(memory.reuse(1), "nobody uses it");
        assert!(memory.reuse(1));
        io.join().expect("the I/O does not panic");
        assert_eq!(memory.collect(), 0);
        assert!(memory.reuse(0));
    });
}

#[test]
fn a_span_that_is_pinned_anew_waits_again() {
    loom::model(|| {
        let memory = Memory::new();
        let io = Memory::start_io(&memory, 0);
        if memory.reuse(0) || memory.collect() == 1 {
            // It has a next owner, whose I/O meets the end of the first one's.
            let next = Memory::start_io(&memory, 0);
            let mut reused = usize::from(memory.reuse(0));
            next.join().expect("the I/O does not panic");
            reused += memory.collect();
            assert_eq!(reused, 1);
        }
        io.join().expect("the I/O does not panic");
    });
}

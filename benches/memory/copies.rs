//! Copies into, out of and inside the arena, beside `memcpy`, with both sides out of the caches: each copy works on
//! another object of 256 MiB, of which there are two.

use std::hint::black_box;
use std::sync::Arc;

use lmcache::storage::memory::{Arena, ArenaOptions, PinnedSpan, Span};

use crate::harness::{Effort, Row, Unit, run};

const ARENA_BYTES: usize = 256 << 20;
/// What one turn of a row copies.
const TURN_BYTES: usize = 16 << 20;
const SIZES: [usize; 5] = [64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];

/// A walk over all objects of a size, a large prime number of objects at a time.
struct Walk {
    size: usize,
    next: usize,
}

impl Walk {
    /// The offsets of the next objects, one turn's worth.
    fn turn(&mut self) -> impl Iterator<Item = usize> {
        let (size, first) = (self.size, self.next);
        let (objects, of_turn) = (ARENA_BYTES / size, TURN_BYTES / size);
        self.next = (first + of_turn) % objects;
        (first..first + of_turn).map(move |object| object * 7_919 % objects * size)
    }
}

fn spans(arena: &Arc<Arena>, size: usize) -> Vec<PinnedSpan> {
    let span = |object: usize| Span {
        offset_bytes: (object * size) as u64,
        phy_size_bytes: size as u64,
        size_bytes: size as u64,
    };
    (0..ARENA_BYTES / size).map(|object| arena.pin(span(object))).collect()
}

fn row<'a>(name: &str, size: usize, mut copy: impl FnMut(usize) + 'a) -> Row<'a> {
    let mut walk = Walk { size, next: 0 };
    Row::new(name, Unit::GbPerSecond(TURN_BYTES as u64), move || walk.turn().for_each(&mut copy))
}

/// Measures every size.
pub(crate) fn run_all(effort: Effort) {
    let options = ArenaOptions { first_touch: true, ..ArenaOptions::new(ARENA_BYTES as u64, 4096) };
    let arenas = [options.build().expect("memory"), options.build().expect("memory")];
    let (mut to, mut out, from) = (vec![1; ARENA_BYTES], vec![1; ARENA_BYTES], vec![2; ARENA_BYTES]);
    for size in SIZES {
        let [objects, others] = arenas.each_ref().map(|arena| spans(arena, size));
        let (from, to, out) = (&from, &mut to, &mut out);
        let rows = vec![
            row("memcpy", size, |at| {
                to[at..at + size].copy_from_slice(black_box(&from[at..at + size]));
                black_box(&to[at]);
            }),
            row("into the arena", size, |at| {
                objects[at / size].write_from(0, &from[at..at + size]).expect("it fits");
            }),
            row("out of the arena", size, |at| {
                objects[at / size].read_into(0, &mut out[at..at + size]);
            }),
            row("from one arena to another", size, |at| {
                objects[at / size].copy_to(&others[at / size]).expect("it fits");
            }),
        ];
        run(&format!("copies of {} KiB", size >> 10), effort, rows);
        if effort.is_quick() {
            return;
        }
    }
}

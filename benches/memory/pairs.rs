//! Pairs of a free and an allocation, among many blocks that are taken.

use std::hint::black_box;

use lmcache::storage::memory::AddressAllocator;

use crate::harness::{Effort, Row, Unit, run};

/// The alignment of L1.
pub(crate) const ALIGN: u64 = 4096;
/// Pairs that are timed together.
const PAIRS: u64 = 2_000;
/// Sizes and places are drawn once, so that no drawing is timed.
const DRAWN: usize = 8_192;

/// An address space, ours or a rival's.
pub(crate) trait Space {
    /// What is given back.
    type Block: Copy;

    /// Takes a block of `units` times [`ALIGN`].
    fn take(&mut self, units: u32) -> Self::Block;

    /// Gives one back.
    fn give(&mut self, block: Self::Block);
}

/// One of ours.
pub(crate) struct Ours<A> {
    allocator: A,
    addresses: Vec<u64>,
}

impl<A> Ours<A> {
    pub(crate) fn new(allocator: A) -> Self {
        Self { allocator, addresses: Vec::new() }
    }
}

impl<A: AddressAllocator> Space for Ours<A> {
    type Block = (u64, u64);

    fn take(&mut self, units: u32) -> (u64, u64) {
        let bytes = u64::from(units) * ALIGN;
        let fits = self.allocator.batched_allocate(bytes, 1, &mut self.addresses).expect("a size");
        assert!(fits, "there is room");
        (self.addresses.pop().expect("an address"), bytes)
    }

    fn give(&mut self, (address, bytes): (u64, u64)) {
        self.allocator.free(address, bytes).expect("it was taken");
    }
}

/// What is taken, and of which sizes.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) live: usize,
    /// The least and the largest size, in units.
    pub(crate) units: (u32, u32),
}

/// The loads that are measured.
pub(crate) const LOADS: [Load; 3] = [
    Load { name: "4096 of 1 MiB", live: 4_096, units: (256, 256) },
    Load { name: "4096 of 4 KiB to 256 KiB", live: 4_096, units: (1, 64) },
    Load { name: "100000 of 1 MiB", live: 100_000, units: (256, 256) },
];

impl Load {
    /// A space that this fills to four fifths, and not to a power of two.
    pub(crate) fn space_units(&self) -> u64 {
        let mean = u64::from(self.units.0 + self.units.1) / 2;
        self.live as u64 * mean * 5 / 4 + 3_001
    }
}

/// A small random number generator (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct Churn<S: Space> {
    space: S,
    live: Vec<S::Block>,
    units: Vec<u32>,
    places: Vec<usize>,
    turn: usize,
}

impl<S: Space> Churn<S> {
    fn new(mut space: S, load: Load) -> Self {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (least, largest) = load.units;
        let units: Vec<u32> =
            (0..DRAWN).map(|_| least + random.below(u64::from(largest - least + 1)) as u32).collect();
        let places = (0..DRAWN).map(|_| random.below(load.live as u64) as usize).collect();
        let live = (0..load.live).map(|i| space.take(units[i % DRAWN])).collect();
        Self { space, live, units, places, turn: 0 }
    }

    /// Frees a block somewhere and takes another one.
    fn replace(&mut self) {
        for _ in 0..PAIRS {
            let place = self.places[self.turn % DRAWN];
            let units = self.units[(self.turn * 7 + self.turn / DRAWN) % DRAWN];
            self.turn = self.turn.wrapping_add(1);
            self.space.give(self.live[place]);
            self.live[place] = self.space.take(units);
        }
    }

    /// Takes a block and frees the same.
    fn take_and_give(&mut self) {
        for turn in 0..PAIRS as usize {
            let block = black_box(self.space.take(self.units[turn % DRAWN]));
            self.space.give(block);
        }
    }
}

/// The rows of one allocator under `load`.
pub(crate) fn rows<S: Space + 'static>(name: &str, space: fn(Load) -> S, load: Load) -> [Row<'static>; 2] {
    let (mut replaced, mut taken) = (Churn::new(space(load), load), Churn::new(space(load), load));
    let unit = Unit::NsPerCall(PAIRS);
    [
        Row::new(format!("{name}: replace one of them"), unit, move || replaced.replace()),
        Row::new(format!("{name}: take one more, give it back"), unit, move || taken.take_and_give()),
    ]
}

/// Measures what `rows_of` has for each load.
pub(crate) fn run_loads(effort: Effort, rows_of: impl Fn(Load) -> Vec<Row<'static>>) {
    for load in LOADS {
        let title = format!("free and allocate, {}", load.name);
        run(&title, effort, rows_of(load));
        if effort.is_quick() {
            return;
        }
    }
}

//! The allocators beside models too simple to be wrong: all of them beside a set of intervals, LMCache's first fit
//! beside one flag per unit.

use std::collections::BTreeMap;

use lmcache::storage::config::L1AllocatorKind;
use lmcache::storage::memory::tlsf::MAX_COMPARED;
use lmcache::storage::memory::{AddressAllocator, AddressManager, Allocator, Tlsf};
use proptest::prelude::*;

const ALIGN: u64 = 64;
const KINDS: [L1AllocatorKind; 2] = [L1AllocatorKind::FirstFit, L1AllocatorKind::Tlsf];

#[derive(Clone, Debug)]
enum Step {
    Allocate { size_bytes: u64, count: usize },
    Free { which: prop::sample::Index },
    Extend { units: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes = prop_oneof![4 => 1_u64..6 * ALIGN, 1 => 1_u64..70 * ALIGN];
    let allocate = (sizes, 0_usize..12).prop_map(|(size_bytes, count)| Step::Allocate { size_bytes, count });
    let free = any::<prop::sample::Index>().prop_map(|which| Step::Free { which });
    let extend = (0_u64..40).prop_map(|units| Step::Extend { units });
    prop::collection::vec(prop_oneof![20 => allocate, 70 => free, 1 => extend], 1..400)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() }
}

/// What is taken, by address.
#[derive(Clone, Debug, Default)]
struct Model {
    size_bytes: u64,
    taken: BTreeMap<u64, u64>,
}

impl Model {
    /// The free stretches, by address and length.
    fn gaps(&self) -> Vec<(u64, u64)> {
        let mut at = 0;
        let ends = self.taken.iter().map(|(start, bytes)| (*start, start + bytes));
        let mut gaps = Vec::new();
        for (start, end) in ends.chain([(self.size_bytes, self.size_bytes)]) {
            if start > at {
                gaps.push((at, start - at));
            }
            at = end;
        }
        gaps
    }

    fn fitting(&self, unit_bytes: u64) -> u64 {
        self.gaps().iter().map(|(_, bytes)| bytes / unit_bytes).sum()
    }

    /// Takes a block; false if any of it is taken or outside.
    fn take(&mut self, address: u64, bytes: u64) -> bool {
        let in_a_gap = |(start, gap): &(u64, u64)| *start <= address && address + bytes <= start + gap;
        self.gaps().iter().any(in_a_gap) && self.taken.insert(address, bytes).is_none()
    }

    fn used_bytes(&self) -> u64 {
        self.taken.values().sum()
    }
}

/// Allocates from both. Every promise of [`AddressAllocator::batched_allocate`] is checked.
fn allocate(
    space: &mut Allocator,
    model: &mut Model,
    size_bytes: u64,
    count: usize,
) -> Result<(), TestCaseError> {
    let unit_bytes = size_bytes.next_multiple_of(ALIGN);
    let before = model.clone();
    let mut addresses = vec![7];
    let fits = space.batched_allocate(size_bytes, count, &mut addresses).unwrap();
    prop_assert_eq!(fits, before.fitting(unit_bytes) >= count as u64);
    prop_assert_eq!(addresses.len(), if fits { 1 + count } else { 1 });
    for address in &addresses[1..] {
        prop_assert_eq!(address % ALIGN, 0);
        prop_assert!(model.take(*address, unit_bytes), "{} was free", address);
    }
    let could_be_a_run = before.gaps().iter().any(|(_, bytes)| *bytes >= unit_bytes * count as u64);
    if fits && could_be_a_run && matches!(space, Allocator::Tlsf(_)) {
        let is_run = addresses[1..].windows(2).all(|pair| pair[0] + unit_bytes == pair[1]);
        prop_assert!(is_run, "a batch that fits into one block lies in one");
    }
    Ok(())
}

fn check_books(space: &Allocator, model: &Model) -> Result<(), TestCaseError> {
    let gaps = model.gaps();
    prop_assert_eq!(space.used_bytes(), model.used_bytes());
    prop_assert_eq!(space.total_bytes(), model.size_bytes);
    prop_assert_eq!(space.free_blocks(), gaps.len());
    prop_assert_eq!(space.largest_free_bytes(), gaps.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0));
    prop_assert!(space.memcheck());
    Ok(())
}

fn run_all(kind: L1AllocatorKind, steps: Vec<Step>, units: u64) -> Result<(), TestCaseError> {
    let mut model = Model { size_bytes: units * ALIGN, taken: BTreeMap::new() };
    let mut space = Allocator::new(kind, model.size_bytes, ALIGN).unwrap();
    for step in steps {
        match step {
            Step::Allocate { size_bytes, count } => allocate(&mut space, &mut model, size_bytes, count)?,
            Step::Free { which } if !model.taken.is_empty() => {
                let position = which.index(model.taken.len());
                let (address, bytes) = model.taken.iter().nth(position).map(|(a, b)| (*a, *b)).unwrap();
                model.taken.remove(&address);
                space.free(address, bytes).unwrap();
            }
            Step::Free { .. } => {}
            Step::Extend { units } => {
                model.size_bytes += units * ALIGN;
                space.extend(units * ALIGN).unwrap();
            }
        }
        check_books(&space, &model)?;
    }
    for (address, bytes) in std::mem::take(&mut model.taken) {
        space.free(address, bytes).unwrap();
    }
    check_books(&space, &model)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn first_fit_keeps_every_promise(steps in steps(), units in 1_u64..600) {
        run_all(L1AllocatorKind::FirstFit, steps, units)?;
    }

    #[test]
    fn tlsf_keeps_every_promise(steps in steps(), units in 1_u64..600) {
        run_all(L1AllocatorKind::Tlsf, steps, units)?;
    }
}

#[test]
fn what_is_free_is_not_freed_and_memcheck_remembers() {
    for kind in KINDS {
        let mut space = Allocator::new(kind, 4096, ALIGN).unwrap();
        space.batched_allocate(ALIGN, 4, &mut Vec::new()).unwrap();
        space.free(ALIGN, ALIGN).unwrap();
        assert!(space.memcheck());
        for (address, bytes) in
            [(64, 64), (0, 128), (32, 64), (256, 64), (4096, 64), (128, 0), (u64::MAX, 64), (64, u64::MAX)]
        {
            assert!(space.free(address, bytes).is_err(), "{kind:?} {address} {bytes}");
        }
        assert_eq!(space.used_bytes(), 192);
        assert!(!space.memcheck());
    }
}

#[test]
fn tlsf_refuses_another_size_than_was_taken() {
    let mut space = Tlsf::new(4096, ALIGN).unwrap();
    space.batched_allocate(2 * ALIGN, 2, &mut Vec::new()).unwrap();
    for bytes in [1, ALIGN, 2 * ALIGN - 1, 2 * ALIGN + 1, 4 * ALIGN] {
        assert!(space.free(0, bytes).is_err(), "{bytes}");
    }
    assert!(space.free(0, 2 * ALIGN).is_ok());
}

#[test]
fn sizes_at_and_past_the_limits() {
    for kind in KINDS {
        assert!(Allocator::new(kind, 0, 64).is_err());
        assert!(Allocator::new(kind, 64, 48).is_err());
        assert!(Allocator::new(kind, 64, 0).is_err());
        let mut space = Allocator::new(kind, 1 << 40, 4096).unwrap();
        let mut addresses = Vec::new();
        assert!(space.batched_allocate(0, 1, &mut addresses).is_err());
        assert!(!space.batched_allocate(u64::MAX, 1, &mut addresses).unwrap());
        assert!(!space.batched_allocate(1 << 39, 3, &mut addresses).unwrap());
        assert!(!space.batched_allocate(1, usize::MAX, &mut addresses).unwrap());
        assert!(space.batched_allocate(1 << 40, 1, &mut addresses).unwrap());
        assert!(space.batched_allocate(1, 0, &mut addresses).unwrap());
        assert!(!space.batched_allocate(1, 1, &mut addresses).unwrap());
        assert_eq!((addresses.as_slice(), space.free_blocks()), (&[0][..], 0));
        assert!(space.extend(u64::MAX).is_err());
        space.extend(1).unwrap();
        assert!(!space.batched_allocate(1, 1, &mut addresses).unwrap(), "no block is one byte long");
        space.extend(4095).unwrap();
        assert!(space.batched_allocate(1, 1, &mut addresses).unwrap());
        assert_eq!(addresses, [0, 1 << 40]);
        assert!(space.memcheck());
    }
}

/// A space in which one block of 767 units stands behind `shorter` blocks of 753 in the list of their class.
fn one_among(shorter: usize) -> Tlsf {
    let mut space = Tlsf::new(ALIGN, ALIGN).unwrap();
    let mut take = |units: u64| {
        let mut addresses = Vec::new();
        space.extend(units * ALIGN).unwrap();
        assert!(space.batched_allocate(units * ALIGN, 1, &mut addresses).unwrap());
        (addresses[0], units * ALIGN)
    };
    assert_eq!(take(1), (0, ALIGN));
    let mut to_free = vec![take(767)];
    take(2);
    for _ in 0..shorter {
        to_free.push(take(753));
        take(2);
    }
    to_free.into_iter().for_each(|(address, bytes)| space.free(address, bytes).unwrap());
    space
}

#[test]
fn tlsf_compares_so_many_blocks_of_a_class_and_no_more() {
    for (shorter, is_found) in [(MAX_COMPARED - 1, true), (MAX_COMPARED, false)] {
        let mut space = one_among(shorter);
        let mut addresses = Vec::new();
        assert_eq!(space.batched_allocate(762 * ALIGN, 1, &mut addresses).unwrap(), is_found);
        assert!(space.batched_allocate(753 * ALIGN, shorter, &mut addresses).unwrap());
        assert!(space.memcheck());
    }
}

#[test]
fn books_are_small() {
    const OBJECTS: usize = 100_000;
    for (kind, limit_bytes) in [(L1AllocatorKind::FirstFit, 0), (L1AllocatorKind::Tlsf, 40)] {
        let mut space = Allocator::new(kind, OBJECTS as u64 * ALIGN, ALIGN).unwrap();
        let empty_bytes = space.metadata_bytes();
        assert!(empty_bytes < 8192);
        for _ in 0..OBJECTS {
            assert!(space.batched_allocate(1, 1, &mut Vec::new()).unwrap());
        }
        let of_each = space.metadata_bytes().saturating_sub(empty_bytes) / OBJECTS;
        assert!(of_each <= limit_bytes, "{kind:?}: {of_each} bytes an object");
    }
}

/// First fit over one flag per unit.
struct Flags {
    used: Vec<bool>,
    tail_bytes: u64,
}

impl Flags {
    fn allocate(&mut self, units: usize, count: usize) -> Option<Vec<u64>> {
        let mut used = self.used.clone();
        let mut addresses = Vec::new();
        let mut at = 0;
        while addresses.len() < count {
            if at + units > used.len() {
                return None;
            }
            if used[at..at + units].contains(&true) {
                at += 1;
            } else {
                used[at..at + units].fill(true);
                addresses.push(at as u64 * ALIGN);
                at += units;
            }
        }
        self.used = used;
        Some(addresses)
    }

    fn free(&mut self, address: u64, units: usize) {
        let at = (address / ALIGN) as usize;
        self.used[at..at + units].fill(false);
    }

    fn free_blocks(&self) -> usize {
        let mut blocks = self.used.chunk_by(|a, b| a == b).filter(|block| !block[0]).count();
        let is_joined = self.used.last() == Some(&false);
        blocks += usize::from(self.tail_bytes > 0 && !is_joined);
        blocks
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn first_fit_gives_the_addresses_of_the_flags(steps in steps(), units in 1_usize..600, tail in 0..ALIGN) {
        let mut space = AddressManager::new(units as u64 * ALIGN + tail, ALIGN).unwrap();
        let mut model = Flags { used: vec![false; units], tail_bytes: tail };
        let mut taken = Vec::new();
        for step in steps {
            match step {
                Step::Allocate { size_bytes, count } => {
                    let mut addresses = Vec::new();
                    let fits = space.batched_allocate(size_bytes, count, &mut addresses).unwrap();
                    let of_each = size_bytes.div_ceil(ALIGN);
                    let expected = model.allocate(of_each as usize, count);
                    prop_assert_eq!(fits.then(|| addresses.clone()), expected);
                    taken.extend(addresses.into_iter().map(|address| (address, of_each)));
                }
                Step::Free { which } if !taken.is_empty() => {
                    let (address, of_each) = taken.swap_remove(which.index(taken.len()));
                    space.free(address, of_each * ALIGN).unwrap();
                    model.free(address, of_each as usize);
                }
                Step::Free { .. } => {}
                Step::Extend { units } => {
                    space.extend(units * ALIGN).unwrap();
                    model.used.resize(model.used.len() + units as usize, false);
                }
            }
            prop_assert_eq!(space.free_blocks(), model.free_blocks());
        }
        let used = model.used.iter().filter(|used| **used).count() as u64;
        prop_assert_eq!(space.used_bytes(), used * ALIGN);
        prop_assert!(space.memcheck());
    }
}

#[test]
fn a_space_in_twenty_thousand_pieces_gives_the_first_that_fits() {
    const PIECES: u64 = 20_000;
    let mut space = AddressManager::new(4 * PIECES * ALIGN, ALIGN).unwrap();
    let mut addresses = Vec::new();
    assert!(space.batched_allocate(ALIGN, 4 * PIECES as usize, &mut addresses).unwrap());
    for piece in 0..PIECES {
        space.free(4 * piece * ALIGN, ALIGN).unwrap();
    }
    assert_eq!(space.free_blocks(), PIECES as usize);
    let last = (4 * PIECES - 2) * ALIGN;
    space.free(last, 2 * ALIGN).unwrap();
    let mut found = Vec::new();
    for _ in 0..2_000 {
        assert!(space.batched_allocate(2 * ALIGN, 1, &mut found).unwrap());
        space.free(last, 2 * ALIGN).unwrap();
    }
    assert!(found.iter().all(|address| *address == last));
    assert!(space.batched_allocate(ALIGN, 3, &mut found).unwrap());
    assert_eq!(found[2_000..], [0, 4 * ALIGN, 8 * ALIGN]);
    assert!(space.memcheck());
}

//! The allocator beside a model too simple to be wrong: one flag per unit.

use lmcache::storage::memory::AddressManager;
use proptest::prelude::*;

const ALIGN: u64 = 64;

/// First fit over one flag per unit.
struct Model {
    used: Vec<bool>,
    tail_bytes: u64,
}

impl Model {
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

#[derive(Clone, Debug)]
enum Step {
    Allocate { size_bytes: u64, count: usize },
    Free { which: prop::sample::Index },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let allocate =
        (1_u64..6 * ALIGN, 0_usize..12).prop_map(|(size_bytes, count)| Step::Allocate { size_bytes, count });
    let free = any::<prop::sample::Index>().prop_map(|which| Step::Free { which });
    prop::collection::vec(prop_oneof![2 => allocate, 7 => free], 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn addresses_and_books_are_those_of_the_model(steps in steps(), units in 1_usize..600, tail in 0..ALIGN) {
        let mut space = AddressManager::new(units as u64 * ALIGN + tail, ALIGN).unwrap();
        let mut model = Model { used: vec![false; units], tail_bytes: tail };
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

//! How full a space is when an object does not fit: filled at first, and then while objects come and go.

use lmcache::storage::config::L1AllocatorKind;
use lmcache::storage::memory::{AddressAllocator, Allocator};

use crate::support::Random;

const ALIGN: u64 = 4096;
const SPACE_BYTES: u64 = 8 << 30;
/// How often the space is filled, by the bytes that are allocated.
const FILLS: u64 = 5;

/// A KV object and its indexer: the mix of Mooncake's allocator benchmark.
const KV_BYTES: u64 = (3.12 * 1024.0 * 1024.0) as u64;
const INDEXER_BYTES: u64 = 643 * 1024;

/// The mean share in use at the moments at which an object did not fit. Objects leave at random, one by one, until it
/// does.
fn utilisation(kind: L1AllocatorKind, next_bytes: fn(&mut Random) -> u64) -> f64 {
    let mut space = Allocator::new(kind, SPACE_BYTES, ALIGN).unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut live, mut shares) = (Vec::new(), Vec::new());
    let (mut allocated_bytes, mut addresses) = (0, Vec::new());
    while allocated_bytes < FILLS * SPACE_BYTES {
        let bytes = next_bytes(&mut random);
        if !space.batched_allocate(bytes, 1, &mut addresses).unwrap() {
            shares.push(space.used_bytes() as f64 / SPACE_BYTES as f64);
            while !space.batched_allocate(bytes, 1, &mut addresses).unwrap() {
                let (address, bytes) = live.swap_remove(random.below(live.len() as u64) as usize);
                space.free(address, bytes).unwrap();
            }
        }
        live.push((addresses.pop().unwrap(), bytes.next_multiple_of(ALIGN)));
        allocated_bytes += bytes;
    }
    assert!(space.memcheck());
    shares.iter().sum::<f64>() / shares.len() as f64
}

/// Prints the share of every allocator, and refuses less than `least` of TLSF.
fn check(what: &str, least: f64, next_bytes: fn(&mut Random) -> u64) {
    let first_fit = utilisation(L1AllocatorKind::FirstFit, next_bytes);
    let tlsf = utilisation(L1AllocatorKind::Tlsf, next_bytes);
    println!("{what}: first fit {first_fit:.4}, TLSF {tlsf:.4}");
    assert!(tlsf >= least, "{what}: {tlsf}");
}

#[test]
fn objects_of_one_size() {
    check("uniform", 0.99, |_| KV_BYTES);
}

#[test]
fn objects_of_any_size() {
    check("random", 0.90, |random| 1 + random.below(16 << 20));
}

#[test]
fn a_mix_of_two_sizes() {
    check("mix", 0.96, |random| if random.below(2) == 0 { KV_BYTES } else { INDEXER_BYTES });
}

//! How often each policy misses on real streams of blocks, beside libCacheSim.
//!
//! Both get one block after the other: a use if it is there; otherwise a miss, room made for one if there is none, and
//! the block. The streams, and the counts of libCacheSim, are in `fixtures/block_streams`.

use std::collections::HashMap;
use std::path::PathBuf;

use lmcache::storage::config::{Compat, EvictionPolicyKind};
use lmcache::storage::eviction;

use crate::common::unpack;
use crate::support::{evict_one, keys};

const COUNTS: &str = include_str!("../fixtures/block_streams/libcachesim_misses.csv");

/// One row of libCacheSim's counts.
#[derive(Debug)]
struct Row {
    stream: &'static str,
    capacity: usize,
    accesses: usize,
    misses: usize,
}

/// The rows of a policy, which libCacheSim calls `name`.
fn rows(name: &str) -> Vec<Row> {
    let rows = COUNTS.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let number = |field: &str| field.parse().unwrap();
    rows.filter(|row| row[1] == name)
        .map(|row| Row {
            stream: row[0],
            capacity: number(row[2]),
            accesses: number(row[3]),
            misses: number(row[4]),
        })
        .collect()
}

/// Blocks that are numbered as they first come.
fn numbered(blocks: impl Iterator<Item = u64>) -> Vec<u32> {
    let mut numbers = HashMap::new();
    blocks
        .map(|block| {
            let next = u32::try_from(numbers.len()).unwrap();
            *numbers.entry(block).or_insert(next)
        })
        .collect()
}

fn mooncake(stream: &str) -> Vec<u32> {
    let steps = unpack(&format!("block_streams/{stream}.d32"));
    let steps = steps.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    numbered(steps.scan(0_u32, |block, step| {
        *block = block.wrapping_add(step);
        Some(u64::from(*block))
    }))
}

/// The sample of libCacheSim, where somebody has it: it may not be shipped with this repository.
fn cloud_physics() -> Option<Vec<u32>> {
    let folder = std::env::var_os("LMCACHE_DATA_DIR")?;
    let path = PathBuf::from(folder).join("libcachesim_cloudPhysicsIO.oracleGeneral.bin");
    let records = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // Time in 4 bytes, block in 8, size in 4, next access in 8; little-endian.
    let block = |record: &[u8; 24]| u64::from_le_bytes(record[4..12].try_into().unwrap());
    Some(numbered(records.as_chunks::<24>().0.iter().map(block)))
}

/// The streams that are there, by name.
fn streams() -> HashMap<&'static str, Vec<u32>> {
    let shipped = ["mooncake_conversation", "mooncake_synthetic"];
    let mut streams: HashMap<_, _> = shipped.into_iter().map(|name| (name, mooncake(name))).collect();
    match cloud_physics() {
        Some(stream) => drop(streams.insert("cloud_physics", stream)),
        None => println!("cloud_physics is skipped: LMCACHE_DATA_DIR does not say where it is"),
    }
    streams
}

fn misses(kind: EvictionPolicyKind, blocks: &[u32], capacity: usize) -> usize {
    let mut policy = eviction::create(kind, Compat::Native);
    let keys = keys(blocks.iter().max().map_or(0, |last| last + 1));
    let mut is_resident = vec![false; keys.len()];
    let mut misses = 0;
    for block in blocks {
        let key = &keys[*block as usize];
        if is_resident[*block as usize] {
            policy.on_keys_touched(&[key]);
            continue;
        }
        misses += 1;
        if policy.tracked_keys() == capacity {
            is_resident[evict_one(&mut *policy) as usize] = false;
        }
        policy.on_keys_created(&[key]);
        is_resident[*block as usize] = true;
    }
    misses
}

/// `tolerance` is how far a miss ratio may be from libCacheSim's.
fn compare(kind: EvictionPolicyKind, name: &str, tolerance: f64) {
    let (streams, rows) = (streams(), rows(name));
    assert_eq!(rows.len(), 13, "every row was read");
    let mut faults = Vec::new();
    for row in rows {
        let Some(blocks) = streams.get(row.stream) else { continue };
        assert_eq!(blocks.len(), row.accesses);
        let misses = misses(kind, blocks, row.capacity);
        let difference = (misses as f64 - row.misses as f64) / row.accesses as f64;
        println!("{kind} {row:?}: {misses}, {difference:+.5}");
        if difference.abs() > tolerance {
            faults.push(format!("{row:?}: {misses} here"));
        }
    }
    assert!(faults.is_empty(), "{kind}:\n{}", faults.join("\n"));
}

#[test]
fn lru_misses_as_often_as_libcachesims() {
    compare(EvictionPolicyKind::Lru, "LRU", 0.0);
}

#[test]
fn fifo_misses_as_often_as_libcachesims() {
    compare(EvictionPolicyKind::Fifo, "FIFO", 0.0);
}

#[test]
fn sieve_misses_as_often_as_libcachesims() {
    compare(EvictionPolicyKind::Sieve, "Sieve", 0.0);
}

#[test]
fn s3_fifo_misses_as_often_as_libcachesims() {
    compare(EvictionPolicyKind::S3Fifo, "S3FIFO", 0.0);
}

/// LMCache's ARC, which ours is, hears of a key that came back when the room for it was made already; the paper's
/// moves its target first, and chooses the victim by that.
#[test]
fn arc_misses_about_as_often_as_libcachesims() {
    compare(EvictionPolicyKind::Arc, "ARC", 0.001);
}

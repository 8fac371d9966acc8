//! Which operations a fault injector spoils. Everything here follows from the seed and the key: the same run gives
//! the same faults, whatever its threads do.

use blake2b_simd::Params;

use crate::format::model::ObjectKey;
use crate::format::model::key::Hex;
use crate::storage::config::l2::FaultInjectAdapterConfig;
use crate::sync::atomic::{AtomicU32, Ordering};

/// LMCache's `_HASH_DENOM`: a rate counts in millionths.
pub const RATE_DENOMINATOR: u64 = 1_000_000;

/// How many counters of attempts there are. Keys that share one share their attempts too.
const ATTEMPT_CELLS: usize = 1 << 14;

/// `blake2b` with a digest of 8 bytes, as a big-endian number: `int.from_bytes(..., "big")` in Python.
fn blake2b_8(text: &str) -> u64 {
    let digest = Params::new().hash_length(8).hash(text.as_bytes());
    digest.as_bytes().iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What LMCache hashes of a key. Numbers are decimal.
fn identity(key: &ObjectKey) -> String {
    let (scope, hash) = (key.scope(), Hex(key.chunk_hash().as_bytes()));
    format!(
        "{hash}:{}:{}:{}:{}",
        scope.model_name(),
        scope.kv_rank(),
        scope.object_group_id(),
        scope.cache_salt()
    )
}

/// A share in millionths, cut off as Python's `int()` does.
fn millionths(rate: f64) -> u64 {
    (rate * RATE_DENOMINATOR as f64) as u64
}

/// The bits that LMCache's `FaultInjectL2Adapter` takes out of a load's answer.
#[derive(Clone, Debug)]
pub struct DropRule {
    seed: i64,
    millionths: u64,
    /// In ascending order.
    gap_indices: Vec<u64>,
    gap_tail_ratios: Vec<f64>,
}

impl DropRule {
    /// The rule of a configuration.
    pub fn new(config: &FaultInjectAdapterConfig) -> Self {
        let mut gap_indices = config.gap_indices.clone();
        gap_indices.sort_unstable();
        gap_indices.dedup();
        Self {
            seed: config.seed,
            millionths: millionths(config.rate),
            gap_indices,
            gap_tail_ratios: config.gap_tail_ratios.clone(),
        }
    }

    /// The positions that are always dropped, in ascending order.
    pub fn gap_indices(&self) -> &[u64] {
        &self.gap_indices
    }

    /// Whether the rate drops this key. It drops the same keys in every load.
    pub fn drops_key(&self, key: &ObjectKey) -> bool {
        self.millionths > 0
            && blake2b_8(&format!("{}:{}", self.seed, identity(key))) % RATE_DENOMINATOR < self.millionths
    }

    /// The positions that are dropped of a load of `keys`, in ascending order.
    pub fn drops<'a>(&self, keys: impl ExactSizeIterator<Item = &'a ObjectKey>) -> Vec<usize> {
        let tail = self.tail_positions(keys.len());
        let is_dropped = |(position, key): &(usize, &ObjectKey)| {
            tail.contains(position)
                || self.gap_indices.binary_search(&(*position as u64)).is_ok()
                || self.drops_key(key)
        };
        keys.enumerate().filter(is_dropped).map(|(position, _)| position).collect()
    }

    /// `round((1 - ratio) * (n - 1))` for each ratio; Python rounds halves to the even neighbour.
    fn tail_positions(&self, len: usize) -> Vec<usize> {
        let Some(last) = len.checked_sub(1) else { return Vec::new() };
        let position = |ratio: &f64| ((1.0 - ratio) * last as f64).round_ties_even() as usize;
        self.gap_tail_ratios.iter().map(position).collect()
    }
}

/// What can be drawn for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its store fails; it is not stored.
    StoreError,
    /// Its lookup fails; it is neither found nor locked.
    LookupError,
    /// Its load fails; nothing is read.
    LoadError,
    /// Only its beginning is stored, though the store succeeds.
    TornWrite,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::StoreError => "store",
            Self::LookupError => "lookup",
            Self::LoadError => "load",
            Self::TornWrite => "torn",
        }
    }
}

/// Draws our own faults. A key that failed may succeed when it is tried again, as with real stores: the draw is of
/// the seed, the kind of the fault, the key, and how often the key was tried before.
#[derive(Debug)]
pub struct Draws {
    seed: i64,
    attempts: Box<[AtomicU32]>,
}

impl Draws {
    /// Draws of this seed; nothing was tried yet.
    pub fn new(seed: i64) -> Self {
        Self { seed, attempts: (0..ATTEMPT_CELLS).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Draws once for `fault`: a number of which any bits can be used if the fault happens, `None` if it does not.
    pub fn draw(&self, fault: Fault, rate: f64, key: &ObjectKey) -> Option<u64> {
        let millionths = millionths(rate);
        if millionths == 0 {
            return None;
        }
        let (name, identity) = (fault.name(), identity(key));
        let cell = blake2b_8(&format!("{name}:{identity}")) % ATTEMPT_CELLS as u64;
        // Relaxed: a counter that orders nothing.
        let attempt = self.attempts[cell as usize].fetch_add(1, Ordering::Relaxed);
        let drawn = blake2b_8(&format!("{name}:{attempt}:{}:{identity}", self.seed));
        (drawn % RATE_DENOMINATOR < millionths).then_some(drawn / RATE_DENOMINATOR)
    }
}

//! What the storage manager answered, summed over a replay.

/// Counts of keys and reads. A key that is asked for twice counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorageTotals {
    /// Chunks of the prompts of all prefetches: the columns, which is the length of the longest row.
    pub requested_chunks: u64,
    /// Of those, the chunks that all rows together can serve: for the prefix policy the length of the prefix that
    /// hit, for the full policy the columns that every row has.
    pub served_chunks: u64,
    /// Cells of all prefetches: rows times columns.
    pub requested_keys: u64,
    /// Of those, the cells that the manager reported as hits. A row with a sliding window keeps its last chunks
    /// alone, so that fewer cells than chunks are hits.
    pub hit_keys: u64,
    /// Of the hits, those that were in L1 already.
    pub l1_hit_keys: u64,
    /// Of the hits, those that came from L2.
    pub l2_hit_keys: u64,
    /// Objects that eviction removed from L1.
    pub evicted_keys: u64,
    /// Prefetches whose result was not there when the replay ended.
    pub unresolved_prefetches: u64,
    /// Reads that got nothing: at least one key could not be read, and the others are not given out then.
    pub reads_found_nothing: u64,
    /// Keys that reads did not find, of those reads.
    pub keys_not_found: u64,
    /// Keys that reads found, of those reads, but without the lock of a prefetch or not yet written.
    pub keys_not_readable: u64,
    /// Exits without an open read.
    pub unmatched_exits: u64,
    /// Reads that the trace left open and the replay closed.
    pub closed_leftovers: u64,
    /// Keys of writes that were reserved.
    pub keys_reserved: u64,
    /// Keys of writes that were there already, or are being written.
    pub keys_not_writable: u64,
    /// Keys of writes for which there was no memory.
    pub keys_out_of_memory: u64,
}

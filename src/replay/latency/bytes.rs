//! Bytes of calls, and hit rates.
//!
//! A hit rate is a numerator and a denominator, and means nothing without both: the same trace has one rate per chunk, another
//! per block, and another per byte. A trace does not say how many tokens a chunk has. Bytes stand for tokens, because a token
//! takes the same bytes in every chunk of a row: a rate per byte weighs a block by what it holds. Where the recorded
//! configuration names a `chunk_size`, chunks are turned into tokens by it.

use serde_json::Value;

use crate::format::model::GroupedObjectKeys;
use crate::storage::L1Error;
use crate::storage::prefetch::{Bitmap, PrefetchResult};

/// What the calls of one worker moved and hit, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesSummary {
    /// Buffers that were reserved in L1 for writing.
    pub reserved_bytes: u64,
    /// Objects that became readable in L1 by a finished write.
    pub written_bytes: u64,
    /// Objects of finished writes whose size the replay does not know any more: written bytes are without them.
    pub written_keys_of_unknown_size: u64,
    /// Cells of all answered prefetches.
    pub requested_bytes: u64,
    /// Cells that L1 had, of hits.
    pub l1_hit_bytes: u64,
    /// Cells that came from L2, of hits.
    pub l2_hit_bytes: u64,
}

impl BytesSummary {
    /// Buffers were reserved.
    pub(super) fn reserved(&mut self, codes: &[L1Error], size_bytes: u64) {
        let reserved = codes.iter().filter(|code| **code == L1Error::Success).count();
        self.reserved_bytes = self.reserved_bytes.saturating_add(size_bytes.saturating_mul(reserved as u64));
    }

    /// A write was finished, of so many bytes, and of so many objects whose size is not known.
    pub(super) fn written(&mut self, bytes: u64, unknown: u64) {
        self.written_bytes = self.written_bytes.saturating_add(bytes);
        self.written_keys_of_unknown_size += unknown;
    }

    /// A prefetch was answered, of rows with so many cells of this size.
    pub(super) fn prefetched(&mut self, rows: &[RowSize], result: &PrefetchResult) {
        let bytes = |cells: &[Bitmap]| -> u64 {
            let of_row = cells
                .iter()
                .zip(rows)
                .map(|(cells, row)| row.size_bytes.saturating_mul(cells.popcount() as u64));
            of_row.fold(0, u64::saturating_add)
        };
        let requested = rows.iter().map(|row| row.size_bytes.saturating_mul(row.cells as u64));
        self.requested_bytes = requested.fold(self.requested_bytes, u64::saturating_add);
        self.l1_hit_bytes = self.l1_hit_bytes.saturating_add(bytes(&result.l1_hit_cells));
        self.l2_hit_bytes = self.l2_hit_bytes.saturating_add(bytes(&result.l2_hit_cells));
    }

    /// Adds what another worker moved.
    pub fn merge(&mut self, other: &Self) {
        let fields = |of: &Self| {
            [
                of.reserved_bytes,
                of.written_bytes,
                of.written_keys_of_unknown_size,
                of.requested_bytes,
                of.l1_hit_bytes,
                of.l2_hit_bytes,
            ]
        };
        let (mine, theirs) = (fields(self), fields(other));
        let sum = |position: usize| mine[position].saturating_add(theirs[position]);
        *self = Self {
            reserved_bytes: sum(0),
            written_bytes: sum(1),
            written_keys_of_unknown_size: sum(2),
            requested_bytes: sum(3),
            l1_hit_bytes: sum(4),
            l2_hit_bytes: sum(5),
        };
    }

    /// Hits per byte of all answered prefetches.
    pub fn hit_rate(&self) -> HitRate {
        HitRate { hits: self.l1_hit_bytes.saturating_add(self.l2_hit_bytes), requested: self.requested_bytes }
    }
}

/// How large a row of a prefetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::replay) struct RowSize {
    cells: usize,
    size_bytes: u64,
}

impl RowSize {
    /// How many cells it has.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// The rows of a request.
    pub(in crate::replay) fn of_all(rows: &[GroupedObjectKeys]) -> Vec<Self> {
        rows.iter().map(|row| Self { cells: row.keys.len(), size_bytes: row.layout.size_bytes() }).collect()
    }
}

/// A hit rate with its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HitRate {
    /// The numerator.
    pub hits: u64,
    /// The denominator.
    pub requested: u64,
}

impl HitRate {
    /// The rate from 0 to 1; nothing if nothing was requested.
    pub fn rate(&self) -> Option<f64> {
        (self.requested > 0).then(|| self.hits as f64 / self.requested as f64)
    }

    /// The same rate in units of which each of ours is so many.
    #[must_use]
    pub fn times(&self, units: u64) -> Self {
        Self { hits: self.hits.saturating_mul(units), requested: self.requested.saturating_mul(units) }
    }
}

/// How many tokens a chunk has, if a recorded configuration says so: `chunk_size`, wherever it stands in it.
pub fn chunk_tokens(sm_config_json: &str) -> Option<u64> {
    fn find(value: &Value) -> Option<u64> {
        match value {
            Value::Object(fields) => {
                let own = fields.get("chunk_size").and_then(Value::as_u64).filter(|tokens| *tokens > 0);
                own.or_else(|| fields.values().find_map(find))
            }
            Value::Array(values) => values.iter().find_map(find),
            _ => None,
        }
    }
    find(&serde_json::from_str(sm_config_json).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_hits_are_cells_times_the_size_of_their_row() {
        let row = |text: &str| Bitmap::from_fn(text.len(), |cell| text.as_bytes()[cell] == b'1');
        let result = PrefetchResult {
            l1_hit_cells: [row("1100"), row("0100")].into_iter().collect(),
            l2_hit_cells: [row("0010"), row("0000")].into_iter().collect(),
            ..PrefetchResult::default()
        };
        let rows = [RowSize { cells: 4, size_bytes: 100 }, RowSize { cells: 4, size_bytes: 1 }];
        let mut bytes = BytesSummary::default();
        bytes.prefetched(&rows, &result);
        assert_eq!((bytes.requested_bytes, bytes.l1_hit_bytes, bytes.l2_hit_bytes), (404, 201, 100));
        assert_eq!(bytes.hit_rate(), HitRate { hits: 301, requested: 404 });
        bytes.reserved(&[L1Error::Success, L1Error::OutOfMemory, L1Error::Success], 50);
        bytes.written(10, 1);
        assert_eq!(
            (bytes.reserved_bytes, bytes.written_bytes, bytes.written_keys_of_unknown_size),
            (100, 10, 1)
        );
        let mut twice = bytes;
        twice.merge(&bytes);
        assert_eq!((twice.requested_bytes, twice.l1_hit_bytes, twice.l2_hit_bytes), (808, 402, 200));
        assert_eq!(
            (twice.reserved_bytes, twice.written_bytes, twice.written_keys_of_unknown_size),
            (200, 20, 2)
        );
    }

    #[test]
    fn no_trace_makes_bytes_overflow() {
        let mut bytes = BytesSummary::default();
        bytes.reserved(&[L1Error::Success; 2], u64::MAX);
        bytes.written(u64::MAX, 0);
        bytes.written(1, 0);
        let mut twice = bytes;
        twice.merge(&bytes);
        assert_eq!((twice.reserved_bytes, twice.written_bytes), (u64::MAX, u64::MAX));
        assert_eq!(HitRate { hits: 3, requested: 4 }.times(u64::MAX).hits, u64::MAX);
    }

    #[test]
    fn tokens_of_a_chunk_are_known_only_where_the_configuration_names_them() {
        assert_eq!(chunk_tokens(r#"{"a":[{"chunk_size":256}]}"#), Some(256));
        assert_eq!(chunk_tokens(r#"{"chunk_size":0,"b":{"chunk_size":16}}"#), Some(16));
        for none in ["", "{", "{}", r#"{"chunk_size":"256"}"#, r#"{"chunk_size":-1}"#] {
            assert_eq!(chunk_tokens(none), None, "{none}");
        }
        let rate = HitRate { hits: 3, requested: 4 };
        assert_eq!((rate.times(256), rate.rate()), (HitRate { hits: 768, requested: 1024 }, Some(0.75)));
        assert_eq!(HitRate::default().rate(), None);
    }
}

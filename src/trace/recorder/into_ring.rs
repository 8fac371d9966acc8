//! Room in the ring, and keys as rows in it.

use crate::format::model::ObjectKey;
use crate::format::model::key::INLINE_HASH_BYTES;
use crate::format::native::pod::{KEY_ROW_BYTES, KeyRow, RecordPrefix};
use crate::trace::recorder::options::FullPolicy;
use crate::trace::recorder::shared::Shared;
use crate::trace::ring::{Producer, Refusal};

/// Why a number is there when a call is written.
pub(super) const SENT: &str =
    "what a call names was sent before the call, and keeps its number until it is written";

/// How long a caller that waits for room spins before it yields.
const SPINS_BEFORE_YIELD: u32 = 64;

/// What follows the hash in a row.
#[inline(always)]
pub(super) fn row_tail(scope: u32, hash_bytes: u8) -> [u8; KEY_ROW_BYTES - INLINE_HASH_BYTES] {
    (u64::from(scope) | u64::from(hash_bytes) << 32).to_le_bytes()
}

/// Writes a prefix in three stores; see [`RecordPrefix::to_words`].
#[inline(always)]
pub(super) fn write_prefix(out: &mut [u8], prefix: RecordPrefix) {
    out.copy_from_slice(bytemuck::bytes_of(&prefix.to_words()));
}

/// Writes a row in two stores; built as a value first it would be written, read and written again.
#[inline(always)]
pub(super) fn write_row(row: &mut [u8; KEY_ROW_BYTES], hash: &[u8; INLINE_HASH_BYTES], tail: [u8; 8]) {
    row[..INLINE_HASH_BYTES].copy_from_slice(hash);
    row[INLINE_HASH_BYTES..].copy_from_slice(&tail);
}

/// Makes room and fills it; waits for room if that is the policy.
#[inline(always)]
pub(super) fn reserve(
    ring: &mut Producer,
    shared: &Shared,
    length_bytes: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Result<(), Refusal> {
    match ring.reserve(length_bytes) {
        Ok(mut reserved) => {
            fill(reserved.bytes());
            reserved.commit();
            Ok(())
        }
        Err(refusal) => wait_for_room(ring, shared, length_bytes, refusal, fill),
    }
}

#[cold]
#[inline(never)]
fn wait_for_room(
    ring: &mut Producer,
    shared: &Shared,
    length_bytes: usize,
    refusal: Refusal,
    fill: impl FnOnce(&mut [u8]),
) -> Result<(), Refusal> {
    if refusal == Refusal::TooLarge || shared.full_policy == FullPolicy::Drop {
        return Err(refusal);
    }
    let mut spins = 0;
    while !shared.is_over() && !shared.is_forked() {
        if let Ok(mut reserved) = ring.reserve(length_bytes) {
            fill(reserved.bytes());
            reserved.commit();
            return Ok(());
        }
        spins += 1;
        if spins < SPINS_BEFORE_YIELD { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
    Err(Refusal::Full)
}

/// Bytes of the hashes that do not fit into rows.
pub(super) fn long_hash_bytes(keys: &[ObjectKey]) -> usize {
    let hash_bytes = |key: &ObjectKey| Some(key.chunk_hash().as_bytes().len()).filter(|bytes| *bytes > 32);
    keys.iter().filter_map(hash_bytes).sum()
}

/// Writes keys as rows; long hashes go into `rest` from `rest_start` on, and their rows say where.
#[inline]
pub(super) fn write_rows<'a>(
    rows: &mut [u8],
    keys: impl Iterator<Item = &'a ObjectKey>,
    rest: &mut [u8],
    mut rest_start: usize,
    mut scope_of: impl FnMut(&ObjectKey) -> Option<u32>,
) {
    for (out, key) in rows.as_chunks_mut::<KEY_ROW_BYTES>().0.iter_mut().zip(keys) {
        let (scope, hash) = (scope_of(key).expect(SENT), key.chunk_hash().as_bytes());
        let row = KeyRow::short(scope, hash).unwrap_or_else(|| {
            rest[rest_start..rest_start + hash.len()].copy_from_slice(hash);
            let row = KeyRow::long(scope, rest_start as u32, hash.len() as u32);
            rest_start += hash.len();
            row
        });
        *out = bytemuck::cast(row);
    }
}

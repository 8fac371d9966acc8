//! The one form in which every recorder of LMCache writes an `ObjectKey`, read in one go.
//!
//! Nearly all bytes of a trace are keys, and nearly all bytes of a key are field names:
//!
//! ```text
//! 82 a5 "__t__" a9 "ObjectKey" a1 "v" 84
//!    aa "chunk_hash" c4 20 <32 bytes>  aa "model_name" <str>  a7 "kv_rank" <uint>  af "object_group_id" <uint>
//! ```
//!
//! Releases up to 0.4.6 end after `kv_rank` (`83` instead of `84`). Comparing the names as blocks of bytes is
//! what lets a scan keep up with memory; any other form of a key goes the general way, with the same result.

use super::cursor::{Cursor, Head};

const WRAPPER: &[u8] = b"\x82\xa5__t__\xa9ObjectKey\xa1v";
const CHUNK_HASH: &[u8] = b"\xaachunk_hash\xc4";
const MODEL_NAME: &[u8] = b"\xaamodel_name";
const KV_RANK: &[u8] = b"\xa7kv_rank";
const OBJECT_GROUP_ID: &[u8] = b"\xafobject_group_id";

/// First byte of a map of three entries; one more entry is one more.
const MAP_OF_THREE: u8 = 0x83;

/// The fields of a key in the usual form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct UsualKey<'a> {
    pub(super) chunk_hash: &'a [u8],
    pub(super) model_name: &'a str,
    pub(super) kv_rank: i64,
    pub(super) object_group_id: u32,
}

/// Reads the key at `cursor` and steps over it, or leaves the cursor alone if the key has another form.
#[inline]
pub(super) fn take_usual_key<'a>(cursor: &mut Cursor<'a>) -> Option<UsualKey<'a>> {
    let rest = cursor.bytes().get(cursor.position()..)?;
    let (&entries, rest) = rest.strip_prefix(WRAPPER)?.split_first()?;
    let has_group = entries.checked_sub(MAP_OF_THREE).filter(|extra| *extra <= 1)? == 1;
    let (&hash_bytes, rest) = rest.strip_prefix(CHUNK_HASH)?.split_first()?;
    let (chunk_hash, rest) = rest.split_at_checked(usize::from(hash_bytes))?;
    let mut scalars = Cursor::at(cursor.bytes(), cursor.bytes().len() - rest.strip_prefix(MODEL_NAME)?.len());
    let model_name = match scalars.head().ok()? {
        Head::Str(name) => std::str::from_utf8(name).ok()?,
        _ => return None,
    };
    let kv_rank = i64::try_from(take_uint(&mut scalars, KV_RANK)?).ok()?;
    let object_group_id = match has_group {
        true => u32::try_from(take_uint(&mut scalars, OBJECT_GROUP_ID)?).ok()?,
        false => 0,
    };
    *cursor = scalars;
    Some(UsualKey { chunk_hash, model_name, kv_rank, object_group_id })
}

#[inline]
fn take_uint(cursor: &mut Cursor<'_>, name: &[u8]) -> Option<u64> {
    let rest = cursor.bytes().get(cursor.position()..)?.strip_prefix(name)?;
    *cursor = Cursor::at(cursor.bytes(), cursor.bytes().len() - rest.len());
    match cursor.head().ok()? {
        Head::UInt(value) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &[u8]) -> Vec<u8> {
        let entries = [if group.is_empty() { MAP_OF_THREE } else { MAP_OF_THREE + 1 }];
        [
            WRAPPER,
            &entries,
            CHUNK_HASH,
            b"\x02\x01\x02",
            MODEL_NAME,
            b"\xa1m",
            KV_RANK,
            b"\xcd\x01\x00",
            group,
        ]
        .concat()
    }

    #[test]
    fn both_lengths_are_read_and_everything_else_is_left_alone() {
        let whole = key(b"\xafobject_group_id\x07");
        for (bytes, group) in [(key(b""), 0), (whole.clone(), 7)] {
            let mut cursor = Cursor::at(&bytes, 0);
            let found = take_usual_key(&mut cursor).unwrap();
            assert_eq!((found.chunk_hash, found.model_name), (&[1, 2][..], "m"));
            assert_eq!((found.kv_rank, found.object_group_id, cursor.position()), (256, group, bytes.len()));
        }
        for end in 0..whole.len() {
            let mut cursor = Cursor::at(&whole[..end], 0);
            assert_eq!(take_usual_key(&mut cursor), None);
            assert_eq!(cursor.position(), 0);
        }
    }
}

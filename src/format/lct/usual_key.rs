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

use rmp::Marker;

/// The head of every wrapped key, to the payload.
pub(super) const WRAPPER: &[u8; 19] = b"\x82\xa5__t__\xa9ObjectKey\xa1v";

/// The hash's name, and the first byte of a hash of at most 255 bytes.
const CHUNK_HASH: &[u8; 12] = b"\xaachunk_hash\xc4";

/// The model's name.
pub(super) const MODEL_NAME: &[u8; 11] = b"\xaamodel_name";

/// The rank's name.
pub(super) const KV_RANK: &[u8; 8] = b"\xa7kv_rank";

/// The object group's name.
pub(super) const OBJECT_GROUP_ID: &[u8; 16] = b"\xafobject_group_id";

/// First byte of a map of three entries; one more entry is one more.
pub(super) const MAP_OF_THREE: u8 = 0x83;

/// The fields of a key in the usual form. The text of the name is not checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct UsualKey<'a> {
    pub(super) chunk_hash: &'a [u8],
    pub(super) model_name: &'a [u8],
    pub(super) kv_rank: u32,
    pub(super) object_group_id: u32,
}

/// The key that `bytes` begin with, and what follows it; nothing if it has another form.
#[inline]
pub(super) fn split_usual_key(bytes: &[u8]) -> Option<(UsualKey<'_>, &[u8])> {
    let rest = strip(bytes, WRAPPER)?;
    let (&entries, rest) = rest.split_first()?;
    let has_group = entries.checked_sub(MAP_OF_THREE).filter(|extra| *extra <= 1)? == 1;
    let (&hash_bytes, rest) = strip(rest, CHUNK_HASH)?.split_first()?;
    let (chunk_hash, rest) = rest.split_at_checked(usize::from(hash_bytes))?;
    let (model_name, rest) = take_short_str(strip(rest, MODEL_NAME)?)?;
    let (kv_rank, mut rest) = take_u32(strip(rest, KV_RANK)?)?;
    let mut object_group_id = 0;
    if has_group {
        (object_group_id, rest) = take_u32(strip(rest, OBJECT_GROUP_ID)?)?;
    }
    Some((UsualKey { chunk_hash, model_name, kv_rank, object_group_id }, rest))
}

/// `bytes` without `prefix`, whose length the compiler knows: the comparison is a few loads, not a call.
#[inline]
fn strip<'a, const N: usize>(bytes: &'a [u8], prefix: &[u8; N]) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    (head == prefix).then_some(rest)
}

/// A string of at most 255 bytes.
#[inline]
fn take_short_str(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match Marker::from_u8(first) {
        Marker::FixStr(len_bytes) => rest.split_at_checked(usize::from(len_bytes)),
        Marker::Str8 => {
            rest.split_first().and_then(|(len_bytes, rest)| rest.split_at_checked(usize::from(*len_bytes)))
        }
        _ => None,
    }
}

/// A whole number of at most 32 bits.
#[inline]
fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match Marker::from_u8(first) {
        Marker::FixPos(value) => Some((u32::from(value), rest)),
        Marker::U8 => rest.split_first().map(|(value, rest)| (u32::from(*value), rest)),
        Marker::U16 => {
            rest.split_first_chunk().map(|(raw, rest)| (u32::from(u16::from_be_bytes(*raw)), rest))
        }
        Marker::U32 => rest.split_first_chunk().map(|(raw, rest)| (u32::from_be_bytes(*raw), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &[u8]) -> Vec<u8> {
        let entries = [if group.is_empty() { MAP_OF_THREE } else { MAP_OF_THREE + 1 }];
        let parts: [&[u8]; 9] = [
            WRAPPER,
            &entries,
            CHUNK_HASH,
            b"\x02\x01\x02",
            MODEL_NAME,
            b"\xa1m",
            KV_RANK,
            b"\xcd\x01\x00",
            group,
        ];
        parts.concat()
    }

    #[test]
    fn both_lengths_are_read_and_everything_else_is_left_alone() {
        let whole = key(b"\xafobject_group_id\x07");
        for (bytes, group) in [(key(b""), 0), (whole.clone(), 7)] {
            let followed = [&bytes[..], b"next"].concat();
            let (found, rest) = split_usual_key(&followed).unwrap();
            assert_eq!((found.chunk_hash, found.model_name), (&[1, 2][..], &b"m"[..]));
            assert_eq!((found.kv_rank, found.object_group_id, rest), (256, group, &b"next"[..]));
        }
        for end in 0..whole.len() {
            assert_eq!(split_usual_key(&whole[..end]), None);
        }
    }
}

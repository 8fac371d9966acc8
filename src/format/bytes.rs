//! Comparing short byte strings in line.

/// Bytes that are compared at once.
const WORD_BYTES: usize = 8;

/// Whether `a` and `b` are the same bytes.
///
/// For names of a few dozen bytes, compared once per key of a file. The C library's `memcmp`, which `==` calls,
/// reads the end of such strings by a masked load, and on the machine of `docs/performance.md` that takes longer
/// than all else that is done with the key.
#[inline]
pub(crate) fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (Some(a_end), Some(b_end)) = (a.last_chunk::<WORD_BYTES>(), b.last_chunk::<WORD_BYTES>()) else {
        return a.iter().zip(b).all(|(a, b)| a == b);
    };
    // The last word overlaps the one before it, so that no byte is left over.
    let (a_words, b_words) = (a.as_chunks::<WORD_BYTES>().0, b.as_chunks::<WORD_BYTES>().0);
    a_words.iter().zip(b_words).all(|(a, b)| a == b) && a_end == b_end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_differing_byte_is_seen_wherever_it_is() {
        for len_bytes in 0..40 {
            let bytes: Vec<u8> = (0..len_bytes).collect();
            assert!(same_bytes(&bytes, &bytes.clone()));
            for place in 0..bytes.len() {
                let mut other = bytes.clone();
                other[place] ^= 1;
                assert!(!same_bytes(&bytes, &other), "{len_bytes} {place}");
            }
            assert!(!same_bytes(&bytes, &[&bytes[..], &[0]].concat()));
        }
    }
}

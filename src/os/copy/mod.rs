//! Copies into and out of memory that other threads may be writing at the same time.
//!
//! Who may touch an object's bytes in L1 follows from its state, but locks expire, and a late writer can meet the
//! next owner. A plain `memcpy` would make that undefined behaviour, so every copy here behaves as a row of relaxed
//! atomic accesses to the shared bytes: whatever threads do, the worst is a torn object. What orders a writer
//! before its readers is a lock of theirs (in L1 the mutex of the key's shard), not the copy.
//!
//! * [`x86_64`]: moves of 16 bytes in an assembler block, which the compiler cannot look into. As fast as `memcpy`,
//!   and faster than it where both sides are out of the caches.
//! * `words`: atomic words, for every other processor. No compiler makes wider moves of them.
#[cfg(any(test, miri, not(target_arch = "x86_64")))]
mod words;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86_64;

#[cfg(any(miri, not(target_arch = "x86_64")))]
use words as machine;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use x86_64 as machine;

/// Memory that is copied here begins and ends at multiples of a word.
pub const WORD_BYTES: usize = size_of::<u64>();

/// Copies `bytes` into shared memory at `to`.
///
/// # Safety
/// `to` is followed by at least as many bytes of shared memory. Shared memory begins and ends at multiples of
/// [`WORD_BYTES`], stays mapped during the call, and is accessed by this file, by system calls and by engines only:
/// nobody has a reference to it.
pub unsafe fn copy_in(to: *mut u8, bytes: &[u8]) {
    // SAFETY: as the caller promises.
    unsafe { machine::copy_in(to, bytes) }
}

/// Fills `out` from shared memory at `from`.
///
/// # Safety
/// As for [`copy_in`].
pub unsafe fn copy_out(from: *const u8, out: &mut [u8]) {
    // SAFETY: as the caller promises.
    unsafe { machine::copy_out(from, out) }
}

/// Copies `len` bytes of shared memory at `from` to shared memory at `to`. Where the two overlap, what arrives are
/// bytes of the source or bytes that were copied before.
///
/// # Safety
/// As for [`copy_in`], on both sides.
pub unsafe fn copy_across(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: as the caller promises.
    unsafe { machine::copy_across(from, to, len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type CopyIn = unsafe fn(*mut u8, &[u8]);
    type CopyOut = unsafe fn(*const u8, &mut [u8]);
    type CopyAcross = unsafe fn(*const u8, *mut u8, usize);

    const MACHINES: [(CopyIn, CopyOut, CopyAcross); 2] = [
        (words::copy_in, words::copy_out, words::copy_across),
        (machine::copy_in, machine::copy_out, machine::copy_across),
    ];

    /// Memory of whole words, and a copy of it that is changed by plain means.
    struct Pair {
        shared: Vec<u64>,
        expected: Vec<u8>,
    }

    impl Pair {
        fn new(len_bytes: usize, first: u8) -> Self {
            let expected: Vec<u8> = (0..len_bytes).map(|i| first.wrapping_add((i % 251) as u8)).collect();
            let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap()).to_le();
            Self { shared: expected.chunks_exact(8).map(word).collect(), expected }
        }

        fn at(&mut self, offset: usize) -> *mut u8 {
            self.shared.as_mut_ptr().cast::<u8>().wrapping_add(offset)
        }

        fn check(&self, what: &str) {
            let found: Vec<u8> = self.shared.iter().flat_map(|word| word.to_le().to_le_bytes()).collect();
            assert!(found == self.expected, "{what}");
        }
    }

    /// Every length and place around the widths of the moves.
    fn cases(largest: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let lens = (0..80).chain([95, 127, 128, 129, 191, 255, largest - 1, largest, largest + 77]);
        lens.flat_map(|len| [0, 1, 7, 8, 15, 16, 63].map(|to| (len, to)))
            .flat_map(|(len, to)| [0, 3, 8, 16].map(|from| (len, to, from)))
    }

    fn check_all((copy_in, copy_out, copy_across): (CopyIn, CopyOut, CopyAcross), largest: usize) {
        let bytes: Vec<u8> = (0..largest + 256).map(|i| (i % 241) as u8 ^ 0x5a).collect();
        let (mut here, mut there) = (Pair::new(largest + 256, 1), Pair::new(largest + 256, 100));
        for (len, to, from) in cases(largest) {
            let what = format!("{len} bytes from {from} to {to}");
            // SAFETY: 256 bytes are enough for the offset and for the rest of the longest.
            unsafe { copy_in(here.at(to), &bytes[from..from + len]) };
            here.expected[to..to + len].copy_from_slice(&bytes[from..from + len]);
            // SAFETY: as above.
            unsafe { copy_across(here.at(from), there.at(to), len) };
            there.expected[to..to + len].copy_from_slice(&here.expected[from..from + len]);
            let mut out = vec![0; len];
            // SAFETY: as above.
            unsafe { copy_out(there.at(to), &mut out) };
            assert!(out == there.expected[to..to + len], "{what}");
        }
        here.check("into");
        there.check("across");
    }

    #[test]
    fn every_length_at_every_place_arrives_and_its_neighbours_stay() {
        for machine in MACHINES {
            check_all(machine, 1_024);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn lengths_around_the_limit_of_streaming_arrive_streamed_or_not() {
        for streams in [false, true] {
            let len = x86_64::STREAM_FROM_BYTES;
            for (len, to) in [(len - 1, 0), (len, 8), (len + 1, 15), (len + 63, 16)] {
                let (from, mut pair) = (Pair::new(len + 80 - len % 8, 7), Pair::new(len + 80 - len % 8, 9));
                // SAFETY: both are longer than the copy and its offset.
                unsafe { x86_64::copy(from.shared.as_ptr().cast(), pair.at(to), len, streams) };
                pair.expected[to..to + len].copy_from_slice(&from.expected[..len]);
                pair.check("streamed");
            }
        }
    }
}

//! A ring of records between one thread that makes them and the one that writes them to the file.
//!
//! [`create`] gives two halves. The [`Producer`] belongs to a recording thread: it reserves room, writes a record
//! in place and commits it, for the price of the bytes, one comparison and one release store. The [`Consumer`]
//! belongs to the writer thread: it sees all that is committed, and releases it once it has been copied out.
//! Neither waits for the other; a full ring refuses, and what that means (drop and count, or try again) is the
//! recorder's policy.
//!
//! Records are any number of bytes; what is in them is framed by whoever writes them. Each is contiguous, begins
//! at a multiple of 8 bytes, and is filled up to one with zeros, so that runs of records can be copied to a file
//! whole.
//!
//! # Why the end of the buffer is skipped, not mapped twice
//! A record that does not fit before the end of the buffer goes to its start. The usual alternative, mapping the
//! buffer twice in a row, needs shared memory: after a `fork`, which hosts in Python do, a child's records would
//! land in its parent's ring. Here the ring is private memory, and a child fills its own copy until it is full.
//! Nor would the mirror be faster: the producer keeps a window that it knows to be both free and before the end,
//! so the end of the buffer costs no comparison of its own; and the consumer reads two runs in place of one. A
//! thread sanitizer sees every byte, which it does not through a mirror.
//!
//! # Rooms
//! * `index`: who owns which bytes. No memory, no `unsafe`: a model checker runs it as it is.
//! * `halves`: the bytes.
//!
//! The module is public for the benchmarks and the tests; programs record through the recorder.

mod halves;
mod index;

use crate::error::{Error, Result};

pub use halves::{Consumer, Producer, Reserved};
pub use index::Refusal;

/// The capacity for threads that nothing is known of: 16,000 records of one key.
pub const DEFAULT_RING_BYTES: usize = 1 << 20;
/// The smallest capacity: one page.
pub const MIN_RING_BYTES: usize = 1 << 12;
/// The largest capacity.
pub const MAX_RING_BYTES: usize = 1 << 30;

/// A ring of `capacity_bytes`, all of its memory there already.
///
/// # Errors
/// [`InvalidArgument`](crate::error::ErrorKind::InvalidArgument) if the capacity is no power of two, or not
/// between [`MIN_RING_BYTES`] and [`MAX_RING_BYTES`];
/// [`OutOfMemory`](crate::error::ErrorKind::OutOfMemory) if the memory cannot be had.
pub fn create(capacity_bytes: usize) -> Result<(Producer, Consumer)> {
    if !capacity_bytes.is_power_of_two() || !(MIN_RING_BYTES..=MAX_RING_BYTES).contains(&capacity_bytes) {
        return Err(Error::invalid("the capacity of a ring is no power of two within the limits")
            .with_context("bytes", capacity_bytes)
            .with_context("min_bytes", MIN_RING_BYTES)
            .with_context("max_bytes", MAX_RING_BYTES));
    }
    halves::create(capacity_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_capacity_is_a_power_of_two_within_the_limits() {
        let largest = create(MAX_RING_BYTES >> 8).is_ok();
        assert!(create(MIN_RING_BYTES).is_ok() && create(DEFAULT_RING_BYTES).is_ok() && largest);
        for bytes in [0, MIN_RING_BYTES / 2, MIN_RING_BYTES + 1, MAX_RING_BYTES * 2, usize::MAX] {
            assert_eq!(create(bytes).expect_err("out of limits").kind(), ErrorKind::InvalidArgument);
        }
    }
}

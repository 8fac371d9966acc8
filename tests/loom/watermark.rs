//! The commit slot as a watermark: records first, then the slot that vouches for them; a follower the other way
//! round.
//!
//! The file is cells that loom may show in any order that the memory model lets it. A `pwrite` ends, and a `pread`
//! begins, with what the kernel's locks give: Release and Acquire. A slot is two words, which a follower may see from
//! two writes; its checksum tells.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

const RECORDS: usize = 2;

#[derive(Default)]
struct FileCells {
    records: [AtomicU64; RECORDS],
    committed: AtomicU64,
    check: AtomicU64,
}

/// What is pushed as record `number`; never 0, which is what stands in a file before.
fn record(number: usize) -> u64 {
    number as u64 + 10
}

/// Stands for a CRC: another slot has another one.
fn check_of(committed: u64) -> u64 {
    committed ^ 0xff
}

impl FileCells {
    fn write_record(&self, number: usize) {
        // Release: pairs with the Acquire in `read_record`; a pread that meets any of a pwrite is behind its lock.
        self.records[number].store(record(number), Ordering::Release);
    }

    fn write_slot(&self, committed: u64) {
        // Release, both: pair with the Acquires in `read_slot`.
        self.committed.store(committed, Ordering::Release);
        self.check.store(check_of(committed), Ordering::Release);
    }

    /// How many records the slot vouches for, if it is whole.
    fn read_slot(&self) -> Option<usize> {
        // Acquire, both: pair with the Releases in `write_slot`, and bring what was written before it.
        let (check, committed) = (self.check.load(Ordering::Acquire), self.committed.load(Ordering::Acquire));
        (check == check_of(committed)).then_some(committed as usize)
    }

    fn read_record(&self, number: usize) -> u64 {
        // Acquire: pairs with the Release in `write_record`.
        self.records[number].load(Ordering::Acquire)
    }
}

/// One thread writes and one follows; every record that the follower believes must be the one that was pushed.
fn check(is_slot_last: bool) {
    loom::model(move || {
        let file = Arc::new(FileCells::default());
        let followed = Arc::clone(&file);
        let writer = thread::spawn(move || {
            for number in 0..RECORDS {
                if is_slot_last {
                    file.write_record(number);
                    file.write_slot(number as u64 + 1);
                } else {
                    file.write_slot(number as u64 + 1);
                    file.write_record(number);
                }
            }
        });
        let mut met = 0;
        for _ in 0..2 {
            let committed = followed.read_slot().unwrap_or(met);
            for number in met..committed.max(met) {
                assert_eq!(followed.read_record(number), record(number), "a record that is not there yet");
            }
            met = met.max(committed);
        }
        writer.join().expect("the writer does not panic");
        assert_eq!(followed.read_slot(), Some(RECORDS), "in the end all is there");
    });
}

#[test]
fn a_slot_that_is_whole_vouches_for_records_that_are_there() {
    check(true);
}

#[test]
#[should_panic(expected = "a record that is not there yet")]
fn a_slot_that_is_written_first_vouches_for_nothing() {
    check(false);
}

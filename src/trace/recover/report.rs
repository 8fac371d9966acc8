//! What a close look at a file finds.

use std::collections::BTreeMap;
use std::fmt;

/// How many findings of one kind a report keeps; the others are counted.
pub const MAX_KEPT_PER_KIND: u64 = 16;

/// One thing that is not as it should be. Offsets are those of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// No chunk stands where one should.
    ChunkMissing {
        /// Where.
        offset: u64,
        /// Bytes up to the next chunk, or the end.
        bytes: u64,
        /// How many calls were there, if the chunks around tell.
        calls: Option<u64>,
    },
    /// A chunk whose checksum or whose records are wrong: nothing of it is read.
    ChunkDamaged {
        /// Its number.
        chunk: u64,
        /// Where it starts.
        offset: u64,
        /// What is wrong.
        reason: String,
        /// How many calls were there, if the next chunk tells.
        calls: Option<u64>,
    },
    /// A commit slot that is damaged, or whose records are.
    SlotDamaged {
        /// The chunk's number.
        chunk: u64,
        /// Where the slot is.
        offset: u64,
    },
    /// A chunk that records could still be added to, before the end of the file.
    ChunkNotSealed {
        /// Its number.
        chunk: u64,
        /// Where it starts.
        offset: u64,
    },
    /// A chunk's header says something else than what stands before it.
    WrongNumber {
        /// Where the chunk starts.
        offset: u64,
        /// Which field.
        field: &'static str,
        /// What the header says.
        found: u64,
        /// What stands before it.
        expected: u64,
    },
    /// A chunk's commit slot says something else than its records.
    WrongCount {
        /// Where the chunk starts.
        offset: u64,
        /// Which field.
        field: &'static str,
        /// What the slot says.
        found: u64,
        /// What the records say.
        expected: u64,
    },
    /// A record that is earlier than the one before, and not said to be late.
    OutOfOrder {
        /// Where the record is.
        offset: u64,
        /// Its time.
        t_ns: u64,
        /// The latest time before it.
        after_ns: u64,
    },
    /// A call of a thread that its chunk does not define.
    ThreadNotDefined {
        /// Where the call is.
        offset: u64,
        /// The thread.
        thread: u32,
    },
    /// Calls of a thread that are neither in the file nor said to be lost.
    CallsMissing {
        /// The thread.
        thread: u32,
        /// Sequence number of the first.
        first_sequence: u32,
        /// How many.
        count: u64,
    },
    /// Calls of a thread whose numbers were there already.
    CallsRepeated {
        /// Where the later record is.
        offset: u64,
        /// The thread.
        thread: u32,
        /// Sequence number of the record.
        sequence: u32,
        /// How many.
        count: u64,
    },
    /// A completion of a call that is neither in the file nor said to be lost.
    CompletionWithoutCall {
        /// Where the completion is.
        offset: u64,
        /// Thread of the call.
        thread: u32,
        /// Sequence number of the call.
        sequence: u32,
    },
    /// The index says something else than the file.
    WrongIndex {
        /// About what.
        about: &'static str,
    },
    /// Bytes that are no part of anything that a checksum covers.
    BytesNotVouchedFor {
        /// Where they start.
        offset: u64,
        /// How many, up to the last one that is not zero.
        bytes: u64,
    },
    /// There is no end mark: the file is being written, or its recorder was killed, or its end is gone.
    NotClosed {
        /// The length of the file.
        file_bytes: u64,
    },
    /// Calls that the recorder lost, as it says itself.
    CallsLost {
        /// Where it says so.
        offset: u64,
        /// The thread.
        thread: u32,
        /// How many.
        count: u64,
        /// Why.
        reason: &'static str,
    },
    /// A frame of LMCache's format that is no record.
    FrameUndecodable {
        /// Where its body is.
        offset: u64,
        /// Why.
        reason: String,
    },
    /// A file of LMCache's format that ends inside a frame.
    FileCut {
        /// Where that frame starts.
        offset: u64,
    },
}

impl Finding {
    /// Its kind, as programs know it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ChunkMissing { .. } => "chunk_missing",
            Self::ChunkDamaged { .. } => "chunk_damaged",
            Self::SlotDamaged { .. } => "slot_damaged",
            Self::ChunkNotSealed { .. } => "chunk_not_sealed",
            Self::WrongNumber { .. } => "wrong_number",
            Self::WrongCount { .. } => "wrong_count",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::ThreadNotDefined { .. } => "thread_not_defined",
            Self::CallsMissing { .. } => "calls_missing",
            Self::CallsRepeated { .. } => "calls_repeated",
            Self::CompletionWithoutCall { .. } => "completion_without_call",
            Self::WrongIndex { .. } => "wrong_index",
            Self::BytesNotVouchedFor { .. } => "bytes_not_vouched_for",
            Self::NotClosed { .. } => "not_closed",
            Self::CallsLost { .. } => "calls_lost",
            Self::FrameUndecodable { .. } => "frame_undecodable",
            Self::FileCut { .. } => "file_cut",
        }
    }

    /// Where in the file it is, if it is at one place.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::ChunkMissing { offset, .. }
            | Self::ChunkDamaged { offset, .. }
            | Self::SlotDamaged { offset, .. }
            | Self::ChunkNotSealed { offset, .. }
            | Self::WrongNumber { offset, .. }
            | Self::WrongCount { offset, .. }
            | Self::OutOfOrder { offset, .. }
            | Self::ThreadNotDefined { offset, .. }
            | Self::CallsRepeated { offset, .. }
            | Self::CompletionWithoutCall { offset, .. }
            | Self::BytesNotVouchedFor { offset, .. }
            | Self::NotClosed { file_bytes: offset }
            | Self::CallsLost { offset, .. }
            | Self::FrameUndecodable { offset, .. }
            | Self::FileCut { offset } => Some(*offset),
            Self::CallsMissing { .. } | Self::WrongIndex { .. } => None,
        }
    }
}

/// The sentence of a finding, without its offset.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missed = |f: &mut fmt::Formatter<'_>, calls: &Option<u64>| match calls {
            Some(1) => f.write_str("; 1 call was there"),
            Some(calls) => write!(f, "; {calls} calls were there"),
            None => Ok(()),
        };
        match self {
            Self::ChunkMissing { bytes, calls, .. } => {
                write!(f, "{bytes} bytes where a chunk should be are no chunk")?;
                missed(f, calls)
            }
            Self::ChunkDamaged { chunk, reason, calls, .. } => {
                write!(f, "chunk {chunk} is damaged: {reason}")?;
                missed(f, calls)
            }
            Self::SlotDamaged { chunk, .. } => write!(f, "a commit slot of chunk {chunk} is damaged"),
            Self::ChunkNotSealed { chunk, .. } => {
                write!(f, "chunk {chunk} was not sealed; its end is missing")
            }
            Self::WrongNumber { field, found, expected, .. } => {
                write!(f, "the chunk's header has {field} {found}, the file before it says {expected}")
            }
            Self::WrongCount { field, found, expected, .. } => {
                write!(f, "the chunk's commit slot has {field} {found}, its records say {expected}")
            }
            Self::OutOfOrder { t_ns, after_ns, .. } => {
                write!(f, "a record at {t_ns} ns follows one at {after_ns} ns and is not said to be late")
            }
            Self::ThreadNotDefined { thread, .. } => {
                write!(f, "a call of thread {thread}, which its chunk does not define")
            }
            Self::CallsMissing { thread, first_sequence, count } => write!(
                f,
                "not in the file: {} of thread {thread} from number {first_sequence} on",
                calls(*count)
            ),
            Self::CallsRepeated { thread, sequence, count, .. } => {
                write!(f, "there already: {} of thread {thread} at number {sequence}", calls(*count))
            }
            Self::CompletionWithoutCall { thread, sequence, .. } => {
                write!(f, "a completion of call {sequence} of thread {thread}, which is not in the file")
            }
            Self::WrongIndex { about } => write!(f, "the index is wrong about {about}"),
            Self::BytesNotVouchedFor { bytes, .. } => {
                write!(f, "{bytes} bytes that no checksum covers")
            }
            Self::NotClosed { .. } => {
                f.write_str("there is no end mark: the file is being written, or its recorder was killed")
            }
            Self::CallsLost { thread, count, reason, .. } => {
                write!(f, "the recorder lost {} of thread {thread}: {reason}", calls(*count))
            }
            Self::FrameUndecodable { reason, .. } => write!(f, "a frame that is no record: {reason}"),
            Self::FileCut { .. } => f.write_str("the file ends inside a frame"),
        }
    }
}

/// So many calls, in words.
fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}

/// What was looked at, and what was found. Its memory does not grow with the number of findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Length of the file.
    pub file_bytes: u64,
    /// Chunks that are there; of a file of LMCache, 0.
    pub chunks: u64,
    /// Chunks whose records were read.
    pub good_chunks: u64,
    /// Records that were read, definitions included.
    pub records: u64,
    /// Calls that were read.
    pub calls: u64,
    /// Completions that were read.
    pub completions: u64,
    /// Calls that the recorder lost, as it says itself.
    pub lost: u64,
    /// Records that came late, as they say themselves.
    pub late: u64,
    /// Threads that made calls.
    pub threads: u64,
    /// Earliest time of a call; 0 if there is none.
    pub first_ns: u64,
    /// Latest time of a call.
    pub last_ns: u64,
    /// Records of kinds that this build does not know.
    pub unknown_records: u64,
    /// Chunks of kinds that this build does not know.
    pub unknown_chunks: u64,
    /// Whether the file has an end mark. A file of LMCache never has one.
    pub is_closed: bool,
    findings: Vec<Finding>,
    counts: BTreeMap<&'static str, u64>,
}

impl VerifyReport {
    pub(super) fn new(file_bytes: u64) -> Self {
        Self { file_bytes, ..Self::default() }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        let count = self.counts.entry(finding.kind()).or_default();
        *count += 1;
        if *count <= MAX_KEPT_PER_KIND {
            self.findings.push(finding);
        }
    }

    /// The first [`MAX_KEPT_PER_KIND`] of each kind, in the order in which they were found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many there are of each kind.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// How many there are of one kind.
    pub fn count(&self, kind: &str) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_past_the_limit_are_counted() {
        let mut report = VerifyReport::default();
        for file_bytes in 0..=MAX_KEPT_PER_KIND {
            report.add(Finding::NotClosed { file_bytes });
        }
        report.add(Finding::FileCut { offset: 3 });
        assert_eq!(report.findings().len() as u64, MAX_KEPT_PER_KIND + 1);
        assert_eq!(
            (report.count("not_closed"), report.total()),
            (MAX_KEPT_PER_KIND + 1, MAX_KEPT_PER_KIND + 2)
        );
    }
}

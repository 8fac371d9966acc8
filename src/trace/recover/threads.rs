//! Which calls of which thread a file accounts for, by their sequence numbers.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::report::{Finding, VerifyReport};

/// Numbers in the file have 32 bits. Here they are counted on from this, which leaves room for one that comes before
/// the first.
const BASE: u64 = 1 << 32;

/// Ranges that are kept of one thread: a hostile file leaves a gap after every call. Past this the lowest gap is
/// reported at once and taken for filled.
const MAX_RANGES: usize = 4096;

/// Completions that wait for a call: it may be a late one that stands behind them.
const MAX_PENDING: usize = 1 << 16;

/// The calls of all threads.
#[derive(Debug)]
pub(super) struct Threads {
    /// Whether the file is the first of its recording: then the threads' numbers start at 0.
    is_first_file: bool,
    threads: HashMap<u32, ThreadCalls>,
    pending: Vec<PendingCompletion>,
}

#[derive(Clone, Copy, Debug)]
struct PendingCompletion {
    offset: u64,
    thread: u32,
    sequence: u32,
}

#[derive(Debug)]
struct ThreadCalls {
    /// Start and end of the numbers that are accounted for; no two of them touch.
    ranges: BTreeMap<u64, u64>,
    /// The first number that the file should have.
    first: u64,
    /// After the highest number so far.
    end: u64,
}

impl Threads {
    pub(super) fn new(is_first_file: bool) -> Self {
        Self { is_first_file, threads: HashMap::new(), pending: Vec::new() }
    }

    /// How many made calls or lost some.
    pub(super) fn len(&self) -> usize {
        self.threads.len()
    }

    /// Accounts for `count` calls from `sequence` on.
    pub(super) fn add(
        &mut self,
        thread: u32,
        sequence: u32,
        count: u64,
        offset: u64,
        report: &mut VerifyReport,
    ) {
        let first = if self.is_first_file { BASE } else { BASE + u64::from(sequence) };
        let calls = self.threads.entry(thread).or_insert_with(|| ThreadCalls::new(first));
        let start = calls.unwrap(sequence);
        let repeated = calls.insert(start, start.saturating_add(count));
        if repeated > 0 {
            report.add(Finding::CallsRepeated { offset, thread, sequence, count: repeated });
        }
        if calls.ranges.len() > MAX_RANGES
            && let Some(gap) = calls.fold_lowest()
        {
            report.add(missing(thread, gap));
        }
    }

    /// Looks for the call that was completed, at once or at the end.
    pub(super) fn complete(&mut self, thread: u32, sequence: u32, offset: u64, report: &mut VerifyReport) {
        let completion = PendingCompletion { offset, thread, sequence };
        if self.has_call(&completion) {
            return;
        }
        self.pending.push(completion);
        if self.pending.len() > MAX_PENDING {
            self.report_pending(report);
        }
    }

    fn has_call(&self, completion: &PendingCompletion) -> bool {
        match self.threads.get(&completion.thread) {
            Some(calls) => {
                let position = calls.unwrap(completion.sequence);
                calls.contains(position) || (!self.is_first_file && position < calls.first)
            }
            // Its call may be in a file before this one.
            None => !self.is_first_file,
        }
    }

    fn report_pending(&mut self, report: &mut VerifyReport) {
        for completion in std::mem::take(&mut self.pending) {
            if !self.has_call(&completion) {
                let PendingCompletion { offset, thread, sequence } = completion;
                report.add(Finding::CompletionWithoutCall { offset, thread, sequence });
            }
        }
    }

    /// Reports the gaps, and the completions whose calls never came.
    pub(super) fn finish(mut self, report: &mut VerifyReport) {
        self.report_pending(report);
        let mut threads: Vec<_> = self.threads.into_iter().collect();
        threads.sort_unstable_by_key(|(number, _)| *number);
        for (thread, calls) in threads {
            let mut expected = calls.first;
            for (start, end) in calls.ranges {
                if start > expected {
                    report.add(missing(thread, (expected, start)));
                }
                expected = end;
            }
        }
    }
}

fn missing(thread: u32, (start, end): (u64, u64)) -> Finding {
    Finding::CallsMissing { thread, first_sequence: start as u32, count: end - start }
}

impl ThreadCalls {
    fn new(first: u64) -> Self {
        Self { ranges: BTreeMap::new(), first, end: first }
    }

    /// The number whose low 32 bits are `sequence`, next to the highest so far.
    fn unwrap(&self, sequence: u32) -> u64 {
        let distance = sequence.wrapping_sub(self.end as u32).cast_signed();
        self.end.saturating_add_signed(i64::from(distance))
    }

    fn contains(&self, position: u64) -> bool {
        self.ranges.range(..=position).next_back().is_some_and(|(_, end)| position < *end)
    }

    /// Adds a range and returns how many of its numbers were there.
    fn insert(&mut self, start: u64, end: u64) -> u64 {
        self.end = self.end.max(end);
        let (mut low, mut high, mut repeated) = (start, end, 0);
        while let Some((&known_start, &known_end)) = self.ranges.range(..=high).next_back() {
            if known_end < low {
                break;
            }
            repeated += known_end.min(end).saturating_sub(known_start.max(start));
            (low, high) = (low.min(known_start), high.max(known_end));
            self.ranges.remove(&known_start);
        }
        if high > low {
            self.ranges.insert(low, high);
        }
        repeated
    }

    /// Fills the lowest gap and returns it.
    fn fold_lowest(&mut self) -> Option<(u64, u64)> {
        let (low, low_end) = self.ranges.pop_first()?;
        let (next, end) = self.ranges.pop_first()?;
        self.ranges.insert(low, end);
        Some((low_end, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(is_first_file: bool, calls: &[(u32, u64)], completions: &[u32]) -> Vec<&'static str> {
        let (mut threads, mut report) = (Threads::new(is_first_file), VerifyReport::default());
        for sequence in completions {
            threads.complete(1, *sequence, 0, &mut report);
        }
        for (sequence, count) in calls {
            threads.add(1, *sequence, *count, 0, &mut report);
        }
        threads.finish(&mut report);
        report.findings().iter().map(Finding::kind).collect()
    }

    #[test]
    fn each_number_is_wanted_once() {
        assert!(found(true, &[(0, 1), (1, 1), (2, 10), (12, 1)], &[]).is_empty());
        assert!(found(true, &[(1, 1), (0, 1)], &[0, 1]).is_empty());
        assert_eq!(found(true, &[(1, 1)], &[]), ["calls_missing"]);
        assert_eq!(found(true, &[(0, 3), (4, 1)], &[3]), ["completion_without_call", "calls_missing"]);
        assert_eq!(found(true, &[(0, 3), (2, 2)], &[]), ["calls_repeated"]);
        assert_eq!(found(true, &[(0, 3)], &[3]), ["completion_without_call"]);
    }

    #[test]
    fn a_later_file_begins_anywhere_and_completes_calls_of_files_before() {
        assert!(found(false, &[(7, 1), (8, 2)], &[3, 6, 9]).is_empty());
        assert!(found(false, &[(u32::MAX, 1), (0, 1)], &[]).is_empty());
        assert_eq!(found(false, &[(7, 1), (9, 2)], &[]), ["calls_missing"]);
    }

    #[test]
    fn numbers_go_around() {
        let mut calls = ThreadCalls::new(BASE);
        assert_eq!(calls.insert(BASE, 2 * BASE - 1), 0);
        assert_eq!(calls.unwrap(u32::MAX), 2 * BASE - 1);
        assert_eq!(calls.unwrap(3), 2 * BASE + 3);
        calls.insert(u64::MAX - 1, u64::MAX);
        assert_eq!(calls.unwrap(5), u64::MAX);
    }

    #[test]
    fn a_gap_after_every_call_does_not_grow_without_end() {
        let (mut threads, mut report) = (Threads::new(true), VerifyReport::default());
        for call in 0..=MAX_RANGES as u32 {
            threads.add(1, call * 2, 1, 0, &mut report);
        }
        assert_eq!(threads.threads[&1].ranges.len(), MAX_RANGES);
        assert_eq!(report.count("calls_missing"), 1);
        threads.finish(&mut report);
        assert_eq!(report.count("calls_missing"), MAX_RANGES as u64);
    }
}

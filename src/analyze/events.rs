//! What an `events`-level file holds: the numbers of LMCache's own summary of it.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{MAX_NAME_BYTES, SmallestNames, Total};
use crate::format::lct::WireError;
use crate::format::lct::events::{BATCH, EventBatch, LIFECYCLE, lifecycle_phase};
use crate::trace::Record;

/// The kind of a batch: event type, tier, backend, whether the tier is shared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchKind {
    /// `store`, `delete`, `access` or `config`.
    pub event_type: String,
    /// `l1` or `l2`.
    pub tier: String,
    /// The kind of memory or adapter; can be empty.
    pub backend: String,
    /// Whether several servers see the tier.
    pub shared: bool,
}

/// Totals over the records of an `events`-level file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsSummary {
    /// Per server, the starts of its processes in seconds since the epoch.
    pub instances: BTreeMap<String, BTreeSet<i64>>,
    /// Batches per kind.
    pub batches: BTreeMap<BatchKind, u64>,
    /// Batches of kinds that are not kept.
    pub other_batches: u64,
    /// Events per type.
    pub entries: BTreeMap<String, u64>,
    /// Bytes of all store events.
    pub store_bytes: u64,
    /// Store events that name their tokens.
    pub entries_with_tokens: u64,
    /// Starts and stops.
    pub lifecycle: BTreeMap<String, u64>,
    /// Records whose arguments are not those of an event.
    pub undecodable: u64,
    /// Store events, of records that count, whose size or tokens cannot be read.
    pub undecodable_entries: u64,
    /// Whether there were more names, or longer ones, than are kept; of too many the smallest are.
    pub incomplete: bool,
}

/// What one thread has counted, or several.
#[derive(Debug, Default)]
pub(super) struct EventsTally {
    instances: SmallestNames<String, SmallestNames<i64, ()>>,
    batches: SmallestNames<BatchKind, u64>,
    entries: SmallestNames<String, u64>,
    store_bytes: u64,
    entries_with_tokens: u64,
    lifecycle: SmallestNames<String, u64>,
    undecodable: u64,
    undecodable_entries: u64,
}

impl EventsTally {
    pub(super) fn add(&mut self, record: &Record<'_>) {
        let added = match record.qualname {
            BATCH => EventBatch::decode(&record.args).map(|batch| self.add_batch(&batch)),
            LIFECYCLE => lifecycle_phase(&record.args).map(|phase| self.lifecycle.add_text(&phase, 1)),
            _ => Ok(()),
        };
        self.undecodable += u64::from(added.is_err_and(|_: WireError| true));
    }

    fn add_batch(&mut self, batch: &EventBatch<'_>) {
        let mut incarnation = SmallestNames::default();
        incarnation.add(&batch.incarnation, ());
        self.instances.add_text(&batch.instance_id, incarnation);
        match [&batch.event_type, &batch.tier, &batch.backend].iter().all(|name| name.len() <= MAX_NAME_BYTES)
        {
            true => self.batches.add(&BatchKind::of(batch), 1),
            false => self.batches.leave_out(1),
        }
        self.entries.add_text(&batch.event_type, batch.entries);
        self.store_bytes = self.store_bytes.saturating_add(batch.store_bytes);
        self.entries_with_tokens += batch.entries_with_tokens;
        self.undecodable_entries += batch.undecodable_entries;
    }

    pub(super) fn merge(&mut self, other: Self) {
        Total::add(&mut self.instances, other.instances);
        Total::add(&mut self.batches, other.batches);
        Total::add(&mut self.entries, other.entries);
        Total::add(&mut self.lifecycle, other.lifecycle);
        self.store_bytes = self.store_bytes.saturating_add(other.store_bytes);
        self.entries_with_tokens += other.entries_with_tokens;
        self.undecodable += other.undecodable;
        self.undecodable_entries += other.undecodable_entries;
    }

    pub(super) fn into_summary(self) -> EventsSummary {
        let incomplete = !self.is_complete();
        let incarnations = |(instance, starts): (String, SmallestNames<i64, ()>)| {
            (instance, starts.into_kept().into_keys().collect())
        };
        EventsSummary {
            instances: self.instances.into_kept().into_iter().map(incarnations).collect(),
            other_batches: self.batches.others(),
            batches: self.batches.into_kept(),
            entries: self.entries.into_counts(),
            store_bytes: self.store_bytes,
            entries_with_tokens: self.entries_with_tokens,
            lifecycle: self.lifecycle.into_counts(),
            undecodable: self.undecodable,
            undecodable_entries: self.undecodable_entries,
            incomplete,
        }
    }

    fn is_complete(&self) -> bool {
        self.instances.is_complete()
            && self.instances.kept().values().all(SmallestNames::is_complete)
            && self.batches.is_complete()
            && self.entries.is_complete()
            && self.lifecycle.is_complete()
    }
}

impl BatchKind {
    fn of(batch: &EventBatch<'_>) -> Self {
        Self {
            event_type: batch.event_type.to_string(),
            tier: batch.tier.to_string(),
            backend: batch.backend.to_string(),
            shared: batch.shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::{MAX_NAMES, OTHER_NAMES};
    use super::*;

    fn batch<'b>(instance: &'b str, incarnation: i64, tier: &'b str) -> EventBatch<'b> {
        EventBatch {
            instance_id: instance.into(),
            incarnation,
            event_type: "store".into(),
            tier: tier.into(),
            backend: "".into(),
            shared: false,
            entries: 1,
            store_bytes: 1,
            entries_with_tokens: 0,
            undecodable_entries: 0,
        }
    }

    fn tally<'b>(batches: impl Iterator<Item = EventBatch<'b>>) -> EventsTally {
        let mut tally = EventsTally::default();
        batches.for_each(|batch| tally.add_batch(&batch));
        tally
    }

    #[test]
    fn incarnations_are_kept_to_the_limit() {
        let starts = |count: usize| (0..count as i64).map(|start| batch("a", start, "l1"));
        let full = tally(starts(MAX_NAMES)).into_summary();
        assert!(!full.incomplete);
        let past = tally(starts(MAX_NAMES + 1)).into_summary();
        assert!(past.incomplete);
        assert_eq!(past.instances, full.instances);
        assert_eq!(past.store_bytes, MAX_NAMES as u64 + 1);
    }

    #[test]
    fn what_threads_bring_together_is_kept_to_the_limit() {
        let names: Vec<_> = (0..=MAX_NAMES).map(|number| number.to_string()).collect();
        let batches = |part: std::ops::Range<usize>| names[part].iter().map(|name| batch(name, 1, name));
        let (mut sum, rest) = (tally(batches(0..600)), tally(batches(600..MAX_NAMES)));
        sum.merge(rest);
        assert!(sum.is_complete());
        sum.merge(tally(batches(MAX_NAMES..MAX_NAMES + 1)));
        let summary = sum.into_summary();
        assert!(summary.incomplete);
        assert_eq!((summary.instances.len(), summary.batches.len()), (MAX_NAMES, MAX_NAMES));
        assert_eq!((summary.other_batches, summary.entries["store"]), (1, MAX_NAMES as u64 + 1));
    }

    #[test]
    fn names_that_begin_alike_do_not_become_one() {
        let longest = "x".repeat(MAX_NAME_BYTES);
        let (one, other) = (format!("{longest}1"), format!("{longest}2"));
        assert!(tally([batch(&longest, 1, &longest)].into_iter()).is_complete());
        let mut tally = tally([batch(&one, 1, &one), batch(&other, 2, &other)].into_iter());
        tally.lifecycle.add_text(&one, 1);
        let summary = tally.into_summary();
        assert!(summary.incomplete);
        assert_eq!((summary.instances.len(), summary.batches.len(), summary.other_batches), (0, 0, 2));
        assert_eq!((summary.lifecycle[OTHER_NAMES], summary.entries["store"]), (1, 2));
    }
}

//! What an `events`-level file holds: the numbers of LMCache's own summary of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::lct::WireError;
use crate::format::lct::events::{BATCH, EventBatch, LIFECYCLE, lifecycle_phase};
use crate::trace::Record;

/// How many distinct names each map keeps; a hostile file could have one per record.
const MAX_NAMES: usize = 4096;

/// Longer names are cut, for the same reason.
const MAX_NAME_CHARS: usize = 256;

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
    /// Whether there were more names than are kept.
    pub incomplete: bool,
}

impl EventsSummary {
    pub(super) fn add(&mut self, record: &Record<'_>) {
        let added = match record.qualname {
            BATCH => EventBatch::decode(&record.args).map(|batch| self.add_batch(&batch)),
            LIFECYCLE => lifecycle_phase(&record.args).map(|phase| self.add_phase(phase)),
            _ => Ok(()),
        };
        self.undecodable += u64::from(added.is_err_and(|_: WireError| true));
    }

    fn add_batch(&mut self, batch: &EventBatch<'_>) {
        if let Some(incarnations) = slot(&mut self.instances, name(batch.instance_id), &mut self.incomplete)
            && incarnations.len() < MAX_NAMES
        {
            incarnations.insert(batch.incarnation);
        }
        let kind = BatchKind {
            event_type: name(batch.event_type),
            tier: name(batch.tier),
            backend: name(batch.backend),
            shared: batch.shared,
        };
        let event_type = kind.event_type.clone();
        add_to(&mut self.batches, kind, 1, &mut self.incomplete);
        if batch.event_type == "store" {
            self.store_bytes = self.store_bytes.saturating_add(batch.size_bytes);
            self.entries_with_tokens += batch.entries_with_tokens;
        }
        add_to(&mut self.entries, event_type, batch.entries, &mut self.incomplete);
    }

    fn add_phase(&mut self, phase: &str) {
        add_to(&mut self.lifecycle, name(phase), 1, &mut self.incomplete);
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (instance, incarnations) in other.instances {
            if let Some(mine) = slot(&mut self.instances, instance, &mut self.incomplete) {
                mine.extend(incarnations);
            }
        }
        other
            .batches
            .into_iter()
            .for_each(|(kind, count)| add_to(&mut self.batches, kind, count, &mut self.incomplete));
        other
            .entries
            .into_iter()
            .for_each(|(kind, count)| add_to(&mut self.entries, kind, count, &mut self.incomplete));
        other
            .lifecycle
            .into_iter()
            .for_each(|(phase, count)| add_to(&mut self.lifecycle, phase, count, &mut self.incomplete));
        self.store_bytes = self.store_bytes.saturating_add(other.store_bytes);
        self.entries_with_tokens += other.entries_with_tokens;
        self.undecodable += other.undecodable;
        self.incomplete |= other.incomplete;
    }
}

fn name(text: &str) -> String {
    text.chars().take(MAX_NAME_CHARS).collect()
}

fn slot<'m, K: Ord, V: Default>(
    map: &'m mut BTreeMap<K, V>,
    key: K,
    incomplete: &mut bool,
) -> Option<&'m mut V> {
    if map.len() >= MAX_NAMES && !map.contains_key(&key) {
        *incomplete = true;
        return None;
    }
    Some(map.entry(key).or_default())
}

fn add_to<K: Ord>(map: &mut BTreeMap<K, u64>, key: K, count: u64, incomplete: &mut bool) {
    if let Some(total) = slot(map, key, incomplete) {
        *total += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_to_the_limit() {
        let mut summary = EventsSummary::default();
        (0..MAX_NAMES).for_each(|number| summary.add_phase(&number.to_string()));
        assert!(!summary.incomplete);
        summary.add_phase("one past it");
        assert!(summary.incomplete);
        assert_eq!(summary.lifecycle.len(), MAX_NAMES);
    }
}

//! Numbers by their labels: the books that every way out (Prometheus, OTLP) reads.
//!
//! A count is found by labels that are borrowed from the event, so that counting allocates nothing once a series is there.
//! There are at most [`MAX_SERIES`] of an instrument, whatever a trace holds: OpenTelemetry's limit, and its label for the
//! rest.

use std::hash::{Hash, Hasher};

use hashbrown::{Equivalent, HashMap};

use crate::sync::{Arc, Mutex, lock};

/// The most series of one instrument: the cardinality limit that OpenTelemetry's specification of the SDK has.
pub const MAX_SERIES: usize = 2000;

/// The label of the one series that takes what came after the others: OpenTelemetry's.
pub const OVERFLOW_LABEL: &str = "otel.metric.overflow";

/// The most bytes of a label's value; of a longer one the beginning is kept.
pub const MAX_LABEL_BYTES: usize = 256;

/// The labels of a series, in the order of their names. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Arc<[(&'static str, Box<str>)]>);

impl Labels {
    /// Labels with these values.
    pub fn new(labels: &[(&'static str, &str)]) -> Self {
        Self(labels.iter().map(|(name, value)| (*name, Box::from(shortened(value)))).collect())
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|label| label.hash(state));
    }
}

/// Labels that somebody else holds.
struct Borrowed<'a>(&'a [(&'static str, &'a str)]);

impl Borrowed<'_> {
    fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, shortened(value)))
    }
}

impl Hash for Borrowed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|label| label.hash(state));
    }
}

impl Equivalent<Labels> for Borrowed<'_> {
    fn equivalent(&self, labels: &Labels) -> bool {
        self.iter().eq(labels.iter())
    }
}

fn shortened(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_LABEL_BYTES)]
}

/// One value for each set of labels.
#[derive(Debug)]
pub(super) struct Series<V>(Mutex<HashMap<Labels, V, foldhash::fast::RandomState>>);

impl<V> Default for Series<V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::default()))
    }
}

impl<V: Clone> Series<V> {
    /// Changes the value of `labels`, which is `new()` at first.
    pub(super) fn update(
        &self,
        labels: &[(&'static str, &str)],
        new: impl FnOnce() -> V,
        change: impl FnOnce(&mut V),
    ) {
        let mut series = lock(&self.0);
        if let Some(value) = series.get_mut(&Borrowed(labels)) {
            return change(value);
        }
        let has_room = series.len() < MAX_SERIES - 1;
        let labels = Labels::new(if has_room { labels } else { &[(OVERFLOW_LABEL, "true")] });
        change(series.entry(labels).or_insert_with(new));
    }

    /// All series as they are now, in the order of their labels.
    pub(super) fn snapshot(&self) -> Vec<(Labels, V)> {
        // Copied first: whoever counts waits for the copy alone.
        let copied = || lock(&self.0).iter().map(|(labels, value)| (labels.clone(), value.clone())).collect();
        let mut all: Vec<(Labels, V)> = copied();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(series: &Series<u64>, salt: &str) {
        series.update(&[("cache_salt", salt)], || 0, |count| *count += 1);
    }

    #[test]
    fn series_are_found_again_by_their_labels() {
        let series = Series::default();
        ["b", "a", "b", ""].iter().for_each(|salt| add(&series, salt));
        let labels = |salt| Labels::new(&[("cache_salt", salt)]);
        assert_eq!(series.snapshot(), [(labels(""), 1), (labels("a"), 1), (labels("b"), 2)]);
    }

    #[test]
    fn what_comes_after_the_last_series_is_counted_together() {
        let series = Series::default();
        (0..MAX_SERIES - 1).for_each(|number| add(&series, &number.to_string()));
        let overflow = |all: &[(Labels, u64)]| -> Option<u64> {
            let labels = Labels::new(&[(OVERFLOW_LABEL, "true")]);
            all.iter().find(|(other, _)| *other == labels).map(|(_, count)| *count)
        };
        assert_eq!((series.snapshot().len(), overflow(&series.snapshot())), (MAX_SERIES - 1, None));
        ["x", "y", "z", "0"].iter().for_each(|salt| add(&series, salt));
        assert_eq!((series.snapshot().len(), overflow(&series.snapshot())), (MAX_SERIES, Some(3)));
    }

    #[test]
    fn long_values_are_cut_at_a_character_and_found_again() {
        let series = Series::default();
        let fits = "x".repeat(MAX_LABEL_BYTES);
        add(&series, &fits);
        add(&series, &format!("{fits}y"));
        add(&series, &format!("{}\u{e9}", &fits[1..]));
        let all = series.snapshot();
        let lengths: Vec<_> =
            all.iter().map(|(labels, count)| (labels.iter().next().unwrap().1.len(), *count)).collect();
        assert_eq!(lengths, [(MAX_LABEL_BYTES - 1, 1), (MAX_LABEL_BYTES, 2)]);
    }
}

//! Several traces at once, one of each node, on one clock.
//!
//! A trace counts its time from its own start. Where it lies beside the others is said by the wall clock in its header; or all
//! begin together. Records come in the order of the common clock, those of one node in the order of its file, and are numbered as
//! they come. Every node's calls go to the same storage manager: what one wrote another finds, as in an L2 that they share.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::format::model::KeyInterner;
use crate::replay::schedule::{MAX_OFFSET_S, Schedule};
use crate::replay::source::{RecordSource, Step};
use crate::replay::timed::TimedRecord;

/// The most traces that are replayed at once.
pub const MAX_NODES: usize = 256;

/// Where the traces of several nodes lie on the common clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alignment {
    /// As the wall clocks of their recorders have it.
    #[default]
    Wall,
    /// All begin at once.
    Start,
}

/// How long after the first of them each trace begins, in seconds, from the wall clocks of their starts. One that names no time
/// begins with the first.
pub fn begins_s(t_wall_starts_s: &[f64], alignment: Alignment) -> Vec<f64> {
    let known = |start_s: &&f64| start_s.is_finite() && **start_s > 0.0;
    let first_s = t_wall_starts_s.iter().filter(known).fold(f64::INFINITY, |first, start| first.min(*start));
    let begin_s = |start_s: &f64| match alignment {
        Alignment::Wall if known(&start_s) => (start_s - first_s).min(MAX_OFFSET_S),
        _ => 0.0,
    };
    t_wall_starts_s.iter().map(begin_s).collect()
}

/// The records of several sources, in the order of the common clock.
#[derive(Debug)]
pub struct Merged<S> {
    nodes: Vec<Node<S>>,
    /// The next record of each node that has one: when, and whose. At equal times the first node comes first.
    /// Nothing before the first is asked for.
    due: Option<BinaryHeap<Reverse<(u64, usize)>>>,
    next_seq: u64,
}

#[derive(Debug)]
struct Node<S> {
    source: S,
    begins_s: f64,
    schedule: Schedule,
    /// The latest time so far: one that nobody can wait for keeps its place behind the record before.
    latest_ns: u64,
    next: TimedRecord,
}

impl<S: RecordSource> Node<S> {
    /// Reads one record ahead. Returns its place on the common clock.
    fn read_on(&mut self, keys: &mut KeyInterner) -> Option<u64> {
        loop {
            match self.source.step(&mut self.next, keys) {
                Step::Record => break,
                Step::LeftOut => {}
                Step::End => return None,
            }
        }
        self.next.t_mono_s += self.begins_s;
        self.latest_ns = self.schedule.due_ns(self.next.t_mono_s).unwrap_or(self.latest_ns);
        Some(self.latest_ns)
    }
}

impl<S: RecordSource> Merged<S> {
    /// The records of `sources`, each of which [begins](begins_s) so many seconds after the start. A single one stays as it is.
    pub fn new(sources: impl IntoIterator<Item = (S, f64)>) -> Self {
        let node = |(source, begins_s)| Node {
            source,
            begins_s,
            schedule: Schedule::default(),
            latest_ns: 0,
            next: TimedRecord::default(),
        };
        Self { nodes: sources.into_iter().map(node).collect(), due: None, next_seq: 0 }
    }

    /// The next record of several nodes; false if there is none.
    fn next(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> bool {
        let nodes = &mut self.nodes;
        let due = self.due.get_or_insert_with(|| {
            let first = |(number, node): (usize, &mut Node<S>)| Some(Reverse((node.read_on(keys)?, number)));
            nodes.iter_mut().enumerate().filter_map(first).collect()
        });
        let Some(mut soonest) = due.peek_mut() else { return false };
        let node = &mut nodes[soonest.0.1];
        std::mem::swap(place, &mut node.next);
        match node.read_on(keys) {
            Some(due_ns) => soonest.0.0 = due_ns,
            None => drop(PeekMut::pop(soonest)),
        }
        place.seq = self.next_seq;
        self.next_seq += 1;
        true
    }
}

impl<S: RecordSource> RecordSource for Merged<S> {
    #[inline]
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
        if let [only] = self.nodes.as_mut_slice() {
            return only.source.step(place, keys);
        }
        if self.next(place, keys) { Step::Record } else { Step::End }
    }

    fn is_quick(&self) -> bool {
        matches!(self.nodes.as_slice(), [only] if only.source.is_quick())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replay::source::SourceRecords;
    use crate::replay::timed::RecordBody;

    fn node(name: &'static str, times_s: &[f64]) -> std::vec::IntoIter<TimedRecord> {
        let record =
            |t_mono_s: &f64| TimedRecord { seq: 0, t_mono_s: *t_mono_s, body: RecordBody::skipped(name, "") };
        times_s.iter().map(record).collect::<Vec<_>>().into_iter()
    }

    fn name(record: &TimedRecord) -> &str {
        let RecordBody::Skipped { qualname, .. } = &record.body else { panic!("made here") };
        qualname
    }

    #[test]
    fn records_come_by_the_common_clock_and_are_numbered() {
        let nodes =
            [(node("a", &[0.0, 1.0, 5.0]), 2.0), (node("b", &[0.0, 3.0]), 0.0), (node("c", &[]), 0.0)];
        let all: Vec<_> = SourceRecords::of(Merged::new(nodes)).collect();
        let order: Vec<_> = all.iter().map(|record| (record.seq, name(record), record.t_mono_s)).collect();
        assert_eq!(order, [(0, "b", 0.0), (1, "a", 2.0), (2, "a", 3.0), (3, "b", 3.0), (4, "a", 7.0)]);
        let none = [] as [(std::vec::IntoIter<TimedRecord>, f64); 0];
        assert!(SourceRecords::of(Merged::new(none)).next().is_none());
    }

    #[test]
    fn a_single_trace_stays_as_it_is() {
        let records = node("a", &[1.0, 0.5]).map(|record| TimedRecord { seq: 7, ..record });
        let all = SourceRecords::of(Merged::new([(records, 0.0)]));
        let all: Vec<_> = all.map(|record| (record.seq, record.t_mono_s)).collect();
        assert_eq!(all, [(7, 1.0), (7, 0.5)]);
    }

    #[test]
    fn a_wall_clock_places_a_trace_and_nonsense_does_not() {
        let starts_s = [1000.5, 1000.0, f64::NAN, 0.0, -3.0];
        assert_eq!(begins_s(&starts_s, Alignment::Wall), [0.5, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(begins_s(&starts_s, Alignment::Start), [0.0; 5]);
        assert_eq!(begins_s(&[1.0, f64::MAX], Alignment::Wall), [0.0, MAX_OFFSET_S]);
        assert_eq!(begins_s(&[0.0], Alignment::Wall), [0.0]);
    }

    const HOSTILE_S: [f64; 4] = [f64::NAN, -1.0, f64::INFINITY, f64::MAX];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the times are: nothing is lost, each node keeps its order, and what can be waited for does not go back.
        #[test]
        fn a_merge_loses_nothing_and_keeps_each_order(
            times in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, 0.0..9.0_f64), 0..30), 2..5),
        ) {
            const NAMES: [&str; 5] = ["0", "1", "2", "3", "4"];
            let times: Vec<Vec<f64>> = times
                .iter()
                .map(|times| times.iter().enumerate().map(|(i, t)| t.unwrap_or(HOSTILE_S[i % 4])).collect())
                .collect();
            let nodes = times.iter().zip(NAMES).map(|(times, name)| (node(name, times), 0.0));
            let all: Vec<_> = SourceRecords::of(Merged::new(nodes)).collect();
            let mut schedules = vec![(Schedule::default(), 0); times.len()];
            let mut before_ns = 0;
            for record in &all {
                let (schedule, latest_ns) = &mut schedules[name(record).parse::<usize>().unwrap()];
                *latest_ns = schedule.due_ns(record.t_mono_s).unwrap_or(*latest_ns);
                prop_assert!(*latest_ns >= before_ns);
                before_ns = *latest_ns;
            }
            for (own, name_of_node) in times.iter().zip(NAMES) {
                let mine = all.iter().filter(|record| name(record) == name_of_node);
                prop_assert!(mine.map(|record| record.t_mono_s.to_bits()).eq(own.iter().map(|t| t.to_bits())));
            }
        }
    }
}

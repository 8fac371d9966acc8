//! Calls as OTLP's spans (opentelemetry-proto 1.x, `trace.proto`).
//!
//! A trace of OpenTelemetry is what belongs together: a write from its reservation on, and a prefetch with the reads that it
//! served. Each of the two begins a trace; a call that goes back to another is its child; a prefetch has a link to
//! the write that it found.
//!
//! Ids are made of the numbers of the calls, so that a link needs no memory. Only which trace a call is in has to be
//! remembered, of the last [`REMEMBERED`] calls at least; what goes back further has a link in place of a parent.

use opentelemetry_proto::tonic::trace::v1::{Span, Status as SpanStatus, span, status};

use super::metrics::{integer, text};
use crate::clock::{monotonic_ns, wall_ns};
use crate::format::model::Op;
use crate::os::host::random_u64;
use crate::replay::observe::{Outcome, RecordName, Status};

/// Of how many calls it is known which trace they are in; of as many more it may be.
pub(super) const REMEMBERED: usize = 1 << 16;

/// Makes spans of calls, in the order in which they were made.
#[derive(Debug)]
pub(super) struct SpanMaker {
    /// The first half of all trace ids.
    replay_id: u64,
    /// What makes the second half look random, for collectors that sample by it.
    scramble: u64,
    /// What is added to `CLOCK_MONOTONIC` for the time since the epoch.
    wall_offset_ns: u64,
    roots: Roots,
}

/// The first call of each call's trace: two generations, the older of which is forgotten.
#[derive(Debug, Default)]
struct Roots {
    young: hashbrown::HashMap<u64, u64, foldhash::fast::RandomState>,
    old: hashbrown::HashMap<u64, u64, foldhash::fast::RandomState>,
}

impl Roots {
    fn of(&self, seq: u64) -> Option<u64> {
        self.young.get(&seq).or_else(|| self.old.get(&seq)).copied()
    }

    fn note(&mut self, seq: u64, root: u64) {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(seq, root);
    }
}

impl SpanMaker {
    pub(super) fn new() -> Self {
        Self {
            // A trace id of zeros is none.
            replay_id: random_u64() | 1,
            scramble: random_u64(),
            wall_offset_ns: wall_ns().saturating_sub(monotonic_ns()),
            roots: Roots::default(),
        }
    }

    /// The span of a call.
    pub(super) fn span(&mut self, outcome: &Outcome) -> Span {
        let begins = matches!(outcome.name, RecordName::Op(Op::ReserveWrite | Op::SubmitPrefetch));
        let known = outcome.follows.filter(|_| !begins).and_then(|seq| Some((seq, self.roots.of(seq)?)));
        let root = known.map_or(outcome.seq, |(_, root)| root);
        self.roots.note(outcome.seq, root);
        let parent = known.map(|(seq, _)| seq);
        let linked = outcome.follows.filter(|_| parent.is_none());
        let start_ns = outcome.start_ns + self.wall_offset_ns;
        Span {
            trace_id: self.trace_id(root),
            span_id: span_id(outcome.seq),
            parent_span_id: parent.map(span_id).unwrap_or_default(),
            name: match &outcome.name {
                RecordName::Op(op) => op.short_name().to_owned(),
                RecordName::Other(name) => name.to_string(),
            },
            kind: span::SpanKind::Internal as i32,
            start_time_unix_nano: start_ns,
            end_time_unix_nano: start_ns + outcome.latency_ns,
            attributes: attributes(outcome),
            links: linked.map(|seq| self.link(seq)).into_iter().collect(),
            status: (outcome.status == Status::Failed)
                .then(|| SpanStatus { code: status::StatusCode::Error as i32, ..SpanStatus::default() }),
            ..Span::default()
        }
    }

    fn link(&self, seq: u64) -> span::Link {
        let root = self.roots.of(seq).unwrap_or(seq);
        span::Link { trace_id: self.trace_id(root), span_id: span_id(seq), ..span::Link::default() }
    }

    fn trace_id(&self, root: u64) -> Vec<u8> {
        let second = mixed(root ^ self.scramble);
        [self.replay_id.to_be_bytes(), second.to_be_bytes()].concat()
    }
}

/// A span id of zeros is none.
fn span_id(seq: u64) -> Vec<u8> {
    seq.wrapping_add(1).to_be_bytes().to_vec()
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): no two numbers have the same.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn attributes(outcome: &Outcome) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let mut attributes =
        vec![integer("lmcache.seq", outcome.seq), integer("lmcache.worker", outcome.worker.into())];
    if let RecordName::Op(op) = &outcome.name {
        attributes.push(text("code.function.name", &op.qualname()));
    }
    attributes.extend(outcome.lag_ns.map(|lag_ns| integer("lmcache.lag_ns", lag_ns)));
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(seq: u64, op: Op, follows: Option<u64>) -> Outcome {
        Outcome {
            seq,
            name: RecordName::Op(op),
            status: if seq == 3 { Status::Failed } else { Status::Replayed },
            due_ns: Some(0),
            lag_ns: Some(5),
            start_ns: 1000,
            latency_ns: 20,
            worker: 0,
            follows,
        }
    }

    #[test]
    fn calls_that_belong_together_are_one_trace() {
        let mut maker = SpanMaker::new();
        let [reserve, finish, prefetch, enter, exit] = [
            call(0, Op::ReserveWrite, None),
            call(1, Op::FinishWrite, Some(0)),
            call(2, Op::SubmitPrefetch, Some(1)),
            call(3, Op::ReadEnter, Some(2)),
            call(4, Op::ReadExit, Some(3)),
        ]
        .map(|call| maker.span(&call));
        assert_eq!((&reserve.trace_id, &reserve.span_id), (&finish.trace_id, &finish.parent_span_id));
        assert_ne!(reserve.trace_id, prefetch.trace_id);
        assert_eq!((&prefetch.parent_span_id, prefetch.links.len()), (&Vec::new(), 1));
        assert_eq!(
            (&prefetch.links[0].trace_id, &prefetch.links[0].span_id),
            (&reserve.trace_id, &finish.span_id)
        );
        assert_eq!((&enter.trace_id, &enter.parent_span_id), (&prefetch.trace_id, &prefetch.span_id));
        assert_eq!((&exit.trace_id, &exit.parent_span_id), (&prefetch.trace_id, &enter.span_id));
        assert_eq!(exit.end_time_unix_nano - exit.start_time_unix_nano, 20);
        assert_eq!((enter.status.map(|status| status.code), exit.status), (Some(2), None));
        assert_eq!(
            (reserve.trace_id.len(), reserve.span_id.len(), reserve.name.as_str()),
            (16, 8, "reserve_write")
        );
    }

    #[test]
    fn what_is_long_ago_is_linked() {
        let mut maker = SpanMaker::new();
        let reserve = maker.span(&call(0, Op::ReserveWrite, None));
        (1..2 * REMEMBERED as u64 - 1).for_each(|seq| {
            maker.span(&call(seq, Op::ReserveWrite, None));
        });
        let finish = maker.span(&call(2 * REMEMBERED as u64 - 1, Op::FinishWrite, Some(0)));
        assert_eq!(finish.trace_id, reserve.trace_id);
        maker.span(&call(2 * REMEMBERED as u64, Op::ReserveWrite, None));
        let late = maker.span(&call(2 * REMEMBERED as u64 + 1, Op::FinishWrite, Some(0)));
        assert_ne!(late.trace_id, reserve.trace_id);
        assert_eq!((late.parent_span_id.len(), late.links[0].trace_id.clone()), (0, reserve.trace_id));
    }

    #[test]
    fn no_two_calls_have_the_same_trace_id() {
        let all: std::collections::BTreeSet<u64> = (0..10_000).map(mixed).collect();
        assert_eq!(all.len(), 10_000);
    }
}

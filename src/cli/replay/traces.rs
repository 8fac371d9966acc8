//! The traces that are replayed: one, or one of each node on one clock.

use std::path::{Path, PathBuf};

use super::warnings::extent;
use crate::cli::exit::print_warning;
use crate::error::{Error, Result};
use crate::format::lct::Level;
use crate::format::native::KeyTable;
use crate::replay::TraceExtent;
use crate::replay::latency::bytes::chunk_tokens;
use crate::replay::nodes::{Alignment, MAX_NODES, begins_s};
use crate::trace::{ReadMode, Trace};

/// A time without a record between two traces, in seconds, that is worth a warning: nobody wants to wait for that.
const GAP_S: f64 = 60.0;

/// Open traces of level "storage".
pub(super) struct Opened(Vec<Trace>);

impl Opened {
    /// Opens them all.
    ///
    /// # Errors
    /// If one cannot be opened or holds no storage calls, if there are more than [`MAX_NODES`], or the standard input is named
    /// twice.
    pub(super) fn open(paths: &[PathBuf], mode: ReadMode) -> Result<Self> {
        if paths.len() > MAX_NODES {
            return Err(Error::invalid(format!("at most {MAX_NODES} traces are replayed at once"))
                .with_context("traces", paths.len()));
        }
        if paths.iter().filter(|path| path.as_path() == Path::new("-")).count() > 1 {
            return Err(Error::invalid("the standard input can be only one of several traces"));
        }
        let traces = paths.iter().map(|path| {
            let trace = Trace::open(path, mode)?;
            check_level(&trace).map(|()| trace)
        });
        Ok(Self(traces.collect::<Result<_>>()?))
    }

    /// Their key tables.
    pub(super) fn key_tables(&self) -> Result<Vec<Option<KeyTable<'_>>>> {
        self.0.iter().map(Trace::key_table).collect()
    }

    /// What is known of each before its first record is replayed. `keys` are the [`key_tables`](Self::key_tables).
    pub(super) fn nodes<'a>(
        &'a self,
        keys: &'a [Option<KeyTable<'a>>],
        alignment: Alignment,
        is_quiet: bool,
    ) -> Nodes<'a> {
        let starts_s: Vec<f64> = self.0.iter().map(Trace::t_wall_start_s).collect();
        let node = |((trace, keys), begins_s): ((&'a Trace, &'a Option<KeyTable<'a>>), f64)| {
            let extent = extent(trace, keys.as_ref(), is_quiet);
            Node { trace, keys: keys.as_ref(), extent, begins_s }
        };
        let begins_s = begins_s(&starts_s, alignment);
        Nodes(self.0.iter().zip(keys).zip(begins_s).map(node).collect())
    }
}

/// One trace.
pub(super) struct Node<'a> {
    pub(super) trace: &'a Trace,
    pub(super) keys: Option<&'a KeyTable<'a>>,
    pub(super) extent: TraceExtent,
    /// How long after the first of them it begins, in seconds.
    pub(super) begins_s: f64,
}

/// All of them; there is at least one.
pub(super) struct Nodes<'a>(pub(super) Vec<Node<'a>>);

/// What a report says of one of several traces.
#[derive(Clone, Debug)]
pub(super) struct NodeReport {
    pub(super) path: PathBuf,
    pub(super) begins_s: f64,
    pub(super) extent: TraceExtent,
}

impl Nodes<'_> {
    /// How much there is in all of them.
    pub(super) fn extent(&self) -> TraceExtent {
        TraceExtent::of_all(self.0.iter().map(|node| (node.extent, node.begins_s)))
    }

    /// What they are called together.
    pub(super) fn name(&self) -> String {
        let first = self.0[0].trace.path().display();
        match self.0.len() {
            1 => first.to_string(),
            nodes => format!("{first} and {} more", nodes - 1),
        }
    }

    /// What each says of `what`, if all say the same.
    fn common<'a, T: PartialEq>(&'a self, what: impl Fn(&'a Trace) -> T) -> Option<T> {
        let mut all = self.0.iter().map(|node| what(node.trace));
        let first = all.next()?;
        all.all(|other| other == first).then_some(first)
    }

    /// The digest of their recorded configuration and the configuration; empty where they differ, or there is none.
    pub(super) fn recorded_config(&self) -> (&str, &str) {
        let of = |trace| (Trace::sm_config_digest(trace), Trace::sm_config_json(trace));
        self.common(of).unwrap_or_default()
    }

    /// How many tokens a chunk has, if all say the same.
    pub(super) fn chunk_tokens(&self) -> Option<u64> {
        self.common(|trace| chunk_tokens(trace.sm_config_json())).flatten()
    }

    /// Their level.
    pub(super) fn level(&self) -> &str {
        self.0[0].trace.level()
    }

    /// A line for each of several; nothing for one.
    pub(super) fn reports(&self) -> Vec<NodeReport> {
        let report = |node: &Node<'_>| NodeReport {
            path: node.trace.path().to_owned(),
            begins_s: node.begins_s,
            extent: node.extent,
        };
        if self.0.len() > 1 { self.0.iter().map(report).collect() } else { Vec::new() }
    }

    /// Warns if nothing happens for long because the traces were made at different times.
    pub(super) fn warn_of_gaps(&self) {
        if let Some((from_s, to_s)) = gap(self.0.iter().map(|node| (node.begins_s, node.extent.duration_s))) {
            print_warning(&format!(
                "the traces were made at different times, and nothing is in any of them from {from_s:.0} s to {to_s:.0} s; \
                 --align start lets all begin at once"
            ));
        }
    }
}

/// The first stretch, longer than [`GAP_S`], that none of the traces covers, of when each begins and how long it takes.
fn gap(traces: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let mut traces: Vec<(f64, f64)> = traces.collect();
    traces.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut covered_s = 0.0_f64;
    for (begins_s, duration_s) in traces {
        if begins_s > covered_s + GAP_S {
            return Some((covered_s, begins_s));
        }
        covered_s = covered_s.max(begins_s + duration_s);
    }
    None
}

/// Refuses what holds no storage calls.
pub(in crate::cli) fn check_level(trace: &Trace) -> Result<()> {
    let level = trace.level();
    if level == Level::Storage.name() {
        return Ok(());
    }
    Err(Error::unsupported("only traces of level 'storage' hold calls that can be replayed")
        .with_context("path", trace.path().display())
        .with_context("level", format!("{level:?}"))
        .with_hint("an 'events' trace holds the cache-event stream for a coordinator; `info` shows it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_what_no_trace_covers() {
        let gap = |traces: &[(f64, f64)]| gap(traces.iter().copied());
        assert_eq!(gap(&[(0.0, 10.0)]), None);
        assert_eq!(gap(&[(70.0, 1.0), (0.0, 10.0)]), None, "at the limit");
        assert_eq!(gap(&[(70.1, 1.0), (0.0, 10.0)]), Some((10.0, 70.1)));
        assert_eq!(gap(&[(0.0, 100.0), (20.0, 1.0), (150.0, 1.0)]), None);
    }
}

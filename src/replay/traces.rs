//! The traces that are replayed: one, or one of each node on one clock, opened and measured before the first call is made.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::lct::Level;
use crate::format::native::KeyTable;
use crate::replay::TraceExtent;
use crate::replay::latency::bytes::chunk_tokens;
use crate::replay::nodes::{Alignment, MAX_NODES, begins_s};
use crate::trace::native::DamagedChunk;
use crate::trace::{ReadMode, Trace};

/// A time without a record between two traces, in seconds, that is worth a warning: nobody wants to wait for that.
pub const GAP_S: f64 = 60.0;

/// Open traces of level "storage".
#[derive(Debug)]
pub struct OpenTraces(Vec<Trace>);

impl OpenTraces {
    /// Opens them all.
    ///
    /// # Errors
    /// If one cannot be opened or holds no storage calls, if there are more than [`MAX_NODES`], or the standard input is named
    /// twice.
    pub fn open(paths: &[PathBuf], mode: ReadMode) -> Result<Self> {
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
    ///
    /// # Errors
    /// If one is damaged: then no key of its trace can be named.
    pub fn key_tables(&self) -> Result<Vec<Option<KeyTable<'_>>>> {
        self.0.iter().map(Trace::key_table).collect()
    }

    /// What is known of each before its first record is replayed. `keys` are the [`key_tables`](Self::key_tables); `extent` measures a
    /// trace, as [`TraceExtent::of_trace`] does, for who wants to say something of it.
    pub fn nodes<'a>(
        &'a self,
        keys: &'a [Option<KeyTable<'a>>],
        alignment: Alignment,
        extent: impl Fn(&Trace, Option<&KeyTable<'_>>) -> TraceExtent,
    ) -> Nodes<'a> {
        let starts_s: Vec<f64> = self.0.iter().map(Trace::t_wall_start_s).collect();
        let node = |((trace, keys), begins_s): ((&'a Trace, &'a Option<KeyTable<'a>>), f64)| {
            let extent = extent(trace, keys.as_ref());
            Node { trace, keys: keys.as_ref(), extent, begins_s }
        };
        let begins_s = begins_s(&starts_s, alignment);
        Nodes(self.0.iter().zip(keys).zip(begins_s).map(node).collect())
    }
}

/// One trace.
#[derive(Debug)]
pub struct Node<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// Its key table.
    pub keys: Option<&'a KeyTable<'a>>,
    /// How much there is in it.
    pub extent: TraceExtent,
    /// How long after the first of them it begins, in seconds.
    pub begins_s: f64,
}

/// All of them.
#[derive(Debug)]
pub struct Nodes<'a>(pub Vec<Node<'a>>);

/// What a report says of one of several traces.
#[derive(Clone, Debug)]
pub struct NodeReport {
    /// Its file.
    pub path: PathBuf,
    /// How long after the first of them it begins, in seconds.
    pub begins_s: f64,
    /// How much there is in it.
    pub extent: TraceExtent,
}

impl Nodes<'_> {
    /// How much there is in all of them.
    pub fn extent(&self) -> TraceExtent {
        TraceExtent::of_all(self.0.iter().map(|node| (node.extent, node.begins_s)))
    }

    /// What they are called together.
    pub fn name(&self) -> String {
        let Some(first) = self.0.first().map(|node| node.trace.path().display()) else {
            return String::new();
        };
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
    pub fn recorded_config(&self) -> (&str, &str) {
        let of = |trace| (Trace::sm_config_digest(trace), Trace::sm_config_json(trace));
        self.common(of).unwrap_or_default()
    }

    /// How many tokens a chunk has, if all say the same.
    pub fn chunk_tokens(&self) -> Option<u64> {
        self.common(|trace| chunk_tokens(trace.sm_config_json())).flatten()
    }

    /// Their level.
    pub fn level(&self) -> &str {
        self.0.first().map_or("", |node| node.trace.level())
    }

    /// A line for each of several; nothing for one.
    pub fn reports(&self) -> Vec<NodeReport> {
        let report = |node: &Node<'_>| NodeReport {
            path: node.trace.path().to_owned(),
            begins_s: node.begins_s,
            extent: node.extent,
        };
        if self.0.len() > 1 { self.0.iter().map(report).collect() } else { Vec::new() }
    }

    /// The first stretch, longer than [`GAP_S`], that none of them covers, because they were made at different times: from and to, in seconds.
    pub fn gap(&self) -> Option<(f64, f64)> {
        gap(self.0.iter().map(|node| (node.begins_s, node.extent.duration_s)))
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
///
/// # Errors
/// If the trace is of another level.
pub fn check_level(trace: &Trace) -> Result<()> {
    let level = trace.level();
    if level == Level::Storage.name() {
        return Ok(());
    }
    Err(Error::unsupported("only traces of level 'storage' hold calls that can be replayed")
        .with_context("path", trace.path().display())
        .with_context("level", format!("{level:?}"))
        .with_hint("an 'events' trace holds the cache-event stream for a coordinator; `info` shows it"))
}

impl TraceExtent {
    /// Measures a trace of either kind, whose key table is `keys`; `on_damage` is told of the chunks that are damaged.
    pub fn of_trace(
        trace: &Trace,
        keys: Option<&KeyTable<'_>>,
        on_damage: impl FnMut(&DamagedChunk),
    ) -> Self {
        match trace {
            Trace::Lct(reader) => Self::of(reader),
            Trace::Native(native) => Self::of_native(native, keys, on_damage),
        }
    }
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

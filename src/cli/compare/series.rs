//! All runs of a comparison, one after the other.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::child;
use super::configuration::Configuration;
use crate::cli::exit::print_warning;
use crate::compare::metrics::read;
use crate::compare::{Metric, RunMetrics, Side, interleaved};
use crate::error::{Error, Result};
use crate::replay::StopFlag;

/// What is run.
pub(super) struct Series<'a> {
    pub(super) trace: &'a Path,
    pub(super) is_buffered: bool,
    pub(super) a: &'a Configuration,
    /// Nothing if A is run alone.
    pub(super) b: Option<&'a Configuration>,
    /// How often each.
    pub(super) runs: usize,
    /// Runs of A before those that count.
    pub(super) warmup: usize,
    pub(super) is_quiet: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) a: Vec<RunMetrics>,
    pub(super) b: Vec<RunMetrics>,
    pub(super) is_interrupted: bool,
    /// What runs had to complain of, each sentence once.
    pub(super) complaints: Vec<String>,
}

impl Series<'_> {
    /// Runs all. Once `stop` is set the run at hand is given up, and what is whole is returned: a run of each for each pair.
    ///
    /// # Errors
    /// If a run fails.
    pub(super) fn run(&self, catalogue: &[Metric], stop: &StopFlag) -> Result<Measured> {
        let order: Vec<Side> = match self.b {
            Some(_) => interleaved(self.runs).collect(),
            None => vec![Side::A; self.runs],
        };
        let bar = self.bar(order.len() + self.warmup);
        let mut measured = Measured::default();
        let warmup = std::iter::repeat_n((Side::A, false), self.warmup);
        for (side, counts) in warmup.chain(order.into_iter().map(|side| (side, true))) {
            bar.set_message(if counts { side.letter().to_string() } else { "warm-up".to_owned() });
            let Some(summary) = self.one(side, stop, &bar)? else {
                measured.is_interrupted = true;
                break;
            };
            bar.inc(1);
            measured.complain(side, &summary);
            if counts {
                let of_side = if side == Side::A { &mut measured.a } else { &mut measured.b };
                of_side.push(read(catalogue, &summary));
            }
        }
        bar.finish_and_clear();
        if self.b.is_some() {
            let pairs = measured.a.len().min(measured.b.len());
            measured.a.truncate(pairs);
            measured.b.truncate(pairs);
        }
        Ok(measured)
    }

    fn one(&self, side: Side, stop: &StopFlag, bar: &ProgressBar) -> Result<Option<Value>> {
        let configuration = self.b.filter(|_| side == Side::B).unwrap_or(self.a);
        if stop.is_set() {
            return Ok(None);
        }
        child::replay(self.trace, configuration, self.is_buffered, stop, || bar.tick())
            .map_err(|error: Error| error.with_context("configuration", side.letter()))
    }

    /// How far it is, on standard error if that is a terminal.
    fn bar(&self, runs: usize) -> ProgressBar {
        if self.is_quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let template = "run {pos}/{len} {wide_bar} {msg}, {elapsed} gone, {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(runs as u64).with_style(style)
    }
}

impl Measured {
    /// Notes what a user of a replay would have been warned of, and what no metric says.
    fn complain(&mut self, side: Side, summary: &Value) {
        let letter = side.letter();
        let namespace = summary["l2"]["namespace"]["failure"].as_str();
        let policies = summary["evictions"]["failures"].as_array();
        let policies = policies.into_iter().flatten().filter_map(|failed| failed["policy"].as_str());
        let sentences = namespace.map(str::to_owned).into_iter().chain(
            policies.map(|policy| format!("{policy} could not choose what to evict, and L1 stayed full")),
        );
        let sentences = sentences.chain(failures_in_l2(summary));
        for sentence in sentences {
            let sentence = format!("a run of {letter}: {sentence}");
            if !self.complaints.contains(&sentence) {
                self.complaints.push(sentence);
            }
        }
    }

    /// Prints the complaints.
    pub(super) fn warn(&self) {
        self.complaints.iter().for_each(|sentence| print_warning(sentence));
    }
}

/// Adapters that could not do all that they were asked to.
fn failures_in_l2(summary: &Value) -> impl Iterator<Item = String> {
    let flows = summary["l2"]["flows"].as_array().into_iter().flatten();
    let failed = flows.filter(|flow| {
        ["stores", "loads"].iter().any(|kind| flow[kind]["failed_objects"].as_u64().unwrap_or(0) > 0)
    });
    failed.map(|flow| {
        let name = flow["name"].as_str().unwrap_or("of no name");
        format!("L2 adapter {name} could not store or load every object; `lmcache-trace replay` with the same flags says why")
    })
}

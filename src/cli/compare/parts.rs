//! Whether both configurations have something to play, and the same.

use super::configuration::{Configuration, played_by};
use crate::cli::exit::{print_note, print_warning};
use crate::cli::replay::differences;
use crate::cli::text::plural;
use crate::compare::Baseline;
use crate::error::{Error, Result};
use crate::format::native::KeyTable;
use crate::replay::TraceExtent;
use crate::trace::Trace;

/// Refuses a configuration whose part of the trace has no call in it: its runs would be fast, and alike.
///
/// # Errors
/// If there is none.
pub(super) fn check_calls(
    letter: char,
    configuration: &Configuration,
    trace: &Trace,
    keys: Option<&KeyTable<'_>>,
) -> Result<()> {
    if configuration.part.has_a_call(trace, keys) {
        return Ok(());
    }
    Err(Error::invalid("there is no call of the trace to play")
        .with_context("path", trace.path().display())
        .with_context("configuration", letter)
        .with_hint("`lmcache-trace info` says what is in it; --from, --to, --ops, --models and --salts choose of that"))
}

/// Warns of two configurations that play different parts of the trace, and refuses to judge them by a gate.
///
/// # Errors
/// If `has_gate`.
pub(super) fn check_alike(
    a: &Configuration,
    b: &Configuration,
    has_gate: bool,
    is_quiet: bool,
) -> Result<()> {
    let differences = differences(&a.part, &b.part);
    if differences.is_empty() {
        return Ok(());
    }
    let flags = differences.join(", ");
    if has_gate {
        return Err(Error::invalid("A and B play different parts of the trace, which no gate can judge")
            .with_context("they differ in", flags)
            .with_hint("give both the same, or leave --gate out"));
    }
    if !is_quiet {
        print_warning(&format!(
            "A and B play different parts of the trace (they differ in {flags}): they were not given the same to do"
        ));
    }
    Ok(())
}

/// Refuses a baseline that played another part of the trace than `candidate`, or at another pace.
///
/// # Errors
/// If it did.
pub(super) fn check_baseline(baseline: &Baseline, candidate: &Configuration) -> Result<()> {
    let Some((pacing, part)) = played_by(&baseline.flags) else { return Ok(()) };
    let mut differences = differences(&part, &candidate.part);
    if !pacing.is_alike(&candidate.pacing) {
        differences.push("pace or order");
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::invalid("the baseline was not played as the configuration is to be")
        .with_context("they differ in", differences.join(", "))
        .with_context("flags of the baseline", &baseline.flags)
        .with_hint("save a new one by --save-baseline, with the same --from, --to, --asap and so on"))
}

/// Says how long all runs are to take, where a pace says that.
pub(super) fn announce(sides: &[(&Configuration, u64)], all: &TraceExtent) {
    let runs: u64 = sides.iter().map(|(_, runs)| runs).sum();
    let paced_s = |(side, runs): &(&Configuration, u64)| {
        side.part.expected(all, side.pacing.pace()).duration_s * *runs as f64
    };
    let seconds = sides.iter().map(paced_s).sum::<f64>().ceil() as u64;
    if seconds > 0 {
        let time = match seconds {
            0..60 => format!("{seconds} s"),
            60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
            _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        };
        print_note(&format!("{} at the pace of the trace: {time} at the least", plural(runs, "run")));
    }
}

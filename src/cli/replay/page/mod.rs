//! `--html`: everything that a replay has to say, as one page.
//!
//! The page needs nothing but a browser: no script, no font, no network, and it forbids itself all of them. It follows the
//! reader's choice of dark or light, and prints.
//!
//! * [`figures`]: which plots there are. [`plot`] and [`axis`] draw them.
//! * [`summary`]: what one wants to know first. [`run`]: what was run. [`mod@table`]: the form of all numbers below; [`calls`],
//!   [`hits`], [`tiers`] and [`trace`] have them. [`html`]: text that a trace brought along.

mod axis;
mod calls;
mod figures;
mod hits;
mod html;
mod plot;
mod run;
mod summary;
mod table;
mod tiers;
mod trace;

use crate::cli::text::utc;
use crate::clock::wall_ns;
use crate::replay::Timeline;
use crate::storage::config::StorageManagerConfig;

use super::report::ReplayReport;
use html::escape;
use plot::Plot;

/// The page's style.
const STYLE: &str = include_str!("style.css");

/// A page in the making.
pub(super) struct Page<'a> {
    pub(super) report: &'a ReplayReport,
    pub(super) timeline: &'a Timeline,
    /// What the manager ran under.
    pub(super) config: &'a StorageManagerConfig,
    /// What the trace is called.
    pub(super) trace: &'a str,
}

impl Page<'_> {
    /// The page's text.
    pub(super) fn render(&self) -> String {
        let Self { report, timeline, config, trace } = self;
        let command = run::command_line(std::env::args_os().skip(1));
        let run = run::what_was_run(report, config, trace, &command);
        let (trace, moment) = (escape(trace), utc(wall_ns()));
        let (notes, tiles) = (summary::notes(report), summary::tiles(report, timeline));
        let (plots, latencies, sections) = (self.plots(), calls::latencies(report), self.sections());
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>Replay of {trace}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<header><h1>Replay of {trace}</h1>\n\
             <p class=\"sub\">lmcache-trace {version}, {moment}</p></header>\n{notes}{tiles}{run}{plots}{latencies}\
             <h2>The report</h2>\n{sections}\
             <footer>What the numbers mean: docs/replay.md of lmcache-trace. Point at a plot to read its values.</footer>\n\
             </main>\n</body>\n</html>\n"
        )
    }

    /// The plots under their heading; nothing if there is none.
    fn plots(&self) -> String {
        let plots: String = figures::figures(self.timeline).iter().map(Plot::render).collect();
        if plots.is_empty() {
            plots
        } else {
            format!("<h2>Plots</h2>\n<div class=\"plots\">\n{plots}</div>\n")
        }
    }

    /// Everything that the terminal's table says, as tables.
    fn sections(&self) -> String {
        let report = self.report;
        let before = [
            trace::worth_knowing(report),
            calls::lag(report),
            hits::hits(report),
            hits::compared(report),
            hits::misses(report),
            tiers::prefetches(report),
            hits::reads_and_writes(report),
            tiers::moved(report),
            tiers::l2(report),
        ];
        let after = [
            trace::traces(report),
            trace::recording(report),
            trace::observability(report),
            trace::failures(report),
            trace::skips(report),
            trace::differences(report),
        ];
        let render = |cards: &[table::Card]| cards.iter().map(table::Card::render).collect::<String>();
        format!(
            "<div class=\"report\">\n{}{}{}</div>\n",
            render(&before),
            tiers::adapters(report),
            render(&after)
        )
    }
}

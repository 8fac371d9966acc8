//! `--html`: everything that a replay has to say, as one page.
//!
//! The page needs nothing but a browser: no script, no font, no network, and it forbids itself all of them. It follows the
//! reader's choice of dark or light, and prints.
//!
//! * [`figures`]: which plots there are. [`plot`] and [`axis`] draw them.
//! * [`tables`]: the numbers. [`html`]: text that a trace brought along.

mod axis;
mod figures;
mod html;
mod plot;
mod tables;

use crate::cli::text::utc;
use crate::clock::wall_ns;
use crate::replay::Timeline;

use super::report::ReplayReport;
use html::escape;
use plot::Plot;

/// The page's style.
const STYLE: &str = include_str!("style.css");

/// A page in the making.
pub(super) struct Page<'a> {
    pub(super) report: &'a ReplayReport,
    pub(super) timeline: &'a Timeline,
    /// What the trace is called.
    pub(super) trace: &'a str,
}

impl Page<'_> {
    /// The page's text.
    pub(super) fn render(&self) -> String {
        let (trace, moment) = (escape(self.trace), utc(wall_ns()));
        let (notes, tiles) = (tables::notes(self.report), tables::tiles(self.report, self.timeline));
        let plots: String = figures::figures(self.timeline).iter().map(Plot::render).collect();
        let (latencies, sections) = (tables::latencies(self.report), tables::sections(self.report));
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>Replay of {trace}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n\
             <body>\n<main>\n<header><h1>Replay of {trace}</h1>\n\
             <p class=\"sub\">lmcache-trace {version}, {moment}</p></header>\n{notes}{tiles}\
             <h2>Plots</h2>\n<div class=\"plots\">\n{plots}</div>\n<h2>Latency of calls</h2>\n{latencies}\
             <h2>The report</h2>\n{sections}\
             <footer>What the numbers mean: docs/replay.md of lmcache-trace. Point at a plot to read its values.</footer>\n\
             </main>\n</body>\n</html>\n"
        )
    }
}

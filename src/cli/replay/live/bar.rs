//! The live view: three lines at the foot of a terminal.
//!
//! A line that does not fit is cut at its end, so what matters most stands first. Colours are left out where `NO_COLOR`
//! says so.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::pulse::{Beat, Pulse};
use crate::cli::text::{bytes, microseconds};
use crate::clock::NS_PER_S;

/// How often the view is drawn, at most.
pub(super) const DRAWS_PER_S: u8 = 10;

/// Steps of the bar.
const STEPS: u64 = 1000;

/// The lines on the terminal.
pub(super) struct Bar {
    all: MultiProgress,
    progress: ProgressBar,
    calls: ProgressBar,
    tiers: ProgressBar,
}

impl Bar {
    pub(super) fn start() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S));
        let line = |length, template| {
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            all.add(ProgressBar::new(length).with_style(style))
        };
        let progress = line(STEPS, "replaying {wide_bar:.cyan} {percent:>3} %, {msg}");
        let (calls, tiers) = (line(1, "{wide_msg}"), line(1, "{wide_msg}"));
        Self { all, progress, calls, tiers }
    }

    pub(super) fn draw(&self, beat: &Beat, pulse: &Pulse) {
        self.progress.set_message(left(beat));
        self.progress.set_position((beat.done * STEPS as f64) as u64);
        self.calls.set_message(calls(beat, pulse));
        self.tiers.set_message(tiers(pulse));
    }

    pub(super) fn clear(self) {
        for bar in [&self.tiers, &self.calls, &self.progress] {
            bar.finish_and_clear();
        }
        // The terminal has gone: there is nothing to clear.
        let _ = self.all.clear();
    }
}

/// The time left in words.
fn left(beat: &Beat) -> String {
    let Some(left_s) = beat.left_ns.map(|ns| ns.div_ceil(NS_PER_S)) else {
        return "how long is not known yet".to_owned();
    };
    match left_s {
        0..60 => format!("{left_s} s left"),
        60..3600 => format!("{} min {} s left", left_s / 60, left_s % 60),
        _ => format!("{} h {} min left", left_s / 3600, left_s / 60 % 60),
    }
}

fn calls(beat: &Beat, pulse: &Pulse) -> String {
    let mut line = format!("{} calls/s", rate(beat.calls_per_s));
    // Without a pace nothing is ever due.
    if pulse.has_lag || pulse.records == 0 {
        let [lag, max_lag] = [beat.lag_ns, beat.max_lag_ns].map(|ns| microseconds(ns as f64 / 1e3));
        line += &format!(", lag {lag}, at most {max_lag}");
    }
    for (count, what) in [(pulse.failed, "failed"), (pulse.skipped, "skipped")] {
        if count > 0 {
            line += &format!(", {count} {what}");
        }
    }
    line + &format!(", {} of {} records", pulse.records, pulse.total_records())
}

fn tiers(pulse: &Pulse) -> String {
    let sample = &pulse.sample;
    let hits = match sample.hit_rate() {
        Some(rate) => format!("hits {:.1} %", rate * 100.0),
        None => "hits -".to_owned(),
    };
    let (used, total) = (bytes(sample.l1_used_bytes), bytes(sample.l1_total_bytes));
    let mut line = format!("{hits}, L1 {:.0} % ({used} of {total})", sample.l1_share() * 100.0);
    if let Some(l2_bytes) = sample.l2_used_bytes {
        line += &format!(", L2 {}", bytes(l2_bytes));
    }
    if sample.evicted_keys > 0 {
        line += &format!(", {} evicted", sample.evicted_keys);
    }
    line
}

/// Three digits and a unit: `950`, `12.3 k`, `1.2 M`.
fn rate(value: f64) -> String {
    match value {
        v if v < 1e3 => format!("{v:.0}"),
        v if v < 1e6 => format!("{:.1} k", v / 1e3),
        v => format!("{:.1} M", v / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(left_ns: Option<u64>) -> Beat {
        Beat { elapsed_ns: 0, done: 0.5, left_ns, calls_per_s: 0.0, lag_ns: 0, max_lag_ns: 0 }
    }

    #[test]
    fn the_time_left_is_in_words() {
        let words = |seconds: u64| left(&beat(Some(seconds * NS_PER_S)));
        assert_eq!([words(0), words(59), words(60)], ["0 s left", "59 s left", "1 min 0 s left"]);
        assert_eq!([words(3599), words(3600)], ["59 min 59 s left", "1 h 0 min left"]);
        assert_eq!(left(&beat(Some(1))), "1 s left");
        assert_eq!(left(&beat(None)), "how long is not known yet");
    }

    #[test]
    fn rates_have_three_digits_or_so() {
        assert_eq!([rate(0.0), rate(999.4), rate(12_345.0), rate(2.5e6)], ["0", "999", "12.3 k", "2.5 M"]);
    }
}

//! Where a value stands on an axis, and which values are written beside it.

use crate::cli::text::bytes;
use crate::clock::NS_PER_S;

/// How many steps an axis has, about.
const STEPS: f64 = 5.0;

/// The shortest axis of bytes, so that its steps are whole ones.
const LEAST_BYTES: u64 = 1024;

/// One direction of a plot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    scale: Scale,
    min: f64,
    max: f64,
    /// Values that are written, with their words.
    pub(super) ticks: Vec<(f64, String)>,
    /// What the values are.
    pub(super) label: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

impl Axis {
    /// From 0 to `max`, with round numbers of `unit` on the way.
    pub(super) fn linear(max: f64, unit: f64, words: impl Fn(f64) -> String, label: &'static str) -> Self {
        let max = if max > 0.0 { max } else { unit };
        let step = round_step(max / unit / STEPS) * unit;
        let ticks = (0..).map(|number| f64::from(number) * step).take_while(|at| *at <= max * (1.0 + 1e-9));
        let ticks = ticks.map(|at| (at, words(at))).collect();
        Self { scale: Scale::Linear, min: 0.0, max, ticks, label }
    }

    /// Shares from 0 to all.
    pub(super) fn shares(label: &'static str) -> Self {
        Self::linear(1.0, 0.01, |share| format!("{:.0} %", share * 100.0), label)
    }

    /// Bytes from 0 to `max_bytes`.
    pub(super) fn bytes(max_bytes: u64, label: &'static str) -> Self {
        let max_bytes = max_bytes.max(LEAST_BYTES);
        let unit = 1024_f64.powi(max_bytes.ilog2() as i32 / 10);
        // Round numbers need no decimals.
        let words = |at: f64| bytes(at as u64).replace(".0 ", " ");
        Self::linear(max_bytes as f64 * 1.05, unit, words, label)
    }

    /// Time from 0 to `end_ns`.
    pub(super) fn time(end_ns: u64) -> Self {
        let (unit, name) = match end_ns {
            0..2_000_000_000 => (1e6, "ms"),
            2_000_000_000..300_000_000_000 => (NS_PER_S as f64, "s"),
            _ => (60.0 * NS_PER_S as f64, "min"),
        };
        Self::linear(
            end_ns as f64,
            unit,
            |ns| format!("{} {name}", short_number(ns / unit)),
            "since the start",
        )
    }

    /// Powers of ten from below `min` to above `max`; values below the first stand on it.
    pub(super) fn log(min: f64, max: f64, words: impl Fn(f64) -> String, label: &'static str) -> Self {
        let lowest = min.max(f64::MIN_POSITIVE).log10().floor() as i32;
        let highest = (max.max(f64::MIN_POSITIVE).log10().ceil() as i32).max(lowest + 1);
        let ticks = (lowest..=highest).map(|power| 10_f64.powi(power)).map(|at| (at, words(at))).collect();
        Self { scale: Scale::Log, min: 10_f64.powi(lowest), max: 10_f64.powi(highest), ticks, label }
    }

    /// Durations between two in nanoseconds, in powers of ten.
    pub(super) fn durations(min_ns: u64, max_ns: u64, label: &'static str) -> Self {
        Self::log(min_ns.max(1) as f64, max_ns.max(1) as f64, duration, label)
    }

    /// From 0 at the beginning of the axis to 1 at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.min) / (self.max - self.min),
            Scale::Log => (value.max(self.min) / self.min).log10() / (self.max / self.min).log10(),
        };
        place.clamp(0.0, 1.0)
    }
}

/// A duration as short as it goes: `10 us`, `1.5 ms`.
pub(super) fn duration(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "us"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", short_number(value))
}

/// Three digits, and none that says nothing.
pub(super) fn short_number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// 1, 2 or 5 times a power of ten, at least `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, words)| words.as_str()).collect()
    }

    #[test]
    fn linear_axes_have_round_numbers() {
        let calls = Axis::linear(730.0, 1.0, short_number, "calls");
        assert_eq!(words(&calls), ["0", "200", "400", "600"]);
        assert_eq!([calls.place(0.0), calls.place(365.0), calls.place(1e9)], [0.0, 0.5, 1.0]);
        assert_eq!(words(&Axis::shares("")), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
        assert_eq!(words(&Axis::bytes(3 << 30, "")), ["0 B", "1 GiB", "2 GiB", "3 GiB"]);
        assert_eq!(words(&Axis::time(61_000_000_000)), ["0 s", "20 s", "40 s", "60 s"]);
        assert_eq!(words(&Axis::bytes(0, "")).first(), Some(&"0 B"));
        assert!(words(&Axis::bytes(1, "")).windows(2).all(|pair| pair[0] != pair[1]), "bytes are whole");
    }

    #[test]
    fn axes_of_nothing_have_a_length() {
        for axis in [Axis::time(0), Axis::bytes(0, ""), Axis::durations(0, 0, ""), Axis::time(u64::MAX)] {
            assert!(axis.ticks.len() >= 2 && axis.ticks.len() < 20, "{axis:?}");
            assert!(axis.place(0.0).is_finite() && axis.place(f64::MAX) == 1.0, "{axis:?}");
        }
    }

    #[test]
    fn durations_stand_in_powers_of_ten() {
        let axis = Axis::durations(150, 2_000_000, "");
        assert_eq!(words(&axis), ["100 ns", "1 us", "10 us", "100 us", "1 ms", "10 ms"]);
        assert_eq!((axis.place(1.0), axis.place(1e7)), (0.0, 1.0));
        assert!((axis.place(1e4) - 0.4).abs() < 1e-9);
        assert_eq!([duration(999.0), duration(1500.0), duration(2.5e10)], ["999 ns", "1.5 us", "25 s"]);
    }
}

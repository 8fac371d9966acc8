//! Numbers as the table has them: three significant digits, in the unit that reads best.

use crate::compare::{Scale, Unit};

/// Significant digits of a value.
const DIGITS: i32 = 3;

/// The most digits behind the point: what is smaller is nothing.
const MAX_DECIMALS: usize = 9;

/// The same of a percentage.
const MAX_DECIMALS_OF_PERCENT: usize = 3;

/// A unit as it is shown: how many of the metric's it is, and what it is called.
#[derive(Clone, Copy)]
struct Shown {
    size: f64,
    name: &'static str,
}

/// Times, in microseconds.
const TIMES: [(f64, &str); 4] = [(1e-3, " ns"), (1.0, " us"), (1e3, " ms"), (1e6, " s")];

const BYTES: [(f64, &str); 7] = [
    (1.0, " B"),
    (1024.0, " KiB"),
    (1_048_576.0, " MiB"),
    (1_073_741_824.0, " GiB"),
    (1_099_511_627_776.0, " TiB"),
    (1_125_899_906_842_624.0, " PiB"),
    (1_152_921_504_606_846_976.0, " EiB"),
];

/// Percentage points: what two shares differ by.
const POINTS: &str = " pp";

/// The unit in which a value of this size reads best.
fn shown(unit: Unit, value: f64) -> Shown {
    let of = |sizes: &[(f64, &'static str)], times: f64| {
        // 999.96 us are 1.00 ms: what counts is what is left when it is rounded.
        let is_reached = |size: f64| rounded(value.abs() * times / size) >= 1.0;
        let largest = sizes.iter().rev().find(|(size, _)| is_reached(*size));
        let (size, name) = *largest.unwrap_or(&sizes[0]);
        Shown { size: size / times, name }
    };
    match unit {
        // Not a time at all.
        Unit::Microseconds | Unit::Seconds if value == 0.0 => Shown { size: 1.0, name: "" },
        Unit::Microseconds => of(&TIMES, 1.0),
        Unit::Seconds => of(&TIMES, 1e6),
        Unit::PerSecond => Shown { size: 1.0, name: " /s" },
        Unit::Share => Shown { size: 0.01, name: " %" },
        Unit::Count => Shown { size: 1.0, name: "" },
        Unit::Bytes => of(&BYTES, 1.0),
    }
}

/// The value with its significant digits, and nothing behind them.
fn rounded(value: f64) -> f64 {
    format!("{value:.*e}", DIGITS as usize - 1).parse().unwrap_or(value)
}

/// How many digits behind the point a value takes.
fn decimals(value: f64) -> usize {
    let value = rounded(value);
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    let before = value.abs().log10().floor() as i32 + 1;
    ((DIGITS - before).max(0) as usize).min(MAX_DECIMALS)
}

fn decimals_of_percent(percent: f64) -> usize {
    decimals(percent).min(MAX_DECIMALS_OF_PERCENT)
}

/// How many digits behind the point a value of a metric takes, where it is shown in `shown`.
fn decimals_of(unit: Unit, value: f64, shown: Shown) -> usize {
    let of_value = decimals(value / shown.size);
    match unit {
        // 99.95 and 99.97 percent are not the same.
        Unit::Share => of_value.max(2),
        Unit::Count | Unit::Bytes if value.fract() == 0.0 && shown.size == 1.0 => 0,
        Unit::Count => of_value.max(1),
        _ => of_value,
    }
}

/// A number with its significant digits.
pub(super) fn significant(value: f64) -> String {
    format!("{value:.*}", decimals(value))
}

/// A value of a metric.
pub(super) fn value(unit: Unit, value: f64) -> String {
    let shown = shown(unit, value);
    format!("{:.*}{}", decimals_of(unit, value, shown), value / shown.size, shown.name)
}

/// A change.
pub(super) fn change(scale: Scale, unit: Unit, change: f64) -> String {
    match scale {
        _ if change == 0.0 => "0".to_owned(),
        Scale::Percent => format!("{change:+.*} %", decimals_of_percent(change)),
        Scale::Unit if unit == Unit::Share => {
            format!("{:+.*}{POINTS}", decimals(change * 100.0).max(2), change * 100.0)
        }
        Scale::Unit => {
            let sign = if change < 0.0 { '-' } else { '+' };
            format!("{sign}{}", value(unit, change.abs()))
        }
    }
}

/// From here to there, both in the unit of what is further from zero, and to its last digit.
pub(super) fn interval(scale: Scale, unit: Unit, low: f64, high: f64) -> String {
    if !low.is_finite() || !high.is_finite() {
        return "any".to_owned();
    }
    let furthest = low.abs().max(high.abs());
    let (decimals, Shown { size, name }) = match scale {
        Scale::Percent => (decimals_of_percent(furthest), Shown { size: 1.0, name: " %" }),
        Scale::Unit => {
            let shown = shown(unit, furthest);
            let name = if unit == Unit::Share { POINTS } else { shown.name };
            (decimals_of(unit, furthest, shown), Shown { name, ..shown })
        }
    };
    format!("{:+.decimals$}..{:+.decimals$}{name}", low / size, high / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_or_more() {
        let times =
            [0.0, 0.012_345, 0.999_6, 8.6, 30.04, 999.4, 999.96, 12_345.0, 747_900.0, 1.97e6, 1.234_5e9];
        let told =
            ["0", "12.3 ns", "1.00 us", "8.60 us", "30.0 us", "999 us", "1.00 ms", "12.3 ms", "748 ms"];
        assert_eq!(times.map(|time| value(Unit::Microseconds, time))[..9], told);
        assert_eq!(times.map(|time| value(Unit::Microseconds, time))[9..], ["1.97 s", "1234 s"]);
        assert_eq!([value(Unit::Seconds, 0.013_2), value(Unit::Seconds, 1.97)], ["13.2 ms", "1.97 s"]);
        assert_eq!([value(Unit::Share, 0.5), value(Unit::Share, 0.999_53)], ["50.00 %", "99.95 %"]);
        assert_eq!(value(Unit::Share, 0.000_012_34), "0.00123 %");
        assert_eq!([value(Unit::Count, 123_456.0), value(Unit::Count, 2.5)], ["123456", "2.50"]);
        assert_eq!(value(Unit::Count, 123_456.5), "123456.5");
        assert_eq!(
            [value(Unit::Bytes, 0.0), value(Unit::Bytes, 1023.0), value(Unit::Bytes, 2048.0)],
            ["0 B", "1023 B", "2.00 KiB"]
        );
        assert_eq!([value(Unit::PerSecond, 12_447.5), value(Unit::PerSecond, 5.25)], ["12448 /s", "5.25 /s"]);
    }

    #[test]
    fn changes_have_signs() {
        let of = |scale, unit, by| change(scale, unit, by);
        assert_eq!(
            [of(Scale::Percent, Unit::Seconds, 3.12), of(Scale::Percent, Unit::Seconds, -60.66)],
            ["+3.12 %", "-60.7 %"]
        );
        assert_eq!(
            [of(Scale::Unit, Unit::Share, -0.005), of(Scale::Unit, Unit::Share, 0.21875)],
            ["-0.500 pp", "+21.88 pp"]
        );
        assert_eq!(
            [of(Scale::Unit, Unit::Count, -2.0), of(Scale::Unit, Unit::Bytes, 2048.0)],
            ["-2", "+2.00 KiB"]
        );
        assert_eq!(of(Scale::Unit, Unit::Microseconds, 30_000.0), "+30.0 ms");
        assert_eq!(of(Scale::Percent, Unit::Seconds, -0.001_19), "-0.001 %");
        assert_eq!([of(Scale::Unit, Unit::Count, 0.0), of(Scale::Percent, Unit::Seconds, 0.0)], ["0", "0"]);
    }

    #[test]
    fn both_ends_of_an_interval_are_told_alike() {
        assert_eq!(interval(Scale::Percent, Unit::Seconds, 6.54, 13.26), "+6.5..+13.3 %");
        assert_eq!(interval(Scale::Unit, Unit::Microseconds, -1.2, 2310.0), "-0.00..+2.31 ms");
        assert_eq!(interval(Scale::Unit, Unit::Count, -3.0, 12.5), "-3.0..+12.5");
        assert_eq!(interval(Scale::Unit, Unit::Share, -0.0012, 0.25), "-0.12..+25.00 pp");
        assert_eq!(interval(Scale::Percent, Unit::Seconds, -100.0, f64::INFINITY), "any");
    }
}

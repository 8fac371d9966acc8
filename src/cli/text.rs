//! The forms of numbers and names on a screen.

use std::borrow::Cow;

/// Names for powers of 1024 of bytes.
const BYTE_UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// The steps of a sparkline.
const BARS: [char; 8] =
    ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];

/// How many characters of a name from a file are shown.
const MAX_SHOWN_CHARS: usize = 64;

/// `text` with every control and format character escaped: what a file says must not command the terminal, nor
/// turn the line around it.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_commanding) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| match is_commanding(c) {
        true => c.escape_unicode().collect::<String>(),
        false => c.to_string(),
    };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Controls, and the characters that hide or that change the direction of writing.
fn is_commanding(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The beginning of a name, printable.
pub(super) fn short(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(MAX_SHOWN_CHARS) {
        None => printable(name),
        Some((end, _)) => Cow::Owned(printable(&name[..end]).into_owned() + "..."),
    }
}

/// A count of bytes in the largest unit that leaves at least one: `233.7 KiB`.
pub(super) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < BYTE_UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{value:.1} {}", BYTE_UNITS[unit]),
    }
}

/// A count and what is counted: `1 chunk`, `2 records of unknown kind`.
pub(super) fn plural(count: u64, noun: &str) -> String {
    match noun.split_once(" of ") {
        _ if count == 1 => format!("1 {noun}"),
        Some((noun, rest)) => format!("{count} {noun}s of {rest}"),
        None => format!("{count} {noun}s"),
    }
}

/// Microseconds in the unit that reads best: `4.1 us`, `12.0 ms`, `3.2 s`.
pub(super) fn microseconds(value_us: f64) -> String {
    match value_us {
        v if v < 1e3 => format!("{v:.1} us"),
        v if v < 1e6 => format!("{:.1} ms", v / 1e3),
        v => format!("{:.1} s", v / 1e6),
    }
}

/// A moment in nanoseconds since the epoch, to the second, in UTC: `2026-11-21 08:38:29 UTC`.
pub(super) fn utc(unix_ns: u64) -> String {
    let seconds = unix_ns / 1_000_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Year, month and day of a count of days since 1970-01-01. Years begin with March here, so that the leap day is
/// their last (Hinnant, `civil_from_days`).
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_FROM_0000_03_01: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + DAYS_FROM_0000_03_01;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// One bar per value, the highest for the largest; a value of zero is a blank.
pub(super) fn sparkline(values: impl Iterator<Item = f64> + Clone) -> String {
    let peak = values.clone().fold(0.0, f64::max);
    let bar = |value: f64| match value > 0.0 {
        true => BARS[((value / peak * BARS.len() as f64) as usize).min(BARS.len() - 1)],
        false => ' ',
    };
    values.map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1024), bytes(u64::MAX)],
            ["0 B", "1023 B", "1.0 KiB", "16.0 EiB"]
        );
        assert_eq!(
            [microseconds(4.06), microseconds(1200.0), microseconds(3.2e6)],
            ["4.1 us", "1.2 ms", "3.2 s"]
        );
        assert_eq!(
            [plural(1, "call"), plural(0, "late record"), plural(2, "record of unknown kind")],
            ["1 call", "0 late records", "2 records of unknown kind"]
        );
        assert_eq!(sparkline([0.0, 1.0, 8.0].into_iter()), " \u{2582}\u{2588}");
        assert_eq!(sparkline([].into_iter()), "");
    }

    #[test]
    fn moments_are_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (u64::MAX / 1_000_000_000, "2554-07-21 23:34:33 UTC"),
        ] {
            assert_eq!(utc(seconds * 1_000_000_000), expected);
        }
    }

    #[test]
    fn names_do_not_command_the_terminal() {
        assert_eq!(printable("model \u{e9}"), "model \u{e9}");
        assert_eq!(printable("a\x1b[31m\n\u{9b}\u{202e}"), "a\\u{1b}[31m\\u{a}\\u{9b}\\u{202e}");
        assert_eq!(short(&"x".repeat(MAX_SHOWN_CHARS)), "x".repeat(MAX_SHOWN_CHARS));
        assert_eq!(short(&"x".repeat(MAX_SHOWN_CHARS + 1)), "x".repeat(MAX_SHOWN_CHARS) + "...");
    }
}

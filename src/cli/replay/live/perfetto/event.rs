//! One event of the timeline as JSON, with a comma and a line end behind it.

use std::fmt;
use std::io::{Result, Write};

/// All tracks belong to one process.
const PROCESS: u32 = 1;

/// A span of time on a track.
pub(super) struct Slice<'a> {
    pub(super) track: u32,
    pub(super) begin_ns: u64,
    pub(super) end_ns: u64,
    pub(super) name: &'a str,
}

/// The value of an argument.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Count(u64),
    /// Of so many nanoseconds.
    Microseconds(u64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Microseconds(ns) => write!(f, "{}", Us(*ns)),
        }
    }
}

/// Nanoseconds, written as microseconds without a loss.
struct Us(u64);

impl fmt::Display for Us {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// A span, with arguments.
pub(super) fn slice<'a>(
    out: &mut dyn Write,
    slice: &Slice<'_>,
    category: &str,
    args: impl Iterator<Item = &'a (&'static str, Value)>,
) -> Result<()> {
    let (ts, dur) = (Us(slice.begin_ns), Us(slice.end_ns.saturating_sub(slice.begin_ns)));
    let track = slice.track;
    write!(
        out,
        r#"{{"ph":"X","pid":{PROCESS},"tid":{track},"ts":{ts},"dur":{dur},"cat":"{category}","name":"#
    )?;
    text(out, slice.name)?;
    out.write_all(br#","args":{"#)?;
    for (position, (name, value)) in args.enumerate() {
        let comma = if position > 0 { "," } else { "" };
        write!(out, r#"{comma}"{name}":{value}"#)?;
    }
    out.write_all(b"}},\n")
}

/// Something without a duration.
pub(super) fn instant(out: &mut dyn Write, track: u32, at_ns: u64, name: &str, seq: u64) -> Result<()> {
    let ts = Us(at_ns);
    write!(out, r#"{{"ph":"i","s":"t","pid":{PROCESS},"tid":{track},"ts":{ts},"name":"#)?;
    text(out, name)?;
    writeln!(out, r#","args":{{"seq":{seq}}}}},"#)
}

/// An arrow leaves the slice that is under way on `track` at `at_ns`.
pub(super) fn flow_begins(
    out: &mut dyn Write,
    number: u64,
    name: &str,
    track: u32,
    at_ns: u64,
) -> Result<()> {
    flow(out, r#""ph":"s""#, number, name, track, at_ns)
}

/// An arrow reaches the slice that is under way, and not the one that comes next, which `bp` would mean otherwise.
pub(super) fn flow_ends(out: &mut dyn Write, number: u64, name: &str, track: u32, at_ns: u64) -> Result<()> {
    flow(out, r#""ph":"f","bp":"e""#, number, name, track, at_ns)
}

fn flow(out: &mut dyn Write, phase: &str, number: u64, name: &str, track: u32, at_ns: u64) -> Result<()> {
    let ts = Us(at_ns);
    write!(out, r#"{{{phase},"id":{number},"cat":"flow","pid":{PROCESS},"tid":{track},"ts":{ts},"name":"#)?;
    text(out, name)?;
    out.write_all(b"},\n")
}

/// A counter has a new value.
pub(super) fn counter(out: &mut dyn Write, at_ns: u64, name: &str, unit: &str, value: f64) -> Result<()> {
    let ts = Us(at_ns);
    writeln!(out, r#"{{"ph":"C","pid":{PROCESS},"ts":{ts},"name":"{name}","args":{{"{unit}":{value}}}}},"#)
}

/// A track has this name, and stands below those of smaller numbers.
pub(super) fn track(out: &mut dyn Write, track: u32, name: &str) -> Result<()> {
    metadata(out, track, "thread_name", name)?;
    let args = format!(r#""args":{{"sort_index":{track}}}"#);
    writeln!(out, r#"{{"ph":"M","pid":{PROCESS},"tid":{track},"name":"thread_sort_index",{args}}},"#)
}

/// Something that is said of a track, or of the process.
pub(super) fn metadata(out: &mut dyn Write, track: u32, kind: &str, name: &str) -> Result<()> {
    metadata_without_comma(out, track, kind, "name", name)?;
    out.write_all(b",\n")
}

/// Something that is said of the process, as the last event of the file.
pub(super) fn last_metadata(out: &mut dyn Write, kind: &str, labels: &str) -> Result<()> {
    metadata_without_comma(out, 0, kind, "labels", labels)
}

fn metadata_without_comma(out: &mut dyn Write, track: u32, kind: &str, arg: &str, value: &str) -> Result<()> {
    write!(out, r#"{{"ph":"M","pid":{PROCESS},"tid":{track},"name":"{kind}","args":{{"{arg}":"#)?;
    text(out, value)?;
    out.write_all(b"}}")
}

/// A string with what JSON asks for around and in it.
fn text(out: &mut dyn Write, text: &str) -> Result<()> {
    serde_json::to_writer(out, text).map_err(std::io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_to_the_nanosecond_whatever_their_names() {
        let mut out = Vec::new();
        let hostile = Slice { track: 3, begin_ns: 1_234_567, end_ns: 1_234_567, name: "a\"},\n\u{1}" };
        slice(&mut out, &hostile, "call", [("lag_us", Value::Microseconds(1))].iter()).unwrap();
        let line = String::from_utf8(out).unwrap();
        let event: serde_json::Value = serde_json::from_str(line.strip_suffix(",\n").unwrap()).unwrap();
        assert_eq!((event["ts"].as_f64(), event["dur"].as_f64()), (Some(1234.567), Some(0.0)));
        assert_eq!(
            (event["name"].as_str(), event["args"]["lag_us"].as_f64()),
            (Some(hostile.name), Some(0.001))
        );
        let farthest = Us(u64::MAX).to_string();
        assert_eq!(farthest, "18446744073709551.615");
    }
}

//! Which plots a page has, and what they are made of.

use hdrhistogram::Histogram;

use super::axis::{Axis, duration, short_number};
use super::plot::{Plot, Series, Shape};
use crate::cli::text::bytes;
use crate::clock::NS_PER_S;
use crate::format::model::Op;
use crate::replay::Timeline;
use crate::replay::timeline::Bucket;

/// How many points a distribution is drawn with, at most.
const CURVE_POINTS: usize = 200;

/// How many columns of a distribution can be pointed at.
const HOVER_COLUMNS: usize = 60;

/// The smallest share of calls that the distribution of the lag shows.
const RAREST: f64 = 1e-5;

/// The share of L1 from which on its plot shows all of it.
const LEAST_SHARE_SHOWN: f64 = 0.2;

/// Every plot for which there is something to show.
pub(super) fn figures(timeline: &Timeline) -> Vec<Plot> {
    let all = [
        calls_per_second(timeline),
        latency_distribution(timeline),
        lag_over_time(timeline),
        lag_distribution(timeline),
        hit_rate(timeline),
        l1_usage(timeline),
        l2_usage(timeline),
        evictions(timeline),
    ];
    all.into_iter().flatten().collect()
}

/// The time axis, and the width of a bucket on it.
fn time_axis(timeline: &Timeline) -> (Axis, f64) {
    (Axis::time(timeline.duration_ns()), timeline.width_ns() as f64)
}

/// What is said of each bucket to who points at it.
fn hover(timeline: &Timeline, words: impl Fn(&Bucket) -> String) -> Vec<(f64, f64, String)> {
    let (width, end) = (timeline.width_ns() as f64, timeline.duration_ns() as f64);
    let column = |(position, bucket): (usize, &Bucket)| {
        let (from, to) = (position as f64 * width, ((position + 1) as f64 * width).min(end));
        (from, to, format!("{} to {}: {}", duration(from), duration(to), words(bucket)))
    };
    timeline.buckets().iter().enumerate().map(column).collect()
}

fn steps(timeline: &Timeline, level: impl Fn(&Bucket) -> Option<f64>) -> Shape {
    Shape::Steps(timeline.width_ns() as f64, timeline.buckets().iter().map(level).collect())
}

/// The operations that were called.
fn ops_of(timeline: &Timeline) -> impl Iterator<Item = (usize, Op)> + '_ {
    let is_there = |op: Op| timeline.buckets().iter().any(|bucket| bucket.calls_of(op) > 0);
    Op::ALL.into_iter().enumerate().filter(move |(_, op)| is_there(*op))
}

fn calls_per_second(timeline: &Timeline) -> Option<Plot> {
    let (x, width) = time_axis(timeline);
    let per_second = |calls: u64| calls as f64 * NS_PER_S as f64 / width;
    let mut tops = vec![0.0; timeline.buckets().len()];
    let mut series = Vec::new();
    for (color, op) in ops_of(timeline) {
        let band = |(top, bucket): (&mut f64, &Bucket)| {
            let low = *top;
            *top += per_second(bucket.calls_of(op));
            (low, *top)
        };
        let bands = tops.iter_mut().zip(timeline.buckets()).map(band).collect();
        series.push(Series { name: op.short_name().to_owned(), color, shape: Shape::Bands(width, bands) });
    }
    let max = tops.iter().copied().fold(0.0, f64::max);
    let words = |bucket: &Bucket| {
        let ops = ops_of(timeline).map(|(_, op)| (op, bucket.calls_of(op))).filter(|(_, calls)| *calls > 0);
        let ops: Vec<_> = ops.map(|(op, calls)| format!("{calls} {}", op.short_name())).collect();
        if ops.is_empty() { "no call".to_owned() } else { ops.join(", ") }
    };
    (!series.is_empty()).then(|| Plot {
        title: "Calls per second",
        caption: "One upon the other, by operation.".to_owned(),
        x,
        y: Axis::linear(max, 1.0, si, "calls per second"),
        series,
        hover: hover(timeline, words),
    })
}

fn latency_distribution(timeline: &Timeline) -> Option<Plot> {
    let with_calls = |(_, op): &(usize, Op)| !timeline.latencies(*op).is_empty();
    let ops: Vec<(usize, Op)> = Op::ALL.into_iter().enumerate().filter(with_calls).collect();
    let min_ns = ops.iter().map(|(_, op)| timeline.latencies(*op).min()).min()?;
    let max_ns = ops.iter().map(|(_, op)| timeline.latencies(*op).max()).max()?;
    let x = Axis::durations(min_ns, max_ns, "latency of the call");
    let series = ops.iter().map(|(color, op)| Series {
        name: op.short_name().to_owned(),
        color: *color,
        shape: Shape::Curve(distribution(timeline.latencies(*op))),
    });
    let series = series.collect();
    let words = |ns: f64| {
        let share = |op: Op| share_at_most(timeline.latencies(op), ns);
        let ops = ops.iter().map(|(_, op)| format!("{} {}", op.short_name(), percent(share(*op))));
        format!("at most {}: {}", duration(ns), ops.collect::<Vec<_>>().join(", "))
    };
    Some(Plot {
        title: "Latency",
        caption: "The share of the calls that took at most as long. A prefetch returns when it is submitted."
            .to_owned(),
        hover: hover_durations(&x, words),
        x,
        y: Axis::shares("share of calls"),
        series,
    })
}

fn lag_over_time(timeline: &Timeline) -> Option<Plot> {
    let (x, _) = time_axis(timeline);
    let quantile = |quantile: f64| move |bucket: &Bucket| bucket.lag_quantile_ns(quantile);
    let least = timeline.buckets().iter().filter_map(quantile(0.5)).min()?;
    let lines: [(&str, usize, Shape); 3] = [
        ("median", 4, steps(timeline, |bucket| quantile(0.5)(bucket).map(|ns| ns as f64))),
        ("99 % at most", 1, steps(timeline, |bucket| quantile(0.99)(bucket).map(|ns| ns as f64))),
        ("largest", 3, steps(timeline, |bucket| quantile(1.0)(bucket).map(|_| bucket.max_lag_ns as f64))),
    ];
    let series = lines.into_iter().map(|(name, color, shape)| Series { name: name.to_owned(), color, shape });
    let words = |bucket: &Bucket| match (quantile(0.5)(bucket), quantile(0.99)(bucket)) {
        (Some(p50), Some(p99)) => {
            let [p50, p99, max] = [p50, p99, bucket.max_lag_ns].map(|ns| duration(ns as f64));
            format!("median {p50}, 99 % at most {p99}, largest {max}")
        }
        _ => "no call".to_owned(),
    };
    Some(Plot {
        title: "Lag over time",
        caption: "From the time at which a call was due to its start. Large lags measure this machine."
            .to_owned(),
        x,
        y: Axis::durations(least, timeline.max_lag_ns(), "lag"),
        series: series.collect(),
        hover: hover(timeline, words),
    })
}

fn lag_distribution(timeline: &Timeline) -> Option<Plot> {
    let lags = timeline.lags();
    if lags.is_empty() {
        return None;
    }
    let x = Axis::durations(lags.min(), timeline.max_lag_ns(), "lag");
    // A share of no calls has no place among powers of ten: the curve ends where the last call is.
    let later = distribution(lags).into_iter().map(|(ns, share)| (ns, 1.0 - share));
    let later = later.filter(|(_, later)| *later >= RAREST / 2.0).collect();
    let shape = Shape::Curve(later);
    let words = |ns: f64| format!("later than {}: {}", duration(ns), percent(1.0 - share_at_most(lags, ns)));
    Some(Plot {
        title: "Lag",
        caption: "The share of the calls that began later than that.".to_owned(),
        hover: hover_durations(&x, words),
        x,
        y: Axis::log(RAREST, 1.0, percent, "share of calls"),
        series: vec![Series { name: "later".to_owned(), color: 4, shape }],
    })
}

fn hit_rate(timeline: &Timeline) -> Option<Plot> {
    let (x, width) = time_axis(timeline);
    let rate = |served: u64, answered: u64| (answered > 0).then(|| served as f64 / answered as f64);
    let (mut served, mut answered) = (0, 0);
    let so_far = timeline.buckets().iter().map(|bucket| {
        (served, answered) = (served + bucket.served_chunks, answered + bucket.answered_chunks);
        rate(served, answered)
    });
    let so_far: Vec<_> = so_far.collect();
    let of_bucket = steps(timeline, |bucket| rate(bucket.served_chunks, bucket.answered_chunks));
    let series = [("at that time", 5, of_bucket), ("so far", 3, Shape::Steps(width, so_far))];
    let series = series.map(|(name, color, shape)| Series { name: name.to_owned(), color, shape });
    let words = |bucket: &Bucket| match rate(bucket.served_chunks, bucket.answered_chunks) {
        Some(rate) => {
            format!("{} of {} chunks, {}", bucket.served_chunks, bucket.answered_chunks, percent(rate))
        }
        None => "no prefetch".to_owned(),
    };
    (answered > 0).then(|| Plot {
        title: "Chunk hit rate",
        caption: "Chunks that prefetches could serve, of those that they asked for, when the answers came."
            .to_owned(),
        x,
        y: Axis::shares("served / requested"),
        series: series.into(),
        hover: hover(timeline, words),
    })
}

fn l1_usage(timeline: &Timeline) -> Option<Plot> {
    let total = timeline
        .buckets()
        .iter()
        .filter_map(|bucket| bucket.usage)
        .map(|usage| usage.l1_total_bytes)
        .max()?;
    let used = |bucket: &Bucket| bucket.usage.map(|usage| usage.l1_used_bytes);
    let words = |bucket: &Bucket| match used(bucket) {
        Some(used) => {
            format!("{} of {}, {}", bytes(used), bytes(total), percent(used as f64 / total.max(1) as f64))
        }
        None => "not looked at".to_owned(),
    };
    let peak = timeline.buckets().iter().filter_map(used).max()?;
    let mut series = vec![Series { name: "used".to_owned(), color: 4, shape: level(timeline, used) }];
    // Of an L1 that is nearly empty nothing would be seen beside all that there is.
    let is_whole_shown = peak as f64 >= total as f64 * LEAST_SHARE_SHOWN;
    if is_whole_shown {
        let all = steps(timeline, |_| Some(total as f64));
        series.push(Series { name: "all there is".to_owned(), color: 3, shape: all });
    }
    Some(Plot {
        title: "L1",
        caption: format!("Bytes in use of {}, the fullest moment of each span.", bytes(total)),
        x: time_axis(timeline).0,
        y: Axis::bytes(if is_whole_shown { total } else { peak }, "bytes"),
        series,
        hover: hover(timeline, words),
    })
}

fn l2_usage(timeline: &Timeline) -> Option<Plot> {
    let used = |bucket: &Bucket| bucket.usage.and_then(|usage| usage.l2_used_bytes);
    let max = timeline.buckets().iter().filter_map(used).max()?;
    Some(Plot {
        title: "L2",
        caption: "Bytes in use in all adapters, the fullest moment of each span.".to_owned(),
        x: time_axis(timeline).0,
        y: Axis::bytes(max, "bytes"),
        series: vec![Series { name: "used".to_owned(), color: 0, shape: level(timeline, used) }],
        hover: hover(timeline, |bucket| used(bucket).map_or("not looked at".to_owned(), bytes)),
    })
}

fn evictions(timeline: &Timeline) -> Option<Plot> {
    let (x, width) = time_axis(timeline);
    let per_second = |bucket: &Bucket| bucket.evicted_keys as f64 * NS_PER_S as f64 / width;
    let max = timeline.buckets().iter().map(per_second).fold(0.0, f64::max);
    let bands = timeline.buckets().iter().map(|bucket| (0.0, per_second(bucket))).collect();
    (max > 0.0).then(|| Plot {
        title: "Evictions",
        caption: "Objects that were evicted from L1.".to_owned(),
        x,
        y: Axis::linear(max, 1.0, si, "keys per second"),
        series: vec![Series { name: "evicted".to_owned(), color: 3, shape: Shape::Bands(width, bands) }],
        hover: hover(timeline, |bucket| format!("{} keys", bucket.evicted_keys)),
    })
}

/// A filled level that stays as it was where nobody looked.
fn level(timeline: &Timeline, used: impl Fn(&Bucket) -> Option<u64>) -> Shape {
    let mut last = 0;
    let levels = timeline.buckets().iter().map(|bucket| {
        last = used(bucket).unwrap_or(last);
        (0.0, last as f64)
    });
    Shape::Bands(timeline.width_ns() as f64, levels.collect())
}

/// Points of a cumulative distribution: a value, and the share of the samples that are not above it.
fn distribution(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let total = histogram.len() as f64;
    let mut below = 0;
    let mut points = vec![(histogram.min() as f64, 0.0)];
    for value in histogram.iter_recorded() {
        below += value.count_since_last_iteration();
        let share = below as f64 / total;
        let &(last_value, last_share) = points.last().expect("it begins with one");
        let at = value.value_iterated_to().min(histogram.max()) as f64;
        let is_far = share - last_share >= 1.0 / CURVE_POINTS as f64 || at >= last_value * 1.05;
        if is_far || below == histogram.len() {
            points.push((at, share));
        }
    }
    points
}

/// The share of the samples that are at most `ns`.
fn share_at_most(histogram: &Histogram<u64>, ns: f64) -> f64 {
    histogram.quantile_below(ns as u64)
}

/// Columns along an axis of durations, each described by its end.
fn hover_durations(axis: &Axis, words: impl Fn(f64) -> String) -> Vec<(f64, f64, String)> {
    let (first, last) = (axis.ticks[0].0, axis.ticks[axis.ticks.len() - 1].0);
    let at = |column: usize| first * (last / first).powf(column as f64 / HOVER_COLUMNS as f64);
    (0..HOVER_COLUMNS).map(|column| (at(column), at(column + 1), words(at(column + 1)))).collect()
}

/// `12.3 %`; small shares with as many digits as they need.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    match value {
        v if v > 0.0 && v < 0.1 => format!("{} %", format!("{v:.6}").trim_end_matches('0')),
        v => format!("{} %", short_number(v)),
    }
}

/// `950`, `12.3 k`, `1.2 M`.
pub(super) fn si(value: f64) -> String {
    match value {
        v if v < 1e3 => short_number(v),
        v if v < 1e6 => format!("{} k", short_number(v / 1e3)),
        v => format!("{} M", short_number(v / 1e6)),
    }
}

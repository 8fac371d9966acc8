//! How fast a trace is replayed, by whom, which part of it, and how often: the flags, and what they come to.

use clap::{Args, ValueEnum};

use crate::cli::numbers::{number, within};
use crate::clock::Waiter;
use crate::error::{Error, Result};
use crate::format::model::Op;
use crate::replay::copies::MAX_COPIES;
use crate::replay::nodes::Alignment;
use crate::replay::pace::{RATES, SPEEDS};
use crate::replay::selection::Selection;
use crate::replay::session::{Part, default_workers};
use crate::replay::{MAX_WORKERS, Order, Pace, ReplayOptions};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pace and order")]
pub(in crate::cli) struct PaceFlags {
    /// So many times as fast as recorded: 10, 0.5
    #[arg(long, value_name = "X", conflicts_with_all = ["rate", "asap"], allow_negative_numbers = true,
        value_parser = number("10 or 0.5"))]
    speed: Option<f64>,
    /// So many records a second, evenly: 5000, 5000/s
    #[arg(long, value_name = "N", conflicts_with = "asap", allow_negative_numbers = true)]
    rate: Option<String>,
    /// Each call as soon as the one before it is over
    #[arg(long)]
    asap: bool,
    /// What a call waits for, besides its time. Without it: recorded at the recorded pace, else causal
    #[arg(long, value_enum)]
    order: Option<OrderFlag>,
    /// Threads that make the calls. Without it: 1 on a machine of up to 4 CPUs, at most 4 on a larger one; in causal
    /// order, and with several L1 managers, 1
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = within(1..=MAX_WORKERS))]
    workers: Option<usize>,
    /// Sleep until a call is due instead of spinning through the last moments: little CPU, and calls some tens of
    /// microseconds late
    #[arg(long)]
    low_cpu: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OrderFlag {
    /// The clock alone, as LMCache: real threads and real races
    Recorded,
    /// What every call before it left: the same hits, misses and evictions at any pace, with any number of workers
    Causal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AlignFlag {
    /// As the wall clocks of their recorders have it
    Wall,
    /// All begin at once
    Start,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Part of the trace, and copies of it")]
pub(in crate::cli) struct PartFlags {
    /// Where several traces lie beside each other
    #[arg(long, value_enum, default_value_t = AlignFlag::Wall, value_name = "CLOCK")]
    align: AlignFlag,
    /// Leave out what was made before this many seconds from the start
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = number("60 or 1.5"))]
    from: Option<f64>,
    /// Leave out what was made from this many seconds on
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = number("60 or 1.5"))]
    to: Option<f64>,
    /// Replay these operations alone: reserve_write, finish_write, submit_prefetch_task, finish_read_prefetched,
    /// read_prefetched_results.enter, read_prefetched_results.exit. Separate several by commas, or repeat the flag
    #[arg(long, value_name = "OP", value_delimiter = ',')]
    ops: Vec<String>,
    /// Replay the keys of these models alone. Separate several by commas, or repeat the flag
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    models: Vec<String>,
    /// Replay the keys of these tenants alone, by their salts; "" is the tenant without one. Separate several by commas,
    /// or repeat the flag
    #[arg(long, value_name = "SALT", value_delimiter = ',')]
    salts: Vec<String>,
    /// Replay the trace so many times, one after the other, with the same keys
    #[arg(long = "loop", value_name = "N", default_value_t = 1, allow_negative_numbers = true,
        value_parser = within(1..=MAX_COPIES))]
    loops: u32,
    /// Replay so many copies at once, each with a salt of its own: a tenant shares with no other what it shares with
    /// itself
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true,
        value_parser = within(1..=MAX_COPIES))]
    tenants: u32,
}

/// What the flags of the pace come to.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Pacing {
    pub(super) options: ReplayOptions,
    pub(super) workers: usize,
}

impl PaceFlags {
    /// Checks the flags. `l1_managers` is how many L1s the manager has.
    pub(in crate::cli) fn pacing(&self, l1_managers: usize) -> Result<Pacing> {
        let pace = self.pace()?;
        let order = match (self.order, pace) {
            (Some(OrderFlag::Recorded), _) | (None, Pace::Recorded) => Order::Recorded,
            (Some(OrderFlag::Causal), _) | (None, _) => Order::Causal,
        };
        let waiter = if self.low_cpu { Waiter::new(0) } else { Waiter::measured() };
        let workers = self.workers(order, l1_managers);
        let options = ReplayOptions { pace, order, waiter, ..ReplayOptions::default() };
        Ok(Pacing { options, workers })
    }

    fn pace(&self) -> Result<Pace> {
        if self.asap {
            return Ok(Pace::Asap);
        }
        if let Some(factor) = self.speed {
            return Pace::speed(factor).ok_or_else(|| out_of_range("--speed", factor, &SPEEDS));
        }
        let Some(text) = &self.rate else { return Ok(Pace::Recorded) };
        let number = text.strip_suffix("/s").unwrap_or(text);
        let per_s: f64 = number.parse().map_err(|_| {
            Error::invalid("a rate is a number of records a second")
                .with_context("flag", "--rate")
                .with_context("value", text.escape_debug())
                .with_hint("for instance 5000 or 5000/s")
        })?;
        Pace::rate(per_s).ok_or_else(|| out_of_range("--rate", per_s, &RATES))
    }

    fn workers(&self, order: Order, l1_managers: usize) -> usize {
        self.workers.unwrap_or_else(|| default_workers(order, l1_managers))
    }
}

fn out_of_range(flag: &str, value: f64, range: &std::ops::RangeInclusive<f64>) -> Error {
    Error::invalid(format!("the value must be from {} to {}", range.start(), range.end()))
        .with_context("flag", flag)
        .with_context("value", value)
}

impl PartFlags {
    /// Checks the flags.
    pub(in crate::cli) fn part(&self) -> Result<Part> {
        for (flag, seconds) in [("--from", self.from), ("--to", self.to)] {
            if let Some(seconds) = seconds.filter(|seconds| !seconds.is_finite() || *seconds < 0.0) {
                return Err(Error::invalid("the time must be a number of seconds that is not below 0")
                    .with_context("flag", flag)
                    .with_context("value", seconds));
            }
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(Error::invalid("the part must begin before it ends")
                .with_context("--from", from)
                .with_context("--to", to));
        }
        let selection = Selection {
            from_s: self.from,
            to_s: self.to,
            ops: self.ops.iter().map(|name| op(name)).collect::<Result<_>>()?,
            models: self.models.clone(),
            salts: self.salts.clone(),
        };
        let alignment = match self.align {
            AlignFlag::Wall => Alignment::Wall,
            AlignFlag::Start => Alignment::Start,
        };
        Ok(Part { selection, loops: self.loops, tenants: self.tenants, alignment })
    }
}

impl Pacing {
    pub(in crate::cli) fn pace(&self) -> Pace {
        self.options.pace
    }

    /// Whether two replays are given their calls at the same times, and wait for the same.
    pub(in crate::cli) fn is_alike(&self, other: &Self) -> bool {
        let of = |pacing: &Self| (pacing.options.pace, pacing.options.order);
        of(self) == of(other)
    }
}

/// The flags in which two parts differ.
pub(in crate::cli) fn differences(one: &Part, other: &Part) -> Vec<&'static str> {
    let (own, others) = (&one.selection, &other.selection);
    let is_different = [
        ("--from", own.from_s != others.from_s),
        ("--to", own.to_s != others.to_s),
        ("--ops", !have_the_same(&own.ops, &others.ops)),
        ("--models", !have_the_same(&own.models, &others.models)),
        ("--salts", !have_the_same(&own.salts, &others.salts)),
        ("--loop", one.loops != other.loops),
        ("--tenants", one.tenants != other.tenants),
    ];
    is_different.into_iter().filter(|(_, is)| *is).map(|(flag, _)| flag).collect()
}

/// Whether two lists name the same, in any order.
fn have_the_same<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    one.iter().all(|item| other.contains(item)) && other.iter().all(|item| one.contains(item))
}

/// The operation of a name: as it stands in traces, with or without its prefix, or in reports.
fn op(name: &str) -> Result<Op> {
    let is_named = |op: &Op| [op.method(), op.short_name()].contains(&name) || op.qualname() == name;
    Op::ALL.into_iter().find(is_named).ok_or_else(|| {
        let names = Op::ALL.map(Op::short_name).join(", ");
        Error::invalid("there is no operation of this name")
            .with_context("flag", "--ops")
            .with_context("name", name.escape_debug())
            .with_hint(format!("they are {names}"))
    })
}

/// The pace in words.
pub(super) fn pace_name(pace: Pace) -> String {
    match pace {
        Pace::Recorded => "as recorded".to_owned(),
        Pace::Speed(factor) => format!("{factor} times as fast"),
        Pace::Rate(per_s) => format!("{per_s} records/s"),
        Pace::Asap => "as fast as possible".to_owned(),
    }
}

/// The order in a word.
pub(super) fn order_name(order: Order) -> &'static str {
    match order {
        Order::Recorded => "recorded",
        Order::Causal => "causal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(loops: u32, models: &[&str], to_s: Option<f64>) -> Part {
        let models = models.iter().map(|&name| name.to_owned()).collect();
        let selection = Selection { models, to_s, ..Selection::default() };
        Part { selection, loops, tenants: 1, alignment: Alignment::Wall }
    }

    #[test]
    fn parts_differ_by_their_flags() {
        let one = part(1, &["a", "b"], None);
        assert_eq!(differences(&one, &part(1, &["b", "a"], None)), [] as [&str; 0]);
        assert_eq!(differences(&one, &part(2, &["a"], Some(3.0))), ["--to", "--models", "--loop"]);
    }
}

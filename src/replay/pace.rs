//! When records are due: at which pace, on which clock.

use crate::clock::NS_PER_S;
use crate::replay::schedule::Schedule;

/// How fast a replay goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    /// As it was recorded.
    #[default]
    Recorded,
    /// So many times as fast; a factor that [`Pace::speed`] has checked.
    Speed(f64),
    /// So many records a second, evenly, whatever the trace says; a rate that [`Pace::rate`] has checked.
    Rate(f64),
    /// A call begins when the one before it is over.
    Asap,
}

/// The slowest and the fastest that a replay goes beside its recording.
pub const SPEEDS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// The lowest and the highest rate, in records a second.
pub const RATES: std::ops::RangeInclusive<f64> = 1e-6..=1e9;

impl Pace {
    /// So many times as fast as recorded; nothing unless the factor is in [`SPEEDS`].
    pub fn speed(factor: f64) -> Option<Self> {
        SPEEDS.contains(&factor).then_some(Self::Speed(factor))
    }

    /// Whether what lies between two records in the trace is waited for.
    pub fn follows_the_trace(self) -> bool {
        matches!(self, Self::Recorded | Self::Speed(_))
    }

    /// So many records a second; nothing unless the rate is in [`RATES`].
    pub fn rate(per_s: f64) -> Option<Self> {
        RATES.contains(&per_s).then_some(Self::Rate(per_s))
    }
}

/// When a record is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// In nanoseconds from the start of the replay; `None` means at once.
    pub replay_ns: Option<u64>,
    /// The same by the recording's clock, in nanoseconds from its start. Never goes back.
    pub trace_ns: u64,
}

/// Gives records their times, in the order of the trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timetable {
    pace: Pace,
    schedule: Schedule,
    /// Records that were given a time.
    records: u64,
    latest_ns: u64,
}

impl Timetable {
    /// A timetable at `pace`.
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, schedule: Schedule::default(), records: 0, latest_ns: 0 }
    }

    /// When the next record is due, which was made `t_mono_s` after the start of the recording.
    pub(super) fn due(&mut self, t_mono_s: f64) -> Due {
        let recorded_ns = self.schedule.due_ns(t_mono_s);
        self.latest_ns = recorded_ns.unwrap_or(self.latest_ns);
        let number = self.records;
        self.records += 1;
        let replay_ns = match self.pace {
            Pace::Recorded => recorded_ns,
            Pace::Speed(factor) => recorded_ns.map(|ns| scaled_ns(ns, 1.0 / factor)),
            Pace::Rate(per_s) => Some(scaled_ns(number, NS_PER_S as f64 / per_s)),
            Pace::Asap => None,
        };
        Due { replay_ns, trace_ns: self.latest_ns }
    }

    /// Whether records are waited for.
    pub(super) fn is_paced(&self) -> bool {
        self.pace != Pace::Asap
    }

    /// What was not as it should be with the times.
    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}

/// In doubles: a replay that is a million times slower than ten years of recording is past what an integer holds, and is
/// then due at the end of time.
fn scaled_ns(count: u64, by: f64) -> u64 {
    (count as f64 * by).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due_ns(pace: Pace, times_s: &[f64]) -> Vec<Option<u64>> {
        let mut timetable = Timetable::new(pace);
        times_s.iter().map(|t_mono_s| timetable.due(*t_mono_s).replay_ns).collect()
    }

    #[test]
    fn a_pace_moves_deadlines_and_not_the_clock_of_the_trace() {
        let times_s = [0.0, 1.0, 3.0];
        assert_eq!(due_ns(Pace::Recorded, &times_s), [0, 1_000_000_000, 3_000_000_000].map(Some));
        assert_eq!(due_ns(Pace::speed(10.0).unwrap(), &times_s), [0, 100_000_000, 300_000_000].map(Some));
        assert_eq!(due_ns(Pace::speed(0.5).unwrap(), &times_s), [0, 2_000_000_000, 6_000_000_000].map(Some));
        assert_eq!(due_ns(Pace::rate(4.0).unwrap(), &times_s), [0, 250_000_000, 500_000_000].map(Some));
        assert_eq!(due_ns(Pace::Asap, &times_s), [None; 3]);
        for pace in [Pace::Recorded, Pace::Speed(10.0), Pace::Rate(4.0), Pace::Asap] {
            let mut timetable = Timetable::new(pace);
            let trace_ns = times_s.map(|t_mono_s| timetable.due(t_mono_s).trace_ns);
            assert_eq!(trace_ns, [0, 1_000_000_000, 3_000_000_000]);
        }
    }

    #[test]
    fn impossible_times_are_at_once_and_leave_the_clock_where_it_is() {
        let mut timetable = Timetable::new(Pace::Speed(2.0));
        let dues = [1.0, f64::NAN, 0.5].map(|t_mono_s| timetable.due(t_mono_s));
        assert_eq!(dues.map(|due| due.replay_ns), [Some(500_000_000), None, Some(500_000_000)]);
        assert_eq!(dues.map(|due| due.trace_ns), [1_000_000_000; 3]);
        assert_eq!((timetable.schedule().impossible_times, timetable.schedule().disordered_times), (1, 1));
    }

    #[test]
    fn paces_have_limits() {
        for (factor, is_there) in [(1e-6, true), (1e6, true), (1e6_f64.next_up(), false), (0.0, false)] {
            assert_eq!(Pace::speed(factor).is_some(), is_there, "{factor}");
        }
        for (per_s, is_there) in [(1e-6, true), (1e9, true), (1e9_f64.next_up(), false), (f64::NAN, false)] {
            assert_eq!(Pace::rate(per_s).is_some(), is_there, "{per_s}");
        }
    }

    #[test]
    fn the_slowest_replay_of_the_longest_trace_has_deadlines() {
        let last_ns = due_ns(Pace::Speed(1e-6), &[crate::replay::schedule::MAX_OFFSET_S])[0];
        assert_eq!(last_ns, Some(u64::MAX));
    }
}

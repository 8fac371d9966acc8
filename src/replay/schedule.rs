//! From the seconds in a file to nanoseconds that a thread can wait for.
//!
//! A file can claim any time: not a number, before the start, in a million years. A time that cannot be
//! waited for means "at once", which is what LMCache's replay does with negative ones; it is counted, and
//! such a call has no lag because it has no schedule.
//!
//! LMCache's recorder writes calls in the order in which its event bus drained them, so a record can carry an
//! earlier time than the one before it. Calls are dispatched in the order of the file; the earlier time is
//! raised to the one before, so that the trace's own disorder does not look like a late replay.

/// The latest offset that a replay waits for: ten years.
pub const MAX_OFFSET_S: f64 = 10.0 * 366.0 * 86_400.0;

/// Turns times into offsets, and counts those that were not as they should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Schedule {
    latest_ns: u64,
    /// Times that nobody can wait for: negative, not a number, or past [`MAX_OFFSET_S`].
    pub impossible_times: u64,
    /// Times before that of the record before.
    pub disordered_times: u64,
}

impl Schedule {
    /// When a record is due, in nanoseconds from the start; `None` means at once.
    #[inline]
    pub fn due_ns(&mut self, t_mono_s: f64) -> Option<u64> {
        if !(0.0..=MAX_OFFSET_S).contains(&t_mono_s) {
            self.impossible_times += 1;
            return None;
        }
        let offset_ns = rounded(t_mono_s * 1e9);
        if offset_ns < self.latest_ns {
            self.disordered_times += 1;
        } else {
            self.latest_ns = offset_ns;
        }
        Some(self.latest_ns)
    }
}

/// What `round` says of a number from 0 to 2^63, without the call that it is where the processor is not known to have the instruction.
#[inline]
fn rounded(number: f64) -> u64 {
    let whole = number as u64;
    whole + u64::from(number - whole as f64 >= 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_everywhere() {
        let halves = (0..200).map(|half| f64::from(half) / 2.0);
        let largest = MAX_OFFSET_S * 1e9;
        let edges = [
            0.0,
            0.5_f64.next_down(),
            0.5_f64.next_up(),
            4_503_599_627_370_495.5,
            largest,
            largest.next_down(),
        ];
        for number in
            halves.clone().chain(halves.map(f64::next_down).filter(|number| *number >= 0.0)).chain(edges)
        {
            assert_eq!(rounded(number), number.round() as u64, "{number}");
        }
    }

    #[test]
    fn hostile_times_are_at_once_and_counted() {
        let mut schedule = Schedule::default();
        let past_limit = MAX_OFFSET_S.next_up();
        for hostile in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-9, past_limit, f64::MAX] {
            assert_eq!(schedule.due_ns(hostile), None, "{hostile}");
        }
        assert_eq!(schedule.impossible_times, 6);
        assert_eq!(schedule.due_ns(-0.0), Some(0));
        assert_eq!(schedule.due_ns(MAX_OFFSET_S), Some(316_224_000_000_000_000));
    }

    #[test]
    fn a_time_that_goes_back_is_raised_to_the_one_before() {
        let mut schedule = Schedule::default();
        let due: Vec<_> = [0.5, 0.25, 0.5, 0.75].map(|t_mono_s| schedule.due_ns(t_mono_s)).into();
        assert_eq!(due, [500_000_000, 500_000_000, 500_000_000, 750_000_000].map(Some));
        assert_eq!(schedule.disordered_times, 1);
    }
}

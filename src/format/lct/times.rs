//! The seconds of a file as the nanoseconds that the recorder's clocks read, and back to the very same seconds.
//!
//! CPython reads its clocks in whole nanoseconds and divides by 1e9 in doubles (`_PyTime_AsSecondsDouble`); LMCache
//! writes `max(0.0, time.monotonic() - t_mono_start)` and `time.time()`. Both steps can be repeated, so a count of
//! nanoseconds that leads to the recorded bits can stand for them. Which count is searched among the few near the
//! recorded value: there is one for whatever LMCache recorded, and there need not be one for a time that somebody
//! computed.
//!
//! CPython divides whole seconds as integers. Up to 2^62 ns, which for wall time is the year 2116, the result is the
//! same: 1e9 is a multiple of 512, so such counts are doubles. Every reading up to there is found.

/// Nanoseconds in a second, as CPython divides by them.
const NS_PER_S: f64 = 1e9;

/// How far from the estimate a count can lie, in steps of the estimate's last place. A time is rounded when it is
/// divided, when the start is subtracted, when it is added again and when it is multiplied: less than three steps,
/// and below a power of two a step is half as long.
const MAX_STEPS: i64 = 6;

/// What a record's `t_mono` is if its call was made when the monotonic clock read `ns`, in a trace that began at
/// `t_mono_start_s`.
pub fn t_mono_of(ns: u64, t_mono_start_s: f64) -> f64 {
    let since_start_s = ns as f64 / NS_PER_S - t_mono_start_s;
    // Python's `max` keeps its first argument unless the second is larger: never -0.0, never NaN.
    if since_start_s > 0.0 { since_start_s } else { 0.0 }
}

/// A reading of the monotonic clock for which [`t_mono_of`] is `t_mono_s` to the last bit.
///
/// Nothing if there is none up to 2^63 ns: `t_mono_s` is negative or NaN, or no recorder computed it from this start.
pub fn monotonic_ns_of(t_mono_s: f64, t_mono_start_s: f64) -> Option<u64> {
    let is_exact = |ns: u64| t_mono_of(ns, t_mono_start_s).to_bits() == t_mono_s.to_bits();
    counts_near(t_mono_start_s + t_mono_s).filter_map(|ns| u64::try_from(ns).ok()).find(|ns| is_exact(*ns))
}

/// What a record's `t_wall` is if the wall clock read `ns` since the epoch.
pub fn t_wall_of(ns: i64) -> f64 {
    ns as f64 / NS_PER_S
}

/// A reading of the wall clock, in nanoseconds since the epoch, for which [`t_wall_of`] is `t_wall_s` to the last bit.
///
/// Nothing if there is none: doubles lie closer than nanoseconds near the epoch, and far from it closer than the
/// counts that are doubles.
pub fn wall_ns_of(t_wall_s: f64) -> Option<i64> {
    counts_near(t_wall_s).find(|ns| t_wall_of(*ns).to_bits() == t_wall_s.to_bits())
}

/// The counts of nanoseconds around `seconds`, the nearest first; none for NaN and past 2^63 ns.
fn counts_near(seconds: f64) -> impl Iterator<Item = i64> {
    let estimate = (seconds * NS_PER_S).round();
    let is_countable = estimate.abs() <= -(i64::MIN as f64);
    // From 2^53 on several counts are one double, so that a step of one would lead nowhere.
    let step = (estimate.abs() - estimate.abs().next_down()).max(1.0) as i64;
    let offsets = std::iter::once(0).chain((1..=MAX_STEPS).flat_map(|steps| [steps, -steps]));
    let counts = offsets.filter_map(move |steps| (estimate as i64).checked_add(steps * step));
    counts.take(if is_countable { usize::MAX } else { 0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_are_those_of_cpython() {
        // `_testcapi.PyTime_AsSecondsDouble` of CPython 3.11.
        let read = [
            (0, 0x0000000000000000),
            (1, 0x3e112e0be826d695),
            (999_999_999, 0x3fefffffff768fa1),
            (1_000_000_000, 0x3ff0000000000000),
            (1_852_005_489_239, 0x409cf0059ef897f1),
            (9_007_199_254_740_993, 0x41612e0be826d695),
            (1_795_231_343_581_621_000, 0x41dac0439be53947),
            (1_795_231_343_581_621_001, 0x41dac0439be53947),
            (1_795_231_343_581_621_129, 0x41dac0439be53948),
            (1_795_231_343_000_000_000, 0x41dac0439bc00000),
            (1_795_231_343_999_999_999, 0x41dac0439c000000),
            (4_611_686_018_427_387_903, 0x41f12e0be826d695),
            (4_611_686_018_000_000_000, 0x41f12e0be8200000),
        ];
        for (ns, bits) in read {
            assert_eq!(t_wall_of(ns).to_bits(), bits, "{ns}");
            assert_eq!(t_mono_of(ns as u64, 0.0).to_bits(), bits, "{ns}");
        }
    }

    #[test]
    fn times_that_no_clock_read_have_no_count() {
        for t_mono_s in [-1.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 1e-300] {
            assert_eq!(monotonic_ns_of(t_mono_s, 1852.005489239), None, "{t_mono_s}");
        }
        for start_s in [f64::NAN, f64::INFINITY, -5.0, 1e300] {
            assert_eq!(monotonic_ns_of(0.0, start_s), None, "{start_s}");
        }
        for t_wall_s in [-0.0, f64::NAN, f64::INFINITY, 1e300, 1e-300, 0.1_f64.next_up()] {
            assert_eq!(wall_ns_of(t_wall_s), None, "{t_wall_s}");
        }
        assert_eq!(wall_ns_of(-1.5), Some(-1_500_000_000));
    }

    #[test]
    fn counts_are_found_to_the_limit_and_not_past_it() {
        let limit_s = t_wall_of(i64::MAX);
        assert_eq!(wall_ns_of(limit_s).map(t_wall_of), Some(limit_s));
        assert_eq!(monotonic_ns_of(limit_s, 0.0).map(|ns| t_mono_of(ns, 0.0)), Some(limit_s));
        let past_s = limit_s.next_up().next_up();
        assert_eq!((wall_ns_of(past_s), monotonic_ns_of(past_s, 0.0)), (None, None));
    }

    #[test]
    fn a_time_before_the_start_is_the_start() {
        let start_s = t_wall_of(1_852_005_489_239);
        assert_eq!(t_mono_of(1_852_005_489_238, start_s), 0.0);
        assert_eq!(monotonic_ns_of(0.0, start_s), Some(1_852_005_489_239));
    }

    /// Counts of all magnitudes to the year 2116, many of them around powers of two, where the distance of doubles
    /// changes.
    fn counts() -> impl Strategy<Value = u64> {
        (0_u32..62, any::<u64>(), -2000_i64..2000, any::<bool>()).prop_map(|(bits, low, offset, is_edge)| {
            let power = 1_u64 << bits;
            match is_edge {
                true => power.saturating_add_signed(offset),
                false => power | (low & (power - 1)),
            }
        })
    }

    /// Doubles that no clock need have read, many of them where counts are about as dense as doubles.
    fn seconds() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>(), 0.0..1e7, 1e6..1e10]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn every_recorded_wall_time_has_a_count(ns in counts(), is_negative in any::<bool>()) {
            let ns = i64::try_from(ns).unwrap();
            let t_wall_s = t_wall_of(if is_negative { -ns } else { ns });
            let found = wall_ns_of(t_wall_s).map(t_wall_of).map(f64::to_bits);
            prop_assert_eq!(found, Some(t_wall_s.to_bits()));
        }

        #[test]
        fn every_recorded_monotonic_time_has_a_count(start_ns in counts(), later_ns in counts()) {
            let start_s = t_wall_of(i64::try_from(start_ns).unwrap());
            let ns = (start_ns + later_ns).min(1 << 62);
            let t_mono_s = t_mono_of(ns, start_s);
            let found = monotonic_ns_of(t_mono_s, start_s).map(|ns| t_mono_of(ns, start_s).to_bits());
            prop_assert_eq!(found, Some(t_mono_s.to_bits()));
        }

        #[test]
        fn whatever_count_is_found_leads_back(t_s in seconds(), start_s in seconds()) {
            if let Some(ns) = monotonic_ns_of(t_s, start_s) {
                prop_assert_eq!(t_mono_of(ns, start_s).to_bits(), t_s.to_bits());
            }
            if let Some(ns) = wall_ns_of(t_s) {
                prop_assert_eq!(t_wall_of(ns).to_bits(), t_s.to_bits());
            }
        }
    }
}

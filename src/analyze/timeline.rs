//! Calls over time, without knowing beforehand how long the trace is.

/// How many bins a timeline has at most. A trace fills between half of them and all.
pub const MAX_BINS: usize = 64;

/// The width of a bin at the start: 2^-20 s, about a microsecond.
const FIRST_WIDTH_EXPONENT: i32 = -20;

/// Calls counted in bins of equal width. The width is a power of two of seconds and doubles whenever a call
/// comes after the last bin, so timelines of two parts of a trace can be added.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    width_exponent: i32,
    counts: [u64; MAX_BINS],
    unusable: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { width_exponent: FIRST_WIDTH_EXPONENT, counts: [0; MAX_BINS], unusable: 0 }
    }
}

impl Timeline {
    /// Counts a call `t_s` seconds after the start. Times that are no point of a trace (NaN, infinite,
    /// negative) are counted apart.
    #[inline]
    pub(super) fn add(&mut self, t_s: f64) {
        if !(t_s.is_finite() && t_s >= 0.0) {
            self.unusable += 1;
            return;
        }
        while t_s >= self.width_s() * MAX_BINS as f64 {
            self.double_width();
        }
        self.counts[(t_s / self.width_s()) as usize] += 1;
    }

    pub(super) fn merge(&mut self, mut other: Self) {
        while self.width_exponent < other.width_exponent {
            self.double_width();
        }
        while other.width_exponent < self.width_exponent {
            other.double_width();
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.unusable += other.unusable;
    }

    fn double_width(&mut self) {
        for bin in 0..MAX_BINS {
            let pair = 2 * bin;
            self.counts[bin] = if pair < MAX_BINS { self.counts[pair] + self.counts[pair + 1] } else { 0 };
        }
        self.width_exponent += 1;
    }

    /// The width of a bin in seconds.
    pub fn width_s(&self) -> f64 {
        f64::from(self.width_exponent).exp2()
    }

    /// The counts up to the last bin that has any.
    pub fn counts(&self) -> &[u64] {
        let used = self.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        &self.counts[..used]
    }

    /// Calls per second in each bin.
    pub fn per_second(&self) -> impl Iterator<Item = f64> {
        self.counts().iter().map(|count| *count as f64 / self.width_s())
    }

    /// Calls whose time is NaN, infinite or negative.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_grow_and_parts_add_up() {
        let times: Vec<f64> = (0..1000).map(|step| f64::from(step) * 0.01).collect();
        let (mut whole, mut early, mut late) =
            (Timeline::default(), Timeline::default(), Timeline::default());
        for (step, t_s) in times.iter().enumerate() {
            whole.add(*t_s);
            if step < 300 { early.add(*t_s) } else { late.add(*t_s) }
        }
        early.merge(late);
        assert_eq!(early, whole);
        assert_eq!(whole.width_s(), 0.25);
        assert_eq!(whole.counts().len(), 40);
        assert_eq!(whole.counts().iter().sum::<u64>(), 1000);
        assert_eq!(whole.per_second().next(), Some(100.0));
    }

    #[test]
    fn times_that_are_none_are_counted_apart() {
        let mut timeline = Timeline::default();
        for t_s in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300, f64::MAX, 0.0] {
            timeline.add(t_s);
        }
        assert_eq!(timeline.unusable(), 4);
        assert_eq!(timeline.counts().iter().sum::<u64>(), 3);
    }
}

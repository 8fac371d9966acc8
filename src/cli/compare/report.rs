//! Everything that a comparison has to say, before anybody renders it.

use super::series::Measured;
use super::{CompareArgs, Plan};
use crate::compare::gate::{DEFAULT_MAX_LATE_PERCENT, undelivered};
use crate::compare::{Change, Judged, Judgement, Metric, Pairing, Refusal, Row, RunMetrics, compare};

/// The results of one comparison.
#[derive(Debug)]
pub(super) struct CompareReport<'a> {
    pub(super) trace: String,
    pub(super) catalogue: &'a [Metric],
    pub(super) flags_a: &'a str,
    /// Nothing if A was run alone.
    pub(super) flags_b: Option<&'a str>,
    pub(super) is_aa: bool,
    pub(super) confidence: f64,
    pub(super) runs_wanted: u64,
    pub(super) is_interrupted: bool,
    pub(super) a: Vec<RunMetrics>,
    pub(super) b: Vec<RunMetrics>,
    /// B against A, or A against the baseline where there is no B. Empty if A has nothing to be compared with.
    pub(super) rows: Vec<Row>,
    /// Whether the first of the two is the baseline.
    pub(super) is_against_baseline: bool,
    /// How many runs the baseline of the gate has, and the host that they were made on.
    pub(super) baseline: Option<(usize, &'a str)>,
    /// The verdict of the gate, if there is one.
    pub(super) judgement: Option<Judgement>,
}

impl<'a> CompareReport<'a> {
    pub(super) fn new(args: &CompareArgs, plan: &'a Plan, measured: Measured) -> Self {
        let Measured { a, b, is_interrupted, .. } = measured;
        let catalogue = &plan.catalogue;
        let against = |old: &[RunMetrics], new: &[RunMetrics], pairing| {
            compare(catalogue, old, new, pairing, args.confidence)
        };
        let candidate = if plan.b.is_some() { &b } else { &a };
        let kept = plan.baseline.as_ref().map(|baseline| baseline.run_metrics(catalogue));
        let against_kept = kept.as_ref().map(|kept| against(kept, candidate, Pairing::Unpaired));
        let rows = match (&plan.b, &against_kept) {
            (Some(_), _) => against(&a, &b, Pairing::Paired),
            (None, Some(rows)) => rows.clone(),
            (None, None) => Vec::new(),
        };
        let mut judgement = plan.gate.as_ref().map(|gate| match (&kept, &against_kept) {
            (Some(kept), Some(judged_rows)) => {
                let name = if plan.b.is_some() { "B" } else { "A" };
                let judged = [Judged { name: "the baseline", runs: kept }, Judged { name, runs: candidate }];
                gate.judge(catalogue, judged_rows, &judged)
            }
            _ => gate.judge(
                catalogue,
                &rows,
                &[Judged { name: "A", runs: &a }, Judged { name: "B", runs: &b }],
            ),
        });
        if let (Some(judgement), true) = (&mut judgement, is_interrupted) {
            let reason = "the comparison was interrupted".to_owned();
            judgement.refuse(Refusal { reason, hint: None });
        }
        Self {
            trace: args.trace.display().to_string(),
            catalogue,
            flags_a: &plan.a.flags,
            flags_b: plan.b.as_ref().map(|b| b.flags.as_str()),
            is_aa: args.aa,
            confidence: args.confidence,
            runs_wanted: args.runs,
            is_interrupted,
            a,
            b,
            rows,
            is_against_baseline: plan.b.is_none() && plan.baseline.is_some(),
            baseline: plan.baseline.as_ref().map(|baseline| (baseline.runs(), baseline.host.as_str())),
            judgement,
        }
    }

    /// The rows that both sides have, and that say what no other says.
    pub(super) fn told(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.is_repeat && row.change != Change::NotInBoth)
    }

    /// What makes all times worth less, where no gate has said it.
    pub(super) fn warnings(&self) -> Vec<String> {
        if self.judgement.is_some() {
            return Vec::new();
        }
        let judged = [("A", &self.a), ("B", &self.b)].map(|(name, runs)| Judged { name, runs });
        let late = undelivered(self.catalogue, &judged, DEFAULT_MAX_LATE_PERCENT);
        late.into_iter().map(|refusal| refusal.reason).collect()
    }

    /// How many of them differ above the noise.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for row in self.told() {
            let count = match (row.direction(), self.catalogue[row.place].better) {
                (None, _) => continue,
                (Some(direction), Some(better)) if direction == better => &mut counts.better,
                (Some(_), Some(_)) => &mut counts.worse,
                (Some(_), None) => &mut counts.other,
            };
            *count += 1;
        }
        counts
    }

    /// How many runs of each are needed, if there are fewer.
    pub(super) fn least_runs(&self) -> Option<usize> {
        self.rows.iter().find_map(|row| match row.change {
            Change::TooFewRuns { least } => Some(least),
            _ => None,
        })
    }

    /// What the two columns are called.
    pub(super) fn columns(&self) -> [&'static str; 2] {
        match (self.is_against_baseline, self.is_aa) {
            (true, _) => ["baseline", "A"],
            (false, true) => ["A", "A again"],
            (false, false) => ["A", "B"],
        }
    }
}

/// Metrics that differ above the noise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) better: usize,
    pub(super) worse: usize,
    /// Those of which nobody can say which way is better.
    pub(super) other: usize,
}

impl Counts {
    pub(super) fn all(self) -> usize {
        self.better + self.worse + self.other
    }
}

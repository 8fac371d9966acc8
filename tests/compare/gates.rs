//! Gates and baselines: what they refuse, and their verdicts.

use lmcache::compare::gate::Check;
use lmcache::compare::metrics::LATE_SHARE;
use lmcache::compare::{
    Baseline, CheckResult, Gate, Judged, Judgement, Pairing, RunMetrics, TraceIdentity, Verdict, catalogue,
    compare,
};

fn gate(json: &str) -> Gate {
    Gate::from_json(json, &catalogue()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn a_gate_is_refused_by_the_name_of_what_is_wrong() {
    let long = format!(r#"{{"metrics":{{"lag.p99":{{"max_increase":{}}}}}}}"#, "1e999");
    for (json, wanted) in [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        (r#"{"metrics":{}}"#, "no metrics"),
        (r#"{"baseline":"b.json"}"#, "`metrics`"),
        (r#"{"metrics":{"lag.p99":{"max_increase":1}},"limit":1}"#, "unknown field `limit`"),
        (r#"{"metrics":{"lag.p99":{"max_rise":1}}}"#, "unknown field `max_rise`"),
        (r#"{"metrics":{"lag.p98":{"max_increase":1}}}"#, "\"lag.p98\""),
        (r#"{"metrics":{"lag.p99":{}}}"#, "no limit"),
        (r#"{"metrics":{"lag.p99":{"max_increase":-1}}}"#, "max_increase"),
        (r#"{"metrics":{"lag.p99":{"max_increase":"1"}}}"#, "invalid type"),
        (
            r#"{"metrics":{"lag.p99":{"max_increase":1},"lag.p99":{"max_increase":2}}}"#,
            "`lag.p99` is there twice",
        ),
        (r#"{"metrics":{"lag.p99":{"max_increase":1,"max_increase":2}}}"#, "duplicate field"),
        (r#"{"metrics":{"lag.p99":{"max_increase":1}},"max_late_percent":101}"#, "max_late_percent"),
        (r#"{"metrics":{"lag.p99":{"max_increase":1}},"on_noise":"ignore"}"#, "unknown variant `ignore`"),
        (&long, "cannot be read"),
    ] {
        let error = Gate::from_json(json, &catalogue()).expect_err(json);
        assert!(error.to_string().contains(wanted), "{json}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
    let hint = Gate::from_json(r#"{"metrics":{"x":{"max_increase":1}}}"#, &catalogue()).expect_err("x");
    assert!(hint.hint().is_some_and(|hint| hint.contains("submit_prefetch_task.p99")));
}

/// Runs that have these metrics.
fn runs(metrics: &[(&str, &[f64])]) -> Vec<RunMetrics> {
    let all = catalogue();
    let value = |name: &str, run: usize| {
        metrics.iter().find(|(named, _)| *named == name).map(|(_, values)| values[run])
    };
    let run = |run| all.iter().map(|metric| value(&metric.name, run)).collect();
    (0..metrics[0].1.len()).map(run).collect()
}

fn judge(json: &str, a: &[RunMetrics], b: &[RunMetrics]) -> Judgement {
    let rows = compare(&catalogue(), a, b, Pairing::Paired, 0.99);
    gate(json).judge(&catalogue(), &rows, &[Judged { name: "A", runs: a }, Judged { name: "B", runs: b }])
}

const LIMIT: &str = r#"{"metrics":{"prefetch.p50":{"max_increase_percent":10}}}"#;

/// Eight runs that differ by a little, and their times `factor`.
fn times(factor: f64) -> Vec<f64> {
    [100.0, 101.0, 99.5, 100.2, 99.8, 100.5, 99.1, 100.9].map(|value| value * factor).to_vec()
}

fn result(json: &str, name: &str, a: &[f64], b: &[f64]) -> (Verdict, CheckResult) {
    let judgement = judge(json, &runs(&[(name, a)]), &runs(&[(name, b)]));
    assert_eq!(judgement.checks.len(), 1, "{judgement:?}");
    (judgement.verdict, judgement.checks[0].result)
}

#[test]
fn a_limit_is_broken_past_it_and_not_at_it() {
    let of = |factor: f64| result(LIMIT, "prefetch.p50", &times(1.0), &times(factor));
    assert_eq!(of(1.0999), (Verdict::Passed, CheckResult::Kept));
    assert_eq!(of(1.1001), (Verdict::Failed, CheckResult::Broken));
    assert_eq!(of(0.5), (Verdict::Passed, CheckResult::Kept));
    let decrease = LIMIT.replace("increase", "decrease");
    assert_eq!(result(&decrease, "prefetch.p50", &times(1.0), &times(0.89)).0, Verdict::Failed);
    assert_eq!(result(&decrease, "prefetch.p50", &times(1.0), &times(0.91)).0, Verdict::Passed);
}

#[test]
fn exact_values_are_held_against_limits_exactly() {
    let limit = |limit: &str| format!(r#"{{"metrics":{{"keys_hit":{{{limit}}}}}}}"#);
    let of = |given: &str, a: f64, b: f64| result(&limit(given), "keys_hit", &[a; 8], &[b; 8]).0;
    assert_eq!(of(r#""max_decrease":2"#, 10.0, 8.0), Verdict::Passed);
    assert_eq!(of(r#""max_decrease":2"#, 10.0, 7.0), Verdict::Failed);
    assert_eq!(of(r#""max_decrease_percent":20"#, 10.0, 8.0), Verdict::Passed);
    assert_eq!(of(r#""max_decrease_percent":20"#, 10.0, 7.0), Verdict::Failed);
    // From nothing to something.
    assert_eq!(of(r#""max_increase_percent":1000"#, 0.0, 1.0), Verdict::Failed);
    assert_eq!(of(r#""max_increase_percent":0"#, 0.0, 0.0), Verdict::Passed);
}

#[test]
fn noise_that_hides_the_limit_is_said_and_passes_unless_it_is_to_fail() {
    let noisy = [100.0, 160.0, 90.0, 150.0, 110.0, 170.0, 80.0, 140.0];
    let other = [150.0, 90.0, 160.0, 100.0, 140.0, 85.0, 175.0, 110.0];
    assert_eq!(result(LIMIT, "prefetch.p50", &noisy, &other), (Verdict::Passed, CheckResult::TooNoisy));
    let strict = LIMIT.replace("}}}", r#"}},"on_noise":"fail"}"#);
    assert_eq!(result(&strict, "prefetch.p50", &noisy, &other), (Verdict::Failed, CheckResult::Broken));
}

#[test]
fn there_is_no_verdict_where_the_load_was_not_delivered() {
    let late = |share: f64| runs(&[("prefetch.p50", &times(1.0)), (LATE_SHARE, &[share; 8])]);
    let verdict = |a: f64, b: f64| judge(LIMIT, &late(a), &late(b));
    assert_eq!(verdict(0.01, 0.01).verdict, Verdict::Passed);
    let refused = verdict(0.0, 0.0101);
    assert_eq!(refused.verdict, Verdict::Refused);
    assert!(refused.refusals[0].reason.contains("calls of B began more than 1 ms late"), "{refused:?}");
    let patient = LIMIT.replace("}}}", r#"}},"max_late_percent":50}"#);
    assert_eq!(judge(&patient, &late(0.0), &late(0.4)).verdict, Verdict::Passed);
}

/// What fails is quickly done, and evicts nothing.
#[test]
fn there_is_no_verdict_where_more_records_failed() {
    let failed = |count: f64| runs(&[("prefetch.p50", &times(1.0)), ("records_failed", &[count; 8])]);
    let verdict = |json: &str, a: f64, b: f64| judge(json, &failed(a), &failed(b));
    assert_eq!(verdict(LIMIT, 3.0, 3.0).verdict, Verdict::Passed);
    assert_eq!(verdict(LIMIT, 3.0, 2.0).verdict, Verdict::Passed);
    let refused = verdict(LIMIT, 3.0, 4.0);
    assert_eq!(refused.verdict, Verdict::Refused);
    assert!(refused.refusals[0].reason.contains("records_failed is 4 in a run of B"), "{refused:?}");
    let lost =
        runs(&[("prefetch.p50", &times(1.0)), ("l2.keys_lost", &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])]);
    assert_eq!(judge(LIMIT, &failed(0.0), &lost).verdict, Verdict::Refused);
    let allowed = LIMIT.replace("}}}", r#"},"records_failed":{"max_increase":1}}}"#);
    assert_eq!(verdict(&allowed, 3.0, 4.0).verdict, Verdict::Passed);
    assert_eq!(verdict(&allowed, 3.0, 5.0).verdict, Verdict::Failed);
}

/// A percentage of nothing is no number: what came from nothing is past every limit in percent, and is told as it is.
#[test]
fn percent_of_nothing_is_told_as_the_values() {
    let limit = |limit: &str| format!(r#"{{"metrics":{{"keys_evicted":{{{limit}}}}}}}"#);
    let check = |given: &str, a: &[f64; 8], b: &[f64; 8]| {
        let judgement = judge(&limit(given), &runs(&[("keys_evicted", a)]), &runs(&[("keys_evicted", b)]));
        judgement.checks[0].clone()
    };
    let (none, some) = ([0.0; 8], [12.0; 8]);
    let from_nothing = check(r#""max_increase_percent":1000"#, &none, &some);
    assert_eq!((from_nothing.result, from_nothing.change), (CheckResult::Broken, None));
    assert_eq!((from_nothing.first, from_nothing.second), (0.0, 12.0));
    let other_way = check(r#""max_decrease_percent":0"#, &none, &some);
    assert_eq!((other_way.result, other_way.change), (CheckResult::Kept, None));
    let to_nothing = check(r#""max_decrease_percent":99"#, &some, &none);
    assert_eq!((to_nothing.result, to_nothing.change), (CheckResult::Broken, Some(-100.0)));
    // Noise from nothing: nobody can tell, and with `fail` that is too much.
    let noise = [0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(check(r#""max_increase_percent":1000"#, &none, &noise).result, CheckResult::TooNoisy);
}

/// The percentage is of the mean that the change is made of, not of the median: here that would be 0.
#[test]
fn percents_of_counts_are_of_their_mean() {
    let a = [0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 100.0, 100.0];
    let json = r#"{"metrics":{"keys_evicted":{"max_increase_percent":10}}}"#;
    let judgement =
        judge(json, &runs(&[("keys_evicted", &a)]), &runs(&[("keys_evicted", &a.map(|a| a + 3.0))]));
    let check = &judgement.checks[0];
    assert!((check.change.unwrap_or(0.0) - 8.0).abs() < 1e-9, "{check:?}");
}

/// A baseline that lacks a metric, one that was made on a machine too slow for it, and one that has one run less.
#[test]
fn a_baseline_that_cannot_be_compared_with_gets_no_verdict() {
    let now = runs(&[("prefetch.p50", &times(1.0)), (LATE_SHARE, &[0.0; 8])]);
    let against = |kept: &[RunMetrics]| {
        let rows = compare(&catalogue(), kept, &now, Pairing::Unpaired, 0.99);
        let judged = [Judged { name: "the baseline", runs: kept }, Judged { name: "A", runs: &now }];
        gate(LIMIT).judge(&catalogue(), &rows, &judged)
    };
    let lacking = against(&runs(&[("keys_hit", &[1.0; 8])]));
    let late = against(&runs(&[("prefetch.p50", &times(1.0)), (LATE_SHARE, &[0.2; 8])]));
    let short = against(&runs(&[("prefetch.p50", &times(1.0)[..7])]));
    for (refused, wanted) in [
        (lacking, "prefetch.p50 is not in all runs"),
        (late, "20.0 % of the calls of the baseline began"),
        (short, "7 runs of the baseline and 8 of A are too few"),
    ] {
        assert_eq!(refused.verdict, Verdict::Refused, "{wanted}");
        assert!(refused.refusals.iter().any(|refusal| refusal.reason.contains(wanted)), "{refused:?}");
    }
    let mut odd = times(1.0);
    odd[2] = f64::NAN;
    assert_eq!(against(&runs(&[("prefetch.p50", &odd)])).verdict, Verdict::Refused);
    assert_eq!(against(&runs(&[("prefetch.p50", &times(1.0))])).verdict, Verdict::Passed);
}

/// One run in which a neighbour held us up spoils nothing.
#[test]
fn the_run_in_the_middle_says_whether_the_load_was_delivered() {
    let mut shares = [0.0; 8];
    shares[3] = 1.0;
    let spoiled = runs(&[("prefetch.p50", &times(1.0)), (LATE_SHARE, &shares)]);
    assert_eq!(judge(LIMIT, &spoiled, &spoiled).verdict, Verdict::Passed);
}

#[test]
fn there_is_no_verdict_on_what_no_run_has_or_too_few_have() {
    let other = runs(&[("keys_hit", &[1.0; 8])]);
    let absent = judge(LIMIT, &other, &other);
    assert_eq!((absent.verdict, absent.checks), (Verdict::Refused, Vec::<Check>::new()));
    let few = runs(&[("prefetch.p50", &times(1.0)[..4])]);
    let few = judge(LIMIT, &few, &few[1..].iter().chain(&few[..1]).cloned().collect::<Vec<_>>());
    assert!(few.refusals[0].reason.contains("4 runs of A and 4 of B are too few: 8 of each"), "{few:?}");
}

#[test]
fn a_baseline_comes_back_and_knows_its_trace() {
    let all = catalogue();
    let kept = runs(&[("prefetch.p50", &times(1.0)), ("keys_hit", &[3.0; 8])]);
    let trace = TraceIdentity { records: 7, recorded_digest: "ab".to_owned(), duration_s: Some(6.5) };
    let baseline = Baseline::new(&all, &kept, &trace, "--asap", "host".to_owned());
    let read = Baseline::from_json(&baseline.to_json()).unwrap();
    assert_eq!((read.run_metrics(&all), read.runs()), (kept, 8));
    assert!(read.check_trace(&trace).is_ok());
    for (is_same, other) in [
        (false, TraceIdentity { records: 8, ..trace.clone() }),
        (false, TraceIdentity { recorded_digest: String::new(), ..trace.clone() }),
        (false, TraceIdentity { duration_s: Some(6.500_01), ..trace.clone() }),
        (true, TraceIdentity { duration_s: Some(6.500_000_9), ..trace.clone() }),
        (true, TraceIdentity { duration_s: None, ..trace }),
    ] {
        let checked = read.check_trace(&other).map_err(|error| error.to_string());
        assert_eq!(checked.is_ok(), is_same, "{other:?}");
        assert!(checked.err().is_none_or(|error| error.contains("another trace")));
    }
    let text = baseline.to_json();
    for (from, to, wanted) in [
        ("\"version\": 1", "\"version\": 2", "no baseline of this version"),
        ("lmcache-trace baseline", "other", "no baseline of this version"),
        ("\"host\"", "\"hosts\"", "unknown field `hosts`"),
        ("    3.0,\n", "", "as many runs"),
        ("\"metrics\"", "\"none\"", "unknown field `none`"),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text, "{from}");
        let error = Baseline::from_json(&broken).expect_err(from).to_string();
        assert!(error.contains(wanted), "{from}: {error}");
    }
}

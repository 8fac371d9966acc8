//! Causal order: what a replay finds depends on the trace and the configuration, and on nothing else.

use std::path::Path;

use lmcache::format::model::ObjectKey;
use lmcache::replay::latency::BytesSummary;
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::{
    ManagerTotals, MissSummary, Order, Pace, RecordBody, ReplayOptions, StopFlag, StorageTotals, TimedRecord,
    TraceSource, replay,
};
use lmcache::storage::config::{Compat, EvictionPolicyKind, L2AdapterConfig, StorageManagerConfig};
use lmcache::trace::TraceReader;

use crate::common;

/// What a replay left behind.
#[derive(Debug, PartialEq)]
pub(crate) struct Left {
    pub(crate) totals: StorageTotals,
    /// What each adapter counts, but for times.
    pub(crate) l2: Vec<serde_json::Map<String, serde_json::Value>>,
    pub(crate) in_l1: InL1,
    /// Why what was missed.
    pub(crate) misses: MissSummary,
    pub(crate) bytes: BytesSummary,
}

/// For each L1 and each key of the trace, whether the key is there.
#[derive(PartialEq)]
pub(crate) struct InL1(Vec<bool>);

impl std::fmt::Debug for InL1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.iter().filter(|is_there| **is_there).count())
    }
}

fn records(name: &str) -> Vec<TimedRecord> {
    let reader = TraceReader::from_bytes(name, common::unpack(name)).expect("a trace");
    TraceSource::new(&reader).records().collect()
}

fn keys_of(records: &[TimedRecord]) -> Vec<ObjectKey> {
    let mut seen = std::collections::HashSet::new();
    let calls = records.iter().filter_map(|record| match &record.body {
        RecordBody::Call(call) => Some(call),
        RecordBody::Skipped { .. } => None,
    });
    let keys = calls.flat_map(|call| call.key_lists().flatten());
    keys.filter(|key| seen.insert((*key).clone())).cloned().collect()
}

/// A replay in causal order.
pub(crate) fn play(
    records: &[TimedRecord],
    config: &StorageManagerConfig,
    pace: Pace,
    workers: usize,
) -> (Left, ManagerTotals) {
    let keys = keys_of(records);
    let mut targets = ManagerTarget::of_all(config.clone(), Order::Causal, workers).expect("a manager");
    let options = ReplayOptions { pace, order: Order::Causal, ..ReplayOptions::default() };
    let source = records.iter().cloned();
    let run = replay(source, &mut targets, &options, &StopFlag::default(), &mut ()).expect("threads");
    assert_eq!((run.records_failed, run.interrupted), (0, false), "{:?}", run.failures);
    let manager = targets[0].manager();
    assert!(manager.memcheck());
    let l1s = manager.l1_managers();
    let in_l1 = InL1(l1s.flat_map(|l1| keys.iter().map(|key| l1.is_resident(key))).collect());
    let totals = ManagerTarget::close_all(targets).expect("no thread panicked");
    assert_eq!((totals.unsettled_calls, totals.answers.early_queries), (0, 0));
    assert_eq!(totals.answers.answered_after_call, totals.answers.with_l2.total.count);
    let l2 = totals.l2.adapters.iter().map(|adapter| counts(adapter.fields.clone())).collect();
    let (misses, bytes) = (totals.account.misses, totals.account.bytes);
    assert_eq!(misses.prefetches.total(), totals.storage.requested_keys - totals.storage.hit_keys);
    (Left { totals: totals.storage, l2, in_l1, misses, bytes }, totals)
}

/// Numbers that have to be the same in every run.
fn counts(
    mut fields: serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    fields.retain(|name, value| !name.contains("_ns") && !name.contains("path") && !value.is_string());
    fields
}

/// An L1 that evicts, of so many bytes.
pub(crate) fn config(l1_bytes: u64, compat: Compat, l2: &[String]) -> StorageManagerConfig {
    let mut config = StorageManagerConfig::l1_only(l1_bytes, EvictionPolicyKind::Lru);
    config.compat = compat;
    config.l2_adapters =
        l2.iter().map(|json| L2AdapterConfig::from_json(json).expect("an adapter")).collect();
    config
}

fn mock(_: &Path) -> String {
    format!(r#"{{"type":"mock","max_size_gb":0.02,"mock_bandwidth_gb":4,{EVICTION}}}"#)
}

const EVICTION: &str = r#""eviction":{"eviction_policy":"LRU","trigger_watermark":0.7,"eviction_ratio":0.2}"#;

fn files(folder: &Path) -> String {
    let path = folder.display();
    format!(r#""type":"fs","base_path":"{path}","durable":false,"max_capacity_gb":0.02,"num_workers":4"#)
}

fn fs(folder: &Path) -> String {
    format!("{{{},{EVICTION}}}", files(folder))
}

fn faulty_fs(folder: &Path) -> String {
    format!(
        r#"{{"type":"fault_inject","rate":0.01,"store_error_rate":0.05,"load_error_rate":0.02,"lookup_error_rate":0.005,
            "torn_write_rate":0.02,{EVICTION},"inner":{{{}}}}}"#,
        files(folder)
    )
}

/// A trace that took longer, so that eviction passes fall into it.
fn stretched(records: Vec<TimedRecord>, factor: f64) -> Vec<TimedRecord> {
    let stretch = |record: TimedRecord| TimedRecord { t_mono_s: record.t_mono_s * factor, ..record };
    records.into_iter().map(stretch).collect()
}

/// The same trace at every pace and with every number of workers leaves the same, by the adapter that `l2` makes for a folder.
fn assert_repeats(trace: &str, l1_bytes: u64, l2: impl Fn(&Path) -> String) {
    let records = stretched(records(trace), 20.0);
    for compat in [Compat::Lmcache, Compat::Native] {
        let mut first = None;
        let speed = |factor| Pace::speed(factor).expect("a speed");
        let runs = [
            (Pace::Asap, 1),
            (Pace::Asap, 2),
            (Pace::Asap, 4),
            (speed(20.0), 1),
            (speed(100.0), 2),
            (Pace::rate(20_000.0).expect("a rate"), 4),
        ];
        for (pace, workers) in runs {
            let folder = tempfile::tempdir().expect("a folder");
            let (left, _) = play(&records, &config(l1_bytes, compat, &[l2(folder.path())]), pace, workers);
            assert!(left.totals.evicted_keys > 0 && left.totals.l1_hit_keys > 0, "{left:?}");
            match &first {
                None => first = Some(left),
                Some(first) => {
                    assert!(*first == left, "{compat:?} {pace:?} {workers}: {}", differences(first, &left))
                }
            }
        }
        assert!(first.as_ref().is_some_and(|left| left.totals.l2_hit_keys > 0), "{compat:?} {first:?}");
    }
}

/// Where two replays parted that should not have.
pub(crate) fn differences(one: &Left, other: &Left) -> String {
    let other_in_l1 = one.in_l1.0.iter().zip(&other.in_l1.0).filter(|(one, other)| one != other).count();
    let of = |left: &Left| format!("{:?} {:?}\n{:?} {:?}", left.totals, left.l2, left.misses, left.bytes);
    format!("{}\nand\n{}\n{other_in_l1} keys are in one L1 alone", of(one), of(other))
}

#[test]
fn a_replay_repeats_with_a_mock() {
    assert_repeats("traces/small.lct", 12 << 20, mock);
}

#[test]
fn a_replay_repeats_with_files() {
    assert_repeats("traces/small.lct", 12 << 20, fs);
}

#[test]
fn a_replay_repeats_with_a_faulty_l2() {
    assert_repeats("traces/small.lct", 12 << 20, faulty_fs);
}

//! Faults: LMCache's drops exactly, ours by the seed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lmcache::format::model::ObjectKey;
use lmcache::storage::config::l2::FaultInjectAdapterConfig;
use lmcache::storage::config::{AdapterKind, Compat, L2AdapterConfig};
use lmcache::storage::l2::factory::{AdapterContext, create};
use lmcache::storage::l2::fault_inject::FaultInjectAdapter;
use lmcache::storage::l2::fault_rule::{Draws, DropRule, Fault};
use lmcache::storage::l2::mock::{MockAdapter, MockOptions};
use lmcache::storage::l2::mock_delay::DelayOptions;
use lmcache::storage::l2::{L2Adapter, StoreTask};
use proptest::prelude::*;
use serde_json::Value;

use crate::conformance::{Made, Traits, conformance};
use crate::support::{
    Buffers, PATIENCE, completion, key_of, keys, load, lookup_sized, payload, present, sized, store,
    store_all,
};

/// What the real LMCache drops; made by `data/fault_drops.py`.
const LMCACHE_DROPS: &str = include_str!("data/fault_drops.json");

fn config_of(json: &str) -> FaultInjectAdapterConfig {
    let json = format!(
        r#"{{"type":"fault_inject","inner":{{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":100}}{json}}}"#
    );
    match L2AdapterConfig::from_json(&json).expect("a configuration").kind {
        AdapterKind::FaultInject(config) => config,
        kind => panic!("{kind:?}"),
    }
}

fn mock() -> Arc<MockAdapter> {
    Arc::new(MockAdapter::new(MockOptions {
        capacity_bytes: 1 << 30,
        delay: DelayOptions::default(),
        keeps_bytes: true,
        compat: Compat::Native,
    }))
}

fn faulty(json: &str) -> (Arc<MockAdapter>, FaultInjectAdapter) {
    let inner = mock();
    let adapter = FaultInjectAdapter::new(Arc::clone(&inner) as Arc<dyn L2Adapter>, &config_of(json));
    (inner, adapter)
}

fn counter(adapter: &FaultInjectAdapter, name: &str) -> u64 {
    let status = adapter.report_status();
    status.fields["fault_inject"][name].as_u64().unwrap_or_else(|| panic!("{name}: {status:?}"))
}

fn objects(count: u32, len: usize) -> Vec<(ObjectKey, Vec<u8>)> {
    keys(0, count).into_iter().enumerate().map(|(i, key)| (key, payload(i as u64, len))).collect()
}

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key_of_row(row: &Value) -> ObjectKey {
    let text = |at: usize| row[at].as_str().unwrap();
    let group = u32::try_from(row[3].as_u64().unwrap()).unwrap();
    key_of(text(1), row[2].as_i64().unwrap(), group, &bytes_of_hex(text(0)), text(4))
}

#[test]
fn what_lmcache_drops_is_dropped_and_nothing_else() {
    let cases: Vec<Value> = serde_json::from_str(LMCACHE_DROPS).unwrap();
    let mut dropped_keys = 0;
    for case in &cases {
        let mut config = config_of("");
        config.rate = case["rate"].as_f64().unwrap();
        config.seed = case["seed"].as_i64().unwrap();
        config.gap_indices =
            case["gap_indices"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect();
        config.gap_tail_ratios =
            case["gap_tail_ratios"].as_array().unwrap().iter().map(|ratio| ratio.as_f64().unwrap()).collect();
        let keys: Vec<_> = case["keys"].as_array().unwrap().iter().map(key_of_row).collect();
        let expected: Vec<_> =
            case["dropped"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap() as usize).collect();
        dropped_keys += expected.len();
        assert_eq!(DropRule::new(&config).drops(keys.iter()), expected, "{case}");
    }
    assert!(cases.len() > 100 && dropped_keys > 300, "{dropped_keys} of {} cases", cases.len());
}

#[test]
fn a_dropped_load_was_locked_loaded_and_counted_by_the_adapter_behind() {
    let (inner, adapter) = faulty(r#","gap_indices":[1],"gap_tail_ratios":[0.0]"#);
    let all = objects(5, 1_000);
    store_all(&adapter, &all);
    let wanted: Vec<_> = all.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
    let loaded = load(&adapter, &wanted);
    let found: Vec<_> = loaded.iter().map(Option::is_some).collect();
    assert_eq!(found, [true, false, true, true, false]);
    assert_eq!(loaded[2].as_ref(), Some(&all[2].1));
    assert_eq!(counter(&adapter, "dropped_loads"), 2);
    assert_eq!(
        lookup_sized(&adapter, &all.iter().map(|(key, _)| (key.clone(), 1_000)).collect::<Vec<_>>())
            .popcount(),
        5
    );
    assert_eq!(inner.locked_keys().len(), 5);
    assert_eq!(adapter.ledger().used_bytes(), 5_000);
    assert!(std::ptr::eq(adapter.ledger(), inner.ledger()), "the books are those of the adapter behind");
    adapter.submit_unlock(&keys(0, 5));
    assert_eq!(adapter.delete(&keys(0, 5)), 5);
    // A miss is no drop.
    load(&adapter, &wanted);
    assert_eq!(counter(&adapter, "dropped_loads"), 2);
}

#[test]
fn a_store_that_fails_is_not_stored_and_may_succeed_when_it_is_tried_again() {
    let (inner, adapter) = faulty(r#","store_error_rate":0.5,"seed":7"#);
    let mut missing = objects(64, 100);
    let mut tries = 0;
    while !missing.is_empty() {
        let outcome = store(&adapter, &missing);
        assert_eq!(outcome.bytes, 100 * (missing.len() - outcome.failed.popcount()) as u64);
        let failed: Vec<_> = outcome.failed.ones().collect();
        let still: Vec<_> = failed.iter().map(|position| missing[*position].clone()).collect();
        for (position, (key, _)) in missing.iter().enumerate() {
            let is_there = inner.stored_keys().contains(key);
            assert_eq!(is_there, !failed.contains(&position));
        }
        (missing, tries) = (still, tries + 1);
        assert!(tries < 40, "a rate of one half fails for ever");
    }
    assert!(tries > 2, "all of 64 stores came through at a rate of one half");
    assert!(counter(&adapter, "store_errors") > 20);
}

#[test]
fn a_lookup_that_fails_finds_and_locks_nothing() {
    let (inner, adapter) = faulty(r#","lookup_error_rate":0.5,"seed":3"#);
    let all = objects(40, 50);
    store_all(&adapter, &all);
    let sized: Vec<_> = all.iter().map(|(key, _)| (key.clone(), 50)).collect();
    let found = lookup_sized(&adapter, &sized);
    let locked: HashSet<_> = inner.locked_keys().into_iter().map(|(key, _)| key).collect();
    let expected: HashSet<_> = found.ones().map(|position| all[position].0.clone()).collect();
    assert_eq!(locked, expected);
    assert!((10..30).contains(&found.popcount()), "{} of 40", found.popcount());
    assert_eq!(counter(&adapter, "lookup_errors"), 40 - found.popcount() as u64);
}

#[test]
fn a_load_that_fails_leaves_the_others_in_their_places() {
    let (_, adapter) = faulty(r#","load_error_rate":0.4,"seed":5"#);
    let all = objects(40, 300);
    store_all(&adapter, &all);
    let wanted: Vec<_> = all.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
    let loaded = load(&adapter, &wanted);
    assert!(
        loaded.iter().zip(&all).all(|(found, (_, bytes))| found.as_ref().is_none_or(|found| found == bytes))
    );
    let failed = loaded.iter().filter(|found| found.is_none()).count() as u64;
    assert!((8..24).contains(&failed), "{failed} of 40");
    assert_eq!(counter(&adapter, "load_errors"), failed);
}

#[test]
fn a_torn_write_succeeds_and_is_never_read_as_whole() {
    let (_, adapter) = faulty(r#","torn_write_rate":1.0"#);
    let all = objects(20, 5_000);
    let outcome = store(&adapter, &all);
    assert!(outcome.is_success() && (20..5_000 * 20).contains(&outcome.bytes), "{outcome:?}");
    assert_eq!(counter(&adapter, "torn_writes"), 20);
    let wanted: Vec<_> = all.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
    assert!(load(&adapter, &wanted).iter().all(Option::is_none));
    // Nothing can be torn off a byte.
    let (_, adapter) = faulty(r#","torn_write_rate":1.0"#);
    store_all(&adapter, &objects(1, 1));
    assert_eq!(
        (counter(&adapter, "torn_writes"), present(&adapter, &sized(&keys(0, 1), 100))),
        (0, vec![true])
    );
}

#[test]
fn an_answer_comes_as_late_as_it_should_and_not_at_all_after_a_close() {
    let (_, adapter) = faulty(r#","delay_ms":20"#);
    let begun = Instant::now();
    store_all(&adapter, &objects(3, 10));
    assert!(begun.elapsed() >= Duration::from_millis(20));
    let (_, adapter) = faulty(r#","delay_ms":3600000"#);
    let buffers = Buffers::new(1 << 20);
    let (done, receive) = completion();
    let objects = vec![lmcache::storage::l2::Transfer::new(keys(0, 1).remove(0), buffers.take(10))];
    adapter.submit_store(StoreTask { objects, done });
    assert_eq!(buffers.arena.pin_counts().pins, 0, "a late answer holds no buffer");
    adapter.close();
    assert_eq!(receive.recv_timeout(PATIENCE).unwrap(), None);
}

#[test]
fn its_status_is_that_of_the_adapter_behind_and_lmcaches_fields_come_first() {
    let (_, adapter) = faulty(r#","rate":0.25,"seed":-3,"gap_indices":[7,2,7],"gap_tail_ratios":[0.5]"#);
    let status = adapter.report_status();
    assert_eq!((status.class_name, adapter.type_name()), ("MockL2Adapter", "fault_inject"));
    let faults = status.fields["fault_inject"].as_object().unwrap();
    let first: Vec<_> = faults.iter().take(4).map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(first, ["rate=0.25", "seed=-3", "gap_indices=[2,7]", "gap_tail_ratios=[0.5]"]);
}

#[test]
fn a_configuration_makes_it_around_any_other_and_around_itself() {
    let json = r#"{"type":"fault_inject","gap_indices":[0],"inner":{"type":"fault_inject","gap_indices":[1],"inner":{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":100}}}"#;
    let config = L2AdapterConfig::from_json(json).unwrap();
    let context = AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4096 };
    let adapter = create(&config, &context).unwrap();
    let all = objects(3, 10);
    store_all(&*adapter, &all);
    let loaded = load(&*adapter, &all.iter().map(|(key, _)| (key.clone(), 10)).collect::<Vec<_>>());
    assert_eq!(loaded.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same seed draws the same faults, in whatever order the keys come; about as many as the rate says.
    #[test]
    fn draws_follow_from_the_seed_and_the_key(seed: i64, rate in 0.0..=1.0) {
        let all = keys(0, 200);
        let drawn = |keys: &[ObjectKey]| -> HashSet<ObjectKey> {
            let draws = Draws::new(seed);
            keys.iter().filter(|key| draws.draw(Fault::StoreError, rate, key).is_some()).cloned().collect()
        };
        let forward = drawn(&all);
        let again = drawn(&all);
        prop_assert_eq!(&forward, &again);
        let expected = 200.0 * rate;
        prop_assert!((forward.len() as f64 - expected).abs() < 45.0, "{} of {expected}", forward.len());
    }

    /// A drop is one of a gap, a ratio or the rate; each position once, in order.
    #[test]
    fn drops_are_positions_of_the_load(
        len in 0_u32..60,
        rate in 0.0..=1.0,
        seed: i64,
        gaps in prop::collection::vec(0_u64..80, 0..5),
        ratios in prop::collection::vec(0.0..=1.0, 0..5),
    ) {
        let mut config = config_of("");
        (config.rate, config.seed) = (rate, seed);
        (config.gap_indices, config.gap_tail_ratios) = (gaps.clone(), ratios.clone());
        let (rule, all) = (DropRule::new(&config), keys(0, len));
        let dropped = rule.drops(all.iter());
        prop_assert!(dropped.is_sorted() && dropped.iter().all(|position| *position < len as usize));
        for (position, key) in all.iter().enumerate() {
            let near = |ratio: &f64| ((1.0 - ratio) * f64::from(len - 1) - position as f64).abs() <= 0.5;
            let expected = rule.drops_key(key) || gaps.contains(&(position as u64));
            prop_assert!(!expected || dropped.contains(&position));
            prop_assert!(expected || ratios.iter().any(near) || !dropped.contains(&position));
        }
    }
}

fn with_faults(inner: Arc<dyn L2Adapter>, json: &str) -> FaultInjectAdapter {
    FaultInjectAdapter::new(inner, &config_of(json))
}

fn around(inner: Made) -> Made {
    inner.map(|adapter| Arc::new(with_faults(adapter, r#","delay_ms":0.05"#)))
}

fn plain_mock() -> Made {
    Made::new(mock(), Traits::default(), ())
}

conformance!(suite_around_mock, super::around(super::plain_mock()));
conformance!(suite_around_raw_block, super::around(crate::raw_block::suite_device()));
conformance!(suite_around_fs, super::around(crate::fs::suite_folder()));
conformance!(suite_around_plugin, super::around(crate::plugin::made()));
conformance!(suite_around_serde, super::around(crate::serde_wrapper::suite_of(256 << 20)));
conformance!(suite_around_resp, crate::resp::made().map(super::around));
#[cfg(feature = "s3")]
conformance!(suite_around_s3, crate::s3::made().map(super::around));

/// Faults of every kind at once: what comes back is right, or does not come.
fn what_comes_is_right(inner: Made, faults: &str) {
    let made = inner.map(|adapter| Arc::new(with_faults(adapter, faults)));
    let all = objects(60, 3_000);
    let wanted: Vec<_> = all.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
    let sized: Vec<_> = all.iter().map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
    let mut came = 0;
    for _ in 0..8 {
        store(&*made, &all);
        let found = lookup_sized(&*made, &sized);
        for ((key, bytes), loaded) in all.iter().zip(load(&*made, &wanted)) {
            came += usize::from(loaded.is_some());
            assert!(loaded.is_none_or(|loaded| loaded == *bytes), "{key:?} came back wrong");
        }
        let locked: Vec<_> = found.ones().map(|position| all[position].0.clone()).collect();
        made.submit_unlock(&locked);
        made.delete(&keys(0, 20));
    }
    assert!((60..60 * 8).contains(&came), "{came} objects came");
    assert_eq!(made.report_status().fields["locked_key_count"], 0);
}

const ALL_FAULTS: &str = r#","store_error_rate":0.2,"lookup_error_rate":0.2,"load_error_rate":0.2,"torn_write_rate":0.3,"rate":0.1,"seed":9"#;

#[test]
fn with_all_faults_at_once_what_comes_is_right() {
    what_comes_is_right(plain_mock(), ALL_FAULTS);
    what_comes_is_right(crate::raw_block::suite_device(), ALL_FAULTS);
}

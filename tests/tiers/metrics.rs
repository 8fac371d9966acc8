//! Events, and the metrics that are made of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lmcache::storage::config::Compat;
use lmcache::storage::events::{Event, EventSink};
use lmcache::storage::l1::L1Error;
use lmcache::storage::metrics::StorageMetrics;

use crate::support::{Bench, PAGE, config, keys, layout, spec};

/// The value of a series in the text format, by its name and labels; 0 for one that is not there.
fn series(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
    line.map_or(0.0, |line| line[name.len() + 1..].parse().expect("a number"))
}

#[test]
fn metrics_count_what_moved_between_the_tiers() {
    let bench = Bench::new(Compat::Native, 16);
    let metrics = Arc::new(StorageMetrics::new(1.0).unwrap());
    bench.manager.attach_events(Arc::clone(&metrics) as _).unwrap();
    let keys = keys(0, 4);
    bench.write(&keys);
    bench.manager.clear(true);
    let result = bench.prefetch(&spec(&keys));
    assert_eq!(result.l2_hit_cells[0].popcount(), 4);
    bench.assert_readable(&keys);
    bench.manager.finish_read_prefetched(&keys, 1, None).unwrap();

    let text = metrics.encode(&bench.manager).unwrap();
    for (name, expected) in [
        ("lmcache_mp_l1_write_chunks_total{l1_tag=\"_default\"}", 8.0),
        // Those that came from L2 left with their reader. As in LMCache, a `clear` is no eviction.
        ("lmcache_mp_l1_evicted_chunks_total{l1_tag=\"_default\"}", 4.0),
        ("lmcache_mp_l1_read_chunks_total{l1_tag=\"_default\"}", 4.0),
        ("lmcache_mp_l2_store_submitted_objects_chunks_total{cache_salt=\"\"}", 4.0),
        ("lmcache_mp_l2_store_completed_objects_chunks_total{cache_salt=\"\"}", 4.0),
        ("lmcache_mp_l2_store_completed_requests_total{l2_name=\"mock\"}", 1.0),
        ("lmcache_mp_l2_prefetch_load_completed_chunks_total{cache_salt=\"\"}", 4.0),
        ("lmcache_mp_l2_usage_bytes{l2_name=\"mock\"}", 4.0 * PAGE as f64),
    ] {
        assert_eq!(series(&text, name), expected, "{name} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    bench.assert_idle();
}

#[test]
fn a_sampling_rate_that_is_none_is_refused() {
    for rate in [0.0, -0.5, 1.000_001, f64::NAN] {
        assert!(StorageMetrics::new(rate).is_err(), "{rate}");
    }
    StorageMetrics::new(1.0).unwrap();
}

/// Counts keys by event.
#[derive(Debug, Default)]
struct Count(Mutex<BTreeMap<&'static str, usize>>);

impl EventSink for Count {
    fn on_event(&self, event: &Event<'_>) {
        let keys = match event {
            Event::L1ReadReserved(told)
            | Event::L1WriteReserved(told)
            | Event::L1WriteFinished(told)
            | Event::L1KeysEvicted(told) => told.keys.len(),
            Event::L1AllocationFailed { keys, .. } => keys.len(),
            _ => return,
        };
        *self.0.lock().expect("no error").entry(event.name()).or_default() += keys;
    }
}

#[test]
fn l1_tells_what_was_done_and_not_what_was_asked() {
    for compat in [Compat::Native, Compat::Lmcache] {
        let bench = Bench::with(config(compat, 4), 0);
        let count = Arc::new(Count::default());
        bench.manager.attach_events(Arc::clone(&count) as _).unwrap();
        bench.write(&keys(0, 3));
        // One of the three is there, and there is room for one of the two others that need it.
        let full = bench.manager.reserve_write(&keys(2, 3), &layout(PAGE)).unwrap();
        let reserved = full.codes().count(L1Error::Success);
        bench.manager.clear(true);
        let told = count.0.lock().unwrap().clone();
        let get = |name| told.get(name).copied().unwrap_or_default();
        assert_eq!(get("l1.write.reserved"), 3 + reserved, "{told:?}");
        assert_eq!(get("l1.write.finished"), 3, "{told:?}");
        assert_eq!(get("l1.read.reserved"), 0, "{told:?}");
    }
}

/// Hears of what became of keys alone.
#[derive(Debug, Default)]
struct Results(Count);

impl EventSink for Results {
    fn on_event(&self, event: &Event<'_>) {
        self.0.on_event(event);
    }

    fn hears_reservations(&self) -> bool {
        false
    }
}

#[test]
fn a_sink_that_does_not_want_reservations_gets_everything_else() {
    for compat in [Compat::Native, Compat::Lmcache] {
        let bench = Bench::with(config(compat, 4), 0);
        let results = Arc::new(Results::default());
        bench.manager.attach_events(Arc::clone(&results) as _).unwrap();
        bench.write(&keys(0, 3));
        bench.prefetch(&spec(&keys(0, 3)));
        bench.manager.finish_read_prefetched(&keys(0, 3), 1, None).unwrap();
        bench.manager.reserve_write(&keys(3, 5), &layout(PAGE)).unwrap();
        let told = results.0.0.lock().unwrap().clone();
        let refused = told.get("l1.allocation.failed").copied().unwrap_or_default();
        assert_eq!(told.get("l1.write.finished"), Some(&3), "{told:?}");
        assert!(refused > 0 && !told.keys().any(|name| name.ends_with("reserved")), "{told:?}");
    }
}

//! Adapters that come and go.

use std::time::Duration;

use lmcache::clock::NS_PER_S;
use lmcache::error::ErrorKind;
use lmcache::storage::config::Compat;

use crate::gate::Kind;
use crate::support::{Bench, config, keys, mock_config, spec};

#[test]
fn an_adapter_is_drained_before_it_goes_and_its_number_is_not_used_again() {
    let bench = Bench::with(config(Compat::Native, 64), 2);
    let keys = keys(0, 4);
    bench.gates[1].hold(Kind::Store, true);
    bench.gates[1].hold(Kind::Lookup, true);
    bench.write(&keys[..2]);
    let handle = bench.submit(&spec(&keys));
    let drain = || bench.manager.delete_l2_adapter(1, Duration::from_millis(5)).map_err(|error| error.kind());
    assert_eq!(drain(), Err(ErrorKind::Timeout));
    assert_eq!(bench.manager.report_status().prefetch_controller.num_draining_adapters, 1);
    // What is written now goes to the other one alone.
    let before = bench.mocks[1].stores.lock().unwrap().len();
    bench.write(&crate::support::keys(50, 1));
    assert_eq!(bench.mocks[1].stores.lock().unwrap().len(), before);
    bench.gates[1].hold(Kind::Store, false);
    assert_eq!(drain(), Err(ErrorKind::Timeout), "a prefetch still waits for it");
    bench.gates[1].hold(Kind::Lookup, false);
    bench.manager.pump();
    assert!(handle.is_done());
    bench.manager.delete_l2_adapter(1, Duration::from_secs(1)).unwrap();
    assert_eq!(
        bench.manager.delete_l2_adapter(1, Duration::ZERO).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    assert_eq!(bench.manager.add_l2_adapter(mock_config()).unwrap(), 2);
    let ids: Vec<u32> = bench.manager.l2_adapters().iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [0, 2]);
}

#[test]
fn an_adapter_that_hangs_holds_no_other_one() {
    let mut config = config(Compat::Native, 64);
    config.prefetch.timeout_ms = Some(500);
    for kind in [Kind::Lookup, Kind::Load] {
        let bench = Bench::with(config.clone(), 2);
        let keys = keys(0, 4);
        bench.write_to_l2(&keys);
        bench.gates[0].hold(kind, true);
        let handle = bench.submit(&spec(&keys));
        bench.hand.advance_ns(NS_PER_S);
        bench.manager.pump();
        assert!(handle.is_done());
        bench.manager.delete_l2_adapter(1, Duration::from_millis(50)).unwrap();
        bench.gates[0].hold(kind, false);
        bench.assert_idle();
    }
}

#[test]
fn a_manager_without_adapters_gets_one_and_loses_it_again() {
    let bench = Bench::with(config(Compat::Native, 64), 0);
    let keys = keys(0, 4);
    bench.write(&keys[..2]);
    let id = bench.manager.add_l2_adapter(mock_config()).unwrap();
    bench.write(&keys[2..]);
    bench.manager.clear(true);
    let result = bench.prefetch(&spec(&keys[2..]));
    assert_eq!(result.l2_hit_cells[0].popcount(), 2, "what was written before it came is not there");
    bench.manager.finish_read_prefetched(&keys[2..], 1, None).unwrap();
    bench.manager.delete_l2_adapter(id, Duration::from_secs(1)).unwrap();
    assert_eq!(bench.prefetch(&spec(&keys)).hit_count(), 0);
    assert_eq!(bench.manager.report_status().num_l2_adapters, 0);
}

#[test]
fn an_adapter_of_an_unknown_tag_is_refused_and_a_closed_manager_takes_none() {
    let bench = Bench::with(config(Compat::Native, 64), 0);
    let mut other = mock_config();
    other.affinity_tag = "other".to_owned();
    assert_eq!(bench.manager.add_l2_adapter(other).unwrap_err().kind(), ErrorKind::InvalidArgument);
    bench.manager.close().unwrap();
    assert_eq!(bench.manager.add_l2_adapter(mock_config()).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(bench.manager.delete_l2_adapter(0, Duration::ZERO).unwrap_err().kind(), ErrorKind::Closed);
}

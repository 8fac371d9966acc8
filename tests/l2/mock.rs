//! The mock adapter.

use std::sync::Arc;

use lmcache::storage::config::Compat;
use lmcache::storage::l2::L2Adapter;
use lmcache::storage::l2::mock::{MockAdapter, MockOptions};
use lmcache::storage::l2::mock_delay::DelayOptions;

use crate::conformance::{Made, Traits, conformance};
use crate::support::{keys, lookup_sized, payload, sized, status_number, store_all};

fn mock() -> Made {
    Made::new(Arc::new(mock_like(Compat::Native)), Traits::default(), ())
}

fn mock_like(compat: Compat) -> MockAdapter {
    let delay = DelayOptions {
        store_bytes_per_s: 1e13,
        load_bytes_per_s: 1e13,
        latency_ns: 0,
        jitter_ns: 0,
        jitter_seed: 0,
    };
    MockAdapter::new(MockOptions { capacity_bytes: 1 << 30, delay, keeps_bytes: true, compat })
}

conformance!(suite, super::mock());

#[test]
fn lmcache_deletes_what_is_locked_too() {
    for (compat, deleted, refused) in [(Compat::Native, 0, 2), (Compat::Lmcache, 2, 0)] {
        let mock = mock_like(compat);
        let keys = keys(0, 2);
        let objects: Vec<_> = keys.iter().map(|key| (key.clone(), payload(5, 600))).collect();
        store_all(&mock, &objects);
        assert_eq!(lookup_sized(&mock, &sized(&keys, 600)).popcount(), 2);
        assert_eq!(mock.delete(&keys), deleted, "{compat}");
        assert_eq!(status_number(&mock, "refused_deletes"), refused, "{compat}");
        mock.close();
    }
}

/// A deletion between an object's arrival and its entry in the books would take what is not there, and leave what is
/// not there for good.
#[test]
fn the_books_hear_of_an_object_before_they_hear_of_its_end() {
    let mock = mock_like(Compat::Native);
    let keys = keys(0, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..20_000).for_each(|_| store_all(&mock, &[(keys[0].clone(), payload(1, 64))])));
        scope.spawn(|| {
            (0..200_000).for_each(|_| {
                mock.delete(&keys);
            })
        });
    });
    mock.delete(&keys);
    assert_eq!((mock.ledger().used_bytes(), mock.ledger().underflows()), (0, 0));
    mock.close();
}

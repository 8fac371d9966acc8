//! The mock adapter.

use std::sync::Arc;

use lmcache::storage::config::Compat;
use lmcache::storage::l2::mock::{MockAdapter, MockOptions};
use lmcache::storage::l2::mock_delay::DelayOptions;

use crate::conformance::{Made, Traits, conformance};

fn mock() -> Made {
    let delay = DelayOptions {
        store_bytes_per_s: 1e13,
        load_bytes_per_s: 1e13,
        latency_ns: 0,
        jitter_ns: 0,
        jitter_seed: 0,
    };
    let options = MockOptions { capacity_bytes: 1 << 30, delay, keeps_bytes: true, compat: Compat::Native };
    Made::new(Arc::new(MockAdapter::new(options)), Traits::default(), ())
}

conformance!(suite, super::mock());

//! Adapters by their configuration.

use std::time::Duration;

use super::fault_inject::FaultInjectAdapter;
use super::mock::{MockAdapter, MockOptions};
use super::mock_delay::DelayOptions;
use super::{L2Adapter, L2AdapterId};
use crate::error::{Error, Result};
use crate::storage::config::l2::MockAdapterConfig;
use crate::storage::config::{AdapterKind, Compat, L2AdapterConfig};
use crate::sync::Arc;

/// What an adapter is made for.
#[derive(Clone, Copy, Debug)]
pub struct AdapterContext {
    /// The number that it will have.
    pub id: L2AdapterId,
    /// Whose behaviour counts.
    pub compat: Compat,
    /// The alignment of the objects in its L1.
    pub l1_align_bytes: u64,
}

/// Makes adapters. A host puts its own in front of [`create`] to bring adapters that no configuration names.
pub type AdapterFactory =
    dyn Fn(&L2AdapterConfig, &AdapterContext) -> Result<Arc<dyn L2Adapter>> + Send + Sync;

/// The adapter that `config` describes.
///
/// # Errors
/// If its store cannot be opened or reached, or this build does not have it.
pub fn create(config: &L2AdapterConfig, context: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    match &config.kind {
        AdapterKind::Mock(mock) => Ok(Arc::new(MockAdapter::new(mock_options(mock, context)))),
        AdapterKind::FaultInject(wrapper) => {
            let inner = create(&wrapper.inner, context)?;
            Ok(Arc::new(FaultInjectAdapter::new(inner, wrapper)))
        }
        other => Err(Error::unsupported("this L2 adapter is not part of this build")
            .with_context("type", other.name())),
    }
}

/// What a mock is made of.
pub fn mock_options(config: &MockAdapterConfig, context: &AdapterContext) -> MockOptions {
    MockOptions {
        capacity_bytes: config.max_size_bytes,
        delay: DelayOptions {
            store_bytes_per_s: config.bandwidth_bytes_per_s,
            load_bytes_per_s: config.load_bandwidth_bytes_per_s,
            latency_ns: nanoseconds(config.latency),
            jitter_ns: nanoseconds(config.jitter),
            jitter_seed: config.jitter_seed,
        },
        keeps_bytes: true,
        compat: context.compat,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

//! Adapters by their configuration.

use std::time::Duration;

use super::connected::{ConnectorAdapter, ConnectorOptions};
use super::fault_inject::FaultInjectAdapter;
use super::mock::{MockAdapter, MockOptions};
use super::mock_delay::DelayOptions;
use super::resp::RespConnector;
use super::{L2Adapter, L2AdapterId};
use crate::error::{Error, Result};
use crate::storage::config::l2::{MockAdapterConfig, S3AdapterConfig};
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
        AdapterKind::Resp(resp) => Ok(Arc::new(ConnectorAdapter::start(
            RespConnector::new(resp.clone(), context.compat),
            ConnectorOptions {
                workers: resp.num_workers,
                capacity_bytes: resp.max_capacity_bytes.unwrap_or(0),
                compat: context.compat,
            },
        )?)),
        AdapterKind::S3(s3) => create_s3(s3, context),
        AdapterKind::FaultInject(wrapper) => {
            let inner = create(&wrapper.inner, context)?;
            Ok(Arc::new(FaultInjectAdapter::new(inner, wrapper)))
        }
        other => Err(Error::unsupported("this L2 adapter is not part of this build")
            .with_context("type", other.name())),
    }
}

#[cfg(feature = "s3")]
fn create_s3(config: &S3AdapterConfig, context: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    use super::s3::{MAX_WORKERS, S3Connector};
    Ok(Arc::new(ConnectorAdapter::start(
        S3Connector::new(config.clone(), context.compat)?,
        ConnectorOptions {
            workers: config.num_io_threads.min(MAX_WORKERS),
            capacity_bytes: config.max_capacity_bytes.unwrap_or(0),
            // LMCache's s3, unlike its other adapters, passes over locked keys when it deletes.
            compat: Compat::Native,
        },
    )?))
}

#[cfg(not(feature = "s3"))]
fn create_s3(_: &S3AdapterConfig, _: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    Err(Error::unsupported("this build has no adapter of type s3").with_hint("build it with `--features s3`"))
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

#[cfg(all(test, not(feature = "s3")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_s3_says_how_to_get_it() {
        let config = S3AdapterConfig {
            endpoint: "bucket.host".to_owned(),
            bucket: "bucket".to_owned(),
            region: "r".to_owned(),
            num_io_threads: 1,
            prefer_http2: true,
            enable_s3express: false,
            disable_tls: false,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            max_capacity_bytes: None,
            path_style: false,
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
        };
        let context = AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4096 };
        let error = create(&L2AdapterConfig::new(AdapterKind::S3(config)), &context).unwrap_err();
        assert_eq!(error.hint(), Some("build it with `--features s3`"));
    }
}

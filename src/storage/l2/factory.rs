//! Adapters by their configuration.

use std::time::Duration;

use super::connected::{ConnectorAdapter, ConnectorOptions};
use super::fault_inject::FaultInjectAdapter;
use super::fs::{FsConnector, FsKind};
use super::mock::{MockAdapter, MockOptions};
use super::mock_delay::DelayOptions;
use super::plugin::Plugin;
use super::raw_block::{RawBlock, RawBlockOptions};
use super::resp::RespConnector;
use super::serde_wrapper::{DEFAULT_BOUNCE_BYTES, SerdeAdapter, SerdeOptions};
use super::{L2Adapter, L2AdapterId};
use crate::error::{Error, Result};
#[cfg(not(feature = "s3"))]
use crate::storage::config::l2::s3_is_not_built;
use crate::storage::config::l2::{
    FsAdapterConfig, MockAdapterConfig, PluginAdapterConfig, RawBlockAdapterConfig, RespAdapterConfig,
    S3AdapterConfig,
};
use crate::storage::config::{AdapterKind, Compat, L2AdapterConfig};
use crate::storage::serde::{self, SerdeConfig};
use crate::sync::Arc;

/// The threads that call a plugin.
const PLUGIN_WORKERS: usize = 4;

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
    with_wrappers(without_serde(config, context)?, config, context)
}

/// An adapter of a host's own, in what `config` has around it: its serde.
///
/// # Errors
/// If that cannot be made.
pub fn with_wrappers(
    adapter: Arc<dyn L2Adapter>,
    config: &L2AdapterConfig,
    context: &AdapterContext,
) -> Result<Arc<dyn L2Adapter>> {
    match &config.serde {
        None => Ok(adapter),
        Some(serde) => with_serde(adapter, serde, context),
    }
}

fn without_serde(config: &L2AdapterConfig, context: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    match &config.kind {
        AdapterKind::Mock(mock) => Ok(Arc::new(MockAdapter::new(mock_options(mock, context)))),
        AdapterKind::FaultInject(wrapper) => {
            // LMCache reads the serde of the inner adapter and forgets it.
            let inner = match context.compat {
                Compat::Lmcache => without_serde(&wrapper.inner, context),
                Compat::Native => create(&wrapper.inner, context),
            };
            let inner = inner.map_err(|error| error.with_context("in", "inner"))?;
            Ok(Arc::new(FaultInjectAdapter::new(inner, wrapper)))
        }
        AdapterKind::Fs(fs) => fs_adapter(fs, FsKind::Fs, context),
        AdapterKind::FsNative(fs) => fs_adapter(fs, FsKind::Native, context),
        AdapterKind::Plugin(plugin) => plugin_adapter(plugin, context),
        AdapterKind::RawBlock(raw_block) => raw_block_adapter(raw_block, context),
        AdapterKind::Resp(resp) => resp_adapter(resp, context),
        AdapterKind::S3(s3) => s3_adapter(s3, context),
    }
}

fn fs_adapter(
    config: &FsAdapterConfig,
    kind: FsKind,
    context: &AdapterContext,
) -> Result<Arc<dyn L2Adapter>> {
    let connector = FsConnector::open(config, kind, context.compat, context.l1_align_bytes)?;
    let options = ConnectorOptions {
        workers: config.num_workers,
        capacity_bytes: config.max_capacity_bytes.unwrap_or(0),
        compat: context.compat,
    };
    Ok(Arc::new(ConnectorAdapter::start(connector, options)?))
}

fn with_serde(
    inner: Arc<dyn L2Adapter>,
    config: &SerdeConfig,
    context: &AdapterContext,
) -> Result<Arc<dyn L2Adapter>> {
    let options = SerdeOptions {
        serde: serde::create(config)?,
        needs_layout: matches!(config, SerdeConfig::Fp8(_)),
        max_workers: config.max_workers(),
        bounce_bytes: DEFAULT_BOUNCE_BYTES,
        compat: context.compat,
    };
    Ok(Arc::new(SerdeAdapter::start(inner, options)?))
}

fn plugin_adapter(config: &PluginAdapterConfig, context: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    let params = serde_json::Value::Object(config.adapter_params.clone()).to_string();
    let plugin = Plugin::load(&config.library_path, &params)?;
    let capacity_bytes = config.max_capacity_bytes.unwrap_or(0);
    let options = ConnectorOptions { workers: PLUGIN_WORKERS, capacity_bytes, compat: context.compat };
    Ok(Arc::new(ConnectorAdapter::start(plugin, options)?))
}

/// LMCache's adapter respects locks when it deletes, and counts what the device holds from before: both as ours, so
/// the adapter around the device is native in any case.
fn raw_block_adapter(config: &RawBlockAdapterConfig, context: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    let is_lmcache = context.compat == Compat::Lmcache;
    if is_lmcache && config.use_odirect && context.l1_align_bytes < config.block_align {
        return Err(Error::invalid("raw_block requires l1_align_bytes >= block_align when use_odirect=true")
            .with_context("l1_align_bytes", context.l1_align_bytes)
            .with_context("block_align", config.block_align)
            .with_hint("raise --l1-align-bytes, or add \"use_odirect\": false"));
    }
    let workers = config.num_store_workers + config.num_lookup_workers + config.num_load_workers;
    let device = RawBlock::open(RawBlockOptions { config: config.clone(), compat: context.compat })?;
    let capacity_bytes = device.capacity_bytes();
    let options = ConnectorOptions { workers, capacity_bytes, compat: Compat::Native };
    Ok(Arc::new(ConnectorAdapter::start(device, options)?))
}

fn resp_adapter(config: &RespAdapterConfig, context: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    let connector = RespConnector::new(config.clone(), context.compat);
    let options = ConnectorOptions {
        workers: config.num_workers,
        capacity_bytes: config.max_capacity_bytes.unwrap_or(0),
        compat: context.compat,
    };
    Ok(Arc::new(ConnectorAdapter::start(connector, options)?))
}

/// LMCache's adapter, unlike its others, passes over locked keys when it deletes: native in any case.
#[cfg(feature = "s3")]
fn s3_adapter(config: &S3AdapterConfig, context: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    use super::s3::{MAX_WORKERS, S3Connector};
    let connector = S3Connector::new(config.clone(), context.compat)?;
    let options = ConnectorOptions {
        workers: config.num_io_threads.min(MAX_WORKERS),
        capacity_bytes: config.max_capacity_bytes.unwrap_or(0),
        compat: Compat::Native,
    };
    Ok(Arc::new(ConnectorAdapter::start(connector, options)?))
}

#[cfg(not(feature = "s3"))]
fn s3_adapter(_: &S3AdapterConfig, _: &AdapterContext) -> Result<Arc<dyn L2Adapter>> {
    Err(s3_is_not_built())
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
        keeps_bytes: config.keep_bytes,
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
            name_prefix: String::new(),
        };
        let context = AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4096 };
        let error = create(&L2AdapterConfig::new(AdapterKind::S3(config)), &context).unwrap_err();
        assert_eq!(error.hint(), Some("build with `cargo build --release --features s3`"));
    }
}

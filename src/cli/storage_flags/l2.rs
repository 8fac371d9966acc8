//! The flags of L2: its adapters, and how objects travel there and back.

use clap::Args;
use clap::builder::TypedValueParser;

use super::names::named;
use crate::cli::numbers::{whole, within};
use crate::error::{Error, Result};
use crate::storage::config::controllers::{MAX_PREFETCH_TIMEOUT_MS, MAX_STORE_QUEUE_KEYS, MAX_STORE_RETRIES};
use crate::storage::config::{
    Compat, L2AdapterConfig, PrefetchConfig, PrefetchPolicy, StorageManagerConfig, StoreConfig, StorePolicy,
};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "L2")]
pub(super) struct L2Flags {
    /// One L2 adapter as LMCache's JSON, for instance '{"type":"fs","base_path":"/data/kv"}'. Repeat it for more of
    /// them; the first has id 0. Others can see a command line: LMCACHE_RESP_PASSWORD and AWS_SECRET_ACCESS_KEY in
    /// the environment keep secrets off it
    #[arg(long, value_name = "JSON")]
    l2_adapter: Vec<String>,
    /// What happens to objects once L2 has them
    #[arg(long, value_name = "POLICY", default_value = "default", value_parser = store_policy_parser())]
    l2_store_policy: StorePolicy,
    /// What happens to objects that came from L2
    #[arg(long, value_name = "POLICY", default_value = "default", value_parser = prefetch_policy_parser())]
    l2_prefetch_policy: PrefetchPolicy,
    /// How many loads from L2 run at once
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true,
        value_parser = whole("8"))]
    l2_prefetch_max_in_flight: i64,
    /// How often LMCache polls adapters that do not tell when they are done. Part of the digest only: all of ours do
    #[arg(long, value_name = "MS", default_value_t = 5, allow_negative_numbers = true,
        value_parser = whole("5"))]
    periodic_notifier_interval_ms: i64,
    /// Bytes that one cache_salt may have, for IsolatedLRU; repeat it for more of them (ours: a server is told
    /// through its HTTP API)
    #[arg(long, value_name = "SALT=BYTES", value_parser = parse_quota)]
    l2_quota: Vec<(String, u64)>,
    /// How long a prefetch waits for L2 before it ends with what it has (ours); 0 is for ever, as LMCache, and the
    /// default under --compat lmcache. Otherwise the default is a minute
    #[arg(long, value_name = "MS", allow_negative_numbers = true,
        value_parser = within(0..=MAX_PREFETCH_TIMEOUT_MS))]
    prefetch_timeout_ms: Option<u64>,
    /// How many keys may wait to be stored to one adapter (ours), besides its 64 tasks; the others are not stored, and
    /// counted. By default 131072; without effect under --compat lmcache, which has no bound
    #[arg(long, value_name = "KEYS", allow_negative_numbers = true,
        value_parser = within(1..=MAX_STORE_QUEUE_KEYS))]
    store_queue_keys: Option<usize>,
    /// How often a store that failed is tried again (ours). By default 3 times; without effect under
    /// --compat lmcache, which tries once
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = within(0..=MAX_STORE_RETRIES))]
    store_retries: Option<u32>,
}

impl L2Flags {
    /// Refuses what is not part of this build, before anything else of these flags is judged.
    pub(super) fn refuse_absent(&self) -> Result<()> {
        L2AdapterConfig::refuse_absent_in(&self.l2_adapter)
    }

    /// Puts into `config` what these flags say.
    pub(super) fn apply(&self, config: &mut StorageManagerConfig, compat: Compat) -> Result<()> {
        config.l2_adapters = L2AdapterConfig::from_json_list(&self.l2_adapter)?;
        config.store_policy = self.l2_store_policy;
        config.prefetch_policy = self.l2_prefetch_policy;
        config.prefetch_max_in_flight = self.l2_prefetch_max_in_flight;
        config.periodic_notifier_interval_ms = self.periodic_notifier_interval_ms;
        config.quotas.clone_from(&self.l2_quota);
        config.prefetch = self.prefetch(compat);
        config.store = self.store(compat);
        Ok(())
    }

    fn prefetch(&self, compat: Compat) -> PrefetchConfig {
        match self.prefetch_timeout_ms {
            None => PrefetchConfig::for_compat(compat),
            Some(0) => PrefetchConfig { timeout_ms: None },
            Some(timeout_ms) => PrefetchConfig { timeout_ms: Some(timeout_ms) },
        }
    }

    fn store(&self, compat: Compat) -> StoreConfig {
        let default = StoreConfig::for_compat(compat);
        StoreConfig {
            queue_keys: self.store_queue_keys.unwrap_or(default.queue_keys),
            retries: self.store_retries.unwrap_or(default.retries),
            ..default
        }
    }
}

/// A salt may hold `=` itself, so the last one counts.
fn parse_quota(text: &str) -> Result<(String, u64)> {
    let quota = text.rsplit_once('=').and_then(|(salt, bytes)| Some((salt.to_owned(), bytes.parse().ok()?)));
    quota.ok_or_else(|| Error::invalid("a quota is SALT=BYTES, for instance tenant-a=4294967296"))
}

fn store_policy_parser() -> impl TypedValueParser<Value = StorePolicy> {
    named(StorePolicy::ALL, StorePolicy::name)
}

fn prefetch_policy_parser() -> impl TypedValueParser<Value = PrefetchPolicy> {
    named(PrefetchPolicy::ALL, PrefetchPolicy::name)
}

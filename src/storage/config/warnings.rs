//! What is allowed and hardly meant.
//!
//! LMCache logs some of these when it starts and is silent about the others. A configuration is data, so here
//! they are a list, for whoever has a place to show it.

use super::{AdapterKind, EvictionPolicyKind, L2AdapterConfig, StorageManagerConfig};

impl StorageManagerConfig {
    /// One sentence for each setting that will not do what it seems to.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (position, adapter) in self.l2_adapters.iter().enumerate() {
            let name = format!("L2 adapter #{} ({})", position + 1, adapter.kind.name());
            let own = [adapter.capacity_warning(), adapter.persist_warning(), adapter.transfer_warning()];
            warnings.extend(own.into_iter().flatten().map(|warning| format!("{name} {warning}")));
            if adapter.evicts_by_quota() && self.quotas.is_empty() {
                warnings.push(format!(
                    "{name} evicts all objects of a cache_salt without a quota, and there are no quotas"
                ));
            }
        }
        if self.prefetch_max_in_flight <= 0 && !self.l2_adapters.is_empty() {
            warnings.push("prefetches from L2 never start, because none may be in flight".to_owned());
        }
        warnings
    }
}

impl L2AdapterConfig {
    /// The bytes that eviction measures use against, if the configuration says how many. A `raw_block` adapter that
    /// has no number has the size of its device.
    pub fn capacity_bytes(&self) -> Option<u64> {
        match &self.innermost().kind {
            AdapterKind::Mock(mock) => Some(mock.max_size_bytes),
            AdapterKind::Fs(fs) | AdapterKind::FsNative(fs) => fs.max_capacity_bytes,
            AdapterKind::RawBlock(raw_block) => raw_block.capacity_bytes,
            AdapterKind::Resp(resp) => resp.max_capacity_bytes,
            AdapterKind::S3(s3) => s3.max_capacity_bytes,
            AdapterKind::Plugin(plugin) => plugin.max_capacity_bytes,
            // `innermost` is none.
            AdapterKind::FaultInject(_) => None,
        }
    }

    fn evicts_by_quota(&self) -> bool {
        self.eviction.as_ref().is_some_and(|eviction| eviction.policy == EvictionPolicyKind::IsolatedLru)
    }

    fn persist_warning(&self) -> Option<&'static str> {
        let is_volatile = matches!(self.innermost().kind, AdapterKind::Mock(_));
        (!self.persist_enabled && !is_volatile).then_some("keeps what it stored, persist_enabled or not")
    }

    /// LMCache needs the number for NVMe commands, which nobody splits for it.
    fn transfer_warning(&self) -> Option<&'static str> {
        match &self.innermost().kind {
            AdapterKind::RawBlock(raw_block) if raw_block.max_data_transfer_bytes.is_some() => {
                Some("leaves it to the kernel to split transfers, whatever max_data_transfer_size says")
            }
            _ => None,
        }
    }

    fn capacity_warning(&self) -> Option<&'static str> {
        let bounds_itself = matches!(self.innermost().kind, AdapterKind::Mock(_) | AdapterKind::RawBlock(_));
        match (&self.eviction, self.capacity_bytes()) {
            _ if bounds_itself || self.evicts_by_quota() => None,
            (Some(eviction), None) if eviction.policy != EvictionPolicyKind::Noop => {
                Some("never evicts, because it has no max_capacity_gb to measure use against")
            }
            (None, Some(_)) => Some("is not bounded by its max_capacity_gb, because it has no eviction"),
            _ => None,
        }
    }
}

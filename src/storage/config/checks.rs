//! What must hold before a storage manager starts under a configuration.
//!
//! The rules are LMCache's own (its dataclasses' `__post_init__`, `validate_storage_manager_config`, its
//! allocator), and those without which a setting of ours would mean nothing.

use super::l2::RawBlockAdapterConfig;
use super::{AdapterKind, GIB_BYTES, L1ManagerConfig, L1MemoryManagerConfig, StorageManagerConfig};
use crate::error::{Error, Result};
use crate::format::model::key::check_cache_salt;

/// The most memory an L1 manager can be given: what a process can address on x86-64.
pub const MAX_L1_BYTES: u64 = 1 << 47;

impl StorageManagerConfig {
    /// Checks the whole configuration. A configuration built in code can be wrong where one from flags
    /// cannot, so whoever starts a manager calls this.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<()> {
        if self.l1_managers.is_empty() {
            return Err(Error::invalid("a storage manager needs an L1 manager"));
        }
        self.l1_managers.iter().try_for_each(L1ManagerConfig::check)?;
        self.check_tags()?;
        self.check_shm_names()?;
        (0..self.l2_adapters.len()).try_for_each(|position| self.check_adapter(position))?;
        self.check_quotas()
    }

    fn check_tags(&self) -> Result<()> {
        for (position, l1) in self.l1_managers.iter().enumerate() {
            if self.l1_managers[..position].iter().any(|other| other.tag == l1.tag) {
                return Err(Error::invalid("two L1 managers have the same tag")
                    .with_context("tag", l1.tag.escape_debug())
                    .with_hint("give each its own \"tag\""));
            }
        }
        Ok(())
    }

    /// Only what is in force counts: LMCache's lazy memory is never shared.
    fn check_shm_names(&self) -> Result<()> {
        let names = self.l1_managers.iter().map(|l1| &l1.memory);
        let names = names.filter(|memory| !memory.shm_name.is_empty() && !memory.use_lazy);
        let names: Vec<&str> = names.map(|memory| memory.shm_name.as_str()).collect();
        for (position, name) in names.iter().enumerate() {
            if names[..position].contains(name) {
                return Err(Error::invalid("two L1 managers have the same shm_name")
                    .with_context("shm_name", name.escape_debug())
                    .with_hint("give each its own \"shm_name\", or none"));
            }
        }
        Ok(())
    }

    fn check_adapter(&self, position: usize) -> Result<()> {
        let adapter = &self.l2_adapters[position];
        let named = |error: Error| error.with_context("l2_adapter", format!("#{}", position + 1));
        let Some(l1) = self.l1_managers.iter().find(|l1| l1.tag == adapter.affinity_tag) else {
            let tags: Vec<String> =
                self.l1_managers.iter().map(|l1| l1.tag.escape_debug().to_string()).collect();
            return Err(named(
                Error::invalid("no L1 manager has the affinity_tag of the adapter")
                    .with_context("affinity_tag", adapter.affinity_tag.escape_debug()),
            )
            .with_hint(format!("the tags are {}", tags.join(", "))));
        };
        let inner = adapter.innermost();
        let in_inner = |error: Error| match std::ptr::eq(inner, adapter) {
            true => error,
            false => error.with_context("in", "inner"),
        };
        match &inner.kind {
            AdapterKind::RawBlock(raw_block) => {
                raw_block.check_l1(&l1.memory).map_err(|error| named(in_inner(error)))
            }
            _ => Ok(()),
        }
    }

    fn check_quotas(&self) -> Result<()> {
        for (position, (salt, _)) in self.quotas.iter().enumerate() {
            check_cache_salt(salt).map_err(|error| error.with_context("setting", "quotas"))?;
            if self.quotas[..position].iter().any(|(other, _)| other == salt) {
                return Err(Error::invalid("a cache_salt has two quotas")
                    .with_context("cache_salt", format!("{salt:?}"))
                    .with_hint("leave one --l2-quota of it out"));
            }
        }
        Ok(())
    }
}

impl RawBlockAdapterConfig {
    /// Direct I/O takes buffers of L1 as they lie there.
    fn check_l1(&self, memory: &L1MemoryManagerConfig) -> Result<()> {
        if !self.use_odirect || memory.align_bytes >= self.block_align {
            return Ok(());
        }
        Err(Error::invalid("raw_block with use_odirect needs L1 objects aligned to block_align")
            .with_context("align_bytes", memory.align_bytes)
            .with_context("block_align", self.block_align)
            .with_hint("raise --l1-align-bytes, or add \"use_odirect\": false"))
    }
}

impl L1ManagerConfig {
    fn check(&self) -> Result<()> {
        if self.tag.trim().is_empty() {
            return Err(Error::invalid("an L1 manager's tag must not be empty").with_hint(
                "give it a name: adapters choose their L1 by it, and _default if they say nothing",
            ));
        }
        check_ttl("write", self.write_ttl_seconds)?;
        check_ttl("read", self.read_ttl_seconds)?;
        self.memory.check()
    }
}

impl L1MemoryManagerConfig {
    fn check(&self) -> Result<()> {
        if self.devdax_path.is_some() || self.devdax_size_bytes > 0 {
            return Err(Error::unsupported("L1 in a Device-DAX is not part of this build")
                .with_hint("configure L1 in host memory of the same size"));
        }
        if self.use_hugepages && !self.shm_name.is_empty() {
            return Err(Error::invalid("2 MiB pages cannot be shared memory")
                .with_hint("leave --shm-name, or \"shm_name\", out"));
        }
        if self.use_hugepages && self.use_lazy {
            return Err(Error::invalid("2 MiB pages are all there from the start, so L1 cannot be lazy")
                .with_hint("add --no-l1-use-lazy, or \"use_lazy\": false"));
        }
        if !self.align_bytes.is_power_of_two() {
            return Err(Error::invalid("the alignment of L1 objects must be a power of two")
                .with_context("align_bytes", self.align_bytes)
                .with_hint("4096, the default, goes with direct I/O too"));
        }
        if self.size_bytes < self.align_bytes || self.size_bytes > MAX_L1_BYTES {
            return Err(Error::invalid("L1 must hold at least one aligned block and at most 2^47 bytes")
                .with_context("size_bytes", self.size_bytes)
                .with_context("align_bytes", self.align_bytes));
        }
        Ok(())
    }
}

fn check_ttl(which: &str, ttl_seconds: i64) -> Result<()> {
    if ttl_seconds >= 0 {
        return Ok(());
    }
    Err(Error::invalid(format!("the {which} TTL must not be negative")).with_context("seconds", ttl_seconds))
}

/// Bytes of a size given in LMCache's "GB": `int(size_gb * 2^30)`, as Python computes it.
///
/// # Errors
/// If the size is not a number above zero, or more than [`MAX_L1_BYTES`].
pub fn gib_to_bytes(size_gb: f64) -> Result<u64> {
    let size_bytes = size_gb * GIB_BYTES as f64;
    if size_bytes.is_finite() && size_gb > 0.0 && size_bytes <= MAX_L1_BYTES as f64 {
        return Ok(size_bytes as u64);
    }
    Err(Error::invalid("a size must be a number of GiB above 0 and at most 131072 (2^47 bytes)")
        .with_context("size_gb", size_gb))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::config::EvictionPolicyKind;

    #[test]
    fn sizes_are_accepted_to_the_limit_and_refused_past_it() {
        assert_eq!(gib_to_bytes(0.1).unwrap(), 107_374_182);
        assert_eq!(gib_to_bytes(131_072.0).unwrap(), MAX_L1_BYTES);
        for bad in [131_072.1, 0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(gib_to_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configuration_made_in_code_is_checked() {
        let good = StorageManagerConfig::l1_only(GIB_BYTES, EvictionPolicyKind::Lru);
        assert!(good.check().is_ok());
        let broken: [fn(&mut StorageManagerConfig); 10] = [
            |config| config.l1_managers.clear(),
            |config| config.l1_managers.push(config.l1_managers[0].clone()),
            |config| config.l1_managers[0].tag = " ".to_owned(),
            |config| config.l1_managers[0].read_ttl_seconds = -1,
            |config| config.l1_managers[0].memory.align_bytes = 3000,
            |config| config.l1_managers[0].memory.size_bytes = 4095,
            |config| config.l1_managers[0].memory.devdax_path = Some("/dev/dax0.0".to_owned()),
            |config| {
                config.l1_managers[0].memory.use_hugepages = true;
                config.l1_managers[0].memory.use_lazy = true;
            },
            |config| {
                config.l1_managers[0].memory.use_hugepages = true;
                config.l1_managers[0].memory.shm_name = "pool".to_owned();
            },
            |config| config.quotas = vec![("a".to_owned(), 1), ("a".to_owned(), 2)],
        ];
        for breakage in broken {
            let mut config = good.clone();
            breakage(&mut config);
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}

//! What must hold before a storage manager starts under a configuration.
//!
//! Two kinds of rules: LMCache's own (its dataclasses' `__post_init__` and its allocator), and the limits of
//! this build, which runs one L1 manager in plain host memory. A limit of ours is an
//! [`ErrorKind::Unsupported`](crate::error::ErrorKind::Unsupported), a broken rule is invalid.

use super::{GIB_BYTES, L1ManagerConfig, L1MemoryManagerConfig, StorageManagerConfig};
use crate::error::{Error, Result};

/// The most memory an L1 manager can be given: what a process can address on x86-64.
pub const MAX_L1_BYTES: u64 = 1 << 47;

impl StorageManagerConfig {
    /// Checks the whole configuration. A configuration built in code can be wrong where one from flags
    /// cannot, so whoever starts a manager calls this.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<()> {
        check_l1_count(self.l1_managers.len())?;
        self.l1_managers.iter().try_for_each(L1ManagerConfig::check)
    }
}

impl L1ManagerConfig {
    fn check(&self) -> Result<()> {
        if self.tag.trim().is_empty() {
            return Err(Error::invalid("an L1 manager's tag must not be empty"));
        }
        check_ttl("write", self.write_ttl_seconds)?;
        check_ttl("read", self.read_ttl_seconds)?;
        self.memory.check()
    }
}

impl L1MemoryManagerConfig {
    fn check(&self) -> Result<()> {
        if self.devdax_path.is_some() || self.devdax_size_bytes > 0 {
            return Err(Error::unsupported("this build keeps L1 in host memory only, not in a Device-DAX"));
        }
        if self.use_hugepages && (self.use_lazy || !self.shm_name.is_empty()) {
            return Err(Error::invalid("2 MiB pages exclude lazy growth and shared memory")
                .with_hint("leave one of them out"));
        }
        if !self.align_bytes.is_power_of_two() {
            return Err(Error::invalid("the alignment of L1 objects must be a power of two")
                .with_context("align_bytes", self.align_bytes));
        }
        if self.size_bytes < self.align_bytes || self.size_bytes > MAX_L1_BYTES {
            return Err(Error::invalid("L1 must hold at least one aligned block and at most 2^47 bytes")
                .with_context("size_bytes", self.size_bytes)
                .with_context("align_bytes", self.align_bytes));
        }
        Ok(())
    }
}

/// Checks that there is exactly one L1 manager.
pub(super) fn check_l1_count(count: usize) -> Result<()> {
    match count {
        0 => Err(Error::invalid("a storage manager needs an L1 manager")),
        1 => Ok(()),
        _ => Err(Error::unsupported("this build runs one L1 manager").with_context("l1 managers", count)),
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
        let broken: [fn(&mut StorageManagerConfig); 7] = [
            |config| config.l1_managers.clear(),
            |config| config.l1_managers.push(config.l1_managers[0].clone()),
            |config| config.l1_managers[0].tag = " ".to_owned(),
            |config| config.l1_managers[0].read_ttl_seconds = -1,
            |config| config.l1_managers[0].memory.align_bytes = 3000,
            |config| config.l1_managers[0].memory.size_bytes = 4095,
            |config| {
                config.l1_managers[0].memory.use_hugepages = true;
                config.l1_managers[0].memory.use_lazy = true;
            },
        ];
        for breakage in broken {
            let mut config = good.clone();
            breakage(&mut config);
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}

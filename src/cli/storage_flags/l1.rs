//! The flags of L1: one manager by LMCache's older flags, or any number by its tagged JSON.

use clap::Args;
use clap::builder::TypedValueParser;

use super::names::named;
use crate::cli::numbers::{number, whole, within};
use crate::error::{Error, Result};
use crate::storage::config::checks::gib_to_bytes;
use crate::storage::config::l1::tagged::{MAX_NUMA_NODE, TaggedDefaults};
use crate::storage::config::{
    DEFAULT_ALIGN_BYTES, DEFAULT_L1_TAG, EvictionConfig, GIB_BYTES, L1AllocatorKind, L1ManagerConfig,
    L1MemoryManagerConfig, PinKind,
};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "L1 memory")]
pub(super) struct L1Flags {
    /// One L1 manager as LMCache's tagged JSON, for instance '{"type":"DRAM","tag":"a","size_gb":4}'. Instead of
    /// --l1-size-gb. Repeat it for more of them: a write that does not fit into one tries the next
    #[arg(long, value_name = "JSON")]
    l1_manager: Vec<String>,
    /// Memory of L1 in GiB (LMCache calls them GB); fractions are fine. Memory that no call writes is never
    /// touched, so it may be more than the machine has
    #[arg(long, value_name = "GB", allow_negative_numbers = true, value_parser = number("4 or 0.5"))]
    l1_size_gb: Option<f64>,
    /// Let L1 grow from --l1-init-size-gb to its size in the background, as on a server with CUDA; with
    /// --no-l1-use-lazy, the default, as in LMCache where memory cannot be pinned, it has its size at once
    #[arg(long, overrides_with = "no_l1_use_lazy")]
    l1_use_lazy: bool,
    #[arg(long, overrides_with = "l1_use_lazy", hide = true)]
    no_l1_use_lazy: bool,
    /// How much of L1 is there at the start if it grows
    #[arg(long, value_name = "GB", default_value_t = 20, allow_negative_numbers = true,
        value_parser = whole("20"))]
    l1_init_size_gb: i64,
    /// Alignment of the objects in L1; a power of two
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_ALIGN_BYTES as i64, allow_negative_numbers = true,
        value_parser = whole("4096"))]
    l1_align_bytes: i64,
    /// Take L1 from the pool of 2 MiB pages, which goes with neither shared memory nor lazy growth
    #[arg(long, overrides_with = "no_l1_use_hugepages")]
    l1_use_hugepages: bool,
    #[arg(long, overrides_with = "l1_use_hugepages", hide = true)]
    no_l1_use_hugepages: bool,
    /// Name of the POSIX shared memory that L1 lies in; without it L1 is private. LMCache's replay has no such
    /// flag: it names the memory after its process
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    shm_name: String,
    /// Seconds that a write reservation lives
    #[arg(long, value_name = "SECONDS", default_value_t = 600, allow_negative_numbers = true,
        value_parser = whole("600"))]
    l1_write_ttl_seconds: i64,
    /// Seconds that a read lock lives
    #[arg(long, value_name = "SECONDS", default_value_t = 300, allow_negative_numbers = true,
        value_parser = whole("300"))]
    l1_read_ttl_seconds: i64,
    /// Who hands L1's memory out (ours): first-fit gives LMCache's addresses, tlsf fragments less
    #[arg(long, value_name = "ALLOCATOR", default_value = "first-fit", value_parser = allocator_parser())]
    l1_allocator: L1AllocatorKind,
    /// Bind L1 to this NUMA node (ours)
    #[arg(long, value_name = "NODE", allow_negative_numbers = true,
        value_parser = within(0..=MAX_NUMA_NODE))]
    l1_numa_node: Option<u32>,
    /// Touch every page of L1 at the start, so that no write waits for one (ours)
    #[arg(long)]
    l1_first_touch: bool,
    /// Pin L1 (ours): mlock keeps its pages in memory, within the limit of locked memory. What cannot be pinned is used unpinned
    #[arg(long, value_name = "PIN", default_value = "none", value_parser = named(PinKind::ALL, PinKind::name))]
    l1_pin: PinKind,
}

impl L1Flags {
    /// The L1 managers that these flags describe; `eviction` is what the flags say of it, if they name a policy.
    pub(super) fn managers(&self, eviction: Option<EvictionConfig>) -> Result<Vec<L1ManagerConfig>> {
        self.check_numbers()?;
        if self.l1_manager.is_empty() {
            return Ok(vec![self.legacy(eviction)?]);
        }
        if self.l1_size_gb.is_some() {
            return Err(Error::invalid("use either --l1-manager or --l1-size-gb, not both"));
        }
        let defaults = TaggedDefaults {
            eviction,
            read_ttl_seconds: self.l1_read_ttl_seconds,
            write_ttl_seconds: self.l1_write_ttl_seconds,
            allocator: self.l1_allocator,
            numa_node: self.l1_numa_node,
            first_touch: self.l1_first_touch,
            pin: self.l1_pin,
        };
        L1ManagerConfig::from_tagged_json_list(&self.l1_manager, &defaults)
    }

    /// Refuses what is not part of this build, before anything else of these flags is judged.
    pub(super) fn refuse_absent(&self) -> Result<()> {
        L1ManagerConfig::refuse_absent_in(&self.l1_manager)
    }

    fn check_numbers(&self) -> Result<()> {
        if self.l1_init_size_gb < 0 {
            return Err(Error::invalid("the initial size must not be negative")
                .with_context("flag", "--l1-init-size-gb")
                .with_context("value", self.l1_init_size_gb));
        }
        if self.l1_align_bytes <= 0 {
            return Err(Error::invalid("the alignment of L1 objects must be a power of two")
                .with_context("flag", "--l1-align-bytes")
                .with_context("value", self.l1_align_bytes));
        }
        Ok(())
    }

    fn legacy(&self, eviction: Option<EvictionConfig>) -> Result<L1ManagerConfig> {
        let (Some(size_gb), Some(eviction)) = (self.l1_size_gb, eviction) else {
            return Err(Error::invalid("a replay needs --l1-size-gb and --eviction-policy")
                .with_hint("for instance: --l1-size-gb 4 --eviction-policy LRU"));
        };
        let size_bytes = gib_to_bytes(size_gb).map_err(|error| error.with_context("flag", "--l1-size-gb"))?;
        let memory = L1MemoryManagerConfig {
            size_bytes,
            // As LMCache: pages of 2 MiB turn it off. In tagged JSON the two are a contradiction.
            use_lazy: self.l1_use_lazy && !self.l1_use_hugepages,
            // Both were found not to be negative.
            init_size_bytes: size_bytes.min(self.l1_init_size_gb.unsigned_abs().saturating_mul(GIB_BYTES)),
            align_bytes: self.l1_align_bytes.unsigned_abs(),
            shm_name: self.shm_name.clone(),
            use_hugepages: self.l1_use_hugepages,
            allocator: self.l1_allocator,
            numa_node: self.l1_numa_node,
            first_touch: self.l1_first_touch,
            pin: self.l1_pin,
            ..L1MemoryManagerConfig::default()
        };
        Ok(L1ManagerConfig {
            tag: DEFAULT_L1_TAG.to_owned(),
            memory,
            write_ttl_seconds: self.l1_write_ttl_seconds,
            read_ttl_seconds: self.l1_read_ttl_seconds,
            eviction,
        })
    }
}

fn allocator_parser() -> impl TypedValueParser<Value = L1AllocatorKind> {
    named(L1AllocatorKind::ALL, L1AllocatorKind::name)
}

//! LMCache's storage-manager and observability flags: same names, same defaults, same checks.
//!
//! Every flag is either honoured, or accepted because it changes nothing that this build has (its help says
//! so), or refused by name. None is ignored: a replay under a setting that was not in force is worse than no
//! replay.
//!
//! * This file: the flags that are honoured or accepted, and the configuration that they describe.
//! * [`absent`]: those that are refused.

mod absent;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use self::absent::AbsentFlags;
use crate::error::{Error, Result};
use crate::storage::config::checks::gib_to_bytes;
use crate::storage::config::tagged::TaggedDefaults;
use crate::storage::config::{
    DEFAULT_ALIGN_BYTES, DEFAULT_L1_TAG, EvictionConfig, EvictionPolicyKind, GIB_BYTES, L1ManagerConfig,
    L1MemoryManagerConfig, PrefetchPolicy, StorageManagerConfig, StorePolicy,
};

/// The flags of LMCache's `add_storage_manager_args` and `add_observability_args`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "L1 memory")]
pub(crate) struct StorageFlags {
    /// One L1 manager as LMCache's tagged JSON, for instance '{"type":"DRAM","tag":"a","size_gb":4}'.
    /// Instead of --l1-size-gb. This build runs one L1 manager, of type DRAM
    #[arg(long, value_name = "JSON")]
    l1_manager: Vec<String>,
    /// Memory of L1 in GiB (LMCache calls them GB); fractions are fine. Memory that no call writes is never
    /// touched, so it may be more than the machine has
    #[arg(long, value_name = "GB", allow_negative_numbers = true)]
    l1_size_gb: Option<f64>,
    /// Say that L1 is pinned little by little, as in the configuration of a server with CUDA; --no-l1-use-lazy says
    /// that it is not, which is the default, as in LMCache where memory cannot be pinned. Part of the
    /// configuration's digest only: this build does not pin
    #[arg(long, overrides_with = "no_l1_use_lazy")]
    l1_use_lazy: bool,
    #[arg(long, overrides_with = "l1_use_lazy", hide = true)]
    no_l1_use_lazy: bool,
    /// How much L1 memory lazy pinning starts with. Part of the configuration's digest only
    #[arg(long, value_name = "GB", default_value_t = 20, allow_negative_numbers = true)]
    l1_init_size_gb: i64,
    /// Alignment of the objects in L1; a power of two
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_ALIGN_BYTES as i64, allow_negative_numbers = true)]
    l1_align_bytes: i64,
    /// Seconds that a write reservation lives
    #[arg(long, value_name = "SECONDS", default_value_t = 600, allow_negative_numbers = true)]
    l1_write_ttl_seconds: i64,
    /// Seconds that a read lock lives
    #[arg(long, value_name = "SECONDS", default_value_t = 300, allow_negative_numbers = true)]
    l1_read_ttl_seconds: i64,

    /// Which objects leave L1 first
    #[arg(long, help_heading = "Eviction", value_name = "POLICY", value_parser = policy_parser())]
    eviction_policy: Option<EvictionPolicyKind>,
    /// Share of L1 in use from which a pass (one a second) evicts
    #[arg(
        long,
        help_heading = "Eviction",
        value_name = "SHARE",
        default_value_t = 0.8,
        allow_negative_numbers = true
    )]
    eviction_trigger_watermark: f64,
    /// Share of the objects that one pass evicts
    #[arg(
        long,
        help_heading = "Eviction",
        value_name = "SHARE",
        default_value_t = 0.2,
        allow_negative_numbers = true
    )]
    eviction_ratio: f64,

    #[command(flatten)]
    l2: L2Flags,
    #[command(flatten)]
    observability: ObservabilityFlags,
    #[command(flatten)]
    absent: AbsentFlags,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "L2 policies (part of the digest; without L2 they change nothing else)")]
struct L2Flags {
    /// What happens to objects once L2 has them
    #[arg(long, value_name = "POLICY", default_value = "default", value_parser = store_policy_parser())]
    l2_store_policy: StorePolicy,
    /// What happens to objects that came from L2
    #[arg(long, value_name = "POLICY", default_value = "default", value_parser = prefetch_policy_parser())]
    l2_prefetch_policy: PrefetchPolicy,
    /// How many loads from L2 run at once
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true)]
    l2_prefetch_max_in_flight: i64,
    /// How often adapters without notification are polled
    #[arg(long, value_name = "MS", default_value_t = 5, allow_negative_numbers = true)]
    periodic_notifier_interval_ms: i64,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Observability (accepted: this build has nothing to turn off)")]
struct ObservabilityFlags {
    /// There is no event bus to turn off
    #[arg(long)]
    disable_observability: bool,
    /// There are no metrics to turn off
    #[arg(long)]
    disable_metrics: bool,
    /// There are no gRPC metrics to turn off
    #[arg(long)]
    disable_grpc_metrics: bool,
    /// There is no log to turn off
    #[arg(long)]
    disable_logging: bool,
    /// Seconds between log lines about memory. Part of the digest only
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true)]
    extra_logging_interval: f64,
}

impl StorageFlags {
    /// The configuration that these flags describe.
    ///
    /// # Errors
    /// If a flag is refused, or LMCache's rules do not hold; the message names the flag.
    pub(crate) fn to_config(&self) -> Result<StorageManagerConfig> {
        self.absent.refuse()?;
        self.check_numbers()?;
        let l1 = if self.l1_manager.is_empty() { self.legacy_l1()? } else { self.tagged_l1()? };
        let config = StorageManagerConfig {
            eviction: l1.eviction.clone(),
            l1_managers: vec![l1],
            store_policy: self.l2.l2_store_policy,
            prefetch_policy: self.l2.l2_prefetch_policy,
            prefetch_max_in_flight: self.l2.l2_prefetch_max_in_flight,
            periodic_notifier_interval_ms: self.l2.periodic_notifier_interval_ms,
        };
        config.check()?;
        Ok(config)
    }

    /// Checks what clap's types let through. LMCache accepts NaN and infinity for the shares, and evicts never or
    /// always then; a replay under them says nothing.
    fn check_numbers(&self) -> Result<()> {
        let interval_s = self.observability.extra_logging_interval;
        let finite = [
            ("--eviction-trigger-watermark", self.eviction_trigger_watermark),
            ("--eviction-ratio", self.eviction_ratio),
            ("--extra-logging-interval", interval_s),
        ];
        if let Some((flag, value)) = finite.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::invalid("the value must be a finite number")
                .with_context("flag", flag)
                .with_context("value", value));
        }
        if interval_s <= 0.0 {
            return Err(Error::invalid("the interval must be above 0")
                .with_context("flag", "--extra-logging-interval"));
        }
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

    /// The global eviction settings, if `--eviction-policy` was given.
    fn eviction(&self) -> Option<EvictionConfig> {
        Some(EvictionConfig {
            policy: self.eviction_policy?,
            trigger_watermark: self.eviction_trigger_watermark,
            eviction_ratio: self.eviction_ratio,
            extra_logging_interval_s: self.observability.extra_logging_interval,
            ..EvictionConfig::default()
        })
    }

    fn tagged_l1(&self) -> Result<L1ManagerConfig> {
        if self.l1_size_gb.is_some() {
            return Err(Error::invalid("use either --l1-manager or --l1-size-gb, not both"));
        }
        let [json] = self.l1_manager.as_slice() else {
            return Err(Error::unsupported("this build runs one L1 manager")
                .with_context("flag", "--l1-manager")
                .with_hint("give --l1-manager once"));
        };
        let defaults = TaggedDefaults {
            eviction: self.eviction(),
            read_ttl_seconds: self.l1_read_ttl_seconds,
            write_ttl_seconds: self.l1_write_ttl_seconds,
        };
        L1ManagerConfig::from_tagged_json(json, &defaults)
    }

    fn legacy_l1(&self) -> Result<L1ManagerConfig> {
        let (Some(size_gb), Some(eviction)) = (self.l1_size_gb, self.eviction()) else {
            return Err(Error::invalid("a replay needs --l1-size-gb and --eviction-policy")
                .with_hint("for instance: --l1-size-gb 4 --eviction-policy LRU"));
        };
        let size_bytes = gib_to_bytes(size_gb).map_err(|error| error.with_context("flag", "--l1-size-gb"))?;
        let memory = L1MemoryManagerConfig {
            size_bytes,
            use_lazy: self.l1_use_lazy,
            // Both were found not to be negative.
            init_size_bytes: size_bytes.min(self.l1_init_size_gb.unsigned_abs().saturating_mul(GIB_BYTES)),
            align_bytes: self.l1_align_bytes.unsigned_abs(),
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

fn policy_parser() -> impl TypedValueParser<Value = EvictionPolicyKind> {
    named(EvictionPolicyKind::ALL, EvictionPolicyKind::name)
}

fn store_policy_parser() -> impl TypedValueParser<Value = StorePolicy> {
    named(StorePolicy::ALL, StorePolicy::name)
}

fn prefetch_policy_parser() -> impl TypedValueParser<Value = PrefetchPolicy> {
    named(PrefetchPolicy::ALL, PrefetchPolicy::name)
}

/// Parses one of `all` by its name, and lists the names in the help.
fn named<T, const N: usize>(all: [T; N], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.map(name)).try_map(move |text| {
        all.into_iter().find(|value| name(*value) == text).ok_or_else(|| Error::invalid("unknown name"))
    })
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorKind;
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        storage: StorageFlags,
    }

    fn config(line: &str) -> Result<StorageManagerConfig> {
        let words = std::iter::once("test").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}")).storage.to_config()
    }

    const LEGACY: &str = "--l1-size-gb 0.1 --eviction-policy LRU";

    #[test]
    fn the_legacy_flags_give_lmcaches_digest() {
        assert!(config(LEGACY).unwrap().digest().starts_with("b5016ff1"));
        let lazy = format!("{LEGACY} --l1-use-lazy --no-l1-use-lazy --l1-init-size-gb 20 --disable-metrics");
        assert!(config(&lazy).unwrap().digest().starts_with("b5016ff1"));
    }

    /// What a server with CUDA records for `--l1-size-gb 1 --eviction-policy LRU`: its default is lazy.
    #[test]
    fn an_explicit_use_lazy_goes_into_the_digest() {
        const ONE_GB: &str = "--l1-size-gb 1 --eviction-policy LRU";
        let lazy = config(&format!("{ONE_GB} --l1-use-lazy")).unwrap();
        assert!(lazy.l1_managers[0].memory.use_lazy);
        assert!(lazy.digest().starts_with("169d523e"), "{}", lazy.digest());
        assert!(!config(ONE_GB).unwrap().l1_managers[0].memory.use_lazy);
    }

    #[test]
    fn numbers_that_are_none_are_refused_in_one_sentence() {
        for flag in ["--eviction-ratio", "--eviction-trigger-watermark", "--extra-logging-interval"] {
            for value in ["nan", "inf"] {
                let error = config(&format!("{LEGACY} {flag} {value}")).expect_err(flag);
                assert!(error.to_string().contains("must be a finite number"), "{error}");
                assert!(error.to_string().contains(flag), "{error}");
            }
        }
    }

    #[test]
    fn flags_reach_the_configuration() {
        let config = config(
            "--l1-size-gb 2 --eviction-policy noop --l1-init-size-gb 1 --l1-align-bytes 512 \
             --l1-write-ttl-seconds 1 --l1-read-ttl-seconds 2 --eviction-trigger-watermark 5 \
             --eviction-ratio -0.5 --l2-store-policy skip_l1 --l2-prefetch-policy retain \
             --l2-prefetch-max-in-flight 0 --periodic-notifier-interval-ms 7 --extra-logging-interval 3",
        )
        .unwrap();
        let l1 = &config.l1_managers[0];
        assert_eq!((l1.memory.size_bytes, l1.memory.init_size_bytes), (2 << 30, 1 << 30));
        assert_eq!((l1.memory.align_bytes, l1.write_ttl_seconds, l1.read_ttl_seconds), (512, 1, 2));
        assert_eq!((l1.eviction.trigger_watermark, l1.eviction.eviction_ratio), (5.0, -0.5));
        assert_eq!(l1.eviction.extra_logging_interval_s, 3.0);
        assert_eq!(
            (config.store_policy, config.prefetch_policy),
            (StorePolicy::SkipL1, PrefetchPolicy::Retain)
        );
        assert_eq!((config.prefetch_max_in_flight, config.periodic_notifier_interval_ms), (0, 7));
    }

    #[test]
    fn tagged_json_gives_lmcaches_digest_and_excludes_the_legacy_size() {
        let tagged = r#"--l1-manager {"type":"DRAM","tag":"a","size_gb":1,"use_lazy":false}"#;
        assert!(config(&format!("{tagged} --eviction-policy LRU")).unwrap().digest().starts_with("bf8f2743"));
        assert!(config(&format!("{tagged} {LEGACY}")).unwrap_err().to_string().contains("either"));
        let twice = config(&format!("{tagged} {tagged} --eviction-policy LRU")).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn what_is_missing_is_named_with_an_example() {
        for line in ["", "--l1-size-gb 1", "--eviction-policy LRU"] {
            let error = config(line).unwrap_err();
            assert!(error.to_string().contains("--l1-size-gb and --eviction-policy"), "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("--l1-size-gb 4")));
        }
    }

    #[test]
    fn ranges_are_checked() {
        let broken = [
            "--l1-size-gb 0 --eviction-policy LRU",
            "--l1-size-gb -1 --eviction-policy LRU",
            "--l1-size-gb nan --eviction-policy LRU",
            "--l1-size-gb 1 --eviction-policy LRU --l1-align-bytes 0",
            "--l1-size-gb 1 --eviction-policy LRU --l1-align-bytes 3",
            "--l1-size-gb 1 --eviction-policy LRU --l1-align-bytes -4096",
            "--l1-size-gb 1 --eviction-policy LRU --l1-init-size-gb -1",
            "--l1-size-gb 1 --eviction-policy LRU --l1-read-ttl-seconds -1",
            "--l1-size-gb 1 --eviction-policy LRU --extra-logging-interval 0",
        ];
        for line in broken {
            assert_eq!(config(line).expect_err(line).kind(), ErrorKind::InvalidArgument, "{line}");
        }
        let unknown = ["test", "--eviction-policy", "MRU"];
        assert!(Line::try_parse_from(unknown).unwrap_err().to_string().contains("IsolatedLRU"));
    }
}

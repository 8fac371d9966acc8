//! LMCache's storage-manager and observability flags: same names, same defaults, same checks; and ours beside them.
//!
//! Every flag is either honoured, or accepted because it changes nothing that this build has (its help says
//! so), or refused by name. None is ignored: a replay under a setting that was not in force is worse than no
//! replay.
//!
//! * This file: the configuration that the flags describe. [`l1`], [`eviction`], [`l2`]: its parts.
//! * [`namespace`]: what L2 begins with. [`observability`]: who is told what happens. [`absent`]: what is refused.
//!   [`names`]: values that are names.

mod absent;
mod eviction;
mod l1;
mod l2;
mod names;
mod namespace;
mod observability;

use clap::Args;
use clap::builder::TypedValueParser;

use self::absent::AbsentFlags;
use self::eviction::EvictionFlags;
use self::l1::L1Flags;
use self::l2::L2Flags;
use self::names::named;
pub(crate) use self::namespace::NamespaceFlags;
use self::observability::ObservabilityFlags;
use crate::error::{Error, Result};
use crate::replay::telemetry::TelemetryOptions;
use crate::storage::config::{Compat, StorageManagerConfig};

/// The flags of LMCache's `add_storage_manager_args` and `add_observability_args`, and ours.
#[derive(Args, Clone, Debug)]
pub(crate) struct StorageFlags {
    /// Whose behaviour counts where LMCache's is a known fault (ours): lmcache has the faults, so that the answers
    /// are those of the recorded server; native is the better behaviour
    #[arg(
        long,
        help_heading = "Behaviour",
        value_name = "MODE",
        default_value = "lmcache",
        value_parser = compat_parser()
    )]
    compat: Compat,
    #[command(flatten)]
    l1: L1Flags,
    #[command(flatten)]
    eviction: EvictionFlags,
    #[command(flatten)]
    l2: L2Flags,
    #[command(flatten)]
    observability: ObservabilityFlags,
    #[command(flatten)]
    absent: AbsentFlags,
}

impl StorageFlags {
    /// The configuration that these flags describe.
    ///
    /// # Errors
    /// If a flag is refused, or LMCache's rules do not hold; the message names the flag.
    pub(crate) fn to_config(&self) -> Result<StorageManagerConfig> {
        self.absent.refuse()?;
        self.l1.refuse_absent()?;
        self.l2.refuse_absent()?;
        self.observability.check()?;
        let mut eviction = self.eviction.config()?;
        if let Some(eviction) = &mut eviction {
            self.observability.apply(eviction);
        }
        let l1_managers = self.l1.managers(eviction)?;
        let first =
            l1_managers.first().ok_or_else(|| Error::invalid("a storage manager needs an L1 manager"))?;
        // LMCache's global settings are those of the first L1 manager.
        let eviction = first.eviction.clone();
        let mut config = StorageManagerConfig::with_l1_managers(l1_managers, eviction);
        config.compat = self.compat;
        self.l2.apply(&mut config, self.compat)?;
        config.check()?;
        Ok(config)
    }

    /// Who is told what happens during a replay; [`Self::to_config`] has checked it.
    pub(crate) fn telemetry(&self) -> TelemetryOptions {
        self.observability.telemetry()
    }
}

fn compat_parser() -> impl TypedValueParser<Value = Compat> {
    named(Compat::ALL, Compat::name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::error::ErrorKind;
    use crate::storage::config::{
        EvictionMeasure, L1AllocatorKind, PrefetchConfig, PrefetchPolicy, StoreConfig, StorePolicy,
    };

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        storage: StorageFlags,
    }

    fn parse(line: &str) -> StorageFlags {
        let words = std::iter::once("test").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}")).storage
    }

    fn config(line: &str) -> Result<StorageManagerConfig> {
        parse(line).to_config()
    }

    const LEGACY: &str = "--l1-size-gb 0.1 --eviction-policy LRU";

    const PAGE: &str = include_str!("../../../docs/configuration.md");

    /// The cells of the page's row of a flag; nothing if it is named outside of the tables only.
    fn row_of(flag: &str) -> Option<Vec<String>> {
        let rows = PAGE.lines().filter(|line| line.starts_with('|')).map(|line| line.replace("\\|", "/"));
        let mut rows = rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
        rows.find(|row| row[1].split(['`', ' ']).any(|word| word == flag))
    }

    /// With its default where it is in a table; and the page has no other.
    #[test]
    fn the_page_names_every_flag() {
        let command = <Line as clap::CommandFactory>::command();
        let mut known = Vec::new();
        for argument in command.get_arguments() {
            let Some(flag) = argument.get_long().map(|name| format!("--{name}")) else { continue };
            if !argument.is_hide_set() {
                assert!(PAGE.split(['`', ' ']).any(|word| word == flag), "{flag} is not there");
            }
            let default = argument.get_default_values().first().and_then(|value| value.to_str());
            let default = default.filter(|value| !value.is_empty() && argument.get_action().takes_values());
            if let (Some(default), Some(row)) = (default, row_of(&flag)) {
                assert!(row[2].starts_with(default) || row[2].contains(&format!("`{default}`")), "{row:?}");
            }
            known.push(flag);
        }
        let words = PAGE.split(['`', ' ', '\n', ',']).filter(|word| word.starts_with("--") && word.len() > 3);
        for word in words.filter(|word| !["--help", "---"].contains(word)) {
            assert!(known.iter().any(|flag| flag == word), "{word} is no flag");
        }
    }

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
        let share = "must be a share from 0 to 1";
        for (flag, wanted) in [
            ("--eviction-ratio", share),
            ("--eviction-trigger-watermark", share),
            ("--extra-logging-interval", "must be a finite number"),
        ] {
            for value in ["nan", "inf"] {
                let error = config(&format!("{LEGACY} {flag} {value}")).expect_err(flag);
                assert!(error.to_string().contains(wanted), "{error}");
                assert!(error.to_string().contains(flag), "{error}");
            }
        }
    }

    #[test]
    fn lmcaches_flags_reach_the_configuration() {
        let config = config(
            "--l1-size-gb 2 --eviction-policy noop --l1-init-size-gb 1 --l1-align-bytes 512 \
             --l1-write-ttl-seconds 1 --l1-read-ttl-seconds 2 --eviction-trigger-watermark 0.5 \
             --eviction-ratio 0.25 --l2-store-policy skip_l1 --l2-prefetch-policy retain \
             --l2-prefetch-max-in-flight 0 --periodic-notifier-interval-ms 7 --shm-name pool \
             --enable-extra-logging --extra-logging-interval 3 \
             --l2-adapter {\"type\":\"mock\",\"max_size_gb\":1,\"mock_bandwidth_gb\":1} \
             --l2-adapter {\"type\":\"fs\",\"base_path\":\"/kv\"}",
        )
        .unwrap();
        let l1 = &config.l1_managers[0];
        assert_eq!((l1.memory.size_bytes, l1.memory.init_size_bytes), (2 << 30, 1 << 30));
        assert_eq!((l1.memory.align_bytes, l1.write_ttl_seconds, l1.read_ttl_seconds), (512, 1, 2));
        assert_eq!(l1.memory.shm_name, "pool");
        assert_eq!((l1.eviction.trigger_watermark, l1.eviction.eviction_ratio), (0.5, 0.25));
        assert_eq!((l1.eviction.extra_logging_enabled, l1.eviction.extra_logging_interval_s), (true, 3.0));
        assert_eq!(
            (config.store_policy, config.prefetch_policy),
            (StorePolicy::SkipL1, PrefetchPolicy::Retain)
        );
        assert_eq!((config.prefetch_max_in_flight, config.periodic_notifier_interval_ms), (0, 7));
        let kinds: Vec<&str> = config.l2_adapters.iter().map(|adapter| adapter.kind.name()).collect();
        assert_eq!(kinds, ["mock", "fs"]);
    }

    #[test]
    fn our_flags_reach_the_configuration_and_not_the_digest() {
        let ours = config(&format!(
            "{LEGACY} --compat native --l1-allocator tlsf --l1-numa-node 1 --l1-first-touch \
             --eviction-by bytes --l2-quota a=b=7 --l2-quota =0 --prefetch-timeout-ms 250 \
             --store-queue-keys 1 --store-retries 9"
        ))
        .unwrap();
        let l1 = &ours.l1_managers[0];
        assert_eq!(ours.compat, Compat::Native);
        assert_eq!((l1.memory.allocator, l1.memory.numa_node), (L1AllocatorKind::Tlsf, Some(1)));
        assert!(l1.memory.first_touch);
        assert_eq!((l1.eviction.by, ours.eviction.by), (EvictionMeasure::Bytes, EvictionMeasure::Bytes));
        assert_eq!(ours.quotas, [("a=b".to_owned(), 7), (String::new(), 0)]);
        assert_eq!(ours.prefetch.timeout_ms, Some(250));
        assert_eq!((ours.store.queue_keys, ours.store.retries), (1, 9));
        assert_eq!(ours.digest(), config(LEGACY).unwrap().digest());
    }

    /// LMCache neither repeats a store nor gives a prefetch up.
    #[test]
    fn what_is_not_given_depends_on_whose_behaviour_counts() {
        let lmcache = config(LEGACY).unwrap();
        assert_eq!(lmcache.compat, Compat::Lmcache);
        assert_eq!((lmcache.prefetch.timeout_ms, lmcache.store.retries), (None, 0));
        let native = config(&format!("{LEGACY} --compat native")).unwrap();
        assert_eq!((native.prefetch, native.store), (PrefetchConfig::default(), StoreConfig::default()));
        let never = config(&format!("{LEGACY} --compat native --prefetch-timeout-ms 0")).unwrap();
        assert_eq!(never.prefetch.timeout_ms, None);
    }

    #[test]
    fn our_numbers_are_accepted_to_the_limit_and_refused_past_it() {
        for (flag, least, most) in [
            ("--prefetch-timeout-ms", 0, 86_400_000_u64),
            ("--store-queue-keys", 1, 67_108_864),
            ("--store-retries", 0, 100),
            ("--l1-numa-node", 0, 1023),
        ] {
            let words = |value: u64| ["test".to_owned(), flag.to_owned(), value.to_string()];
            for value in [least, most] {
                assert!(Line::try_parse_from(words(value)).is_ok(), "{flag} {value}");
            }
            assert!(Line::try_parse_from(words(most + 1)).is_err(), "{flag}");
            assert!(least == 0 || Line::try_parse_from(words(least - 1)).is_err(), "{flag}");
        }
        for quota in ["a", "a=", "a=-1", "a=1.5", "a=1G", "a=18446744073709551616"] {
            let error = Line::try_parse_from(["test", "--l2-quota", quota]).expect_err(quota);
            assert!(error.to_string().contains("SALT=BYTES"), "{error}");
        }
    }

    #[test]
    fn tagged_json_gives_lmcaches_digest_and_excludes_the_legacy_size() {
        let tagged = r#"--l1-manager {"type":"DRAM","tag":"a","size_gb":1,"use_lazy":false}"#;
        let config_of = |line: &str| config(&format!("{line} --eviction-policy LRU"));
        assert!(config_of(tagged).unwrap().digest().starts_with("bf8f2743"));
        assert!(config(&format!("{tagged} {LEGACY}")).unwrap_err().to_string().contains("either"));
        let twice = config_of(&format!("{tagged} {tagged}")).unwrap_err();
        assert!(twice.to_string().contains("same tag"), "{twice}");
        let two = config_of(&format!("{tagged} {}", tagged.replace("\"a\"", "\"b\""))).unwrap();
        assert_eq!(two.l1_managers.len(), 2);
    }

    #[test]
    fn tagged_json_takes_what_it_leaves_out_from_our_flags() {
        let tagged = r#"--l1-manager {"type":"DRAM","tag":"a","size_gb":1}"#;
        let own = tagged.replace('}', r#","allocator":"first-fit","numa_node":0,"first_touch":false}"#);
        let flags = "--l1-allocator tlsf --l1-numa-node 3 --l1-first-touch --eviction-policy LRU";
        let memory = |line: &str| config(line).unwrap().l1_managers[0].memory.clone();
        let inherited = memory(&format!("{tagged} {flags}"));
        assert_eq!((inherited.allocator, inherited.numa_node), (L1AllocatorKind::Tlsf, Some(3)));
        assert!(inherited.first_touch);
        let overridden = memory(&format!("{own} {flags}"));
        assert_eq!((overridden.allocator, overridden.numa_node), (L1AllocatorKind::FirstFit, Some(0)));
        assert!(!overridden.first_touch);
    }

    /// LMCache turns lazy growth off for pages of 2 MiB, and refuses shared memory of them.
    #[test]
    fn pages_of_2_mib_exclude_shared_memory() {
        let pages = format!("{LEGACY} --l1-use-hugepages --l1-use-lazy");
        let memory = config(&pages).unwrap().l1_managers[0].memory.clone();
        assert!(memory.use_hugepages && !memory.use_lazy);
        assert!(config(&format!("{pages} --shm-name pool")).is_err());
        let none = config(&format!("{pages} --no-l1-use-hugepages")).unwrap();
        assert!(!none.l1_managers[0].memory.use_hugepages);
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
            "--l1-size-gb 1 --eviction-policy LRU --enable-extra-logging --disable-observability",
            "--l1-size-gb 1 --eviction-policy LRU --l2-quota a=1 --l2-quota a=2",
            "--l1-size-gb 1 --eviction-policy LRU --l2-quota a@b=1",
            "--l1-size-gb 1 --eviction-policy LRU --l2-adapter {}",
        ];
        for line in broken {
            assert_eq!(config(line).expect_err(line).kind(), ErrorKind::InvalidArgument, "{line}");
        }
        let unknown = ["test", "--eviction-policy", "LFU"];
        assert!(Line::try_parse_from(unknown).unwrap_err().to_string().contains("IsolatedLRU"));
    }
}

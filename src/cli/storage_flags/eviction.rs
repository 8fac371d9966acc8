//! The flags of eviction, which every L1 manager without settings of its own has.

use clap::Args;
use clap::builder::TypedValueParser;

use super::names::named;
use crate::cli::numbers::number;
use crate::error::{Error, Result};
use crate::storage::config::{EvictionConfig, EvictionMeasure, EvictionPolicyKind};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Eviction")]
pub(super) struct EvictionFlags {
    /// Which objects leave L1 first. FIFO, S3FIFO and SIEVE are ours
    #[arg(long, value_name = "POLICY", value_parser = policy_parser())]
    eviction_policy: Option<EvictionPolicyKind>,
    /// Share of L1 in use from which a pass evicts: one a second, and under --compat native at once, too
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, allow_negative_numbers = true,
        value_parser = number("0.8"))]
    eviction_trigger_watermark: f64,
    /// Share of the objects that one pass evicts; of the bytes in use with --eviction-by bytes
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, allow_negative_numbers = true,
        value_parser = number("0.2"))]
    eviction_ratio: f64,
    /// What that is a share of (ours): of the keys, as LMCache, or of the bytes in use
    #[arg(long, value_name = "MEASURE", default_value = "keys", value_parser = measure_parser())]
    eviction_by: EvictionMeasure,
}

impl EvictionFlags {
    /// The settings, if `--eviction-policy` was given. LMCache accepts any number for the shares, and evicts never or
    /// always then: 80 is likely to be 80 %.
    pub(super) fn config(&self) -> Result<Option<EvictionConfig>> {
        let shares = [
            ("--eviction-trigger-watermark", self.eviction_trigger_watermark),
            ("--eviction-ratio", self.eviction_ratio),
        ];
        shares.into_iter().try_for_each(|(flag, value)| check_share(flag, value))?;
        Ok(self.eviction_policy.map(|policy| EvictionConfig {
            policy,
            trigger_watermark: self.eviction_trigger_watermark,
            eviction_ratio: self.eviction_ratio,
            by: self.eviction_by,
            ..EvictionConfig::default()
        }))
    }
}

fn check_share(flag: &'static str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid("the value must be a share from 0 to 1")
        .with_context("flag", flag)
        .with_context("value", value)
        .with_hint("0.8 is 80 %; to evict nothing choose --eviction-policy noop"))
}

/// Checks what clap's types let through.
pub(super) fn check_finite(flag: &'static str, value: f64) -> Result<()> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::invalid("the value must be a finite number")
        .with_context("flag", flag)
        .with_context("value", value))
}

fn policy_parser() -> impl TypedValueParser<Value = EvictionPolicyKind> {
    named(EvictionPolicyKind::ALL, EvictionPolicyKind::name)
}

fn measure_parser() -> impl TypedValueParser<Value = EvictionMeasure> {
    named(EvictionMeasure::ALL, EvictionMeasure::name)
}

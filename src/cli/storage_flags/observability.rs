//! Flags of LMCache's observability that are accepted because this build has nothing to turn off.

use clap::Args;

use super::eviction::check_finite;
use crate::error::{Error, Result};
use crate::storage::config::EvictionConfig;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Observability (accepted: this build has nothing to turn off)")]
pub(super) struct ObservabilityFlags {
    /// There is no event bus to turn off
    #[arg(long)]
    disable_observability: bool,
    /// A replay serves no metrics
    #[arg(long)]
    disable_metrics: bool,
    /// There are no gRPC metrics to turn off
    #[arg(long)]
    disable_grpc_metrics: bool,
    /// There is no log to turn off
    #[arg(long)]
    disable_logging: bool,
    /// Say that memory is logged now and then. Part of the digest only: a replay reports at its end
    #[arg(long)]
    enable_extra_logging: bool,
    /// Seconds between log lines about memory. Part of the digest only
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true)]
    extra_logging_interval: f64,
}

impl ObservabilityFlags {
    /// Puts into `eviction` what its digest says of logging.
    pub(super) fn apply(&self, eviction: &mut EvictionConfig) {
        eviction.extra_logging_enabled = self.enable_extra_logging;
        eviction.extra_logging_interval_s = self.extra_logging_interval;
    }

    /// LMCache's checks.
    pub(super) fn check(&self) -> Result<()> {
        check_finite("--extra-logging-interval", self.extra_logging_interval)?;
        if self.extra_logging_interval <= 0.0 {
            return Err(Error::invalid("the interval must be above 0")
                .with_context("flag", "--extra-logging-interval"));
        }
        if self.enable_extra_logging && self.disable_observability {
            return Err(Error::invalid("extra logging needs observability")
                .with_hint("leave --enable-extra-logging or --disable-observability out"));
        }
        Ok(())
    }
}

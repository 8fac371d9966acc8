//! LMCache's flags of observability: what monitoring systems are told, and what there is nothing to turn off of.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use super::eviction::check_finite;
use crate::cli::numbers::{number, within};
use crate::error::{Error, Result};
use crate::replay::telemetry::TelemetryOptions;
use crate::replay::telemetry::otlp::{DEFAULT_QUEUED_SPANS, MAX_QUEUED_SPANS, METRICS_INTERVAL, OtlpOptions};
use crate::storage::config::EvictionConfig;
use crate::storage::metrics::DEFAULT_SAMPLE_RATE;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Observability (see docs/observability.md)")]
pub(super) struct ObservabilityFlags {
    /// Serve LMCache's metrics for Prometheus at http://127.0.0.1:PORT/metrics while the replay runs; 0 is any free
    /// port, which is printed. LMCache's is 9090; nothing is served without this flag
    #[arg(long, value_name = "PORT", allow_negative_numbers = true, value_parser = within(0..=u16::MAX))]
    prometheus_port: Option<u16>,
    /// The address that metrics are served on (ours). 0.0.0.0 is every one of this machine's: whoever reaches it can
    /// read the metrics
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    prometheus_host: IpAddr,
    /// Send LMCache's metrics to an OpenTelemetry collector every ten seconds and at the end, over gRPC without TLS.
    /// Takes a build with the feature otlp
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Send a span for each call, too; needs --otlp-endpoint
    #[arg(long)]
    enable_tracing: bool,
    /// How many calls may wait to be sent as spans; of more the spans are lost and counted. Metrics do not wait
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_QUEUED_SPANS,
        allow_negative_numbers = true,
        value_parser = within(1..=MAX_QUEUED_SPANS)
    )]
    event_bus_queue_size: usize,
    /// Share of the chunks whose life is measured for histograms, above 0 and at most 1; counters count everything
    #[arg(long, value_name = "SHARE", default_value_t = DEFAULT_SAMPLE_RATE, allow_negative_numbers = true,
        value_parser = number("0.01"))]
    metrics_sample_rate: f64,
    /// Tell monitoring systems nothing, whatever the flags above say
    #[arg(long)]
    disable_observability: bool,
    /// Serve and send no metrics, whatever the flags above say; spans are sent
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
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, allow_negative_numbers = true,
        value_parser = number("10"))]
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
        if !(self.metrics_sample_rate > 0.0 && self.metrics_sample_rate <= 1.0) {
            return Err(Error::invalid("the share of chunks must be above 0 and at most 1")
                .with_context("flag", "--metrics-sample-rate")
                .with_context("value", self.metrics_sample_rate));
        }
        if self.enable_tracing && self.otlp_endpoint.is_none() {
            return Err(Error::invalid("spans need a collector to go to")
                .with_context("flag", "--enable-tracing")
                .with_hint("add --otlp-endpoint http://HOST:4317"));
        }
        self.otlp().map_or(Ok(()), |otlp| otlp.check())
    }

    /// Who is told what. As in LMCache what is disabled stays disabled, and its other flags say nothing.
    pub(super) fn telemetry(&self) -> TelemetryOptions {
        let has_metrics = !self.disable_metrics && !self.disable_observability;
        let port = self.prometheus_port.filter(|_| has_metrics);
        let otlp = self.otlp().filter(|otlp| otlp.has_metrics || otlp.has_spans);
        TelemetryOptions {
            prometheus: port.map(|port| SocketAddr::new(self.prometheus_host, port)),
            otlp,
            sample_rate: self.metrics_sample_rate,
        }
    }

    fn otlp(&self) -> Option<OtlpOptions> {
        Some(OtlpOptions {
            endpoint: self.otlp_endpoint.clone()?,
            has_metrics: !self.disable_metrics && !self.disable_observability,
            has_spans: self.enable_tracing && !self.disable_observability,
            queued_spans: self.event_bus_queue_size,
            metrics_interval: METRICS_INTERVAL,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        observability: ObservabilityFlags,
    }

    fn parse(line: &str) -> Result<ObservabilityFlags, clap::Error> {
        let words = std::iter::once("test").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.observability)
    }

    fn telemetry(line: &str) -> TelemetryOptions {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).telemetry()
    }

    #[test]
    fn nobody_is_told_unless_somebody_is_named() {
        assert_eq!(telemetry(""), TelemetryOptions::default());
        let served = telemetry("--prometheus-port 9090");
        assert_eq!(served.prometheus.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:9090"));
        let everywhere = telemetry("--prometheus-port 0 --prometheus-host ::");
        assert_eq!(everywhere.prometheus.map(|address| address.to_string()).as_deref(), Some("[::]:0"));
    }

    #[test]
    fn what_is_disabled_stays_disabled() {
        let all = "--prometheus-port 1 --otlp-endpoint http://a:1 --enable-tracing";
        assert_eq!(telemetry(&format!("{all} --disable-observability")), TelemetryOptions::default());
        let spans = telemetry(&format!("{all} --disable-metrics --event-bus-queue-size 7"));
        let otlp = spans.otlp.unwrap();
        assert_eq!((spans.prometheus, otlp.has_metrics, otlp.has_spans), (None, false, true));
        assert_eq!(otlp.queued_spans, 7);
        let neither = telemetry("--otlp-endpoint http://a:1 --disable-metrics");
        assert_eq!(neither, TelemetryOptions::default());
    }

    #[test]
    fn limits_are_kept() {
        for (flag, fit, unfit) in [
            ("--event-bus-queue-size", ["1", "1000000"], ["0", "1000001"]),
            ("--prometheus-port", ["0", "65535"], ["-1", "65536"]),
        ] {
            fit.iter().for_each(|value| assert!(parse(&format!("{flag} {value}")).is_ok(), "{flag} {value}"));
            unfit
                .iter()
                .for_each(|value| assert!(parse(&format!("{flag} {value}")).is_err(), "{flag} {value}"));
        }
        for (rate, fits) in [("1", true), ("0.000001", true), ("0", false), ("1.0001", false), ("nan", false)]
        {
            let checked = parse(&format!("--metrics-sample-rate {rate}")).unwrap().check();
            assert_eq!(checked.is_ok(), fits, "{rate}");
        }
    }

    #[test]
    fn spans_without_a_collector_are_refused() {
        let error = parse("--enable-tracing").unwrap().check().unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("--otlp-endpoint")), "{error}");
    }
}

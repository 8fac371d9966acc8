//! OpenTelemetry's side: metrics and spans go to a collector by OTLP over gRPC.
//!
//! * This file: what is wanted, and what became of it. [`feed`]: outcomes on their way to become spans.
//! * With the feature `otlp`: `exporter`, the thread that sends; `metrics` and `spans`, which make its messages.
//!
//! The messages are made of the same books as Prometheus' text, so that both say the same, and of every export and
//! every span it is known whether it arrived: the batches of OpenTelemetry's own SDK drop spans without a count.

#[cfg(feature = "otlp")]
mod exporter;
pub mod feed;
#[cfg(feature = "otlp")]
mod metrics;
#[cfg(feature = "otlp")]
mod spans;

use std::time::Duration;

#[cfg(feature = "otlp")]
pub(super) use self::exporter::Exporter;
pub use self::feed::SpanFeed;
use crate::error::{Error, Result};

/// How often LMCache exports metrics.
pub const METRICS_INTERVAL: Duration = Duration::from_secs(10);

/// How long the last exports may take, all together.
pub const LAST_EXPORTS: Duration = Duration::from_secs(10);

/// LMCache's default for `--event-bus-queue-size`: how many calls may wait to become spans.
pub const DEFAULT_QUEUED_SPANS: usize = 10_000;

/// The most calls that may be allowed to wait: about 100 MB.
pub const MAX_QUEUED_SPANS: usize = 1_000_000;

/// What goes to which collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpOptions {
    /// The collector's URL, as in `http://localhost:4317`; without a scheme it is `http`.
    pub endpoint: String,
    /// Whether metrics are exported.
    pub has_metrics: bool,
    /// Whether each call becomes a span.
    pub has_spans: bool,
    /// How many calls may wait to become spans, 1 to [`MAX_QUEUED_SPANS`]; more are counted as lost.
    pub queued_spans: usize,
    /// How often metrics are exported.
    pub metrics_interval: Duration,
}

/// What became of the exports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpReport {
    /// The collector's URL.
    pub endpoint: String,
    /// How often metrics were sent.
    pub metric_exports: u64,
    /// How many of them the collector did not take. Each has all counts from the start on, so the next one makes up
    /// for it, unless it was the last.
    pub failed_metric_exports: u64,
    /// Whether the last export of metrics arrived: the collector then has everything.
    pub has_last_metrics: bool,
    /// Spans that arrived.
    pub spans: u64,
    /// Calls whose span did not arrive: the queue was full, the collector took too long, refused it or was not there.
    pub lost_spans: u64,
    /// Why something did not arrive, as the last failure had it.
    pub last_error: Option<String>,
}

impl OtlpOptions {
    /// The URL with its scheme.
    pub fn url(&self) -> String {
        match self.endpoint.contains("://") {
            true => self.endpoint.clone(),
            false => format!("http://{}", self.endpoint),
        }
    }

    /// Whether this can work; nobody is asked.
    ///
    /// # Errors
    /// If this build has no OTLP, or the URL is none that it can be sent to.
    pub fn check(&self) -> Result<()> {
        if !cfg!(feature = "otlp") {
            return Err(Error::unsupported(
                "this build does not export over OTLP: it was built without its feature otlp",
            )
            .with_context("flag", "--otlp-endpoint")
            .with_hint("build with --features otlp, or leave --otlp-endpoint out"));
        }
        let wrong = |message: &'static str| {
            Err(Error::invalid(message)
                .with_context("endpoint", &self.endpoint)
                .with_hint("give it as http://HOST:PORT, as in http://localhost:4317"))
        };
        let url = self.url();
        let Some(authority) = url.strip_prefix("http://") else {
            return wrong(
                "OTLP is sent without TLS, as LMCache sends it, so the collector's URL is an http:// one",
            );
        };
        let authority = authority.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
            return wrong("the collector's URL is not one of OTLP over gRPC, which has no path");
        }
        Ok(())
    }
}

/// Without the feature nothing is exported, and [`OtlpOptions::check`] says so before there could be one of these.
#[cfg(not(feature = "otlp"))]
#[derive(Debug)]
pub(super) enum Exporter {}

#[cfg(not(feature = "otlp"))]
impl Exporter {
    pub(super) fn start(
        options: OtlpOptions,
        _source: crate::sync::Arc<super::source::Source>,
    ) -> Result<Self> {
        Err(options
            .check()
            .err()
            .unwrap_or_else(|| Error::unsupported("this build does not export over OTLP")))
    }

    pub(super) fn spans(&mut self) -> Option<SpanFeed> {
        match *self {}
    }

    pub(super) fn close(self) -> OtlpReport {
        match self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(endpoint: &str) -> Result<()> {
        let options = OtlpOptions {
            endpoint: endpoint.to_owned(),
            has_metrics: true,
            has_spans: false,
            queued_spans: DEFAULT_QUEUED_SPANS,
            metrics_interval: METRICS_INTERVAL,
        };
        options.check()
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn collectors_without_tls_and_path_are_taken() {
        for endpoint in ["localhost:4317", "http://localhost:4317", "http://10.0.0.1:4317/", "http://[::1]:1"]
        {
            checked(endpoint).unwrap_or_else(|error| panic!("{error}"));
        }
        for endpoint in
            ["https://a:4317", "grpc://a:1", "http://", "http://a:1/v1/metrics", "a b", "unix:///s"]
        {
            let error = checked(endpoint).expect_err(endpoint);
            assert!(error.to_string().contains(endpoint), "{error}");
        }
    }

    #[cfg(not(feature = "otlp"))]
    #[test]
    fn a_build_without_otlp_says_so() {
        let error = checked("http://localhost:4317").unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("--features otlp")), "{error}");
    }
}

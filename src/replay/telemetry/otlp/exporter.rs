//! The thread that sends: metrics every ten seconds, spans as they come, everything that is left at the end.
//!
//! It has a runtime of its own, on itself alone. What a collector does not take is counted: metrics of an export, which
//! the next one has again; spans, which are lost.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::{Either, select};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

use super::feed::{Fed, SpanFeed, feed};
use super::metrics::{Period, scope_metrics, text};
use super::spans::SpanMaker;
use super::{LAST_EXPORTS, OtlpOptions, OtlpReport};
use crate::clock::{monotonic_ns, wall_ns};
use crate::error::{Error, Result};
use crate::replay::telemetry::source::Source;
use crate::sync::Arc;

/// How often the thread looks for calls, and whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The most spans of one message: OpenTelemetry's default.
const MAX_BATCH: usize = 512;

/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long an export may take: OTLP's default.
const EXPORT_TIME: Duration = Duration::from_secs(10);

/// How long spans wait for more of them at most.
const SPANS_INTERVAL_NS: u64 = 1_000_000_000;

/// How long a collector that was not there is left alone.
const RETRY_NS: u64 = 1_000_000_000;

/// The most characters of an error that a collector gives.
const MAX_ERROR_CHARS: usize = 256;

/// The exporter, seen by whoever started it.
#[derive(Debug)]
pub(in crate::replay::telemetry) struct Exporter {
    spans: Option<SpanFeed>,
    /// Dropped to end the thread.
    open: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<OtlpReport>,
    endpoint: String,
}

impl Exporter {
    /// Starts to export what `source` tells. Nobody is asked yet whether a collector is there.
    ///
    /// # Errors
    /// If the collector's URL is none, or the system grants no thread.
    pub(in crate::replay::telemetry) fn start(options: OtlpOptions, source: Arc<Source>) -> Result<Self> {
        let endpoint = Endpoint::from_shared(options.url()).map_err(|error| {
            Error::invalid("the collector's URL is none")
                .with_context("endpoint", options.url())
                .with_source(error)
        })?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIME).timeout(EXPORT_TIME);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::io("cannot start the runtime of OTLP", error))?;
        let (feed, fed) = feed(if options.has_spans { options.queued_spans } else { 1 });
        let (open, closed) = oneshot::channel();
        let spans = options.has_spans.then_some(feed);
        let url = options.url();
        let thread = std::thread::Builder::new()
            .name("lmcache-otlp".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let sending = Sending::new(endpoint.connect_lazy(), &source, &options, fed);
                    sending.run(closed).await
                })
            })
            .map_err(|error| Error::io("cannot start the thread of OTLP", error))?;
        Ok(Self { spans, open, thread, endpoint: url })
    }

    pub(in crate::replay::telemetry) fn spans(&mut self) -> Option<SpanFeed> {
        self.spans.take()
    }

    /// Sends everything that is left, and ends.
    pub(in crate::replay::telemetry) fn close(self) -> OtlpReport {
        drop(self.spans);
        drop(self.open);
        self.thread.join().unwrap_or_else(|_| OtlpReport {
            endpoint: self.endpoint,
            last_error: Some("the exporter has crashed".to_owned()),
            ..OtlpReport::default()
        })
    }
}

struct Sending<'a> {
    source: &'a Source,
    options: &'a OtlpOptions,
    metrics: MetricsServiceClient<Channel>,
    traces: TraceServiceClient<Channel>,
    resource: Resource,
    start_wall_ns: u64,
    fed: Fed,
    maker: SpanMaker,
    /// Spans that are to be sent, again perhaps.
    batch: Vec<Span>,
    /// Not before then.
    retry_ns: u64,
    report: OtlpReport,
}

impl<'a> Sending<'a> {
    fn new(channel: Channel, source: &'a Source, options: &'a OtlpOptions, fed: Fed) -> Self {
        let attributes = vec![
            text("service.name", "lmcache-trace"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", source.instance_id()),
        ];
        Self {
            source,
            options,
            metrics: MetricsServiceClient::new(channel.clone()),
            traces: TraceServiceClient::new(channel),
            resource: Resource { attributes, ..Resource::default() },
            start_wall_ns: wall_ns(),
            fed,
            maker: SpanMaker::new(),
            batch: Vec::new(),
            retry_ns: 0,
            report: OtlpReport { endpoint: options.url(), ..OtlpReport::default() },
        }
    }

    /// Sends until `closed` says so, and then the rest. What is under way is not cut off before its time is up: the
    /// collector may have it already, and would get it twice.
    async fn run(mut self, closed: oneshot::Receiver<()>) -> OtlpReport {
        let is_closing = Cell::new(false);
        let closing = async {
            // An error says that the other end is gone, which is what is waited for.
            let _ = closed.await;
            is_closing.set(true);
            tokio::time::sleep(LAST_EXPORTS).await;
        };
        let is_late = {
            let all = std::pin::pin!(self.send_all(&is_closing));
            matches!(select(std::pin::pin!(closing), all).await, Either::Left(_))
        };
        if is_late {
            self.failed("the collector took too long at the end");
        }
        self.report.lost_spans = self.fed.offered() - self.report.spans;
        self.report
    }

    async fn send_all(&mut self, is_closing: &Cell<bool>) {
        let enough = MAX_BATCH.min(self.options.queued_spans.div_ceil(2));
        let metrics_interval_ns = self.options.metrics_interval.as_nanos() as u64;
        let mut metrics_due_ns = monotonic_ns() + metrics_interval_ns;
        let mut spans_due_ns = monotonic_ns() + SPANS_INTERVAL_NS;
        while !is_closing.get() {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.fed.queue.len() >= enough || monotonic_ns() >= spans_due_ns {
                self.send_spans(is_closing).await;
                spans_due_ns = monotonic_ns() + SPANS_INTERVAL_NS;
            }
            if self.options.has_metrics && monotonic_ns() >= metrics_due_ns {
                self.send_metrics().await;
                metrics_due_ns = monotonic_ns() + metrics_interval_ns;
            }
        }
        self.send_the_rest().await;
    }

    /// Tries it twice. Metrics first: they are few.
    async fn send_the_rest(&mut self) {
        self.report.has_last_metrics = false;
        for is_last_try in [false, true] {
            if self.options.has_metrics && !self.report.has_last_metrics {
                self.send_metrics().await;
            }
            self.retry_ns = 0;
            self.send_spans(&Cell::new(false)).await;
            let has_metrics = self.report.has_last_metrics || !self.options.has_metrics;
            if has_metrics && self.batch.is_empty() && self.fed.queue.is_empty() {
                return;
            }
            if !is_last_try {
                tokio::time::sleep(Duration::from_nanos(RETRY_NS)).await;
            }
        }
    }

    async fn send_metrics(&mut self) {
        let period = Period { start_wall_ns: self.start_wall_ns, now_wall_ns: wall_ns() };
        let metrics = ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics: scope_metrics(self.source.snapshot(), period),
            ..ResourceMetrics::default()
        };
        self.report.metric_exports += 1;
        // Taken back when the collector has it: an export that is cut off has failed.
        self.report.failed_metric_exports += 1;
        self.report.has_last_metrics = false;
        match self.metrics.export(ExportMetricsServiceRequest { resource_metrics: vec![metrics] }).await {
            Err(status) => self.failed(&failure(&status)),
            Ok(response) => match response.into_inner().partial_success {
                Some(partial) if partial.rejected_data_points > 0 => self.failed(&partial.error_message),
                _ => {
                    self.report.failed_metric_exports -= 1;
                    self.report.has_last_metrics = true;
                }
            },
        }
    }

    /// Sends what has come so far. A collector that is not there now may be soon: calls wait in the queue until then.
    async fn send_spans(&mut self, is_ending: &Cell<bool>) {
        let mut left = self.batch.len() + self.fed.queue.len();
        while left > 0 && monotonic_ns() >= self.retry_ns && !is_ending.get() {
            if self.batch.is_empty() {
                let outcomes = self.fed.queue.try_iter().take(MAX_BATCH);
                self.batch = outcomes.map(|outcome| self.maker.span(&outcome)).collect();
            }
            left = left.saturating_sub(self.batch.len().max(1));
            self.send_batch().await;
        }
    }

    async fn send_batch(&mut self) {
        let scope = InstrumentationScope {
            name: "lmcache.replay".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = ScopeSpans { scope: Some(scope), spans: self.batch.clone(), ..ScopeSpans::default() };
        let spans = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![spans],
            ..ResourceSpans::default()
        };
        match self.traces.export(ExportTraceServiceRequest { resource_spans: vec![spans] }).await {
            Err(status) => {
                self.failed(&failure(&status));
                if is_for_now(&status) {
                    self.retry_ns = monotonic_ns() + RETRY_NS;
                    return;
                }
            }
            Ok(response) => {
                let partial = response.into_inner().partial_success.unwrap_or_default();
                let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0);
                self.report.spans += (self.batch.len() as u64).saturating_sub(rejected);
                if rejected > 0 {
                    self.failed(&partial.error_message);
                }
            }
        }
        self.batch.clear();
    }

    fn failed(&mut self, reason: &str) {
        self.report.last_error = Some(reason.chars().take(MAX_ERROR_CHARS).collect());
    }
}

/// Whether another try can have another end: OTLP's list, without what takes the collector's consent.
fn is_for_now(status: &tonic::Status) -> bool {
    use tonic::Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, Unavailable};
    matches!(status.code(), Aborted | Cancelled | DataLoss | DeadlineExceeded | OutOfRange | Unavailable)
}

/// What a collector, or the way to it, says; with the causes that tonic keeps behind its own words.
fn failure(status: &tonic::Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

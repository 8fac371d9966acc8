//! What a collector of OpenTelemetry gets of a replay, over gRPC. The collector runs here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lmcache::clock::{NS_PER_S, monotonic_ns};
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::telemetry::otlp::{OtlpOptions, OtlpReport};
use lmcache::replay::telemetry::{Telemetry, TelemetryOptions};
use lmcache::replay::{ReplayOptions, StopFlag, TimedRecord, TraceSource, replay};
use lmcache::storage::config::{EvictionPolicyKind, StorageManagerConfig};
use lmcache::trace::TraceReader;
use opentelemetry_proto::tonic::collector::metrics::v1 as metrics_service;
use opentelemetry_proto::tonic::collector::trace::v1 as trace_service;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::command::{L1, text};
use crate::common;

/// What the collector has got, and how it behaves.
#[derive(Debug, Default)]
struct Inbox {
    metrics: Vec<metrics_service::ExportMetricsServiceRequest>,
    spans: Vec<trace_service::ExportTraceServiceRequest>,
    /// Answers that it gives before it takes anything.
    refusals: Vec<Status>,
    /// How many spans of each message it does not take.
    rejected_spans: i64,
    /// How long it takes for a message.
    delay: Duration,
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Inbox>>);

impl Collector {
    /// Takes its time, and refuses if there is a refusal left.
    async fn admit(&self) -> Result<(), Status> {
        let (delay, refusal) = {
            let mut inbox = self.0.lock().expect("no panic");
            (inbox.delay, inbox.refusals.pop())
        };
        tokio::time::sleep(delay).await;
        refusal.map_or(Ok(()), Err)
    }
}

#[tonic::async_trait]
impl metrics_service::metrics_service_server::MetricsService for Collector {
    async fn export(
        &self,
        request: Request<metrics_service::ExportMetricsServiceRequest>,
    ) -> Result<Response<metrics_service::ExportMetricsServiceResponse>, Status> {
        self.admit().await?;
        self.0.lock().expect("no panic").metrics.push(request.into_inner());
        Ok(Response::new(metrics_service::ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl trace_service::trace_service_server::TraceService for Collector {
    async fn export(
        &self,
        request: Request<trace_service::ExportTraceServiceRequest>,
    ) -> Result<Response<trace_service::ExportTraceServiceResponse>, Status> {
        self.admit().await?;
        let mut inbox = self.0.lock().expect("no panic");
        inbox.spans.push(request.into_inner());
        let partial_success = trace_service::ExportTracePartialSuccess {
            rejected_spans: inbox.rejected_spans,
            error_message: "too old".to_owned(),
        };
        let partial_success = (inbox.rejected_spans > 0).then_some(partial_success);
        Ok(Response::new(trace_service::ExportTraceServiceResponse { partial_success }))
    }
}

/// A collector that runs.
struct Running {
    collector: Collector,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start(inbox: Inbox) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let _inside = runtime.enter();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = incoming.local_addr().expect("an address");
        let collector = Collector(Arc::new(Mutex::new(inbox)));
        let metrics = metrics_service::metrics_service_server::MetricsServiceServer::new(collector.clone());
        let traces = trace_service::trace_service_server::TraceServiceServer::new(collector.clone());
        runtime
            .spawn(Server::builder().add_service(metrics).add_service(traces).serve_with_incoming(incoming));
        drop(_inside);
        Self { collector, address, _runtime: runtime }
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.collector.0.lock().expect("no panic")
    }

    fn options(&self) -> OtlpOptions {
        OtlpOptions {
            endpoint: self.address.to_string(),
            has_metrics: true,
            has_spans: true,
            queued_spans: 10_000,
            metrics_interval: Duration::from_secs(600),
        }
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a Any> {
    attributes.iter().find(|attribute| attribute.key == name)?.value.as_ref()?.value.as_ref()
}

/// The sum of a counter over all labels.
fn total(metric: &Metric) -> i64 {
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{} is a counter", metric.name) };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative");
    let values = sum.data_points.iter().map(|point| {
        assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano <= point.time_unix_nano);
        match point.value {
            Some(number_data_point::Value::AsInt(value)) => value,
            _ => panic!("{} counts", metric.name),
        }
    });
    values.sum()
}

/// The metrics of an export by their names, each with the name of its meter.
fn by_name(export: &metrics_service::ExportMetricsServiceRequest) -> BTreeMap<&str, (&str, &Metric)> {
    let scopes = export.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| {
        let meter = scope.scope.as_ref().map_or("", |scope| &scope.name);
        scope.metrics.iter().map(move |metric| (metric.name.as_str(), (meter, metric)))
    });
    metrics.collect()
}

fn spans(inbox: &Inbox) -> Vec<Span> {
    let resources = inbox.spans.iter().flat_map(|export| &export.resource_spans);
    resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
}

fn run_command(words: &str) -> (Value, String) {
    let trace = common::unpack_to_file("traces/deterministic.lct");
    let words = format!("{L1} --no-csv --format json {words}");
    let (output, _folder) = crate::command::replay(&trace, &words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = serde_json::from_slice(&output.stdout).expect("a JSON object");
    (report, text(&output.stderr))
}

#[test]
fn a_collector_has_at_the_end_what_the_report_says() {
    let running = Running::start(Inbox::default());
    let (report, said) = run_command(&format!("--otlp-endpoint http://{} --enable-tracing", running.address));
    assert!(!said.contains("collector"), "{said}");
    let inbox = running.inbox();
    let last = inbox.metrics.last().expect("an export");
    let resource = last.resource_metrics[0].resource.as_ref().expect("a resource");
    let service = Some(&Any::StringValue("lmcache-trace".to_owned()));
    assert_eq!(attribute(&resource.attributes, "service.name"), service);
    assert!(attribute(&resource.attributes, "service.instance.id").is_some());
    let metrics = by_name(last);
    let (meter, written) = metrics["lmcache_mp.l1_write"];
    assert_eq!((meter, written.unit.as_str()), ("lmcache.l1", "chunks"));
    assert_eq!(total(written), report["writes"]["keys_reserved"].as_i64().expect("a count"));
    assert!(matches!(&metrics["lmcache_mp.l1_usage_ratio"].1.data, Some(Data::Gauge(gauge))
        if !gauge.data_points.is_empty()));

    let spans = spans(&inbox);
    let otlp = &report["observability"]["otlp"];
    let replayed = report["totals"]["records_replayed"].as_u64().expect("a count");
    assert_eq!((spans.len() as u64, otlp["spans"].as_u64()), (replayed, Some(replayed)), "{otlp}");
    assert_eq!((&otlp["lost_spans"], &otlp["failed_metric_exports"]), (&0.into(), &0.into()), "{otlp}");
    assert_eq!((&otlp["has_last_metrics"], &otlp["last_error"]), (&true.into(), &Value::Null), "{otlp}");
    let ids: BTreeSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    assert_eq!(ids.len(), spans.len());
    let parents = spans.iter().filter(|span| !span.parent_span_id.is_empty());
    parents.for_each(|span| assert!(ids.contains(&(&span.trace_id, &span.parent_span_id)), "{span:?}"));
    assert!(spans.iter().all(|span| span.start_time_unix_nano > 1_600_000_000 * NS_PER_S));
}

#[test]
fn nobody_there_is_said_and_costs_no_result() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let (report, said) = run_command(&format!("--otlp-endpoint http://{address} --enable-tracing"));
    let otlp = &report["observability"]["otlp"];
    assert_eq!((&otlp["spans"], &otlp["has_last_metrics"]), (&0.into(), &false.into()), "{otlp}");
    assert_eq!(otlp["lost_spans"], report["totals"]["records_replayed"], "{otlp}");
    assert_eq!(otlp["failed_metric_exports"], otlp["metric_exports"], "{otlp}");
    let sentence = format!("the collector at http://{address} does not have the last metrics; ");
    assert!(said.contains(&sentence) && said.contains("refused"), "{said}");
    assert!(said.contains(&format!("spans did not reach the collector at http://{address}: ")), "{said}");
}

/// Replays a fixture as fast as it goes, does `meanwhile` before the end, and says what became of the exports.
fn export(options: OtlpOptions, meanwhile: impl FnOnce()) -> OtlpReport {
    let reader = TraceReader::from_bytes("small", common::unpack("traces/small.lct")).expect("a trace");
    let config = StorageManagerConfig::l1_only(1 << 30, EvictionPolicyKind::Lru);
    let mut target = ManagerTarget::new(config).expect("memory");
    let telemetry = TelemetryOptions { otlp: Some(options), ..TelemetryOptions::default() };
    let prepared = telemetry.prepare().expect("an endpoint");
    let mut telemetry: Telemetry = prepared.start(target.manager()).expect("threads");
    let mut spans = telemetry.spans();
    let records = TraceSource::new(&reader).records().map(|record| TimedRecord { t_mono_s: 0.0, ..record });
    let run = replay(
        records,
        std::slice::from_mut(&mut target),
        &ReplayOptions::default(),
        &StopFlag::default(),
        &mut spans,
    )
    .expect("threads");
    assert_eq!((run.records_replayed, run.unobserved_records), (SMALL_CALLS, 0));
    meanwhile();
    drop(spans);
    telemetry.keep_gauges();
    target.close().expect("no thread panicked");
    telemetry.close().otlp.expect("there was a collector")
}

/// How many calls small.lct has.
const SMALL_CALLS: u64 = 1432;

#[test]
fn metrics_are_sent_again_and_again() {
    let running = Running::start(Inbox::default());
    let options =
        OtlpOptions { metrics_interval: Duration::from_millis(30), has_spans: false, ..running.options() };
    let report = export(options, || {
        let deadline_ns = monotonic_ns() + 30 * NS_PER_S;
        while running.inbox().metrics.len() < 3 {
            assert!(monotonic_ns() < deadline_ns, "three exports");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    let inbox = running.inbox();
    assert_eq!((report.metric_exports, report.failed_metric_exports), (inbox.metrics.len() as u64, 0));
    assert_eq!((report.spans, report.lost_spans, inbox.spans.len()), (0, 0, 0));
    let written = |export| total(by_name(export)["lmcache_mp.l1_write"].1);
    let last = inbox.metrics.len() - 1;
    assert!(written(&inbox.metrics[last - 1]) <= written(&inbox.metrics[last]), "counts never fall");
}

#[test]
fn what_a_collector_does_not_take_is_lost_and_counted() {
    let running = Running::start(Inbox { rejected_spans: 2, ..Inbox::default() });
    let report = export(running.options(), || {});
    let inbox = running.inbox();
    let messages = inbox.spans.len() as u64;
    assert_eq!(spans(&inbox).len() as u64, SMALL_CALLS);
    assert_eq!((report.spans, report.lost_spans), (SMALL_CALLS - 2 * messages, 2 * messages));
    assert_eq!(report.last_error.as_deref(), Some("too old"));
    assert!(report.has_last_metrics);
}

/// What is refused for now is sent again; what is refused for good is not.
#[test]
fn a_collector_that_is_busy_gets_it_later() {
    let refusals = vec![Status::unavailable("come again")];
    let running = Running::start(Inbox { refusals, ..Inbox::default() });
    let report = export(OtlpOptions { has_metrics: false, ..running.options() }, || {});
    assert_eq!((report.spans, report.lost_spans), (SMALL_CALLS, 0));
    assert_eq!(report.last_error.as_deref(), Some("Unavailable: come again"));

    let refusals = vec![Status::permission_denied("not you")];
    let running = Running::start(Inbox { refusals, ..Inbox::default() });
    let report = export(OtlpOptions { has_metrics: false, ..running.options() }, || {});
    assert!(report.lost_spans > 0 && report.spans + report.lost_spans == SMALL_CALLS, "{report:?}");
    assert_eq!(spans(&running.inbox()).len() as u64, report.spans);
}

#[test]
fn calls_that_find_the_queue_full_are_counted() {
    let running = Running::start(Inbox { delay: Duration::from_millis(20), ..Inbox::default() });
    let report = export(OtlpOptions { queued_spans: 1, ..running.options() }, || {});
    assert_eq!(report.spans + report.lost_spans, SMALL_CALLS, "{report:?}");
    assert!(report.spans > 0 && report.lost_spans > 0, "{report:?}");
    assert_eq!(spans(&running.inbox()).len() as u64, report.spans);
}

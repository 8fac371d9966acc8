//! What a replay tells monitoring systems while it runs: LMCache's metrics, and a span for each call.
//!
//! ```text
//!  calls, controllers -> StorageMetrics <- endpoint  <- Prometheus asks
//!                                       <- otlp      -> a collector is told, every 10 s and at the end
//!  outcomes -> SpanFeed -> queue ----------^
//! ```
//!
//! * [`source`]: what there is to tell. * [`endpoint`]: Prometheus' side of it; `exchange`: one request of HTTP.
//! * [`otlp`]: OpenTelemetry's side, with the feature `otlp`.
//!
//! Metrics cost each call of the manager some counting, so they are attached to it only if somebody is told. Everything
//! else happens on threads of this room, which keep off the dispatcher's CPU if it was reserved before
//! [`Prepared::start`].

pub mod endpoint;
mod exchange;
pub mod otlp;
pub mod source;

use std::net::{SocketAddr, TcpListener};

use self::endpoint::{Endpoint, EndpointReport};
use self::otlp::{Exporter, OtlpOptions, OtlpReport, SpanFeed};
use self::source::Source;
use crate::error::Result;
use crate::storage::StorageManager;
use crate::storage::metrics::{DEFAULT_SAMPLE_RATE, StorageMetrics};
use crate::sync::Arc;

/// Who is told, and how much.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryOptions {
    /// Where metrics are served for Prometheus; port 0 is any free one.
    pub prometheus: Option<SocketAddr>,
    /// The collector that is told.
    pub otlp: Option<OtlpOptions>,
    /// The share of the objects whose life is measured, above 0 and at most 1.
    pub sample_rate: f64,
}

impl Default for TelemetryOptions {
    /// Nobody is told.
    fn default() -> Self {
        Self { prometheus: None, otlp: None, sample_rate: DEFAULT_SAMPLE_RATE }
    }
}

/// Everything that can be wrong has been looked at; the port is taken.
#[derive(Debug)]
pub struct Prepared {
    listener: Option<TcpListener>,
    is_any_port: bool,
    otlp: Option<OtlpOptions>,
    metrics: StorageMetrics,
}

impl TelemetryOptions {
    /// Takes the port and checks the rest, so that a replay does not end for it after an hour of reading.
    ///
    /// # Errors
    /// If the port is in use or not to be had, the sample rate is none, the collector's address is none, or this build
    /// has no OTLP.
    pub fn prepare(self) -> Result<Prepared> {
        let metrics = StorageMetrics::new(self.sample_rate)?;
        self.otlp.as_ref().map_or(Ok(()), OtlpOptions::check)?;
        let listener = self.prometheus.map(endpoint::listen).transpose()?;
        let is_any_port = self.prometheus.is_some_and(|address| address.port() == 0);
        Ok(Prepared { listener, is_any_port, otlp: self.otlp, metrics })
    }
}

impl Prepared {
    /// Whether the port was chosen by the system, so that somebody has to be told which it is.
    pub fn is_any_port(&self) -> bool {
        self.is_any_port
    }

    /// Starts to tell what happens in `manager`, which has answered no call yet.
    ///
    /// # Errors
    /// If `manager` has an event sink already, or the system grants no thread.
    pub fn start(self, manager: &Arc<StorageManager>) -> Result<Telemetry> {
        let source = Arc::new(Source::new(self.metrics, Arc::clone(manager)));
        if self.listener.is_some() || self.otlp.as_ref().is_some_and(|otlp| otlp.has_metrics) {
            source.attach()?;
        }
        let endpoint =
            self.listener.map(|listener| Endpoint::start(listener, Arc::clone(&source))).transpose()?;
        let exporter = self.otlp.map(|otlp| Exporter::start(otlp, Arc::clone(&source))).transpose()?;
        Ok(Telemetry { source, endpoint, exporter })
    }
}

/// Telemetry under way.
#[derive(Debug)]
pub struct Telemetry {
    source: Arc<Source>,
    endpoint: Option<Endpoint>,
    exporter: Option<Exporter>,
}

/// Who was told how much.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TelemetryReport {
    /// What Prometheus asked for.
    pub prometheus: Option<EndpointReport>,
    /// What a collector was told.
    pub otlp: Option<OtlpReport>,
}

impl TelemetryReport {
    /// Whether nobody was to be told.
    pub fn is_empty(&self) -> bool {
        self.prometheus.is_none() && self.otlp.is_none()
    }
}

impl Telemetry {
    /// Where metrics are served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(Endpoint::address)
    }

    /// The observer that makes spans of outcomes, if there are to be any. There is one.
    pub fn spans(&mut self) -> Option<SpanFeed> {
        self.exporter.as_mut().and_then(Exporter::spans)
    }

    /// Call it before the manager is closed: what it holds at its end is what is told from now on.
    pub fn keep_gauges(&self) {
        self.source.keep_gauges();
    }

    /// Tells everything for the last time, and ends. A collector that does not answer is waited for
    /// [`otlp::LAST_EXPORTS`] at most.
    pub fn close(self) -> TelemetryReport {
        TelemetryReport {
            prometheus: self.endpoint.map(Endpoint::close),
            otlp: self.exporter.map(Exporter::close),
        }
    }
}

//! Metrics of a storage manager in the text format of Prometheus, by the names and labels of LMCache's `/metrics`.
//!
//! [`StorageMetrics`] is an [`EventSink`]: attached to a manager, it counts what happens. Gauges are read when the text
//! is made, from the manager itself. Nothing here is served: a host serves the text.
//!
//! * [`families`]: counters and throughputs. * `gauges`: what is there at the moment. * `lifecycle`: how long objects
//!   live, sampled.
//!
//! What is not of the storage manager (lookups in tokens, transfers of a device, blending) is not here. Two of LMCache's
//! own stay at their only possible value and are left out: the event bus has no queue, so it has no depth, and drops
//! nothing.

pub mod families;
mod gauges;
mod lifecycle;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use self::families::Families;
use self::gauges::Gauges;
use self::lifecycle::Lifecycle;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::events::{Event, EventSink};
use crate::storage::manager::StorageManager;

/// LMCache's default for `--metrics-sample-rate`.
pub const DEFAULT_SAMPLE_RATE: f64 = 0.01;

/// The metrics of one manager.
#[derive(Debug)]
pub struct StorageMetrics {
    registry: Registry,
    families: Families,
    lifecycle: Lifecycle,
    gauges: Gauges,
}

impl StorageMetrics {
    /// Metrics that have seen nothing. `sample_rate` is the share of the objects whose life is measured.
    ///
    /// # Errors
    /// If the rate is not above 0 and at most 1.
    pub fn new(sample_rate: f64) -> Result<Self> {
        if !(sample_rate > 0.0 && sample_rate <= 1.0) {
            return Err(Error::invalid("the sample rate of metrics must be above 0 and at most 1")
                .with_context("metrics_sample_rate", sample_rate));
        }
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        let lifecycle = Lifecycle::register(&mut registry, sample_rate);
        let gauges = Gauges::register(&mut registry);
        Ok(Self { registry, families, lifecycle, gauges })
    }

    /// The text of `manager`, whose sink this is. Nothing in it stops a controller.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn encode(&self, manager: &StorageManager) -> Result<String> {
        self.gauges.observe(manager);
        let mut text = String::new();
        encode(&mut text, &self.registry)
            .map_err(|_| Error::new(ErrorKind::Policy, "the metrics could not be written as text"))?;
        Ok(text)
    }
}

impl EventSink for StorageMetrics {
    fn on_event(&self, event: &Event<'_>) {
        self.families.count(event);
        self.lifecycle.observe(event);
    }
}

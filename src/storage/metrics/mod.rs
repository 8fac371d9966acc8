//! Metrics of a storage manager, by the names and labels of LMCache's `/metrics`.
//!
//! [`StorageMetrics`] is an [`EventSink`]: attached to a manager, it counts what happens. Gauges are read when metrics
//! are asked for, from the manager itself. Nothing here is served or sent: a host does that with [`StorageMetrics::encode`],
//! the text of Prometheus, or with [`StorageMetrics::snapshot`], the numbers.
//!
//! * [`families`]: counters and throughputs. * `gauges`: what is there at the moment. * `lifecycle`: how long objects
//!   live, and `reuse`: when chunks are read again; both of a share, which `sample` takes.
//! * [`instruments`]: what an instrument is called, and its values at a moment. [`series`]: the values by their labels.
//!   [`text`]: Prometheus' format.
//!
//! What is not of the storage manager (lookups in tokens, transfers of a device, blending) is not here. Two of LMCache's
//! own stay at their only possible value and are left out: the event bus has no queue, so it has no depth, and drops
//! nothing.

pub mod families;
mod gauges;
pub mod instruments;
mod lifecycle;
mod reuse;
mod sample;
pub mod series;
pub mod text;

use self::families::Families;
use self::instruments::Metric;
use self::lifecycle::Lifecycle;
use self::reuse::Reuse;
use crate::error::{Error, Result};
use crate::storage::events::{Event, EventSink};
use crate::storage::manager::StorageManager;
use crate::sync::{Mutex, lock};

/// LMCache's default for `--metrics-sample-rate`.
pub const DEFAULT_SAMPLE_RATE: f64 = 0.01;

/// The metrics of one manager.
#[derive(Debug)]
pub struct StorageMetrics {
    families: Families,
    lifecycle: Lifecycle,
    reuse: Reuse,
    /// See [`Self::keep_gauges`].
    kept_gauges: Mutex<Option<Vec<Metric>>>,
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
        Ok(Self {
            families: Families::default(),
            lifecycle: Lifecycle::new(sample_rate),
            reuse: Reuse::new(sample_rate),
            kept_gauges: Mutex::new(None),
        })
    }

    /// Everything as it is now, of `manager`, whose sink this is. Nothing in it stops a controller.
    pub fn snapshot(&self, manager: &StorageManager) -> Vec<Metric> {
        let kept = lock(&self.kept_gauges).clone();
        let mut all = self.families.metrics();
        all.extend(self.lifecycle.metrics());
        all.extend(self.reuse.metrics());
        all.extend(kept.unwrap_or_else(|| gauges::gauges(manager)));
        all
    }

    /// Leaves gauges as they are now, for a manager that is about to be closed: a closed one holds nothing.
    pub fn keep_gauges(&self, manager: &StorageManager) {
        let gauges = gauges::gauges(manager);
        *lock(&self.kept_gauges) = Some(gauges);
    }

    /// The text of `manager`, whose sink this is, in the format of [`text::CONTENT_TYPE`].
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn encode(&self, manager: &StorageManager) -> Result<String> {
        text::text(self.snapshot(manager), None)
    }

    /// [`Self::encode`], with the name of the process as LMCache has it: the label `service_instance_id` of `target_info`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_for(&self, manager: &StorageManager, instance_id: &str) -> Result<String> {
        text::text(self.snapshot(manager), Some(instance_id))
    }
}

impl EventSink for StorageMetrics {
    fn on_event(&self, event: &Event<'_>) {
        self.families.count(event);
        self.lifecycle.observe(event);
        self.reuse.observe(event);
    }

    /// Nothing is counted of them.
    fn hears_reservations(&self) -> bool {
        false
    }
}

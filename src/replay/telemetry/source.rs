//! What there is to tell: the metrics of one manager, under the name of one process.

use crate::error::Result;
use crate::os::host::random_u64;
use crate::storage::StorageManager;
use crate::storage::metrics::StorageMetrics;
use crate::storage::metrics::instruments::Metric;
use crate::sync::Arc;

/// The metrics of a manager.
#[derive(Debug)]
pub struct Source {
    metrics: Arc<StorageMetrics>,
    manager: Arc<StorageManager>,
    instance_id: String,
}

impl Source {
    pub(super) fn new(metrics: StorageMetrics, manager: Arc<StorageManager>) -> Self {
        Self { metrics: Arc::new(metrics), manager, instance_id: random_uuid() }
    }

    /// Makes the metrics the sink of the manager's events.
    pub(super) fn attach(&self) -> Result<()> {
        self.manager.attach_events(Arc::clone(&self.metrics) as _)
    }

    /// LMCache's `service.instance.id`: a random UUID where nobody sets one.
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// Everything as it is now.
    pub fn snapshot(&self) -> Vec<Metric> {
        self.metrics.snapshot(&self.manager)
    }

    /// Everything as it is now, as the text of Prometheus.
    ///
    /// # Errors
    /// As [`StorageMetrics::encode`].
    pub fn text(&self) -> Result<String> {
        self.metrics.encode_for(&self.manager, &self.instance_id)
    }

    pub(super) fn keep_gauges(&self) {
        self.metrics.keep_gauges(&self.manager);
    }
}

/// A UUID of version 4 (RFC 9562, section 5.4).
fn random_uuid() -> String {
    let (high, low) = (random_u64() & !0xf000 | 0x4000, random_u64() & !(0b11 << 62) | 0b10 << 62);
    let text = format!("{high:016x}{low:016x}");
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_has_a_uuid_of_its_own() {
        let (one, other) = (random_uuid(), random_uuid());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"), "{one}");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}

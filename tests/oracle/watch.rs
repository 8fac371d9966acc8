//! What happened inside a step: the loads and the failures that the recordings list.

use std::collections::BTreeMap;
use std::sync::Mutex;

use lmcache::format::model::ObjectKey;
use lmcache::storage::events::{Event, EventSink};
use serde_json::{Value, json};

use crate::state::KeyNumbers;

#[derive(Debug, Default)]
struct Seen {
    loads: Vec<(u32, usize, u64)>,
    failed: BTreeMap<&'static str, Vec<ObjectKey>>,
}

/// An event sink that keeps what a step lists.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Seen>);

impl EventSink for Watch {
    fn on_event(&self, event: &Event<'_>) {
        let mut seen = self.0.lock().expect("a lock");
        match event {
            Event::L2LoadTaskSubmitted(task) => {
                seen.loads.push((task.adapter_index, task.keys.len(), task.bytes));
            }
            Event::L2PrefetchFailed { reason, keys } => {
                seen.failed.entry(reason.name()).or_default().extend(keys.iter().cloned());
            }
            _ => {}
        }
    }
}

impl Watch {
    /// Adds what was seen since the last time to the `out` of a step.
    pub(crate) fn report(&self, numbers: &KeyNumbers, out: &mut Value) {
        let Seen { loads, failed } = std::mem::take(&mut *self.0.lock().expect("a lock"));
        if !loads.is_empty() {
            out["loads"] = json!(loads);
        }
        if !failed.is_empty() {
            let sorted = |keys: Vec<ObjectKey>| -> Vec<usize> {
                let mut numbers: Vec<usize> = keys.iter().map(|key| numbers[key]).collect();
                numbers.sort_unstable();
                numbers
            };
            let failed: BTreeMap<_, _> =
                failed.into_iter().map(|(reason, keys)| (reason, sorted(keys))).collect();
            out["failed"] = json!(failed);
        }
    }
}

//! Another adapter, with faults: LMCache's `FaultInjectL2Adapter`, and more of them.
//!
//! LMCache's drop bits of loads that the adapter behind answered with success; which, [`DropRule`] says. Ours fail
//! before that adapter hears of the object ([`Draws`]): nothing is stored, locked or read. A torn write is a store
//! that succeeds with only the object's beginning written, as after a crash in the middle of it; a reader has to find
//! out. What the adapter behind holds is in its own ledger; there is none here.

use serde_json::{Value, json};

use super::fault_rule::{Draws, DropRule, Fault};
use super::mock_delay::{Delay, DelayOptions};
use super::{
    AdapterStatus, Completion, L2Adapter, Ledger, LoadTask, LookupTask, StoreOutcome, StoreTask, Transfer,
};
use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::config::l2::FaultInjectAdapterConfig;
use crate::storage::memory::{Arena, PinnedSpan, Span};
use crate::storage::prefetch::Bitmap;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The alignment of what is left of a torn object: enough for direct I/O.
const TORN_ALIGN_BYTES: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub struct FaultInjectAdapter {
    inner: Arc<dyn L2Adapter>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct Faults {
    config: FaultInjectAdapterConfig,
    rule: DropRule,
    draws: Draws,
    delay: Delay,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    dropped_loads: AtomicU64,
    store_errors: AtomicU64,
    lookup_errors: AtomicU64,
    load_errors: AtomicU64,
    torn_writes: AtomicU64,
}

fn count(counter: &AtomicU64, by: usize) {
    // Relaxed: a counter that orders nothing.
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

impl FaultInjectAdapter {
    /// Puts the faults of `config` in front of `inner`, which was made of `config.inner`.
    pub fn new(inner: Arc<dyn L2Adapter>, config: &FaultInjectAdapterConfig) -> Self {
        let latency_ns = u64::try_from(config.delay.as_nanos()).unwrap_or(u64::MAX);
        let faults = Faults {
            config: config.clone(),
            rule: DropRule::new(config),
            draws: Draws::new(config.seed),
            delay: Delay::new(DelayOptions { latency_ns, ..DelayOptions::default() }),
            counts: Counts::default(),
        };
        Self { inner, faults: Arc::new(faults) }
    }

    /// The adapter behind.
    pub fn inner(&self) -> &Arc<dyn L2Adapter> {
        &self.inner
    }
}

impl Faults {
    /// The positions, of `keys` in their order, that `fault` hits.
    fn hit<'a>(
        &self,
        fault: Fault,
        rate: f64,
        keys: impl ExactSizeIterator<Item = &'a ObjectKey>,
    ) -> Vec<usize> {
        let is_hit = |(_, key): &(usize, &ObjectKey)| self.draws.draw(fault, rate, key).is_some();
        keys.enumerate().filter(is_hit).map(|(position, _)| position).collect()
    }

    /// Answers `done` after the configured delay, with what `change` makes of the inner adapter's answer. Without
    /// one there is none here either.
    fn answer<T: Send + 'static>(
        self: &Arc<Self>,
        done: Completion<T>,
        change: impl FnOnce(&Self, T) -> T + Send + 'static,
    ) -> Completion<T> {
        let faults = Arc::clone(self);
        Completion::new(move |answer: Option<T>| {
            if let Some(answer) = answer {
                let answer = change(&faults, answer);
                faults.delay.after_lookup(move || done.answer(answer));
            }
        })
    }

    /// Cuts the objects off that are drawn for it.
    fn tear(&self, objects: Vec<Transfer>) -> Vec<Transfer> {
        let rate = self.config.torn_write_rate;
        let torn = objects.into_iter().map(|object| {
            let drawn = self.draws.draw(Fault::TornWrite, rate, &object.key);
            match drawn.and_then(|drawn| beginning(&object.buffer, drawn)) {
                None => object,
                Some(buffer) => {
                    count(&self.counts.torn_writes, 1);
                    Transfer { buffer, ..object }
                }
            }
        });
        torn.collect()
    }

    fn status(&self) -> Value {
        let (config, counts) = (&self.config, &self.counts);
        let value = |counter: &AtomicU64| json!(counter.load(Ordering::Relaxed));
        json!({
            "rate": config.rate,
            "seed": config.seed,
            "gap_indices": self.rule.gap_indices(),
            "gap_tail_ratios": config.gap_tail_ratios,
            "store_error_rate": config.store_error_rate,
            "lookup_error_rate": config.lookup_error_rate,
            "load_error_rate": config.load_error_rate,
            "torn_write_rate": config.torn_write_rate,
            "delay_ms": config.delay.as_secs_f64() * 1e3,
            "dropped_loads": value(&counts.dropped_loads),
            "store_errors": value(&counts.store_errors),
            "lookup_errors": value(&counts.lookup_errors),
            "load_errors": value(&counts.load_errors),
            "torn_writes": value(&counts.torn_writes),
        })
    }
}

/// At least one byte of an object, and at least one too few, in memory of its own. `None` where an object has no
/// such part, or there is no memory.
fn beginning(whole: &PinnedSpan, drawn: u64) -> Option<PinnedSpan> {
    let size_bytes = 1 + drawn % (whole.size_bytes() as u64).checked_sub(1).filter(|cuts| *cuts > 0)?;
    let phy_size_bytes = size_bytes.next_multiple_of(TORN_ALIGN_BYTES);
    let arena = Arc::new(Arena::new(phy_size_bytes, TORN_ALIGN_BYTES).ok()?);
    let part = arena.pin(Span { offset_bytes: 0, phy_size_bytes, size_bytes });
    let from = whole.bytes().range(0, size_bytes as usize).ok()?;
    from.copy_to(&part.bytes()).ok()?;
    Some(part)
}

/// The bits of an answer about the items that are not at `left_out`, back in their places among all `len`.
fn spread(answer: &Bitmap, left_out: &[usize], len: usize) -> Bitmap {
    if left_out.is_empty() {
        return answer.clone();
    }
    let mut kept = 0;
    Bitmap::from_fn(len, |position| {
        if left_out.binary_search(&position).is_ok() {
            return false;
        }
        kept += 1;
        answer.test(kept - 1)
    })
}

/// The items that are not at `left_out`, which is in ascending order.
fn without<T>(items: Vec<T>, left_out: &[usize]) -> Vec<T> {
    if left_out.is_empty() {
        return items;
    }
    let is_kept = |position| left_out.binary_search(&position).is_err();
    items.into_iter().enumerate().filter(|(position, _)| is_kept(*position)).map(|(_, item)| item).collect()
}

impl L2Adapter for FaultInjectAdapter {
    fn type_name(&self) -> &'static str {
        "fault_inject"
    }

    fn recover(&self) -> Result<()> {
        self.inner.recover()
    }

    fn submit_store(&self, task: StoreTask) {
        let StoreTask { objects, done } = task;
        let (len, rate) = (objects.len(), self.faults.config.store_error_rate);
        let failed = self.faults.hit(Fault::StoreError, rate, objects.iter().map(|object| &object.key));
        count(&self.faults.counts.store_errors, failed.len());
        let objects = self.faults.tear(without(objects, &failed));
        let done = self.faults.answer(done, move |_, outcome: StoreOutcome| {
            let mut all_failed = spread(&outcome.failed, &failed, len);
            failed.iter().for_each(|position| all_failed.set(*position));
            let refused = spread(&outcome.refused, &failed, len);
            StoreOutcome { failed: all_failed, refused, bytes: outcome.bytes }
        });
        self.inner.submit_store(StoreTask { objects, done });
    }

    fn submit_lookup_and_lock(&self, task: LookupTask) {
        let LookupTask { keys, sizes_bytes, done } = task;
        let (len, rate) = (keys.len(), self.faults.config.lookup_error_rate);
        let failed = self.faults.hit(Fault::LookupError, rate, keys.iter());
        count(&self.faults.counts.lookup_errors, failed.len());
        let (keys, sizes_bytes) = match failed.is_empty() {
            true => (keys, sizes_bytes),
            false => (without(keys.to_vec(), &failed).into(), without(sizes_bytes.to_vec(), &failed).into()),
        };
        let done = self.faults.answer(done, move |_, found: Bitmap| spread(&found, &failed, len));
        self.inner.submit_lookup_and_lock(LookupTask { keys, sizes_bytes, done });
    }

    fn submit_unlock(&self, keys: &[ObjectKey]) {
        self.inner.submit_unlock(keys);
    }

    fn submit_load(&self, task: LoadTask) {
        let LoadTask { objects, done } = task;
        let (len, rate) = (objects.len(), self.faults.config.load_error_rate);
        let dropped = self.faults.rule.drops(objects.iter().map(|object| &object.key));
        let failed = self.faults.hit(Fault::LoadError, rate, objects.iter().map(|object| &object.key));
        count(&self.faults.counts.load_errors, failed.len());
        let objects = without(objects, &failed);
        let done = self.faults.answer(done, move |faults, loaded: Bitmap| {
            let mut loaded = spread(&loaded, &failed, len);
            count(&faults.counts.dropped_loads, dropped.iter().filter(|at| loaded.test(**at)).count());
            dropped.iter().for_each(|position| loaded.unset(*position));
            loaded
        });
        self.inner.submit_load(LoadTask { objects, done });
    }

    fn delete(&self, keys: &[ObjectKey]) -> usize {
        self.inner.delete(keys)
    }

    fn ledger(&self) -> &Ledger {
        self.inner.ledger()
    }

    fn report_status(&self) -> AdapterStatus {
        assert!(!self.faults.config.status_panics, "fault_inject panics, as its status_panics asks for");
        let mut status = self.inner.report_status();
        status.fields.insert("fault_inject".to_owned(), self.faults.status());
        status
    }

    fn close(&self) {
        self.inner.close();
        self.faults.delay.close();
    }
}

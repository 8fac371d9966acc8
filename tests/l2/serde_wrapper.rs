//! Transformed objects: codecs around an adapter.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use lmcache::error::{Error, Result};
use lmcache::format::model::{Dtype, MemoryLayoutDesc, ObjectKey};
use lmcache::storage::config::Compat;
use lmcache::storage::l2::mock::{MockAdapter, MockOptions};
use lmcache::storage::l2::mock_delay::DelayOptions;
use lmcache::storage::l2::serde_wrapper::{SerdeAdapter, SerdeOptions};
use lmcache::storage::l2::{L2Adapter, LoadTask, StoreTask, Transfer};
use lmcache::storage::serde::Serde;
use lmcache::storage::serde::float8::Float8;
use lmcache::storage::serde::fp8::Fp8;

use crate::conformance::{Made, Traits, conformance};
use crate::support::{
    Buffers, answer, completion, keys, load, load_one, lookup_sized, payload, present_any, store, store_all,
};

fn mock() -> Arc<MockAdapter> {
    Arc::new(MockAdapter::new(MockOptions {
        capacity_bytes: 1 << 30,
        delay: DelayOptions::default(),
        keeps_bytes: true,
        compat: Compat::Native,
    }))
}

/// What begins so is refused.
const UNLUCKY: [u8; 4] = [13; 4];

/// Turns every byte around and adds five; refuses what is unlucky.
#[derive(Debug, Default)]
struct Turned {
    /// As long as it is closed, nobody gets on.
    gate: (Mutex<bool>, Condvar),
    panics: AtomicBool,
}

impl Turned {
    fn close_gate(&self) {
        *self.gate.0.lock().unwrap() = true;
    }

    fn open_gate(&self) {
        *self.gate.0.lock().unwrap() = false;
        self.gate.1.notify_all();
    }

    fn pass(&self) {
        drop(self.gate.1.wait_while(self.gate.0.lock().unwrap(), |is_closed| *is_closed).unwrap());
        assert!(!self.panics.load(Ordering::Relaxed), "as it was told");
    }
}

const ADDED: u64 = 5;

impl Serde for Turned {
    fn name(&self) -> &'static str {
        "turned"
    }

    fn estimate_bytes(&self, layout: &MemoryLayoutDesc) -> Result<u64> {
        Ok(layout.size_bytes() + ADDED)
    }

    fn serialize(&self, _: &ObjectKey, _: &MemoryLayoutDesc, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.pass();
        if plain.starts_with(&UNLUCKY) {
            return Err(Error::invalid("13 is unlucky"));
        }
        out.clear();
        out.extend(plain.iter().map(|byte| !byte));
        out.extend([0xee; ADDED as usize]);
        Ok(())
    }

    fn deserialize(&self, _: &ObjectKey, _: &MemoryLayoutDesc, wire: &[u8], out: &mut [u8]) -> Result<()> {
        self.pass();
        if wire.len() as u64 != out.len() as u64 + ADDED || wire[out.len()..] != [0xee; ADDED as usize] {
            return Err(Error::invalid("not what was written"));
        }
        out.iter_mut().zip(wire).for_each(|(out, byte)| *out = !byte);
        Ok(())
    }
}

fn wrapped(
    serde: Arc<dyn Serde>,
    inner: Arc<dyn L2Adapter>,
    bounce_bytes: u64,
    needs_layout: bool,
    compat: Compat,
) -> SerdeAdapter {
    let options = SerdeOptions { serde, needs_layout, max_workers: 3, bounce_bytes, compat };
    SerdeAdapter::start(inner, options).expect("threads")
}

fn turned(bounce_bytes: u64, compat: Compat) -> (Arc<Turned>, Arc<MockAdapter>, SerdeAdapter) {
    let (serde, inner) = (Arc::new(Turned::default()), mock());
    let adapter = wrapped(Arc::clone(&serde) as _, Arc::clone(&inner) as _, bounce_bytes, false, compat);
    (serde, inner, adapter)
}

pub(crate) fn suite_of(bounce_bytes: u64) -> Made {
    let (_, _, adapter) = turned(bounce_bytes, Compat::Native);
    let charged_bytes = |bytes| bytes + ADDED;
    Made::new(Arc::new(adapter), Traits { charged_bytes, ..Traits::default() }, ())
}

conformance!(turned_around, super::suite_of(256 << 20));
// Room for one of the suite's largest objects.
conformance!(turned_around_with_little_memory, super::suite_of((4 << 20) + 4_096));

fn number(adapter: &dyn L2Adapter, name: &str) -> u64 {
    let status = adapter.report_status();
    status.fields["serde"][name].as_u64().unwrap_or_else(|| panic!("{name}: {status:?}"))
}

fn objects(count: u32, len: usize) -> Vec<(ObjectKey, Vec<u8>)> {
    keys(0, count).into_iter().enumerate().map(|(i, key)| (key, payload(i as u64 + 50, len))).collect()
}

#[test]
fn what_lies_behind_is_transformed_and_counted_as_such() {
    let (_, inner, adapter) = turned(1 << 20, Compat::Native);
    let all = objects(3, 1_000);
    let outcome = store(&adapter, &all);
    assert!(outcome.is_success() && outcome.bytes == 3 * 1_005, "{outcome:?}");
    let wire = load_one(&*inner, &all[1].0, 1_005).unwrap();
    assert!(wire[..1_000].iter().zip(&all[1].1).all(|(wire, plain)| *wire == !plain));
    assert_eq!(load_one(&adapter, &all[1].0, 1_000), Some(all[1].1.clone()));
    assert_eq!((adapter.ledger().used_bytes(), number(&adapter, "bounce_used_bytes")), (3 * 1_005, 0));
    assert_eq!(adapter.report_status().fields["serde_wrapped"], true);
    let sized: Vec<_> = all.iter().map(|(key, _)| (key.clone(), 1_000)).collect();
    assert_eq!(lookup_sized(&adapter, &sized).popcount(), 3);
}

#[test]
fn a_bad_object_fails_alone_and_with_lmcache_its_whole_task() {
    for compat in Compat::ALL {
        let (_, inner, adapter) = turned(1 << 20, compat);
        let mut all = objects(4, 300);
        all[2].1[..4].copy_from_slice(&UNLUCKY);
        let outcome = store(&adapter, &all);
        let (failed, stored) = match compat {
            Compat::Native => (vec![2], 3),
            Compat::Lmcache => (vec![0, 1, 2, 3], 0),
        };
        assert_eq!(outcome.failed.ones().collect::<Vec<_>>(), failed);
        assert_eq!(inner.stored_keys().len(), stored);
        assert_eq!(number(&adapter, "failed_serializations"), 1);
        // One that somebody else wrote there is not what was written.
        store_all(&adapter, &all[..2]);
        store_all(&*inner, &[(all[2].0.clone(), vec![1; 305])]);
        let wanted: Vec<_> = all[..3].iter().map(|(key, _)| (key.clone(), 300)).collect();
        let found: Vec<_> = load(&adapter, &wanted).iter().map(Option::is_some).collect();
        assert_eq!(found, if compat == Compat::Native { [true, true, false] } else { [false; 3] });
        assert_eq!(number(&adapter, "failed_deserializations"), 1);
    }
}

#[test]
fn a_task_that_never_fits_the_memory_fails_as_lmcaches_or_goes_in_pieces() {
    let all = objects(30, 4_000);
    for (compat, failed) in [(Compat::Native, 0), (Compat::Lmcache, 30)] {
        let (_, _, adapter) = turned(16 * 4_096, compat);
        assert_eq!(store(&adapter, &all).failed.popcount(), failed);
        let wanted: Vec<_> = all.iter().map(|(key, _)| (key.clone(), 4_000)).collect();
        let found = load(&adapter, &wanted);
        assert_eq!(found.iter().filter(|found| found.is_none()).count(), failed);
    }
    // An object that is larger than all of the memory fails alone.
    let (_, _, adapter) = turned(4 * 4_096, Compat::Native);
    let objects: Vec<_> =
        keys(0, 3).into_iter().zip([100, 4 * 4_096, 100].map(|len| payload(1, len))).collect();
    assert_eq!(store(&adapter, &objects).failed.ones().collect::<Vec<_>>(), [1]);
    assert_eq!(number(&adapter, "without_memory"), 1);
}

#[test]
fn a_submit_never_waits_for_memory_or_workers() {
    let (serde, _, adapter) = turned(4 * 4_096, Compat::Native);
    serde.close_gate();
    let buffers = Buffers::new(64 << 20);
    let answers: Vec<_> = keys(0, 200)
        .into_iter()
        .map(|key| {
            let (done, receive) = completion();
            let objects = vec![Transfer::new(key, buffers.filled(&payload(3, 4_000)))];
            adapter.submit_store(StoreTask { objects, done });
            receive
        })
        .collect();
    assert!(number(&adapter, "waiting_for_bounce") >= 190);
    serde.open_gate();
    assert!(answers.iter().all(|receive| answer(receive).is_success()));
    assert_eq!(present_any(&adapter, &keys(0, 200)), vec![true; 200]);
    assert_eq!(number(&adapter, "waiting_for_bounce"), 0);
}

#[test]
fn a_panic_of_a_codec_costs_its_objects_and_is_seen() {
    let (serde, _, adapter) = turned(1 << 20, Compat::Native);
    serde.panics.store(true, Ordering::Relaxed);
    assert_eq!(store(&adapter, &objects(2, 10)).failed.popcount(), 2);
    serde.panics.store(false, Ordering::Relaxed);
    store_all(&adapter, &objects(2, 10));
    assert_eq!(number(&adapter, "bounce_used_bytes"), 0);
}

/// Values that fp8 keeps as they are.
fn bfloat16(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect()
}

#[test]
fn fp8_halves_an_object_whose_layout_is_known_and_refuses_others() {
    fp8_halves(mock());
    // A lookup cannot tell the size of its file.
    let files = crate::fs::suite_folder();
    fp8_halves(Arc::clone(&files.adapter));
}

fn fp8_halves(inner: Arc<dyn L2Adapter>) {
    let fp8 = Arc::new(Fp8::new(Float8::default()));
    let adapter = wrapped(fp8, inner, 1 << 20, true, Compat::Native);
    let values: Vec<f32> = (0..500).map(|i| [0.0, 1.0, -2.0, 0.5, 448.0][i % 5]).collect();
    let plain = bfloat16(&values);
    let layout =
        MemoryLayoutDesc::new(vec![(Box::new([2, 250]), Dtype::from_name("torch.bfloat16").unwrap())])
            .unwrap();
    let buffers = Buffers::new(1 << 20);
    let [known, unknown]: [ObjectKey; 2] = keys(0, 2).try_into().unwrap();
    let with_layout = |buffer| Transfer { key: known.clone(), buffer, layout: Some(layout.clone()) };
    let (done, receive) = completion();
    let objects =
        vec![with_layout(buffers.filled(&plain)), Transfer::new(unknown.clone(), buffers.filled(&plain))];
    adapter.submit_store(StoreTask { objects, done });
    let outcome = answer(&receive);
    assert_eq!((outcome.failed.ones().collect::<Vec<_>>(), outcome.bytes), (vec![1], 500));
    assert_eq!(number(&adapter, "without_layout"), 1);
    let buffer = buffers.take(1_000);
    let again = buffers.arena.pin(buffer.span());
    let (done, receive) = completion();
    adapter.submit_load(LoadTask { objects: vec![with_layout(buffer)], done });
    assert_eq!(answer(&receive).popcount(), 1);
    let mut found = vec![0; 1_000];
    again.read_into(0, &mut found);
    assert_eq!(found, plain);
    // The size of a lookup says nothing then.
    assert_eq!(lookup_sized(&adapter, &[(known, 1_000)]).popcount(), 1);
}

#[cfg(feature = "aesgcm")]
#[test]
fn a_configuration_encrypts_for_a_tenant_whatever_adapter_lies_behind() {
    use std::io::Write as _;

    use lmcache::storage::config::L2AdapterConfig;
    use lmcache::storage::l2::factory::{AdapterContext, create};

    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(b"a secret of some length").unwrap();
    let path = secret.path().display();
    let json = format!(
        r#"{{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1000,"serde":{{"type":"aesgcm","master_key_path":"{path}"}}}}"#
    );
    let config = L2AdapterConfig::from_json(&json).unwrap();
    let adapter =
        create(&config, &AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4_096 }).unwrap();
    let all = objects(9, 5_000);
    let outcome = store(&*adapter, &all);
    assert!(outcome.is_success() && outcome.bytes == 9 * 5_029, "{outcome:?}");
    for (key, bytes) in &all {
        assert_eq!(load_one(&*adapter, key, 5_000).as_ref(), Some(bytes));
    }
    assert_eq!(adapter.report_status().fields["serde"]["type"], "aesgcm");
    adapter.close();
}

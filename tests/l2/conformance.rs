//! What every adapter has to do: one suite for all of them.
//!
//! `conformance!(name, make)` makes a module of tests, one for each function below; `make` is an expression that gives a
//! [`Made`]: a new adapter on an empty store of its own, with our own behaviour (`Compat::Native`).

use std::any::Any;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use lmcache::format::model::ObjectKey;
use lmcache::storage::l2::{Completion, L2Adapter, L2Listener, LoadTask, LookupTask, StoreTask, Transfer};
use lmcache::storage::memory::Released;

use crate::support::{
    Buffers, PATIENCE, Random, answer, completion, key_of, keys, load, load_one, lookup_sized, payload,
    present, sized, status_number, store, store_all,
};

/// In what adapters differ and may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// Whether an object that is stored again takes the place of the first one; else the first one stays.
    pub(crate) overwrites: bool,
    /// The largest object that the store takes.
    pub(crate) max_object_bytes: usize,
    /// The bytes that an object of so many bytes is counted with.
    pub(crate) charged_bytes: fn(u64) -> u64,
    /// Whether it takes every key, or refuses (and counts) those whose names its store has no way to write.
    pub(crate) takes_odd_keys: bool,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            overwrites: false,
            max_object_bytes: 4 << 20,
            charged_bytes: |bytes| bytes,
            takes_odd_keys: true,
        }
    }
}

/// An adapter under test, and what has to live as long as it. Closed when it goes.
pub(crate) struct Made {
    adapter: Arc<dyn L2Adapter>,
    traits: Traits,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Made {
    pub(crate) fn new(adapter: Arc<dyn L2Adapter>, traits: Traits, keep: impl Any + Send + Sync) -> Self {
        Self { adapter, traits, _keep: Box::new(keep) }
    }

    /// The same with another adapter around its own.
    pub(crate) fn map(mut self, wrap: impl FnOnce(Arc<dyn L2Adapter>) -> Arc<dyn L2Adapter>) -> Self {
        self.adapter = wrap(Arc::clone(&self.adapter));
        self
    }

    fn charged(&self, bytes: u64) -> u64 {
        (self.traits.charged_bytes)(bytes)
    }
}

impl Deref for Made {
    type Target = dyn L2Adapter;

    fn deref(&self) -> &Self::Target {
        &*self.adapter
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.adapter.close();
    }
}

/// The suite, for one adapter.
macro_rules! conformance {
    ($name:ident, $make:expr) => {
        conformance!($name, $make,
            sizes_come_back_byte_by_byte absent_keys_are_not_found many_objects_go_in_one_task
            empty_tasks_are_answered keys_may_stand_twice_in_a_task an_object_may_be_stored_again
            what_is_deleted_is_gone books_are_kept_by_the_byte_and_by_the_tenant locks_keep_what_lookups_found
            odd_keys_do_not_meet threads_do_not_disturb_each_other an_abandoned_task_keeps_its_buffers
            a_close_answers_every_task_once a_closed_adapter_fails_what_comes_later it_says_what_it_is);
    };
    ($name:ident, $make:expr, $($case:ident)*) => {
        mod $name {
            $(
                #[test]
                fn $case() {
                    // Where the store that it needs is missing, the test has said so.
                    let made: Option<$crate::conformance::Made> = $make.into();
                    if let Some(made) = made {
                        $crate::conformance::$case(&made);
                    }
                }
            )*
        }
    };
}
pub(crate) use conformance;

/// Sizes around those at which stores change their ways: words, sectors, pages, megabytes.
const SIZES: [usize; 15] = [
    1,
    2,
    7,
    511,
    512,
    513,
    4095,
    4096,
    4097,
    65_535,
    65_536,
    262_147,
    1 << 20,
    (1 << 20) + 1,
    (3 << 20) - 1,
];

pub(crate) fn sizes_come_back_byte_by_byte(made: &Made) {
    let sizes = SIZES.into_iter().filter(|size| *size <= made.traits.max_object_bytes);
    let objects: Vec<_> = keys(0, SIZES.len() as u32)
        .into_iter()
        .zip(sizes)
        .map(|(key, size)| (key, payload(size as u64, size)))
        .collect();
    let bytes: u64 = objects.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let outcome = store(&**made, &objects);
    assert!(outcome.is_success(), "{outcome:?} {:?}", made.report_status());
    assert!(outcome.bytes >= bytes, "{} of {bytes} bytes were written", outcome.bytes);
    let sizes: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
    assert_eq!(lookup_sized(&**made, &sizes).popcount(), objects.len());
    let wanted: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
    for ((_, expected), found) in objects.iter().zip(load(&**made, &wanted)) {
        assert!(
            found.as_ref() == Some(expected),
            "an object of {} bytes came back different",
            expected.len()
        );
    }
    // One by one and from the end, as a request would not.
    for (key, expected) in objects.iter().rev() {
        assert!(load_one(&**made, key, expected.len()).as_ref() == Some(expected));
    }
}

pub(crate) fn absent_keys_are_not_found(made: &Made) {
    let all = keys(0, 9);
    assert_eq!(present(&**made, &sized(&all, 100)), [false; 9]);
    assert!(
        load(&**made, &all.iter().map(|key| (key.clone(), 100)).collect::<Vec<_>>())
            .iter()
            .all(Option::is_none)
    );
    assert_eq!(made.delete(&all), 0);
    let stored: Vec<_> = all.iter().step_by(2).map(|key| (key.clone(), payload(7, 100))).collect();
    store_all(&**made, &stored);
    let expected: Vec<bool> = (0..9).map(|position| position % 2 == 0).collect();
    assert_eq!(present(&**made, &sized(&all, 100)), expected);
    let loaded = load(&**made, &all.iter().map(|key| (key.clone(), 100)).collect::<Vec<_>>());
    assert_eq!(loaded.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
}

pub(crate) fn many_objects_go_in_one_task(made: &Made) {
    let objects: Vec<_> =
        keys(0, 300).into_iter().enumerate().map(|(i, key)| (key, payload(i as u64, 8_192 + i))).collect();
    store_all(&**made, &objects);
    let wanted: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
    let loaded = load(&**made, &wanted);
    assert!(objects.iter().zip(&loaded).all(|((_, expected), found)| found.as_ref() == Some(expected)));
}

pub(crate) fn empty_tasks_are_answered(made: &Made) {
    let outcome = store(&**made, &[]);
    assert!(outcome.is_success() && outcome.bytes == 0);
    assert!(lookup_sized(&**made, &[]).is_empty());
    assert!(load(&**made, &[]).is_empty());
    assert_eq!(made.delete(&[]), 0);
    made.submit_unlock(&[]);
}

pub(crate) fn keys_may_stand_twice_in_a_task(made: &Made) {
    let key = keys(0, 1).remove(0);
    let bytes = payload(1, 70_000);
    store_all(&**made, &vec![(key.clone(), bytes.clone()); 12]);
    assert_eq!(made.ledger().used_bytes(), made.charged(70_000), "one object is counted once");
    let found = load(&**made, &vec![(key.clone(), bytes.len()); 12]);
    assert!(found.iter().all(|found| found.as_ref() == Some(&bytes)));
    assert_eq!(lookup_sized(&**made, &vec![(key.clone(), 70_000); 3]).popcount(), 3);
    made.submit_unlock(&vec![key.clone(); 2]);
    assert_eq!(made.delete(std::slice::from_ref(&key)), 0, "it was locked three times");
    made.submit_unlock(std::slice::from_ref(&key));
    assert_eq!(made.delete(&vec![key; 2]), 1, "it can go once");
    assert_eq!(made.ledger().used_bytes(), 0);
}

pub(crate) fn an_object_may_be_stored_again(made: &Made) {
    let key = keys(0, 1).remove(0);
    let (first, second) = (payload(1, 5_000), payload(2, 5_000));
    for bytes in [&first, &second] {
        store_all(&**made, &[(key.clone(), bytes.clone())]);
        assert_eq!(made.ledger().used_bytes(), made.charged(5_000));
    }
    let expected = if made.traits.overwrites { second } else { first };
    assert!(load_one(&**made, &key, 5_000) == Some(expected));
}

pub(crate) fn what_is_deleted_is_gone(made: &Made) {
    let all = keys(0, 4);
    let objects: Vec<_> = all[..3].iter().map(|key| (key.clone(), payload(3, 1_000))).collect();
    store_all(&**made, &objects);
    assert_eq!(made.delete(&all[1..]), 2, "and one that is not there");
    assert_eq!(present(&**made, &sized(&all, 1_000)), [true, false, false, false]);
    assert!(load_one(&**made, &all[1], 1_000).is_none());
    assert_eq!(made.delete(&all[1..]), 0);
    assert_eq!(made.ledger().used_bytes(), made.charged(1_000));
    let again = payload(4, 2_000);
    store_all(&**made, &[(all[1].clone(), again.clone())]);
    assert!(load_one(&**made, &all[1], 2_000) == Some(again));
    assert_eq!(made.ledger().used_bytes(), made.charged(1_000) + made.charged(2_000));
}

/// Writes down what it hears.
#[derive(Debug, Default)]
struct Witness {
    stored: Mutex<HashMap<ObjectKey, u64>>,
    accessed: Mutex<Vec<ObjectKey>>,
    deleted: Mutex<Vec<(ObjectKey, u64)>>,
}

impl L2Listener for Witness {
    fn on_l2_keys_stored(&self, keys: &[(ObjectKey, u64)]) {
        let mut stored = self.stored.lock().unwrap();
        for (key, bytes) in keys {
            *stored.entry(key.clone()).or_default() += bytes;
        }
    }

    fn on_l2_keys_accessed(&self, keys: &[ObjectKey]) {
        self.accessed.lock().unwrap().extend_from_slice(keys);
    }

    fn on_l2_keys_deleted(&self, keys: &[(ObjectKey, u64)]) {
        self.deleted.lock().unwrap().extend_from_slice(keys);
    }
}

pub(crate) fn books_are_kept_by_the_byte_and_by_the_tenant(made: &Made) {
    let witness = Arc::new(Witness::default());
    assert!(made.ledger().listen(vec![Arc::clone(&witness) as Arc<dyn L2Listener>]));
    let salted = |number: u8, salt: &str| key_of("m", 0, 0, &[number], salt);
    let all = [salted(0, "red"), salted(1, "red"), salted(2, "blue"), salted(3, "")];
    let sizes = [100, 200, 3_000, 40_000];
    let objects: Vec<_> = all.iter().zip(sizes).map(|(key, len)| (key.clone(), payload(9, len))).collect();
    store_all(&**made, &objects);
    let charged = |bytes| made.charged(bytes);
    let used = |salt: &str| {
        let usage = made.ledger().usage();
        usage.bytes_by_cache_salt.iter().find(|(name, _)| name == salt).map_or(0, |(_, bytes)| *bytes)
    };
    assert_eq!(
        [used("red"), used("blue"), used("")],
        [charged(100) + charged(200), charged(3_000), charged(40_000)]
    );
    assert_eq!(made.ledger().used_bytes(), used("red") + used("blue") + used(""));
    let heard: HashMap<_, _> =
        objects.iter().map(|(key, bytes)| (key.clone(), charged(bytes.len() as u64))).collect();
    assert_eq!(*witness.stored.lock().unwrap(), heard);
    assert!(load_one(&**made, &all[2], 3_000).is_some());
    assert_eq!(*witness.accessed.lock().unwrap(), [all[2].clone()]);
    assert_eq!(made.delete(&all[..2]), 2);
    assert_eq!(used("red"), 0);
    let mut deleted = witness.deleted.lock().unwrap().clone();
    deleted.sort_by_key(|(_, bytes)| *bytes);
    let expected = [(all[0].clone(), charged(100)), (all[1].clone(), charged(200))];
    assert!(deleted.len() == 2 && expected.iter().all(|gone| deleted.contains(gone)), "{deleted:?}");
}

pub(crate) fn locks_keep_what_lookups_found(made: &Made) {
    let all = keys(0, 2);
    let objects: Vec<_> = all.iter().map(|key| (key.clone(), payload(5, 600))).collect();
    store_all(&**made, &objects[..1]);
    for _ in 0..2 {
        assert_eq!(lookup_sized(&**made, &sized(&all, 600)).ones().collect::<Vec<_>>(), [0]);
    }
    assert_eq!(status_number(&**made, "locked_key_count"), 1);
    let refused = || status_number(&**made, "refused_deletes");
    let refused_before = refused();
    assert_eq!(made.delete(&all), 0);
    assert_eq!(refused() - refused_before, 1);
    // The second was never locked.
    made.submit_unlock(&all);
    assert_eq!(made.delete(&all), 0);
    assert_eq!(refused() - refused_before, 2);
    assert!(load_one(&**made, &all[0], 600).is_some());
    made.submit_unlock(&all[..1]);
    assert_eq!(status_number(&**made, "locked_key_count"), 0);
    made.submit_unlock(&all[..1]);
    assert_eq!(made.delete(&all), 1);
}

/// Keys whose names a store could confuse, or its system take for something else.
pub(crate) fn odd_keys() -> Vec<ObjectKey> {
    let models = [
        "org/model",
        "org-SEP-model",
        "org-SEP--SEP-model",
        "org//model",
        "-SEP-",
        "/",
        "//",
        "",
        ".",
        "..",
        "../x",
        "%",
        "%2F",
        "org%2Fmodel",
        "org%2fmodel",
        "model.data",
        "model.tmp",
        ".hidden",
        "a b",
        "a\nb",
        "a\tb",
        "\u{fc}n\u{ef}c\u{f6}de-\u{6a21}\u{578b}",
        "MODEL",
        "model",
        "{model}",
        "a\\b",
        "a:b",
        "a'b\"c",
        "a*b?",
        "-SEP",
        "SEP-",
    ];
    let mut all: Vec<_> = models.iter().map(|model| key_of(model, 1, 0, &[1, 2], "")).collect();
    let ranks = [0, 1, -1, 0x0805_0401, u32::MAX.into(), 1 << 40, i64::MAX, i64::MIN];
    all.extend(ranks.map(|rank| key_of("rank", rank, 0, &[1, 2], "")));
    all.extend([0, 1, 10, 18, u32::MAX].map(|group| key_of("group", 7, group, &[1, 2], "")));
    let hashes: [&[u8]; 6] = [&[], &[0], &[0, 0], &[0xab; 31], &[0xab; 32], &[0xab; 33]];
    all.extend(hashes.map(|hash| key_of("hash", 7, 0, hash, "")));
    let salts = [
        "tenant", "Tenant", "t.data", ".data", ".tmp", "%40", "a b", "\u{e9}", "e\u{301}", "0102", "*",
        "-SEP-",
    ];
    all.extend(salts.map(|salt| key_of("salt", 7, 0, &[1, 2], salt)));
    all
}

pub(crate) fn odd_keys_do_not_meet(made: &Made) {
    let all = odd_keys();
    let objects: Vec<_> =
        all.iter().enumerate().map(|(i, key)| (key.clone(), payload(i as u64 + 1, 300 + i))).collect();
    let outcome = store(&**made, &objects);
    if made.traits.takes_odd_keys {
        assert!(outcome.is_success(), "{outcome:?} {:?}", made.report_status());
    }
    assert_eq!(
        outcome.failed.popcount() as u64,
        made.report_status().fields.get("failed_stores").and_then(serde_json::Value::as_u64).unwrap_or(0)
    );
    let wanted: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
    for (position, found) in load(&**made, &wanted).into_iter().enumerate() {
        let (key, expected) = &objects[position];
        let expected = (!outcome.failed.test(position)).then_some(expected);
        assert!(found.as_ref() == expected, "{key:?} came back as another");
    }
    let sizes: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len() as u64)).collect();
    let found = present(&**made, &sizes);
    assert!((0..all.len()).all(|position| found[position] != outcome.failed.test(position)));
    for (position, key) in all.iter().enumerate() {
        let there = usize::from(!outcome.failed.test(position));
        assert_eq!(made.delete(std::slice::from_ref(key)), there, "{key:?} went with another");
    }
    assert_eq!(made.ledger().used_bytes(), 0);
}

/// The bytes of key `number`, always the same: whoever stored it.
fn bytes_of(number: u64) -> Vec<u8> {
    payload(number, 1_000 + (number as usize * 3_001) % 60_000)
}

fn random_turn(adapter: &dyn L2Adapter, all: &[ObjectKey], random: &mut Random) {
    let positions: Vec<usize> =
        (0..1 + random.below(6)).map(|_| random.below(all.len() as u64) as usize).collect();
    let chosen: Vec<_> = positions.iter().map(|position| all[*position].clone()).collect();
    match random.below(5) {
        0 | 1 => {
            let objects: Vec<_> = positions
                .iter()
                .map(|position| (all[*position].clone(), bytes_of(*position as u64)))
                .collect();
            store_all(adapter, &objects);
        }
        2 => {
            let wanted: Vec<_> = positions
                .iter()
                .map(|position| (all[*position].clone(), bytes_of(*position as u64).len()))
                .collect();
            let sizes: Vec<_> = wanted.iter().map(|(key, len)| (key.clone(), *len as u64)).collect();
            let found = lookup_sized(adapter, &sizes);
            let loaded = load(adapter, &wanted);
            for (i, bytes) in loaded.into_iter().enumerate() {
                if found.test(i) {
                    assert!(
                        bytes == Some(bytes_of(positions[i] as u64)),
                        "what was locked is there, and whole"
                    );
                    adapter.submit_unlock(&chosen[i..=i]);
                }
            }
        }
        3 => {
            for (i, bytes) in load(
                adapter,
                &positions.iter().map(|p| (all[*p].clone(), bytes_of(*p as u64).len())).collect::<Vec<_>>(),
            )
            .into_iter()
            .enumerate()
            {
                assert!(
                    bytes.is_none_or(|bytes| bytes == bytes_of(positions[i] as u64)),
                    "whole or not at all"
                );
            }
        }
        _ => {
            adapter.delete(&chosen);
        }
    }
}

pub(crate) fn threads_do_not_disturb_each_other(made: &Made) {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 60;
    let all = keys(0, 24);
    std::thread::scope(|scope| {
        for seed in 1..=THREADS {
            let (adapter, all) = (&**made, &all);
            scope.spawn(move || {
                let mut random = Random(seed * 0x9e37_79b9);
                (0..ROUNDS).for_each(|_| random_turn(adapter, all, &mut random));
            });
        }
    });
    assert_eq!(status_number(&**made, "locked_key_count"), 0);
    let sizes: Vec<_> =
        all.iter().enumerate().map(|(i, key)| (key.clone(), bytes_of(i as u64).len() as u64)).collect();
    let found = present(&**made, &sizes);
    let bytes =
        (0..all.len()).filter(|position| found[*position]).map(|position| bytes_of(position as u64).len());
    let charged: u64 = bytes.map(|bytes| made.charged(bytes as u64)).sum();
    assert_eq!(made.ledger().used_bytes(), charged, "the books are those of what is there");
    made.delete(&all);
    assert_eq!(made.ledger().used_bytes(), 0);
}

/// Stores and loads whose requesters are gone: their spans are released at once, and come back once each, after the
/// adapter has let go of them.
pub(crate) fn an_abandoned_task_keeps_its_buffers(made: &Made) {
    let buffers = Buffers::new(64 << 20);
    let all = keys(0, 32);
    let len = made.traits.max_object_bytes.min(300_000);
    let mut waiting = 0;
    for is_store in [true, false] {
        let transfer = |key: &ObjectKey| Transfer::new(key.clone(), buffers.filled(&payload(1, len)));
        let objects: Vec<_> = all.iter().map(transfer).collect();
        let spans: Vec<_> = objects.iter().map(|object| object.buffer.span()).collect();
        // Nobody receives the answer.
        if is_store {
            let (done, _) = completion();
            made.submit_store(StoreTask { objects, done });
        } else {
            let (done, _) = completion();
            made.submit_load(LoadTask { objects, done });
        }
        for span in spans {
            waiting += usize::from(buffers.arena.release(span) == Released::WhenUnpinned);
        }
    }
    made.close();
    assert_eq!(buffers.arena.take_unpinned().len(), waiting, "each span comes back once");
    assert_eq!(buffers.arena.pin_counts().pins, 0, "a closed adapter holds no buffer");
}

/// Counts how often each of its tasks was told something.
struct Tellings {
    told: Arc<Vec<AtomicU64>>,
    next: AtomicU64,
}

impl Tellings {
    fn new(tasks: usize) -> Self {
        Self { told: Arc::new((0..tasks).map(|_| AtomicU64::new(0)).collect()), next: AtomicU64::new(0) }
    }

    fn completion<T: 'static>(&self) -> Completion<T> {
        let (told, number) = (Arc::clone(&self.told), self.next.fetch_add(1, Ordering::Relaxed) as usize);
        Completion::new(move |_| {
            told[number].fetch_add(1, Ordering::Relaxed);
        })
    }

    fn counts(&self) -> Vec<u64> {
        self.told.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

fn submit_any(adapter: &dyn L2Adapter, buffers: &Buffers, tellings: &Tellings, round: usize) {
    let all = keys(round as u32 % 5, 4);
    let transfers = || {
        let transfer = |key: &ObjectKey| Transfer::new(key.clone(), buffers.filled(&payload(2, 50_000)));
        all.iter().map(transfer).collect()
    };
    match round % 3 {
        0 => adapter.submit_store(StoreTask { objects: transfers(), done: tellings.completion() }),
        1 => adapter.submit_load(LoadTask { objects: transfers(), done: tellings.completion() }),
        _ => {
            let sizes_bytes = vec![50_000; all.len()].into();
            adapter.submit_lookup_and_lock(LookupTask {
                keys: all.into(),
                sizes_bytes,
                done: tellings.completion(),
            });
        }
    }
}

pub(crate) fn a_close_answers_every_task_once(made: &Made) {
    const THREADS: usize = 3;
    const TASKS: usize = 90;
    let buffers = Buffers::new((THREADS * TASKS) as u64 * 4 * 53_248);
    let tellings = Tellings::new(THREADS * TASKS);
    let has_begun = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..TASKS {
                    submit_any(&**made, &buffers, &tellings, round);
                    has_begun.store(round > TASKS / 3, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while !has_begun.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            made.close();
        });
    });
    made.close();
    let counts = tellings.counts();
    assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
    assert_eq!(buffers.arena.pin_counts().pins, 0);
}

pub(crate) fn a_closed_adapter_fails_what_comes_later(made: &Made) {
    let key = keys(0, 1).remove(0);
    store_all(&**made, &[(key.clone(), payload(1, 900))]);
    made.close();
    let buffers = Buffers::new(1 << 20);
    let (send, receive) = channel();
    let objects = || vec![Transfer::new(key.clone(), buffers.take(900))];
    let told = send.clone();
    let done = Completion::new(move |answer: Option<lmcache::storage::l2::StoreOutcome>| {
        told.send(answer.is_none_or(|outcome| !outcome.is_success())).unwrap();
    });
    made.submit_store(StoreTask { objects: objects(), done });
    let told = send.clone();
    let done = Completion::new(move |answer: Option<lmcache::storage::Bitmap>| {
        told.send(answer.is_none_or(|loaded| loaded.popcount() == 0)).unwrap();
    });
    made.submit_load(LoadTask { objects: objects(), done });
    let done = Completion::new(move |answer: Option<lmcache::storage::Bitmap>| {
        send.send(answer.is_none_or(|found| found.popcount() == 0)).unwrap();
    });
    made.submit_lookup_and_lock(LookupTask { keys: [key].into(), sizes_bytes: [900].into(), done });
    for _ in 0..3 {
        assert_eq!(receive.recv_timeout(PATIENCE), Ok(true), "told once, and nothing good");
    }
    assert!(receive.recv_timeout(PATIENCE).is_err(), "nobody is told twice");
    assert_eq!(buffers.arena.pin_counts().pins, 0);
    made.submit_unlock(&keys(0, 1));
}

pub(crate) fn it_says_what_it_is(made: &Made) {
    let status = made.report_status();
    assert!(status.is_healthy, "{status:?}");
    assert!(!status.class_name.is_empty() && !made.type_name().is_empty());
    let (done, receive) = completion();
    let buffers = Buffers::new(1 << 20);
    let objects = vec![Transfer::new(keys(0, 1).remove(0), buffers.take(10))];
    made.submit_load(LoadTask { objects, done });
    assert_eq!(answer(&receive).popcount(), 0);
    assert!(made.report_status().is_healthy, "a miss is no illness");
}

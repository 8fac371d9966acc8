//! What every comparison has: reading the clock and nothing else, the least that recording can cost, and ours.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use lmcache::clock::{TickPair, TickScale, TickSource, Waiter, monotonic_ns};
use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey};
use lmcache::trace::recorder::{HashedCall, RecorderOptions, ScopeNumber, ThreadRecorder, TraceRecorder};
use lmcache::trace::ring::{self, Consumer, DEFAULT_RING_BYTES, Producer};

use crate::harness::{Contender, Row};

/// A record: where and when the call was, and one row for each of its keys.
pub(crate) const PREFIX_BYTES: usize = 24;
pub(crate) const ROW_BYTES: usize = 40;
pub(crate) const ONE_KEY_BYTES: usize = PREFIX_BYTES + ROW_BYTES;
const SIXTEEN_KEYS_BYTES: usize = PREFIX_BYTES + 16 * ROW_BYTES;
/// How often a thread looks after its ring.
const DRAIN_INTERVAL_NS: u64 = 100_000;

pub(crate) fn rows() -> Vec<Row> {
    // As much memory as the ring has, so that the caches treat both alike.
    const ONE_KEY_SLOTS: usize = DEFAULT_RING_BYTES / ONE_KEY_BYTES;
    const SIXTEEN_KEYS_SLOTS: usize = DEFAULT_RING_BYTES / SIXTEEN_KEYS_BYTES;
    let (here, apart) = (Drained::Here, Drained::ByThread);
    vec![
        Row::new("empty call", 0, Empty),
        Row::new("stamp alone", 0, Stamp(TickSource::detect(), 0)),
        Row::new("stamp to nanoseconds", 0, Placed::new()),
        Row::new("off: one relaxed load", 0, Gated { is_on: Arc::default(), recorder: Ring::<1>::new(here) }),
        Row::new("floor, 1 key", ONE_KEY_BYTES, Floor::<1, ONE_KEY_BYTES, ONE_KEY_SLOTS>::new()),
        Row::new("ring, 1 key", ONE_KEY_BYTES, Ring::<1>::new(here)),
        Row::new("ring, 1 key, drained by a thread", ONE_KEY_BYTES, Ring::<1>::new(apart)),
        Row::new(
            "floor, 16 keys",
            SIXTEEN_KEYS_BYTES,
            Floor::<16, SIXTEEN_KEYS_BYTES, SIXTEEN_KEYS_SLOTS>::new(),
        ),
        Row::new("ring, 16 keys", SIXTEEN_KEYS_BYTES, Ring::<16>::new(here)),
        Row::new("recorder off", 0, Recorded::<1, _>::new(false, by_hash)),
        Row::new("recorder, 1 key by hash", ONE_KEY_BYTES, Recorded::<1, _>::new(true, by_hash)),
        Row::new("recorder, 1 key", ONE_KEY_BYTES, Recorded::<1, _>::new(true, by_key)),
        Row::new(
            "recorder, 1 key, thread local",
            ONE_KEY_BYTES,
            Recorded::<1, _>::new(true, by_thread_local),
        ),
        Row::new("recorder, 16 keys by hash", SIXTEEN_KEYS_BYTES, Recorded::<16, _>::new(true, by_hash)),
        Row::new("recorder, 16 keys", SIXTEEN_KEYS_BYTES, Recorded::<16, _>::new(true, by_key)),
    ]
}

/// What timing costs.
struct Empty;

impl Contender for Empty {
    #[inline(always)]
    fn call(&mut self) {}
}

/// Reading the counter, the largest part of a record.
struct Stamp(TickSource, u64);

impl Contender for Stamp {
    #[inline(always)]
    fn call(&mut self) {
        self.1 = self.0.now();
    }
}

/// What the writer thread does to a stamp.
struct Placed {
    scale: TickScale,
    ticks: u64,
    sum_ns: u64,
}

impl Placed {
    fn new() -> Self {
        let pair = TickPair::take(TickSource::detect());
        let later = TickPair { ticks: pair.ticks + (1 << 40), monotonic_ns: pair.monotonic_ns + (1 << 39) };
        Self { scale: TickScale::between(pair, later), ticks: pair.ticks, sum_ns: 0 }
    }
}

impl Contender for Placed {
    #[inline(always)]
    fn call(&mut self) {
        self.ticks += 100;
        self.sum_ns ^= black_box(&self.scale).monotonic_ns(self.ticks);
    }
}

/// What all records here are made of.
pub(crate) struct Template<const KEYS: usize> {
    source: TickSource,
    sequence: u64,
    keys: [[u8; ROW_BYTES]; KEYS],
}

impl<const KEYS: usize> Template<KEYS> {
    pub(crate) const BYTES: usize = PREFIX_BYTES + KEYS * ROW_BYTES;

    pub(crate) fn new() -> Self {
        Self { source: TickSource::detect(), sequence: 0, keys: [[0x5a; ROW_BYTES]; KEYS] }
    }

    /// Stamps, and writes the next record to `bytes`, which are `BYTES` long.
    #[inline(always)]
    pub(crate) fn write(&mut self, bytes: &mut [u8]) {
        let (prefix, rows) = bytes.split_at_mut(PREFIX_BYTES);
        prefix[..8].copy_from_slice(&(Self::BYTES as u64).to_le_bytes());
        prefix[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        prefix[16..].copy_from_slice(&self.source.now().to_le_bytes());
        // Or the compiler would keep the keys of a loop of calls in registers.
        rows.copy_from_slice(black_box(&self.keys).as_flattened());
        self.sequence += 1;
    }
}

/// A stamp, the bytes, and one release store, to memory that nothing else is known of.
struct Floor<const KEYS: usize, const BYTES: usize, const SLOTS: usize> {
    template: Template<KEYS>,
    slots: Box<[[u8; BYTES]; SLOTS]>,
    slot: usize,
    head: AtomicU64,
    scratch: Vec<[u8; BYTES]>,
    copied: usize,
}

impl<const KEYS: usize, const BYTES: usize, const SLOTS: usize> Floor<KEYS, BYTES, SLOTS> {
    fn new() -> Self {
        // Written, not only reserved: no call waits for a page.
        let slots = vec![[1; BYTES]; SLOTS].try_into().expect("so many slots");
        let scratch = Vec::with_capacity(SLOTS);
        Self { template: Template::new(), slots, slot: 0, head: AtomicU64::new(0), scratch, copied: 0 }
    }
}

impl<const KEYS: usize, const BYTES: usize, const SLOTS: usize> Contender for Floor<KEYS, BYTES, SLOTS> {
    #[inline(always)]
    fn call(&mut self) {
        self.template.write(&mut self.slots[self.slot % SLOTS]);
        self.slot += 1;
        // Release: as a recorder would.
        self.head.store((self.slot * BYTES) as u64, Ordering::Release);
    }

    /// Leaves the caches as the drain of a ring does.
    fn drain(&mut self) {
        self.scratch.clear();
        for slot in self.copied..self.slot {
            self.scratch.push(self.slots[slot % SLOTS]);
        }
        self.copied = self.slot;
    }
}

/// Who empties a ring.
#[derive(Clone, Copy)]
enum Drained {
    Here,
    ByThread,
}

/// Our ring. A record that it refused would be a fault of the bench, so it ends it.
struct Ring<const KEYS: usize> {
    template: Template<KEYS>,
    producer: Producer,
    drain: Drain,
}

enum Drain {
    Here(Consumer, Vec<u8>),
    ByThread { stop: Arc<AtomicBool>, thread: Option<JoinHandle<()>> },
}

impl<const KEYS: usize> Ring<KEYS> {
    fn new(drained: Drained) -> Self {
        let (producer, consumer) = ring::create(DEFAULT_RING_BYTES).expect("a ring");
        let scratch = Vec::with_capacity(DEFAULT_RING_BYTES);
        let drain = match drained {
            Drained::Here => Drain::Here(consumer, scratch),
            Drained::ByThread => {
                let stop = Arc::new(AtomicBool::new(false));
                let thread = Some(start_draining(consumer, scratch, Arc::clone(&stop)));
                Drain::ByThread { stop, thread }
            }
        };
        Self { template: Template::new(), producer, drain }
    }
}

impl<const KEYS: usize> Contender for Ring<KEYS> {
    #[inline(always)]
    fn call(&mut self) {
        let mut reserved = self.producer.reserve(Template::<KEYS>::BYTES).expect("the ring was drained");
        self.template.write(reserved.bytes());
        reserved.commit();
    }

    fn drain(&mut self) {
        if let Drain::Here(consumer, scratch) = &mut self.drain {
            copy_out(consumer, scratch);
        }
    }
}

impl<const KEYS: usize> Drop for Ring<KEYS> {
    fn drop(&mut self) {
        if let Drain::ByThread { stop, thread } = &mut self.drain {
            // Relaxed: the thread has nothing to learn from it but to stop.
            stop.store(true, Ordering::Relaxed);
            if let Some(thread) = thread.take() {
                thread.join().expect("a thread that does not panic");
            }
        }
    }
}

/// What the writer thread does to a ring: copies the bytes out, then releases them.
fn copy_out(consumer: &mut Consumer, scratch: &mut Vec<u8>) {
    let readable_bytes = consumer.refresh();
    scratch.clear();
    consumer.readable().iter().for_each(|run| scratch.extend_from_slice(run));
    consumer.release(readable_bytes);
}

fn start_draining(mut consumer: Consumer, mut scratch: Vec<u8>, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        // Relaxed: see `Ring::drop`.
        while !stop.load(Ordering::Relaxed) {
            copy_out(&mut consumer, &mut scratch);
            Waiter::new(0).wait_until_ns(monotonic_ns() + DRAIN_INTERVAL_NS, || false);
        }
    })
}

/// A call while nothing is recorded.
struct Gated<C> {
    is_on: Arc<AtomicBool>,
    recorder: C,
}

impl<C: Contender> Contender for Gated<C> {
    #[inline(always)]
    fn call(&mut self) {
        // Relaxed: a call that misses the moment of switching is recorded or not, both are right.
        if self.is_on.load(Ordering::Relaxed) {
            self.recorder.call();
        }
    }
}

/// The recorder itself, into a file: calls with keys of one scope. `C` says which call.
struct Recorded<const KEYS: usize, C> {
    set: Set<KEYS>,
    call: C,
}

/// What a recorded call needs.
struct Set<const KEYS: usize> {
    recorder: TraceRecorder,
    thread: ThreadRecorder,
    scope: ScopeNumber,
    hashes: [[u8; 32]; KEYS],
    keys: Vec<ObjectKey>,
    _directory: tempfile::TempDir,
}

impl<const KEYS: usize, C: Fn(&mut Set<KEYS>)> Recorded<KEYS, C> {
    fn new(is_enabled: bool, call: C) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = RecorderOptions::new(directory.path().join("bench.lct"));
        let recorder = TraceRecorder::open(options).expect("a recorder");
        let mut thread = recorder.thread().expect("a ring");
        let scope = Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope"));
        let hashes: [[u8; 32]; KEYS] = std::array::from_fn(|key| [key as u8; 32]);
        let key = |hash: &[u8; 32]| ObjectKey::new(ChunkHash::new(hash), Arc::clone(&scope));
        let keys = hashes.iter().map(key).collect();
        let scope = thread.scope(&scope);
        recorder.set_enabled(is_enabled);
        Self { set: Set { recorder, thread, scope, hashes, keys, _directory: directory }, call }
    }
}

impl<const KEYS: usize, C: Fn(&mut Set<KEYS>)> Contender for Recorded<KEYS, C> {
    #[inline(always)]
    fn call(&mut self) {
        (self.call)(&mut self.set);
    }
}

/// `ThreadRecorder::record_hashes`.
#[inline(always)]
fn by_hash<const KEYS: usize>(set: &mut Set<KEYS>) {
    set.thread.record_hashes(HashedCall::FinishWrite, set.scope, black_box(&set.hashes));
}

/// `ThreadRecorder::finish_write`.
#[inline(always)]
fn by_key<const KEYS: usize>(set: &mut Set<KEYS>) {
    set.thread.finish_write(black_box(&set.keys));
}

/// `TraceRecorder::with_thread`, which finds the thread's ring.
#[inline(always)]
fn by_thread_local<const KEYS: usize>(set: &mut Set<KEYS>) {
    set.recorder.with_thread(|thread| thread.finish_write(black_box(&set.keys)));
}

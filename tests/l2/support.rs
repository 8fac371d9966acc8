//! Keys, bytes and buffers, and an adapter's tasks as calls that wait.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey};
use lmcache::storage::Bitmap;
use lmcache::storage::l2::{Completion, L2Adapter, LoadTask, LookupTask, StoreOutcome, StoreTask, Transfer};
use lmcache::storage::memory::{Arena, PinnedSpan, Span};

/// The alignment of buffers, as that of L1.
pub(crate) const PAGE: u64 = 4096;

/// How long a task may take before a test gives it up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A small random number generator (xorshift), so that a failure comes back with its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A key with all its fields.
pub(crate) fn key_of(model: &str, kv_rank: i64, group: u32, hash: &[u8], salt: &str) -> ObjectKey {
    let scope = KeyScope::new(model, kv_rank, group, salt).expect("a scope");
    ObjectKey::new(ChunkHash::new(hash), Arc::new(scope))
}

/// Keys `first..first + count` of one model.
pub(crate) fn keys(first: u32, count: u32) -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope"));
    let key = |i: u32| ObjectKey::new(ChunkHash::new(&i.to_be_bytes()), Arc::clone(&scope));
    (first..first + count).map(key).collect()
}

/// Bytes that tell one `seed` from another, and one place from another.
pub(crate) fn payload(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let words = (0..len.div_ceil(8)).flat_map(|_| random.below(u64::MAX).to_le_bytes());
    words.take(len).collect()
}

/// An arena from which buffers are cut one after the other; none is used twice.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub(crate) arena: Arc<Arena>,
    next: Mutex<u64>,
}

impl Buffers {
    /// Room for so many bytes. What is not used costs nothing.
    pub(crate) fn new(bytes: u64) -> Self {
        let arena = Arena::new(bytes.next_multiple_of(PAGE), PAGE).expect("address space");
        Self { arena: Arc::new(arena), next: Mutex::new(0) }
    }

    /// A buffer of `len` bytes; aligned, and padded to whole pages.
    pub(crate) fn take(&self, len: usize) -> PinnedSpan {
        let phy_size_bytes = (len as u64).next_multiple_of(PAGE);
        let mut next = self.next.lock().expect("no panic");
        let span = Span { offset_bytes: *next, phy_size_bytes, size_bytes: len as u64 };
        *next += phy_size_bytes;
        self.arena.pin(span)
    }

    /// A buffer with these bytes.
    pub(crate) fn filled(&self, bytes: &[u8]) -> PinnedSpan {
        let buffer = self.take(bytes.len());
        buffer.write_from(0, bytes).expect("it fits");
        buffer
    }
}

/// Makes a task's completion, and where its answer will come: `Some(None)` if it was dropped.
pub(crate) fn completion<T: Send + 'static>() -> (Completion<T>, Receiver<Option<T>>) {
    let (send, receive) = channel();
    // Who asks may be gone.
    let done = Completion::new(move |answer| drop(send.send(answer)));
    (done, receive)
}

/// The answer; it has to come, and to be one.
pub(crate) fn answer<T>(receive: &Receiver<Option<T>>) -> T {
    receive.recv_timeout(PATIENCE).expect("the task is answered").expect("the task is not dropped")
}

/// Stores objects in one task.
pub(crate) fn store(adapter: &dyn L2Adapter, objects: &[(ObjectKey, Vec<u8>)]) -> StoreOutcome {
    let buffers =
        Buffers::new(objects.iter().map(|(_, bytes)| bytes.len() as u64 + PAGE).sum::<u64>().max(1));
    let (done, receive) = completion();
    let transfer = |(key, bytes): &(ObjectKey, Vec<u8>)| Transfer::new(key.clone(), buffers.filled(bytes));
    adapter.submit_store(StoreTask { objects: objects.iter().map(transfer).collect(), done });
    answer(&receive)
}

/// Stores objects, all of which have to be there afterwards.
pub(crate) fn store_all(adapter: &dyn L2Adapter, objects: &[(ObjectKey, Vec<u8>)]) {
    let outcome = store(adapter, objects);
    assert!(outcome.is_success(), "{outcome:?}: {:?}", adapter.report_status());
}

/// Looks keys up with the sizes that they should have, and locks them.
pub(crate) fn lookup_sized(adapter: &dyn L2Adapter, keys: &[(ObjectKey, u64)]) -> Bitmap {
    let (done, receive) = completion();
    let task = LookupTask {
        keys: keys.iter().map(|(key, _)| key.clone()).collect(),
        sizes_bytes: keys.iter().map(|(_, size_bytes)| *size_bytes).collect(),
        done,
    };
    adapter.submit_lookup_and_lock(task);
    let found = answer(&receive);
    assert_eq!(found.len(), keys.len());
    found
}

/// Which keys are there, as objects of these sizes; leaves no lock.
pub(crate) fn present(adapter: &dyn L2Adapter, keys: &[(ObjectKey, u64)]) -> Vec<bool> {
    let found = lookup_sized(adapter, keys);
    let bits: Vec<bool> = (0..keys.len()).map(|position| found.test(position)).collect();
    let locked: Vec<_> = found.ones().map(|position| keys[position].0.clone()).collect();
    adapter.submit_unlock(&locked);
    bits
}

/// Which keys are there, whatever their sizes; leaves no lock.
pub(crate) fn present_any(adapter: &dyn L2Adapter, keys: &[ObjectKey]) -> Vec<bool> {
    present(adapter, &sized(keys, 0))
}

/// The same size for all.
pub(crate) fn sized(keys: &[ObjectKey], size_bytes: u64) -> Vec<(ObjectKey, u64)> {
    keys.iter().map(|key| (key.clone(), size_bytes)).collect()
}

/// Loads objects of these sizes in one task: the bytes of those that came.
pub(crate) fn load(adapter: &dyn L2Adapter, objects: &[(ObjectKey, usize)]) -> Vec<Option<Vec<u8>>> {
    let buffers = Buffers::new(objects.iter().map(|(_, len)| *len as u64 + PAGE).sum::<u64>().max(1));
    let spans: Vec<_> = objects.iter().map(|(_, len)| buffers.take(*len)).collect();
    let (done, receive) = completion();
    let again: Vec<_> = spans.iter().map(|buffer| buffers.arena.pin(buffer.span())).collect();
    let transfers =
        objects.iter().zip(spans).map(|((key, _), buffer)| Transfer::new(key.clone(), buffer)).collect();
    adapter.submit_load(LoadTask { objects: transfers, done });
    let loaded = answer(&receive);
    assert_eq!(loaded.len(), objects.len());
    let bytes = |(position, buffer): (usize, &PinnedSpan)| {
        loaded.test(position).then(|| {
            let mut bytes = vec![0; buffer.size_bytes()];
            buffer.read_into(0, &mut bytes);
            bytes
        })
    };
    again.iter().enumerate().map(bytes).collect()
}

/// Loads one object.
pub(crate) fn load_one(adapter: &dyn L2Adapter, key: &ObjectKey, len: usize) -> Option<Vec<u8>> {
    load(adapter, &[(key.clone(), len)]).remove(0)
}

/// A number of an adapter's status.
pub(crate) fn status_number(adapter: &dyn L2Adapter, field: &str) -> u64 {
    let status = adapter.report_status();
    status
        .fields
        .get(field)
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_else(|| panic!("{field}: {status:?}"))
}

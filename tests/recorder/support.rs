//! Keys, and files as they are read back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lmcache::clock::{Waiter, monotonic_ns};
use lmcache::format::model::KeyInterner;
use lmcache::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc, ObjectKey, StorageCall};
use lmcache::format::native::Body;
use lmcache::format::native::pod::{CompletionBody, LossBody};
use lmcache::trace::native::NativeTrace;

pub(crate) fn scope(salt: &str) -> Arc<KeyScope> {
    Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, salt).expect("a good scope"))
}

pub(crate) fn keys(scope: &Arc<KeyScope>, numbers: impl IntoIterator<Item = u64>) -> Vec<ObjectKey> {
    let key = |number: u64| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        ObjectKey::new(ChunkHash::new(&hash), Arc::clone(scope))
    };
    numbers.into_iter().map(key).collect()
}

pub(crate) fn layout(extent: u64) -> MemoryLayoutDesc {
    let bf16 = Dtype::from_name("torch.bfloat16").expect("torch has it");
    MemoryLayoutDesc::new(vec![(Box::new([extent, 2]), bf16)]).expect("a small layout")
}

/// Lets other threads and processes run.
pub(crate) fn pause_us(us: u64) {
    Waiter::new(0).wait_until_ns(monotonic_ns() + us * 1_000, || false);
}

/// What a file holds, in its order.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    /// Time, thread, sequence and call.
    pub(crate) calls: Vec<(u64, u32, u32, StorageCall)>,
    pub(crate) host_calls: Vec<(String, Vec<u8>)>,
    pub(crate) losses: Vec<(u32, LossBody)>,
    pub(crate) completions: Vec<CompletionBody>,
    pub(crate) late: u64,
    pub(crate) is_closed: bool,
    pub(crate) thread_names: BTreeMap<u32, String>,
}

pub(crate) fn read(path: &Path) -> ReadBack {
    let trace =
        NativeTrace::from_bytes(path, &std::fs::read(path).expect("the file is there")).expect("a trace");
    let mut read = ReadBack { is_closed: trace.index().is_some(), ..ReadBack::default() };
    let mut interner = KeyInterner::default();
    for place in trace.chunks() {
        let chunk = trace.open_chunk(place, None).expect("a good chunk");
        read.thread_names.extend(chunk.threads().map(|(number, facts)| (number, facts.name.clone())));
        for record in chunk.records() {
            let prefix = record.prefix();
            read.late += u64::from(record.is_late());
            match record.body() {
                Body::Call(call) => {
                    let call = call.to_call(&mut interner).expect("a good call");
                    read.calls.push((prefix.t_ns, prefix.thread, prefix.sequence, call));
                }
                Body::HostCall { name, bytes } => read.host_calls.push((name.to_owned(), bytes.to_vec())),
                Body::Loss(loss) => read.losses.push((prefix.thread, loss)),
                Body::Completion(completion) => read.completions.push(completion),
                _ => {}
            }
        }
    }
    read
}

impl ReadBack {
    /// Calls and losses of a thread, which must together have each number once. Returns both counts.
    pub(crate) fn account(&self, thread: u32) -> (u64, u64) {
        let mut numbers: Vec<u64> =
            self.calls.iter().filter(|call| call.1 == thread).map(|call| u64::from(call.2)).collect();
        let calls = numbers.len() as u64;
        for (_, loss) in self.losses.iter().filter(|(number, _)| *number == thread) {
            let first = u64::from(loss.first_sequence);
            numbers.extend(first..first + loss.count);
        }
        let total = numbers.len() as u64;
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..total), "each number once: {numbers:?}");
        (calls, total - calls)
    }
}

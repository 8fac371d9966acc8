//! What an adapter is handed, and how it answers.

use std::fmt;

use crate::format::model::{MemoryLayoutDesc, ObjectKey};
use crate::storage::memory::PinnedSpan;
use crate::storage::prefetch::Bitmap;
use crate::sync::Arc;

/// An object on its way between L1 and L2: its key, and its bytes in L1.
#[derive(Debug)]
pub struct Transfer {
    /// Which object.
    pub key: ObjectKey,
    /// Where it lies in L1. Read by a store, written by a load; its logical size is the object's.
    pub buffer: PinnedSpan,
    /// What its bytes are, where that is known. Some serdes cannot do without.
    pub layout: Option<MemoryLayoutDesc>,
}

impl Transfer {
    /// An object of which nothing is known but its size.
    pub fn new(key: ObjectKey, buffer: PinnedSpan) -> Self {
        Self { key, buffer, layout: None }
    }
}

/// Who is told the answer to a task. It is told once: by [`answer`](Self::answer), or, if the completion is dropped
/// without one, that there is none.
pub struct Completion<T>(Option<Box<dyn FnOnce(Option<T>) + Send>>);

impl<T> Completion<T> {
    /// Calls `sink` with the answer, on the thread that has it, or with `None` if there will be none: an adapter that
    /// was closed or panicked. `sink` must not wait.
    pub fn new(sink: impl FnOnce(Option<T>) + Send + 'static) -> Self {
        Self(Some(Box::new(sink)))
    }

    /// Answers.
    pub fn answer(mut self, answer: T) {
        if let Some(sink) = self.0.take() {
            sink(Some(answer));
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(sink) = self.0.take() {
            sink(None);
        }
    }
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completion")
    }
}

/// Objects to be copied to L2.
#[derive(Debug)]
pub struct StoreTask {
    /// The objects. Their bytes do not change while the task holds them.
    pub objects: Vec<Transfer>,
    /// Who is told.
    pub done: Completion<StoreOutcome>,
}

/// What became of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOutcome {
    /// The objects that are not in L2 and may be tried again, by their position in the task. What was there already
    /// is none of them.
    pub failed: Bitmap,
    /// The objects that are not in L2 because the adapter has no room for them: nobody would gain by trying again.
    pub refused: Bitmap,
    /// Bytes that were really written: 0 for an object that was there already.
    pub bytes: u64,
}

impl StoreOutcome {
    /// The outcome of a task of which nothing was stored.
    pub fn all_failed(len: usize) -> Self {
        Self { failed: Bitmap::from_fn(len, |_| true), refused: Bitmap::new(len), bytes: 0 }
    }

    /// Whether nothing failed: what LMCache knows of a store.
    pub fn is_success(&self) -> bool {
        self.failed.popcount() == 0
    }
}

/// Keys to be looked up and locked.
#[derive(Debug)]
pub struct LookupTask {
    /// The keys.
    pub keys: Arc<[ObjectKey]>,
    /// How large each object has to be, parallel to the keys. A hint: an adapter that knows the size of what it
    /// holds need not offer what cannot be loaded.
    pub sizes_bytes: Arc<[u64]>,
    /// Who is told: a bit for each key that is there and locked.
    pub done: Completion<Bitmap>,
}

/// Objects to be copied to L1.
#[derive(Debug)]
pub struct LoadTask {
    /// The objects, and where they go.
    pub objects: Vec<Transfer>,
    /// Who is told: a bit for each object whose bytes are all there.
    pub done: Completion<Bitmap>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Mutex, lock};

    #[test]
    fn a_completion_is_told_once_with_an_answer_or_without() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let completion = || {
            let told = Arc::clone(&told);
            Completion::new(move |answer: Option<u8>| lock(&told).push(answer))
        };
        completion().answer(7);
        drop(completion());
        assert_eq!(*lock(&told), [Some(7), None]);
    }
}

//! What leaves L1 once it is in L2: the policy `skip_l1`.

use crate::clock::NS_PER_S;
use crate::format::model::ObjectKey;
use crate::storage::l1::{L1Error, L1Manager};

/// The pause before a deletion that found its object locked is tried again.
const RETRY_NS: u64 = NS_PER_S / 10;

/// How an object is doing in the adapters that it goes to.
#[derive(Clone, Copy, Debug)]
struct Owed {
    adapters: usize,
    has_failed: bool,
}

/// Deletions that wait: for the last adapter, or for the last reader.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    owed: hashbrown::HashMap<ObjectKey, Owed, foldhash::fast::RandomState>,
    locked: Vec<ObjectKey>,
    due_ns: u64,
}

impl Deletions {
    /// Objects go to so many adapters.
    pub(super) fn expect(&mut self, keys: &[ObjectKey], adapters: usize) {
        for key in keys {
            self.owed.insert(key.clone(), Owed { adapters, has_failed: false });
        }
    }

    /// An adapter is done with objects: it has them, or failed for good. Returns those that are to be deleted now. An
    /// object that one adapter failed to store stays in L1.
    pub(super) fn settle(&mut self, keys: &[ObjectKey], is_stored: bool) -> Vec<ObjectKey> {
        let mut due = Vec::new();
        for key in keys {
            let Some(owed) = self.owed.get_mut(key) else { continue };
            owed.adapters = owed.adapters.saturating_sub(1);
            owed.has_failed |= !is_stored;
            if owed.adapters > 0 {
                continue;
            }
            if let Some(Owed { has_failed: false, .. }) = self.owed.remove(key) {
                due.push(key.clone());
            }
        }
        due
    }

    /// Deletes objects; those that are locked are tried again later.
    pub(super) fn delete(&mut self, l1: &L1Manager, keys: Vec<ObjectKey>, now_ns: u64) {
        if keys.is_empty() {
            return;
        }
        let codes = l1.delete(&keys, false);
        let refused = keys.into_iter().zip(codes.as_slice());
        let before = self.locked.len();
        self.locked.extend(refused.filter(|(_, code)| **code == L1Error::KeyIsLocked).map(|(key, _)| key));
        if before == 0 {
            self.due_ns = now_ns.saturating_add(RETRY_NS);
        }
    }

    /// Tries those again that were locked, if it is time.
    pub(super) fn retry(&mut self, l1: &L1Manager, now_ns: u64) {
        if !self.locked.is_empty() && self.due_ns <= now_ns {
            let keys = std::mem::take(&mut self.locked);
            self.delete(l1, keys, now_ns);
        }
    }

    /// When that is.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        (!self.locked.is_empty()).then_some(self.due_ns)
    }

    /// How many objects are locked.
    pub(super) fn waiting(&self) -> usize {
        self.locked.len()
    }
}

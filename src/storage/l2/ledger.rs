//! What an adapter holds, counted by the byte and by the tenant; LMCache's `_notify_keys_*`.
//!
//! The books are the adapter's own word: it says what it stored, used and deleted, with sizes. An object that is
//! overwritten counts nothing. The order of the calls is the order in which a listener, such as an eviction policy,
//! hears of them.

use std::fmt;

use crate::format::model::ObjectKey;
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// Hears what changes in an adapter. Called without any lock of the ledger.
pub trait L2Listener: Send + Sync + fmt::Debug {
    /// Objects were stored, with the bytes that each added.
    fn on_l2_keys_stored(&self, keys: &[(ObjectKey, u64)]);
    /// Objects were loaded.
    fn on_l2_keys_accessed(&self, keys: &[ObjectKey]);
    /// Objects are gone, with the bytes that each gave back.
    fn on_l2_keys_deleted(&self, keys: &[(ObjectKey, u64)]);
}

/// LMCache's `AdapterUsage`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdapterUsage {
    /// Bytes in use.
    pub total_bytes_used: u64,
    /// Bytes that the adapter may use; 0 if it was given no limit.
    pub total_capacity_bytes: u64,
    /// Bytes in use by each `cache_salt` that has any, in the order in which they came.
    pub bytes_by_cache_salt: Vec<(String, u64)>,
}

impl AdapterUsage {
    /// The share of the capacity that is in use; `None` without a limit (LMCache says -1).
    pub fn usage_fraction(&self) -> Option<f64> {
        (self.total_capacity_bytes > 0)
            .then(|| self.total_bytes_used as f64 / self.total_capacity_bytes as f64)
    }
}

#[derive(Debug, Default)]
struct Books {
    total_bytes: u64,
    by_salt: hashbrown::HashMap<Box<str>, OfSalt, foldhash::fast::RandomState>,
    /// Numbers the salts in the order in which they came.
    next_salt: u64,
    underflows: u64,
}

#[derive(Debug)]
struct OfSalt {
    bytes: u64,
    number: u64,
}

impl Books {
    fn add(&mut self, salt: &str, bytes: u64) {
        self.total_bytes = self.total_bytes.saturating_add(bytes);
        match self.by_salt.get_mut(salt) {
            Some(of_salt) => of_salt.bytes = of_salt.bytes.saturating_add(bytes),
            None => {
                self.by_salt.insert(salt.into(), OfSalt { bytes, number: self.next_salt });
                self.next_salt += 1;
            }
        }
    }

    fn take(&mut self, salt: &str, bytes: u64) {
        self.underflows += u64::from(bytes > self.total_bytes);
        self.total_bytes = self.total_bytes.saturating_sub(bytes);
        let Some(of_salt) = self.by_salt.get_mut(salt) else { return };
        of_salt.bytes = of_salt.bytes.saturating_sub(bytes);
        if of_salt.bytes == 0 {
            self.by_salt.remove(salt);
        }
    }
}

/// The books of one adapter.
#[derive(Debug, Default)]
pub struct Ledger {
    capacity_bytes: u64,
    books: Mutex<Books>,
    listeners: OnceLock<Vec<Arc<dyn L2Listener>>>,
}

impl Ledger {
    /// Empty books of an adapter that may hold `capacity_bytes`; 0 is no limit.
    pub fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, ..Self::default() }
    }

    /// Tells `listeners` of all that happens from now on. The storage manager calls this once, before the adapter
    /// gets its first task; a second call changes nothing and is false.
    pub fn listen(&self, listeners: Vec<Arc<dyn L2Listener>>) -> bool {
        self.listeners.set(listeners).is_ok()
    }

    fn listeners(&self) -> &[Arc<dyn L2Listener>] {
        self.listeners.get().map_or(&[], Vec::as_slice)
    }

    /// Objects were stored, each with the bytes that it added.
    pub fn stored(&self, keys: &[(ObjectKey, u64)]) {
        if keys.is_empty() {
            return;
        }
        let mut books = lock(&self.books);
        keys.iter().for_each(|(key, bytes)| books.add(key.scope().cache_salt(), *bytes));
        drop(books);
        self.listeners().iter().for_each(|listener| listener.on_l2_keys_stored(keys));
    }

    /// Objects were loaded.
    pub fn accessed(&self, keys: &[ObjectKey]) {
        if !keys.is_empty() {
            self.listeners().iter().for_each(|listener| listener.on_l2_keys_accessed(keys));
        }
    }

    /// Objects are gone, each with the bytes that it gave back. More than there were counts as an underflow: the
    /// object's size changed behind the adapter's back.
    pub fn deleted(&self, keys: &[(ObjectKey, u64)]) {
        if keys.is_empty() {
            return;
        }
        let mut books = lock(&self.books);
        keys.iter().for_each(|(key, bytes)| books.take(key.scope().cache_salt(), *bytes));
        drop(books);
        self.listeners().iter().for_each(|listener| listener.on_l2_keys_deleted(keys));
    }

    /// Bytes that the adapter may use; 0 if it was given no limit.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Bytes in use, without looking at the tenants.
    pub fn used_bytes(&self) -> u64 {
        lock(&self.books).total_bytes
    }

    /// The share of the capacity that is in use; `None` without a limit.
    pub fn usage_fraction(&self) -> Option<f64> {
        (self.capacity_bytes > 0).then(|| self.used_bytes() as f64 / self.capacity_bytes as f64)
    }

    /// How often more was deleted than was there.
    pub fn underflows(&self) -> u64 {
        lock(&self.books).underflows
    }

    /// The books, copied.
    pub fn usage(&self) -> AdapterUsage {
        let books = lock(&self.books);
        let mut salts: Vec<_> = books.by_salt.iter().filter(|(_, of_salt)| of_salt.bytes > 0).collect();
        salts.sort_unstable_by_key(|(_, of_salt)| of_salt.number);
        let bytes_by_cache_salt =
            salts.into_iter().map(|(salt, of_salt)| (salt.to_string(), of_salt.bytes)).collect();
        let total_bytes_used = books.total_bytes;
        drop(books);
        AdapterUsage { total_bytes_used, total_capacity_bytes: self.capacity_bytes, bytes_by_cache_salt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};

    fn key(salt: &str) -> ObjectKey {
        ObjectKey::new(ChunkHash::new(b"h"), Arc::new(KeyScope::new("m", 0, 0, salt).unwrap()))
    }

    #[test]
    fn books_are_kept_by_tenant_and_never_fall_below_zero() {
        let ledger = Ledger::new(100);
        ledger.stored(&[(key(""), 10), (key("a"), 20), (key("b"), 0)]);
        ledger.stored(&[(key("a"), 5)]);
        let usage = ledger.usage();
        assert_eq!(usage.bytes_by_cache_salt, [(String::new(), 10), ("a".to_owned(), 25)]);
        assert_eq!((usage.total_bytes_used, usage.usage_fraction()), (35, Some(0.35)));
        ledger.deleted(&[(key("a"), 30)]);
        assert_eq!((ledger.used_bytes(), ledger.underflows()), (5, 0));
        ledger.deleted(&[(key(""), 10)]);
        assert_eq!((ledger.used_bytes(), ledger.underflows()), (0, 1));
        assert_eq!(Ledger::new(0).usage().usage_fraction(), None);
    }
}

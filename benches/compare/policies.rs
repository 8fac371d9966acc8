//! Eviction policies beside their rivals: the rows of the package's own bench `policies`, and, each with our keys and no
//! values,
//! * `lru`: least recently used first, by the most used crate of its kind; not for threads;
//! * `quick_cache`: an S3-FIFO of its own kind, in its form that is not for threads.
//!
//! ```text
//! cd benches/compare && cargo bench --bench policies
//! ```

#[path = "../policies/workload.rs"]
mod workload;

use std::num::NonZeroUsize;

use lmcache::format::model::ObjectKey;
use workload::{CAPACITY, Cache, Row};

fn main() {
    let mut rows = workload::rows();
    let capacity = NonZeroUsize::new(CAPACITY).expect("room");
    rows.push(Row::new("crate lru", Lru { cache: lru::LruCache::new(capacity), keys: workload::keys() }));
    let cache = quick_cache::unsync::Cache::new(CAPACITY);
    rows.push(Row::new("crate quick_cache", QuickCache { cache, keys: workload::keys() }));
    workload::run(&mut rows);
}

struct Lru {
    cache: lru::LruCache<ObjectKey, ()>,
    keys: Vec<ObjectKey>,
}

impl Cache for Lru {
    fn access(&mut self, object: u32) -> bool {
        let key = &self.keys[object as usize];
        let was_there = self.cache.get(key).is_some();
        if !was_there {
            self.cache.push(key.clone(), ());
        }
        was_there
    }
}

struct QuickCache {
    cache: quick_cache::unsync::Cache<ObjectKey, ()>,
    keys: Vec<ObjectKey>,
}

impl Cache for QuickCache {
    fn access(&mut self, object: u32) -> bool {
        let key = &self.keys[object as usize];
        let was_there = self.cache.get(key).is_some();
        if !was_there {
            self.cache.insert(key.clone(), ());
        }
        was_there
    }
}

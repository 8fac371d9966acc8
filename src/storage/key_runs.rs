//! Copies of keys that cost next to nothing to make.
//!
//! A copy of a key counts itself on its scope, a word that all threads share. The keys of a call mostly have one scope:
//! here neighbours with the same one share one count.

use smallvec::SmallVec;

use crate::format::model::{ChunkHash, KeyScope, ObjectKey};
use crate::sync::Arc;

type Runs = SmallVec<[(Arc<KeyScope>, usize); 1]>;

/// The keys of a call.
#[derive(Clone, Debug)]
pub(super) struct KeyRuns {
    hashes: Vec<ChunkHash>,
    /// Each scope with the number of keys that have it.
    runs: Runs,
}

impl KeyRuns {
    /// Copies of `keys`.
    pub(super) fn new(keys: &[ObjectKey]) -> Self {
        let mut runs = Runs::new();
        for key in keys {
            match runs.last_mut() {
                Some((scope, count)) if Arc::ptr_eq(scope, key.scope()) => *count += 1,
                _ => runs.push((Arc::clone(key.scope()), 1)),
            }
        }
        Self { hashes: keys.iter().map(|key| key.chunk_hash().clone()).collect(), runs }
    }

    /// The keys.
    pub(super) fn to_keys(&self) -> Vec<ObjectKey> {
        let scopes = self.runs.iter().flat_map(|(scope, count)| std::iter::repeat_n(scope, *count));
        self.hashes
            .iter()
            .zip(scopes)
            .map(|(hash, scope)| ObjectKey::new(hash.clone(), scope.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_come_back_and_runs_share_a_count() {
        let scope = |salt: &str| Arc::new(KeyScope::new("m", 0, 0, salt).unwrap());
        let (a, b) = (scope("a"), scope("b"));
        let key =
            |hash: u8, scope: &Arc<KeyScope>| ObjectKey::new(ChunkHash::new(&[hash]), Arc::clone(scope));
        let keys = [key(1, &a), key(2, &a), key(3, &b), key(4, &a)];
        let counted = Arc::strong_count(&a);
        let runs = KeyRuns::new(&keys);
        assert_eq!(Arc::strong_count(&a), counted + 2);
        assert_eq!(runs.to_keys(), keys);
    }
}

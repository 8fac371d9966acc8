//! Keys out of views: scopes are shared, and lists that are done with are used again.

use crate::error::Result;
use crate::format::bytes::same_bytes;
use crate::format::model::{ChunkHash, KeyScope, KeyView, ObjectKey, StorageCall};
use crate::sync::Arc;

/// A longer list is not kept: making it anew costs little beside what is put into it.
pub const MOST_SPARE_KEYS: usize = 32;

/// Lists that are kept at most, with [`MOST_SPARE_KEYS`] 6 MiB: what is on its way between the threads of a replay.
const MOST_SPARE_LISTS: usize = 4096;

/// Makes keys and shares their scopes: one [`KeyScope`] per distinct (model, rank, group, salt).
///
/// Whoever is done with a call can [give its lists back](Self::take_back). The next calls get them, and where a key has the scope of
/// the one that it takes the place of, which is nearly always, nothing but its hash is written.
#[derive(Debug, Default)]
pub struct KeyInterner {
    scopes: hashbrown::HashTable<Arc<KeyScope>>,
    last: Option<Arc<KeyScope>>,
    /// The keys of calls that are done with; the last one is the next to be used.
    spare: Vec<Vec<ObjectKey>>,
}

impl KeyInterner {
    /// The owned key of `view`.
    ///
    /// # Errors
    /// Those of [`KeyScope::new`].
    pub fn key(&mut self, view: KeyView<'_>) -> Result<ObjectKey> {
        Ok(ObjectKey::new(ChunkHash::new(view.chunk_hash), self.scope(&view)?))
    }

    /// An empty list, with room for so many keys.
    pub fn list(&mut self, keys: usize) -> KeyListBuilder<'_> {
        let spare = if keys <= MOST_SPARE_KEYS { self.spare.pop() } else { None };
        let keys = spare.unwrap_or_else(|| Vec::with_capacity(keys));
        KeyListBuilder { interner: self, keys, written: 0 }
    }

    /// A list that is done with, whose keys can be [written over](put_key); else an empty one.
    pub(crate) fn spare(&mut self) -> Vec<ObjectKey> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes the lists of a call that is done with; they are empty then.
    pub fn take_back(&mut self, call: &mut StorageCall) {
        for keys in call.key_lists_mut() {
            if !(1..=MOST_SPARE_KEYS).contains(&keys.capacity()) || self.spare.len() >= MOST_SPARE_LISTS {
                continue;
            }
            // Hashes that are not in the key itself can be of any length.
            if keys.iter().any(|key| key.chunk_hash().as_inline().is_none()) {
                keys.clear();
            }
            self.spare.push(std::mem::take(keys));
        }
    }

    pub(crate) fn scope(&mut self, view: &KeyView<'_>) -> Result<Arc<KeyScope>> {
        if let Some(last) = self.last.as_ref().filter(|scope| is_scope_of(scope, view)) {
            return Ok(Arc::clone(last));
        }
        let KeyView { chunk_hash: _, model_name, kv_rank, object_group_id, cache_salt } = *view;
        let hash64 = KeyScope::hash64_of(model_name, kv_rank, object_group_id, cache_salt);
        let scope = match self.scopes.find(hash64, |scope| is_scope_of(scope, view)) {
            Some(scope) => Arc::clone(scope),
            None => {
                let scope = Arc::new(KeyScope::new(model_name, kv_rank, object_group_id, cache_salt)?);
                self.scopes.insert_unique(hash64, Arc::clone(&scope), |scope| scope.hash64());
                scope
            }
        };
        self.last = Some(Arc::clone(&scope));
        Ok(scope)
    }
}

/// A list of keys that is being made, out of one that is done with.
#[derive(Debug)]
pub struct KeyListBuilder<'a> {
    interner: &'a mut KeyInterner,
    /// First the keys that were [pushed](Self::push), then those of the call before, which the next ones take the place of.
    keys: Vec<ObjectKey>,
    written: usize,
}

impl KeyListBuilder<'_> {
    /// Adds the key of `view`.
    ///
    /// # Errors
    /// Those of [`KeyScope::new`].
    #[inline]
    pub fn push(&mut self, view: KeyView<'_>) -> Result<()> {
        match self.keys.get_mut(self.written) {
            Some(place) if is_scope_of(place.scope(), &view) => {
                place.set_chunk_hash(view.chunk_hash);
            }
            Some(place) => *place = self.interner.key(view)?,
            None => self.keys.push(self.interner.key(view)?),
        }
        self.written += 1;
        Ok(())
    }

    /// The keys that were added.
    #[inline]
    pub fn finish(self) -> Vec<ObjectKey> {
        let mut keys = self.keys;
        keys.truncate(self.written);
        keys
    }
}

/// Puts a key where the next one of a list belongs, over what stands there: an [`ObjectKey`] of a call that is done with, nearly always
/// of the same scope.
#[inline(always)]
pub(crate) fn put_key(keys: &mut Vec<ObjectKey>, place: usize, chunk_hash: &[u8], scope: &Arc<KeyScope>) {
    match keys.get_mut(place) {
        Some(key) if Arc::ptr_eq(key.scope(), scope) => key.set_chunk_hash(chunk_hash),
        Some(key) => *key = ObjectKey::new(ChunkHash::new(chunk_hash), Arc::clone(scope)),
        None => keys.push(ObjectKey::new(ChunkHash::new(chunk_hash), Arc::clone(scope))),
    }
}

#[inline]
fn is_scope_of(scope: &KeyScope, view: &KeyView<'_>) -> bool {
    same_bytes(scope.model_name().as_bytes(), view.model_name.as_bytes())
        && scope.kv_rank() == view.kv_rank
        && scope.object_group_id() == view.object_group_id
        && same_bytes(scope.cache_salt().as_bytes(), view.cache_salt.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: KeyView<'static> =
        KeyView { chunk_hash: b"h", model_name: "m", kv_rank: 1, object_group_id: 0, cache_salt: "" };

    fn list(interner: &mut KeyInterner, views: &[KeyView<'_>]) -> Vec<ObjectKey> {
        let mut builder = interner.list(views.len());
        views.iter().for_each(|view| builder.push(*view).unwrap());
        builder.finish()
    }

    #[test]
    fn scopes_are_shared() {
        let mut interner = KeyInterner::default();
        let (a, b) = (interner.key(VIEW).unwrap(), interner.key(KeyView { kv_rank: 2, ..VIEW }).unwrap());
        let c = interner.key(KeyView { chunk_hash: b"other", ..VIEW }).unwrap();
        assert!(Arc::ptr_eq(a.scope(), c.scope()));
        assert_ne!(a, b);
    }

    #[test]
    fn a_list_that_comes_back_holds_what_the_next_call_names_and_nothing_else() {
        let mut interner = KeyInterner::default();
        let long = vec![7; 40];
        let views = |salt| {
            [b"1".as_slice(), b"22", &long].map(|chunk_hash| KeyView { chunk_hash, cache_salt: salt, ..VIEW })
        };
        let mut call = StorageCall::FinishWrite { keys: list(&mut interner, &views("")) };
        let place = call.key_lists().next().unwrap().as_ptr();
        interner.take_back(&mut call);
        assert!(call.key_lists().all(<[_]>::is_empty));
        assert!(interner.spare[0].is_empty(), "a long hash is not kept");
        let keys = list(&mut interner, &[views("x")[2], views("")[0]]);
        assert_eq!(keys.as_ptr(), place, "the same list");
        assert_eq!(keys.iter().map(ObjectKey::view).collect::<Vec<_>>(), [views("x")[2], views("")[0]]);
        let others = list(&mut interner, &views("x"));
        assert_eq!(others.iter().map(ObjectKey::view).collect::<Vec<_>>(), views("x"));
    }

    #[test]
    fn lists_are_kept_to_the_limit_and_freed_past_it() {
        let mut interner = KeyInterner::default();
        for (keys, is_kept) in [(0, false), (1, true), (MOST_SPARE_KEYS, true), (MOST_SPARE_KEYS + 1, false)]
        {
            let mut call = StorageCall::ReadExit { keys: list(&mut interner, &vec![VIEW; keys]) };
            interner.take_back(&mut call);
            assert_eq!(interner.spare.pop().is_some(), is_kept, "{keys}");
        }
        for _ in 0..=MOST_SPARE_LISTS {
            let mut call = StorageCall::ReadExit { keys: vec![interner.key(VIEW).unwrap()] };
            interner.take_back(&mut call);
        }
        assert_eq!(interner.spare.len(), MOST_SPARE_LISTS);
    }

    #[test]
    fn a_key_that_cannot_be_made_ends_its_list_alone() {
        let mut interner = KeyInterner::default();
        let mut call = StorageCall::ReadExit { keys: list(&mut interner, &[VIEW, VIEW]) };
        interner.take_back(&mut call);
        let mut builder = interner.list(2);
        builder.push(KeyView { chunk_hash: b"new", ..VIEW }).unwrap();
        assert!(builder.push(KeyView { cache_salt: "a/b", ..VIEW }).is_err());
        assert_eq!(builder.finish().len(), 1);
        assert_eq!(list(&mut interner, &[VIEW])[0].view(), VIEW);
    }
}

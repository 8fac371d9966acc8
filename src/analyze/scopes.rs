//! Which models, ranks, object groups and salts a trace names, in bounded memory.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::FixedState;

use super::names::{SmallestNames, Total};
use crate::format::bytes::same_bytes;
use crate::format::lct::WireKey;
use crate::format::model::KeyView;

/// How many scopes a thread knows without a look at their names. When there are more, it forgets them all.
const MAX_SEEN: usize = 1 << 14;

/// What the keys of a trace have beside their hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSummary {
    /// The models, sorted.
    pub models: BTreeSet<String>,
    /// The salts that the file names, sorted; none of them is empty.
    pub salts: BTreeSet<String>,
    /// The packed ranks, sorted.
    pub kv_ranks: BTreeSet<i64>,
    /// The object groups, sorted.
    pub object_group_ids: BTreeSet<u32>,
    /// Keys of which the file does not say whose they are, because the recorder dropped `cache_salt`.
    pub keys_without_salt: u64,
    /// Whether there were more names, or longer ones, than are kept; of too many the smallest are.
    pub incomplete: bool,
}

/// The scopes that one thread met, or several.
#[derive(Debug, Default)]
pub(super) struct ScopeNames {
    models: SmallestNames<String, ()>,
    salts: SmallestNames<String, ()>,
    kv_ranks: SmallestNames<i64, ()>,
    object_group_ids: SmallestNames<u32, ()>,
    keys_without_salt: u64,
}

impl ScopeNames {
    fn add(&mut self, view: &KeyView<'_>) {
        self.models.add_text(view.model_name, ());
        self.kv_ranks.add(&view.kv_rank, ());
        self.object_group_ids.add(&view.object_group_id, ());
        if !view.cache_salt.is_empty() {
            self.salts.add_text(view.cache_salt, ());
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        Total::add(&mut self.models, other.models);
        Total::add(&mut self.salts, other.salts);
        Total::add(&mut self.kv_ranks, other.kv_ranks);
        Total::add(&mut self.object_group_ids, other.object_group_ids);
        self.keys_without_salt += other.keys_without_salt;
    }

    pub(super) fn into_summary(self) -> ScopeSummary {
        let is_complete = self.models.is_complete()
            && self.salts.is_complete()
            && self.kv_ranks.is_complete()
            && self.object_group_ids.is_complete();
        ScopeSummary {
            models: self.models.into_kept().into_keys().collect(),
            salts: self.salts.into_kept().into_keys().collect(),
            kv_ranks: self.kv_ranks.into_kept().into_keys().collect(),
            object_group_ids: self.object_group_ids.into_kept().into_keys().collect(),
            keys_without_salt: self.keys_without_salt,
            incomplete: !is_complete,
        }
    }
}

/// Gathers scopes. Keys come in runs of one scope, so nearly all end at the first comparison.
#[derive(Debug, Default)]
pub(super) struct ScopeTally<'a> {
    last: Option<(KeyView<'a>, u64)>,
    seen: hashbrown::HashSet<u64>,
    names: ScopeNames,
}

impl<'a> ScopeTally<'a> {
    /// Adds a key's scope and returns a hash of it.
    #[inline]
    pub(super) fn add(&mut self, key: &WireKey<'a>) -> u64 {
        self.names.keys_without_salt += u64::from(!key.salt_recorded);
        if let Some((last, hash)) = &self.last
            && is_same_scope(last, &key.view)
        {
            return *hash;
        }
        let hash = scope_hash(&key.view);
        if !self.seen.contains(&hash) {
            self.keep(hash, &key.view);
        }
        self.last = Some((key.view, hash));
        hash
    }

    fn keep(&mut self, hash: u64, view: &KeyView<'_>) {
        if self.seen.len() == MAX_SEEN {
            self.seen.clear();
        }
        self.seen.insert(hash);
        self.names.add(view);
    }

    pub(super) fn into_names(self) -> ScopeNames {
        self.names
    }
}

#[inline]
fn is_same_scope(a: &KeyView<'_>, b: &KeyView<'_>) -> bool {
    a.kv_rank == b.kv_rank
        && a.object_group_id == b.object_group_id
        && same_bytes(a.model_name.as_bytes(), b.model_name.as_bytes())
        && same_bytes(a.cache_salt.as_bytes(), b.cache_salt.as_bytes())
}

fn scope_hash(view: &KeyView<'_>) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    view.model_name.hash(&mut hasher);
    view.kv_rank.hash(&mut hasher);
    view.object_group_id.hash(&mut hasher);
    view.cache_salt.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::names::{MAX_NAME_BYTES, MAX_NAMES};
    use super::*;

    fn key(model_name: &str, kv_rank: i64) -> WireKey<'_> {
        let view = KeyView { chunk_hash: b"h", model_name, kv_rank, object_group_id: 0, cache_salt: "" };
        WireKey { view, salt_recorded: false, hash_is_hex: false }
    }

    fn summary<'k>(keys: impl Iterator<Item = WireKey<'k>>) -> ScopeSummary {
        let mut tally = ScopeTally::default();
        keys.for_each(|key| {
            tally.add(&key);
        });
        assert!(tally.seen.len() <= MAX_SEEN);
        tally.into_names().into_summary()
    }

    #[test]
    fn long_names_are_said_to_be_missing() {
        let (longest, longer) = ("a".repeat(MAX_NAME_BYTES), "a".repeat(MAX_NAME_BYTES + 1));
        assert!(!summary([key(&longest, 0)].into_iter()).incomplete);
        let both = summary([key(&longest, 0), key(&longer, 0), key(&longest, 0)].into_iter());
        assert!(both.incomplete);
        assert_eq!((both.models.len(), both.keys_without_salt), (1, 3));
    }

    #[test]
    fn scopes_are_kept_to_the_limit_and_forgotten_ones_are_still_there() {
        let limit = MAX_NAMES as i64;
        assert!(!summary((0..limit).map(|rank| key("m", rank))).incomplete);
        let past = summary((0..=limit).rev().map(|rank| key("m", rank)));
        assert!(past.incomplete);
        assert_eq!(past.kv_ranks, (0..limit).collect());
        let many = 2 * MAX_SEEN as i64 + 1;
        let forgotten = summary((0..many).chain(0..many).map(|rank| key("m", rank)));
        assert_eq!(forgotten.kv_ranks, past.kv_ranks);
    }
}

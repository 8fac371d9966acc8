//! Which models, ranks, object groups and salts a trace names, in bounded memory.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::FixedState;

use crate::format::lct::WireKey;
use crate::format::model::KeyView;

/// How many bytes of names one thread keeps. A real trace has a handful; a hostile one could name a model per key.
pub const MAX_NAME_BYTES: usize = 1 << 20;

/// How many distinct scopes one thread keeps, however short their names.
const MAX_SCOPES: usize = 1 << 14;

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
    /// Whether there were more scopes or longer names than are kept; the sets above are then incomplete.
    pub incomplete: bool,
}

impl ScopeSummary {
    pub(super) fn merge(&mut self, other: Self) {
        self.models.extend(other.models);
        self.salts.extend(other.salts);
        self.kv_ranks.extend(other.kv_ranks);
        self.object_group_ids.extend(other.object_group_ids);
        self.keys_without_salt += other.keys_without_salt;
        self.incomplete |= other.incomplete;
    }
}

/// Gathers scopes. Keys come in runs of one scope, so nearly all end at the first comparison.
#[derive(Debug, Default)]
pub(super) struct ScopeTally<'a> {
    last: Option<(KeyView<'a>, u64)>,
    seen: hashbrown::HashSet<u64>,
    name_bytes: usize,
    summary: ScopeSummary,
}

impl<'a> ScopeTally<'a> {
    /// Adds a key's scope and returns a hash of it.
    #[inline]
    pub(super) fn add(&mut self, key: &WireKey<'a>) -> u64 {
        self.summary.keys_without_salt += u64::from(!key.salt_recorded);
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
        let name_bytes = view.model_name.len() + view.cache_salt.len();
        if self.seen.len() == MAX_SCOPES || self.name_bytes + name_bytes > MAX_NAME_BYTES {
            self.summary.incomplete = true;
            return;
        }
        self.seen.insert(hash);
        self.name_bytes += name_bytes;
        self.summary.models.insert(view.model_name.to_owned());
        self.summary.kv_ranks.insert(view.kv_rank);
        self.summary.object_group_ids.insert(view.object_group_id);
        if !view.cache_salt.is_empty() {
            self.summary.salts.insert(view.cache_salt.to_owned());
        }
    }

    pub(super) fn into_summary(self) -> ScopeSummary {
        self.summary
    }
}

#[inline]
fn is_same_scope(a: &KeyView<'_>, b: &KeyView<'_>) -> bool {
    a.kv_rank == b.kv_rank
        && a.object_group_id == b.object_group_id
        && a.model_name == b.model_name
        && a.cache_salt == b.cache_salt
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
    use super::*;

    fn key(model_name: &str) -> WireKey<'_> {
        let view = KeyView { chunk_hash: b"h", model_name, kv_rank: 1, object_group_id: 0, cache_salt: "" };
        WireKey { view, salt_recorded: false, hash_is_hex: false }
    }

    #[test]
    fn names_are_kept_to_the_limit_and_the_rest_is_said_to_be_missing() {
        let (half, rest) = ("a".repeat(MAX_NAME_BYTES / 2), "b".repeat(MAX_NAME_BYTES / 2));
        let mut tally = ScopeTally::default();
        tally.add(&key(&half));
        tally.add(&key(&rest));
        assert!(!tally.summary.incomplete);
        tally.add(&key("c"));
        tally.add(&key(&half));
        let summary = tally.into_summary();
        assert!(summary.incomplete);
        assert_eq!((summary.models.len(), summary.keys_without_salt), (2, 4));
    }

    #[test]
    fn scopes_are_kept_to_the_limit() {
        let names: Vec<_> = (0..=MAX_SCOPES).map(|number| number.to_string()).collect();
        let mut tally = ScopeTally::default();
        for name in &names[..MAX_SCOPES] {
            tally.add(&key(name));
        }
        assert!(!tally.summary.incomplete);
        tally.add(&key(&names[MAX_SCOPES]));
        assert!(tally.summary.incomplete);
    }
}

//! Reading from one L1, or from several by owner.

use crate::error::{Error, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::Compat;
use crate::storage::events::{Event, Events};
use crate::storage::hook::{CallHook, Effect, Hooked, HookedCall};
use crate::storage::l1::code::Codes;
use crate::storage::l1::{KeyCodes, L1Error, L1Manager};
use crate::storage::memory::{Arena, Span};
use crate::sync::Arc;

/// Which L1 manager of a storage manager; they are numbered from 0, in the order of the configuration.
pub type L1ManagerId = u32;

/// Which L1 holds each key, as the result of a prefetch says.
#[derive(Clone, Debug, Default)]
pub struct L1Owners(hashbrown::HashMap<ObjectKey, L1ManagerId, foldhash::fast::RandomState>);

impl FromIterator<(ObjectKey, L1ManagerId)> for L1Owners {
    fn from_iter<I: IntoIterator<Item = (ObjectKey, L1ManagerId)>>(owners: I) -> Self {
        Self(owners.into_iter().collect())
    }
}

impl L1Owners {
    /// The owner of a key.
    pub fn get(&self, key: &ObjectKey) -> Option<L1ManagerId> {
        self.0.get(key).copied()
    }
}

/// What was found of some keys, parallel to them.
#[derive(Clone, Debug)]
pub(super) struct Found<B = Span> {
    pub(super) codes: KeyCodes,
    pub(super) spans: Vec<Option<B>>,
    /// Which L1 each key was looked for in; empty where there is only one.
    pub(super) owners: Vec<L1ManagerId>,
}

/// The L1 managers of a storage manager, as far as readers need them. There are [copies](super::striped), so that calls
/// on different threads do not count their references in one word.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(super) struct Reader {
    pub(super) l1s: Arc<[Arc<L1Manager>]>,
    pub(super) events: Events,
    pub(super) compat: Compat,
}

impl Reader {
    /// The memory of an L1.
    pub(super) fn arena(&self, owner: L1ManagerId) -> &Arc<Arena> {
        self.l1s[owner as usize].arena()
    }

    /// Whether owners go without saying.
    ///
    /// # Errors
    /// If there are several L1s.
    pub(super) fn require_single_l1(&self) -> Result<()> {
        if self.l1s.len() == 1 {
            return Ok(());
        }
        Err(Error::invalid("with several L1 managers a call must say which one holds each key")
            .with_context("l1_managers", self.l1s.len())
            .with_hint("pass the owners that the prefetch or the reservation gave"))
    }

    /// The owner of each key.
    fn owners_of(&self, keys: &[ObjectKey], owners: Option<&L1Owners>) -> Result<Vec<L1ManagerId>> {
        let Some(owners) = owners else {
            return match self.compat {
                Compat::Lmcache => self.require_single_l1().map(|()| Vec::new()),
                Compat::Native => Ok(keys.iter().map(|key| self.find(key)).collect()),
            };
        };
        let owner = |key: &ObjectKey| {
            let owner = owners.get(key).filter(|owner| (*owner as usize) < self.l1s.len());
            owner.ok_or_else(|| {
                Error::invalid("a key to be read has no L1 manager that exists")
                    .with_context("key", key.view())
                    .with_hint("pass the owners that the prefetch gave")
            })
        };
        keys.iter().map(owner).collect()
    }

    /// The first L1 that has `key` locked for readers; the first of all if none has. For a caller that does not know:
    /// LMCache refuses it.
    fn find(&self, key: &ObjectKey) -> L1ManagerId {
        self.l1s.iter().position(|l1| l1.is_key_readable(key)).unwrap_or(0) as L1ManagerId
    }

    /// Where the objects of `keys` lie that somebody holds a read lock on.
    ///
    /// # Errors
    /// If there are several L1s, and a key has no owner that exists.
    pub(super) fn read(&self, keys: &[ObjectKey], owners: Option<&L1Owners>) -> Result<Found> {
        self.read_as(keys, owners, L1Manager::unsafe_read)
    }

    /// [`Self::read`], of buffers as `read` gives them.
    ///
    /// # Errors
    /// As there.
    pub(super) fn read_as<B>(
        &self,
        keys: &[ObjectKey],
        owners: Option<&L1Owners>,
        read: impl Fn(&L1Manager, &[ObjectKey]) -> (KeyCodes, Vec<Option<B>>),
    ) -> Result<Found<B>> {
        if self.l1s.len() == 1 && owners.is_none() {
            let (codes, spans) = read(&self.l1s[0], keys);
            return Ok(Found { codes, spans, owners: Vec::new() });
        }
        let owners = self.owners_of(keys, owners)?;
        let mut codes = Codes::from_elem(L1Error::KeyNotExist, keys.len());
        let mut spans: Vec<Option<B>> = keys.iter().map(|_| None).collect();
        for (owner, l1) in self.l1s.iter().enumerate() {
            let (positions, of_owner) = of_owner(keys, &owners, owner);
            let (part_codes, part_spans) = read(l1, &of_owner);
            for ((position, code), span) in positions.into_iter().zip(part_codes.0).zip(part_spans) {
                (codes[position], spans[position]) = (code, span);
            }
        }
        Ok(Found { codes: KeyCodes(codes), spans, owners })
    }

    /// Releases read locks.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn finish_read(
        &self,
        keys: &[ObjectKey],
        read_locks: i64,
        owners: Option<&L1Owners>,
    ) -> Result<KeyCodes> {
        if self.l1s.len() == 1 && owners.is_none() {
            return Ok(self.l1s[0].finish_read(keys, read_locks));
        }
        let owners = self.owners_of(keys, owners)?;
        Ok(self.finish_read_in(keys, read_locks, &owners))
    }

    /// `finish_read_prefetched`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn finish_read_hooked(
        &self,
        keys: &[ObjectKey],
        read_locks: i64,
        owners: Option<&L1Owners>,
        hook: Option<&Arc<dyn CallHook>>,
    ) -> Result<KeyCodes> {
        let hooked = Hooked::begin(hook, || HookedCall::FinishRead { keys, read_locks });
        let finished = self.finish_read(keys, read_locks, owners);
        hooked.end_with(&finished, Effect::of_codes);
        if let Ok(codes) = &finished
            && self.events.has_sink()
        {
            self.events.publish_outcomes(&codes.per_distinct_key(keys), |keys| {
                Event::SmReadPrefetchedFinished(keys)
            });
        }
        finished
    }

    /// Releases read locks in the L1 of each key; `owners` is parallel to `keys`, or empty for the only L1.
    pub(super) fn finish_read_in(
        &self,
        keys: &[ObjectKey],
        read_locks: i64,
        owners: &[L1ManagerId],
    ) -> KeyCodes {
        if owners.is_empty() {
            return self.l1s[0].finish_read(keys, read_locks);
        }
        let mut codes = Codes::from_elem(L1Error::KeyNotExist, keys.len());
        for (owner, l1) in self.l1s.iter().enumerate() {
            let (positions, of_owner) = of_owner(keys, owners, owner);
            let part = l1.finish_read(&of_owner, read_locks);
            positions.into_iter().zip(part.0).for_each(|(position, code)| codes[position] = code);
        }
        KeyCodes(codes)
    }
}

/// The keys of one owner, with their positions. `owners` is empty where all keys are the first's.
fn of_owner(keys: &[ObjectKey], owners: &[L1ManagerId], owner: usize) -> (Vec<usize>, Vec<ObjectKey>) {
    let is_of_owner = |position: &usize| owners.get(*position).map_or(0, |owner| *owner as usize) == owner;
    let positions: Vec<usize> = (0..keys.len()).filter(is_of_owner).collect();
    let keys = positions.iter().map(|position| keys[*position].clone()).collect();
    (positions, keys)
}

//! From a call where it lies to a [`StorageCall`] that can be made. It is written over one that is done with: nothing is built to be
//! copied, and where calls are alike nothing is allocated.

use super::chunk::DefinedLayout;
use super::keys::KeyList;
use super::record::{CallView, PrefetchRow, PrefetchView};
use super::schema::ScopeFacts;
use crate::error::{Error, Result};
use crate::format::model::interner::{MOST_SPARE_KEYS, put_key};
use crate::format::model::{
    GroupedObjectKeys, KeyInterner, KeyScope, MemoryLayoutDesc, ObjectKey, Op, PrefetchTaskSpec, StorageCall,
    WriteMode,
};
use crate::sync::Arc;

/// What the keys of the calls of one chunk are made with.
#[derive(Debug)]
pub struct KeyMaker<'a> {
    interner: &'a mut KeyInterner,
    scopes: &'a mut ChunkScopes,
}

/// The scopes of one chunk, by their numbers in it, as far as keys were made in them: no key of a row has to have its names
/// compared.
#[derive(Debug, Default)]
pub struct ChunkScopes(Vec<Option<Arc<KeyScope>>>);

impl<'a> KeyMaker<'a> {
    /// For calls of the chunk of `scopes`, which was empty before the first of them.
    pub fn new(interner: &'a mut KeyInterner, scopes: &'a mut ChunkScopes) -> Self {
        Self { interner, scopes }
    }

    /// What scopes are shared through.
    pub fn interner(&mut self) -> &mut KeyInterner {
        self.interner
    }

    /// The scope of a number that was checked when its chunk was.
    #[inline]
    fn scope(&mut self, number: u32, facts: &ScopeFacts) -> Result<&Arc<KeyScope>> {
        let (scopes, number) = (&mut self.scopes.0, number as usize);
        if scopes.len() <= number {
            scopes.resize(number + 1, None);
        }
        match &mut scopes[number] {
            Some(scope) => Ok(scope),
            none => Ok(none.insert(self.interner.scope(&facts.key(&[]))?)),
        }
    }

    /// Makes `keys` those of `list`.
    fn put_keys(&mut self, keys: &mut Vec<ObjectKey>, list: &KeyList<'_>) -> Result<()> {
        // What a long list holds is held until its place is needed again, so it is not kept.
        if keys.capacity() > MOST_SPARE_KEYS {
            *keys = Vec::new();
        }
        keys.reserve_exact(list.len().saturating_sub(keys.len()));
        match list.as_rows() {
            Some(rows) => {
                for (place, row) in rows.iter().enumerate() {
                    let (number, facts) = list.scope_of_row(row);
                    put_key(keys, place, list.hash_of_row(row), self.scope(number, facts)?);
                }
            }
            None => {
                for (place, view) in list.iter().enumerate() {
                    put_key(keys, place, view.chunk_hash, &self.interner.scope(&view)?);
                }
            }
        }
        keys.truncate(list.len());
        Ok(())
    }

    /// Makes `call` one of `op`, of which only the keys are of any use: those of the call before.
    fn become_op(&mut self, call: &mut StorageCall, op: Op) {
        let keys = match call {
            StorageCall::ReserveWrite { keys, .. }
            | StorageCall::FinishWrite { keys }
            | StorageCall::ReadEnter { keys }
            | StorageCall::ReadExit { keys }
            | StorageCall::FinishRead { keys, .. } => std::mem::take(keys),
            StorageCall::SubmitPrefetch { .. } => {
                self.interner.take_back(call);
                self.interner.spare()
            }
        };
        *call = match op {
            Op::ReserveWrite => {
                StorageCall::ReserveWrite { keys, layout: MemoryLayoutDesc::default(), mode: WriteMode::New }
            }
            Op::ReadEnter => StorageCall::ReadEnter { keys },
            Op::ReadExit => StorageCall::ReadExit { keys },
            Op::FinishRead => StorageCall::FinishRead { keys, read_locks: 1 },
            // A prefetch is made anew: its rows are lists of their own.
            Op::FinishWrite | Op::SubmitPrefetch => StorageCall::FinishWrite { keys },
        };
    }
}

impl CallView<'_> {
    /// The call, owned; keys share their scopes through `interner`.
    ///
    /// # Errors
    /// If a model name, a salt or a layout is one that LMCache does not allow.
    pub fn to_call(&self, interner: &mut KeyInterner) -> Result<StorageCall> {
        let mut call = StorageCall::FinishWrite { keys: Vec::new() };
        self.write_to(&mut call, &mut KeyMaker::new(interner, &mut ChunkScopes::default()))?;
        Ok(call)
    }

    /// Makes `call`, which is done with, this one.
    ///
    /// # Errors
    /// As [`Self::to_call`]. The call is then none that anybody made.
    #[inline]
    pub fn write_to(&self, call: &mut StorageCall, keys_by: &mut KeyMaker<'_>) -> Result<()> {
        if call.op() != self.op() {
            keys_by.become_op(call, self.op());
        }
        match call {
            StorageCall::ReserveWrite { keys, layout, mode } => {
                // The call before may be one of a release that had others.
                *mode = WriteMode::New;
                let recorded = known_layout(self.layout())?;
                if layout != recorded {
                    layout.clone_from(recorded);
                }
                keys_by.put_keys(keys, &self.keys())
            }
            StorageCall::FinishRead { keys, read_locks } => {
                *read_locks = self.read_locks();
                keys_by.put_keys(keys, &self.keys())
            }
            StorageCall::FinishWrite { keys } if self.op() == Op::FinishWrite => {
                keys_by.put_keys(keys, &self.keys())
            }
            StorageCall::ReadEnter { keys } | StorageCall::ReadExit { keys } => {
                keys_by.put_keys(keys, &self.keys())
            }
            _ => self.write_prefetch_to(call, keys_by),
        }
    }

    #[inline(never)]
    fn write_prefetch_to(&self, call: &mut StorageCall, keys_by: &mut KeyMaker<'_>) -> Result<()> {
        let prefetch = self.prefetch().ok_or_else(|| Error::invalid("a prefetch without its arguments"))?;
        keys_by.interner.take_back(call);
        *call = owned_prefetch(&prefetch, keys_by)?;
        Ok(())
    }
}

fn owned_prefetch(prefetch: &PrefetchView<'_>, keys_by: &mut KeyMaker<'_>) -> Result<StorageCall> {
    let row = |row: PrefetchRow<'_>| {
        let mut keys = keys_by.interner.spare();
        keys_by.put_keys(&mut keys, &row.keys)?;
        Ok(GroupedObjectKeys {
            keys,
            object_group_id: row.object_group_id,
            layout: known_layout(Some(row.layout))?.clone(),
            sliding_window_size: row.sliding_window_size,
        })
    };
    Ok(StorageCall::SubmitPrefetch {
        spec: PrefetchTaskSpec {
            key_groups: prefetch.rows().map(row).collect::<Result<_>>()?,
            num_kv_readers: prefetch.num_kv_readers(),
            fetching_policy: prefetch.fetching_policy(),
            lock_mode: prefetch.lock_mode(),
        },
        external_request_id: prefetch.external_request_id().to_owned(),
        skip_l2: prefetch.skip_l2(),
    })
}

fn known_layout(layout: Option<&DefinedLayout>) -> Result<&MemoryLayoutDesc> {
    layout.and_then(|defined| defined.layout.as_ref()).ok_or_else(|| {
        Error::invalid("a layout with an element type that torch does not have, or past 64 bits")
    })
}

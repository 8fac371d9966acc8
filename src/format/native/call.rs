//! From a call where it lies to a [`StorageCall`] that can be made.

use super::chunk::DefinedLayout;
use super::keys::KeyList;
use super::record::{CallView, PrefetchView};
use crate::error::{Error, Result};
use crate::format::model::KeyInterner;
use crate::format::model::{
    GroupedObjectKeys, MemoryLayoutDesc, ObjectKey, Op, PrefetchTaskSpec, StorageCall, WriteMode,
};

impl CallView<'_> {
    /// The call, owned; keys share their scopes through `interner`.
    ///
    /// # Errors
    /// If a model name, a salt or a layout is one that LMCache does not allow.
    pub fn to_call(&self, interner: &mut KeyInterner) -> Result<StorageCall> {
        let mut keys = || owned_keys(&self.keys(), interner);
        Ok(match self.op() {
            Op::ReserveWrite => {
                let layout = owned_layout(self.layout())?;
                StorageCall::ReserveWrite { keys: keys()?, layout, mode: WriteMode::New }
            }
            Op::FinishWrite => StorageCall::FinishWrite { keys: keys()? },
            Op::ReadEnter => StorageCall::ReadEnter { keys: keys()? },
            Op::ReadExit => StorageCall::ReadExit { keys: keys()? },
            Op::FinishRead => StorageCall::FinishRead { keys: keys()?, read_locks: self.read_locks() },
            Op::SubmitPrefetch => {
                let prefetch =
                    self.prefetch().ok_or_else(|| Error::invalid("a prefetch without its arguments"))?;
                owned_prefetch(&prefetch, interner)?
            }
        })
    }
}

fn owned_prefetch(prefetch: &PrefetchView<'_>, interner: &mut KeyInterner) -> Result<StorageCall> {
    let row = |row: super::record::PrefetchRow<'_>| {
        Ok(GroupedObjectKeys {
            keys: owned_keys(&row.keys, interner)?,
            object_group_id: row.object_group_id,
            layout: owned_layout(Some(row.layout))?,
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

fn owned_keys(keys: &KeyList<'_>, interner: &mut KeyInterner) -> Result<Vec<ObjectKey>> {
    let mut list = interner.list(keys.len());
    keys.try_each(|view| list.push(view))?;
    Ok(list.finish())
}

fn owned_layout(layout: Option<&DefinedLayout>) -> Result<MemoryLayoutDesc> {
    let layout = layout.and_then(|defined| defined.layout.clone());
    layout.ok_or_else(|| {
        Error::invalid("a layout with an element type that torch does not have, or past 64 bits")
    })
}

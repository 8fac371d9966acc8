//! What the arguments of several calls have in common: key lists, lock counts, no strangers.

use super::cursor::WireError;
use super::keys::storage_key;
use super::value::Value;
use crate::format::bytes::same_bytes;
use crate::format::model::interner::KeyListBuilder;
use crate::format::model::{KeyInterner, KeyView, ObjectKey};

/// No wrapped key is shorter: its tag and the names of its three required fields alone are longer.
const SHORTEST_KEY_BYTES: usize = 48;

/// The arguments `names`; any other is refused.
pub(super) fn take_arguments<'a, const N: usize>(
    args: &Value<'a>,
    names: [&str; N],
) -> Result<[Option<Value<'a>>; N], WireError> {
    args.fields(names, |name| Err(name.error("an argument that no known release records")))
}

/// The fields `names`; others are passed over, as LMCache's decoders pass over them.
pub(super) fn take_fields<'a, const N: usize>(
    payload: &Value<'a>,
    names: [&str; N],
) -> Result<[Option<Value<'a>>; N], WireError> {
    payload.fields(names, |_| Ok(()))
}

/// A list of wrapped keys. Keys in the usual form are read in one go, as long as no other form was met.
pub(super) fn decode_keys(list: &Value<'_>, interner: &mut KeyInterner) -> Result<Vec<ObjectKey>, WireError> {
    let mut elements = list.elements()?;
    let mut keys = interner.list(elements.capacity(SHORTEST_KEY_BYTES));
    let mut model_name = "";
    while let Some((element, usual)) = elements.next_usual_key() {
        if !same_bytes(usual.model_name, model_name.as_bytes()) {
            model_name = element.cursor().check_utf8(usual.model_name)?;
        }
        let view = KeyView {
            chunk_hash: usual.chunk_hash,
            model_name,
            kv_rank: i64::from(usual.kv_rank),
            object_group_id: usual.object_group_id,
            cache_salt: "",
        };
        push(&mut keys, view, &element)?;
    }
    for element in elements {
        let element = element?;
        push(&mut keys, storage_key(&element)?.view, &element)?;
    }
    Ok(keys.finish())
}

#[inline]
fn push(keys: &mut KeyListBuilder<'_>, view: KeyView<'_>, element: &Value<'_>) -> Result<(), WireError> {
    keys.push(view).map_err(|_| element.error("a key whose model name or salt LMCache does not allow"))
}

/// A number of locks per key: `count` since 0.5.5, one more than `extra_count` before; one by default.
pub(super) fn decode_lock_count(
    count: Option<Value<'_>>,
    extra_count: Option<Value<'_>>,
) -> Result<i64, WireError> {
    match (count, extra_count) {
        (Some(count), _) => count.as_i64(),
        (None, Some(extra)) => Ok(extra.as_i64()?.saturating_add(1)),
        (None, None) => Ok(1),
    }
}

//! `submit_prefetch_task` through the releases.
//!
//! | release | arguments beside `external_request_id` |
//! |---|---|
//! | 0.4.4 to 0.4.6 | `keys` (flat), `layout_desc`, `extra_count` |
//! | 0.4.7 | + `policy` (`TrimPolicy`) |
//! | 0.5.0 | + `skip_l2` |
//! | 0.5.1, 0.5.2 | + `attn_desc` (`AttnWindowDesc`), `mode` (`PrefetchMode`) |
//! | 0.5.3, 0.5.4 | `spec` (`PrefetchRequestSpec`: flat `keys`, `extra_count`, `policy`, `attn_desc`, `group_layout_descs`, `mode`), `skip_l2` |
//! | 0.5.5 | the same with `num_kv_readers` for `extra_count` |
//! | 0.5.6 | `spec` (`PrefetchTaskSpec`: rows), `skip_l2` |
//!
//! A flat list becomes rows by object group and rank; its order differs between releases, but the keys of one
//! row are in the order of the prompt's chunks in all of them. `PREFIX` and `SEGMENTED_PREFIX` become prefix;
//! `SPARSE` keeps whatever is found, for which full is the nearest policy that 0.5.6 has. `WARM` takes no locks.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::arguments::{decode_keys, decode_lock_count, take_arguments, take_fields};
use super::cursor::WireError;
use super::keys::object_group_id;
use super::layout::decode_layout;
use super::value::Value;
use crate::format::model::KeyInterner;
use crate::format::model::call::FULL_ATTENTION_WINDOW_CHUNKS;
use crate::format::model::{
    FetchingPolicy, GroupedObjectKeys, LockMode, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec, StorageCall,
};
use crate::sync::Arc;

/// The arguments of the releases that had no spec.
const FLAT_NAMES: [&str; 8] =
    ["keys", "layout_desc", "extra_count", "external_request_id", "policy", "skip_l2", "attn_desc", "mode"];

/// Decodes the arguments of `submit_prefetch_task`.
pub(super) fn decode_submit(args: &Value<'_>, interner: &mut KeyInterner) -> Result<StorageCall, WireError> {
    let mut is_flat = false;
    let [spec, id, skip_l2] = args.fields(["spec", "external_request_id", "skip_l2"], |_| {
        is_flat = true;
        Ok(())
    })?;
    let spec = match spec {
        Some(spec) if !is_flat => decode_spec(&spec, interner)?,
        Some(_) => return Err(args.error("a spec beside an argument that no known release records with it")),
        None => {
            take_arguments(args, FLAT_NAMES)?;
            decode_flat(args, interner)?
        }
    };
    let external_request_id = id.map_or(Ok(""), |id| id.as_str())?.to_owned();
    let skip_l2 = skip_l2.map_or(Ok(false), |skip| skip.as_bool())?;
    Ok(StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2 })
}

/// Whether the arguments of a `submit_prefetch_task` hold a `PrefetchTaskSpec`: 0.5.6 refuses to build some that
/// the shapes before it had no rule against.
pub fn is_current_spec(args: &Value<'_>) -> bool {
    let spec = args.get(b"spec").ok().flatten();
    spec.is_some_and(|spec| matches!(spec.tagged(), Ok(Some((b"PrefetchTaskSpec", _)))))
}

fn decode_spec(spec: &Value<'_>, interner: &mut KeyInterner) -> Result<PrefetchTaskSpec, WireError> {
    match spec.tagged()? {
        Some((b"PrefetchTaskSpec", payload)) => decode_rows(&payload, interner),
        Some((b"PrefetchRequestSpec", payload)) => decode_flat(&payload, interner),
        _ => Err(spec.error("a prefetch spec that no known release records")),
    }
}

fn decode_rows(payload: &Value<'_>, interner: &mut KeyInterner) -> Result<PrefetchTaskSpec, WireError> {
    let [rows, policy, lock_mode, readers] =
        take_fields(payload, ["key_groups", "fetching_policy", "lock_mode", "num_kv_readers"])?;
    let rows = payload.found(rows, "key_groups")?.elements()?;
    let key_groups = rows.map(|row| decode_row(&row?.payload_of("GroupedObjectKeys")?, interner));
    let policy = payload.found(policy, "fetching_policy")?;
    let fetching_policy = match policy.as_str()? {
        "prefix" => FetchingPolicy::Prefix,
        "full" => FetchingPolicy::Full,
        _ => return Err(policy.error("a fetching policy that no known release has")),
    };
    let lock_mode = payload.found(lock_mode, "lock_mode")?;
    let lock_mode = match lock_mode.payload_of("PrefetchLockMode")?.as_str()? {
        "LOCK" => LockMode::Lock,
        "NO_LOCK" => LockMode::NoLock,
        _ => return Err(lock_mode.error("a lock mode that no known release has")),
    };
    Ok(PrefetchTaskSpec {
        key_groups: key_groups.collect::<Result<_, _>>()?,
        num_kv_readers: payload.found(readers, "num_kv_readers")?.as_i64()?,
        fetching_policy,
        lock_mode,
    })
}

fn decode_row(payload: &Value<'_>, interner: &mut KeyInterner) -> Result<GroupedObjectKeys, WireError> {
    let [keys, group, layout, window] =
        take_fields(payload, ["keys", "object_group_id", "layout_desc", "sliding_window_size"])?;
    Ok(GroupedObjectKeys {
        keys: decode_keys(&payload.found(keys, "keys")?, interner)?,
        object_group_id: object_group_id(Some(payload.found(group, "object_group_id")?))?,
        layout: decode_layout(&payload.found(layout, "layout_desc")?)?,
        sliding_window_size: payload.found(window, "sliding_window_size")?.as_i64()?,
    })
}

/// A flat key list with its companions: the arguments up to 0.5.2, the payload of a `PrefetchRequestSpec` after.
fn decode_flat(fields: &Value<'_>, interner: &mut KeyInterner) -> Result<PrefetchTaskSpec, WireError> {
    let keys = decode_keys(&fields.require("keys")?, interner)?;
    let companions = Companions::decode(fields)?;
    let rows = rows_by_scope(keys).into_iter().map(|keys| {
        let object_group_id = keys.first().map_or(0, |key| key.scope().object_group_id());
        let layout =
            companions.layout_of(object_group_id).ok_or_else(|| fields.error("layout_desc is missing"))?;
        let sliding_window_size = companions.window_of(object_group_id);
        Ok(GroupedObjectKeys { keys, object_group_id, layout, sliding_window_size })
    });
    Ok(PrefetchTaskSpec {
        key_groups: rows.collect::<Result<_, WireError>>()?,
        num_kv_readers: decode_lock_count(fields.get(b"num_kv_readers")?, fields.get(b"extra_count")?)?,
        fetching_policy: decode_trim_policy(fields.get(b"policy")?)?,
        lock_mode: decode_prefetch_mode(fields.get(b"mode")?)?,
    })
}

/// Splits a flat list into rows: one per (model, rank, group, salt), in order of first appearance.
fn rows_by_scope(keys: Vec<ObjectKey>) -> Vec<Vec<ObjectKey>> {
    let (mut rows, mut row_of_scope) = (Vec::<Vec<ObjectKey>>::new(), HashMap::new());
    for key in keys {
        // Keys of one decoder share their scopes, so that the pointer tells them apart.
        let row = *row_of_scope.entry(Arc::as_ptr(key.scope())).or_insert(rows.len());
        if row == rows.len() {
            rows.push(Vec::new());
        }
        rows[row].push(key);
    }
    rows
}

/// Layouts and windows per object group.
struct Companions {
    common_layout: Option<MemoryLayoutDesc>,
    group_layouts: BTreeMap<u32, MemoryLayoutDesc>,
    windows: Vec<i64>,
}

impl Companions {
    fn decode(fields: &Value<'_>) -> Result<Self, WireError> {
        let common_layout = match fields.get(b"layout_desc")? {
            Some(layout) => Some(decode_layout(&layout)?),
            None => None,
        };
        let mut group_layouts = BTreeMap::new();
        if let Some(layouts) = fields.get(b"group_layout_descs")? {
            for entry in layouts.entries()? {
                let (group, layout) = entry?;
                group_layouts.insert(group_number(&group)?, decode_layout(&layout)?);
            }
        }
        let windows = fields.get(b"attn_desc")?.map_or(Ok(Vec::new()), |desc| decode_windows(&desc))?;
        Ok(Self { common_layout, group_layouts, windows })
    }

    fn layout_of(&self, object_group_id: u32) -> Option<MemoryLayoutDesc> {
        self.group_layouts.get(&object_group_id).or(self.common_layout.as_ref()).cloned()
    }

    fn window_of(&self, object_group_id: u32) -> i64 {
        self.windows.get(object_group_id as usize).copied().unwrap_or(FULL_ATTENTION_WINDOW_CHUNKS)
    }
}

/// An object group's number as the key of a map: a number, or its decimal digits.
fn group_number(value: &Value<'_>) -> Result<u32, WireError> {
    match value.as_str() {
        Ok(digits) => digits.parse().map_err(|_| value.error("an object group that is not a number")),
        Err(_) => object_group_id(Some(*value)),
    }
}

/// `AttnWindowDesc`: a map since 0.5.3, the bare list before. The recorder leaves `None` where there is none.
fn decode_windows(desc: &Value<'_>) -> Result<Vec<i64>, WireError> {
    let Some((b"AttnWindowDesc", payload)) = tagged_or_nothing(desc)? else { return Ok(Vec::new()) };
    let list = payload.get(b"num_chunks_in_sw").ok().flatten().unwrap_or(payload);
    list.elements()?.map(|window| window?.as_i64()).collect()
}

fn decode_trim_policy(policy: Option<Value<'_>>) -> Result<FetchingPolicy, WireError> {
    let Some(policy) = policy else { return Ok(FetchingPolicy::Prefix) };
    match policy.payload_of("TrimPolicy")?.as_str()? {
        "PREFIX" | "SEGMENTED_PREFIX" => Ok(FetchingPolicy::Prefix),
        "SPARSE" => Ok(FetchingPolicy::Full),
        _ => Err(policy.error("a trim policy that no known release has")),
    }
}

fn decode_prefetch_mode(mode: Option<Value<'_>>) -> Result<LockMode, WireError> {
    let Some(mode) = mode else { return Ok(LockMode::Lock) };
    match mode.payload_of("PrefetchMode")?.as_str()? {
        "LOOKUP" => Ok(LockMode::Lock),
        "WARM" => Ok(LockMode::NoLock),
        _ => Err(mode.error("a prefetch mode that no known release has")),
    }
}

fn tagged_or_nothing<'a>(value: &Value<'a>) -> Result<Option<(&'a [u8], Value<'a>)>, WireError> {
    match value.entries() {
        Ok(_) => value.tagged(),
        Err(_) => Ok(None),
    }
}

//! The manager's state in the words of the recordings.

use std::collections::HashMap;

use lmcache::format::model::ObjectKey;
use lmcache::storage::StorageManager;
use lmcache::storage::eviction::PolicyState;
use lmcache::storage::l1::{L1Manager, ObjectStage};
use serde_json::{Map, Value, json};

/// Key numbers by key.
pub(crate) type KeyNumbers = HashMap<ObjectKey, usize>;

/// The `l1` of a state. Recordings made with duplicate keys have too many staging bytes, and say how many.
pub(crate) fn summary(manager: &StorageManager, expected: &Value) -> Value {
    let summary = |(position, l1): (usize, &L1Manager)| {
        let status = l1.report_status();
        let mut summary = json!({
            "u": status.memory_used_bytes,
            "r": status.total_object_count - status.staging_object_count,
            "s": status.staging_object_count,
            "wl": status.write_locked_count,
            "rl": status.read_locked_count,
            "t": status.temporary_count,
            "sb": status.staging_bytes,
        });
        if let Some(excess) = expected["l1"][position]["sbx"].as_u64() {
            summary["sb"] = json!(status.staging_bytes + excess);
            summary["sbx"] = json!(excess);
        }
        summary
    };
    json!({ "l1": manager.l1_managers().enumerate().map(summary).collect::<Vec<_>>() })
}

/// The `l1` of a `dump`.
pub(crate) fn dump(manager: &StorageManager, numbers: &KeyNumbers) -> Value {
    json!({ "l1": manager.l1_managers().map(|l1| dump_l1(l1, numbers)).collect::<Vec<_>>() })
}

fn dump_l1(l1: &L1Manager, numbers: &KeyNumbers) -> Value {
    let (mut resident, mut staging) = (Vec::new(), Vec::new());
    for object in l1.objects() {
        let (span, key) = (object.span, numbers[&object.key]);
        let (locked, temporary) = (u8::from(object.is_locked), u8::from(object.is_temporary));
        let (offset, phy, size) = (span.offset_bytes, span.phy_size_bytes, span.size_bytes);
        match object.stage {
            ObjectStage::Resident => resident.push(json!([offset, key, phy, size, locked, temporary])),
            ObjectStage::Staging(tag) => {
                staging.push(json!([offset, key, tag.to_string(), phy, size, locked, temporary]));
            }
        }
    }
    let policy = policy(l1.policy_state(), numbers);
    json!({ "resident": resident, "staging": staging, "policy": policy })
}

fn policy(state: PolicyState, numbers: &KeyNumbers) -> Value {
    let ids = |keys: Vec<ObjectKey>| keys.iter().map(|key| numbers[key]).collect::<Vec<_>>();
    match state {
        PolicyState::Lru { order } => json!({ "lru": ids(order) }),
        PolicyState::Arc { t1, t2, b1, b2, capacity, target_t1_size } => json!({
            "t1": ids(t1), "t2": ids(t2), "b1": ids(b1), "b2": ids(b2),
            "capacity": capacity, "target_t1_size": as_parsed(target_t1_size),
        }),
        PolicyState::IsolatedLru { per_salt } => {
            let per_salt: Map<_, _> =
                per_salt.into_iter().map(|(salt, keys)| (salt, json!(ids(keys)))).collect();
            json!({ "per_salt": per_salt })
        }
        PolicyState::Noop => json!({}),
        ours => panic!("no recording has the policy of {ours:?}"),
    }
}

/// A number as it comes out of a file: the JSON reader is not exact to the last bit.
fn as_parsed(number: f64) -> Value {
    serde_json::from_str(&format!("{number:?}")).expect("a number")
}

/// ARC's target is a float, which Python replaces by the capacity, an integer, where it ends there.
pub(crate) fn with_float_target(mut out: Value) -> Value {
    let l1s = out.get_mut("l1").and_then(Value::as_array_mut);
    for l1 in l1s.into_iter().flatten() {
        if let Some(target) = l1.pointer_mut("/policy/target_t1_size")
            && let Some(number) = target.as_f64()
        {
            *target = json!(number);
        }
    }
    out
}

/// Without what the policies of L2 keep, which is their own affair.
pub(crate) fn without_l2_policies(mut out: Value) -> Value {
    let adapters = out.get_mut("l2").and_then(Value::as_object_mut);
    for (_, adapter) in adapters.into_iter().flatten() {
        if let Some(adapter) = adapter.as_object_mut() {
            adapter.remove("policy");
        }
    }
    out
}

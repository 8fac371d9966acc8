//! Differential: every key of every adapter with every kind of value, as LMCache 0.5.6 took it.
//!
//! We refuse whatever it refuses. What it takes and we refuse is of another type than the key has (Python's
//! `bool` and `int` take nearly anything), past 64 bits, or stands in [`STRICTER`] with the reason.

use lmcache::storage::config::L2AdapterConfig;
use serde_json::{Value, json};

/// Type, key, the values that LMCache takes and we do not, and why.
const STRICTER: [(&str, &str, &[&str], &str); 21] = [
    ("mock", "serde", &[r#"{"type":"mock"}"#], "LMCache finds an unknown serde when it makes the adapter"),
    ("fs_native", "num_workers", &["8192"], "more workers than MAX_WORKERS"),
    ("raw_block", "capacity_bytes", &["-1"], "a size below zero"),
    ("raw_block", "header_bytes", &["0"], "LMCache finds out when it makes the adapter"),
    ("raw_block", "meta_total_bytes", &["0", "8192"], "the same"),
    ("raw_block", "meta_magic", &[r#""x""#, r#""""#, r#""1""#], "the same"),
    ("raw_block", "meta_version", &["0", "-1"], "the same"),
    ("raw_block", "meta_checkpoint_interval_sec", &["-1"], "a time below zero"),
    ("raw_block", "meta_idle_quiet_ms", &["-1"], "a time below zero"),
    ("raw_block", "io_engine", &[r#""""#], "no engine"),
    ("raw_block", "max_data_transfer_size", &["1"], "LMCache finds out when it makes the adapter"),
    ("raw_block", "fdp_placement_ids", &["[]", "[1]"], "passed over without fdp_enabled"),
    ("raw_block", "num_store_workers", &["8192"], "more workers than MAX_WORKERS"),
    ("raw_block", "num_lookup_workers", &["8192"], "the same"),
    ("raw_block", "num_load_workers", &["8192"], "the same"),
    ("resp", "num_workers", &["8192"], "the same"),
    ("s3", "s3_num_io_threads", &["8192"], "the same"),
    ("s3", "aws_access_key_id", &[r#""x""#, r#""1""#], "half of a key is passed over"),
    ("s3", "aws_secret_access_key", &[r#""x""#, r#""1""#], "the same"),
    ("s3", "max_capacity_gb", &["-1"], "a size below zero"),
    ("eviction", "*", &["-1", "8192", "1.5"], "a share outside of 0 to 1 evicts always, never or everything"),
];

/// The one value that we take and LMCache does not: its `fs` takes it.
const LAXER: (&str, &str, &str) = ("fs_native", "relative_tmp_dir", "null");

#[test]
fn what_lmcache_refuses_is_refused_and_what_it_takes_is_taken() {
    let table = include_str!("data/adapter_values.txt");
    let names = table.lines().nth(1).and_then(|line| line.split_once(": ")).expect("a row of the table").1;
    let values: Vec<&str> = names.split(' ').collect();
    let mut checked = 0;
    for row in table.lines().skip(2) {
        let [kind, key, outcomes] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
        assert_eq!(outcomes.len(), values.len(), "{row}");
        for (value, outcome) in values.iter().zip(outcomes.chars()) {
            let ours = L2AdapterConfig::from_json_in(&object(kind, key, value), &|_| None);
            let lmcache_takes_it = outcome == '1';
            let is_excused = if lmcache_takes_it {
                is_of_another_type(kind, key, value) || is_stricter(kind, key, value)
            } else {
                (kind, key, *value) == LAXER
            };
            assert_eq!(
                ours.is_ok(),
                lmcache_takes_it != is_excused,
                "{kind} {key} {value}: LMCache {outcome}, ours {ours:?}"
            );
            checked += 1;
        }
    }
    assert!(checked > 1200, "{checked}");
}

/// The least object of a kind, with `key` as `value`.
fn object(kind: &str, key: &str, value: &str) -> String {
    let mut object = match kind {
        "mock" | "eviction" => json!({"type": "mock", "max_size_gb": 1, "mock_bandwidth_gb": 1}),
        "fs" | "fs_native" => json!({"type": kind, "base_path": "/x"}),
        "raw_block" => json!({"type": kind, "device_path": "/x", "slot_bytes": 8192}),
        "resp" => json!({"type": kind, "host": "h", "port": 1}),
        "s3" => json!({"type": kind, "s3_endpoint": "b.h", "s3_region": "r"}),
        "fault_inject" => {
            let inner = json!({"type": "mock", "max_size_gb": 1, "mock_bandwidth_gb": 1});
            json!({"type": kind, "inner": inner})
        }
        other => panic!("{other}"),
    };
    let mut eviction = json!({"eviction_policy": "LRU"});
    let changed = if kind == "eviction" { &mut eviction } else { &mut object };
    let changed = changed.as_object_mut().expect("an object");
    match value {
        "absent" => drop(changed.remove(key)),
        _ => drop(changed.insert(key.to_owned(), serde_json::from_str(value).expect("valid JSON"))),
    }
    if kind == "eviction" {
        object["eviction"] = eviction;
    }
    object.to_string()
}

fn is_stricter(kind: &str, key: &str, value: &str) -> bool {
    STRICTER
        .iter()
        .any(|(of, name, values, _)| *of == kind && (*name == key || *name == "*") && values.contains(&value))
}

/// Whether `value` has another type than `key`, or is a number that 63 bits do not hold.
fn is_of_another_type(kind: &str, key: &str, value: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(value) else { return false };
    let is_integer = value.is_i64() || value.is_u64();
    if value.as_f64().is_some_and(|number| number >= 2f64.powi(63)) {
        // A bandwidth can be as large as it likes.
        return key != "mock_bandwidth_gb";
    }
    match (kind, key) {
        (_, "shared" | "persist_enabled" | "use_odirect" | "fdp_enabled" | "use_uring_cmd")
        | (_, "meta_enable_periodic" | "load_checkpoint_on_init" | "meta_verify_on_load")
        | (_, "enable_zero_copy" | "use_iouring" | "use_uring") => !value.is_boolean(),
        (_, "max_size_gb" | "mock_bandwidth_gb" | "max_capacity_gb" | "rate") => !value.is_number(),
        (_, "trigger_watermark" | "eviction_ratio" | "meta_idle_quiet_ms") => !value.is_number(),
        (_, "username" | "password" | "meta_magic") => !value.is_string(),
        (_, "port" | "num_workers") => !is_integer,
        (_, "read_ahead_size") => !value.is_null() && !is_integer,
        ("raw_block", key) => {
            let texts = ["device_path", "io_engine", "fdp_data_placement_policy", "fdp_slot_reuse_policy"];
            let others = ["fdp_placement_ids", "meta_checkpoint_placement_id", "per_tp_device_paths"];
            !texts.contains(&key) && !others.contains(&key) && !is_integer
        }
        _ => false,
    }
}

//! The names of all kinds of adapters.

use crate::error::Error;
use crate::storage::config::fields::short;

use super::{fault_inject, fs, fs_native, mock, plugin, raw_block, resp, s3};

/// The kinds that this build has.
pub const KNOWN: [&str; 8] = [
    mock::TYPE,
    fs::TYPE,
    fs_native::TYPE,
    raw_block::TYPE,
    resp::TYPE,
    s3::TYPE,
    fault_inject::TYPE,
    plugin::TYPE,
];

/// One object of each kind, as `--l2-adapter` takes it.
pub const EXAMPLES: [&str; 8] = [
    r#"{"type":"mock","max_size_gb":8,"mock_bandwidth_gb":2,"latency_ms":0.5}"#,
    r#"{"type":"fs","base_path":"/data/kv","eviction":{"eviction_policy":"LRU"},"max_capacity_gb":500}"#,
    r#"{"type":"fs_native","base_path":"/data/kv","num_workers":8,"use_odirect":true}"#,
    r#"{"type":"raw_block","device_path":"/dev/nvme1n1","slot_bytes":1052672}"#,
    r#"{"type":"resp","host":"127.0.0.1","port":6379,"shared":true}"#,
    r#"{"type":"s3","s3_endpoint":"bucket.s3.eu-central-1.amazonaws.com","s3_region":"eu-central-1"}"#,
    r#"{"type":"fault_inject","rate":0.01,"inner":{"type":"fs","base_path":"/data/kv"}}"#,
    r#"{"type":"plugin","library_path":"libmyadapter.so","adapter_params":{"threads":4}}"#,
];

/// LMCache's kinds that this build lacks, and what to use instead.
pub const ABSENT: [(&str, &str); 13] = [
    ("aerospike", OWN_PLUGIN),
    ("bigtable", OWN_PLUGIN),
    ("dax", "use type fs on a file system of the device, or more L1"),
    ("hf3fs", "use type fs on the mounted file system"),
    ("hfbucket", "use type s3 with a bucket"),
    ("mooncake_store", OWN_PLUGIN),
    ("native_plugin", "use type plugin: it loads a shared library by library_path"),
    ("nixl_native", OWN_PLUGIN),
    ("nixl_store", "use type fs or raw_block for what nixl kept on a disk, type s3 for its OBJ backend"),
    ("nixl_store_dynamic", "use type fs for what nixl kept in files"),
    ("p2p", "use a tier that the instances share: type fs, resp or s3 with \"shared\": true"),
    ("sagemaker-hyperpod", OWN_PLUGIN),
    ("valkey", "use type resp: it speaks to Valkey, with host and port in place of startup_nodes"),
];

const OWN_PLUGIN: &str = "use type plugin to load a client of your own";

/// The error for a type of LMCache's that this build lacks.
pub(super) fn absent_type(name: &str) -> Option<Error> {
    let (_, instead) = ABSENT.iter().find(|(absent, _)| *absent == name)?;
    let error = Error::unsupported("this adapter type is not part of this build");
    Some(error.with_context("type", name).with_hint(*instead))
}

/// The error for a type that nobody knows.
pub(super) fn unknown_type(name: &str) -> Error {
    Error::invalid("unknown adapter type")
        .with_context("type", short(name))
        .with_hint(format!("the types are {}", KNOWN.join(", ")))
}

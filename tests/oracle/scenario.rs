//! The file of a scenario: its configuration, layouts, keys and steps.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use lmcache::format::model::KeyInterner;
use lmcache::format::model::{Dtype, KeyView, MemoryLayoutDesc, ObjectKey};
use lmcache::storage::config::{
    Compat, EvictionConfig, EvictionPolicyKind, L1ManagerConfig, L2AdapterConfig, PrefetchConfig,
    PrefetchPolicy, StorageManagerConfig, StoreConfig, StorePolicy,
};
use serde_json::Value;

/// One recorded scenario.
pub(crate) struct Scenario {
    /// Its file, without folder.
    pub(crate) name: String,
    pub(crate) config: Value,
    pub(crate) layouts: HashMap<String, MemoryLayoutDesc>,
    pub(crate) keys: Vec<ObjectKey>,
    pub(crate) steps: Vec<Value>,
}

impl Scenario {
    pub(crate) fn load(path: &Path) -> Self {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let mut scenario =
            Self { name, config: Value::Null, layouts: HashMap::new(), keys: Vec::new(), steps: Vec::new() };
        for line in text(path).lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            match line["kind"].as_str() {
                Some("config") => scenario.config = line,
                Some("layouts") => scenario.layouts = layouts(&line["layouts"]),
                Some("keys") => scenario.keys = keys(&line),
                Some("end") => assert_eq!(line["steps"], scenario.steps.len(), "the file is complete"),
                Some(kind) => panic!("a line of unknown kind {kind}"),
                None => scenario.steps.push(line),
            }
        }
        scenario
    }

    /// Whether this build has all adapters that it needs.
    pub(crate) fn is_supported(&self) -> bool {
        let added = self.steps.iter().filter(|step| step["op"] == "add_l2").map(|step| &step["adapter"]);
        array_of(&self.config["l2"]).iter().chain(added).all(|adapter| {
            matches!(adapter["type"].as_str(), Some("mock" | "fault_inject" | "fs" | "no_such_type") | None)
        })
    }

    /// The configuration of LMCache, with its behaviour, whose folders lie in `folder`.
    pub(crate) fn manager_config(&self, folder: &Path) -> StorageManagerConfig {
        let l1s: Vec<_> = array_of(&self.config["l1"]).iter().map(l1_config).collect();
        let eviction = l1s[0].eviction.clone();
        let mut config = StorageManagerConfig::with_l1_managers(l1s, eviction);
        config.compat = Compat::Lmcache;
        config.store = StoreConfig::for_compat(Compat::Lmcache);
        config.prefetch = PrefetchConfig::for_compat(Compat::Lmcache);
        config.l2_adapters = array_of(&self.config["l2"])
            .iter()
            .map(|adapter| adapter_config(adapter, folder).expect("an adapter"))
            .collect();
        // Recordings of L1 alone can go without what concerns L2.
        let store_policy = self.config["store_policy"].as_str().unwrap_or("default");
        config.store_policy =
            StorePolicy::ALL.into_iter().find(|policy| policy.name() == store_policy).expect("a policy");
        let prefetch_policy = self.config["prefetch_policy"].as_str().unwrap_or("default");
        config.prefetch_policy = PrefetchPolicy::ALL
            .into_iter()
            .find(|policy| policy.name() == prefetch_policy)
            .expect("a policy");
        config.prefetch_max_in_flight = self.config["max_in_flight"].as_i64().unwrap_or(8);
        let quotas = self.config["quotas"].as_object().into_iter().flatten();
        config.quotas = quotas.map(|(salt, bytes)| (salt.clone(), u64_of(bytes))).collect();
        config
    }
}

fn l1_config(l1: &Value) -> L1ManagerConfig {
    let eviction = EvictionConfig {
        policy: EvictionPolicyKind::from_name(str_of(&l1["eviction"]["policy"])).expect("a policy"),
        trigger_watermark: l1["eviction"]["watermark"].as_f64().expect("a number"),
        eviction_ratio: l1["eviction"]["ratio"].as_f64().expect("a number"),
        ..EvictionConfig::default()
    };
    let mut config = L1ManagerConfig::dram(u64_of(&l1["size_bytes"]), eviction);
    config.tag = str_of(&l1["tag"]).to_owned();
    config.memory.align_bytes = u64_of(&l1["align_bytes"]);
    config.write_ttl_seconds = l1["write_ttl_s"].as_i64().expect("a number");
    config.read_ttl_seconds = l1["read_ttl_s"].as_i64().expect("a number");
    config
}

/// The adapter that a recording names; `@TMP` is the folder.
pub(crate) fn adapter_config(adapter: &Value, folder: &Path) -> lmcache::error::Result<L2AdapterConfig> {
    let json = adapter.to_string().replace("@TMP", folder.to_str().expect("UTF-8"));
    L2AdapterConfig::from_json(&json)
}

fn text(path: &Path) -> String {
    let file = std::fs::File::open(path).expect("the scenario can be opened");
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "zst") {
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(file).expect("a zstd file");
        decoder.read_to_string(&mut text).expect("a whole zstd file");
    } else {
        std::io::BufReader::new(file).read_to_string(&mut text).expect("UTF-8");
    }
    text
}

fn layouts(layouts: &Value) -> HashMap<String, MemoryLayoutDesc> {
    let layout = |desc: &Value| {
        let shapes =
            array_of(&desc["shapes"]).iter().map(|shape| array_of(shape).iter().map(u64_of).collect());
        let dtypes =
            array_of(&desc["dtypes"]).iter().map(|name| Dtype::from_name(str_of(name)).expect("a dtype"));
        MemoryLayoutDesc::new(shapes.zip(dtypes).collect()).expect("a layout")
    };
    let layouts = layouts.as_object().expect("layouts by name");
    layouts.iter().map(|(name, desc)| (name.clone(), layout(desc))).collect()
}

fn keys(line: &Value) -> Vec<ObjectKey> {
    let mut interner = KeyInterner::default();
    let key = |row: &Value| {
        let view = KeyView {
            chunk_hash: &unhex(str_of(&row[0])),
            model_name: str_of(&line["models"][usize_of(&row[1])]),
            kv_rank: row[2].as_i64().expect("a rank"),
            object_group_id: u64_of(&row[3]) as u32,
            cache_salt: str_of(&line["salts"][usize_of(&row[4])]),
        };
        interner.key(view).expect("a key")
    };
    array_of(&line["keys"]).iter().map(key).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two hex digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

pub(crate) fn u64_of(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

pub(crate) fn usize_of(value: &Value) -> usize {
    u64_of(value) as usize
}

pub(crate) fn str_of(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub(crate) fn array_of(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

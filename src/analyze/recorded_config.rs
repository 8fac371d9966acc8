//! What a trace says of the storage manager that it was recorded from: what a replay has to be given to be like it.
//!
//! Recorders write the manager's configuration into the header, as JSON of LMCache's `StorageManagerConfig`. Only what is read here is
//! looked for, and what is not as expected is left out: releases differ, and nobody else depends on it.

use serde_json::Value;

/// One L1 of a recorded configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedL1 {
    /// Its name; LMCache's default is `_default`.
    pub tag: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// What it evicts by.
    pub eviction_policy: String,
    /// The part of it that is in use when it evicts.
    pub trigger_watermark: Option<f64>,
    /// The part of what is in use that it evicts then.
    pub eviction_ratio: Option<f64>,
}

/// What is read of a recorded configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedConfig {
    /// The L1s.
    pub l1s: Vec<RecordedL1>,
    /// How many L2 adapters there were. What they were is not recorded in a form that can be read again.
    pub l2_adapters: usize,
}

impl RecordedConfig {
    /// Reads the configuration of a header; nothing if there is none, or it names no L1.
    pub fn parse(sm_config_json: &str) -> Option<Self> {
        let config: Value = serde_json::from_str(sm_config_json).ok()?;
        let several = config["l1_manager_configs"].as_array().filter(|all| !all.is_empty());
        let l1s: Vec<_> = match several {
            Some(all) => all.iter().filter_map(l1).collect(),
            None => l1(&config["l1_manager_config"]).into_iter().collect(),
        };
        let l2_adapters = config["l2_adapter_config"]["adapters"].as_array().map_or(0, Vec::len);
        (!l1s.is_empty()).then_some(Self { l1s, l2_adapters })
    }
}

fn l1(config: &Value) -> Option<RecordedL1> {
    let eviction = &config["eviction"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(RecordedL1 {
        tag: text(&config["tag"]),
        size_bytes: config["memory_config"]["size_in_bytes"].as_u64()?,
        eviction_policy: text(&eviction["eviction_policy"]),
        trigger_watermark: eviction["trigger_watermark"].as_f64(),
        eviction_ratio: eviction["eviction_ratio"].as_f64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_left_out() {
        let l1 = |tag: &str, size: u64| {
            format!(
                r#"{{"tag": "{tag}", "memory_config": {{"size_in_bytes": {size}}},
                    "eviction": {{"eviction_policy": "LRU", "trigger_watermark": 0.8}}}}"#
            )
        };
        let (one, other) = (l1("a", 5), l1("b", 7));
        let parse = |json: String| RecordedConfig::parse(&json);
        let two = parse(format!(
            r#"{{"l1_manager_config": {one}, "l1_manager_configs": [{one}, {other}, {{}}],
                "l2_adapter_config": {{"adapters": ["<object>"]}}}}"#
        ));
        let two = two.unwrap();
        let sizes: Vec<_> = two.l1s.iter().map(|l1| (l1.tag.as_str(), l1.size_bytes)).collect();
        assert_eq!((sizes, two.l2_adapters), (vec![("a", 5), ("b", 7)], 1));
        assert_eq!(two.l1s[0].eviction_policy, "LRU");
        assert_eq!((two.l1s[0].trigger_watermark, two.l1s[0].eviction_ratio), (Some(0.8), None));
        let single = parse(format!(r#"{{"l1_manager_config": {other}}}"#)).unwrap();
        assert_eq!((single.l1s.len(), single.l2_adapters), (1, 0));
        for none in ["", "{", "[]", "3", "{}", r#"{"l1_manager_config": {"memory_config": 3}}"#] {
            assert_eq!(RecordedConfig::parse(none), None, "{none}");
        }
    }
}

//! Which settings differ between the configuration that a trace was recorded under and ours.
//!
//! Two digests only say that something differs. The header of a trace also holds the text that was hashed,
//! so the difference can be named: path, recorded value, our value.
//!
//! LMCache records of an L2 adapter that it was there, and where in memory, and nothing else. So whether ours is
//! the same cannot be told; it differs, and what is said of the recorded one is the name of its class.

use std::collections::BTreeSet;

use super::StorageManagerConfig;
use super::python_json::PyValue;

/// The list of all L1 managers; its first element repeats [`FIRST_L1`].
const L1_LIST: &str = "l1_manager_configs";
/// The first L1 manager.
const FIRST_L1: &str = "l1_manager_config";
/// How much of one value is shown.
pub const MAX_SHOWN_CHARS: usize = 80;
/// How much of a path is shown: our own are shorter.
pub const MAX_PATH_CHARS: usize = 256;

/// One setting that differs. A side that lacks the setting altogether is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigDifference {
    /// The names on the way to the setting, with dots between them.
    pub path: String,
    /// What the trace was recorded with, as JSON.
    pub recorded: Option<String>,
    /// What this replay runs with, as JSON.
    pub replay: Option<String>,
}

/// The settings in which `ours` differs from `recorded_json`, sorted by path. The recorded text comes from a
/// file and may be anything: text that is not JSON differs as a whole, under the path `(config)`.
pub fn differences(recorded_json: &str, ours: &StorageManagerConfig) -> Vec<ConfigDifference> {
    let replay = without_repetition(ours.to_python());
    let recorded = match serde_json::from_str::<serde_json::Value>(recorded_json) {
        Ok(value) => without_repetition(PyValue::of_json(&value)),
        Err(_) => {
            let recorded = Some(shown(&recorded_json.into()));
            return vec![ConfigDifference { path: "(config)".to_owned(), recorded, replay: None }];
        }
    };
    let mut found = Vec::new();
    collect(String::new(), Some(&recorded), Some(&replay), &mut found);
    found
}

/// Drops the first element of the list of L1 managers where it only repeats `l1_manager_config`.
fn without_repetition(mut config: PyValue) -> PyValue {
    if let PyValue::Dict(settings) = &mut config {
        let first = settings.get(FIRST_L1).map(PyValue::dumps);
        if let Some(PyValue::List(managers)) = settings.get_mut(L1_LIST)
            && let Some(repeated) = managers.first_mut()
            && first == Some(repeated.dumps())
        {
            *repeated = PyValue::None;
        }
    }
    config
}

/// Walks both trees side by side. Recursion is bounded by serde_json's own limit of 128 levels.
fn collect(
    path: String,
    recorded: Option<&PyValue>,
    replay: Option<&PyValue>,
    found: &mut Vec<ConfigDifference>,
) {
    match (recorded, replay) {
        (Some(PyValue::Dict(left)), Some(PyValue::Dict(right))) => {
            let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let separator = if path.is_empty() { "" } else { "." };
                collect(format!("{path}{separator}{name}"), left.get(name), right.get(name), found);
            }
        }
        (Some(PyValue::List(left)), Some(PyValue::List(right))) => {
            for position in 0..left.len().max(right.len()) {
                collect(format!("{path}[{position}]"), left.get(position), right.get(position), found);
            }
        }
        (left, right) if left != right => found.push(ConfigDifference {
            path: if path.is_empty() { "(config)".to_owned() } else { cut(path, MAX_PATH_CHARS) },
            recorded: left.map(|value| shown(&without_address(value))),
            replay: right.map(shown),
        }),
        _ => {}
    }
}

/// What stands for an object that Python prints as its class and address: the address tells nothing.
fn without_address(value: &PyValue) -> PyValue {
    let class = match value {
        PyValue::Str(text) => object_class(text),
        _ => None,
    };
    match class {
        Some(class) => PyValue::Str(format!("{class} (LMCache does not record its settings)")),
        None => value.clone(),
    }
}

/// The class of `<module.Class object at 0x7f00>`, which is how Python prints an object without a form of its own.
fn object_class(text: &str) -> Option<&str> {
    let (path, address) = text.strip_prefix('<')?.strip_suffix('>')?.split_once(" object at 0x")?;
    let is_address = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.rsplit('.').next().filter(|class| is_address && !class.is_empty())
}

/// `value` as JSON, cut after [`MAX_SHOWN_CHARS`]: it is printed on a terminal, and a file chose it.
fn shown(value: &PyValue) -> String {
    cut(value.dumps(), MAX_SHOWN_CHARS)
}

fn cut(text: String, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::config::{EvictionPolicyKind, GIB_BYTES, L2AdapterConfig};

    fn ours() -> StorageManagerConfig {
        StorageManagerConfig::l1_only(GIB_BYTES, EvictionPolicyKind::Lru)
    }

    #[test]
    fn one_changed_setting_of_the_first_l1_is_named_once() {
        let mut recorded = ours();
        recorded.l1_managers[0].memory.shm_name = "lmcache_l1_pool_25033".to_owned();
        let found = differences(&recorded.to_json(), &ours());
        assert_eq!(
            found,
            [ConfigDifference {
                path: "l1_manager_config.memory_config.shm_name".to_owned(),
                recorded: Some("\"lmcache_l1_pool_25033\"".to_owned()),
                replay: Some("\"\"".to_owned()),
            }]
        );
        assert!(differences(&ours().to_json(), &ours()).is_empty());
    }

    #[test]
    fn recorded_text_may_be_anything() {
        for hostile in ["", "{", "[1]", "null", "\"x\"", &"[".repeat(100_000), "{\"l1_manager_configs\":[]}"]
        {
            let found = differences(hostile, &ours());
            assert!(!found.is_empty(), "{hostile:.20}");
            assert!(found.iter().all(|difference| {
                difference.recorded.as_ref().is_none_or(|text| text.chars().count() <= MAX_SHOWN_CHARS + 3)
            }));
        }
    }

    #[test]
    fn a_number_that_json_lacks_is_one_difference_and_paths_are_cut() {
        let mut replay = ours();
        replay.eviction.eviction_ratio = f64::NAN;
        replay.l1_managers[0].eviction.eviction_ratio = f64::NAN;
        let found = differences(&ours().to_json(), &replay);
        let paths: Vec<&str> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["eviction_config.eviction_ratio", "l1_manager_config.eviction.eviction_ratio"]);
        assert_eq!((found[0].recorded.as_deref(), found[0].replay.as_deref()), (Some("0.2"), Some("NaN")));

        let long = format!("{{\"{}\":1}}", "x".repeat(MAX_PATH_CHARS + 1));
        let paths = differences(&long, &ours()).into_iter().map(|difference| difference.path.chars().count());
        assert_eq!(paths.max(), Some(MAX_PATH_CHARS + 3));
    }

    #[test]
    fn an_adapter_that_lmcache_recorded_is_named_without_its_address() {
        let recorded =
            |text: &str| ours().to_json().replace("\"adapters\": []", &format!("\"adapters\": [{text:?}]"));
        let mock =
            "<lmcache.v1.distributed.l2_adapters.mock_l2_adapter.MockL2AdapterConfig object at 0x7f00aa>";
        let mut replay = ours();
        replay.l2_adapters =
            vec![L2AdapterConfig::from_json(r#"{"type":"fs","base_path":"/kv"}"#).expect("valid JSON")];
        let found = differences(&recorded(mock), &replay);
        assert_eq!(
            found,
            [ConfigDifference {
                path: "l2_adapter_config.adapters[0]".to_owned(),
                recorded: Some("\"MockL2AdapterConfig (LMCache does not record its settings)\"".to_owned()),
                replay: Some("{\"base_path\": \"/kv\", \"type\": \"fs\"}".to_owned()),
            }]
        );
        for other in ["<a.B object at 0x>", "<a.B object at 0x7g>", "< object at 0x7f>", "a.B object at 0x7f"]
        {
            let found = differences(&recorded(other), &ours());
            assert_eq!(found[0].recorded.as_deref(), Some(format!("{other:?}").as_str()));
        }
        assert!(differences(&replay.to_json(), &replay).is_empty());
    }

    #[test]
    fn a_second_l1_manager_is_a_difference() {
        let mut recorded = ours();
        let mut second = recorded.l1_managers[0].clone();
        second.tag = "second".to_owned();
        recorded.l1_managers.push(second);
        let paths: Vec<String> =
            differences(&recorded.to_json(), &ours()).into_iter().map(|difference| difference.path).collect();
        assert_eq!(paths, ["l1_manager_configs[1]"]);
    }
}

//! JSON that nobody means well with: an error, and soon.

use lmcache::error::ErrorKind;
use lmcache::storage::config::L1ManagerConfig;
use lmcache::storage::config::L2AdapterConfig;
use lmcache::storage::config::l1::tagged::TaggedDefaults;
use lmcache::storage::config::l2::known::EXAMPLES;
use proptest::prelude::*;

/// Values of a field that has no such value.
const HOSTILE_VALUES: [&str; 12] = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1e308",
    "-0.0",
    "99999999999999999999999999999999",
    "-9223372036854775809",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "[[[[[[[[[[]]]]]]]]]]",
];

#[test]
fn texts_that_are_no_object_are_refused() {
    let deep_list = "[".repeat(100_000);
    let deep_object = "{\"a\":".repeat(100_000);
    for json in [
        "",
        " ",
        "null",
        "1",
        "\"fs\"",
        "[]",
        "{",
        "{}",
        "{\"type\":}",
        "\u{feff}{}",
        &deep_list,
        &deep_object,
    ] {
        let error = L2AdapterConfig::from_json(json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{json:.20}");
        let error = L1ManagerConfig::from_tagged_json(json, &TaggedDefaults::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{json:.20}");
    }
}

/// Python and serde_json take the last one.
#[test]
fn a_key_that_stands_twice_is_refused_by_name_at_any_depth() {
    for (json, key) in [
        (r#"{"type":"fs","base_path":"/a","base_path":"/b"}"#, "base_path"),
        (r#"{"type":"fs","base_path":"/a","base_path":"/a"}"#, "base_path"),
        (r#"{"type":"fs","base_path":"/a","b\u0061se_path":"/b"}"#, "base_path"),
        (r#"{"type":"fs","type":"mock","base_path":"/a"}"#, "type"),
        (r#"{"type":"fs","base_path":"/a","eviction":{"by":"keys","by":"bytes"}}"#, "by"),
        (r#"{"type":"fault_inject","inner":{"type":"fs","base_path":"/a","base_path":"/b"}}"#, "base_path"),
        (r#"{"type":"plugin","library_path":"a","adapter_params":{"x":[{"y":1,"y":2}]}}"#, "y"),
        // What follows is not looked at.
        (r#"{"password":"sesame","password":"sesame""#, "password"),
    ] {
        let error = L2AdapterConfig::from_json_list(&[json]).unwrap_err();
        let expected = format!("a key stands twice in one object (field {key}, flag --l2-adapter #1)");
        assert_eq!(error.to_string(), expected, "{json}");
        assert!(error.hint().unwrap().contains("leave one of the two out"));
    }
    let l1 = r#"{"type":"DRAM","tag":"a","size_gb":1,"size_gb":2}"#;
    let error = L1ManagerConfig::from_tagged_json(l1, &TaggedDefaults::default()).unwrap_err();
    assert_eq!(error.to_string(), "a key stands twice in one object (field size_gb, flag --l1-manager)");
    let hostile = format!(r#"{{"\u001b{0}":1,"\u001b{0}":2}}"#, "y".repeat(10_000));
    let said = L2AdapterConfig::from_json(&hostile).unwrap_err().to_string();
    assert!(said.len() < 200 && !said.contains('\u{1b}'), "{said}");
    // The same key in two objects is none.
    let apart =
        r#"{"type":"fault_inject","inner":{"type":"plugin","library_path":"a","adapter_params":{"type":1}}}"#;
    assert!(L2AdapterConfig::from_json(apart).is_ok());
}

#[test]
fn numbers_that_are_none_are_refused() {
    for value in HOSTILE_VALUES {
        for (json, key) in [
            (r#"{"type":"mock","mock_bandwidth_gb":1,"max_size_gb":V}"#, "max_size_gb"),
            (r#"{"type":"mock","mock_bandwidth_gb":1,"max_size_gb":1,"jitter_seed":V}"#, "jitter_seed"),
            (r#"{"type":"raw_block","device_path":"/x","slot_bytes":V}"#, "slot_bytes"),
            (r#"{"type":"resp","host":"h","port":V}"#, "port"),
        ] {
            let json = json.replace('V', value);
            assert!(L2AdapterConfig::from_json_in(&json, &|_| None).is_err(), "{key} {json}");
        }
        let l1 = format!(r#"{{"type":"DRAM","tag":"a","size_gb":{value}}}"#);
        assert!(L1ManagerConfig::from_tagged_json(&l1, &TaggedDefaults::default()).is_err(), "{l1}");
    }
}

proptest! {
    /// Any change of one byte of a good object is a good object or an error.
    #[test]
    fn changed_objects_do_no_harm(example in 0..EXAMPLES.len(), at: prop::sample::Index, to in 0u8..128) {
        let mut bytes = EXAMPLES[example].as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(json) = String::from_utf8(bytes) {
            let _ = L2AdapterConfig::from_json_in(&json, &|_| None);
        }
    }

    #[test]
    fn any_text_does_no_harm(text: String) {
        prop_assert!(L2AdapterConfig::from_json_in(&text, &|_| None).is_err());
        prop_assert!(L1ManagerConfig::from_tagged_json(&text, &TaggedDefaults::default()).is_err());
    }
}

//! Differential: every field of a tagged L1 with every kind of value, as LMCache 0.5.6 took it.

use lmcache::error::ErrorKind;
use lmcache::storage::config::l1::tagged::TaggedDefaults;
use lmcache::storage::config::{EvictionConfig, L1ManagerConfig};
use serde_json::json;

/// Sizes above what a process can address.
const TOO_LARGE: [&str; 2] = ["1e300", "18446744073709551616"];

#[test]
fn what_lmcache_refuses_is_refused_and_what_it_takes_is_taken() {
    let defaults = TaggedDefaults { eviction: Some(EvictionConfig::default()), ..TaggedDefaults::default() };
    let table = include_str!("data/l1_values.txt");
    let names = table.lines().nth(1).and_then(|line| line.split_once(": ")).expect("a row of the table").1;
    let values: Vec<&str> = names.split('|').collect();
    let mut checked = 0;
    for row in table.lines().skip(2) {
        let [backend, field, outcomes] = row.split(' ').collect::<Vec<_>>()[..] else { panic!("{row}") };
        assert_eq!(outcomes.len(), values.len(), "{row}");
        for (value, outcome) in values.iter().zip(outcomes.chars()) {
            let ours = L1ManagerConfig::from_tagged_json(&object(backend, field, value), &defaults);
            let is_size = matches!(field, "size_gb" | "read_ttl_seconds" | "write_ttl_seconds");
            let expected = match (outcome, backend) {
                // Not part of this build, whatever else is wrong.
                (_, "DEVDAX" | "GDS") if field != "type" || outcome == '1' => Some(ErrorKind::Unsupported),
                ('1', _) if is_size && TOO_LARGE.contains(value) => Some(ErrorKind::InvalidArgument),
                ('1', _) => None,
                _ => Some(ErrorKind::InvalidArgument),
            };
            // LMCache cannot compute a size past 64 bits; any size is cut to the size of L1.
            let expected = if field == "init_size_gb" && *value == TOO_LARGE[0] { None } else { expected };
            let found = ours.as_ref().err().map(lmcache::error::Error::kind);
            assert_eq!(found, expected, "{backend} {field} {value}: LMCache {outcome}, ours {ours:?}");
            checked += 1;
        }
    }
    assert!(checked > 800, "{checked}");
}

fn object(backend: &str, field: &str, value: &str) -> String {
    let mut object = json!({"type": backend, "tag": "t", "size_gb": 0.5});
    match backend {
        "DEVDAX" => object["path"] = json!("/dev/dax0.0"),
        "GDS" => object["path"] = json!("/nvme"),
        _ => {}
    }
    let fields = object.as_object_mut().expect("an object");
    match value {
        "absent" => drop(fields.remove(field)),
        _ => drop(fields.insert(field.to_owned(), serde_json::from_str(value).expect("valid JSON"))),
    }
    object.to_string()
}

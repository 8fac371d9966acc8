//! The pages: they have every key that there is and no other, and what they show works.

use std::collections::BTreeSet;

use lmcache::storage::config::L2AdapterConfig;
use lmcache::storage::config::l1::tagged::{COMMON_FIELDS, DRAM_FIELDS, EVICTION_FIELDS};
use lmcache::storage::config::l2::known::KNOWN;
use lmcache::storage::config::l2::reader::{COMMON_KEYS, EVICTION_KEYS};
use lmcache::storage::config::l2::{fault_inject, fs, fs_native, mock, plugin, raw_block, resp, s3};
use lmcache::storage::serde::config::{AESGCM_KEYS, FP8_KEYS};

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const PAGES: [(&str, &str); 3] = [
    ("configuration.md", CONFIGURATION),
    ("l2.md", include_str!("../../docs/l2.md")),
    ("l2-network.md", include_str!("../../docs/l2-network.md")),
];

/// The names in backquotes.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows of the section's tables, without their heads.
fn rows(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let from = CONFIGURATION.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{heading}"));
    let section = &CONFIGURATION[from + 4..];
    let section = &section[..section.find("\n## ").unwrap_or(section.len())];
    let rows = section.lines().filter(|line| line.starts_with('|') && line.contains('`'));
    rows.map(|row| row.split('|').skip(1).map(str::trim).collect())
}

/// The keys of a section whose tables have them in the first column.
fn keys(heading: &str) -> BTreeSet<&'static str> {
    rows(heading).filter(|row| row.len() == 4).flat_map(|row| names(row[0])).collect()
}

/// The keys of each type, from a section whose table has the type in the first column and the keys in the second.
fn keys_of_types(heading: &str) -> Vec<(&'static str, BTreeSet<&'static str>)> {
    let (mut types, mut found): (Vec<&str>, Vec<(&str, BTreeSet<&str>)>) = (Vec::new(), Vec::new());
    for row in rows(heading).filter(|row| row.len() == 5) {
        let named = names(row[0]);
        if !named.is_empty() {
            types = named;
            found.extend(types.iter().map(|kind| (*kind, BTreeSet::new())));
        }
        for (_, keys) in found.iter_mut().filter(|(kind, _)| types.contains(kind)) {
            keys.extend(names(row[1]));
        }
    }
    found
}

fn set(lists: &[&[&'static str]]) -> BTreeSet<&'static str> {
    lists.concat().into_iter().collect()
}

#[test]
fn the_page_has_the_keys_of_every_adapter_and_no_other() {
    assert_eq!(keys("L2 adapters"), set(&[COMMON_KEYS]));
    let expected = [
        (mock::TYPE, mock::KEYS),
        (fs::TYPE, fs::KEYS),
        (fs_native::TYPE, fs_native::KEYS),
        (raw_block::TYPE, raw_block::KEYS),
        (resp::TYPE, resp::KEYS),
        (s3::TYPE, s3::KEYS),
        (fault_inject::TYPE, fault_inject::KEYS),
        (plugin::TYPE, plugin::KEYS),
    ];
    assert_eq!(expected.map(|(kind, _)| kind), KNOWN, "a new type belongs into this test");
    assert_eq!(keys_of_types("L2 adapters"), expected.map(|(kind, keys)| (kind, set(&[keys]))));
}

#[test]
fn the_page_has_the_keys_of_l1_eviction_and_serde_and_no_other() {
    assert_eq!(keys("Several L1 managers"), set(&[COMMON_FIELDS, DRAM_FIELDS]));
    assert_eq!(keys("Eviction"), set(&[EVICTION_FIELDS]));
    assert_eq!(set(&[EVICTION_FIELDS]), set(&[EVICTION_KEYS]));
    let serdes = [("fp8", FP8_KEYS), ("aesgcm", AESGCM_KEYS)];
    let own = |keys: &[&'static str]| keys.iter().copied().filter(|key| *key != "type").collect();
    assert_eq!(keys_of_types("Serde"), serdes.map(|(name, keys)| (name, own(keys))));
}

/// The objects of adapters in a page: from `{"type"` to the brace that closes it.
fn adapters(page: &str) -> Vec<String> {
    let starts = page.match_indices("{\"type\"").map(|(at, _)| at);
    let objects = starts.filter_map(|at| {
        let text = &page[at..];
        let mut depth = 0;
        let end = text.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        })?;
        Some(text[..=end].to_owned())
    });
    objects.collect()
}

/// A serde's object stands in an adapter's.
fn read(object: &str) -> lmcache::error::Result<L2AdapterConfig> {
    if ["\"fp8\"", "\"aesgcm\""].iter().any(|name| object.starts_with(&format!("{{\"type\": {name}"))) {
        return L2AdapterConfig::from_json(&format!(r#"{{"type":"fs","base_path":"/x","serde":{object}}}"#));
    }
    L2AdapterConfig::from_json(object)
}

#[test]
fn every_adapter_that_a_page_shows_can_be_configured_so() {
    let mut checked = 0;
    for (name, page) in PAGES {
        for object in adapters(page) {
            let config = read(&object);
            assert!(
                config.is_ok(),
                "{name}: {object}: {config:?} {:?}",
                config.as_ref().err().map(|e| e.hint())
            );
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}

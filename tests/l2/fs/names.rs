//! Names lead back to their keys, and no two keys share one.

use std::collections::HashMap;

use lmcache::storage::config::Compat;
use lmcache::storage::l2::fs::names::{MAX_NAME_BYTES, file_name, key_of};
use proptest::prelude::*;

use crate::conformance::odd_keys;
use crate::support::key_of as key;

/// Models out of the pieces that names are made of, so that they meet often.
fn model() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("-SEP-"),
        Just("-SEP"),
        Just("SEP-"),
        Just("/"),
        Just("-"),
        Just("%"),
        Just("%2F"),
        Just("%25"),
        Just("a"),
        Just(".data"),
        Just(".tmp"),
        Just("0x01"),
        Just("\u{6a21}"),
        Just("\0"),
        Just("%00"),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn salt() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z.%-]{1,6}", Just(".data".to_owned()), Just("\u{e9}".to_owned())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_name_leads_back(
        model in model(), rank in any::<i64>(), group in any::<u32>(),
        hash in proptest::collection::vec(any::<u8>(), 0..40), salt in salt(),
    ) {
        let key = key(&model, rank, group, &hash, &salt);
        let name = file_name(&key, Compat::Native).unwrap();
        prop_assert!(name.len() <= MAX_NAME_BYTES && !name.contains(['/', '\0']));
        prop_assert_eq!(key_of(&name, Compat::Native), Some(key));
    }

    #[test]
    fn any_text_is_a_name_of_one_key_or_of_none(text in "[a-f0-9@%x./SEP-]{0,40}(@0x0000000[0-9a-f]@[0-9a-f]@[0-9a-f]{2})?(\\.data)?") {
        for compat in Compat::ALL {
            if let Some(key) = key_of(&text, compat) {
                prop_assert_eq!(&file_name(&key, compat).unwrap(), &text);
            }
        }
    }
}

#[test]
fn odd_keys_have_names_of_their_own() {
    let mut owners = HashMap::new();
    for key in odd_keys() {
        let name = file_name(&key, Compat::Native).unwrap();
        assert_eq!(owners.insert(name.clone(), key), None, "{name}");
    }
}

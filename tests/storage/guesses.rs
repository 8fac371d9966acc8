//! L1 looks first where the last call of the thread found its keys. What has come to lie there since is not taken for
//! them.

use std::sync::Arc;

use lmcache::format::model::{KeyScope, ObjectKey};
use lmcache::storage::L1Error;
use lmcache::storage::config::{Compat, EvictionPolicyKind};

use crate::support::{PAGE, keys, layout, manager_like, store};

#[test]
fn what_took_the_place_of_a_key_is_not_taken_for_it() {
    for compat in Compat::ALL {
        let (manager, _hand) = manager_like(compat, 64, EvictionPolicyKind::Lru);
        let (read, other) = (keys(0, 8), keys(100, 96));
        store(&manager, &read);
        // The place of every key is noted by its position; then other keys take the places, whichever they were.
        let reserved = manager.reserve_write(&read, &layout(PAGE)).unwrap();
        assert!(reserved.codes().as_slice().iter().all(|code| *code == L1Error::KeyNotWritable), "{compat}");
        assert_eq!(manager.delete_l1_keys(&read, true), (8, 0), "{compat}");
        for batch in other.chunks(8) {
            store(&manager, batch);
            let codes = manager.finish_read_prefetched(&read, 1, None).unwrap();
            assert_eq!(codes.as_slice(), [L1Error::KeyNotExist; 8], "{compat}");
            manager.delete_l1_keys(&batch[..4], true);
        }
        assert!(manager.memcheck(), "{compat}");
    }
}

#[test]
fn what_is_stored_after_a_wrong_guess_is_found_by_its_own_key() {
    // So many pages are 64 shards.
    let (manager, _hand) = manager_like(Compat::Native, 4096, EvictionPolicyKind::Lru);
    let l1 = manager.l1_managers().next().unwrap();
    let tenants = [tenant("a"), tenant("b")];
    for round in 0..3 {
        for keys in &tenants {
            store(&manager, keys);
        }
        for keys in &tenants {
            let there: Vec<_> = keys.iter().map(|key| l1.objects_of(key).len()).collect();
            assert_eq!(there, [1; 16], "round {round}");
            let codes = manager.finish_read_prefetched(keys, 1, None).unwrap();
            assert_eq!(
                codes.as_slice(),
                [L1Error::KeyInWrongState; 16],
                "they are there, and nobody reads them"
            );
        }
        assert_eq!(manager.delete_l1_keys(&tenants[0], false), (16, 0));
        let codes = manager.finish_read_prefetched(&tenants[0], 1, None).unwrap();
        assert_eq!(codes.as_slice(), [L1Error::KeyNotExist; 16]);
        assert_eq!(manager.delete_l1_keys(&tenants[1], false), (16, 0));
        assert!(manager.memcheck());
    }
}

/// The same chunks for each.
fn tenant(salt: &str) -> Vec<ObjectKey> {
    let scope = Arc::new(KeyScope::new("model", 0x0100_0100, 0, salt).unwrap());
    keys(0, 16).iter().map(|key| ObjectKey::new(key.chunk_hash().clone(), Arc::clone(&scope))).collect()
}

#[test]
fn a_call_with_more_keys_than_are_noted_finds_them_all() {
    let (manager, _hand) = manager_like(Compat::Native, 2048, EvictionPolicyKind::Lru);
    let many = keys(0, 1000);
    store(&manager, &many);
    let codes = manager.finish_write(&many).unwrap();
    assert!(codes.as_slice().iter().all(|code| *code == L1Error::KeyNotExist), "nothing is staged any more");
    let turned: Vec<_> = many.iter().rev().cloned().collect();
    assert_eq!(manager.delete_l1_keys(&turned, false), (1000, 0));
    assert_eq!(manager.delete_l1_keys(&many, false), (0, 0));
}

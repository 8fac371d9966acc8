//! What is refused before anything is reserved or released.

use lmcache::device::EngineKvFormat as F;
use lmcache::error::ErrorKind;
use lmcache::format::model::{Dtype, MemoryLayoutDesc};
use lmcache::storage::device::{DeviceRetrieve, DeviceStore, PagedPart};

use crate::support::{Engine, OBJECT_BYTES, keys, layout, locks, manager, prefetch, table};

fn layout_of(shapes: &[&[u64]]) -> MemoryLayoutDesc {
    let bf16 = Dtype::from_name("torch.bfloat16").unwrap();
    MemoryLayoutDesc::new(shapes.iter().map(|shape| (Box::from(*shape), bf16)).collect()).unwrap()
}

#[test]
fn a_store_that_does_not_fit_is_refused_by_name_and_reserves_nothing() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_TWO_NB_BS_NH_HS, 1);
    let (two, good, table) = (keys(0, 2), layout(), table(2, 0));
    let part = engine.part(&table);
    let short = [part.block_ids[0], part.block_ids[1], part.block_ids[2]];
    let (wrong, below) = ([0, 1, 2, 64], [0, 1, 2, -1]);
    let twice = [two[0].clone(), two[0].clone()];
    let cases: [(&[_], &MemoryLayoutDesc, &[PagedPart<'_>], &str); 9] = [
        (&two, &good, &[], "at least one kind of layers"),
        (&two, &good, &[engine.part(&short)], "does not cover all objects"),
        (&two, &good, &[engine.part(&wrong)], "block that does not exist"),
        (&two, &good, &[engine.part(&below)], "block that does not exist"),
        (&two, &good, &[part, part], "another number of tensors"),
        (&two, &layout_of(&[&[2, 3, 8, 9]]), &[part], "another size"),
        (&two, &good, &[PagedPart { object_tokens: 6, ..part }], "whole blocks"),
        (&two, &good, &[PagedPart { skip_prefix_blocks: 1, ..part }], "no block of it can be left out"),
        (&twice, &good, &[part], "names an object twice"),
    ];
    for (keys, layout, parts, message) in cases {
        let request = DeviceStore { keys, layout, parts, null_block: None };
        let error = manager.store_from_device(&request, &*engine.stream).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let too_many = [PagedPart { object_tokens: u64::MAX / 4 * 4, ..part }];
    let request = DeviceStore { keys: &two, layout: &good, parts: &too_many, null_block: None };
    assert!(manager.store_from_device(&request, &*engine.stream).is_err());
    assert_eq!(locks(&manager), (0, 0, 0));
    assert_eq!(manager.report_status().device_transfers.in_flight_count, 0);
    // A longer table than is needed is no mistake, and neither are blocks behind the objects that do not exist.
    let longer = [0, 1, 2, 3, 99];
    let parts = [engine.part(&longer)];
    let request = DeviceStore { keys: &two, layout: &good, parts: &parts, null_block: None };
    let ticket = manager.store_from_device(&request, &*engine.stream).unwrap();
    assert_eq!(engine.finish(&manager, &ticket).bytes, 2 * OBJECT_BYTES);
}

#[test]
fn a_retrieve_that_does_not_fit_is_refused_and_leaves_the_locks_to_the_caller() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_TWO_NB_BS_NH_HS, 1);
    let (keys, table) = (keys(0, 2), table(2, 0));
    engine.stored(&manager, &keys, &table);
    assert_eq!(prefetch(&manager, &keys), 2);
    let part = engine.part(&table);
    let wrong = [0, 1, 2, 64];
    let cases: [(&[PagedPart<'_>], &str); 5] = [
        (&[], "at least one kind of layers"),
        (&[engine.part(&table[..3])], "does not cover all objects"),
        (&[engine.part(&wrong)], "block that does not exist"),
        (&[PagedPart { skip_prefix_blocks: 5, ..part }], "more blocks are left out"),
        (&[PagedPart { object_tokens: 4, ..part }], "another size"),
    ];
    for (parts, message) in cases {
        let request = DeviceRetrieve { keys: &keys, parts, owners: None };
        let error = manager.retrieve_to_device(&request, &*engine.stream).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(locks(&manager).0, 2);
    }
    // What is left out is not looked at.
    let parts = [PagedPart { skip_prefix_blocks: 4, ..engine.part(&[-1, 64, 99, i64::MIN]) }];
    let request = DeviceRetrieve { keys: &keys, parts: &parts, owners: None };
    let ticket = manager.retrieve_to_device(&request, &*engine.stream).unwrap();
    assert!(ticket.poll().expect("there is nothing to move").is_good());
    assert_eq!(locks(&manager).0, 0);
}

#[test]
fn nothing_is_stored_and_retrieved_at_once() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_TWO_NB_BS_NH_HS, 1);
    let store = engine.store(&manager, &[], &[]).poll().expect("at once");
    let retrieve = engine.retrieve(&manager, &[], &[]).poll().expect("at once");
    for outcome in [store, retrieve] {
        assert!(outcome.is_good() && outcome.objects.is_empty() && outcome.bytes == 0);
    }
}

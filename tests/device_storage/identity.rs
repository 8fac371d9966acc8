//! What is stored comes back, whatever the layouts and the order in which things happen.

use std::time::Duration;

use lmcache::device::{
    Device, EngineKvFormat as F, HostDevice, HostMemory, HostMemoryOptions, PageBufferShape, PagedLayout,
    Tensor,
};
use lmcache::format::model::{Dtype, MemoryLayoutDesc};
use lmcache::storage::device::{DeviceRetrieve, DeviceStore, ObjectOutcome, PagedPart, TransferTicket};
use proptest::prelude::*;

use crate::cases::{bytes_of, memory_of};
use crate::support::{Engine, OBJECT_BYTES, all, in_l1, keys, locks, manager, prefetch, random_bytes, table};

/// The layouts of models with K and V and several heads: their objects are the same.
const FORMATS: [F; 11] = [
    F::NB_NL_TWO_BS_NH_HS,
    F::NL_X_TWO_NB_BS_NH_HS,
    F::NL_X_NB_TWO_BS_NH_HS,
    F::TWO_X_NL_X_NBBS_NH_HS,
    F::NL_X_TWO_NB_NH_BS_HS,
    F::NL_X_NB_TWO_NH_BS_HS,
    F::NB_NL_TWO_NH_BS_HS,
    F::TWO_X_NL_X_NB_BS_NH_HS,
    F::NL_X_TWO_NB_NH_ONE_BS_HS,
    F::NL_X_TWO_X_NB_BS_NH_HS,
    F::NL_X_TWO_NB_BS_NH_HS,
];

#[test]
fn what_one_engine_stores_another_takes_whatever_their_layouts() {
    for (seed, format) in FORMATS.into_iter().enumerate() {
        let (manager, _hand) = manager(16);
        let stored = Engine::new(format, seed as u64 + 1);
        let other = Engine::new(FORMATS[(seed + 3) % FORMATS.len()], 99);
        let (keys, from, to) = (keys(0, 4), table(4, 5), table(4, 40));
        stored.stored(&manager, &keys, &from);
        let objects = stored.objects(&from);
        assert_eq!(in_l1(&manager, &keys).unwrap(), objects, "{format:?}");
        assert_eq!(prefetch(&manager, &keys), 4);
        let before = other.objects(&table(16, 0));
        let outcome = other.finish(&manager, &other.retrieve(&manager, &keys, &to));
        assert_eq!((&outcome.objects, outcome.bytes), (&all(ObjectOutcome::Moved, 4), 4 * OBJECT_BYTES));
        assert!(other.objects(&to) == objects, "{format:?}");
        let changed = other.objects(&table(16, 0)).iter().zip(&before).filter(|(a, b)| a != b).count();
        assert!(changed <= objects.len(), "no other block is touched");
        assert_eq!(locks(&manager).0, 0, "the locks are released");
        assert!(manager.memcheck());
    }
}

#[test]
fn a_retrieve_leaves_the_blocks_alone_that_it_is_told_to() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_TWO_NB_BS_NH_HS, 1);
    let (keys, from, to) = (keys(0, 3), table(3, 0), table(3, 7));
    engine.stored(&manager, &keys, &from);
    let (stored, before) = (engine.objects(&from), engine.objects(&to));
    for skip_prefix_blocks in [0, 1, 2, 3, 6] {
        assert_eq!(prefetch(&manager, &keys), 3);
        let other = Engine::new(F::NL_X_TWO_NB_BS_NH_HS, 1);
        assert_eq!(other.objects(&to), before);
        let parts = [PagedPart { skip_prefix_blocks, ..other.part(&to) }];
        let request = DeviceRetrieve { keys: &keys, parts: &parts, owners: None };
        let ticket = manager.retrieve_to_device(&request, &*other.stream).unwrap();
        let outcome = other.finish(&manager, &ticket);
        assert_eq!(outcome.bytes, (6 - skip_prefix_blocks) * OBJECT_BYTES / 2);
        assert!(outcome.is_good());
        // Block by block: those that were left out are as they were, the others as stored.
        for (block, id) in to.iter().enumerate() {
            let pair = [*id; 2];
            let expected = if (block as u64) < skip_prefix_blocks { &before } else { &stored };
            let one = other.objects(&pair);
            assert_eq!(block_of(&one, 0), block_of(expected, block), "block {block} of {skip_prefix_blocks}");
        }
        assert_eq!(locks(&manager).0, 0);
    }
}

/// The rows of one block, of objects one behind the other.
fn block_of(objects: &[u8], block: usize) -> Vec<u8> {
    let (row, rows_of_block) = (16, 4);
    let (object, at) = (block / 2, block % 2);
    let planes_and_layers = 6;
    let object = &objects[object * OBJECT_BYTES as usize..][..OBJECT_BYTES as usize];
    let part = |i: usize| &object[(i * 8 + at * rows_of_block) * row..][..rows_of_block * row];
    (0..planes_and_layers).flat_map(|i| part(i).to_vec()).collect()
}

#[test]
fn an_object_of_two_kinds_of_layers_is_one_part_behind_the_other() {
    let (manager, _hand) = manager(16);
    let engine = Engine::new(F::NL_X_TWO_NB_BS_NH_HS, 3);
    let bf16 = Dtype::from_name("torch.bfloat16").unwrap();
    let tensor = || (Box::from([2, 3, 8, 8]), bf16);
    let layout = MemoryLayoutDesc::new(vec![tensor(), tensor()]).unwrap();
    let (keys, full, window) = (keys(0, 2), table(2, 0), table(2, 31));
    let parts = [engine.part(&full), engine.part(&window)];
    let request = DeviceStore { keys: &keys, layout: &layout, parts: &parts, null_block: None };
    let ticket = manager.store_from_device(&request, &*engine.stream).unwrap();
    assert_eq!(engine.finish(&manager, &ticket).bytes, 4 * OBJECT_BYTES);
    let other = Engine::new(F::NB_NL_TWO_NH_BS_HS, 4);
    assert_eq!(prefetch(&manager, &keys), 2);
    let (to_full, to_window) = (table(2, 9), table(2, 12));
    let parts = [other.part(&to_full), other.part(&to_window)];
    let request = DeviceRetrieve { keys: &keys, parts: &parts, owners: None };
    let ticket = manager.retrieve_to_device(&request, &*other.stream).unwrap();
    assert!(other.finish(&manager, &ticket).is_good());
    assert!(other.objects(&to_full) == engine.objects(&full));
    assert!(other.objects(&to_window) == engine.objects(&window));
}

#[test]
fn more_runs_than_a_plan_holds_are_several_and_end_as_one() {
    // Heads first, rows of one byte: 1,048,576 runs are a plan; this is a little more than two.
    let shape = PageBufferShape {
        layers: 1,
        blocks: 4,
        block_tokens: 16_384,
        heads: 40,
        head_size: 1,
        element_bytes: 1,
        block_stride_elements: 0,
    };
    let len_bytes = 4 * 16_384 * 40;
    let tensors = [Tensor { offset: 0, len_bytes }];
    let layout = PagedLayout::new(F::NL_X_NB_NH_BS_CS, shape, &tensors).unwrap();
    let device = HostDevice::new(HostMemory::new(&HostMemoryOptions::new(len_bytes)).unwrap());
    device.memory().write(0, &random_bytes(len_bytes, 5)).unwrap();
    let stream = device.open_stream().unwrap();
    let (manager, _hand) = manager(1_024);
    let uint8 = Dtype::from_name("torch.uint8").unwrap();
    let objects = MemoryLayoutDesc::new(vec![(Box::from([2 * 16_384_u64, 40]), uint8)]).unwrap();
    let (keys, table) = (keys(0, 2), [2, 0, 3, 1]);
    let part =
        PagedPart { layout: &layout, block_ids: &table, object_tokens: 2 * 16_384, skip_prefix_blocks: 0 };
    let request = DeviceStore { keys: &keys, layout: &objects, parts: &[part], null_block: None };
    let ticket = manager.store_from_device(&request, &*stream).unwrap();
    let before = bytes_of(device.memory());
    while device.pump() {
        assert!(manager.wait_transfer(&ticket, Duration::ZERO).is_none() || !device.pump());
    }
    let outcome = manager.wait_transfer(&ticket, Duration::ZERO).unwrap();
    assert_eq!((outcome.bytes, outcome.is_good()), (len_bytes, true));
    device.memory().write(0, &vec![0; len_bytes as usize]).unwrap();
    assert_eq!(prefetch(&manager, &keys), 2);
    let request = DeviceRetrieve { keys: &keys, parts: &[part], owners: None };
    let ticket = manager.retrieve_to_device(&request, &*stream).unwrap();
    while device.pump() {}
    assert!(manager.wait_transfer(&ticket, Duration::ZERO).unwrap().is_good());
    assert!(bytes_of(device.memory()) == before);
}

prop_compose! {
    /// A cache of any layout and of any sizes, with a table of whole objects, of which no block is there twice.
    fn any_cache()(
        number in 0_i64..19, layers in 1_u64..4, block_tokens in 1_u64..5, heads in 1_u64..4, head_size in 1_u64..6,
        element_bytes in prop::sample::select(vec![1_u64, 2, 4, 8]), object_blocks in 1_usize..4, objects in 1_usize..5,
        seed in any::<u64>(),
    )(
        table in Just((0..(objects * object_blocks + 3) as i64).collect::<Vec<_>>()).prop_shuffle(),
        number in Just(if number == 17 { 3 } else { number }), layers in Just(layers), block_tokens in Just(block_tokens),
        heads in Just(heads), head_size in Just(head_size), element_bytes in Just(element_bytes),
        object_blocks in Just(object_blocks), objects in Just(objects), seed in Just(seed),
    ) -> (F, PageBufferShape, u64, Vec<i64>, u64) {
        let format = F::from_number(number).unwrap();
        let is_split = format == F::NL_X_NB_BSV_BSS;
        let shape = PageBufferShape {
            layers,
            blocks: (objects * object_blocks + 3) as u64,
            block_tokens,
            heads: if format.is_mla() { 1 } else { heads },
            head_size: if is_split { 132 } else { head_size },
            element_bytes: if is_split { 1 } else { element_bytes },
            block_stride_elements: 0,
        };
        (format, shape, object_blocks as u64 * block_tokens, table[..objects * object_blocks].to_vec(), seed)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_cache_that_is_stored_wiped_and_retrieved_is_what_it_was(
        (format, shape, object_tokens, table, seed) in any_cache(),
    ) {
        let count = PagedLayout::tensor_count(format, shape.layers);
        let row_bytes = shape.heads * shape.head_size * shape.element_bytes;
        let all_bytes = format.planes() * shape.layers * shape.blocks * shape.block_tokens * row_bytes;
        let len_bytes = all_bytes / count;
        let tensors: Vec<_> = (0..count).map(|i| Tensor { offset: i * len_bytes, len_bytes }).collect();
        let layout = PagedLayout::new(format, shape, &tensors).unwrap();
        let object_bytes = layout.object_bytes(object_tokens).unwrap();
        let before = random_bytes(all_bytes, seed);
        let device = HostDevice::new(memory_of(&before));
        let stream = device.open_stream().unwrap();
        let (manager, _hand) = manager(64);
        let uint8 = Dtype::from_name("torch.uint8").unwrap();
        let objects = MemoryLayoutDesc::new(vec![(Box::from([object_bytes]), uint8)]).unwrap();
        let keys = keys(0, (table.len() as u64 * shape.block_tokens / object_tokens) as u32);
        let parts = [PagedPart { layout: &layout, block_ids: &table, object_tokens, skip_prefix_blocks: 0 }];
        let request = DeviceStore { keys: &keys, layout: &objects, parts: &parts, null_block: None };
        let store = manager.store_from_device(&request, &*stream).unwrap();
        while device.pump() {}
        prop_assert!(manager.wait_transfer(&store, Duration::ZERO).unwrap().is_good());
        // All but the blocks of the table are left alone.
        let wiped: Vec<u8> = before.iter().map(|byte| !byte).collect();
        device.memory().write(0, &wiped).unwrap();
        prop_assert_eq!(prefetch(&manager, &keys), keys.len());
        let request = DeviceRetrieve { keys: &keys, parts: &parts, owners: None };
        let retrieve = manager.retrieve_to_device(&request, &*stream).unwrap();
        while device.pump() {}
        let outcome = manager.wait_transfer(&retrieve, Duration::ZERO).unwrap();
        prop_assert_eq!((outcome.is_good(), outcome.bytes), (true, keys.len() as u64 * object_bytes));
        let after = bytes_of(device.memory());
        let same = after.iter().zip(&before).filter(|(a, b)| a == b).count() as u64;
        let wiped_still = after.iter().zip(&wiped).filter(|(a, b)| a == b).count() as u64;
        prop_assert_eq!((same, wiped_still), (outcome.bytes, all_bytes - outcome.bytes));
    }
}

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    Pump,
    Land,
    Store { first: u32, count: u32, table: i64 },
    Retrieve { first: u32, count: u32, table: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Pump),
        2 => Just(Step::Land),
        2 => (0_u32..6, 1_u32..4, 0_i64..64).prop_map(|(first, count, table)| Step::Store { first, count, table }),
        2 => (0_u32..6, 1_u32..4, 0_i64..64).prop_map(|(first, count, table)| Step::Retrieve { first, count, table }),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A model in which a stream does all at once: an object is what its store found in the pages, from the moment that
    /// its ticket is done; a retrieve writes what was stored. The device does a step, and the manager finishes what is over,
    /// whenever it comes about.
    #[test]
    fn objects_are_what_was_stored_in_whatever_order_things_happen(steps in steps()) {
        let (manager, _hand) = manager(64);
        let engine = Engine::new(F::NL_X_NB_TWO_NH_BS_HS, 11);
        let reading = Engine::new(F::NB_NL_TWO_BS_NH_HS, 12);
        let mut expected: std::collections::HashMap<u32, Vec<u8>> = std::collections::HashMap::new();
        let (mut stores, mut retrieves) = (Vec::new(), Vec::new());
        let settle = |stores: &mut Vec<(u32, Vec<i64>, TransferTicket)>, expected: &mut std::collections::HashMap<u32, Vec<u8>>| {
            stores.retain(|(first, table, ticket)| {
                let Some(outcome) = ticket.poll() else { return true };
                for (i, of_key) in outcome.objects.iter().enumerate() {
                    if *of_key == ObjectOutcome::Moved {
                        let before = expected.insert(first + i as u32, engine.objects(&table[i * 2..][..2]));
                        assert!(before.is_none(), "stored twice");
                    }
                }
                false
            });
        };
        for step in steps {
            match step {
                Step::Pump => { engine.device.pump(); reading.device.pump(); }
                Step::Land => { manager.pump(); }
                Step::Store { first, count, table: seed } => {
                    let table = table(count as usize, seed);
                    let ticket = engine.store(&manager, &keys(first, count), &table);
                    stores.push((first, table, ticket));
                }
                Step::Retrieve { first, count, table: seed } => {
                    settle(&mut stores, &mut expected);
                    let wanted = keys(first, count);
                    // Looks in L1 first, and pumps the manager then.
                    let there = (first..first + count).take_while(|i| expected.contains_key(i)).count();
                    let found = prefetch(&manager, &wanted) as u32;
                    prop_assert_eq!(found as usize, there);
                    let table = table(found as usize, seed);
                    let ticket = reading.retrieve(&manager, &wanted[..found as usize], &table);
                    // The next retrieve may use the same blocks: look at once.
                    let outcome = reading.finish(&manager, &ticket);
                    prop_assert!(outcome.is_good());
                    settle(&mut stores, &mut expected);
                    let bytes: Vec<u8> = (first..first + found).flat_map(|i| expected[&i].clone()).collect();
                    prop_assert_eq!(reading.objects(&table), bytes);
                    retrieves.push(ticket);
                }
            }
            settle(&mut stores, &mut expected);
        }
        while engine.device.pump() {}
        manager.pump();
        settle(&mut stores, &mut expected);
        prop_assert!(stores.is_empty(), "every ticket is done");
        let (read_locked, staged, _) = locks(&manager);
        prop_assert_eq!((read_locked, staged), (0, 0));
        for (i, bytes) in &expected {
            prop_assert_eq!(&in_l1(&manager, &keys(*i, 1)).unwrap(), bytes);
        }
        let status = manager.report_status().device_transfers;
        prop_assert_eq!((status.in_flight_count, status.stored_objects), (0, expected.len() as u64));
        prop_assert!(manager.memcheck());
    }
}

//! Plans against a model that knows nothing of strides, pieces and runs: where a byte is, is written out for each layout,
//! and tokens are copied one by one, byte by byte.

use lmcache::device::{Direction, EngineKvFormat as F, PageBufferShape};
use proptest::prelude::*;

use crate::cases::Case;
use crate::run::{case_count, run};

/// A place in the numbers that count with these sizes, outermost first.
fn at(places: &[(u64, u64)]) -> u64 {
    places.iter().fold(0, |index, (place, size)| {
        assert!(place < size, "a place past its size");
        index * size + place
    })
}

/// A byte of a token: plane, layer, block, token of the block, head, byte of the head.
#[derive(Clone, Copy)]
struct Spot(u64, u64, u64, u64, u64, u64);

/// Which tensor holds a byte, and where, with blocks behind each other.
fn tight_place(case: &Case, Spot(plane, layer, block, token, head, byte): Spot) -> (u64, u64) {
    let s = case.shape;
    let (p, l, b, t) = ((plane, 2), (layer, s.layers), (block, s.blocks), (token, s.block_tokens));
    let (h, c) = ((head, s.heads), (byte, s.head_size * s.element_bytes));
    match case.format {
        F::NB_NL_TWO_BS_NH_HS => (0, at(&[b, l, p, t, h, c])),
        F::NB_NL_TWO_NH_BS_HS => (0, at(&[b, l, p, h, t, c])),
        F::NL_X_TWO_NB_BS_NH_HS => (layer, at(&[p, b, t, h, c])),
        F::NL_X_TWO_NB_NH_BS_HS | F::NL_X_TWO_NB_NH_ONE_BS_HS => (layer, at(&[p, b, h, t, c])),
        F::NL_X_NB_TWO_BS_NH_HS => (layer, at(&[b, p, t, h, c])),
        F::NL_X_NB_TWO_NH_BS_HS => (layer, at(&[b, p, h, t, c])),
        F::NL_X_NB_BS_HS | F::NL_X_NBBS_ONE_HS => (layer, at(&[b, t, c])),
        F::TWO_X_NL_X_NBBS_NH_HS | F::TWO_X_NL_X_NB_BS_NH_HS => (at(&[p, l]), at(&[b, t, h, c])),
        F::NL_X_TWO_X_NB_BS_NH_HS => (at(&[l, p]), at(&[b, t, h, c])),
        F::NL_X_NB_NH_BS_CS | F::NL_X_NB_NH_BS_TWO_HS => (layer, at(&[b, h, t, c])),
        F::NL_X_NB_BS_NH_CS | F::NL_X_NB_BS_NH_TWO_HS | F::NL_X_NB_BS_NH_HS => (layer, at(&[b, t, h, c])),
        F::NL_X_NB_BSV_BSS if byte < 128 => (layer, block * s.block_tokens * 132 + token * 128 + byte),
        F::NL_X_NB_BSV_BSS => {
            (layer, block * s.block_tokens * 132 + s.block_tokens * 128 + token * 4 + (byte - 128))
        }
        F::NL_X_NP_X_NB_BS_ONE_HS => unreachable!("has its own model, in planes.rs"),
    }
}

/// Where a byte is in the memory of the device.
fn device_place(case: &Case, spot: Spot) -> u64 {
    let (tensor, mut place) = tight_place(case, spot);
    if case.shape.block_stride_elements > 0 {
        let block_bytes = tight_place(case, Spot(0, 0, 1.min(case.shape.blocks - 1), 0, 0, 0)).1;
        let gap = case.shape.block_stride_elements * case.shape.element_bytes;
        place = if case.shape.blocks == 1 { place } else { place - spot.2 * block_bytes + spot.2 * gap };
    }
    case.tensors()[tensor as usize].offset + place
}

/// Where a byte of the token at `place` of the request is in the memory of the host.
fn host_place(case: &Case, place: u64, Spot(plane, layer, _, _, head, byte): Spot) -> u64 {
    let s = case.shape;
    let in_object = at(&[
        (plane, case.format.planes()),
        (layer, s.layers),
        (place % case.object_tokens, case.object_tokens),
        (head, s.heads),
        (byte, s.head_size * s.element_bytes),
    ]);
    case.objects()[(place / case.object_tokens) as usize].offset + in_object
}

/// Every byte of the transfer: where it is on the device, and on the host.
fn model(case: &Case) -> Vec<(usize, usize)> {
    let s = case.shape;
    let mut pairs = Vec::new();
    for place in case.skip_prefix_blocks * s.block_tokens..case.block_ids.len() as u64 * s.block_tokens {
        let block = case.block_ids[(place / s.block_tokens) as usize] as u64;
        for plane in 0..case.format.planes() {
            for layer in 0..s.layers {
                for head in 0..s.heads {
                    for byte in 0..s.head_size * s.element_bytes {
                        let spot = Spot(plane, layer, block, place % s.block_tokens, head, byte);
                        let (device, host) = (device_place(case, spot), host_place(case, place, spot));
                        pairs.push((device as usize, host as usize));
                    }
                }
            }
        }
    }
    pairs
}

fn random_bytes(count: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(next).collect()
}

prop_compose! {
    fn shape(format: F)(
        layers in 1_u64..4, blocks in 1_u64..12, block_tokens in 1_u64..6, heads in 1_u64..4,
        head_size in 1_u64..7, element_bytes in prop::sample::select(vec![1_u64, 2, 4, 8]), apart in 0_u64..40,
    ) -> PageBufferShape {
        let heads = if format.is_mla() { 1 } else { heads };
        let (head_size, element_bytes) = match format {
            F::NL_X_NB_BSV_BSS => (132, 1),
            _ => (head_size, element_bytes),
        };
        let can_be_apart = format.name().rsplit("_X_").next().is_some_and(|axes| axes.starts_with("NB_"));
        let of_layers = if format.name().starts_with("NB_NL") { layers } else { 1 };
        let planes = if format.name().contains("TWO_BS") || format.name().contains("TWO_NH") { format.planes() } else { 1 };
        let tight = of_layers * planes * block_tokens * heads * head_size;
        let block_stride_elements = if can_be_apart && apart > 0 { tight + apart } else { 0 };
        PageBufferShape { layers, blocks, block_tokens, heads, head_size, element_bytes, block_stride_elements }
    }
}

/// Any layout that is known, of any sizes, with blocks in any order, of which none is there twice.
fn case() -> impl Strategy<Value = Case> {
    let known: Vec<_> = F::ALL.into_iter().filter(|format| *format != F::NL_X_NP_X_NB_BS_ONE_HS).collect();
    let with_shape = prop::sample::select(known).prop_flat_map(|format| (Just(format), shape(format)));
    with_shape.prop_flat_map(|(format, shape)| {
        let all: Vec<_> = (0..shape.blocks as i64).collect();
        let table = prop::sample::subsequence(all, 0..=shape.blocks as usize).prop_shuffle();
        (table, 1_u64..4, any::<prop::sample::Index>(), any::<bool>()).prop_map(
            move |(mut block_ids, object_blocks, skip, is_sorted)| {
                // Neighbours are joined only where the table has some.
                if is_sorted {
                    block_ids.sort_unstable();
                }
                let skip_prefix_blocks = skip.index(block_ids.len() + 1) as u64;
                let object_tokens = object_blocks * shape.block_tokens;
                Case { format, shape, object_tokens, skip_prefix_blocks, block_ids }
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: case_count(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_moves_each_byte_of_each_token_to_its_place_and_no_other(case in case(), seed: u64) {
        let device = random_bytes(case.device_bytes(), seed);
        let host = random_bytes(case.host_bytes(), !seed);
        let (plan, pairs) = (case.plan(), model(&case));
        prop_assert_eq!(plan.bytes(), pairs.len() as u64);

        let mut gathered = host.clone();
        pairs.iter().for_each(|(at_device, at_host)| gathered[*at_host] = device[*at_device]);
        let (untouched, found, moved) = run(&plan, Direction::DeviceToHost, &device, &host);
        prop_assert!(found == gathered && untouched == device);
        prop_assert_eq!((moved.bytes, moved.runs), (plan.bytes(), plan.runs().len() as u64));

        let mut scattered = device.clone();
        pairs.iter().for_each(|(at_device, at_host)| scattered[*at_device] = host[*at_host]);
        let (found, untouched, _) = run(&plan, Direction::HostToDevice, &device, &host);
        prop_assert!(found == scattered && untouched == host);
    }

    #[test]
    fn what_is_gathered_and_scattered_into_another_cache_is_what_was_there(case in case(), seed: u64) {
        let device = random_bytes(case.device_bytes(), seed);
        let plan = case.plan();
        let (_, objects, _) = run(&plan, Direction::DeviceToHost, &device, &random_bytes(case.host_bytes(), 7));
        let other = random_bytes(case.device_bytes(), !seed);
        let (found, ..) = run(&plan, Direction::HostToDevice, &other, &objects);
        let mut expected = other;
        model(&case).iter().for_each(|(at_device, _)| expected[*at_device] = device[*at_device]);
        prop_assert!(found == expected);
    }

    #[test]
    fn an_object_of_one_layout_can_be_taken_by_another(from in case(), format in prop::sample::select(F::ALL.to_vec()), seed: u64) {
        // The same model in another engine: as many planes, rows of the same heads, and no gaps.
        prop_assume!(format != F::NL_X_NP_X_NB_BS_ONE_HS && format.planes() == from.format.planes());
        prop_assume!(format.is_mla() == from.format.is_mla());
        prop_assume!((format == F::NL_X_NB_BSV_BSS) <= (from.shape.head_size * from.shape.element_bytes == 132));
        let shape = PageBufferShape { block_stride_elements: 0, ..from.shape };
        let to = Case { format, shape, ..from.clone() };
        let device = random_bytes(from.device_bytes(), seed);
        let (_, objects, _) =
            run(&from.plan(), Direction::DeviceToHost, &device, &vec![0; from.host_bytes() as usize]);
        let (other, ..) =
            run(&to.plan(), Direction::HostToDevice, &vec![0; to.device_bytes() as usize], &objects);
        let (_, again, _) = run(&to.plan(), Direction::DeviceToHost, &other, &vec![0; to.host_bytes() as usize]);
        prop_assert!(again == objects);
    }

    #[test]
    fn whatever_an_engine_passes_is_a_plan_or_an_error(
        case in case(), ids in prop::collection::vec(prop_oneof![any::<i64>(), -1_i64..14], 0..8),
        object_tokens in prop_oneof![any::<u64>(), 0_u64..20], skip in prop_oneof![any::<u64>(), 0_u64..9],
        offset: u64, len_bytes in prop_oneof![any::<u64>(), 0_u64..4_000], count in 0_usize..4,
    ) {
        use lmcache::device::{ObjectSpan, PagedTransfer, Plan};
        let layout = case.layout();
        let objects: Vec<_> = (0..count).map(|_| ObjectSpan { offset, len_bytes }).collect();
        let plan = Plan::new(&[PagedTransfer {
            layout: &layout, block_ids: &ids, objects: &objects, object_tokens, skip_prefix_blocks: skip,
        }]);
        if let Ok(plan) = plan {
            prop_assert!(ids.iter().skip(skip as usize).all(|id| (0..case.shape.blocks as i64).contains(id)));
            prop_assert!(plan.device_end() <= case.device_bytes());
            prop_assert!(plan.host_end() == 0 || plan.host_end() <= offset + len_bytes);
        }
    }
}

//! Rows in several tensors of unequal width, against a model that copies them token by token, as LMCache 0.5.6 does
//! (`_transfer_per_layer_mla_tuple`): the parts of a row one behind the other, in the order of the tensors.

use lmcache::device::{
    Direction, ObjectSpan, PageBufferShape, PagedLayout, PagedTransfer, Plan, PlaneShape, Tensor,
};
use proptest::prelude::*;

use crate::cases::GAP_BYTES;
use crate::run::{case_count, run};

/// A cache, its block table and how its objects are made.
#[derive(Clone, Debug)]
struct Case {
    shape: PageBufferShape,
    planes: Vec<PlaneShape>,
    object_blocks: u64,
    skip_prefix_blocks: u64,
    block_ids: Vec<i64>,
}

impl Case {
    fn row_bytes(&self) -> u64 {
        self.planes.iter().map(|plane| plane.row_bytes).sum()
    }

    fn stride(&self, plane: &PlaneShape) -> u64 {
        if plane.block_stride_bytes > 0 {
            plane.block_stride_bytes
        } else {
            plane.row_bytes * self.shape.block_tokens
        }
    }

    fn tensors(&self) -> Vec<Tensor> {
        let mut offset = GAP_BYTES;
        let mut tensors = Vec::new();
        for _ in 0..self.shape.layers {
            for plane in &self.planes {
                let last = plane.row_bytes * self.shape.block_tokens;
                let len_bytes = self.stride(plane) * (self.shape.blocks - 1) + last;
                tensors.push(Tensor { offset, len_bytes });
                offset += len_bytes + GAP_BYTES;
            }
        }
        tensors
    }

    fn objects(&self) -> Vec<ObjectSpan> {
        let len_bytes = self.shape.layers * self.object_blocks * self.shape.block_tokens * self.row_bytes();
        let count = (self.block_ids.len() as u64).div_ceil(self.object_blocks);
        (0..count)
            .map(|i| ObjectSpan { offset: i * (len_bytes + GAP_BYTES) + GAP_BYTES, len_bytes })
            .collect()
    }

    fn sizes(&self) -> (usize, usize) {
        let device = self.tensors().last().map_or(0, |last| last.offset + last.len_bytes) + GAP_BYTES;
        let host = self.objects().last().map_or(0, |last| last.offset + last.len_bytes) + GAP_BYTES;
        (device as usize, host as usize)
    }

    fn plan(&self) -> Plan {
        let layout = PagedLayout::with_planes(self.shape, &self.planes, &self.tensors()).expect("a layout");
        assert_eq!(layout.has_contiguous_blocks(), self.planes.len() == 1);
        let (block_ids, objects) = (&self.block_ids, &self.objects());
        let object_tokens = self.object_blocks * self.shape.block_tokens;
        let skip_prefix_blocks = self.skip_prefix_blocks;
        Plan::new(&[PagedTransfer { layout: &layout, block_ids, objects, object_tokens, skip_prefix_blocks }])
            .expect("a plan")
    }

    /// Every byte of the transfer: where it is on the device, and on the host.
    fn model(&self) -> Vec<(usize, usize)> {
        let (tensors, objects, tokens) = (self.tensors(), self.objects(), self.shape.block_tokens);
        let mut pairs = Vec::new();
        for (place, block) in self.block_ids.iter().enumerate().skip(self.skip_prefix_blocks as usize) {
            let (object, at) = (place as u64 / self.object_blocks, place as u64 % self.object_blocks);
            for layer in 0..self.shape.layers {
                for token in 0..tokens {
                    let row = (layer * self.object_blocks + at) * tokens + token;
                    let mut host = objects[object as usize].offset + row * self.row_bytes();
                    for (index, plane) in self.planes.iter().enumerate() {
                        let tensor = tensors[layer as usize * self.planes.len() + index];
                        let in_tensor = *block as u64 * self.stride(plane) + token * plane.row_bytes;
                        for byte in 0..plane.row_bytes {
                            pairs.push(((tensor.offset + in_tensor + byte) as usize, host as usize));
                            host += 1;
                        }
                    }
                }
            }
        }
        pairs
    }
}

fn bytes(count: usize, seed: u64) -> Vec<u8> {
    (0..count as u64).map(|at| ((at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

prop_compose! {
    fn case()(
        layers in 1_u64..4, blocks in 1_u64..9, block_tokens in 1_u64..6, object_blocks in 1_u64..4,
        planes in prop::collection::vec((1_u64..9, 0_u64..20), 1..5),
        order in Just((0..8_i64).collect::<Vec<_>>()).prop_shuffle(), count in 0_usize..9, skip: prop::sample::Index,
    ) -> Case {
        let apart = |row_bytes, apart| if apart == 0 { 0 } else { row_bytes * block_tokens + apart };
        let planes: Vec<_> = planes.into_iter().map(|(row_bytes, gap)| {
            PlaneShape { row_bytes, block_stride_bytes: apart(row_bytes, gap) }
        }).collect();
        let head_size = planes.iter().map(|plane| plane.row_bytes).sum();
        let block_ids: Vec<_> = order.into_iter().filter(|id| (*id as u64) < blocks).take(count).collect();
        let skip_prefix_blocks = skip.index(block_ids.len() + 1) as u64;
        let shape = PageBufferShape {
            layers, blocks, block_tokens, heads: 1, head_size, element_bytes: 1, block_stride_elements: 0,
        };
        Case { shape, planes, object_blocks, skip_prefix_blocks, block_ids }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: case_count(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_part_of_a_row_goes_behind_the_one_before_it_and_back(case in case(), seed: u64) {
        let (device_bytes, host_bytes) = case.sizes();
        let (device, host) = (bytes(device_bytes, seed), bytes(host_bytes, !seed));
        let (plan, pairs) = (case.plan(), case.model());
        prop_assert_eq!(plan.bytes(), pairs.len() as u64);

        let mut gathered = host.clone();
        pairs.iter().for_each(|(at_device, at_host)| gathered[*at_host] = device[*at_device]);
        let (untouched, objects, _) = run(&plan, Direction::DeviceToHost, &device, &host);
        prop_assert!(objects == gathered && untouched == device);

        let other = bytes(device_bytes, seed.rotate_left(7));
        let mut scattered = other.clone();
        pairs.iter().for_each(|(at_device, _)| scattered[*at_device] = device[*at_device]);
        let (found, untouched, _) = run(&plan, Direction::HostToDevice, &other, &objects);
        prop_assert!(found == scattered && untouched == objects);
    }

    #[test]
    fn whatever_sizes_an_engine_passes_are_a_layout_or_an_error(
        sizes in prop::array::uniform6(prop_oneof![any::<u64>(), 0_u64..5]),
        planes in prop::collection::vec((prop_oneof![any::<u64>(), 0_u64..9], prop_oneof![any::<u64>(), 0_u64..90]), 0..19),
        tensors in prop::collection::vec((any::<u64>(), any::<u64>()), 0..9),
    ) {
        let [layers, blocks, block_tokens, heads, head_size, element_bytes] = sizes;
        let shape = PageBufferShape {
            layers, blocks, block_tokens, heads, head_size, element_bytes, block_stride_elements: 0,
        };
        let plane = |(row_bytes, block_stride_bytes)| PlaneShape { row_bytes, block_stride_bytes };
        let planes: Vec<_> = planes.into_iter().map(plane).collect();
        let tensors: Vec<_> = tensors.into_iter().map(|(offset, len_bytes)| Tensor { offset, len_bytes }).collect();
        if let Ok(layout) = PagedLayout::with_planes(shape, &planes, &tensors) {
            prop_assert_eq!(layout.row_bytes(), planes.iter().map(|plane| plane.row_bytes).sum::<u64>());
            prop_assert_eq!(tensors.len() as u64, layers * planes.len() as u64);
        }
    }
}

/// DeepSeek's rows: a latent of 512 numbers and 64 that are rotated, in 2 bytes each.
#[test]
fn one_plane_is_a_run_a_block_and_two_are_one_a_token_each() {
    let shape = PageBufferShape {
        layers: 1,
        blocks: 2,
        block_tokens: 4,
        heads: 1,
        head_size: 576,
        element_bytes: 2,
        block_stride_elements: 0,
    };
    let of = |rows: &[u64]| Case {
        shape,
        planes: rows
            .iter()
            .map(|row_bytes| PlaneShape { row_bytes: *row_bytes, block_stride_bytes: 0 })
            .collect(),
        object_blocks: 1,
        skip_prefix_blocks: 0,
        block_ids: vec![1],
    };
    assert_eq!(of(&[1_152]).plan().runs().len(), 1);
    let plan = of(&[1_024, 128]).plan();
    assert_eq!((plan.runs().len(), plan.bytes()), (8, 4 * 1_152));
    let lengths: Vec<_> = plan.runs()[..4].iter().map(|run| run.len_bytes).collect();
    assert_eq!(lengths, [1_024, 128, 1_024, 128]);
}

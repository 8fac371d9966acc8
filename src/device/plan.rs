//! What transfers come to: runs of bytes, as few as can be.

use super::paged::PagedTransfer;
use crate::error::{Error, Result};

/// The most runs of a plan: 24 MiB of them.
pub const MAX_RUNS: usize = 1 << 20;

/// Bytes that lie together on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// From the start of the device's memory; on a GPU, where that is 0, an address.
    pub device_offset: u64,
    /// From the start of the host's memory.
    pub host_offset: u64,
    /// How many bytes.
    pub len_bytes: u64,
}

/// What has to be moved, in either direction: a batch with one completion.
///
/// The order of the runs is that of the objects. Runs that touch on both sides are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    runs: Vec<Run>,
    bytes: u64,
    pieces: u64,
    device_end: u64,
    host_end: u64,
}

impl Plan {
    /// A plan of all of `transfers`.
    ///
    /// # Errors
    /// Those of [`Plan::add`].
    pub fn new(transfers: &[PagedTransfer<'_>]) -> Result<Self> {
        let mut plan = Self::default();
        for transfer in transfers {
            plan.add(transfer)?;
        }
        Ok(plan)
    }

    /// Adds a transfer.
    ///
    /// # Errors
    /// If the transfer asks for what is not there, or the plan would have more than [`MAX_RUNS`] runs. The plan is
    /// what it was then.
    pub fn add(&mut self, transfer: &PagedTransfer<'_>) -> Result<()> {
        let before = self.mark();
        let added = transfer.runs(&mut |run| self.push(run));
        if added.is_err() {
            self.reset(before);
        }
        added
    }

    /// Adds a run.
    ///
    /// # Errors
    /// If it ends past all addresses, or is one too many. The plan is what it was then.
    pub fn push(&mut self, run: Run) -> Result<()> {
        let ends = (run.device_offset.checked_add(run.len_bytes), run.host_offset.checked_add(run.len_bytes));
        let (Some(device_end), Some(host_end), Some(bytes)) =
            (ends.0, ends.1, self.bytes.checked_add(run.len_bytes))
        else {
            return Err(Error::invalid("a run ends past all addresses")
                .with_context("device_offset", run.device_offset)
                .with_context("host_offset", run.host_offset)
                .with_context("bytes", run.len_bytes));
        };
        if run.len_bytes == 0 {
            return Ok(());
        }
        let is_full = self.runs.len() == MAX_RUNS;
        match self.runs.last_mut() {
            Some(last) if last.touches(&run) => last.len_bytes += run.len_bytes,
            _ if is_full => {
                return Err(Error::invalid("a transfer comes to more runs than a plan holds")
                    .with_context("limit", MAX_RUNS)
                    .with_hint("move fewer objects at once"));
            }
            _ => self.runs.push(run),
        }
        self.pieces += 1;
        self.bytes = bytes;
        self.device_end = self.device_end.max(device_end);
        self.host_end = self.host_end.max(host_end);
        Ok(())
    }

    /// The runs.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many bytes they are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many runs there were before those that touch were joined.
    pub fn pieces(&self) -> u64 {
        self.pieces
    }

    /// Where the device's memory ends at the earliest.
    pub fn device_end(&self) -> u64 {
        self.device_end
    }

    /// Where the host's memory ends at the earliest.
    pub fn host_end(&self) -> u64 {
        self.host_end
    }

    /// What a failed addition is undone by: how many runs there were, how long the last one was, and the sums.
    fn mark(&self) -> (usize, u64, Self) {
        let last_bytes = self.runs.last().map_or(0, |run| run.len_bytes);
        (self.runs.len(), last_bytes, Self { runs: Vec::new(), ..*self })
    }

    fn reset(&mut self, (count, last_bytes, sums): (usize, u64, Self)) {
        self.runs.truncate(count);
        if let Some(last) = self.runs.last_mut() {
            last.len_bytes = last_bytes;
        }
        *self = Self { runs: std::mem::take(&mut self.runs), ..sums };
    }
}

impl Run {
    /// Whether `next` goes on where this ends, on both sides.
    fn touches(&self, next: &Self) -> bool {
        self.device_offset + self.len_bytes == next.device_offset
            && self.host_offset + self.len_bytes == next.host_offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::format::EngineKvFormat as F;
    use crate::device::layout::{PageBufferShape, PagedLayout, Tensor};
    use crate::device::paged::ObjectSpan;

    fn run(device_offset: u64, host_offset: u64, len_bytes: u64) -> Run {
        Run { device_offset, host_offset, len_bytes }
    }

    /// Two layers in one tensor each, blocks of 4 tokens, rows of 2 heads of 8 bytes.
    fn layout(format: F) -> PagedLayout {
        let shape = PageBufferShape {
            layers: 2,
            blocks: 10,
            block_tokens: 4,
            heads: 2,
            head_size: 4,
            element_bytes: 2,
            block_stride_elements: 0,
        };
        let tensors = [0, 1].map(|i| Tensor { offset: i * 10_000, len_bytes: 10_000 });
        PagedLayout::new(format, shape, &tensors).unwrap()
    }

    fn transfer<'a>(
        layout: &'a PagedLayout,
        block_ids: &'a [i64],
        objects: &'a [ObjectSpan],
    ) -> PagedTransfer<'a> {
        PagedTransfer { layout, block_ids, objects, object_tokens: 8, skip_prefix_blocks: 0 }
    }

    const OBJECT: ObjectSpan = ObjectSpan { offset: 1_000, len_bytes: 512 };

    #[test]
    fn runs_that_touch_on_both_sides_are_joined_and_no_others() {
        let mut plan = Plan::default();
        for part in [run(0, 100, 8), run(8, 108, 8), run(16, 120, 8), run(25, 128, 8), run(33, 136, 0)] {
            plan.push(part).unwrap();
        }
        assert_eq!(plan.runs(), [run(0, 100, 16), run(16, 120, 8), run(25, 128, 8)]);
        assert_eq!((plan.bytes(), plan.pieces()), (32, 4));
        assert_eq!((plan.device_end(), plan.host_end()), (33, 136));
        // As far behind each other as on the device, but before.
        plan.push(run(33, 0, 8)).unwrap();
        assert_eq!(plan.runs().len(), 4);
    }

    #[test]
    fn blocks_behind_each_other_are_one_run_a_layer_and_plane() {
        let layout = layout(F::NL_X_TWO_NB_BS_NH_HS);
        // A block has 64 bytes, a plane of all blocks 640.
        let plan = Plan::new(&[transfer(&layout, &[3, 4], &[OBJECT])]).unwrap();
        let expected =
            [run(192, 1_000, 128), run(10_192, 1_128, 128), run(832, 1_256, 128), run(10_832, 1_384, 128)];
        assert_eq!(plan.runs(), expected);
        let apart = Plan::new(&[transfer(&layout, &[4, 3], &[OBJECT])]).unwrap();
        assert_eq!((apart.runs().len(), apart.bytes()), (8, 512));
    }

    #[test]
    fn heads_that_come_first_cost_a_run_for_each_of_a_token() {
        let layout = layout(F::NL_X_TWO_NB_NH_BS_HS);
        let plan = Plan::new(&[transfer(&layout, &[3], &[OBJECT])]).unwrap();
        assert_eq!(plan.runs().len(), 2 * 2 * 4 * 2);
        // Token 0: head 0 at the start of the block, head 1 behind the four tokens of head 0.
        assert_eq!(plan.runs()[..2], [run(192, 1_000, 8), run(192 + 32, 1_008, 8)]);
    }

    #[test]
    fn what_is_left_out_is_not_looked_at_and_keeps_its_place() {
        let layout = layout(F::NL_X_NB_BS_NH_CS);
        let objects = [OBJECT, ObjectSpan { offset: 2_000, ..OBJECT }];
        let table = [-1, 99, i64::MIN, 7];
        let skipping =
            |skip_prefix_blocks| PagedTransfer { skip_prefix_blocks, ..transfer(&layout, &table, &objects) };
        let plan = Plan::new(&[skipping(3)]).unwrap();
        assert_eq!(plan.runs(), [run(448, 2_064, 64), run(10_448, 2_192, 64)]);
        assert_eq!(Plan::new(&[skipping(4)]).unwrap(), Plan::default());
        assert!(Plan::new(&[skipping(5)]).unwrap_err().to_string().contains("left out"));
        assert!(Plan::new(&[skipping(2)]).unwrap_err().to_string().contains("block -9223372036854775808"));
    }

    #[test]
    fn blocks_up_to_the_last_one_exist() {
        let layout = layout(F::NL_X_NB_TWO_BS_NH_HS);
        for (block, exists) in [(0, true), (9, true), (10, false), (-1, false), (i64::MAX, false)] {
            let plan = Plan::new(&[transfer(&layout, &[0, block], &[OBJECT])]);
            assert_eq!(plan.is_ok(), exists, "{block}");
        }
    }

    #[test]
    fn objects_and_blocks_need_each_other_and_objects_their_bytes() {
        let layout = layout(F::NL_X_NB_TWO_BS_NH_HS);
        let plan = |blocks: &[i64], objects: &[ObjectSpan]| Plan::new(&[transfer(&layout, blocks, objects)]);
        assert!(plan(&[1, 2, 3], &[OBJECT, OBJECT]).is_ok());
        assert!(plan(&[1, 2, 3], &[OBJECT]).is_err());
        assert!(plan(&[1, 2], &[OBJECT, OBJECT]).is_err());
        assert!(plan(&[], &[]).is_ok());
        assert!(plan(&[1], &[ObjectSpan { len_bytes: 511, ..OBJECT }]).is_err());
        assert!(plan(&[1], &[ObjectSpan { offset: u64::MAX - 512, ..OBJECT }]).is_ok());
        assert!(plan(&[1], &[ObjectSpan { offset: u64::MAX - 511, ..OBJECT }]).is_err());
        for object_tokens in [0, 6, u64::MAX] {
            let odd = PagedTransfer { object_tokens, ..transfer(&layout, &[1], &[OBJECT]) };
            assert!(Plan::new(&[odd]).is_err(), "{object_tokens}");
        }
    }

    #[test]
    fn a_plan_that_is_full_takes_what_touches_and_is_unchanged_by_what_it_refuses() {
        let mut plan = Plan::default();
        for i in 0..MAX_RUNS as u64 {
            plan.push(run(i * 2, i * 2, 1)).unwrap();
        }
        let last = MAX_RUNS as u64 * 2 - 2;
        plan.push(run(last + 1, last + 1, 1)).unwrap();
        let before = plan.clone();
        assert!(plan.push(run(0, 0, 1)).unwrap_err().to_string().contains("more runs"));
        assert!(plan.push(run(u64::MAX, 0, 1)).is_err());
        assert!(plan.push(run(0, u64::MAX, 1)).is_err());
        assert!(plan.push(run(0, 0, u64::MAX)).is_err());
        let layout = layout(F::NL_X_NB_TWO_BS_NH_HS);
        assert!(plan.add(&transfer(&layout, &[1], &[OBJECT])).is_err());
        assert!(plan == before);
    }

    #[test]
    fn a_transfer_that_fails_on_the_way_leaves_nothing_behind() {
        let layout = layout(F::NL_X_TWO_NB_BS_NH_HS);
        let mut plan = Plan::new(&[transfer(&layout, &[3, 4], &[OBJECT])]).unwrap();
        let before = plan.clone();
        let short = [OBJECT, ObjectSpan { len_bytes: 0, ..OBJECT }];
        assert!(plan.add(&transfer(&layout, &[3, 4, 5], &short)).is_err());
        assert_eq!(plan, before);
    }
}

//! What the tests share: caches, transfers, and devices to run them on.

use std::sync::Arc;

use lmcache::device::{
    Device, Direction, EngineKvFormat, HostDevice, HostMemory, HostMemoryOptions, Memory, Moved, ObjectSpan,
    PageBufferShape, PagedLayout, PagedTransfer, Plan, Tensor, Transfer, pending,
};

/// Between tensors and between objects, so that a step too far is seen.
pub(crate) const GAP_BYTES: u64 = 24;

/// A cache with its block table, and the objects for it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) format: EngineKvFormat,
    pub(crate) shape: PageBufferShape,
    pub(crate) object_tokens: u64,
    pub(crate) skip_prefix_blocks: u64,
    pub(crate) block_ids: Vec<i64>,
}

impl Case {
    pub(crate) fn object_count(&self) -> u64 {
        (self.block_ids.len() as u64 * self.shape.block_tokens).div_ceil(self.object_tokens)
    }

    pub(crate) fn row_bytes(&self) -> u64 {
        self.shape.heads * self.shape.head_size * self.shape.element_bytes
    }

    pub(crate) fn object_bytes(&self) -> u64 {
        self.format.planes() * self.shape.layers * self.object_tokens * self.row_bytes()
    }

    /// From the first byte of a tensor to the last one of its last block.
    pub(crate) fn tensor_bytes(&self) -> u64 {
        let in_tensor = match PagedLayout::tensor_count(self.format, self.shape.layers) {
            1 if self.format.name().starts_with("NB_NL") => self.shape.layers * 2,
            count => self.format.planes() * self.shape.layers / count,
        };
        let tight = in_tensor * self.shape.block_tokens * self.row_bytes();
        match self.shape.block_stride_elements {
            0 => self.shape.blocks * tight,
            stride => (self.shape.blocks - 1) * stride * self.shape.element_bytes + tight,
        }
    }

    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        let (count, len_bytes) =
            (PagedLayout::tensor_count(self.format, self.shape.layers), self.tensor_bytes());
        (0..count).map(|i| Tensor { offset: i * (len_bytes + GAP_BYTES) + GAP_BYTES, len_bytes }).collect()
    }

    pub(crate) fn objects(&self) -> Vec<ObjectSpan> {
        let len_bytes = self.object_bytes();
        let span = |i| ObjectSpan { offset: i * (len_bytes + GAP_BYTES) + GAP_BYTES, len_bytes };
        (0..self.object_count()).map(span).collect()
    }

    pub(crate) fn device_bytes(&self) -> u64 {
        let last = *self.tensors().last().expect("a tensor");
        last.offset + last.len_bytes + GAP_BYTES
    }

    pub(crate) fn host_bytes(&self) -> u64 {
        self.objects().last().map_or(0, |last| last.offset + last.len_bytes) + GAP_BYTES
    }

    pub(crate) fn layout(&self) -> PagedLayout {
        PagedLayout::new(self.format, self.shape, &self.tensors()).expect("a layout")
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan::new(&[PagedTransfer {
            layout: &self.layout(),
            block_ids: &self.block_ids,
            objects: &self.objects(),
            object_tokens: self.object_tokens,
            skip_prefix_blocks: self.skip_prefix_blocks,
        }])
        .expect("a plan")
    }
}

/// Memory with these bytes.
pub(crate) fn memory_of(bytes: &[u8]) -> HostMemory {
    let memory = HostMemory::new(&HostMemoryOptions::new(bytes.len() as u64)).expect("memory");
    memory.write(0, bytes).expect("as many bytes");
    memory
}

pub(crate) fn bytes_of(memory: &dyn Memory) -> Vec<u8> {
    let mut bytes = vec![0; memory.len_bytes() as usize];
    memory.read(0, &mut bytes).expect("as many bytes");
    bytes
}

/// Runs `plan` on a device with these bytes. Returns the bytes of both sides after it, and what was moved.
pub(crate) fn run(
    plan: &Plan,
    direction: Direction,
    device: &[u8],
    host: &[u8],
) -> (Vec<u8>, Vec<u8>, Moved) {
    let (device, host) = (HostDevice::new(memory_of(device)), Arc::new(memory_of(host)));
    let stream = device.open_stream().expect("a stream");
    let (done, pending) = pending();
    stream.submit(Transfer { plan: Arc::new(plan.clone()), direction, host: host.clone() }, done);
    while device.pump() {}
    let moved = pending.poll().expect("it is over").expect("it went well");
    (bytes_of(device.memory()), bytes_of(&*host), moved)
}

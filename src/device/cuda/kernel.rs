//! The kernel that moves runs which are too small for the copy engine.
#![expect(unsafe_code, reason = "the driver is called")]

use std::ffi::{CStr, CString, c_void};

use super::context::{Context, Entered, call};
use super::failure::Failure;
use super::handles::{Module, PinnedBuffer, RawStream};
use super::nvrtc;
use crate::error::{Error, Result};
use crate::sync::Arc;

/// The source, which NVRTC compiles.
pub const SOURCE: &str = include_str!("kernels/move_runs.cu");

/// The same, compiled ahead of time by `kernels/make_ptx.py`, for any device from [`MIN_CAPABILITY`] on.
pub const PTX: &str = include_str!("kernels/move_runs.ptx");

/// The oldest device that the kernel runs on: Volta.
pub const MIN_CAPABILITY: i32 = 70;

const NAME: &CStr = c"lmcache_move_runs";

/// Threads of a block. Groups of them, up to all, make one run.
const BLOCK_THREADS: u32 = 256;

/// Blocks for each multiprocessor: enough reads of the host's memory are under way then to fill the bus.
const BLOCKS_PER_MULTIPROCESSOR: u32 = 8;

/// What a thread moves of a run before its group is larger: four words of 16 bytes.
const BYTES_PER_LANE: u64 = 64;

/// A row of the kernel's table: bytes that lie together on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Move {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) bytes: u64,
}

/// Where the kernel came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelOrigin {
    /// NVRTC compiled it for this device.
    Nvrtc,
    /// It was compiled ahead of time, because NVRTC is not there or did not serve, for this reason.
    Embedded(String),
}

/// The kernel, loaded.
#[derive(Debug)]
pub(super) struct Kernel {
    module: Module,
    origin: KernelOrigin,
    most_blocks: u32,
}

impl Kernel {
    pub(super) fn load(context: &Arc<Context>) -> Result<Self> {
        let cannot = |failure| context.error(failure, "cannot load the kernel");
        let text = |text: &str| CString::new(text).map_err(|_| Error::invalid("a kernel with a NUL in it"));
        let most_blocks = context.facts().multiprocessors.saturating_mul(BLOCKS_PER_MULTIPROCESSOR);
        let made = nvrtc::kernel(&text(SOURCE)?, c"move_runs.cu", context.facts().capability);
        // A compiler that is newer than the driver makes what the driver cannot read.
        let made = made.and_then(|ptx| {
            Module::load(context, &ptx, NAME)
                .map_err(|failure| context.error(failure, "the driver refused it").to_string())
        });
        let (module, origin) = match made {
            Ok(module) => (module, KernelOrigin::Nvrtc),
            Err(why) => {
                let module = Module::load(context, &text(PTX)?, NAME).map_err(cannot)?;
                (module, KernelOrigin::Embedded(why))
            }
        };
        Ok(Self { module, origin, most_blocks })
    }

    pub(super) fn origin(&self) -> &KernelOrigin {
        &self.origin
    }

    /// Lets `stream` make the first `count` moves of `table`.
    pub(super) fn launch(
        &self,
        entered: &Entered<'_>,
        stream: &RawStream,
        table: &Table,
    ) -> Result<(), Failure> {
        let (mut moves, mut count, mut lanes) = (table.buffer.address(), table.count, table.lanes());
        let rows_per_block = BLOCK_THREADS / lanes;
        let blocks = count.div_ceil(rows_per_block).clamp(1, self.most_blocks);
        let mut arguments: [*mut c_void; 3] =
            [(&raw mut moves).cast(), (&raw mut count).cast(), (&raw mut lanes).cast()];
        let (function, arguments) = (self.module.function(), arguments.as_mut_ptr());
        let none = std::ptr::null_mut();
        // SAFETY: the arguments are those of the kernel, and are read before the call returns. The table and all that it names stays until
        // the stream has done it: see `transfer`.
        entered.outcome(unsafe {
            call!(cuLaunchKernel(
                function,
                blocks,
                1,
                1,
                BLOCK_THREADS,
                1,
                1,
                0,
                stream.handle(),
                arguments,
                none
            ))
        })
    }
}

/// The moves of a launch, where the device reads them.
#[derive(Debug)]
pub(super) struct Table {
    buffer: PinnedBuffer,
    count: u32,
    bytes: u64,
}

impl Table {
    /// How many bytes `moves` are there.
    pub(super) fn len_bytes(moves: &[Move]) -> usize {
        size_of_val(moves)
    }

    /// Puts `moves` into `buffer`.
    pub(super) fn new(buffer: PinnedBuffer, moves: &[Move]) -> Self {
        assert!(Self::len_bytes(moves) <= buffer.len_bytes(), "the buffer was made for the moves");
        // SAFETY: the buffer is as long, at an address of a page, nobody else has it, and the moves are not in it.
        unsafe { std::ptr::copy_nonoverlapping(moves.as_ptr(), buffer.start().cast(), moves.len()) };
        Self { buffer, count: moves.len() as u32, bytes: moves.iter().map(|row| row.bytes).sum() }
    }

    /// The buffer, when the launch is over.
    pub(super) fn into_buffer(self) -> PinnedBuffer {
        self.buffer
    }

    /// How many threads make a run: a power of two that a block is a multiple of.
    fn lanes(&self) -> u32 {
        let each_bytes = self.bytes / u64::from(self.count.max(1));
        let lanes =
            each_bytes.div_ceil(BYTES_PER_LANE).next_power_of_two().clamp(8, u64::from(BLOCK_THREADS));
        lanes as u32
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_kernel_that_is_embedded_is_that_of_the_source() {
        let digest: String = Sha256::digest(SOURCE).iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("// sha256 of move_runs.cu: {digest}");
        assert!(PTX.lines().any(|other| other == line), "run src/device/cuda/kernels/make_ptx.py");
    }

    #[test]
    fn the_oldest_driver_and_the_oldest_device_can_read_it() {
        // The PTX of CUDA 12.0 is of version 8.0.
        assert!(PTX.contains(".version 8.0\n") && PTX.contains(".target sm_70\n") && MIN_CAPABILITY == 70);
        assert!(PTX.contains(&format!(".entry {}(", NAME.to_str().unwrap())));
    }
}

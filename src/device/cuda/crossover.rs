//! Which runs go by the copy engine, and which by the kernel.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Where the one way is as fast as the other. It depends on the machine: [`CudaDevice::calibrate`](super::CudaDevice::calibrate) measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossover {
    /// Runs of as many bytes or more go by the copy engine. 0: all of them.
    pub run_bytes: u64,
    /// Fewer runs than these that are smaller go by the copy engine too: a launch is worth more than one copy.
    pub min_kernel_runs: u64,
}

impl Default for Crossover {
    /// What is used before anything was measured. A copy costs a few microseconds of the processor and of the engine; at 25 GB/s, 128 KiB take
    /// five. That is arithmetic, and no measurement.
    fn default() -> Self {
        Self { run_bytes: 128 << 10, min_kernel_runs: 4 }
    }
}

/// A crossover that can be changed while transfers are submitted.
#[derive(Debug)]
pub(super) struct SharedCrossover {
    run_bytes: AtomicU64,
    min_kernel_runs: AtomicU64,
}

impl SharedCrossover {
    pub(super) fn new(crossover: Crossover) -> Self {
        let Crossover { run_bytes, min_kernel_runs } = crossover;
        Self { run_bytes: AtomicU64::new(run_bytes), min_kernel_runs: AtomicU64::new(min_kernel_runs) }
    }

    pub(super) fn get(&self) -> Crossover {
        // Relaxed: two numbers of which any pair is right, and nothing hangs on when they are seen.
        let run_bytes = self.run_bytes.load(Ordering::Relaxed);
        Crossover { run_bytes, min_kernel_runs: self.min_kernel_runs.load(Ordering::Relaxed) }
    }

    pub(super) fn set(&self, crossover: Crossover) {
        // Relaxed: as in `get`.
        self.run_bytes.store(crossover.run_bytes, Ordering::Relaxed);
        self.min_kernel_runs.store(crossover.min_kernel_runs, Ordering::Relaxed);
    }
}

//! Where the crossover is on the machine at hand.
//!
//! The same scattered runs are moved by the copy engine alone and by the kernel alone, for runs of every size. What is measured is how long it takes
//! until the caller knows, since that is what a caller waits for.

use std::time::Duration;

use super::crossover::Crossover;
use super::device::CudaDevice;
use super::registered_memory::RegisteredMemory;
use crate::clock;
use crate::device::memory::HostMemoryOptions;
use crate::device::plan::{Plan, Run};
use crate::device::stream::{Device, Direction, Stream, Transfer, pending};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;

/// The smallest runs that are tried.
pub const MIN_RUN_BYTES: u64 = 1 << 10;

/// The largest ones. Where the kernel is still the faster there, the crossover is past them.
pub const MAX_RUN_BYTES: u64 = 4 << 20;

/// How much is moved at once, at most.
const TRANSFER_BYTES: u64 = 32 << 20;

/// How many runs that is, at most.
const TRANSFER_RUNS: u64 = 2_048;

/// Of how many the fastest counts.
const REPETITIONS: usize = 5;

/// A device that takes longer than this for one transfer is not measured, but broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long runs of one size took, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The size of a run.
    pub run_bytes: u64,
    /// Which way.
    pub direction: Direction,
    /// How many bytes were moved at once.
    pub bytes: u64,
    /// How long the copy engine took for them, from submission to completion.
    pub engine_ns: u64,
    /// How long the kernel took.
    pub kernel_ns: u64,
}

/// What was measured, and what it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// By size, both directions of each.
    pub samples: Vec<Sample>,
    /// The smallest size from which on the copy engine is the faster in both directions together.
    pub crossover: Crossover,
}

impl CudaDevice {
    /// Measures the crossover, for a second or so, on memory and a stream of its own. It is not set: that is a matter of
    /// [`CudaDevice::set_crossover`]. Nobody else should use the device meanwhile, or submit to streams of this `CudaDevice`.
    ///
    /// # Errors
    /// If there is no memory for it, or the device fails.
    pub fn calibrate(&self) -> Result<Calibration> {
        let before = self.crossover();
        let measured = self.samples();
        self.set_crossover(before);
        let samples = measured?;
        let crossover = Crossover { run_bytes: crossing(&samples), ..before };
        Ok(Calibration { samples, crossover })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        // Runs lie apart on the device, so that none are joined.
        let pages = self.allocate(2 * TRANSFER_BYTES)?;
        let host = Arc::new(RegisteredMemory::new(self, &HostMemoryOptions::new(TRANSFER_BYTES))?);
        let stream = self.open_stream()?;
        let mut samples = Vec::new();
        let mut run_bytes = MIN_RUN_BYTES;
        while run_bytes <= MAX_RUN_BYTES {
            let plan = Arc::new(scattered(pages.address(), run_bytes)?);
            for direction in [Direction::DeviceToHost, Direction::HostToDevice] {
                let transfer = Transfer { plan: Arc::clone(&plan), direction, host: host.clone() };
                let by_engine = Crossover { run_bytes: 0, min_kernel_runs: 0 };
                let by_kernel = Crossover { run_bytes: u64::MAX, min_kernel_runs: 0 };
                let engine_ns = self.fastest_ns(&*stream, &transfer, by_engine)?;
                let kernel_ns = self.fastest_ns(&*stream, &transfer, by_kernel)?;
                samples.push(Sample { run_bytes, direction, bytes: plan.bytes(), engine_ns, kernel_ns });
            }
            run_bytes *= 2;
        }
        Ok(samples)
    }

    fn fastest_ns(&self, stream: &dyn Stream, transfer: &Transfer, crossover: Crossover) -> Result<u64> {
        self.set_crossover(crossover);
        let mut fastest_ns = u64::MAX;
        for _ in 0..REPETITIONS {
            let (done, pending) = pending();
            let start_ns = clock::monotonic_ns();
            stream.submit(transfer.clone(), done);
            let outcome = pending.wait(PATIENCE);
            let took_ns = clock::monotonic_ns() - start_ns;
            outcome.unwrap_or_else(|| Err(Error::new(ErrorKind::Timeout, "the device does not answer")))?;
            fastest_ns = fastest_ns.min(took_ns);
        }
        Ok(fastest_ns)
    }
}

/// Runs of one size, with a gap between two.
fn scattered(start: u64, run_bytes: u64) -> Result<Plan> {
    let mut plan = Plan::default();
    for i in 0..(TRANSFER_BYTES / run_bytes).min(TRANSFER_RUNS) {
        let (device_offset, host_offset) = (start + 2 * i * run_bytes, i * run_bytes);
        plan.push(Run { device_offset, host_offset, len_bytes: run_bytes })?;
    }
    Ok(plan)
}

/// The smallest size from which on the copy engine is never the slower; past the largest one if it is that there.
fn crossing(samples: &[Sample]) -> u64 {
    let sums = samples.chunk_by(|one, other| one.run_bytes == other.run_bytes).map(|same| {
        let sum = |ns: fn(&Sample) -> u64| same.iter().map(ns).sum::<u64>();
        (same[0].run_bytes, sum(|sample| sample.engine_ns) <= sum(|sample| sample.kernel_ns))
    });
    let sums: Vec<_> = sums.collect();
    let wins = sums.iter().rev().take_while(|(_, engine_wins)| *engine_wins);
    wins.last().map_or(2 * MAX_RUN_BYTES, |(run_bytes, _)| *run_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(engine_wins: &[bool]) -> Vec<Sample> {
        let sample = |(i, engine_wins): (usize, &bool)| {
            let (engine_ns, kernel_ns) = if *engine_wins { (1, 2) } else { (3, 2) };
            [Direction::DeviceToHost, Direction::HostToDevice].map(|direction| Sample {
                run_bytes: MIN_RUN_BYTES << i,
                direction,
                bytes: 1,
                engine_ns,
                kernel_ns,
            })
        };
        engine_wins.iter().enumerate().flat_map(sample).collect()
    }

    #[test]
    fn the_crossover_is_where_the_engine_wins_for_good() {
        assert_eq!(crossing(&samples(&[false, true, false, true, true])), MIN_RUN_BYTES << 3);
        assert_eq!(crossing(&samples(&[true, true])), MIN_RUN_BYTES);
        assert_eq!(crossing(&samples(&[true, false])), 2 * MAX_RUN_BYTES);
        assert_eq!(crossing(&[]), 2 * MAX_RUN_BYTES);
    }
}

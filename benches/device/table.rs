//! How fast: pages of 4 KiB to 16 MiB, behind each other and scattered, one way, the other, and both at once.

use std::sync::Arc;

use lmcache::clock;
use lmcache::device::cuda::{CudaDevice, DeviceMemory, RegisteredMemory};
use lmcache::device::{Device, Direction, HostMemoryOptions, HostSide, Plan, Run};

use crate::checks::{Random, submit, wait};
use crate::plain::{Plain, cpu_ns};

const PAGES_BYTES: [u64; 7] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];

/// What was measured of one way.
#[derive(Clone, Copy)]
struct Figure {
    took_ns: u64,
    cpu_ns: u64,
}

/// The fastest of several.
fn fastest(repetitions: u32, mut once: impl FnMut()) -> Figure {
    once();
    let measure = |_| {
        let (start_ns, start_cpu_ns) = (clock::monotonic_ns(), cpu_ns());
        once();
        Figure { took_ns: clock::monotonic_ns() - start_ns, cpu_ns: cpu_ns() - start_cpu_ns }
    };
    (0..repetitions).map(measure).min_by_key(|figure| figure.took_ns).expect("one or more")
}

impl Figure {
    fn print(self, bytes: u64, pages: u64) -> String {
        let (gb_per_s, us) = (bytes as f64 / self.took_ns as f64, self.cpu_ns as f64 / 1e3 / pages as f64);
        format!("{gb_per_s:>7.2} GB/s {us:>9.3} us")
    }
}

/// Pages of the cache, behind each other or in a random order, to the same bytes of the host, one behind the other.
fn pages(cache: &DeviceMemory, at: u64, bytes: u64, page_bytes: u64, is_scattered: bool) -> Arc<Plan> {
    let count = bytes / page_bytes;
    let mut order: Vec<u64> = (0..count).collect();
    let mut random = Random(page_bytes | 1);
    if is_scattered {
        (1..count).rev().for_each(|i| order.swap(i as usize, random.below(i + 1) as usize));
    }
    let mut plan = Plan::default();
    for (i, page) in order.into_iter().enumerate() {
        let (device_offset, host_offset) =
            (cache.address() + at + page * page_bytes, at + i as u64 * page_bytes);
        plan.push(Run { device_offset, host_offset, len_bytes: page_bytes }).expect("a run");
    }
    Arc::new(plan)
}

/// Every page by itself, which `Plan::push` would join.
fn single_pages(cache: &DeviceMemory, plan: &Plan, page_bytes: u64) -> Vec<Run> {
    let split = |run: &Run| {
        let run = *run;
        (0..run.len_bytes / page_bytes).map(move |i| Run {
            device_offset: run.device_offset + i * page_bytes,
            host_offset: run.host_offset + i * page_bytes,
            len_bytes: page_bytes,
        })
    };
    let runs: Vec<Run> = plan.runs().iter().flat_map(split).collect();
    assert!(runs.iter().all(|run| run.device_offset >= cache.address()));
    runs
}

struct Bench<'a> {
    cache: &'a DeviceMemory,
    host: Arc<dyn HostSide>,
    streams: [Box<dyn lmcache::device::Stream>; 2],
    plain: [Plain; 2],
    bytes: u64,
    repetitions: u32,
}

use Direction::{DeviceToHost as STORE, HostToDevice as RETRIEVE};

impl Bench<'_> {
    /// Ours, and plain copies of each page. Of two directions, each moves half of the bytes, on a stream of its own.
    fn measure(&self, page_bytes: u64, is_scattered: bool, directions: &[Direction]) -> [Figure; 2] {
        let part = self.bytes / directions.len() as u64;
        let plan_of = |i: usize| pages(self.cache, i as u64 * part, part, page_bytes, is_scattered);
        let plans: Vec<_> = (0..directions.len()).map(plan_of).collect();
        let ours = fastest(self.repetitions, || {
            let each = directions.iter().zip(&plans).zip(&self.streams);
            let submitted: Vec<_> = each
                .map(|((direction, plan), stream)| submit(&**stream, plan, *direction, &self.host))
                .collect();
            submitted.iter().for_each(wait);
        });
        let single: Vec<_> = plans.iter().map(|plan| single_pages(self.cache, plan, page_bytes)).collect();
        let start = self.host.region().base().as_ptr();
        let plain = fastest(self.repetitions, || match &single[..] {
            [runs] => self.plain[0].copy(runs, directions[0], start),
            _ => {
                // Each has a thread, as a program that wants both at once would.
                let address = start.expose_provenance();
                std::thread::scope(|scope| {
                    for (runs, direction) in single.iter().zip(directions) {
                        scope.spawn(move || {
                            Plain::new().copy(
                                runs,
                                *direction,
                                std::ptr::with_exposed_provenance_mut(address),
                            );
                        });
                    }
                });
            }
        });
        [ours, plain]
    }
}

pub(crate) fn run(device: &CudaDevice, is_fake: bool, is_short: bool) {
    let bytes = if is_short { 32 << 20 } else { 512 << 20 };
    let cache = device.allocate(bytes).expect("memory of the device");
    let host = RegisteredMemory::new(device, &HostMemoryOptions::new(bytes)).expect("registered memory");
    let streams = [(); 2].map(|()| device.open_stream().expect("a stream"));
    let plain = [Plain::new(), Plain::new()];
    let repetitions = if is_short { 1 } else { 10 };
    let bench = Bench { cache: &cache, host: Arc::new(host), streams, plain, bytes, repetitions };
    for (name, direction) in [("device to host", STORE), ("host to device", RETRIEVE)] {
        let whole = pages(&cache, 0, bytes, bytes, false);
        let start = bench.host.region().base().as_ptr();
        let one = fastest(repetitions, || bench.plain[0].copy(whole.runs(), direction, start));
        if !is_fake {
            println!(
                "one copy of {} MiB of page-locked memory, {name}: {}",
                bytes >> 20,
                one.print(bytes, 1)
            );
        }
    }
    if !is_fake {
        println!("page bytes | order | direction | ours, CPU time of a page | a call for each page");
    }
    for page_bytes in PAGES_BYTES {
        for (order, is_scattered) in [("contiguous", false), ("scattered", true)] {
            for (name, directions) in [
                ("device to host", &[STORE][..]),
                ("host to device", &[RETRIEVE]),
                ("both", &[STORE, RETRIEVE]),
            ] {
                let figures = bench.measure(page_bytes, is_scattered, directions);
                let [ours, plain] = figures.map(|figure| figure.print(bytes, bytes / page_bytes));
                if !is_fake {
                    println!("{page_bytes:>8} | {order:<10} | {name:<14} | {ours} | {plain}");
                }
            }
        }
    }
}

pub(crate) fn calibrate(device: &CudaDevice, is_fake: bool) {
    let calibration = device.calibrate().expect("a calibration");
    if is_fake {
        return;
    }
    println!("run bytes | direction | copy engine | kernel");
    for sample in &calibration.samples {
        let gb_per_s = |ns: u64| sample.bytes as f64 / ns as f64;
        let (engine, kernel) = (gb_per_s(sample.engine_ns), gb_per_s(sample.kernel_ns));
        println!("{:>8} | {:?} | {engine:.2} GB/s | {kernel:.2} GB/s", sample.run_bytes, sample.direction);
    }
    println!(
        "crossover: {} bytes (it is {} where nobody measures)",
        calibration.crossover.run_bytes,
        device.crossover().run_bytes
    );
    device.set_crossover(calibration.crossover);
}

//! Whether bytes are where they belong, with several streams at work at once.

use std::sync::Arc;
use std::time::Duration;

use lmcache::device::cuda::{Crossover, CudaDevice, RegisteredMemory};
use lmcache::device::{
    Device, Direction, HostMemory, HostMemoryOptions, HostSide, Memory, Pending, Plan, Run, Stream, Transfer,
    pending,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Pseudo-random numbers, the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

pub(crate) fn submit(
    stream: &dyn Stream,
    plan: &Arc<Plan>,
    direction: Direction,
    host: &Arc<dyn HostSide>,
) -> Pending {
    let (done, pending) = pending();
    stream.submit(Transfer { plan: Arc::clone(plan), direction, host: Arc::clone(host) }, done);
    pending
}

pub(crate) fn wait(pending: &Pending) {
    pending.wait(PATIENCE).expect("the device answers").expect("the transfer goes well");
}

/// Runs of random sizes, in a random order on the device, behind each other with gaps on the host.
fn random_plan(random: &mut Random, base: u64, len_bytes: u64) -> Plan {
    let mut sizes = Vec::new();
    let mut left = len_bytes;
    while left > 0 {
        let size = match random.below(4) {
            0 => 1 + random.below(64),
            1 => 16 * (1 + random.below(64)),
            2 => 1 + random.below(10_000),
            _ => 4_096 * (1 + random.below(16)),
        };
        sizes.push(size.min(left));
        left -= size.min(left);
    }
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    for size in sizes {
        runs.push((at, size));
        at += size;
    }
    for i in (1..runs.len()).rev() {
        runs.swap(i, random.below(i as u64 + 1) as usize);
    }
    let (mut plan, mut host_offset) = (Plan::default(), 0);
    for (device_offset, len_bytes) in runs {
        plan.push(Run { device_offset: base + device_offset, host_offset, len_bytes }).expect("a run");
        host_offset += len_bytes + random.below(3) * 4;
    }
    plan
}

/// One stream: what is scattered and gathered again is what was there, and nothing beside it is touched.
fn check_stream(device: &CudaDevice, seed: u64, rounds: u64, len_bytes: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let stream = device.open_stream().expect("a stream");
    let cache = device.allocate(len_bytes).expect("memory of the device");
    let options = HostMemoryOptions::new(2 * len_bytes + 4_096);
    let known = RegisteredMemory::new(device, &options).expect("registered memory");
    let hosts: [Arc<dyn HostSide>; 2] =
        [Arc::new(known), Arc::new(HostMemory::new(&options).expect("memory"))];
    for round in 0..rounds {
        let plan = Arc::new(random_plan(&mut random, cache.address(), len_bytes));
        let (from, to) = (&hosts[round as usize % 2], &hosts[(round as usize / 2) % 2]);
        let objects = random.bytes(plan.host_end());
        from.region().write(0, &objects);
        // Behind each other, without waiting in between.
        let scattered = submit(&*stream, &plan, Direction::HostToDevice, from);
        let event = stream.record().expect("an event");
        let other = device.open_stream().expect("a stream");
        other.wait_for(&event).expect("an event of this device");
        wait(&scattered);
        let noise = random.bytes(plan.host_end());
        to.region().write(0, &noise);
        wait(&submit(&*other, &plan, Direction::DeviceToHost, to));
        let mut found = vec![0; objects.len()];
        to.region().read(0, &mut found);
        let mut expected = noise;
        for run in plan.runs() {
            let place = run.host_offset as usize..(run.host_offset + run.len_bytes) as usize;
            expected[place.clone()].copy_from_slice(&objects[place]);
        }
        assert!(found == expected, "stream {seed}, round {round}");
        let mut page = vec![0; len_bytes as usize];
        cache.read(0, &mut page).expect("the cache");
        let in_cache = |run: &Run| {
            let at = (run.device_offset - cache.address()) as usize;
            page[at..at + run.len_bytes as usize]
                == objects[run.host_offset as usize..][..run.len_bytes as usize]
        };
        assert!(plan.runs().iter().all(in_cache), "stream {seed}, round {round}: the cache");
    }
}

pub(crate) fn run(device: &CudaDevice, is_short: bool) {
    let (rounds, len_bytes, streams) = if is_short { (4, 100_000, 3) } else { (40, 8 << 20, 8) };
    let ways = [
        Crossover::default(),
        Crossover { run_bytes: 0, min_kernel_runs: 0 },
        Crossover { run_bytes: u64::MAX, min_kernel_runs: 0 },
    ];
    for crossover in ways {
        device.set_crossover(crossover);
        std::thread::scope(|scope| {
            (0..streams).for_each(|seed| {
                scope.spawn(move || check_stream(device, seed + 1, rounds, len_bytes));
            });
        });
    }
    device.set_crossover(Crossover::default());
    println!(
        "check: {streams} streams, {rounds} rounds each, by both ways, by the copy engine, by the kernel: right"
    );
}

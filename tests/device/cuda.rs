//! Transfers of a CUDA device, on the fake driver: every case of the reference, every way that bytes can take.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lmcache::device::cuda::{Crossover, CudaDevice, CudaOptions, KernelOrigin, RegisteredMemory};
use lmcache::device::{
    Device, Direction, HostMemory, HostMemoryOptions, HostSide, Memory, Moved, PageRegistrar, Plan,
    Registration, Run, Transfer, pending,
};
use lmcache::os::region::Region;

use crate::fake::{self, Variant, fake};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Set in a child that runs the cases of the reference: which way the bytes take.
const MODE: &str = "LMCACHE_FAKE_MODE";

/// All runs by the copy engine.
pub(crate) const ENGINE: Crossover = Crossover { run_bytes: 0, min_kernel_runs: 0 };

/// All runs by the kernel.
pub(crate) const KERNEL: Crossover = Crossover { run_bytes: u64::MAX, min_kernel_runs: 0 };

/// Some this way, some that.
const MIXED: Crossover = Crossover { run_bytes: 40, min_kernel_runs: 2 };

pub(crate) fn options(crossover: Crossover) -> CudaOptions {
    CudaOptions { crossover, bounce_bytes: 64 << 10 }
}

/// Memory of which the driver knows the first page by one registration, and the others by another.
#[derive(Debug)]
pub(crate) struct InTwoParts {
    _registrations: [Registration; 2],
    pub(crate) memory: HostMemory,
}

impl InTwoParts {
    pub(crate) fn new(device: &CudaDevice, len_bytes: u64) -> Self {
        let memory = HostMemory::new(&HostMemoryOptions::new(len_bytes.max(4_097))).expect("memory");
        let (base, len) = (memory.region().base(), memory.region().len_bytes());
        let second = std::ptr::NonNull::new(base.as_ptr().wrapping_add(4_096)).expect("an address");
        let first = device.register(base, 4_096).expect("a registration");
        let second = device.register(second, len - 4_096).expect("a registration");
        Self { _registrations: [first, second], memory }
    }
}

impl HostSide for InTwoParts {
    fn region(&self) -> &Region {
        self.memory.region()
    }

    fn len_bytes(&self) -> u64 {
        HostSide::len_bytes(&self.memory)
    }

    fn is_registered(&self) -> bool {
        true
    }
}

/// The same plan, for a cache that starts at `base`.
pub(crate) fn moved_to(plan: &Plan, base: u64) -> Arc<Plan> {
    let mut moved = Plan::default();
    for run in plan.runs() {
        moved.push(Run { device_offset: run.device_offset + base, ..*run }).expect("a run");
    }
    Arc::new(moved)
}

/// Whether the cases of the reference are to run on the GPU of this machine, as `tests/gpu.sh` asks.
pub(crate) fn is_on_gpu() -> bool {
    // The context is made once, instead of for each case.
    static DEVICE: OnceLock<Option<Arc<CudaDevice>>> = OnceLock::new();
    let open = || std::env::var_os("LMCACHE_GPU").map(|_| CudaDevice::open(0).expect("a device"));
    DEVICE.get_or_init(open).is_some()
}

/// Runs `plan` on a CUDA device, as `cases::run` does on the reference.
pub(crate) fn run(
    plan: &Plan,
    direction: Direction,
    pages: &[u8],
    objects: &[u8],
) -> (Vec<u8>, Vec<u8>, Moved) {
    let mode = std::env::var(MODE).unwrap_or_default();
    let crossover = match mode.as_str() {
        "engine" | "engine, unregistered" => ENGINE,
        "kernel" | "kernel, unregistered" | "kernel, in two parts" => KERNEL,
        _ => MIXED,
    };
    let fake = fake();
    let device = CudaDevice::open_with(0, options(crossover)).expect("a device");
    let len_bytes = objects.len() as u64;
    let (host, memory): (Arc<dyn HostSide>, Arc<dyn Memory>) = if mode.ends_with("unregistered") {
        let host = Arc::new(HostMemory::new(&HostMemoryOptions::new(len_bytes)).expect("memory"));
        (host.clone(), host)
    } else if mode.ends_with("in two parts") {
        let host = Arc::new(InTwoParts::new(&device, len_bytes));
        (host.clone(), Arc::new(Front(host)))
    } else {
        let host = RegisteredMemory::new(&device, &HostMemoryOptions::new(len_bytes)).expect("memory");
        let host = Arc::new(host);
        (host.clone(), host)
    };
    memory.write(0, objects).expect("as many bytes");
    let cache = device.allocate(pages.len() as u64).expect("memory of the device");
    cache.write(0, pages).expect("as many bytes");
    let stream = device.open_stream().expect("a stream");
    let (done, pending) = pending();
    stream.submit(Transfer { plan: moved_to(plan, cache.address()), direction, host }, done);
    let moved = pending.wait(PATIENCE).expect("it is told").expect("it went well");
    let (mut of_cache, mut of_objects) = (vec![0; pages.len()], vec![0; objects.len()]);
    cache.read(0, &mut of_cache).expect("as many bytes");
    memory.read(0, &mut of_objects).expect("as many bytes");
    drop((stream, cache, memory, device));
    if let Some(fake) = fake {
        fake.assert_clean("after a case");
    }
    (of_cache, of_objects, moved)
}

/// The bytes of memory in two parts.
#[derive(Debug)]
struct Front(Arc<InTwoParts>);

impl Memory for Front {
    fn kind(&self) -> lmcache::device::MemoryKind {
        self.0.memory.kind()
    }

    fn len_bytes(&self) -> u64 {
        Memory::len_bytes(&self.0.memory)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> lmcache::error::Result<()> {
        self.0.memory.read(offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> lmcache::error::Result<()> {
        self.0.memory.write(offset, bytes)
    }
}

fn reference_cases(mode: &str, variant: Variant) {
    let Some(mut child) = fake::child(variant) else { return };
    // All of them, but for the test that runs no transfer.
    child
        .args(["reference::", "lmcache::", "planes::", "--skip", "whatever_an_engine_passes"])
        .env(MODE, mode);
    fake::check(&mut child, 7);
}

#[test]
fn every_case_of_the_reference_by_the_copy_engine() {
    reference_cases("engine", Variant::NoBatch);
}

#[test]
fn every_case_of_the_reference_by_copies_of_one_call() {
    reference_cases("engine", Variant::Plain);
}

#[test]
fn every_case_of_the_reference_by_the_kernel() {
    reference_cases("kernel", Variant::Plain);
}

#[test]
fn every_case_of_the_reference_by_both() {
    reference_cases("mixed", Variant::Plain);
}

#[test]
fn every_case_of_the_reference_through_a_buffer() {
    reference_cases("engine, unregistered", Variant::Plain);
    reference_cases("kernel, unregistered", Variant::Plain);
}

#[test]
fn every_case_of_the_reference_across_a_border_of_registrations() {
    reference_cases("mixed, in two parts", Variant::NoBatch);
    reference_cases("kernel, in two parts", Variant::Plain);
}

#[test]
fn words_of_every_width_at_every_place() {
    fake::run_inside("cuda::inside_words", Variant::Plain);
}

/// Runs of lengths around those of words and of groups, with both sides at every distance from a word's start.
#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_words() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(KERNEL));
    let len_bytes = 4 << 20;
    let host = Arc::new(RegisteredMemory::new(&device, &HostMemoryOptions::new(len_bytes)).unwrap());
    let cache = device.allocate(len_bytes).unwrap();
    let mut plan = Plan::default();
    let (mut at_device, mut at_host, mut expected) = (0_u64, 0_u64, vec![0_u8; len_bytes as usize]);
    let pattern: Vec<u8> = (0..len_bytes).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for len in [1, 3, 4, 15, 16, 17, 63, 64, 500, 1_023, 4_096, 16_385] {
        for shift in 0..32 {
            at_device += len + 40;
            at_host = (at_host + len + 40).next_multiple_of(16) + (at_device + shift) % 16;
            plan.push(Run {
                device_offset: cache.address() + at_device,
                host_offset: at_host,
                len_bytes: len,
            })
            .unwrap();
            let (from, to) = (at_device as usize, at_host as usize);
            expected[to..to + len as usize].copy_from_slice(&pattern[from..from + len as usize]);
        }
    }
    cache.write(0, &pattern).unwrap();
    let stream = device.open_stream().unwrap();
    let (done, waiting) = pending();
    let transfer = Transfer { plan: Arc::new(plan), direction: Direction::DeviceToHost, host: host.clone() };
    stream.submit(transfer.clone(), done);
    waiting.wait(PATIENCE).unwrap().unwrap();
    let mut found = vec![0; len_bytes as usize];
    host.read(0, &mut found).unwrap();
    assert!(found == expected);
    // And back into a cache of other bytes.
    cache.write(0, &vec![0x5A; len_bytes as usize]).unwrap();
    let (done, waiting) = pending();
    stream.submit(Transfer { direction: Direction::HostToDevice, ..transfer.clone() }, done);
    waiting.wait(PATIENCE).unwrap().unwrap();
    let mut expected = vec![0x5A; len_bytes as usize];
    for run in transfer.plan.runs() {
        let at = (run.device_offset - cache.address()) as usize;
        expected[at..at + run.len_bytes as usize].copy_from_slice(&pattern[at..at + run.len_bytes as usize]);
    }
    cache.read(0, &mut found).unwrap();
    assert!(found == expected && fake.count(0) == 2 && fake.count(1) + fake.count(2) == 0);
    drop((stream, cache, host, transfer, device));
    fake.assert_clean("after all words");
}

#[test]
fn large_runs_go_by_the_copy_engine_and_many_small_ones_by_the_kernel() {
    fake::run_inside("cuda::inside_choice", Variant::Plain);
    fake::run_inside("cuda::inside_choice", Variant::NoBatch);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_choice() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(Crossover { run_bytes: 100, min_kernel_runs: 3 }));
    assert_eq!(device.crossover(), Crossover { run_bytes: 100, min_kernel_runs: 3 });
    let has_batch = fake::has_batch();
    let host = Arc::new(RegisteredMemory::new(&device, &HostMemoryOptions::new(100_000)).unwrap());
    let cache = device.allocate(100_000).unwrap();
    let stream = device.open_stream().unwrap();
    let counts = |sizes: &[u64]| {
        fake.reset();
        let mut plan = Plan::default();
        for (i, len_bytes) in sizes.iter().enumerate() {
            let (device_offset, host_offset) = (cache.address() + i as u64 * 1_000, i as u64 * 999);
            plan.push(Run { device_offset, host_offset, len_bytes: *len_bytes }).unwrap();
        }
        let (done, waiting) = pending();
        let plan = Arc::new(plan);
        stream.submit(Transfer { plan, direction: Direction::DeviceToHost, host: host.clone() }, done);
        assert_eq!(waiting.wait(PATIENCE).unwrap().unwrap().runs, sizes.len() as u64);
        // Launches, copies one by one, calls for many.
        [fake.count(0), fake.count(1), fake.count(2)]
    };
    assert_eq!(counts(&[]), [0, 0, 0]);
    assert_eq!(counts(&[99, 99]), [0, 2, 0], "a launch is worth more than two copies");
    assert_eq!(counts(&[99, 99, 99]), [1, 0, 0]);
    assert_eq!(counts(&[99, 100, 99, 101, 99]), [1, 2, 0]);
    let many = counts(&[100; 10]);
    assert_eq!(many, if has_batch { [0, 0, 1] } else { [0, 10, 0] });
    device.set_crossover(ENGINE);
    assert_eq!(counts(&[1, 1, 1]), [0, 3, 0]);
    drop((stream, cache, host, device));
    fake.assert_clean("after choices");
}

#[test]
fn the_kernel_is_compiled_for_the_device_or_comes_from_the_library() {
    fake::run_inside("cuda::inside_compiled", Variant::Nvrtc);
    fake::run_inside("cuda::inside_refused", Variant::Nvrtc);
    for variant in [Variant::Plain, Variant::BrokenNvrtc, Variant::PartialNvrtc] {
        fake::run_inside("cuda::inside_embedded", variant);
    }
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_compiled() {
    let Some(fake) = fake() else { return };
    let device = fake.device(CudaOptions::default());
    assert_eq!(device.kernel_origin(), &KernelOrigin::Nvrtc);
    assert!(fake.image().starts_with("// of the fake NVRTC"), "{}", fake.image());
    // Once for all devices of a kind.
    let second = CudaDevice::open(1).unwrap();
    assert_eq!((second.kernel_origin(), fake::compilations()), (&KernelOrigin::Nvrtc, 1));
    drop((device, second));
    fake.assert_clean("after a compilation");
}

/// NVRTC of 12.7 on a driver of 12.0.
#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_refused() {
    let Some(fake) = fake() else { return };
    fake.newest_ptx(80);
    let device = fake.device(CudaOptions::default());
    let KernelOrigin::Embedded(why) = device.kernel_origin() else { panic!("it was refused") };
    assert!(why.contains("222 PTX too new"), "{why}");
    assert!(fake.image().starts_with("// made by make_ptx.py"), "{}", fake.image());
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_embedded() {
    let Some(fake) = fake() else { return };
    let device = fake.device(CudaOptions::default());
    let KernelOrigin::Embedded(why) = device.kernel_origin() else {
        panic!("there is no compiler that works")
    };
    let reasons = [
        "there is no libnvrtc",
        "nvrtcCompileProgram failed with code 6: the log.",
        "has no nvrtcDestroyProgram",
    ];
    assert!(reasons.iter().any(|reason| why.contains(reason)), "{why}");
    assert!(fake.image().starts_with("// made by make_ptx.py"), "{}", fake.image());
    // A driver that reads not even that.
    fake.newest_ptx(79);
    let error = CudaDevice::open(0).unwrap_err();
    assert!(error.to_string().starts_with("cannot load the kernel"), "{error}");
    drop(device);
    fake.assert_clean("after a kernel that was refused");
}

#[test]
fn the_crossover_is_measured_and_left_as_it_was() {
    fake::run_inside("cuda::inside_calibration", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_calibration() {
    use lmcache::device::cuda::calibrate::{MAX_RUN_BYTES, MIN_RUN_BYTES};
    let Some(fake) = fake() else { return };
    let device = fake.device(CudaOptions::default());
    let calibration = device.calibrate().unwrap();
    assert_eq!(calibration.samples.len(), 26);
    assert!(calibration.samples.iter().all(|sample| sample.engine_ns > 0 && sample.kernel_ns > 0));
    assert!((MIN_RUN_BYTES..=2 * MAX_RUN_BYTES).contains(&calibration.crossover.run_bytes));
    assert_eq!(device.crossover(), Crossover::default());
    // A figure of the fake would be no figure: it is not printed.
    assert!(fake.count(0) > 0 && fake.count(2) > 0);
    drop(device);
    fake.assert_clean("after a calibration");
}

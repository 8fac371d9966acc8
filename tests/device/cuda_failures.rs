//! Every call of the driver fails once, on the fake driver: each time there is an error, nobody is forgotten, and nothing is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lmcache::device::cuda::functions::{BATCH_FUNCTION, REQUIRED_FUNCTIONS};
use lmcache::device::cuda::{Crossover, CudaDevice, RegisteredMemory};
use lmcache::device::{
    Device, Direction, Done, HostMemory, HostMemoryOptions, HostSide, Memory, Plan, Run, Transfer, pending,
};
use lmcache::error::{Error, Result};

use crate::cuda::{PATIENCE, options};
use crate::fake::{self, Fake, Variant, fake};

/// What the probe calls, once for the life of a process: its tests are elsewhere.
const OF_THE_PROBE: [&str; 3] = ["cuInit", "cuDriverGetVersion", "cuDeviceGetCount"];

/// What can only fail after something else did.
const OF_LAST_RESORT: &str = "cuStreamQuery";

const LEN: u64 = 150_000;

/// How often somebody was to be told, and was.
#[derive(Clone, Default)]
struct Tally {
    submitted: Arc<AtomicU64>,
    told: Arc<AtomicU64>,
}

impl Tally {
    fn done(&self, then: Done) -> Done {
        self.submitted.fetch_add(1, Ordering::SeqCst);
        let told = Arc::clone(&self.told);
        Done::new(move |outcome| {
            told.fetch_add(1, Ordering::SeqCst);
            then.tell(outcome);
        })
    }
}

/// Does everything once. Stops at the first error, as a caller would.
fn everything(tally: &Tally) -> Result<()> {
    let crossover = Crossover { run_bytes: 1_000, min_kernel_runs: 1 };
    let device = CudaDevice::open_with(0, options(crossover))?;
    let cache = device.allocate(LEN)?;
    cache.write(0, &[7; 100])?;
    cache.read(0, &mut [0; 100])?;
    cache.export_ipc()?;
    drop(adopt(&device, cache.address())?);
    let known: Arc<dyn HostSide> = Arc::new(RegisteredMemory::new(&device, &HostMemoryOptions::new(LEN))?);
    let plain: Arc<dyn HostSide> = Arc::new(HostMemory::new(&HostMemoryOptions::new(LEN))?);
    let (one, other) = (device.open_stream()?, device.open_stream()?);
    let mut plan = Plan::default();
    // Small ones for the kernel, one for a copy by itself, and some for a call for many.
    for (at, len_bytes) in
        [(0, 10), (20, 10), (1_000, 70_000), (80_000, 2_000), (84_000, 2_000), (90_000, 2_000)]
    {
        plan.push(Run { device_offset: cache.address() + at, host_offset: at, len_bytes })?;
    }
    let (many, mut few) = (Arc::new(plan), Plan::default());
    few.push(Run { device_offset: cache.address(), host_offset: 0, len_bytes: 2_000 })?;
    let few = Arc::new(few);
    let mut waiting = Vec::new();
    for host in [&known, &plain] {
        for direction in [Direction::DeviceToHost, Direction::HostToDevice] {
            for plan in [&many, &few] {
                let (done, pending) = pending();
                let transfer = Transfer { plan: Arc::clone(plan), direction, host: Arc::clone(host) };
                one.submit(transfer, tally.done(done));
                waiting.push(pending);
            }
        }
    }
    other.wait_for(&one.record()?)?;
    other.wait_for_engine(default_stream())?;
    other.let_engine_wait(default_stream())?;
    let outcomes: Vec<Result<_>> =
        waiting.iter().map(|pending| pending.wait(PATIENCE).expect("it is told")).collect();
    outcomes.into_iter().try_for_each(|outcome| outcome.map(drop))
}

#[allow(unsafe_code, reason = "an engine's memory and streams are raw")]
fn adopt(device: &CudaDevice, address: u64) -> Result<lmcache::device::cuda::DeviceMemory> {
    // SAFETY: the memory is there, and nothing is submitted.
    unsafe { device.adopt(address, 10) }
}

#[allow(unsafe_code, reason = "an engine's memory and streams are raw")]
fn default_stream() -> lmcache::device::EngineStream {
    // SAFETY: it exists as long as the context does.
    unsafe { lmcache::device::EngineStream::from_raw(0) }
}

/// Does everything, of which one call fails. Returns the error, if somebody was told one.
fn with_failure(fake: &Fake, name: &str, call: u64, code: i32) -> Option<Error> {
    fake.reset();
    fake.fail(name, call, code);
    let tally = Tally::default();
    let outcome = everything(&tally);
    let when = format!("after call {call} of {name} failed with {code}: {outcome:?}");
    fake.assert_clean_soon(&when);
    assert_eq!(tally.told.load(Ordering::SeqCst), tally.submitted.load(Ordering::SeqCst), "{when}");
    fake.sweep();
    outcome.err()
}

#[test]
fn whatever_call_fails_there_is_an_error_and_nothing_is_left() {
    fake::run_inside("cuda_failures::inside_failures", Variant::Plain);
    fake::run_inside("cuda_failures::inside_failures", Variant::NoBatch);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_failures() {
    let Some(fake) = fake() else { return };
    let all =
        REQUIRED_FUNCTIONS.iter().filter(|name| !OF_THE_PROBE.contains(name) && **name != OF_LAST_RESORT);
    let mut told = 0;
    for name in all.copied().chain(fake::has_batch().then_some(BATCH_FUNCTION)) {
        fake.reset();
        everything(&Tally::default()).unwrap();
        let calls = fake.calls(name);
        assert!(calls > 0 || is_unused(name), "{name} is called");
        // All of them, up to where they repeat themselves.
        for call in (1..=calls).filter(|call| *call <= 30 || *call == calls) {
            for code in [1, 719] {
                if let Some(error) = with_failure(&fake, name, call, code) {
                    assert!(!error.message().is_empty() && error.to_string().contains("code"), "{error}");
                    told += 1;
                }
            }
        }
    }
    assert!(told > 150, "{told} errors were told");
}

/// What the two variants do not both need, and what takes two processes.
fn is_unused(name: &str) -> bool {
    matches!(name, "cuIpcOpenMemHandle_v2" | "cuIpcCloseMemHandle")
}

#[test]
fn where_an_event_cannot_be_had_the_stream_is_asked_and_if_it_does_not_answer_the_device_is_lost() {
    fake::run_inside("cuda_failures::inside_last_resort", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_last_resort() {
    let Some(fake) = fake() else { return };
    // What is not given back is seen by all that come later: those that give everything back are first.
    for answers in [true, false] {
        for call in [1, 5, 8] {
            fake.reset();
            fake.fail("cuEventRecord", call, 304);
            if !answers {
                fake.fail(OF_LAST_RESORT, 0, 304);
            }
            let tally = Tally::default();
            let error = everything(&tally).unwrap_err();
            assert_eq!(error.to_string().starts_with("the device is lost"), !answers, "{error}");
            assert_eq!(tally.told.load(Ordering::SeqCst), tally.submitted.load(Ordering::SeqCst));
            // Where nobody can say what the device is at, nothing is taken from under it.
            fake.assert_no_misuse("after a last resort");
            if answers {
                fake.assert_clean_soon("after a last resort");
            }
        }
    }
    fake.sweep();
}

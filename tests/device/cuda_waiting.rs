//! Calls of the driver that take long, on the fake driver: who waits for them, and who does not.

use lmcache::clock::monotonic_ns;
use lmcache::device::Device;

use crate::cuda::{ENGINE, options};
use crate::cuda_support::{Log, STORE, plan, registered, transfer};
use crate::fake::{self, Variant, fake};

/// Long enough for whatever is not stopped.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Whether there are so many names in time. It does not panic: there is a call to let go first.
fn come(log: &Log, count: usize) -> bool {
    let deadline_ns = monotonic_ns() + PATIENCE_NS;
    while log.names().len() < count && monotonic_ns() < deadline_ns {
        std::thread::yield_now();
    }
    log.names().len() >= count
}

/// To give memory back takes the driver long: it waits for all that is under way on the device.
#[test]
fn who_is_told_does_not_wait_until_memory_is_given_back() {
    fake::run_inside("cuda_waiting::inside_given_back", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_given_back() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(ENGINE));
    let (cache, known) = (device.allocate(8).unwrap(), registered(&device, b"as it wa"));
    let stream = device.open_stream().unwrap();
    let log = Log::default();
    fake.hold(1);
    stream.submit(transfer(&plan(&cache, &[(0, 0, 8)]), STORE, &known), log.done("transfer"));
    // The transfer is the last one to have both.
    drop((cache, known));
    let stalled = ["cuMemHostUnregister", "cuMemFree_v2"];
    stalled.iter().for_each(|name| fake.stall(name, true));
    fake.hold(0);
    let are_told = come(&log, 1);
    stalled.iter().for_each(|name| fake.stall(name, false));
    assert!(are_told, "the transfer was told when its memory was given back");
    assert_eq!(log.names(), ["transfer ok"]);
    drop((stream, device));
    fake.assert_clean("after memory was given back");
}

/// A driver whose queue is full makes who submits wait, and nobody else.
#[test]
fn a_submit_that_waits_for_the_driver_stops_no_completion() {
    fake::run_inside("cuda_waiting::inside_full_queue", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_full_queue() {
    let Some(fake) = fake() else { return };
    const COPY: &str = "cuMemcpyDtoHAsync_v2";
    let device = fake.device(options(ENGINE));
    let cache = device.allocate(8).unwrap();
    let whole = plan(&cache, &[(0, 0, 8)]);
    let known = registered(&device, b"as it wa");
    // The thread looks at the streams in this order.
    let (full, other) = (device.open_stream().unwrap(), device.open_stream().unwrap());
    let log = Log::default();
    fake.hold(1);
    full.submit(transfer(&whole, STORE, &known), log.done("before"));
    other.submit(transfer(&whole, STORE, &known), log.done("beside"));
    fake.stall(COPY, true);
    let are_told = std::thread::scope(|scope| {
        scope.spawn(|| full.submit(transfer(&whole, STORE, &known), log.done("full")));
        while fake.calls(COPY) < 3 {
            std::thread::yield_now();
        }
        fake.hold(0);
        let are_told = come(&log, 2);
        fake.stall(COPY, false);
        are_told
    });
    assert!(are_told, "others waited for a submit");
    assert_eq!(log.wait(3)[2], "full ok");
    drop((full, other, cache, known, device));
    fake.assert_clean("after a full queue");
}

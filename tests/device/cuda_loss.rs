//! A CUDA device that is lost, on the fake driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lmcache::device::cuda::{CudaDevice, CudaOptions, IpcHandle, RegisteredMemory};
use lmcache::device::{Device, Done, HostMemory, HostMemoryOptions, Memory};
use lmcache::error::{Error, ErrorKind};

use crate::cases::{bytes_of, memory_of};
use crate::cuda::{ENGINE, KERNEL, options};
use crate::cuda_support::{Log, STORE, plan, registered, transfer};
use crate::fake::{self, Variant, fake};

#[test]
fn a_lost_device_tells_everybody_and_leaves_what_is_in_l1() {
    fake::run_inside("cuda_loss::inside_loss", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_loss() {
    let Some(fake) = fake() else { return };
    for crossover in [KERNEL, ENGINE] {
        let device = fake.device(options(crossover));
        let cache = device.allocate(8).unwrap();
        let (known, plain) = (registered(&device, b"as it wa"), Arc::new(memory_of(b"as it wa")));
        let (stream, other) = (device.open_stream().unwrap(), device.open_stream().unwrap());
        let log = Log::default();
        let whole = plan(&cache, &[(0, 0, 8)]);
        fake.hold(1);
        stream.submit(transfer(&whole, STORE, &known), log.done("queued"));
        stream.submit(transfer(&whole, STORE, &plain), log.done("queued"));
        let event = stream.record().unwrap();
        other.wait_for(&event).unwrap();
        other.submit(transfer(&whole, STORE, &plain), log.done("queued"));
        fake.lose(719);
        // Nobody calls the thread: it looks by itself.
        assert_eq!(log.wait(3), vec!["queued Io"; 3]);
        let lost = device.lost().unwrap();
        assert!(
            lost.to_string().starts_with("the device is lost (function cuEventQuery, code 719 launch failed"),
            "{lost}"
        );
        assert!(lost.hint().is_some());
        fake.hold(0);
        stream.submit(transfer(&whole, STORE, &known), log.done("later"));
        assert_eq!(log.names()[3..], ["later Io"]);
        for error in
            [stream.record().unwrap_err(), device.open_stream().unwrap_err(), device.allocate(1).unwrap_err()]
        {
            assert!(
                error.kind() == ErrorKind::Io && error.to_string().starts_with("the device is lost"),
                "{error}"
            );
        }
        let mut bytes = [0; 8];
        assert!(cache.read(0, &mut bytes).is_err() && cache.write(0, &bytes).is_err());
        assert!(event.is_reached());
        assert_eq!((bytes_of(&*known), bytes_of(&*plain)), (b"as it wa".to_vec(), b"as it wa".to_vec()));
        assert_eq!(Arc::strong_count(&plain), 1, "memory of L1 is held by nobody");
        drop((stream, other, cache, known, event, device));
        fake.assert_clean("after a loss");
        fake.sweep();
        fake.reset();
    }
    // A driver that works again, as after a restart, is used again.
    drop(fake.device(CudaOptions::default()));
    fake.assert_clean("at the end");
}

/// At whatever moment a device is lost, everybody is told once.
#[test]
fn a_device_may_be_lost_at_any_moment() {
    fake::run_inside("cuda_loss::inside_moments", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_moments() {
    let Some(fake) = fake() else { return };
    for moment in 0..60 {
        let device = fake.device(options(if moment % 2 == 0 { KERNEL } else { ENGINE }));
        let cache = device.allocate(200_000).unwrap();
        let host = Arc::new(HostMemory::new(&HostMemoryOptions::new(200_000)).unwrap());
        let stream = device.open_stream().unwrap();
        let told = Arc::new(AtomicU64::new(0));
        fake.delay(50);
        let losing = std::thread::scope(|scope| {
            let losing = scope.spawn(|| {
                let until_ns = lmcache::clock::monotonic_ns() + moment * 100_000;
                while lmcache::clock::monotonic_ns() < until_ns {
                    std::hint::spin_loop();
                }
                fake.lose(700);
            });
            let runs = plan(&cache, &[(0, 0, 70_000), (80_000, 100_000, 70_000)]);
            for _ in 0..20 {
                let told = Arc::clone(&told);
                let done = Done::new(move |outcome| {
                    assert!(
                        outcome.is_ok() || outcome.is_err_and(|error| error.to_string().contains("lost"))
                    );
                    told.fetch_add(1, Ordering::SeqCst);
                });
                stream.submit(transfer(&runs, STORE, &host), done);
            }
            losing.join()
        });
        losing.unwrap();
        drop((stream, device, cache));
        assert_eq!(told.load(Ordering::SeqCst), 20, "at {moment}");
        assert_eq!(Arc::strong_count(&host), 1);
        fake.assert_clean("after a moment");
        fake.sweep();
        fake.reset();
    }
}

/// Codes that say nothing of the work that is under way.
const UNSURE: [i32; 5] = [4, 46, 802, 806, 999];

type Call = fn(&CudaDevice) -> Error;

fn open_ipc(device: &CudaDevice) -> Error {
    device.open_ipc(&IpcHandle([7; 64]), 0, 1).expect_err("it is told to fail")
}

fn allocate(device: &CudaDevice) -> Error {
    device.allocate(1).expect_err("it is told to fail")
}

fn register(device: &CudaDevice) -> Error {
    RegisteredMemory::new(device, &HostMemoryOptions::new(4_096)).expect_err("it is told to fail")
}

/// A call that has nothing to do with what is under way gives none of its memory away.
#[test]
fn a_call_beside_that_fails_is_an_error_of_its_own() {
    fake::run_inside("cuda_loss::inside_beside", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_beside() {
    let Some(fake) = fake() else { return };
    let calls: [(&str, Call); 3] = [
        ("cuIpcOpenMemHandle_v2", open_ipc),
        ("cuMemAlloc_v2", allocate),
        ("cuMemHostRegister_v2", register),
    ];
    for (code, (name, call)) in UNSURE.into_iter().flat_map(|code| calls.map(|call| (code, call))) {
        let device = fake.device(options(ENGINE));
        let cache = device.allocate(8).unwrap();
        cache.write(0, b"newbytes").unwrap();
        let known = registered(&device, b"as it wa");
        let stream = device.open_stream().unwrap();
        let log = Log::default();
        fake.hold(1);
        stream.submit(transfer(&plan(&cache, &[(0, 0, 8)]), STORE, &known), log.done("under way"));
        fake.fail(name, 1, code);
        let error = call(&device);
        assert!(error.to_string().contains(&format!("code {code}")), "{error}");
        assert!(
            device.lost().is_none() && log.names().is_empty() && Arc::strong_count(&known) > 1,
            "{name} {code}"
        );
        fake.hold(0);
        assert_eq!(log.wait(1), ["under way ok"]);
        assert_eq!(bytes_of(&*known), b"newbytes");
        drop((stream, cache, known, device));
        fake.assert_clean("after a call beside");
        fake.reset();
    }
}

/// A stream that fails so may be at work still: what it works on is kept.
#[test]
fn a_stream_that_fails_unsurely_loses_the_device_and_keeps_what_it_works_on() {
    fake::run_inside("cuda_loss::inside_unsure", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_unsure() {
    let Some(fake) = fake() else { return };
    for code in UNSURE {
        let device = fake.device(options(ENGINE));
        let cache = device.allocate(8).unwrap();
        let (known, stream) = (registered(&device, b"as it wa"), device.open_stream().unwrap());
        let log = Log::default();
        fake.hold(1);
        stream.submit(transfer(&plan(&cache, &[(0, 0, 8)]), STORE, &known), log.done("under way"));
        fake.fail("cuEventQuery", 0, code);
        assert_eq!(log.wait(1), ["under way Io"]);
        assert!(device.lost().unwrap().to_string().contains(&format!("code {code}")));
        assert!(Arc::strong_count(&known) > 1, "a copy into it may be under way after {code}");
        drop((stream, cache, known, device));
        fake.hold(0);
        fake.assert_no_misuse("after an unsure loss");
        fake.sweep();
        fake.reset();
    }
}

/// However often the thread is woken meanwhile.
#[test]
fn a_driver_that_does_not_answer_has_a_tenth_of_a_second() {
    fake::run_inside("cuda_loss::inside_hiccup", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_hiccup() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(ENGINE));
    let cache = device.allocate(8).unwrap();
    let (known, stream) = (registered(&device, b"as it wa"), device.open_stream().unwrap());
    let log = Log::default();
    fake.hold(1);
    fake.fail("cuEventQuery", 0, 304);
    let start_ns = lmcache::clock::monotonic_ns();
    while device.lost().is_none() {
        stream.submit(transfer(&plan(&cache, &[(0, 0, 8)]), STORE, &known), log.done("under way"));
        let until_ns = lmcache::clock::monotonic_ns() + 1_000_000;
        while lmcache::clock::monotonic_ns() < until_ns {
            std::thread::yield_now();
        }
    }
    let took_ns = lmcache::clock::monotonic_ns() - start_ns;
    assert!(took_ns >= 90_000_000, "lost after {took_ns} ns");
    assert!(Arc::strong_count(&known) > 1);
    drop((stream, cache, known, device));
    fake.hold(0);
    fake.sweep();
}

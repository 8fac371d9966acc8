//! A CUDA device that is lost, on the fake driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lmcache::device::cuda::CudaOptions;
use lmcache::device::{Device, Done, HostMemory, HostMemoryOptions, Memory};
use lmcache::error::ErrorKind;

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

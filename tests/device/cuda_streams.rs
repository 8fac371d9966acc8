//! Order and completion on a CUDA device, on the fake driver, whose streams are threads.
#![allow(unsafe_code, reason = "an engine's streams are raw")]

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lmcache::device::cuda::CudaOptions;
use lmcache::device::cuda::device::MAX_STREAMS;
use lmcache::device::cuda::lane::MAX_QUEUED;
use lmcache::device::{Device, Done, EngineStream, HostSide, Memory, Stream, Transfer, pending};
use lmcache::error::ErrorKind;

use crate::cases::{bytes_of, memory_of};
use crate::cuda::{ENGINE, KERNEL, PATIENCE, options};
use crate::cuda_support::{Log, RETRIEVE, STORE, plan, registered, transfer};
use crate::fake::{self, Fake, Variant, fake};

#[test]
fn a_stream_keeps_its_order_and_nobody_waits() {
    fake::run_inside("cuda_streams::inside_order", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_order() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(KERNEL));
    let cache = device.allocate(8).unwrap();
    let plain = Arc::new(memory_of(b"abcdefgh"));
    for host in [registered(&device, b"abcdefgh") as Arc<dyn HostSide>, plain.clone() as Arc<dyn HostSide>] {
        fake.hold(1);
        let stream = device.open_stream().unwrap();
        let log = Log::default();
        let submit = |runs: &[(u64, u64, u64)], direction, name| {
            let (plan, host) = (plan(&cache, runs), Arc::clone(&host));
            stream.submit(Transfer { plan, direction, host }, log.done(name));
        };
        submit(&[(0, 4, 4)], RETRIEVE, "first");
        submit(&[(7, 0, 2)], RETRIEVE, "too far on the device");
        submit(&[(0, 7, 2)], RETRIEVE, "too far on the host");
        let event = stream.record().unwrap();
        submit(&[(0, 0, 4)], STORE, "second");
        submit(&[], STORE, "nothing");
        assert!(log.names().is_empty() && !event.is_reached(), "nothing is told before it is due");
        let mut bytes = [0; 8];
        host.region().read(0, &mut bytes);
        assert_eq!(&bytes, b"abcdefgh");
        fake.hold(0);
        let expected = [
            "first ok",
            "too far on the device InvalidArgument",
            "too far on the host InvalidArgument",
            "second ok",
            "nothing ok",
        ];
        assert_eq!(log.wait(5), expected);
        assert!(event.is_reached());
        host.region().read(0, &mut bytes);
        assert_eq!(&bytes, b"efghefgh");
    }
    drop((cache, device));
    fake.assert_clean("after an order");
}

#[test]
fn a_stream_waits_for_the_event_of_another() {
    fake::run_inside("cuda_streams::inside_events", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_events() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(ENGINE));
    let cache = device.allocate(1 << 20).unwrap();
    let (one, other) = (device.open_stream().unwrap(), device.open_stream().unwrap());
    let whole = plan(&cache, &[(0, 0, 1 << 20)]);
    fake.delay(300);
    for turn in 0..20_u8 {
        let (new, copy) =
            (registered(&device, &vec![turn; 1 << 20]), registered(&device, &vec![99; 1 << 20]));
        let ((done, written), (done_too, read)) = (pending(), pending());
        one.submit(transfer(&whole, RETRIEVE, &new), done);
        let event = one.record().unwrap();
        other.wait_for(&event).unwrap();
        other.submit(transfer(&whole, STORE, &copy), done_too);
        read.wait(PATIENCE).unwrap().unwrap();
        assert!(bytes_of(&*copy).iter().all(|byte| *byte == turn));
        written.wait(PATIENCE).unwrap().unwrap();
        // The next turn begins when the bytes were read.
        one.wait_for(&other.record().unwrap()).unwrap();
    }
    let second = lmcache::device::cuda::CudaDevice::open(1).unwrap();
    let event = one.record().unwrap();
    let error = second.open_stream().unwrap().wait_for(&event).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    drop((one, other, cache, second, device, event));
    fake.assert_clean("after events");
}

#[test]
fn stores_wait_for_the_engines_stream_and_it_waits_for_retrieves() {
    fake::run_inside("cuda_streams::inside_engine", Variant::Plain);
}

/// An engine with a context, a stream and locked memory of its own.
struct Engine<'a> {
    fake: &'a Fake,
    stream: *mut c_void,
    memory: *mut c_void,
}

const PAGE_BYTES: usize = 1 << 16;

impl<'a> Engine<'a> {
    fn new(fake: &'a Fake) -> Self {
        lmcache::device::cuda::probe().expect("the fake driver");
        let (mut context, mut stream, mut memory) =
            (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        assert_eq!(fake.retain(&raw mut context, 0), 0);
        assert_eq!(fake.push(context), 0);
        assert_eq!(fake.create_stream(&raw mut stream, 1), 0);
        assert_eq!(fake.allocate_host(&raw mut memory, PAGE_BYTES, 0), 0);
        Self { fake, stream, memory }
    }

    fn fill(&self, byte: u8) {
        // SAFETY: memory of the engine's, of which nothing is under way.
        unsafe { std::ptr::write_bytes(self.memory.cast::<u8>(), byte, PAGE_BYTES) };
    }

    fn is_all(&self, byte: u8) -> bool {
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(self.memory.cast::<u8>(), PAGE_BYTES) };
        bytes.iter().all(|other| *other == byte)
    }

    fn close(self) {
        assert_eq!(self.fake.synchronize(self.stream), 0);
        assert_eq!(self.fake.destroy_stream(self.stream), 0);
        assert_eq!(self.fake.free_host(self.memory), 0);
        let mut popped = std::ptr::null_mut();
        assert_eq!(self.fake.pop(&raw mut popped), 0);
        assert_eq!(self.fake.release(0), 0);
    }
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_engine() {
    let Some(fake) = fake() else { return };
    let engine = Engine::new(&fake);
    let device = fake.device(options(KERNEL));
    let mut address = 0;
    assert_eq!(fake.allocate(&raw mut address, PAGE_BYTES), 0);
    // SAFETY: it is freed below, after all that uses it.
    let page = unsafe { device.adopt(address, PAGE_BYTES as u64) }.unwrap();
    // SAFETY: it is destroyed below, after all that uses it.
    let raw = unsafe { EngineStream::from_raw(engine.stream as usize) };
    let stream = device.open_stream().unwrap();
    let host = registered(&device, &vec![0; PAGE_BYTES]);
    let whole = plan(&page, &[(0, 0, PAGE_BYTES as u64)]);
    for turn in 1..20_u8 {
        // The engine writes a page, late. The store that comes after it sees it.
        engine.fill(turn);
        fake.delay(500);
        assert_eq!(fake.to_device(address, engine.memory, PAGE_BYTES, engine.stream), 0);
        stream.wait_for_engine(raw).unwrap();
        let (done, stored) = pending();
        stream.submit(transfer(&whole, STORE, &host), done);
        stored.wait(PATIENCE).unwrap().unwrap();
        assert!(bytes_of(&*host).iter().all(|byte| *byte == turn));
        // The retrieve of another page, late. What the engine does after it sees it.
        host.write(0, &vec![turn + 100; PAGE_BYTES]).unwrap();
        let (done, retrieved) = pending();
        stream.submit(transfer(&whole, RETRIEVE, &host), done);
        stream.let_engine_wait(raw).unwrap();
        assert_eq!(fake.to_host(engine.memory, address, PAGE_BYTES, engine.stream), 0);
        assert_eq!(fake.synchronize(engine.stream), 0);
        assert!(engine.is_all(turn + 100));
        retrieved.wait(PATIENCE).unwrap().unwrap();
    }
    // The default stream is one too.
    // SAFETY: it exists as long as the context does.
    stream.wait_for_engine(unsafe { EngineStream::from_raw(0) }).unwrap();
    drop((stream, page, host, device));
    assert_eq!(fake.free(address), 0);
    engine.close();
    fake.assert_clean("after an engine");
}

/// Who waits for a stream that is captured becomes a part of the engine's graph, and does nothing any more.
#[test]
fn an_engines_stream_that_is_captured_is_refused_and_ours_goes_on() {
    fake::run_inside("cuda_streams::inside_captured", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_captured() {
    let Some(fake) = fake() else { return };
    let engine = Engine::new(&fake);
    let device = fake.device(options(ENGINE));
    let cache = device.allocate(8).unwrap();
    let host = registered(&device, b"abcdefgh");
    let stream = device.open_stream().unwrap();
    // Under way, done so that it failed, and the default stream.
    for (handle, capture) in [(engine.stream, 1), (engine.stream, 2), (std::ptr::null_mut(), 1)] {
        // SAFETY: it is destroyed below, after all that uses it.
        let raw = unsafe { EngineStream::from_raw(handle as usize) };
        fake.capture_stream(handle, capture);
        for error in [stream.wait_for_engine(raw).unwrap_err(), stream.let_engine_wait(raw).unwrap_err()] {
            assert!(error.hint().is_some_and(|hint| hint.contains("end the capture first")), "{error}");
        }
        fake.capture_stream(handle, 0);
        let (done, stored) = pending();
        stream.wait_for_engine(raw).unwrap();
        stream.submit(transfer(&plan(&cache, &[(0, 0, 8)]), STORE, &host), done);
        stream.let_engine_wait(raw).unwrap();
        stored.wait(PATIENCE).expect("it is told").unwrap();
    }
    assert!(device.lost().is_none());
    drop((stream, cache, host, device));
    engine.close();
    fake.assert_clean("after captures");
}

#[test]
fn many_threads_on_many_streams_break_no_order() {
    fake::run_inside("cuda_streams::inside_threads", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_threads() {
    const THREADS: u64 = 4;
    const TRANSFERS: u64 = 150;
    let Some(fake) = fake() else { return };
    let device = fake.device(options(KERNEL));
    let cache = device.allocate(THREADS * 8).unwrap();
    let told = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (device, cache, told) = (&device, &cache, &told);
            scope.spawn(move || {
                let bytes = vec![0; (TRANSFERS as usize + 1) * 8];
                // Of two of the threads, the driver does not know the memory.
                let host: Arc<dyn HostSide> =
                    if thread % 2 == 0 { registered(device, &bytes) } else { Arc::new(memory_of(&bytes)) };
                let stream = device.open_stream().unwrap();
                let last = Arc::new(AtomicU64::new(0));
                for number in 1..=TRANSFERS {
                    host.region().write(number as usize * 8, &number.to_le_bytes());
                    let (last, told) = (Arc::clone(&last), Arc::clone(told));
                    let done = Done::new(move |outcome| {
                        outcome.unwrap();
                        assert_eq!(last.swap(number, Ordering::SeqCst), number - 1);
                        told.fetch_add(1, Ordering::SeqCst);
                    });
                    let plan = plan(cache, &[(thread * 8, number * 8, 8)]);
                    stream.submit(Transfer { plan, direction: RETRIEVE, host: Arc::clone(&host) }, done);
                }
                let (done, pending) = pending();
                let plan = plan(cache, &[(thread * 8, 0, 8)]);
                stream.submit(Transfer { plan, direction: STORE, host: Arc::clone(&host) }, done);
                pending.wait(PATIENCE).expect("it is told").unwrap();
                let mut number = [0; 8];
                host.region().read(0, &mut number);
                assert_eq!(u64::from_le_bytes(number), TRANSFERS);
            });
        }
    });
    assert_eq!(told.load(Ordering::SeqCst), THREADS * TRANSFERS);
    drop((cache, device));
    fake.assert_clean("after threads");
}

#[test]
fn a_stream_and_a_device_hold_as_much_as_they_say() {
    fake::run_inside("cuda_streams::inside_limits", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_limits() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(KERNEL));
    let (cache, host) = (device.allocate(8).unwrap(), Arc::new(memory_of(b"........")));
    let mut streams: Vec<Box<dyn Stream>> = (0..MAX_STREAMS).map(|_| device.open_stream().unwrap()).collect();
    assert_eq!(device.open_stream().unwrap_err().kind(), ErrorKind::InvalidArgument);
    fake.hold(1);
    let (log, nothing) = (Log::default(), plan(&cache, &[]));
    let full = streams.pop().unwrap();
    (0..MAX_QUEUED).for_each(|_| full.submit(transfer(&nothing, STORE, &host), log.done("taken")));
    assert!(log.names().is_empty());
    full.submit(transfer(&nothing, STORE, &host), log.done("refused"));
    assert_eq!(log.names(), ["refused OutOfMemory"]);
    assert_eq!(full.record().unwrap_err().kind(), ErrorKind::OutOfMemory);
    // Its work goes on when a stream is dropped, and its place is free then.
    drop(full);
    fake.hold(0);
    assert_eq!(log.wait(MAX_QUEUED + 1)[1..], vec!["taken ok"; MAX_QUEUED]);
    let deadline_ns = lmcache::clock::monotonic_ns() + PATIENCE.as_nanos() as u64;
    let again = loop {
        match device.open_stream() {
            Ok(stream) => break stream,
            Err(error) => assert!(lmcache::clock::monotonic_ns() < deadline_ns, "{error}"),
        }
    };
    drop((again, streams, cache, device));
    fake.assert_clean("after limits");
}

#[test]
fn a_device_that_goes_ends_what_is_under_way() {
    fake::run_inside("cuda_streams::inside_close", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_close() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(KERNEL));
    let (cache, host) = (device.allocate(8).unwrap(), Arc::new(memory_of(b"abcdefgh")));
    cache.write(0, b"12345678").unwrap();
    let stream = device.open_stream().unwrap();
    let log = Log::default();
    let whole = plan(&cache, &[(0, 0, 8)]);
    fake.delay(2_000);
    (0..5).for_each(|_| stream.submit(transfer(&whole, STORE, &host), log.done("under way")));
    let event = stream.record().unwrap();
    drop(device);
    assert_eq!(log.names(), vec!["under way ok"; 5]);
    assert!(event.is_reached() && bytes_of(&*host) == b"12345678" && Arc::strong_count(&host) == 1);
    stream.submit(transfer(&whole, STORE, &host), log.done("later"));
    assert_eq!(log.names()[5..], ["later Closed"]);
    assert_eq!(stream.record().unwrap_err().kind(), ErrorKind::Closed);
    drop((stream, cache, event));
    fake.assert_clean("after a close");
}

#[test]
fn a_completion_may_panic_submit_more_and_drop_the_device() {
    fake::run_inside("cuda_streams::inside_completions", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_completions() {
    let Some(fake) = fake() else { return };
    let device = fake.device(CudaOptions::default());
    let (cache, host) = (device.allocate(8).unwrap(), Arc::new(memory_of(b"abcdefgh")));
    let stream: Arc<dyn Stream> = Arc::from(device.open_stream().unwrap());
    let (whole, nothing) = (plan(&cache, &[(0, 0, 8)]), plan(&cache, &[]));
    stream.submit(transfer(&nothing, STORE, &host), Done::new(|_| panic!("this panic is part of the test")));
    let (done, pending) = pending();
    let (of_done, again, last) = (Arc::clone(&host), Arc::clone(&stream), Arc::clone(&device));
    fake.hold(1);
    stream.submit(
        transfer(&nothing, STORE, &host),
        Done::new(move |_| {
            again.submit(transfer(&whole, STORE, &of_done), done);
            drop(last);
        }),
    );
    drop(device);
    fake.hold(0);
    assert_eq!(pending.wait(PATIENCE).expect("it is told").unwrap().bytes, 8);
    drop((stream, cache));
    // The thread of the device ends by itself.
    fake.assert_clean_soon("after completions");
}

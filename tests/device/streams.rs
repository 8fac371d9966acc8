//! Order, completion and failure on the reference device.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lmcache::device::host::{MAX_QUEUED, MAX_STREAMS, STEP_BYTES, STEP_RUNS};
use lmcache::device::{
    Device, Direction, Done, HostDevice, HostMemory, HostMemoryOptions, HostSide, Memory, Plan, Run, Stream,
    Transfer, pending,
};
use lmcache::error::ErrorKind;
use lmcache::os::region::Region;

use crate::cases::{bytes_of, memory_of};

const PATIENCE: Duration = Duration::from_secs(60);

fn memory(len_bytes: u64) -> HostMemory {
    HostMemory::new(&HostMemoryOptions::new(len_bytes)).expect("memory")
}

fn plan(runs: &[(u64, u64, u64)]) -> Arc<Plan> {
    let mut plan = Plan::default();
    for (device_offset, host_offset, len_bytes) in runs {
        let run = Run { device_offset: *device_offset, host_offset: *host_offset, len_bytes: *len_bytes };
        plan.push(run).expect("a run");
    }
    Arc::new(plan)
}

fn store(plan: &Arc<Plan>, host: &Arc<HostMemory>) -> Transfer {
    Transfer { plan: Arc::clone(plan), direction: Direction::DeviceToHost, host: host.clone() }
}

fn retrieve(plan: &Arc<Plan>, host: &Arc<HostMemory>) -> Transfer {
    Transfer { direction: Direction::HostToDevice, ..store(plan, host) }
}

/// Notes names in the order in which their transfers are over.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn done(&self, name: &str) -> Done {
        let (log, name) = (self.clone(), name.to_owned());
        Done::new(move |outcome| {
            let how = outcome.map_or_else(|error| format!("{:?}", error.kind()), |_| "ok".to_owned());
            log.0.lock().expect("no panic").push(format!("{name} {how}"));
        })
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

#[test]
fn a_stream_keeps_its_order_and_a_stop_in_it_too() {
    let (device, host) = (HostDevice::new(memory(8)), Arc::new(memory_of(b"abcdefgh")));
    let stream = device.open_stream().unwrap();
    let log = Log::default();
    stream.submit(retrieve(&plan(&[(0, 4, 4)]), &host), log.done("first"));
    stream.submit(retrieve(&plan(&[(7, 0, 2)]), &host), log.done("too far on the device"));
    stream.submit(retrieve(&plan(&[(0, 7, 2)]), &host), log.done("too far on the host"));
    stream.submit(store(&plan(&[(0, 0, 4)]), &host), log.done("second"));
    assert!(log.names().is_empty(), "nothing is told before it is due");
    while device.pump() {}
    let expected = [
        "first ok",
        "too far on the device InvalidArgument",
        "too far on the host InvalidArgument",
        "second ok",
    ];
    assert_eq!(log.names(), expected);
    assert_eq!(bytes_of(&*host), b"efghefgh");
}

/// Memory that belongs to somebody else: a part of a region, which a plan must keep to.
#[derive(Debug)]
struct Lent {
    region: Region,
    len_bytes: u64,
}

impl HostSide for Lent {
    fn region(&self) -> &Region {
        &self.region
    }

    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }
}

#[test]
fn memory_of_somebody_else_is_read_and_written_up_to_the_length_that_it_says() {
    let device = HostDevice::new(memory_of(b"from the device."));
    let stream = device.open_stream().unwrap();
    let lent = Arc::new(Lent { region: Region::anonymous(4_096, 1).unwrap(), len_bytes: 20 });
    let log = Log::default();
    let transfer = |runs: &[_], direction| Transfer { plan: plan(runs), direction, host: lent.clone() };
    stream.submit(transfer(&[(9, 14, 6)], Direction::DeviceToHost), log.done("to its end"));
    stream.submit(transfer(&[(9, 15, 6)], Direction::DeviceToHost), log.done("past its end"));
    stream.submit(transfer(&[(0, 13, 7)], Direction::HostToDevice), log.done("back"));
    assert_eq!(Arc::strong_count(&lent), 3, "what is queued holds it, and what was refused does not");
    while device.pump() {}
    assert_eq!(log.names(), ["to its end ok", "past its end InvalidArgument", "back ok"]);
    let mut out = [0; 8];
    lent.region.read(13, &mut out);
    assert_eq!((&out, &bytes_of(device.memory())[..7]), (b"\0device\0", &b"\0device"[..]));
    assert_eq!(Arc::strong_count(&lent), 1);
    assert!(!lent.is_registered());
}

#[test]
fn a_plan_ends_with_the_memory_and_nothing_to_move_is_moved_at_once() {
    let (device, host) = (HostDevice::new(memory(8)), Arc::new(memory(8)));
    let stream = device.open_stream().unwrap();
    for (runs, bytes) in [(&[(0, 0, 8)][..], 8), (&[], 0)] {
        let (done, pending) = pending();
        stream.submit(store(&plan(runs), &host), done);
        assert!(device.pump() && !device.pump());
        assert_eq!(pending.poll().unwrap().unwrap().bytes, bytes);
    }
}

#[test]
fn streams_take_turns_by_bytes_and_by_runs() {
    let large = plan(&[(0, 0, 3 * STEP_BYTES)]);
    let scattered: Vec<_> = (0..3 * STEP_RUNS as u64).map(|i| (i * 2, i * 2, 1)).collect();
    for (large, steps) in [(large, 3), (plan(&scattered), 3)] {
        let (device, host) = (HostDevice::new(memory(3 * STEP_BYTES)), Arc::new(memory(3 * STEP_BYTES)));
        let (one, other) = (device.open_stream().unwrap(), device.open_stream().unwrap());
        let log = Log::default();
        one.submit(store(&large, &host), log.done("large"));
        other.submit(store(&plan(&[(0, 0, 1)]), &host), log.done("small"));
        other.submit(store(&plan(&[(0, 0, 1)]), &host), log.done("small"));
        let count = std::iter::from_fn(|| device.pump().then_some(())).count();
        assert_eq!(
            (log.names(), count),
            (["small ok", "small ok", "large ok"].map(String::from).to_vec(), steps + 2)
        );
    }
}

#[test]
fn a_stream_waits_for_the_event_of_another() {
    let (device, host) = (HostDevice::new(memory(4)), Arc::new(memory_of(b"new.")));
    let (engine, ours) = (device.open_stream().unwrap(), device.open_stream().unwrap());
    let log = Log::default();
    engine.submit(retrieve(&plan(&[(0, 0, 4)]), &host), log.done("engine"));
    let event = engine.record().unwrap();
    ours.wait_for(&event).unwrap();
    let copy = Arc::new(memory(4));
    ours.submit(store(&plan(&[(0, 0, 4)]), &copy), log.done("ours"));
    // The engine's first: whatever stream has its turn, ours has to wait.
    assert!(device.pump() && !event.is_reached());
    while device.pump() {}
    assert!(event.is_reached());
    assert_eq!(
        (log.names(), bytes_of(&*copy)),
        (vec!["engine ok".to_owned(), "ours ok".to_owned()], b"new.".to_vec())
    );
    let stranger = HostDevice::new(memory(1));
    assert_eq!(
        stranger.open_stream().unwrap().wait_for(&event).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn a_lost_device_tells_everybody_and_leaves_what_is_in_l1() {
    let (device, host) = (HostDevice::new(memory(8)), Arc::new(memory_of(b"as it was")));
    let (stream, other) = (device.open_stream().unwrap(), device.open_stream().unwrap());
    let log = Log::default();
    stream.submit(store(&plan(&[(0, 0, 8)]), &host), log.done("queued"));
    let event = stream.record().unwrap();
    other.wait_for(&event).unwrap();
    other.submit(store(&plan(&[(0, 0, 8)]), &host), log.done("waiting"));
    device.lose("it fell off the bus");
    assert_eq!(log.names(), ["queued Io", "waiting Io"]);
    assert!(event.is_reached() && !device.pump());
    stream.submit(store(&plan(&[(0, 0, 8)]), &host), log.done("later"));
    assert_eq!(log.names()[2..], ["later Io"]);
    let error = stream.record().unwrap_err();
    assert_eq!(error.to_string(), "the device is lost (reason it fell off the bus)");
    assert!(device.open_stream().is_err());
    assert_eq!(bytes_of(&*host), b"as it was");
    drop(device);
    stream.submit(store(&plan(&[]), &host), log.done("closed"));
    assert_eq!(log.names()[3..], ["closed Closed"]);
}

#[test]
fn a_transfer_under_way_fails_when_the_device_is_lost() {
    let (device, host) = (HostDevice::new(memory(2 * STEP_BYTES)), Arc::new(memory(2 * STEP_BYTES)));
    let stream = device.open_stream().unwrap();
    let log = Log::default();
    stream.submit(store(&plan(&[(0, 0, 2 * STEP_BYTES)]), &host), log.done("half"));
    assert!(device.pump());
    device.lose("");
    assert_eq!(log.names(), ["half Io"]);
}

#[test]
fn a_device_that_goes_tells_what_it_has_not_done() {
    let host = Arc::new(memory(8));
    let log = Log::default();
    let device = HostDevice::new(memory(8));
    let stream = device.open_stream().unwrap();
    stream.submit(store(&plan(&[(0, 0, 8)]), &host), log.done("queued"));
    drop(device);
    assert_eq!(log.names(), ["queued Closed"]);
    // The host's memory is given back with the transfer.
    assert_eq!(Arc::strong_count(&host), 1);
}

#[test]
fn a_stream_holds_as_much_work_as_it_says_and_one_more_is_refused_at_once() {
    let (device, host) = (HostDevice::new(memory(8)), Arc::new(memory(8)));
    let stream = device.open_stream().unwrap();
    let log = Log::default();
    (0..MAX_QUEUED).for_each(|_| stream.submit(store(&plan(&[]), &host), log.done("taken")));
    assert!(log.names().is_empty());
    stream.submit(store(&plan(&[]), &host), log.done("refused"));
    assert_eq!(log.names(), ["refused OutOfMemory"]);
    assert_eq!(stream.record().unwrap_err().kind(), ErrorKind::OutOfMemory);
    assert!(device.pump() && stream.record().is_ok());
}

#[test]
fn a_device_has_as_many_streams_as_it_says_and_places_come_back_when_their_work_is_done() {
    let (device, host) = (HostDevice::new(memory(8)), Arc::new(memory(8)));
    let mut streams: Vec<_> = (0..MAX_STREAMS).map(|_| device.open_stream().unwrap()).collect();
    assert!(device.open_stream().is_err());
    let log = Log::default();
    let dropped: Box<dyn Stream> = streams.pop().unwrap();
    dropped.submit(store(&plan(&[]), &host), log.done("goes on"));
    drop(dropped);
    assert!(device.open_stream().is_err(), "it has work left");
    assert!(device.pump());
    assert_eq!(log.names(), ["goes on ok"]);
    assert!(device.open_stream().is_ok());
}

#[test]
fn a_completion_may_panic_submit_more_and_drop_the_device() {
    let host = Arc::new(memory(8));
    let device = Arc::new(HostDevice::with_thread(memory(8)).unwrap());
    let stream: Arc<dyn Stream> = Arc::from(device.open_stream().unwrap());
    stream.submit(store(&plan(&[]), &host), Done::new(|_| panic!("this panic is part of the test")));
    let (done, pending) = pending();
    let (of_done, again, last) = (Arc::clone(&host), Arc::clone(&stream), Arc::clone(&device));
    stream.submit(
        store(&plan(&[]), &host),
        Done::new(move |_| {
            again.submit(store(&plan(&[(0, 0, 8)]), &of_done), done);
            drop(last);
        }),
    );
    drop(device);
    // Whether the second transfer was made before the device went is up to the threads; that it is told is not.
    let outcome = pending.wait(PATIENCE).expect("it is told");
    match outcome {
        Ok(moved) => assert_eq!(moved.bytes, 8),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
    }
}

/// Several threads submit to several streams of one device while others pump: each stream's own order holds, and every
/// completion comes once.
#[test]
fn threads_that_submit_and_pump_at_once_break_no_order() {
    const THREADS: u64 = 4;
    const TRANSFERS: u64 = 300;
    let device = HostDevice::with_thread(memory(THREADS * 8)).unwrap();
    let host = Arc::new(memory(THREADS * (TRANSFERS + 1) * 8));
    let told = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (device, host, told) = (&device, &host, &told);
            scope.spawn(move || {
                let stream = device.open_stream().unwrap();
                let last = Arc::new(AtomicU64::new(0));
                for number in 1..=TRANSFERS {
                    let at = (thread * (TRANSFERS + 1) + number) * 8;
                    host.write(at, &number.to_le_bytes()).unwrap();
                    let (last, told) = (Arc::clone(&last), Arc::clone(told));
                    let done = Done::new(move |outcome| {
                        outcome.unwrap();
                        assert_eq!(last.swap(number, Ordering::SeqCst), number - 1);
                        told.fetch_add(1, Ordering::SeqCst);
                    });
                    stream.submit(retrieve(&plan(&[(thread * 8, at, 8)]), host), done);
                    device.pump();
                }
                // What the stream did last is what the device has, and comes back behind it.
                let (done, pending) = pending();
                let back = thread * (TRANSFERS + 1) * 8;
                stream.submit(store(&plan(&[(thread * 8, back, 8)]), host), done);
                pending.wait(PATIENCE).expect("it is told").unwrap();
                let mut number = [0; 8];
                host.read(back, &mut number).unwrap();
                assert_eq!(u64::from_le_bytes(number), TRANSFERS);
            });
        }
    });
    assert_eq!(told.load(Ordering::SeqCst), THREADS * TRANSFERS);
}

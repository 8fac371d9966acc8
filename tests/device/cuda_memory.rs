//! Whose memory a CUDA device works on, on the fake driver: its own, an engine's, another process's, and the host's.
#![allow(unsafe_code, reason = "an engine's memory is raw")]

use std::ptr::NonNull;
use std::sync::Arc;

use lmcache::clock::monotonic_ns;
use lmcache::device::cuda::{CudaDevice, CudaOptions, IpcHandle, RegisteredMemory};
use lmcache::device::{
    Device, Direction, HostMemoryOptions, HostSide, Memory, MemoryKind, PageRegistrar, Plan,
    RegistrationKind, Run, Transfer, pending,
};
use lmcache::error::ErrorKind;
use lmcache::os::region::Region;

use crate::cases::{bytes_of, memory_of};
use crate::cuda::{KERNEL, PATIENCE, options};
use crate::fake::{self, Variant, fake};

#[test]
fn an_engines_memory_is_looked_at_before_it_is_taken() {
    fake::run_inside("cuda_memory::inside_adoption", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_adoption() {
    let Some(fake) = fake() else { return };
    let (device, second) = (fake.device(CudaOptions::default()), CudaDevice::open(1).unwrap());
    let (own, others) = (device.allocate(100).unwrap(), second.allocate(100).unwrap());
    let host = RegisteredMemory::new(&device, &HostMemoryOptions::new(100)).unwrap();
    let adopt = |address, len_bytes| {
        // SAFETY: nothing is submitted.
        unsafe { device.adopt(address, len_bytes) }
    };
    let tensor = adopt(own.address() + 10, 90).unwrap();
    assert_eq!(
        (tensor.address(), tensor.len_bytes(), tensor.kind()),
        (own.address() + 10, 90, MemoryKind::Device)
    );
    tensor.write(80, &[7; 10]).unwrap();
    let mut bytes = [0; 11];
    own.read(89, &mut bytes).unwrap();
    assert_eq!(bytes[1..], [7; 10]);
    assert!(tensor.read(80, &mut bytes).is_err() && tensor.write(u64::MAX, &bytes).is_err());
    let message = |address, len_bytes| adopt(address, len_bytes).unwrap_err().to_string();
    assert!(message(own.address() + 10, 91).starts_with("the driver does not know this memory"));
    assert!(message(16, 8).contains("address 0x10, bytes 8"), "{}", message(16, 8));
    assert!(message(others.address(), 8).starts_with("this is memory of another device"));
    let at_host = host.region().base().addr().get() as u64;
    assert!(message(at_host, 8).starts_with("this is memory of the host"));
    assert!(message(own.address(), 0).starts_with("a tensor has a byte or more"));
    assert!(message(u64::MAX, 2).starts_with("a tensor has a byte or more"));
    // What was not brought, or is no longer there, is not read.
    let stream = device.open_stream().unwrap();
    let store = |device_offset, len_bytes| {
        let mut plan = Plan::default();
        plan.push(Run { device_offset, host_offset: 0, len_bytes }).unwrap();
        let (done, pending) = pending();
        let host = Arc::new(memory_of(&[0; 100]));
        stream.submit(Transfer { plan: Arc::new(plan), direction: Direction::DeviceToHost, host }, done);
        pending.wait(PATIENCE).unwrap()
    };
    assert_eq!(store(own.address(), 100).unwrap().bytes, 100);
    for (at, len_bytes) in [(own.address() + 1, 100), (own.address() - 1, 2), (others.address(), 1), (0, 1)] {
        let error = store(at, len_bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().starts_with("these bytes are in no memory"), "{error}");
    }
    let address = own.address();
    drop((own, tensor));
    assert!(store(address, 1).is_err());
    assert!(device.memory().read(address, &mut bytes).is_err());
    assert_eq!((device.memory().len_bytes(), device.memory().kind()), (u64::MAX, MemoryKind::Device));
    assert!(device.allocate(0).is_err());
    assert_eq!(device.allocate(1 << 40).unwrap_err().kind(), ErrorKind::OutOfMemory);
    drop((stream, others, host, device, second));
    fake.assert_clean("after adoptions");
}

#[test]
fn memory_that_is_in_use_stays_until_its_transfers_are_over() {
    fake::run_inside("cuda_memory::inside_use", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_use() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(KERNEL));
    let cache = device.allocate(8).unwrap();
    cache.write(0, b"12345678").unwrap();
    let host = Arc::new(memory_of(b"abcdefgh"));
    let stream = device.open_stream().unwrap();
    let mut plan = Plan::default();
    plan.push(Run { device_offset: cache.address(), host_offset: 0, len_bytes: 8 }).unwrap();
    fake.hold(1);
    let (done, pending) = pending();
    let transfer = Transfer { plan: Arc::new(plan), direction: Direction::DeviceToHost, host: host.clone() };
    stream.submit(transfer.clone(), done);
    drop((cache, stream));
    fake.hold(0);
    pending.wait(PATIENCE).unwrap().unwrap();
    assert_eq!(bytes_of(&*host), b"12345678");
    drop(device);
    fake.assert_clean("after a use");
}

#[test]
fn pages_are_registered_once_and_until_they_are_let_go() {
    fake::run_inside("cuda_memory::inside_registration", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_registration() {
    let Some(fake) = fake() else { return };
    let device = fake.device(CudaOptions::default());
    assert_eq!(device.kind(), RegistrationKind::Registered);
    let region = Region::anonymous(4 * 4_096, 1).unwrap();
    let at = |offset: usize| NonNull::new(region.base().as_ptr().wrapping_add(offset)).unwrap();
    let first = device.register(at(0), 8_192).unwrap();
    for (offset, len_bytes) in [(0, 1), (4_096, 8_192), (8_191, 1)] {
        let error = device.register(at(offset), len_bytes).unwrap_err();
        assert!(error.to_string().contains("712 host memory already registered"), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert!(device.register(at(0), 0).is_err());
    let second = device.register(at(8_192), 8_192).unwrap();
    drop(first);
    let first = device.register(at(0), 8_192).unwrap();
    // It may outlive the device, and is let go by any thread.
    drop(device);
    std::thread::spawn(move || drop((first, second))).join().unwrap();
    fake.assert_clean("after registrations");
}

#[test]
fn pages_that_the_device_has_another_address_for_go_through_a_buffer() {
    fake::run_inside("cuda_memory::inside_other_addresses", Variant::Plain);
}

/// Memory that says that it is registered, and is not: a kernel would cost the process its device.
#[derive(Debug)]
struct Liar(lmcache::device::HostMemory);

impl HostSide for Liar {
    fn region(&self) -> &Region {
        self.0.region()
    }

    fn len_bytes(&self) -> u64 {
        HostSide::len_bytes(&self.0)
    }

    fn is_registered(&self) -> bool {
        true
    }
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_other_addresses() {
    let Some(fake) = fake() else { return };
    for can in [0, 1] {
        fake.can_use_host_pointer(can);
        let device = fake.device(options(KERNEL));
        let cache = device.allocate(8).unwrap();
        cache.write(0, b"12345678").unwrap();
        let known = Arc::new(RegisteredMemory::new(&device, &HostMemoryOptions::new(8)).unwrap());
        let liar = Arc::new(Liar(memory_of(b"abcdefgh")));
        let stream = device.open_stream().unwrap();
        let mut plan = Plan::default();
        plan.push(Run { device_offset: cache.address(), host_offset: 0, len_bytes: 8 }).unwrap();
        let plan = Arc::new(plan);
        for host in [known.clone() as Arc<dyn HostSide>, liar.clone() as Arc<dyn HostSide>] {
            let is_known = known.region().base() == host.region().base();
            let calls = fake.calls("cuLaunchHostFunc");
            let (done, pending) = pending();
            let transfer = Transfer { plan: Arc::clone(&plan), direction: Direction::DeviceToHost, host };
            stream.submit(transfer, done);
            pending.wait(PATIENCE).unwrap().unwrap();
            // One for the bell, and one more for the piece that passes through the buffer.
            let expected = if can == 1 && is_known { 1 } else { 2 };
            assert_eq!(fake.calls("cuLaunchHostFunc") - calls, expected, "{can}");
        }
        assert_eq!((bytes_of(&*known), bytes_of(&liar.0)), (b"12345678".to_vec(), b"12345678".to_vec()));
        drop((stream, cache, known, device));
        fake.assert_clean("after other addresses");
        fake.reset();
    }
}

#[test]
fn a_callers_context_stays_his() {
    fake::run_inside("cuda_memory::inside_contexts", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_contexts() {
    let Some(fake) = fake() else { return };
    lmcache::device::cuda::probe().expect("the fake driver");
    let (mut own, mut popped) = (std::ptr::null_mut(), std::ptr::null_mut());
    assert_eq!((fake.retain(&raw mut own, 1), fake.push(own)), (0, 0));
    let device = fake.device(CudaOptions::default());
    let stream = device.open_stream().unwrap();
    drop((device.allocate(1).unwrap(), stream, device.allocate(1 << 40).is_err(), device));
    assert_eq!((fake.pop(&raw mut popped), popped), (0, own));
    assert_ne!(fake.pop(&raw mut popped), 0, "it was the only one");
    fake.release(1);
}

#[test]
fn a_graph_that_the_engine_captures_is_not_disturbed() {
    fake::run_inside("cuda_memory::inside_capture", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_capture() {
    let Some(fake) = fake() else { return };
    let device = fake.device(options(KERNEL));
    fake.capture(1);
    let cache = device.allocate(8).unwrap();
    cache.write(0, b"12345678").unwrap();
    let hosts = [
        Arc::new(RegisteredMemory::new(&device, &HostMemoryOptions::new(8)).unwrap()) as Arc<dyn HostSide>,
        Arc::new(memory_of(b"abcdefgh")),
    ];
    let stream = device.open_stream().unwrap();
    for host in hosts {
        let mut plan = Plan::default();
        plan.push(Run { device_offset: cache.address(), host_offset: 0, len_bytes: 8 }).unwrap();
        let (done, pending) = pending();
        let transfer = Transfer { plan: Arc::new(plan), direction: Direction::DeviceToHost, host };
        stream.submit(transfer, done);
        stream.wait_for(&stream.record().unwrap()).unwrap();
        pending.wait(PATIENCE).unwrap().unwrap();
    }
    drop((stream, cache, device));
    fake.assert_clean("after a capture");
    // The thread has it with captures as it had.
    let mut mode = 0;
    assert_eq!((fake.exchange_capture_mode(&raw mut mode), mode), (0, 0));
}

#[test]
fn a_device_that_does_not_exist_is_told() {
    fake::run_inside("cuda_memory::inside_ordinals", Variant::Plain);
}

#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_ordinals() {
    let Some(fake) = fake() else { return };
    for ordinal in [2, u32::MAX] {
        let error = CudaDevice::open(ordinal).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("devices 2"), "{error}");
    }
    for bounce_bytes in [0, 1, 3 << 16, 32 << 10, 2 << 30] {
        assert!(CudaDevice::open_with(0, CudaOptions { bounce_bytes, ..CudaOptions::default() }).is_err());
    }
    let device = CudaDevice::open(1).unwrap();
    assert_eq!((device.name(), device.ordinal(), device.lost().is_none()), ("Fake device 1", 1, true));
    drop(device);
    fake.assert_clean("after ordinals");
}

const HANDLE: &str = "LMCACHE_FAKE_HANDLE";

#[test]
fn another_process_opens_memory_by_its_handle() {
    fake::run_inside("cuda_memory::inside_ipc", Variant::Plain);
}

/// The engine's process: it has the memory, and another process stores from it and retrieves into it.
#[test]
#[ignore = "runs in a child, on the fake driver"]
fn inside_ipc() {
    let Some(fake) = fake() else { return };
    let device = fake.device(CudaOptions::default());
    let cache = device.allocate(100_000).unwrap();
    let pattern: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    cache.write(0, &pattern).unwrap();
    let handle = cache.export_ipc().unwrap();
    // The allocation's, whichever part of it is meant.
    // SAFETY: the memory is there, and nothing is submitted.
    assert_eq!(unsafe { device.adopt(cache.address() + 5, 7) }.unwrap().export_ipc().unwrap(), handle);
    let error = device.open_ipc(&handle, 0, 10).unwrap_err();
    assert!(error.to_string().contains("code 201"), "{error}");
    let hex: String = handle.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut importer = fake::child(Variant::Plain).unwrap();
    importer.env(HANDLE, hex).args(["--ignored", "--exact", "cuda_memory::inside_ipc_importer"]);
    fake::check(&mut importer, 1);
    // The other process took the bytes from 1000 on, and put them to 50000.
    let mut expected = pattern.clone();
    expected.copy_within(1_000..5_000, 50_000);
    assert!(bytes_of(&cache) == expected);
    drop((cache, device));
    fake.assert_clean("after an export");
}

#[test]
#[ignore = "runs in a child of a child"]
fn inside_ipc_importer() {
    let Ok(hex) = std::env::var(HANDLE) else { return };
    let Some(fake) = fake() else { return };
    let bytes: Vec<u8> = (0..64).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    let handle = IpcHandle(bytes.try_into().unwrap());
    let device = fake.device(options(KERNEL));
    // Two tensors of one allocation: the handle is opened once, and closed with the second.
    let first = device.open_ipc(&handle, 1_000, 4_000).unwrap();
    let second = device.open_ipc(&handle, 50_000, 50_000).unwrap();
    assert_eq!(second.address() - first.address(), 49_000);
    assert_eq!(fake.calls("cuIpcOpenMemHandle_v2"), 1);
    for (offset, len_bytes) in [(100_000, 1), (99_999, 2), (u64::MAX, 1), (0, u64::MAX), (0, 0)] {
        assert!(device.open_ipc(&handle, offset, len_bytes).is_err(), "{offset} {len_bytes}");
    }
    assert!(
        device.open_ipc(&IpcHandle([0x41; 64]), 0, 1).unwrap_err().to_string().contains("another process")
    );
    let host = Arc::new(RegisteredMemory::new(&device, &HostMemoryOptions::new(4_000)).unwrap());
    let stream = device.open_stream().unwrap();
    let pass = |device_offset, direction| {
        let mut plan = Plan::default();
        plan.push(Run { device_offset, host_offset: 0, len_bytes: 4_000 }).unwrap();
        let (done, waiting) = pending();
        stream.submit(Transfer { plan: Arc::new(plan), direction, host: host.clone() }, done);
        waiting
    };
    pass(first.address(), Direction::DeviceToHost).wait(PATIENCE).unwrap().unwrap();
    fake.hold(1);
    let pending = pass(second.address(), Direction::HostToDevice);
    // The handle stays open for the transfer that is under way.
    drop((first, second));
    assert_eq!(fake.calls("cuIpcCloseMemHandle"), 0);
    fake.hold(0);
    pending.wait(PATIENCE).unwrap().unwrap();
    // Who waits is told first.
    let end_ns = monotonic_ns() + PATIENCE.as_nanos() as u64;
    while fake.calls("cuIpcCloseMemHandle") == 0 && monotonic_ns() < end_ns {
        std::thread::yield_now();
    }
    assert_eq!(fake.calls("cuIpcCloseMemHandle"), 1);
    drop(device.open_ipc(&handle, 0, 1).unwrap());
    assert_eq!((fake.calls("cuIpcOpenMemHandle_v2"), fake.calls("cuIpcCloseMemHandle")), (3, 2));
    drop((stream, host, device));
    fake.assert_clean("after an import");
}

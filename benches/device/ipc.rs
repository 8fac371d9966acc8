//! Two processes, one cache.

use std::process::Command;
use std::sync::Arc;

use lmcache::device::cuda::{CudaDevice, IpcHandle, RegisteredMemory};
use lmcache::device::{Device, Direction, HostMemoryOptions, HostSide, Memory, Plan, Run};

use crate::checks::{submit, wait};

const LEN: u64 = 1 << 20;

fn pattern(seed: u64) -> Vec<u8> {
    (0..LEN).map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 16) as u8).collect()
}

/// The engine's process: has the cache, and lets another one store from it and retrieve into it.
pub(crate) fn export(device: &CudaDevice) {
    let cache = device.allocate(LEN).expect("memory of the device");
    cache.write(0, &pattern(1)).expect("the cache");
    let handle = cache.export_ipc().expect("a handle");
    let hex: String = handle.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let program = std::env::current_exe().expect("this program");
    let status =
        Command::new(program).args(["ipc-importer", &hex]).status().expect("this program can be run");
    assert!(status.success(), "the other process: {status}");
    let mut found = vec![0; LEN as usize];
    cache.read(0, &mut found).expect("the cache");
    assert!(found == pattern(2), "what the other process wrote");
    println!("ipc: another process read the cache and wrote it: right");
}

/// The other process.
pub(crate) fn import(hex: &str) {
    let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("a handle in hex");
    let handle = IpcHandle(std::array::from_fn(byte));
    let device = CudaDevice::open(0).expect("the same device");
    let cache = device.open_ipc(&handle, 0, LEN).expect("the engine's memory");
    let host: Arc<dyn HostSide> =
        Arc::new(RegisteredMemory::new(&device, &HostMemoryOptions::new(LEN)).expect("registered memory"));
    let mut plan = Plan::default();
    plan.push(Run { device_offset: cache.address(), host_offset: 0, len_bytes: LEN }).expect("a run");
    let (plan, stream) = (Arc::new(plan), device.open_stream().expect("a stream"));
    wait(&submit(&*stream, &plan, Direction::DeviceToHost, &host));
    let mut found = vec![0; LEN as usize];
    host.region().read(0, &mut found);
    assert!(found == pattern(1), "what the engine wrote");
    host.region().write(0, &pattern(2));
    wait(&submit(&*stream, &plan, Direction::HostToDevice, &host));
}

//! What the tests of a CUDA device share.

use std::sync::{Arc, Mutex};

use lmcache::device::cuda::{CudaDevice, DeviceMemory, RegisteredMemory};
use lmcache::device::{Direction, Done, HostMemoryOptions, HostSide, Memory, Plan, Run, Transfer};

use crate::cuda::PATIENCE;

pub(crate) use Direction::{DeviceToHost as STORE, HostToDevice as RETRIEVE};

pub(crate) fn plan(cache: &DeviceMemory, runs: &[(u64, u64, u64)]) -> Arc<Plan> {
    let mut plan = Plan::default();
    for (at, host_offset, len_bytes) in runs {
        let run =
            Run { device_offset: cache.address() + at, host_offset: *host_offset, len_bytes: *len_bytes };
        plan.push(run).expect("a run");
    }
    Arc::new(plan)
}

pub(crate) fn transfer(
    plan: &Arc<Plan>,
    direction: Direction,
    host: &Arc<impl HostSide + 'static>,
) -> Transfer {
    Transfer { plan: Arc::clone(plan), direction, host: host.clone() }
}

/// Notes names in the order in which their transfers are over.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn done(&self, name: &str) -> Done {
        let (log, name) = (self.clone(), name.to_owned());
        Done::new(move |outcome| {
            let how = outcome.map_or_else(|error| format!("{:?}", error.kind()), |_| "ok".to_owned());
            log.0.lock().expect("no panic").push(format!("{name} {how}"));
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    /// The names, when there are as many.
    pub(crate) fn wait(&self, count: usize) -> Vec<String> {
        let deadline_ns = lmcache::clock::monotonic_ns() + PATIENCE.as_nanos() as u64;
        while self.names().len() < count {
            assert!(lmcache::clock::monotonic_ns() < deadline_ns, "{:?}", self.names());
            std::thread::yield_now();
        }
        self.names()
    }
}

pub(crate) fn registered(device: &CudaDevice, bytes: &[u8]) -> Arc<RegisteredMemory> {
    let host = RegisteredMemory::new(device, &HostMemoryOptions::new(bytes.len() as u64)).expect("memory");
    host.write(0, bytes).expect("as many bytes");
    Arc::new(host)
}

//! How transfers are done: many at once by io_uring, or one after the other by system calls that wait.

use std::io;

use crate::error::{Error, Result};
use crate::os::request::Request;
use crate::os::uring::Uring;
use crate::storage::config::l2::FsIoEngine;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};

/// Transfers that one ring has in the kernel at once. Each worker thread that is at it has a ring.
const QUEUE_DEPTH: u32 = super::MAX_OPEN_FILES as u32;

/// See the module.
#[derive(Debug)]
pub(super) struct Engine {
    /// Rings that nobody is using; `None` without io_uring.
    rings: Option<Mutex<Vec<Uring>>>,
    /// Whether everything goes by a ring, also what gains nothing by it.
    is_asked_for: bool,
    fallbacks: AtomicU64,
}

impl Engine {
    /// Asks the kernel once whether there is io_uring, unless it is not wanted.
    pub(super) fn open(choice: FsIoEngine) -> Result<Self> {
        let first = match choice {
            FsIoEngine::Posix => None,
            FsIoEngine::Auto => Uring::new(QUEUE_DEPTH).ok(),
            FsIoEngine::IoUring => Some(Uring::new(QUEUE_DEPTH).map_err(|error| {
                Error::io("this kernel does not let the process use io_uring", error).with_hint(
                    "look at kernel.io_uring_disabled and at the container's seccomp profile, or set io_engine to auto",
                )
            })?),
        };
        let is_asked_for = choice == FsIoEngine::IoUring;
        Ok(Self {
            is_asked_for,
            rings: first.map(|ring| Mutex::new(vec![ring])),
            fallbacks: AtomicU64::new(0),
        })
    }

    /// The name in configurations.
    pub(super) fn name(&self) -> &'static str {
        match self.rings {
            Some(_) => FsIoEngine::IoUring.name(),
            None => FsIoEngine::Posix.name(),
        }
    }

    /// Transfers that the kernel did not take by io_uring, and that were done without.
    pub(super) fn fallbacks(&self) -> u64 {
        // Relaxed, here and below: a counter that orders nothing.
        self.fallbacks.load(Ordering::Relaxed)
    }

    /// Does all requests; returns what each moved, in their order. `direct`: whether they go past the page cache.
    pub(super) fn run(&self, requests: &[Request<'_>], direct: bool) -> Vec<io::Result<usize>> {
        // What the page cache serves is a copy, which the kernel hands to threads of its own if it comes by a ring.
        let waits_for_disk = direct || requests.iter().any(Request::syncs);
        let mut results: Vec<Option<io::Result<usize>>> = match &self.rings {
            // A ring gains nothing for one.
            Some(rings) if requests.len() > 1 && (waits_for_disk || self.is_asked_for) => {
                self.run_on_ring(rings, requests)
            }
            _ => requests.iter().map(|_| None).collect(),
        };
        let missing = results.iter_mut().zip(requests).filter(|(result, _)| result.is_none());
        missing.for_each(|(result, request)| *result = Some(request.run()));
        results.into_iter().flatten().collect()
    }

    fn run_on_ring(
        &self,
        rings: &Mutex<Vec<Uring>>,
        requests: &[Request<'_>],
    ) -> Vec<Option<io::Result<usize>>> {
        let idle = lock(rings).pop();
        let ring = idle.map_or_else(|| Uring::new(QUEUE_DEPTH), Ok);
        let results = match ring {
            Ok(mut ring) => {
                let results = ring.run(requests);
                if !ring.is_broken() {
                    lock(rings).push(ring);
                }
                results
            }
            Err(_) => requests.iter().map(|_| None).collect(),
        };
        let left = results.iter().filter(|result| result.is_none()).count();
        self.fallbacks.fetch_add(left as u64, Ordering::Relaxed);
        results
    }
}

//! The thread that writes checkpoints.

use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::sync::{Arc, Condvar, Mutex, lock};

/// The shortest pause between two checkpoints, as in LMCache.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// How often a checkpoint is put off because the device is busy. LMCache puts it off for as long as that lasts.
const MAX_PUT_OFFS: u32 = 5;

#[derive(Debug, Default)]
struct Shared {
    is_stopping: Mutex<bool>,
    stopped: Condvar,
}

/// Writes a checkpoint from time to time, until it is stopped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// `write` writes a checkpoint; with false, only if the device is idle. It says whether it did.
    pub(super) fn start(write: impl Fn(bool) -> bool + Send + 'static, interval: Duration) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("l2-raw-block-checkpoint".to_owned())
            .spawn(move || its.run(write, interval.max(MIN_INTERVAL)))
            .map_err(|error| Error::io("cannot start the thread that writes checkpoints", error))?;
        Ok(Self { shared, thread })
    }

    pub(super) fn stop(self) {
        *lock(&self.shared.is_stopping) = true;
        self.shared.stopped.notify_all();
        // If it panicked, its message is on stderr, and the last checkpoint is written by whoever stops it.
        let _ = self.thread.join();
    }
}

impl Shared {
    fn run(&self, write: impl Fn(bool) -> bool, interval: Duration) {
        let mut put_offs = 0;
        loop {
            let guard = lock(&self.is_stopping);
            // Nothing panics while it holds this lock.
            let Ok((is_stopping, _)) = self.stopped.wait_timeout_while(guard, interval, |stops| !*stops)
            else {
                return;
            };
            if *is_stopping {
                return;
            }
            drop(is_stopping);
            // A failure is in the status, and the next round tries again.
            put_offs = if write(put_offs >= MAX_PUT_OFFS) { 0 } else { put_offs + 1 };
        }
    }
}

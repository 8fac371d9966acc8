//! io_uring: many reads and writes under way at once, from one thread.
//!
//! # Why no buffer is touched after its owner has let go of it
//!
//! [`Uring::run`] borrows its requests, and each of them its memory and its file. It does not return, nor unwind, while
//! the kernel has any of them: what it pushed is counted, what completed is subtracted, and [`Flight`] waits in its
//! destructor for the rest, however the call ends. A wait that fails (a signal, a kernel short of memory) is no reason
//! to leave: the kernel posts one completion for every entry that it took, so the wait is tried again. What it has not
//! taken is still in the queue, and a ring that is left with such entries is never entered again.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};

use super::request::{Direction, Request};

/// A ring, for one call at a time.
pub struct Uring {
    ring: IoUring,
    depth: usize,
    is_broken: bool,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring").field("depth", &self.depth).finish_non_exhaustive()
    }
}

/// A request that is not finished.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// So many bytes are moved.
    Moving(usize),
    /// All are, and the disk is asked to keep them.
    Syncing(usize),
}

impl Uring {
    /// A ring with at most `depth` requests in the kernel.
    ///
    /// # Errors
    /// If the kernel has no io_uring, does not let this process use it, or cannot read, write and sync by it.
    pub fn new(depth: u32) -> io::Result<Self> {
        let ring = IoUring::builder().dontfork().build(depth.max(1))?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self { ring, depth: depth.max(1) as usize, is_broken: false })
    }

    /// Whether it has to be thrown away.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Does all requests, and returns what each moved or why it failed, in their order. `None` for those that the
    /// kernel did not take; the ring [is broken](Self::is_broken) then.
    pub fn run(&mut self, requests: &[Request<'_>]) -> Vec<Option<io::Result<usize>>> {
        let mut results: Vec<Option<io::Result<usize>>> = requests.iter().map(|_| None).collect();
        if self.is_broken {
            return results;
        }
        let mut stages = vec![Stage::Moving(0); requests.len()];
        let mut ready: VecDeque<usize> = (0..requests.len()).collect();
        let mut flight = Flight { ring: &mut self.ring, in_flight: 0 };
        loop {
            while flight.in_flight < self.depth {
                let Some(number) = ready.pop_front() else { break };
                flight.push(&entry(&requests[number], stages[number]).user_data(number as u64));
            }
            if flight.in_flight == 0 {
                return results;
            }
            if flight.wait().is_err() && flight.in_kernel() == 0 {
                self.is_broken = true;
                return results;
            }
            flight.reap(|completion| {
                let number = completion.user_data() as usize;
                match advance(&requests[number], &mut stages[number], completion.result()) {
                    Some(result) => results[number] = Some(result),
                    None => ready.push_back(number),
                }
            });
        }
    }
}

/// What the kernel is asked for next.
fn entry(request: &Request<'_>, stage: Stage) -> squeue::Entry {
    let fd = types::Fd(request.file.as_raw_fd());
    let done = match stage {
        Stage::Moving(done) => done,
        Stage::Syncing(_) => return opcode::Fsync::new(fd).build(),
    };
    let (start, len, offset) = request.rest(done);
    // `rest` gives at most a gigabyte.
    let len = len as u32;
    match request.direction {
        Direction::Read => opcode::Read::new(fd, start, len).offset(offset).build(),
        Direction::Write { .. } => opcode::Write::new(fd, start, len).offset(offset).build(),
    }
}

/// Takes note of a completion. `None` if there is more to do.
fn advance(request: &Request<'_>, stage: &mut Stage, result: i32) -> Option<io::Result<usize>> {
    if result < 0 {
        let error = io::Error::from_raw_os_error(-result);
        let again = matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock);
        return (!again).then_some(Err(error));
    }
    let done = match *stage {
        Stage::Syncing(done) => return Some(Ok(done)),
        Stage::Moving(done) => done,
    };
    if result == 0 && !request.is_complete(done) {
        return Some(request.at_end(done));
    }
    let done = done + result as usize;
    if !request.is_complete(done) {
        *stage = Stage::Moving(done);
        return None;
    }
    if request.direction == (Direction::Write { syncs: true }) {
        *stage = Stage::Syncing(done);
        return None;
    }
    Some(Ok(done))
}

/// What is in the ring. See the head of this file.
struct Flight<'r> {
    ring: &'r mut IoUring,
    /// Entries that were pushed and have not completed.
    in_flight: usize,
}

impl Flight<'_> {
    /// Queues an entry. There is room: never more than the ring's depth are in flight.
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the entry's memory and file are borrowed by the caller of `run`, which does not end before the entry
        // has completed, or is known never to be taken.
        let pushed = unsafe { self.ring.submission().push(entry) };
        assert!(pushed.is_ok(), "a ring has room for as many entries as its depth");
        self.in_flight += 1;
    }

    /// Hands the kernel what is queued, and waits for a completion.
    fn wait(&mut self) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => {
                // The kernel has something of ours and is short of something else: let it work.
                std::thread::yield_now();
                Err(error)
            }
        }
    }

    /// Entries that the kernel has taken, and whose completion nobody has seen.
    fn in_kernel(&mut self) -> usize {
        let not_taken = self.ring.submission().len();
        self.in_flight.saturating_sub(not_taken)
    }

    /// Calls `take` for each entry that has completed.
    fn reap(&mut self, mut take: impl FnMut(cqueue::Entry)) {
        let in_flight = &mut self.in_flight;
        for completion in self.ring.completion() {
            *in_flight -= 1;
            take(completion);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        while self.in_kernel() > 0 {
            // Whatever it says: the completions are waited for.
            let _ = self.wait();
            self.reap(drop);
        }
    }
}

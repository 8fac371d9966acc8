//! The threads of an adapter, and work that is cut into pieces for them.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::os;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    busy: AtomicUsize,
    panics: AtomicU64,
}

/// A fixed number of threads that take jobs in the order in which they came.
pub struct WorkerPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    workers: usize,
}

impl fmt::Debug for WorkerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl WorkerPool {
    /// Starts `workers` threads, at least one, named after `name`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(name: &str, workers: usize) -> Result<Self> {
        let workers = workers.max(1);
        let pool = Self { shared: Arc::default(), threads: Mutex::default(), workers };
        for number in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new()
                .name(format!("l2-{name}-{number}"))
                .spawn(move || shared.run())
                .map_err(|error| Error::io("cannot start a worker thread of an L2 adapter", error))?;
            lock(&pool.threads).push(thread);
        }
        Ok(pool)
    }

    /// How many threads there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Jobs that wait for a thread.
    pub fn queued(&self) -> usize {
        lock(&self.shared.queue).jobs.len()
    }

    /// Jobs that threads are in.
    pub fn busy(&self) -> usize {
        // Relaxed, here and below: counters that order nothing.
        self.shared.busy.load(Ordering::Relaxed)
    }

    /// Jobs that panicked. Each is a defect of ours or of a plugin; its task counts as failed.
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Queues a job. After [`Self::close`] it is dropped.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        let mut queue = lock(&self.shared.queue);
        if queue.is_closed {
            drop(queue);
            return drop(job);
        }
        queue.jobs.push_back(Box::new(job));
        drop(queue);
        self.shared.filled.notify_one();
    }

    /// Cuts `items` into as many stretches as there are threads, has each worked through by one of them, and calls
    /// `finish` with all items and all results, on the thread that was last. `work` gives one result an item, in
    /// their order; where it panics, or gives another number, the results of its stretch are `None`.
    pub fn submit_tiled<T, R>(
        &self,
        items: Vec<T>,
        work: impl Fn(&[T]) -> Vec<R> + Send + Sync + 'static,
        finish: impl FnOnce(Vec<T>, Vec<Option<R>>) + Send + 'static,
    ) where
        T: Send + Sync + 'static,
        R: Send + 'static,
    {
        self.submit_in_tiles(self.workers, items, work, finish);
    }

    /// [`Self::submit_tiled`] in `most_tiles` stretches at most, which is at least 1.
    pub fn submit_in_tiles<T, R>(
        &self,
        most_tiles: usize,
        items: Vec<T>,
        work: impl Fn(&[T]) -> Vec<R> + Send + Sync + 'static,
        finish: impl FnOnce(Vec<T>, Vec<Option<R>>) + Send + 'static,
    ) where
        T: Send + Sync + 'static,
        R: Send + 'static,
    {
        if items.is_empty() {
            return finish(items, Vec::new());
        }
        let tile_len = items.len().div_ceil(most_tiles.max(1));
        let tiles = tiles(items, tile_len);
        let tiled = Arc::new(Tiled {
            done: Mutex::new(tiles.iter().map(|_| None).collect()),
            missing: AtomicUsize::new(tiles.len()),
            work,
            finish: Mutex::new(Some(finish)),
        });
        for (position, tile) in tiles.into_iter().enumerate() {
            let tiled = Arc::clone(&tiled);
            self.submit(move || tiled.run(position, tile));
        }
    }

    /// Drops the jobs that no thread has begun, and waits for those that one has. Closing twice does no harm.
    pub fn close(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.is_closed = true;
        let dropped = std::mem::take(&mut queue.jobs);
        drop(queue);
        // Outside the lock: dropping a job answers its task, and who hears of that may submit another.
        drop(dropped);
        self.shared.filled.notify_all();
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            // A worker can be the one that closes: it drops what held the adapter last. It ends by itself.
            if !os::thread::is_current(&thread) {
                // Panics of jobs were caught and counted; there is none left to pass on.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.close();
    }
}

fn tiles<T>(items: Vec<T>, tile_len: usize) -> Vec<Vec<T>> {
    let mut tiles = Vec::with_capacity(items.len().div_ceil(tile_len));
    let mut items = items.into_iter();
    loop {
        let tile: Vec<T> = items.by_ref().take(tile_len).collect();
        if tile.is_empty() {
            return tiles;
        }
        tiles.push(tile);
    }
}

impl Shared {
    fn run(&self) {
        while let Some(job) = self.next() {
            self.busy.fetch_add(1, Ordering::Relaxed);
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                self.panics.fetch_add(1, Ordering::Relaxed);
            }
            self.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.is_closed {
                return None;
            }
            // The lock is held for moves of boxes only; if that panicked, the thread ends.
            queue = self.filled.wait(queue).ok()?;
        }
    }
}

type Tile<T, R> = (Vec<T>, Vec<Option<R>>);

/// One piece of work in stretches. Dropped without its last stretch, it never calls `finish`: what `finish` holds is
/// dropped with it, and that answers the task.
struct Tiled<T, R, W, F> {
    done: Mutex<Vec<Option<Tile<T, R>>>>,
    missing: AtomicUsize,
    work: W,
    finish: Mutex<Option<F>>,
}

impl<T, R, W: Fn(&[T]) -> Vec<R>, F: FnOnce(Vec<T>, Vec<Option<R>>)> Tiled<T, R, W, F> {
    fn run(&self, position: usize, tile: Vec<T>) {
        let results = catch_unwind(AssertUnwindSafe(|| (self.work)(&tile))).ok();
        let results = results.filter(|results| results.len() == tile.len());
        let results = match results {
            Some(results) => results.into_iter().map(Some).collect(),
            None => tile.iter().map(|_| None).collect(),
        };
        lock(&self.done)[position] = Some((tile, results));
        // AcqRel: the thread that counts to zero sees what the others put down; the mutex would do as well.
        if self.missing.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let (mut items, mut all_results) = (Vec::new(), Vec::new());
        for (tile, results) in lock(&self.done).drain(..).flatten() {
            items.extend(tile);
            all_results.extend(results);
        }
        if let Some(finish) = lock(&self.finish).take() {
            finish(items, all_results);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiled(pool: &WorkerPool, items: Vec<u32>) -> Vec<Option<u32>> {
        let (send, receive) = crossbeam::channel::bounded(1);
        let work = |tile: &[u32]| {
            assert!(!tile.contains(&13), "an unlucky number");
            tile.iter().map(|item| item * 2).collect()
        };
        pool.submit_tiled(items, work, move |_, results| send.send(results).unwrap());
        receive.recv().unwrap()
    }

    #[test]
    fn results_come_in_order_and_a_panic_costs_its_stretch() {
        let pool = WorkerPool::start("test", 3).unwrap();
        let all: Vec<_> = (0..10).collect();
        assert_eq!(tiled(&pool, all), (0..10).map(|item| Some(item * 2)).collect::<Vec<_>>());
        assert_eq!(tiled(&pool, vec![13]), [None]);
        assert_eq!(tiled(&pool, vec![1, 13, 2]), [Some(2), None, Some(4)]);
        assert_eq!(tiled(&pool, vec![]), []);
    }

    #[test]
    fn a_closed_pool_drops_what_it_is_given() {
        let pool = WorkerPool::start("test", 1).unwrap();
        let witness = Arc::new(());
        pool.close();
        let held = Arc::clone(&witness);
        pool.submit(move || drop(held));
        assert_eq!(Arc::strong_count(&witness), 1);
        pool.close();
    }
}

//! What the adapters of L2 sustain, beside the same work done by hand in the same run.
//!
//! `fs`: objects of 1 MiB, sixteen to a task, each in a file of its own, in the build's folder. The raw loop does the same
//! system calls and nothing else, with as many threads as do it best. The contenders take turns; each figure is the
//! median of its runs, the first of which warms and does not count.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use lmcache::clock::monotonic_ns;
use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey};
use lmcache::os::file;
use lmcache::storage::Bitmap;
use lmcache::storage::config::l2::{FileChecksum, FsAdapterConfig, FsIoEngine};
use lmcache::storage::config::{AdapterKind, Compat, L2AdapterConfig};
use lmcache::storage::l2::factory::{AdapterContext, create};
use lmcache::storage::l2::{Completion, L2Adapter, LoadTask, StoreOutcome, StoreTask, Transfer};
use lmcache::storage::memory::{Arena, PinnedSpan, Span};

const OBJECT_BYTES: u64 = 1 << 20;
const QUEUE_DEPTH: usize = 16;
const RAW_THREADS: [usize; 3] = [1, 4, 16];

#[derive(Clone, Copy)]
struct Effort {
    runs: usize,
    objects: usize,
}

/// How files are written and read.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    durable: bool,
    direct: bool,
}

const WAYS: [Way; 3] = [
    Way { name: "page cache", durable: false, direct: false },
    Way { name: "fsync", durable: true, direct: false },
    Way { name: "O_DIRECT", durable: false, direct: true },
];

/// How an adapter is configured: its engine, and its threads.
type Setup = (FsIoEngine, usize);

const SETUPS: [Setup; 4] =
    [(FsIoEngine::Auto, 4), (FsIoEngine::IoUring, 4), (FsIoEngine::Posix, 4), (FsIoEngine::Posix, 16)];

/// Memory of the objects, every page of it touched.
struct Objects {
    arena: Arc<Arena>,
    count: usize,
}

impl Objects {
    fn new(count: usize) -> Self {
        let arena = Arc::new(Arena::new(count as u64 * OBJECT_BYTES, 4096).expect("memory"));
        let objects = Self { arena, count };
        for number in 0..count {
            let bytes = vec![number as u8 + 1; OBJECT_BYTES as usize];
            objects.buffer(number).write_from(0, &bytes).expect("it fits");
        }
        objects
    }

    fn buffer(&self, number: usize) -> PinnedSpan {
        let offset_bytes = number as u64 * OBJECT_BYTES;
        self.arena.pin(Span { offset_bytes, phy_size_bytes: OBJECT_BYTES, size_bytes: OBJECT_BYTES })
    }

    fn gigabytes_per_s(&self, work: impl FnOnce()) -> f64 {
        let begun_ns = monotonic_ns();
        work();
        (self.count as u64 * OBJECT_BYTES) as f64 / (monotonic_ns() - begun_ns) as f64
    }
}

/// The adapter under test, with keys for the objects.
struct Fs {
    adapter: Arc<dyn L2Adapter>,
    keys: Vec<ObjectKey>,
}

impl Fs {
    fn new(base: &Path, way: Way, (io_engine, num_workers): Setup, count: usize) -> Self {
        let config = FsAdapterConfig {
            base_path: base.to_owned(),
            relative_tmp_dir: None,
            read_ahead_bytes: None,
            use_odirect: way.direct,
            num_workers,
            max_capacity_bytes: None,
            checksum: FileChecksum::None,
            durable: way.durable,
            io_engine,
        };
        let context = AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4096 };
        let adapter = create(&L2AdapterConfig::new(AdapterKind::Fs(config)), &context).expect("an adapter");
        let scope = Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "").expect("a scope"));
        let key =
            |number: u32| ObjectKey::new(ChunkHash::new(&number.to_be_bytes().repeat(8)), Arc::clone(&scope));
        Self { adapter, keys: (0..count as u32).map(key).collect() }
    }

    /// Has the adapter store or load all objects. The next task waits while one is worked on, as with a busy manager.
    fn tasks(&self, objects: &Objects, is_store: bool) {
        let numbers: Vec<usize> = (0..objects.count).collect();
        let mut answers = std::collections::VecDeque::new();
        for batch in numbers.chunks(QUEUE_DEPTH) {
            answers.push_back(self.submit(objects, batch, is_store));
            if answers.len() > 2 {
                assert!(answers.pop_front().expect("three").recv().expect("an answer"), "all objects went");
            }
        }
        assert!(answers.iter().all(|answer| answer.recv().expect("an answer")), "all objects went");
    }

    fn submit(&self, objects: &Objects, batch: &[usize], is_store: bool) -> Receiver<bool> {
        let transfer = |number: &usize| Transfer::new(self.keys[*number].clone(), objects.buffer(*number));
        let transfers = batch.iter().map(transfer).collect();
        let (send, receive) = channel();
        if is_store {
            let done = Completion::new(move |outcome: Option<StoreOutcome>| {
                send.send(outcome.is_some_and(|outcome| outcome.is_success())).expect("we wait");
            });
            self.adapter.submit_store(StoreTask { objects: transfers, done });
        } else {
            let all = batch.len();
            let done = Completion::new(move |loaded: Option<Bitmap>| {
                send.send(loaded.is_some_and(|loaded| loaded.popcount() == all)).expect("we wait");
            });
            self.adapter.submit_load(LoadTask { objects: transfers, done });
        }
        receive
    }
}

/// The same by hand: `threads` threads that take the next object until there is none.
fn raw(base: &Path, objects: &Objects, threads: usize, work: impl Fn(&Path, &PinnedSpan) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= objects.count {
                        return;
                    }
                    work(&base.join(format!("raw-{number}")), &objects.buffer(number));
                }
            });
        }
    });
}

fn raw_write(base: &Path, objects: &Objects, way: Way, threads: usize) {
    raw(base, objects, threads, |path, buffer| {
        let file = file::create_new(path, way.direct).expect("a new file");
        buffer.pwrite_all(&file, 0).expect("written");
        if way.durable {
            file.sync_all().expect("kept");
        }
    });
    if way.durable {
        // As often as the adapter does: once a task.
        (0..objects.count.div_ceil(QUEUE_DEPTH))
            .for_each(|_| File::open(base).and_then(|f| f.sync_all()).expect("kept"));
    }
}

fn raw_read(base: &Path, objects: &Objects, way: Way, threads: usize) {
    raw(base, objects, threads, |path, buffer| {
        let file = file::open_to_read(path, way.direct).expect("a file");
        buffer.pread_exact(&file, 0).expect("read");
    });
}

/// One contender's throughputs.
struct Figures {
    name: String,
    writes: Vec<f64>,
    reads: Vec<f64>,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn contend(way: Way, effort: Effort) {
    let objects = Objects::new(effort.objects);
    let mut figures: Vec<Figures> = RAW_THREADS
        .map(|threads| format!("raw loop, {threads} threads"))
        .into_iter()
        .chain(SETUPS.map(|(engine, workers)| format!("fs adapter, {workers} workers, {}", engine.name())))
        .map(|name| Figures { name, writes: Vec::new(), reads: Vec::new() })
        .collect();
    for run in 0..=effort.runs {
        for (contender, figures) in figures.iter_mut().enumerate() {
            let base = folder();
            let (write, read) = match RAW_THREADS.get(contender) {
                Some(threads) => (
                    objects.gigabytes_per_s(|| raw_write(&base, &objects, way, *threads)),
                    objects.gigabytes_per_s(|| raw_read(&base, &objects, way, *threads)),
                ),
                None => {
                    let fs = Fs::new(&base, way, SETUPS[contender - RAW_THREADS.len()], objects.count);
                    let write = objects.gigabytes_per_s(|| fs.tasks(&objects, true));
                    let read = objects.gigabytes_per_s(|| fs.tasks(&objects, false));
                    fs.adapter.close();
                    (write, read)
                }
            };
            std::fs::remove_dir_all(&base).expect("removed");
            if run > 0 {
                figures.writes.push(write);
                figures.reads.push(read);
            }
        }
    }
    report(way, &mut figures);
}

fn report(way: Way, figures: &mut [Figures]) {
    let medians: Vec<_> =
        figures.iter_mut().map(|figure| (median(&mut figure.writes), median(&mut figure.reads))).collect();
    let raw = &medians[..RAW_THREADS.len()];
    let best = (raw.iter().map(|m| m.0).fold(0.0, f64::max), raw.iter().map(|m| m.1).fold(0.0, f64::max));
    println!("{:<40}{:>12}{:>8}{:>12}{:>8}", way.name, "write GB/s", "of raw", "read GB/s", "of raw");
    for (figure, (write, read)) in figures.iter().zip(&medians) {
        let of_raw = |value: &f64, best: f64| format!("{:.0} %", value / best * 100.0);
        println!(
            "  {:<38}{write:>12.2}{:>8}{read:>12.2}{:>8}",
            figure.name,
            of_raw(write, best.0),
            of_raw(read, best.1)
        );
    }
}

/// A new folder on the disk of the build.
fn folder() -> PathBuf {
    tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder").keep()
}

fn main() {
    let has = |flag: &str| std::env::args().any(|word| word == flag);
    let is_test = has("--test") || !has("--bench");
    let effort = if is_test { Effort { runs: 1, objects: 2 } } else { Effort { runs: 9, objects: 64 } };
    for way in WAYS {
        contend(way, effort);
    }
}

//! Power cuts: what is on the disk is what was synced, and of each sector that was written since, any version.

use std::cell::Cell;
use std::collections::BTreeMap;

use lmcache::format::native::pod::MIN_CHUNK_BYTES;
use lmcache::trace::native::NativeTrace;
use lmcache::trace::recover::verify;
use lmcache::trace::store::TraceStore;

use super::support::{CLOCK, Dice, Workload, live_writer, reading};

/// What a disk writes as a whole.
const SECTOR_BYTES: usize = 512;

/// A disk with a cache: `live` is what a reader sees, `durable` what a sync left.
#[derive(Debug)]
struct Disk {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Versions of each sector that was written since the last sync.
    pending: BTreeMap<usize, Vec<Vec<u8>>>,
    dice: Dice,
    /// Records that the last sync of the writer promised to keep.
    promised: Cell<usize>,
    images: Vec<Image>,
}

#[derive(Debug)]
struct Image {
    bytes: Vec<u8>,
    promised: usize,
}

impl Disk {
    fn new(seed: u64) -> Self {
        Self {
            live: Vec::new(),
            durable: Vec::new(),
            pending: BTreeMap::new(),
            dice: Dice(seed),
            promised: Cell::new(0),
            images: Vec::new(),
        }
    }

    /// Cuts the power, in one of the ways that it may be cut here.
    fn cut(&mut self) {
        let mut bytes = self.durable.clone();
        // Each cut has its own share of sectors that made it.
        let share = self.dice.below(5);
        for (sector, versions) in &self.pending {
            if self.dice.below(4) < share {
                let version = &versions[self.dice.below(versions.len() as u64) as usize];
                let start = sector * SECTOR_BYTES;
                bytes.resize(bytes.len().max(start + version.len()), 0);
                bytes[start..start + version.len()].copy_from_slice(version);
            }
        }
        self.images.push(Image { bytes, promised: self.promised.get() });
    }

    fn maybe_cut(&mut self) {
        while self.dice.below(3) == 0 {
            self.cut();
        }
    }
}

impl TraceStore for Disk {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        self.live.resize(self.live.len().max(end), 0);
        self.live[start..end].copy_from_slice(bytes);
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let sector_end = ((sector + 1) * SECTOR_BYTES).min(self.live.len());
            let version = self.live[sector * SECTOR_BYTES..sector_end].to_vec();
            self.pending.entry(sector).or_default().push(version);
        }
        self.maybe_cut();
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.cut();
        self.durable.clone_from(&self.live);
        self.pending.clear();
        self.maybe_cut();
        Ok(())
    }

    fn truncate(&mut self, file_bytes: u64) -> std::io::Result<()> {
        self.live.resize(file_bytes as usize, 0);
        Ok(())
    }
}

/// Records, commits, syncs and new chunks at random, and a clean end. Returns the disk, with what it promised.
fn record(seed: u64) -> Disk {
    let mut writer = live_writer(Disk::new(!seed), MIN_CHUNK_BYTES);
    // Now and then a record is longer than a chunk.
    let most_keys = if seed.is_multiple_of(5) { 3_000 } else { 1 + seed * 7 % 150 };
    let mut workload = Workload::new(seed, most_keys);
    for _ in 0..70 {
        match workload.dice.below(20) {
            0..=2 => writer.commit(CLOCK).expect("memory does not fail"),
            3..=5 => {
                writer.sync(CLOCK).expect("memory does not fail");
                writer.store().promised.set(workload.records);
            }
            6 if workload.records > 0 => writer.next_chunk(CLOCK).expect("memory does not fail"),
            _ => workload.push(&mut writer),
        }
    }
    let (_, disk) = writer.finish(CLOCK, None).expect("memory does not fail");
    disk
}

/// The image holds all that was promised, and of each chunk a beginning.
fn check(image: &Image, written: &[(u64, String)], what: &str) {
    let Ok(trace) = NativeTrace::from_bytes("image", &image.bytes) else {
        assert_eq!(image.promised, 0, "{what}: the header is gone");
        return;
    };
    let read = reading(&trace);
    let mut rest = written.iter();
    let mut kept = 0;
    for (position, line) in read.iter().enumerate() {
        assert!(rest.any(|known| known == line), "{what}: record {position} was never written: {line:?}");
        kept += usize::from(written.get(position) == Some(line));
    }
    assert!(kept >= image.promised, "{what}: {kept} of {} records that were synced", image.promised);
    let beginning_of = |chunk: u64| written.iter().filter(move |line| line.0 == chunk);
    let chunks: std::collections::BTreeSet<u64> = read.iter().map(|line| line.0).collect();
    for chunk in chunks {
        let lines = read.iter().filter(|line| line.0 == chunk);
        assert!(lines.zip(beginning_of(chunk)).all(|(a, b)| a == b), "{what}: a hole in chunk {chunk}");
    }
    // Whatever the disk did, a look at it ends; and a file that says that it was closed is whole.
    let report = verify(&trace);
    if report.is_closed {
        assert_eq!(read.len(), written.len(), "{what}: closed, and records are missing");
    }
}

#[test]
fn whatever_was_synced_is_there_after_a_power_cut() {
    let mut images = 0;
    for seed in 0..40 {
        let disk = record(seed);
        let closed = NativeTrace::from_bytes("closed", &disk.live).expect("a good file");
        let written = reading(&closed);
        for (number, image) in disk.images.iter().enumerate() {
            check(image, &written, &format!("seed {seed}, cut {number}"));
        }
        images += disk.images.len();
    }
    assert!(images > 2_000, "{images}");
}

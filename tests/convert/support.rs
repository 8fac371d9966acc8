//! Conversions in memory.

use lmcache::convert::{Conversion, ExportOptions, to_compact, to_lmcache, to_native};
use lmcache::format::native::tally::FileTally;
use lmcache::trace::native::NativeTrace;
use lmcache::trace::store::TraceStore;
use lmcache::trace::{Trace, TraceReader};

/// Keeps what is written.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore(pub(crate) Vec<u8>);

impl TraceStore for MemoryStore {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let end = offset as usize + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, file_bytes: u64) -> std::io::Result<()> {
        self.0.resize(file_bytes as usize, 0);
        Ok(())
    }
}

pub(crate) fn lmcache_file(bytes: &[u8]) -> Trace {
    Trace::Lct(TraceReader::from_bytes("memory", bytes.to_vec()).expect("a readable header"))
}

pub(crate) fn native_file(bytes: &[u8]) -> Trace {
    Trace::Native(Box::new(NativeTrace::from_bytes("memory", bytes).expect("a native header")))
}

/// A native file of either kind with what was said of its making.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    pub(crate) report: Conversion,
}

pub(crate) fn native(file: &Trace) -> Made {
    let (report, store) =
        to_native(file, MemoryStore::default(), &mut |_| Ok(())).expect("memory does not fail");
    made(report, store)
}

pub(crate) fn compact(file: &Trace) -> Made {
    let (report, store) =
        to_compact(file, MemoryStore::default(), &mut |_| Ok(())).expect("memory does not fail");
    made(report, store)
}

fn made(report: Conversion, store: MemoryStore) -> Made {
    assert_eq!(report.bytes_out, store.0.len() as u64);
    Made { bytes: store.0, report }
}

pub(crate) fn lmcache(file: &Trace, options: ExportOptions) -> Made {
    let mut bytes = Vec::new();
    let report = to_lmcache(file, &mut bytes, options, &mut |_| Ok(())).expect("memory does not fail");
    assert_eq!(report.bytes_out, bytes.len() as u64);
    Made { bytes, report }
}

/// Fails unless `bytes` are a closed native file whose every chunk is right, and whose index says what is in them.
pub(crate) fn check_native(bytes: &[u8]) {
    let trace = NativeTrace::from_bytes("memory", bytes).expect("a native header");
    let index = trace.index().expect("a closed file");
    assert_eq!(trace.gaps(), []);
    let keys = trace.key_table().expect("a good key table");
    let mut tally = FileTally::default();
    for place in trace.chunks() {
        let is_keys = place.unverified.header().kind == lmcache::format::native::ChunkKind::Keys as u32;
        let chunk = trace.open_chunk(place, keys.as_ref().filter(|_| !is_keys)).expect("a good chunk");
        assert_eq!(chunk.unknown_records(), 0);
        tally.add_read(&chunk);
    }
    assert_eq!(index.distinct_keys, keys.as_ref().map(|table| u64::from(table.len())));
    assert_eq!(&tally.into_index(index.distinct_keys), index);
}

/// Sends LMCache's `original` through a native file, and through a compact one that is made of each, and expects it
/// back every time. Returns the native and the compact file.
pub(crate) fn round_trip(name: &str, original: &[u8]) -> (Made, Made) {
    let native_made = native(&lmcache_file(original));
    check_native(&native_made.bytes);
    assert_back(name, original, &native_made.bytes);
    let compact_made = compact(&native_file(&native_made.bytes));
    check_native(&compact_made.bytes);
    assert_back(name, original, &compact_made.bytes);
    let compact_at_once = compact(&lmcache_file(original));
    check_native(&compact_at_once.bytes);
    assert_eq!(compact_at_once.bytes.len(), compact_made.bytes.len(), "{name}");
    assert_back(name, original, &compact_at_once.bytes);
    let copy = compact(&native_file(&compact_made.bytes));
    assert!(copy.bytes == compact_made.bytes, "{name}: a compact file is copied");
    (native_made, compact_made)
}

fn assert_back(name: &str, original: &[u8], native: &[u8]) {
    let back = lmcache(&native_file(native), ExportOptions::default());
    assert_eq!(back.bytes.len(), original.len(), "{name}");
    let differs = back.bytes.iter().zip(original).position(|(a, b)| a != b);
    assert_eq!(differs, None, "{name}: first difference");
}

//! Any bytes as a whole native file: opened, every chunk read, verified, repaired; and what was repaired is sound.
#![no_main]

mod native_walk;

use libfuzzer_sys::fuzz_target;
use lmcache::trace::native::NativeTrace;
use lmcache::trace::recover::{repair, verify};
use lmcache::trace::store::TraceStore;

/// Keeps what is written, if it is not too much: a short file may promise a chunk far away.
#[derive(Default)]
struct Memory(Vec<u8>);

impl TraceStore for Memory {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        let end = offset as usize + bytes.len();
        if end > 1 << 28 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.resize(self.0.len().max(end), 0);
        self.0[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, file_bytes: u64) -> std::io::Result<()> {
        self.0.truncate(file_bytes as usize);
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(trace) = NativeTrace::from_bytes("fuzz", bytes) else { return };
    let keys = trace.key_table();
    if let Ok(keys) = &keys {
        for place in trace.chunks() {
            if let Ok(chunk) = trace.open_chunk(place, keys.as_ref()) {
                native_walk::walk(&chunk);
            }
        }
    }
    let found = verify(&trace);
    assert!(found.good_chunks <= found.chunks && found.findings().len() as u64 <= found.total());
    let Ok((report, Memory(copy))) = repair(&trace, Memory::default(), &mut |_| Ok(())) else { return };
    let copy = NativeTrace::from_bytes("copy", &copy).expect("a copy is a good file");
    assert!(copy.index().is_some(), "a copy is closed");
    let found = verify(&copy);
    for kind in ["chunk_missing", "chunk_damaged", "slot_damaged", "wrong_number", "bytes_not_vouched_for"] {
        assert_eq!(found.count(kind), 0, "{:?}", found.findings());
    }
    assert_eq!((found.chunks, found.records, found.calls), (report.chunks, report.records, report.calls));
});

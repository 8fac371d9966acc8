//! Goes over all that a verified chunk says, as every reader does.

use lmcache::format::model::KeyInterner;
use lmcache::format::native::{Body, Chunk};

/// Looks at every record, key and row.
pub fn walk(chunk: &Chunk<'_>) {
    let (mut interner, mut records, mut keys) = (KeyInterner::default(), 0, 0);
    for record in chunk.records() {
        records += 1;
        assert!(record.offset() >= chunk.header().offset);
        match record.body() {
            Body::Call(call) => {
                keys += call.keys().iter().map(|key| key.chunk_hash.len()).sum::<usize>();
                for row in call.prefetch().iter().flat_map(|prefetch| prefetch.rows()) {
                    keys += row.keys.iter().map(|key| key.chunk_hash.len()).sum::<usize>();
                }
                let _ = (call.read_locks(), call.wall_ns(), call.layout());
                // A model name or a layout may be one that LMCache does not allow.
                let _ = call.to_call(&mut interner);
            }
            Body::HostCall { name, bytes } => keys += name.len() + bytes.len(),
            Body::ForeignCall { qualname, frame } => keys += qualname.len() + frame.len(),
            Body::ForeignBytes { bytes, .. } => keys += bytes.len(),
            Body::KeySection { hashes, .. } => keys += hashes.len(),
            Body::Completion(_) | Body::Loss(_) | Body::Other => {}
        }
    }
    assert!(records <= chunk.bytes().len() / 24);
    std::hint::black_box(keys);
}

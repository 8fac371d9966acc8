//! A reserve_write that is decoded over one of an older LMCache's.

use lmcache::format::model::{KeyInterner, Op, StorageCall, WriteMode};
use lmcache::format::native::{ChunkBuilder, ChunkScopes, KeyMaker, KeysToPush};
use lmcache::trace::native::NativeTrace;

use super::support::{CLOCK, hash, layout, rows, stamp, view, writer};

#[test]
fn review_a_mode_is_not_left_over() {
    let _ = (hash(0), view(&[]));
    let mut writer = writer();
    writer
        .push(CLOCK, |chunk: &mut ChunkBuilder| {
            let keys = rows(chunk, 0..2)?;
            let number = chunk.layout(&layout())?;
            chunk.push_call(Op::ReserveWrite, &stamp(1, 1, 0), i64::from(number), KeysToPush::Rows(&keys), true)
        })
        .expect("it fits");
    let (_, store) = writer.finish(CLOCK, None).expect("memory");
    let trace = NativeTrace::from_bytes("memory", &store.0).expect("a trace");
    let mut over = StorageCall::ReserveWrite { keys: Vec::new(), layout: layout(), mode: WriteMode::Update };
    let (mut interner, mut scopes) = (KeyInterner::default(), ChunkScopes::default());
    let place = trace.record_chunks().next().expect("a chunk");
    let chunk = trace.open_chunk(place, None).expect("good");
    let call = chunk.records().find_map(|record| record.call()).expect("a call");
    call.write_to(&mut over, &mut KeyMaker::new(&mut interner, &mut scopes)).expect("good");
    assert_eq!(over, call.to_call(&mut KeyInterner::default()).expect("good"));
}

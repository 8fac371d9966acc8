//! What is pushed is read back.

use lmcache::format::model::{Dtype, MemoryLayoutDesc, Op};
use lmcache::format::native::kind::{LossReason, Outcome, RecordKind};
use lmcache::format::native::pod::{CompletionBody, MIN_CHUNK_BYTES, NOT_KNOWN};
use lmcache::format::native::schema::ThreadFacts;
use lmcache::format::native::tally::FileTally;
use lmcache::format::native::{Body, ChunkBuilder, ChunkFull, KeysToPush, PrefetchToPush, RowToPush, Stamp};
use lmcache::trace::native::{NativeEnding, NativeTrace};

use super::support::{CLOCK, hash, rows, view, writer, writer_with_chunks};

fn stamp(t_ns: u64, sequence: u32) -> Stamp {
    Stamp { t_ns, thread: 1, sequence, ..Stamp::default() }
}

pub(crate) fn layout() -> MemoryLayoutDesc {
    let bf16 = Dtype::from_name("torch.bfloat16").expect("torch has it");
    MemoryLayoutDesc::new(vec![(Box::new([2, 3]), bf16)]).expect("a small layout")
}

fn push_one_of_each(chunk: &mut ChunkBuilder) -> Result<(), ChunkFull> {
    chunk.thread(1, &ThreadFacts { os_thread_id: 77, name: "engine".into() })?;
    let number = chunk.layout(&layout())?;
    let keys = rows(chunk, 0..20)?;
    chunk.push_call(Op::ReserveWrite, &stamp(10, 0), i64::from(number), KeysToPush::Rows(&keys), true)?;
    chunk.push_call(Op::FinishWrite, &stamp(20, 1), 0, KeysToPush::Rows(&keys), true)?;
    chunk.push_call(Op::ReadEnter, &stamp(30, 2), 0, KeysToPush::Rows(&keys[5..9]), true)?;
    chunk.push_call(Op::FinishRead, &stamp(40, 3), 1 << 40, KeysToPush::Rows(&keys[..1]), false)?;
    let salted = lmcache::format::model::KeyView { cache_salt: "tenant", ..view(&[9; 100]) };
    let long = [chunk.key_row(&salted)?];
    let rows = [&keys[..], &long].map(|keys| RowToPush {
        keys: KeysToPush::Rows(keys),
        object_group_id: 3,
        layout: number,
        sliding_window_size: -1,
    });
    let args =
        PrefetchToPush { external_request_id: "a request", num_kv_readers: 2, ..PrefetchToPush::default() };
    let with_wall = Stamp { wall_ns: Some(99), ..stamp(50, 4) };
    chunk.push_prefetch(&with_wall, &args, &rows, true)?;
    let name = chunk.name("engine.step")?;
    chunk.push_named_call(RecordKind::HostCall, &stamp(60, 5), name, b"any bytes")?;
    chunk.push_loss(&stamp(70, 6), LossReason::RingFull, 12, 65..75)?;
    let completion = CompletionBody {
        call_thread: 1,
        call_sequence: 4,
        duration_ns: 1_234,
        data_ready_ns: NOT_KNOWN,
        bytes: 4096,
        hit_keys: 20,
        requested_keys: 21,
        op: RecordKind::Call(Op::SubmitPrefetch).number(),
        outcome: Outcome::Partly as u8,
        reserved: [0; 6],
    };
    chunk.push_completion(&stamp(80, 0), &completion)
}

#[test]
fn every_kind_of_record_comes_back() {
    let mut writer = writer();
    writer.push(CLOCK, push_one_of_each).expect("it fits");
    let (index, store) = writer.finish(CLOCK, None).expect("memory does not fail");
    assert_eq!((index.calls, index.keys, index.lost, index.completions), (6, 20 + 20 + 4 + 1 + 21, 12, 1));

    let trace = NativeTrace::from_bytes("memory", &store.0).expect("a trace");
    assert_eq!((trace.ending(), trace.gaps().len()), (NativeEnding::Closed, 0));
    assert_eq!(trace.index(), Some(&index));
    let chunk = trace.open_chunk(&trace.chunks()[0], None).expect("a good chunk");
    let mut read = FileTally::default();
    read.add_read(&chunk);
    assert_eq!(read.into_index(None), index, "counting what is read gives what was counted while writing");

    let bodies: Vec<_> =
        chunk.records().map(|record| record.body()).filter(|body| !matches!(body, Body::Other)).collect();
    let calls: Vec<_> = bodies
        .iter()
        .filter_map(|body| if let Body::Call(call) = body { Some(call) } else { None })
        .collect();
    let numbers = |range: std::ops::Range<u64>| range.map(hash).collect::<Vec<_>>();
    let hashes =
        |call: usize| calls[call].keys().iter().map(|key| key.chunk_hash.to_vec()).collect::<Vec<_>>();
    assert_eq!(hashes(0), numbers(0..20));
    assert_eq!(hashes(1), numbers(0..20));
    assert_eq!(hashes(2), numbers(5..9));
    assert_eq!(
        (hashes(3), calls[3].read_locks()),
        (numbers(0..1).iter().map(|h| h.to_vec()).collect(), 1 << 40)
    );
    assert_eq!(calls[0].layout().and_then(|layout| layout.layout.clone()), Some(layout()));
    assert_eq!(
        calls[1].keys().as_rows().map(<[_]>::as_ptr),
        calls[0].keys().as_rows().map(<[_]>::as_ptr),
        "interned"
    );
    let prefetch = calls[4].prefetch().expect("a prefetch");
    let found: Vec<_> = prefetch.rows().collect();
    assert_eq!((found[0].keys.len(), found[1].keys.len(), calls[4].wall_ns()), (20, 1, Some(99)));
    let long = found[1].keys.iter().next().expect("one key");
    assert_eq!((long.chunk_hash, long.cache_salt), (&[9; 100][..], "tenant"));
    assert_eq!((prefetch.external_request_id(), prefetch.num_kv_readers()), ("a request", 2));
    assert!(
        bodies.iter().any(|body| matches!(body, Body::HostCall { name: "engine.step", bytes: b"any bytes" }))
    );
    assert!(
        bodies.iter().any(|body| matches!(body, Body::Loss(loss) if loss.count == 12 && loss.until_ns == 75))
    );
}

#[test]
fn a_record_longer_than_a_chunk_gets_a_chunk_of_its_length() {
    let mut writer = writer_with_chunks(MIN_CHUNK_BYTES);
    for call in 0..3 {
        let count = if call == 1 { 10_000 } else { 10 };
        writer
            .push(CLOCK, |chunk| {
                let keys = rows(chunk, call * 100_000..call * 100_000 + count)?;
                chunk.push_call(Op::FinishWrite, &stamp(call, call as u32), 0, KeysToPush::Rows(&keys), true)
            })
            .expect("it fits");
        writer.commit(CLOCK).expect("memory does not fail");
    }
    let (_, store) = writer.finish(CLOCK, None).expect("memory does not fail");
    let trace = NativeTrace::from_bytes("memory", &store.0).expect("a trace");
    let calls: Vec<usize> = trace
        .chunks()
        .iter()
        .flat_map(|place| {
            let chunk = trace.open_chunk(place, None).expect("a good chunk");
            chunk
                .records()
                .filter_map(|record| match record.body() {
                    Body::Call(call) => Some(call.keys().len()),
                    _ => None,
                })
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(calls, [10, 10_000, 10]);
    assert_eq!(trace.seek_call(1), 1);
}

//! Files whose checksums are right and whose content is not: made to be believed.

use lmcache::analyze::summarize_native;
use lmcache::format::model::Op;
use lmcache::format::native::json::write_args;
use lmcache::format::native::kind::{LossReason, RecordKind};
use lmcache::format::native::pod::{
    CHUNK_HEADER_BYTES, ChunkHeader, CommitSlot, FEATURE_KEY_TABLE, MIN_CHUNK_BYTES, RecordPrefix,
    SLOT_BYTES, SectionHead, crc32,
};
use lmcache::format::native::schema::ThreadFacts;
use lmcache::format::native::{Body, FileFacts, KeysToPush, NewFile, PrefetchToPush, RowToPush, Stamp};
use lmcache::replay::{TraceExtent, TraceSource};
use lmcache::trace::NativeTrace;
use lmcache::trace::writer::TraceWriter;

use crate::support::{CLOCK, MemoryStore, new_file, rows, view, writer_with_chunks};

/// A file of one chunk that was not closed: there is no index to save it.
fn file() -> Vec<u8> {
    let mut writer = writer_with_chunks(MIN_CHUNK_BYTES);
    let stamp = |sequence| Stamp {
        t_ns: 2_000,
        thread: 1,
        sequence,
        wall_ns: Some(7),
        t_mono_bits: Some(9),
        ..Stamp::default()
    };
    let pushed = writer.push(CLOCK, |chunk| {
        chunk.thread(1, &ThreadFacts { os_thread_id: 1, name: "one".into() })?;
        let layout = chunk.layout(&crate::round_trip::layout())?;
        let mut keys = rows(chunk, 0..3)?;
        keys.push(chunk.key_row(&view(&[5; 40]))?);
        let keys = KeysToPush::Rows(&keys);
        chunk.push_call(Op::ReserveWrite, &stamp(0), i64::from(layout), keys, true)?;
        chunk.push_call(Op::FinishRead, &stamp(1), 1 << 40, keys, true)?;
        let row = RowToPush { keys, object_group_id: 0, layout, sliding_window_size: -1 };
        let args = PrefetchToPush { external_request_id: "r", ..PrefetchToPush::default() };
        chunk.push_prefetch(&stamp(2), &args, &[row], true)?;
        let name = chunk.name("engine.step")?;
        chunk.push_named_call(RecordKind::HostCall, &stamp(3), name, b"bytes")?;
        chunk.push_named_call(RecordKind::ForeignCall, &stamp(4), name, b"\x80")?;
        chunk.push_foreign_bytes(0, false, b"\xc1")?;
        chunk.push_loss(&stamp(5), LossReason::TooLarge, 1, 2_000..3_000)
    });
    pushed.expect("it fits");
    writer.commit(CLOCK).expect("memory");
    writer.store().0.clone()
}

/// `bytes` with `change` made to its chunk: header, live slot, records. The checksums are made right again.
fn forged(bytes: &[u8], change: impl FnOnce(&mut ChunkHeader, &mut CommitSlot, &mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let start = NativeTrace::from_bytes("made", &bytes).expect("a trace").chunks()[0].offset as usize;
    let (head, records) = bytes[start..].split_at_mut(CHUNK_HEADER_BYTES);
    let (header_bytes, slots) = head.split_at_mut(size_of::<ChunkHeader>());
    let mut header: ChunkHeader = bytemuck::pod_read_unaligned(header_bytes);
    let mut slot: CommitSlot = bytemuck::pod_read_unaligned(&slots[..SLOT_BYTES]);
    change(&mut header, &mut slot, records);
    slot.data_crc = crc32(&records[..slot.committed_bytes as usize]);
    header_bytes.copy_from_slice(bytemuck::bytes_of(&header.sealed()));
    slots[..SLOT_BYTES].copy_from_slice(bytemuck::bytes_of(&slot.sealed()));
    bytes
}

/// Reads all of a file in every way that there is, and returns how many calls a replay got.
fn read_all(bytes: &[u8]) -> usize {
    let trace = NativeTrace::from_bytes("forged", bytes).expect("the file header is whole");
    let summary = summarize_native(&trace, true, 2, |_| ());
    assert!(!summary.is_closed && summary.is_incomplete());
    let keys = trace.key_table().expect("not compact");
    let extent = TraceExtent::of_native(&trace, keys.as_ref(), |_| ());
    let records = TraceSource::native(&trace, keys.as_ref()).records().count();
    assert_eq!(extent.records, records as u64);
    for place in trace.record_chunks() {
        let Ok(chunk) = trace.open_chunk(place, None) else { continue };
        for record in chunk.records() {
            if let Body::Call(call) = record.body() {
                let mut json = Vec::new();
                write_args(&call, &mut json);
                assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
            }
        }
    }
    records
}

#[test]
fn records_that_are_forged_are_refused_or_read() {
    let bytes = file();
    assert_eq!(read_all(&bytes), 5);
    let (mut refused, mut read) = (0, 0);
    let records_bytes = NativeTrace::from_bytes("made", &bytes).expect("a trace").chunks()[0]
        .unverified
        .latest()
        .expect("a slot")
        .committed_bytes as usize;
    for at in 0..records_bytes {
        for mask in [1, 0x80, 0xff] {
            let forged = forged(&bytes, |_, _, records| records[at] ^= mask);
            if read_all(&forged) == 0 { refused += 1 } else { read += 1 }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} refused, {read} read");
}

#[test]
fn numbers_that_are_forged_are_no_overflow() {
    let bytes = file();
    let most = forged(&bytes, |header, slot, _| {
        (header.number, header.calls_before, header.lost_before) = (u64::MAX, u64::MAX, u64::MAX);
        (slot.calls, slot.records, slot.lost) = (u32::MAX, u32::MAX, u64::MAX);
        (slot.first_ns, slot.last_ns) = (u64::MAX, u64::MAX);
    });
    assert_eq!(read_all(&most), 5);
    let seqs: Vec<_> = {
        let trace = NativeTrace::from_bytes("forged", &most).expect("a trace");
        TraceSource::native(&trace, None).records().map(|record| record.seq).collect()
    };
    assert_eq!(seqs, [u64::MAX, 0, 1, 2, 3]);
    // The chunk twice, with all that can be lost lost in each.
    let length = forged(&bytes, |header, slot, _| {
        header.chunk_bytes = MIN_CHUNK_BYTES;
        slot.lost = u64::MAX;
    });
    let mut twice = length.clone();
    let start = NativeTrace::from_bytes("made", &bytes).expect("a trace").chunks()[0].offset as usize;
    twice.resize(start + MIN_CHUNK_BYTES as usize, 0);
    let mut second = length[start..].to_vec();
    let mut header: ChunkHeader = bytemuck::pod_read_unaligned(&second[..size_of::<ChunkHeader>()]);
    header.offset += u64::from(MIN_CHUNK_BYTES);
    second[..size_of::<ChunkHeader>()].copy_from_slice(bytemuck::bytes_of(&header.sealed()));
    twice.extend(second);
    assert_eq!(read_all(&twice), 10);
    let trace = NativeTrace::from_bytes("forged", &twice).expect("a trace");
    assert_eq!(summarize_native(&trace, true, 1, |_| ()).index.lost, u64::MAX);
}

#[test]
fn a_call_with_an_unknown_flag_is_refused() {
    let bytes = file();
    let trace = NativeTrace::from_bytes("made", &bytes).expect("a trace");
    let chunk = trace.open_chunk(&trace.chunks()[0], None).expect("a good chunk");
    for record in chunk.records() {
        let at = (record.offset() - chunk.header().offset) as usize - CHUNK_HEADER_BYTES;
        let flags_at = at + std::mem::offset_of!(RecordPrefix, flags);
        for flag in [32, 64, 128] {
            let forged = forged(&bytes, |_, _, records| records[flags_at] |= flag);
            let is_call = record.kind().is_some_and(RecordKind::is_call);
            assert_eq!(read_all(&forged), if is_call { 0 } else { 5 }, "{:?}", record.kind());
        }
    }
}

#[test]
fn an_index_with_counts_past_64_bits_is_summed_up() {
    let trace = NativeTrace::from_bytes("made", &file()).expect("a trace");
    let mut summary = summarize_native(&trace, true, 1, |_| ());
    summary.index.names.push((Op::FinishRead.qualname(), u64::MAX));
    assert_eq!(summary.ops()[&Op::FinishRead.qualname()], u64::MAX);
}

/// Sections may be many and their scope long: a table that kept it for each would take their product.
#[test]
fn sections_of_one_scope_share_its_names() {
    let new = NewFile { required_features: FEATURE_KEY_TABLE, ..new_file(MIN_CHUNK_BYTES) };
    let mut writer =
        TraceWriter::create(MemoryStore::default(), new, FileFacts::default()).expect("a file in memory");
    for first_id in 0..3 {
        let pushed = writer.push(CLOCK, |chunk| {
            let scope = chunk.scope(&view(&[]))?;
            chunk
                .push_section(&SectionHead { first_id, count: 1, scope, hash_bytes: 8 }, &[first_id as u8; 8])
        });
        pushed.expect("memory does not fail");
    }
    let bytes = writer.finish(CLOCK, Some(3)).expect("memory does not fail").1.0;
    let trace = NativeTrace::from_bytes("made", &bytes).expect("a trace");
    let table = trace.key_table().expect("a good table").expect("a compact file");
    let keys: Vec<_> = (0..table.len()).map(|id| table.get(id).expect("below the length")).collect();
    assert_eq!(keys.iter().map(|key| key.chunk_hash[0]).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(keys.iter().all(|key| std::ptr::eq(key.model_name, keys[0].model_name)));
}

//! Native files for the program: conversions of fixtures, and made up ones.

use std::path::PathBuf;

use lmcache::format::lct::encode::is_canonical;
use lmcache::format::lct::frame::PREFIX_BYTES;
use lmcache::format::lct::times::{monotonic_ns_of, wall_ns_of};
use lmcache::format::lct::{WireRecord, decode_call};
use lmcache::format::model::KeyInterner;
use lmcache::format::model::{FetchingPolicy, LockMode, ObjectKey, Op, StorageCall, WriteMode};
use lmcache::format::native::pod::{
    CompletionBody, DEFAULT_CHUNK_BYTES, FEATURE_KEY_TABLE, KeyId, KeyRow, MIN_CHUNK_BYTES, SectionHead,
};
use lmcache::format::native::schema::ThreadFacts;
use lmcache::format::native::{
    ChunkBuilder, ChunkFull, ChunkKind, FileFacts, KeysToPush, LossReason, NewFile, Outcome, PrefetchToPush,
    RecordKind, RowToPush, Stamp,
};
use lmcache::trace::writer::TraceWriter;
use lmcache::trace::{Entry, Record, TraceReader};

use crate::common::unpack;
use crate::support::{CLOCK, MemoryStore, hash, new_file, rows, view};

/// A file in a folder of its own.
pub(crate) struct MadeFile {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

pub(crate) fn made_file(bytes: &[u8]) -> MadeFile {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made.lct");
    std::fs::write(&path, bytes).expect("room for a trace");
    MadeFile { _folder: folder, path }
}

/// The fixture `name` as a native file with chunks of the smallest size: calls where a call says it all, else frames.
pub(crate) fn converted(name: &str) -> Vec<u8> {
    let reader = TraceReader::from_bytes(name, unpack(name)).expect("a trace");
    let header = reader.header();
    let mono_start_ns = monotonic_ns_of(0.0, header.t_mono_start_s).expect("a recorded time");
    let file = NewFile {
        mono_start_ns,
        wall_start_ns: wall_ns_of(header.t_wall_start_s).expect("a recorded time").cast_unsigned(),
        t_mono_start_s: header.t_mono_start_s,
        t_wall_start_s: header.t_wall_start_s,
        ..new_file(MIN_CHUNK_BYTES)
    };
    let facts = FileFacts {
        level: header.level.name().to_owned(),
        sm_config_json: header.sm_config_json.clone(),
        sm_config_digest: header.sm_config_digest.clone(),
        ..FileFacts::default()
    };
    let mut writer = TraceWriter::create(MemoryStore::default(), file, facts).expect("memory");
    let (mut interner, mut typed) = (KeyInterner::default(), 0);
    for entry in reader.records() {
        match entry {
            Entry::Undecodable { offset, .. } => {
                let body = frame_at(&reader, offset);
                writer.push(CLOCK, |chunk| chunk.push_foreign_bytes(0, false, body)).expect("it fits");
            }
            Entry::Record(record) => {
                let body = frame_at(&reader, record.offset);
                typed += push_record(&mut writer, &record, body, header.t_mono_start_s, &mut interner);
            }
        }
    }
    assert!(typed > 0 || !name.contains("tiny"), "{name} has calls");
    writer.finish(CLOCK, None).expect("memory").1.0
}

fn frame_at(reader: &TraceReader, offset: u64) -> &[u8] {
    let offset = usize::try_from(offset).expect("an offset in memory");
    let prefix = reader.bytes()[offset - PREFIX_BYTES..].first_chunk().expect("a length");
    &reader.bytes()[offset..][..u32::from_be_bytes(*prefix) as usize]
}

/// Pushes a record and returns 1 if it is a call now.
fn push_record(
    writer: &mut TraceWriter<MemoryStore>,
    record: &Record<'_>,
    body: &[u8],
    t_mono_start_s: f64,
    interner: &mut KeyInterner,
) -> u64 {
    let t_ns = monotonic_ns_of(record.t_mono_s, t_mono_start_s);
    let wall_ns = wall_ns_of(record.t_wall_s).map(i64::cast_unsigned);
    let stamp = Stamp { t_ns: t_ns.unwrap_or(0), wall_ns, ..Stamp::default() };
    let wire = WireRecord::decode(body).expect("a record");
    let call = Op::from_qualname(record.qualname).and_then(|op| decode_call(op, &record.args, interner).ok());
    // A native reserve_write has no mode: those of releases that had one stay frames.
    let has_mode = |call: &StorageCall| matches!(call, StorageCall::ReserveWrite { mode, .. } if *mode != WriteMode::New);
    let call = call.filter(|call| !has_mode(call) && is_canonical(body, &wire, call, &mut Vec::new()));
    let pushed = writer.push(CLOCK, |chunk| match (&call, t_ns, wall_ns) {
        (Some(call), Some(_), Some(_)) => push_call(chunk, call, &stamp).map(|()| 1),
        _ => {
            let name = chunk.name(record.qualname)?;
            chunk.push_named_call(RecordKind::ForeignCall, &stamp, name, body).map(|()| 0)
        }
    });
    pushed.expect("it fits")
}

fn push_call(chunk: &mut ChunkBuilder, call: &StorageCall, stamp: &Stamp) -> Result<(), ChunkFull> {
    let (keys, value) = match call {
        StorageCall::ReserveWrite { keys, layout, .. } => (keys, i64::from(chunk.layout(layout)?)),
        StorageCall::FinishRead { keys, read_locks } => (keys, *read_locks),
        StorageCall::FinishWrite { keys }
        | StorageCall::ReadEnter { keys }
        | StorageCall::ReadExit { keys } => (keys, 0),
        StorageCall::SubmitPrefetch { .. } => return push_prefetch(chunk, call, stamp),
    };
    let rows = rows_of(chunk, keys)?;
    chunk.push_call(call.op(), stamp, value, KeysToPush::Rows(&rows), true)
}

fn rows_of(chunk: &mut ChunkBuilder, keys: &[ObjectKey]) -> Result<Vec<KeyRow>, ChunkFull> {
    keys.iter().map(|key| chunk.key_row(&key.view())).collect()
}

fn push_prefetch(chunk: &mut ChunkBuilder, call: &StorageCall, stamp: &Stamp) -> Result<(), ChunkFull> {
    let StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2 } = call else { return Ok(()) };
    let mut rows = Vec::new();
    for group in &spec.key_groups {
        rows.push((rows_of(chunk, &group.keys)?, chunk.layout(&group.layout)?, group));
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|(rows, layout, group)| RowToPush {
            keys: KeysToPush::Rows(rows),
            object_group_id: group.object_group_id,
            layout: *layout,
            sliding_window_size: group.sliding_window_size,
        })
        .collect();
    let args = PrefetchToPush {
        external_request_id,
        num_kv_readers: spec.num_kv_readers,
        fetching_policy: u8::from(spec.fetching_policy == FetchingPolicy::Full),
        lock_mode: u8::from(spec.lock_mode == LockMode::NoLock),
        skip_l2: *skip_l2,
    };
    chunk.push_prefetch(stamp, &args, &rows, true)
}

pub(crate) fn facts() -> FileFacts {
    FileFacts {
        host: "gpu-7".into(),
        process: "engine".into(),
        pid: 4711,
        node: "rack 3".into(),
        writer: "lmcache 0.1.0".into(),
        level: "storage".into(),
        level_meta_json: r#"{"b": true, "a": "x"}"#.into(),
        metadata: vec![("cluster".into(), "west".into())],
        ..FileFacts::default()
    }
}

fn stamp(t_ns: u64, sequence: u32) -> Stamp {
    Stamp { t_ns: 1_000 + t_ns, thread: 1, sequence, ..Stamp::default() }
}

/// Four calls, two of them of the host, a completion, and 12 calls lost by thread 1.
pub(crate) fn every_kind() -> TraceWriter<MemoryStore> {
    let file = new_file(DEFAULT_CHUNK_BYTES);
    let mut writer = TraceWriter::create(MemoryStore::default(), file, facts()).expect("memory");
    let pushed = writer.push(CLOCK, |chunk| {
        chunk.thread(1, &ThreadFacts { os_thread_id: 77, name: "scheduler".into() })?;
        let keys = rows(chunk, 0..3)?;
        chunk.push_call(Op::FinishWrite, &stamp(1_000_000, 0), 0, KeysToPush::Rows(&keys), true)?;
        chunk.push_call(Op::FinishRead, &stamp(2_000_000, 1), 70_000, KeysToPush::Rows(&keys[..2]), true)?;
        let name = chunk.name("engine.step")?;
        chunk.push_named_call(RecordKind::HostCall, &stamp(3_000_000, 2), name, b"batch 5")?;
        chunk.push_named_call(RecordKind::HostCall, &stamp(4_000_000, 3), name, &[0xff, 0])?;
        chunk.push_loss(&stamp(5_000_000, 4), LossReason::RingFull, 12, 4_501_000..6_001_000)?;
        let completion = CompletionBody {
            call_thread: 1,
            call_sequence: 1,
            duration_ns: 1_500,
            data_ready_ns: u64::MAX,
            bytes: 4096,
            hit_keys: 2,
            requested_keys: 3,
            op: RecordKind::Call(Op::FinishRead).number(),
            outcome: Outcome::Partly as u8,
            reserved: [0; 6],
        };
        chunk.push_completion(&stamp(7_000_000, 0), &completion)
    });
    pushed.expect("it fits");
    writer
}

/// The bytes of a file that was closed.
pub(crate) fn closed(writer: TraceWriter<MemoryStore>) -> Vec<u8> {
    writer.finish(CLOCK, Some(3)).expect("memory").1.0
}

/// The bytes of a file whose recorder was killed after a commit.
pub(crate) fn killed(mut writer: TraceWriter<MemoryStore>) -> Vec<u8> {
    writer.commit(CLOCK).expect("memory");
    writer.store().0.clone()
}

/// Nine calls of a `finish_write`, a millisecond apart, each with 400 keys; three to a chunk.
pub(crate) fn several_chunks() -> TraceWriter<MemoryStore> {
    let file = new_file(MIN_CHUNK_BYTES);
    let mut writer = TraceWriter::create(MemoryStore::default(), file, facts()).expect("memory");
    for call in 0..9 {
        let pushed = writer.push(CLOCK, |chunk| {
            let keys = rows(chunk, call * 1_000..call * 1_000 + 500)?;
            let stamp = stamp(call * 1_000_000, call as u32);
            chunk.push_call(Op::FinishWrite, &stamp, 0, KeysToPush::Rows(&keys), true)
        });
        pushed.expect("it fits");
    }
    writer
}

/// A compact file: 20 keys in a table, and two calls that name some of them.
pub(crate) fn compact() -> Vec<u8> {
    let file = NewFile { required_features: FEATURE_KEY_TABLE, ..new_file(MIN_CHUNK_BYTES) };
    let mut writer = TraceWriter::create(MemoryStore::default(), file, facts()).expect("memory");
    let hashes: Vec<u8> = (0..20).flat_map(hash).collect();
    let pushed = writer.push(CLOCK, |chunk| {
        let scope = chunk.scope(&view(&[]))?;
        let head = SectionHead { first_id: 0, count: 20, scope, hash_bytes: 32 };
        chunk.push_section(&head, &hashes)
    });
    pushed.expect("it fits");
    writer.begin_kind(CLOCK, ChunkKind::Records).expect("memory");
    let ids: Vec<_> = [3_u32, 4, 19].map(|id| KeyId(id.to_le_bytes())).into();
    for (op, call) in [(Op::ReadEnter, 0), (Op::ReadExit, 1)] {
        let stamp = stamp(call * 1_000_000, call as u32);
        writer
            .push(CLOCK, |chunk| chunk.push_call(op, &stamp, 0, KeysToPush::Ids(&ids), true))
            .expect("it fits");
    }
    closed(writer)
}

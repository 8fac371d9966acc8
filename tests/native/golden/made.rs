//! The files of version 1: records of all kinds in one chunk; the same without an end; and a compact file.

use lmcache::format::model::{KeyView, Op};
use lmcache::format::native::kind::{ChunkKind, LossReason, Outcome, RecordKind};
use lmcache::format::native::pod::{
    CompletionBody, FEATURE_KEY_TABLE, FLAG_LATE, KeyId, MIN_CHUNK_BYTES, NOT_KNOWN, SectionHead,
};
use lmcache::format::native::schema::{ScopeFacts, ThreadFacts};
use lmcache::format::native::{
    ChunkBuilder, ChunkFull, FileFacts, KeysToPush, NewFile, PrefetchToPush, RowToPush, Stamp,
};
use lmcache::trace::writer::TraceWriter;

use crate::support::{CLOCK, MemoryStore, layout, new_file, stamp};

pub(super) fn files() -> [(&'static str, Vec<u8>); 3] {
    [("kinds", kinds()), ("unfinished", unfinished()), ("compact", compact())]
}

fn new_writer(required_features: u32) -> TraceWriter<MemoryStore> {
    let facts = FileFacts {
        host: "host".into(),
        process: "engine".into(),
        pid: 4242,
        node: "node-7".into(),
        writer: "lmcache 0.1.0".into(),
        level: "storage".into(),
        sm_config_json: "{}".into(),
        sm_config_digest: "44136fa3".into(),
        level_meta_json: "{\"a\": 1}".into(),
        metadata: vec![("run".into(), "golden".into())],
        lct_header: vec![0x81, 0xa1, 0x61, 0x01],
    };
    let file = NewFile { required_features, ..new_file(MIN_CHUNK_BYTES) };
    TraceWriter::create(MemoryStore::default(), file, facts).expect("a file in memory")
}

fn kinds() -> Vec<u8> {
    let mut writer = new_writer(0);
    writer.push(CLOCK, push_calls).expect("it fits");
    writer.push(CLOCK, push_others).expect("it fits");
    writer.finish(CLOCK, Some(3)).expect("memory does not fail").1.0
}

/// Synced once, committed once more, and bytes behind that of which nothing is known.
fn unfinished() -> Vec<u8> {
    let mut writer = new_writer(0);
    writer.push(CLOCK, push_calls).expect("it fits");
    writer.sync(CLOCK).expect("memory does not fail");
    writer.push(CLOCK, push_others).expect("it fits");
    writer.commit(CLOCK).expect("memory does not fail");
    let mut bytes = writer.store().0.clone();
    bytes.extend_from_slice(&[0xee; 40]);
    bytes
}

fn view(chunk_hash: &[u8]) -> KeyView<'_> {
    KeyView {
        chunk_hash,
        model_name: "org/model",
        kv_rank: 0x0100_0100,
        object_group_id: 0,
        cache_salt: "salt",
    }
}

fn push_calls(chunk: &mut ChunkBuilder) -> Result<(), ChunkFull> {
    chunk.thread(1, &ThreadFacts { os_thread_id: 77, name: "engine".into() })?;
    let number = chunk.layout(&layout())?;
    let other = KeyView { cache_salt: "", object_group_id: 3, ..view(&[3; 40]) };
    let rows = [chunk.key_row(&view(&[1; 32]))?, chunk.key_row(&view(&[2; 8]))?, chunk.key_row(&other)?];
    let keys = KeysToPush::Rows(&rows);
    chunk.push_call(Op::ReserveWrite, &stamp(10, 1, 0), i64::from(number), keys, true)?;
    chunk.push_call(Op::FinishWrite, &stamp(11, 1, 1), 0, keys, true)?;
    chunk.push_call(Op::ReadEnter, &stamp(12, 1, 2), 0, KeysToPush::Rows(&rows[1..]), false)?;
    chunk.push_call(Op::ReadExit, &stamp(13, 1, 3), 0, KeysToPush::Rows(&[]), true)?;
    let with_wall = Stamp { wall_ns: Some(9), ..stamp(14, 1, 4) };
    chunk.push_call(Op::FinishRead, &with_wall, 1 << 40, KeysToPush::Rows(&rows[..1]), true)?;
    let row = RowToPush { keys, object_group_id: 1, layout: number, sliding_window_size: -1 };
    let args = PrefetchToPush {
        external_request_id: "a request",
        num_kv_readers: 2,
        fetching_policy: 1,
        lock_mode: 1,
        skip_l2: true,
    };
    chunk.push_prefetch(&stamp(15, 1, 5), &args, &[row, row], true)
}

fn push_others(chunk: &mut ChunkBuilder) -> Result<(), ChunkFull> {
    let name = chunk.name("engine.step")?;
    chunk.push_named_call(RecordKind::HostCall, &stamp(16, 1, 6), name, b"bytes")?;
    chunk.push_named_call(RecordKind::ForeignCall, &stamp(17, 1, 7), name, &[0x80])?;
    chunk.push_foreign_bytes(18, true, &[1, 2, 3])?;
    chunk.push_loss(&stamp(19, 1, 8), LossReason::RingFull, 90, 0..20)?;
    let body = CompletionBody {
        call_thread: 1,
        call_sequence: 6,
        duration_ns: 1,
        data_ready_ns: NOT_KNOWN,
        bytes: 2,
        hit_keys: 3,
        requested_keys: 4,
        op: RecordKind::HostCall.number(),
        outcome: Outcome::Done as u8,
        reserved: [0; 6],
    };
    chunk.push_completion(&Stamp { flags: FLAG_LATE, ..stamp(5, 1, 6) }, &body)
}

fn compact() -> Vec<u8> {
    let mut writer = new_writer(FEATURE_KEY_TABLE);
    writer
        .push(CLOCK, |chunk| {
            let scope = chunk.scope(&view(&[]))?;
            let hashes: Vec<u8> = (0..96).collect();
            chunk.push_section(&SectionHead { first_id: 0, count: 3, scope, hash_bytes: 32 }, &hashes)
        })
        .expect("it fits");
    writer.begin_kind(CLOCK, ChunkKind::Records).expect("memory does not fail");
    writer
        .push(CLOCK, |chunk| {
            chunk.thread(1, &ThreadFacts::default())?;
            let ids = [0_u32, 2, 1].map(|id| KeyId(id.to_le_bytes()));
            chunk.push_call(Op::ReadEnter, &stamp(1, 1, 0), 0, KeysToPush::Ids(&ids), true)?;
            chunk.push_call(Op::ReadExit, &stamp(2, 1, 1), 0, KeysToPush::Ids(&ids[1..]), true)
        })
        .expect("it fits");
    let facts = ScopeFacts {
        model_name: "org/model".into(),
        kv_rank: 0x0100_0100,
        object_group_id: 0,
        cache_salt: "salt".into(),
    };
    writer.count_scope(&facts, 5);
    writer.finish(CLOCK, Some(3)).expect("memory does not fail").1.0
}

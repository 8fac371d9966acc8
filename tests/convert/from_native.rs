//! What a recorder writes, in LMCache's format and in compact files.

use lmcache::analyze::summarize_native;
use lmcache::convert::{COMPLETION_QUALNAME, ExportOptions, LOSS_QUALNAME, NotExpressed};
use lmcache::format::lct::{SaltPolicy, decode_call};
use lmcache::format::model::KeyInterner;
use lmcache::format::model::{KeyView, Op, StorageCall};
use lmcache::format::native::kind::{LossReason, Outcome, RecordKind};
use lmcache::format::native::pod::{
    CHUNK_HEADER_BYTES, CompletionBody, HEADER_ALIGN, MIN_CHUNK_BYTES, NOT_KNOWN,
};
use lmcache::format::native::schema::ThreadFacts;
use lmcache::format::native::{Body, FileFacts, KeysToPush, NewFile, Stamp};
use lmcache::trace::native::NativeTrace;
use lmcache::trace::writer::{ClockPair, TraceWriter};
use lmcache::trace::{Entry, TraceReader};

use super::support::{MemoryStore, check_native, compact, lmcache, native, native_file};

const CLOCK: ClockPair = ClockPair { mono_ns: 9_000, wall_ns: 1_700_000_000_000_009_000 };

fn stamp(t_ns: u64, sequence: u32) -> Stamp {
    Stamp { t_ns, thread: 3, sequence, ..Stamp::default() }
}

fn completion() -> CompletionBody {
    CompletionBody {
        call_thread: 3,
        call_sequence: 0,
        duration_ns: 1_234,
        data_ready_ns: NOT_KNOWN,
        bytes: 4096,
        hit_keys: 1,
        requested_keys: 2,
        op: RecordKind::Call(Op::ReadEnter).number(),
        outcome: Outcome::Partly as u8,
        reserved: [0; 6],
    }
}

/// A recording with a call of each kind, in `chunks` chunks that say the same.
fn recording(chunks: u32) -> Vec<u8> {
    let new = NewFile {
        chunk_bytes: MIN_CHUNK_BYTES,
        header_align: HEADER_ALIGN,
        required_features: 0,
        mono_start_ns: 1_000,
        wall_start_ns: 1_700_000_000_000_001_000,
        t_mono_start_s: 1e-6,
        t_wall_start_s: 1_700_000_000.000_001,
        recording_id: 77,
        file_number: 2,
    };
    let facts = FileFacts { level: "storage".into(), host: "node-1".into(), ..FileFacts::default() };
    let mut writer = TraceWriter::create(MemoryStore::default(), new, facts).expect("a file in memory");
    for _ in 0..chunks {
        writer
            .push(CLOCK, |chunk| {
                chunk.thread(3, &ThreadFacts { os_thread_id: 99, name: "engine".into() })?;
                let view = KeyView {
                    chunk_hash: &[5; 32],
                    model_name: "org/model",
                    kv_rank: 1,
                    object_group_id: 0,
                    cache_salt: "tenant",
                };
                let rows = [chunk.key_row(&view)?];
                let keys = KeysToPush::Rows(&rows);
                chunk.push_call(Op::ReadEnter, &stamp(2_000, 0), 0, keys, true)?;
                chunk.push_call(Op::FinishRead, &stamp(3_000, 1), 70_000, keys, true)?;
                let name = chunk.name("engine.step")?;
                chunk.push_named_call(RecordKind::HostCall, &stamp(4_000, 2), name, b"any bytes")?;
                chunk.push_loss(&stamp(5_000, 3), LossReason::RingFull, 12, 4_500..6_000)?;
                chunk.push_completion(&stamp(7_000, 0), &completion())
            })
            .expect("it fits");
        writer.begin_kind(CLOCK, lmcache::format::native::ChunkKind::Records).expect("memory does not fail");
    }
    writer.finish(CLOCK, None).expect("memory does not fail").1.0
}

fn exported(native: &[u8], options: ExportOptions) -> (TraceReader, NotExpressed) {
    let made = lmcache(&native_file(native), options);
    (TraceReader::from_bytes("memory", made.bytes).expect("a header"), made.report.not_expressed)
}

fn names(reader: &TraceReader) -> Vec<&str> {
    let name = |entry| match entry {
        Entry::Record(record) => record.qualname,
        Entry::Undecodable { error, .. } => panic!("{error}"),
    };
    reader.records().map(name).collect()
}

#[test]
fn lmcache_gets_what_it_has_words_for_and_is_told_of_losses() {
    let (reader, not_expressed) = exported(&recording(1), ExportOptions::default());
    let [enter, finish] = [Op::ReadEnter, Op::FinishRead].map(Op::qualname);
    assert_eq!(names(&reader), [&enter, &finish, "engine.step", LOSS_QUALNAME]);
    assert_eq!(not_expressed, NotExpressed { threads: 3, completions: 1, ..NotExpressed::default() });
    let Some(Entry::Record(second)) = reader.records().nth(1) else { panic!("a record") };
    let call = decode_call(Op::FinishRead, &second.args, &mut KeyInterner::default()).expect("a call");
    let StorageCall::FinishRead { keys, read_locks } = call else { panic!("the call that was recorded") };
    assert_eq!((keys[0].view().cache_salt, read_locks), ("tenant", 70_000));
    assert_eq!(second.t_mono_s, 3_000.0 / 1e9 - 1e-6);
    assert_eq!(second.t_wall_s, 1_700_000_000_000_003_000_u64 as f64 / 1e9);
    let Some(Entry::Record(host)) = reader.records().nth(2) else { panic!("a record") };
    assert_eq!(host.args.require("bytes").and_then(|bytes| bytes.as_bin()), Ok(&b"any bytes"[..]));
}

#[test]
fn options_choose_what_else_is_written() {
    let (reader, not_expressed) = exported(
        &recording(1),
        ExportOptions { salts: SaltPolicy::Omitted, with_losses: false, with_completions: true },
    );
    assert_eq!(names(&reader)[2..], ["engine.step", COMPLETION_QUALNAME]);
    assert_eq!(not_expressed, NotExpressed { threads: 3, losses: 1, salts: 2, completions: 0 });
}

#[test]
fn a_compact_file_keeps_everything() {
    let recorded = recording(2);
    let made = compact(&native_file(&recorded));
    check_native(&made.bytes);
    let (before, after) = [&recorded, &made.bytes]
        .map(|bytes| NativeTrace::from_bytes("memory", bytes).expect("a native file"))
        .into();
    assert_eq!(before.header().facts(), after.header().facts());
    assert_eq!(before.header().fixed().recording_id, after.header().fixed().recording_id);
    let said = |trace: &NativeTrace| {
        let keys = trace.key_table().expect("a good key table");
        let mut said = Vec::new();
        for place in trace.record_chunks() {
            let chunk = trace.open_chunk(place, keys.as_ref()).expect("a good chunk");
            for record in chunk.records() {
                let prefix = record.prefix();
                let words = match record.body() {
                    Body::Call(call) => {
                        let keys: Vec<_> = call.keys().iter().map(|key| key.to_string()).collect();
                        format!("{:?} {keys:?} {}", call.op(), call.read_locks())
                    }
                    Body::Other => continue,
                    other => format!("{other:?}"),
                };
                said.push((prefix.t_ns, prefix.thread, prefix.sequence, words));
            }
        }
        said
    };
    assert_eq!(said(&before), said(&after));
    assert_eq!(said(&after).len(), 10);
    let (before, after) = (before.index().expect("closed"), after.index().expect("closed"));
    assert_eq!((&before.threads, before.lost, before.calls), (&after.threads, after.lost, after.calls));
    assert_eq!(after.distinct_keys, Some(1));
}

#[test]
fn damage_costs_its_chunk_and_is_told() {
    let mut recorded = recording(2);
    let second =
        NativeTrace::from_bytes("memory", &recorded).expect("a native file").chunks()[1].offset as usize;
    recorded[second + CHUNK_HEADER_BYTES + 40] ^= 1;
    let made = lmcache(&native_file(&recorded), ExportOptions::default());
    assert_eq!((made.report.damaged_chunks, made.report.calls), (1, 2));
    assert!(made.report.is_damaged());
}

#[test]
fn a_copy_of_a_file_that_is_not_whole_says_so() {
    let whole = recording(2);
    let trace = NativeTrace::from_bytes("memory", &whole).expect("a native file");
    let (second, last) = (trace.chunks()[1].offset as usize, trace.chunks()[1].unverified.latest());
    let end = second + CHUNK_HEADER_BYTES + last.expect("a slot").committed_bytes as usize;
    let mut damaged = whole.clone();
    damaged[second + CHUNK_HEADER_BYTES + 40] ^= 1;
    let origins = [
        (whole.clone(), None),
        (whole[..end].to_vec(), Some("an unfinished file")),
        (damaged, Some("a damaged file; left out: damaged chunks: 1")),
    ];
    for (bytes, origin) in origins {
        for made in [native(&native_file(&bytes)), compact(&native_file(&bytes))] {
            let copy = NativeTrace::from_bytes("memory", &made.bytes).expect("a native file");
            assert_eq!(copy.header().converted_from(), origin);
            let mut summary = summarize_native(&copy, false, 1, |_| ());
            summary.index.lost = 0;
            assert_eq!((summary.is_closed, summary.is_incomplete()), (true, origin.is_some()));
            // A copy of the copy is not more than the copy.
            let again = compact(&native_file(&made.bytes));
            let again = NativeTrace::from_bytes("memory", &again.bytes).expect("a native file");
            assert_eq!(again.header().converted_from(), origin);
        }
    }
}

#[test]
fn whoever_watches_can_end_it() {
    let file = native_file(&recording(1));
    let mut stop = |_: u64| Err(lmcache::error::Error::invalid("enough"));
    let error = lmcache::convert::to_lmcache(&file, std::io::sink(), ExportOptions::default(), &mut stop);
    assert_eq!(error.map(|_| ()).expect_err("it was ended").message(), "enough");
    assert!(lmcache::convert::to_compact(&file, MemoryStore::default(), &mut stop).is_err());
}

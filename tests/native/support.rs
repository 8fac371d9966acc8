//! A file in memory, and records to put into it.

use std::hash::{Hash, Hasher};

use lmcache::format::model::{Dtype, KeyView, MemoryLayoutDesc, Op};
use lmcache::format::native::kind::{LossReason, Outcome, RecordKind};
use lmcache::format::native::pod::{
    CompletionBody, DEFAULT_CHUNK_BYTES, HEADER_ALIGN, KeyRow, LIVE_HEADER_ALIGN,
};
use lmcache::format::native::schema::ThreadFacts;
use lmcache::format::native::{
    Body, ChunkBuilder, ChunkFull, FileFacts, KeyList, KeysToPush, NewFile, PrefetchToPush, RecordView,
    RowToPush, Stamp,
};
use lmcache::trace::native::NativeTrace;
use lmcache::trace::store::TraceStore;
use lmcache::trace::writer::{ClockPair, TraceWriter};

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

pub(crate) fn new_file(chunk_bytes: u32) -> NewFile {
    NewFile {
        chunk_bytes,
        header_align: HEADER_ALIGN,
        required_features: 0,
        mono_start_ns: 1_000,
        wall_start_ns: 1_700_000_000_000_000_000,
        t_mono_start_s: 1e-6,
        t_wall_start_s: 1.7e9,
        recording_id: 0x1234_5678_9abc_def0,
        file_number: 0,
    }
}

pub(crate) fn writer() -> TraceWriter<MemoryStore> {
    writer_with_chunks(DEFAULT_CHUNK_BYTES)
}

pub(crate) fn writer_with_chunks(chunk_bytes: u32) -> TraceWriter<MemoryStore> {
    let facts = FileFacts { level: "storage".into(), ..FileFacts::default() };
    TraceWriter::create(MemoryStore::default(), new_file(chunk_bytes), facts).expect("a file in memory")
}

pub(crate) const CLOCK: ClockPair = ClockPair { mono_ns: 5, wall_ns: 6 };

/// The key of chunk `number` of a prompt.
pub(crate) fn hash(number: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    hash[8..16].copy_from_slice(&number.to_le_bytes());
    hash
}

pub(crate) fn view(hash: &[u8]) -> KeyView<'_> {
    KeyView {
        chunk_hash: hash,
        model_name: "org/model",
        kv_rank: 0x0100_0100,
        object_group_id: 0,
        cache_salt: "",
    }
}

pub(crate) fn rows(
    builder: &mut ChunkBuilder,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<Vec<KeyRow>, ChunkFull> {
    numbers.into_iter().map(|number| builder.key_row(&view(&hash(number)))).collect()
}

/// A stamp of a thread's next call.
pub(crate) fn stamp(t_ns: u64, thread: u32, sequence: u32) -> Stamp {
    Stamp { t_ns, thread, sequence, ..Stamp::default() }
}

pub(crate) fn layout() -> MemoryLayoutDesc {
    let bf16 = Dtype::from_name("torch.bfloat16").expect("torch has it");
    MemoryLayoutDesc::new(vec![(Box::new([2, 3]), bf16)]).expect("a small layout")
}

/// A writer as a recorder has it.
pub(crate) fn live_writer<S: TraceStore>(store: S, chunk_bytes: u32) -> TraceWriter<S> {
    let facts = FileFacts { level: "storage".into(), ..FileFacts::default() };
    let file = NewFile { header_align: LIVE_HEADER_ALIGN, ..new_file(chunk_bytes) };
    TraceWriter::create(store, file, facts).expect("a file in memory")
}

/// Random numbers that are the same in every run (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}

/// Records of all kinds, by three threads, in the order of time.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) dice: Dice,
    /// Records so far, definitions not counted.
    pub(crate) records: usize,
    t_ns: u64,
    sequences: [u32; 3],
    pub(crate) most_keys: u64,
}

impl Workload {
    pub(crate) fn new(seed: u64, most_keys: u64) -> Self {
        Self { dice: Dice(seed), records: 0, t_ns: 1_000, sequences: [0; 3], most_keys }
    }

    /// Pushes one record, and a completion of it now and then.
    pub(crate) fn push<S: TraceStore>(&mut self, writer: &mut TraceWriter<S>) {
        let (what, first, count) =
            (self.dice.below(12), self.dice.below(1_000), 1 + self.dice.below(self.most_keys));
        let thread = 1 + self.dice.below(3) as u32;
        self.t_ns += self.dice.below(1_000);
        let sequence = self.sequences[thread as usize - 1];
        let stamp = stamp(self.t_ns, thread, sequence);
        let attempted = if what == 0 { 5 } else { 1 };
        let facts = ThreadFacts { os_thread_id: u64::from(thread), name: format!("thread {thread}") };
        writer
            .push(CLOCK, |chunk| {
                chunk.thread(thread, &facts)?;
                if what == 0 {
                    return chunk.push_loss(&stamp, LossReason::RingFull, 5, stamp.t_ns..stamp.t_ns + 1);
                }
                push_some_call(chunk, &stamp, what, first..first + count)
            })
            .expect("memory does not fail");
        self.sequences[thread as usize - 1] += attempted;
        self.records += 1;
        if what > 6 {
            self.complete(writer, thread, sequence);
        }
    }

    fn complete<S: TraceStore>(&mut self, writer: &mut TraceWriter<S>, thread: u32, sequence: u32) {
        self.t_ns += 1;
        let body = CompletionBody {
            call_thread: thread,
            call_sequence: sequence,
            duration_ns: 1,
            data_ready_ns: 2,
            bytes: self.dice.roll(),
            hit_keys: 3,
            requested_keys: 4,
            op: RecordKind::Call(Op::ReadEnter).number(),
            outcome: Outcome::Done as u8,
            reserved: [0; 6],
        };
        let stamp = stamp(self.t_ns, thread, sequence);
        writer.push(CLOCK, |chunk| chunk.push_completion(&stamp, &body)).expect("memory does not fail");
        self.records += 1;
    }
}

fn push_some_call(
    chunk: &mut ChunkBuilder,
    stamp: &Stamp,
    what: u64,
    keys: std::ops::Range<u64>,
) -> Result<(), ChunkFull> {
    if what == 1 {
        let name = chunk.name("engine.step")?;
        return chunk.push_named_call(RecordKind::HostCall, stamp, name, &keys.start.to_le_bytes());
    }
    let number = chunk.layout(&layout())?;
    let keys = rows(chunk, keys)?;
    let keys = KeysToPush::Rows(&keys);
    match what {
        2 => {
            let args = PrefetchToPush { external_request_id: "a request", ..PrefetchToPush::default() };
            let row = RowToPush { keys, object_group_id: 0, layout: number, sliding_window_size: -1 };
            chunk.push_prefetch(stamp, &args, &[row], true)
        }
        3 => chunk.push_call(Op::ReserveWrite, stamp, i64::from(number), keys, true),
        4 => chunk.push_call(Op::FinishRead, stamp, 1 << 33, keys, true),
        5 | 6 => chunk.push_call(Op::FinishWrite, stamp, 0, keys, true),
        _ => chunk.push_call(Op::ReadEnter, &Stamp { wall_ns: Some(7), ..*stamp }, 0, keys, false),
    }
}

/// A number that another list of keys has only by accident.
fn digest(keys: &KeyList<'_>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for key in keys.iter() {
        let scope = (key.model_name, key.kv_rank, key.object_group_id, key.cache_salt);
        (key.chunk_hash, scope).hash(&mut hasher);
    }
    (keys.len(), hasher.finish()).hash(&mut hasher);
    hasher.finish()
}

/// All that a record says, in a line; nothing for a definition.
pub(crate) fn line(record: &RecordView<'_>) -> Option<String> {
    use std::fmt::Write;
    let prefix = record.prefix();
    let mut line =
        format!("{} {} {} {} {}", prefix.t_ns, prefix.thread, prefix.sequence, prefix.kind, prefix.flags);
    match record.body() {
        Body::Other => return None,
        Body::Call(call) => {
            let _ = write!(line, " {:?} {:?}", call.wall_ns(), call.read_locks());
            let _ = write!(line, " {:?}", call.layout().map(|layout| &layout.facts));
            let _ = write!(line, " {}", digest(&call.keys()));
            for row in call.prefetch().iter().flat_map(|prefetch| prefetch.rows()) {
                let keys = digest(&row.keys);
                let _ = write!(line, " {:?} {} {keys}", row.layout.facts, row.sliding_window_size);
            }
        }
        Body::Completion(body) => line += &format!(" {body:?}"),
        Body::Loss(body) => line += &format!(" {body:?}"),
        Body::HostCall { name, bytes } => line += &format!(" {name} {bytes:?}"),
        other => panic!("the workload does not make {other:?}"),
    }
    Some(line)
}

/// The number of the chunk and the line of every record that can be read.
pub(crate) fn reading(trace: &NativeTrace) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    for place in trace.chunks() {
        if let Ok(chunk) = trace.open_chunk(place, None) {
            lines.extend(chunk.records().filter_map(|record| Some((chunk.header().number, line(&record)?))));
        }
    }
    lines
}

//! A call that is decoded over one that is done with is the one that is decoded alone.

use lmcache::format::model::{Dtype, KeyInterner, KeyView, MemoryLayoutDesc, Op, StorageCall, WriteMode};
use lmcache::format::native::pod::MIN_CHUNK_BYTES;
use lmcache::format::native::{
    ChunkBuilder, ChunkFull, ChunkScopes, KeyMaker, KeysToPush, PrefetchToPush, RowToPush,
};
use lmcache::trace::native::NativeTrace;

use super::support::{CLOCK, Dice, layout, stamp, view, writer_with_chunks};

const CALLS: u32 = 4_000;

/// A hash that stands in its row, up to the longest that does, or elsewhere in the chunk.
fn hash_of(dice: &mut Dice) -> Vec<u8> {
    let len_bytes = [32, 32, 32, 1, 0, 31, 33, 100][dice.below(8) as usize];
    (0..len_bytes).map(|_| dice.roll() as u8).collect()
}

/// One of three layouts.
fn some_layout(dice: &mut Dice) -> MemoryLayoutDesc {
    let byte = Dtype::from_name("torch.uint8").expect("torch has it");
    let bytes = |len| MemoryLayoutDesc::new(vec![(Box::new([len]), byte)]).expect("a small layout");
    match dice.below(3) {
        0 => layout(),
        len => bytes(len),
    }
}

fn push_call(chunk: &mut ChunkBuilder, dice: &mut Dice, number: u32) -> Result<(), ChunkFull> {
    let (op, tenant) = (Op::ALL[dice.below(6) as usize], dice.below(3) as usize);
    // Mostly short, now and then longer than what is kept.
    let count = if dice.below(16) == 0 { 60 } else { dice.below(5) };
    let mut keys = Vec::new();
    for _ in 0..count {
        let (hash, other) = (hash_of(dice), dice.below(8) == 0);
        let cache_salt = ["", "a", "b"][if other { 0 } else { tenant }];
        keys.push(chunk.key_row(&KeyView { cache_salt, ..view(&hash) })?);
    }
    let (stamp, keys, number_of_layout) =
        (stamp(u64::from(number), 1, number), KeysToPush::Rows(&keys), chunk.layout(&some_layout(dice))?);
    match op {
        Op::SubmitPrefetch => {
            let args = PrefetchToPush { external_request_id: "a request", ..PrefetchToPush::default() };
            let row =
                RowToPush { keys, object_group_id: 0, layout: number_of_layout, sliding_window_size: -1 };
            chunk.push_prefetch(&stamp, &args, &[row, row], true)
        }
        Op::ReserveWrite => chunk.push_call(op, &stamp, i64::from(number_of_layout), keys, true),
        Op::FinishRead => chunk.push_call(op, &stamp, dice.below(1 << 20) as i64, keys, true),
        op => chunk.push_call(op, &stamp, 0, keys, dice.below(2) == 0),
    }
}

#[test]
fn a_call_written_over_another_is_the_call_alone() {
    let (mut writer, mut dice) = (writer_with_chunks(MIN_CHUNK_BYTES), Dice(7));
    for number in 0..CALLS {
        // A chunk that is full takes the call into the next one: the same call.
        let before = dice.clone();
        let push = |chunk: &mut ChunkBuilder| {
            dice = before.clone();
            push_call(chunk, &mut dice, number)
        };
        writer.push(CLOCK, push).expect("it fits");
    }
    let (_, store) = writer.finish(CLOCK, None).expect("memory does not fail");
    let trace = NativeTrace::from_bytes("memory", &store.0).expect("a trace");
    let mut over = StorageCall::FinishWrite { keys: Vec::new() };
    let (mut interner, mut calls) = (KeyInterner::default(), 0);
    let mut modes = [WriteMode::New, WriteMode::Update, WriteMode::All].into_iter().cycle();
    for place in trace.record_chunks() {
        let (chunk, mut scopes) =
            (trace.open_chunk(place, None).expect("a good chunk"), ChunkScopes::default());
        for call in chunk.records().filter_map(|record| record.call()) {
            // An imported file has calls of older releases between ours.
            if let StorageCall::ReserveWrite { mode, .. } = &mut over {
                *mode = modes.next().expect("a cycle");
            }
            call.write_to(&mut over, &mut KeyMaker::new(&mut interner, &mut scopes)).expect("a good call");
            assert_eq!(over, call.to_call(&mut KeyInterner::default()).expect("a good call"), "{calls}");
            calls += 1;
        }
    }
    assert!(calls == CALLS && trace.chunks().len() > 10, "{calls}");
}

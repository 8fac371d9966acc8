//! An engine that records its calls: two workers that store prompts and read them back.
//!
//! ```text
//! cargo run --release --example record target/engine.lct
//! ```

use std::sync::Arc;

use lmcache::clock::monotonic_ns;
use lmcache::error::Result;
use lmcache::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc, ObjectKey};
use lmcache::format::native::Outcome;
use lmcache::trace::recorder::{Completion, RecorderOptions, ThreadRecorder, TraceRecorder};

/// Calls of so many prompts fit into a ring, however slow the writer is.
const PROMPTS: u64 = 200;
const CHUNKS_PER_PROMPT: u64 = 16;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "target/engine.lct".to_owned());
    let mut options = RecorderOptions::new(&path);
    options.facts.node = "node-7".to_owned();
    options.on_stop = Some(Box::new(|error| eprintln!("no more is recorded: {error}")));
    let recorder = TraceRecorder::open(options)?;

    let scope = Arc::new(KeyScope::new("org/model", 0x0100_0100, 0, "tenant-1")?);
    let bfloat16 = Dtype::from_name("torch.bfloat16").expect("torch has it");
    let layout = MemoryLayoutDesc::new(vec![(Box::new([2, 256, 1024]), bfloat16)])?;
    std::thread::scope(|workers| {
        for worker in 0..2 {
            let (recorder, scope, layout) = (&recorder, &scope, &layout);
            workers.spawn(move || match recorder.thread() {
                Ok(thread) => work(thread, worker, scope, layout),
                Err(error) => eprintln!("worker {worker} is not recorded: {error}"),
            });
        }
    });

    let stats = recorder.close()?;
    println!("{path}: {} calls, {} completions, {} lost", stats.calls, stats.completions, stats.lost);
    Ok(())
}

/// What a worker of an engine does, without the work.
fn work(mut thread: ThreadRecorder, worker: u64, scope: &Arc<KeyScope>, layout: &MemoryLayoutDesc) {
    for prompt in worker * PROMPTS..(worker + 1) * PROMPTS {
        let chunks = prompt * CHUNKS_PER_PROMPT..(prompt + 1) * CHUNKS_PER_PROMPT;
        let keys: Vec<_> = chunks.map(|chunk| key(scope, chunk)).collect();
        thread.reserve_write(&keys, layout);
        thread.finish_write(&keys);

        let started_ns = monotonic_ns();
        if let Some(call) = thread.read_enter(&keys) {
            let completion = Completion {
                outcome: Outcome::Done,
                duration_ns: monotonic_ns() - started_ns,
                data_ready_ns: None,
                requested_keys: keys.len() as u32,
                hit_keys: keys.len() as u32,
                bytes: keys.len() as u64 * layout.size_bytes(),
            };
            thread.complete(call, &completion);
        }
        thread.read_exit(&keys);
        thread.host_call("engine.prompt_done", &prompt.to_le_bytes());
    }
}

/// The key of a chunk. An engine has a hash of the chunk's tokens and of all before them.
fn key(scope: &Arc<KeyScope>, chunk: u64) -> ObjectKey {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&chunk.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    ObjectKey::new(ChunkHash::new(&hash), Arc::clone(scope))
}

//! A storage manager with a folder behind it: objects are written, evicted from L1, and come back.
//!
//! ```console
//! $ cargo run --release --example tiers
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{
    ChunkHash, Dtype, FetchingPolicy, KeyScope, LockMode, MemoryLayoutDesc, ObjectKey, PrefetchTaskSpec,
};
use lmcache::storage::StorageManager;
use lmcache::storage::config::{EvictionPolicyKind, L2AdapterConfig, StorageManagerConfig};
use lmcache::storage::metrics::{DEFAULT_SAMPLE_RATE, StorageMetrics};

const CHUNKS: u32 = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("lmcache-tiers-{}", std::process::id()));
    let mut config = StorageManagerConfig::l1_only(64 << 20, EvictionPolicyKind::Lru);
    let json = serde_json::json!({ "type": "fs", "base_path": &folder });
    config.l2_adapters = vec![L2AdapterConfig::from_json(&json.to_string())?];
    let manager = StorageManager::new(config)?;
    let metrics = Arc::new(StorageMetrics::new(DEFAULT_SAMPLE_RATE)?);
    manager.attach_events(Arc::clone(&metrics) as _)?;

    // A prompt of 32 chunks on one rank: a MiB of bfloat16 each.
    let scope = Arc::new(KeyScope::new("meta/llama-3", 0x0100_0100, 0, "")?);
    let key = |chunk: u32| ObjectKey::new(ChunkHash::new(&chunk.to_be_bytes()), Arc::clone(&scope));
    let keys: Vec<ObjectKey> = (0..CHUNKS).map(key).collect();
    let bfloat16 = Dtype::from_name("torch.bfloat16").ok_or("torch has bfloat16")?;
    let layout = MemoryLayoutDesc::new(vec![(Box::new([2, 32, 256, 32]), bfloat16)])?;

    let reservation = manager.reserve_write(&keys, &layout)?;
    for (chunk, buffer) in reservation.buffers().enumerate() {
        buffer.write(&vec![chunk as u8; layout.size_bytes() as usize])?;
    }
    println!("written:  {} of {CHUNKS} chunks", manager.finish_write(&keys)?.as_slice().len());
    println!("stored:   {}", manager.flush_stores(Duration::from_secs(60)));
    manager.clear(false);
    println!("in L1:    {} bytes", manager.get_l1_usage().0);

    let row = GroupedObjectKeys { keys: keys.clone(), object_group_id: 0, layout, sliding_window_size: -1 };
    let spec = PrefetchTaskSpec {
        key_groups: vec![row],
        num_kv_readers: 1,
        fetching_policy: FetchingPolicy::Prefix,
        lock_mode: LockMode::Lock,
    };
    let handle = manager.submit_prefetch_task(&spec, "request-1", false)?;
    manager.wait_prefetch_status(&handle, Duration::from_secs(60));
    let result = manager.query_prefetch_status(&handle).ok_or("the prefetch took too long")?;
    println!("from L2:  {} chunks", result.l2_hit_cells[0].popcount());

    let context = manager.read_prefetched_results(&keys, None)?;
    let mut first = [0];
    for (chunk, object) in context.objects().ok_or("a chunk was lost")?.iter().enumerate() {
        object.read_into(&mut first);
        assert_eq!(usize::from(first[0]), chunk, "every chunk has its own bytes");
    }
    context.exit(false);
    manager.finish_read_prefetched(&keys, 1, None)?;

    let interesting = |line: &&str| line.starts_with("lmcache_mp_l2_store_completed_objects");
    println!("metrics:  {}", metrics.encode(&manager)?.lines().find(interesting).unwrap_or("none"));
    manager.close()?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

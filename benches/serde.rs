//! How fast objects are transformed on their way to L2 and back, in bytes of the plain object.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use std::hint::black_box;
use std::sync::Arc;

use lmcache::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc, ObjectKey};
use lmcache::storage::serde::{Serde, SerdeConfig, create};
use serde_json::{Value, json};

/// Elements of an object: 4 MiB of bfloat16.
const ELEMENTS: u64 = 1 << 21;

fn serde_of(config: &Value) -> Arc<dyn Serde> {
    create(&SerdeConfig::from_json(config).expect("a configuration")).expect("a serde")
}

fn key() -> ObjectKey {
    ObjectKey::new(ChunkHash::new(&[1]), Arc::new(KeyScope::new("model", 0, 0, "tenant").expect("a scope")))
}

fn layout(dtype: &str) -> MemoryLayoutDesc {
    let dtype = Dtype::from_name(&format!("torch.{dtype}")).expect("a dtype");
    MemoryLayoutDesc::new(vec![(Box::new([ELEMENTS]), dtype)]).expect("a layout")
}

/// Values spread as those of a KV cache are: sums of twelve uniform ones, about a normal distribution of width 1.
fn values() -> impl Iterator<Item = f32> {
    let mut state = 1_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    std::iter::repeat_with(move || (0..12).map(|_| uniform()).sum()).take(ELEMENTS as usize)
}

/// The bits of the float16 toward zero from `value`, which must be normal in it.
fn float16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits >> 16 & 0x8000) | (((bits & 0x7fff_ffff) - (112 << 23)) >> 13)) as u16
}

fn plain(dtype: &str) -> Vec<u8> {
    match dtype {
        "bfloat16" => values().flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes()).collect(),
        "float16" => values()
            .map(|value| if value.abs() < 1e-4 { 1.0 } else { value })
            .flat_map(|value| float16_bits(value).to_le_bytes())
            .collect(),
        _ => values().flat_map(f32::to_le_bytes).collect(),
    }
}

fn measure(c: &mut Criterion, name: &str, serde: &dyn Serde, dtypes: &[&str]) {
    let mut group = c.benchmark_group(name);
    for dtype in dtypes {
        let (key, layout, plain) = (key(), layout(dtype), plain(dtype));
        group.throughput(Throughput::Bytes(plain.len() as u64));
        let mut wire = Vec::new();
        group.bench_function(BenchmarkId::new("serialize", dtype), |b| {
            b.iter(|| serde.serialize(&key, &layout, black_box(&plain), &mut wire).expect("a wire"));
        });
        serde.serialize(&key, &layout, &plain, &mut wire).expect("a wire");
        let mut back = vec![0; plain.len()];
        group.bench_function(BenchmarkId::new("deserialize", dtype), |b| {
            b.iter(|| serde.deserialize(&key, &layout, black_box(&wire), &mut back).expect("an object"));
        });
    }
    group.finish();
}

fn fp8(c: &mut Criterion) {
    for format in ["float8_e4m3fn", "float8_e5m2"] {
        let serde = serde_of(&json!({"type": "fp8", "fp8_dtype": format}));
        measure(c, format, &*serde, &["bfloat16", "float16", "float32"]);
    }
}

#[cfg(feature = "aesgcm")]
fn aesgcm(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    std::fs::write(&path, b"a secret of the benchmark").expect("a file");
    for aes_bits in [128, 256] {
        let config = json!({"type": "aesgcm", "aes_bits": aes_bits, "master_key_path": path});
        measure(c, &format!("aesgcm-{aes_bits}"), &*serde_of(&config), &["bfloat16"]);
    }
}

#[cfg(not(feature = "aesgcm"))]
fn aesgcm(_: &mut Criterion) {}

criterion_group!(benches, fp8, aesgcm);
criterion_main!(benches);

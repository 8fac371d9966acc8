//! The serdes beside crates that do the same: `float8` for bfloat16 to e4m3fn and back, RustCrypto's `aes-gcm`.
//!
//! Prints GB/s of plain bytes, the best of some rounds over an object of 4 MiB: `cargo bench --bench serde`.

use std::hint::black_box;
use std::sync::Arc;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use float8::F8E4M3;
use half::bf16;
use lmcache::clock::monotonic_ns;
use lmcache::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc, ObjectKey};
use lmcache::storage::serde::{Serde, SerdeConfig, create};
use serde_json::{Value, json};

const ELEMENTS: usize = 1 << 21;
const ROUNDS: usize = 40;

fn report(name: &str, mut transform: impl FnMut()) {
    transform();
    let best_ns = (0..ROUNDS)
        .map(|_| {
            let start_ns = monotonic_ns();
            transform();
            monotonic_ns() - start_ns
        })
        .min();
    println!("{name:32} {:6.2} GB/s", (2 * ELEMENTS) as f64 / best_ns.expect("rounds") as f64);
}

fn serde_of(config: &Value) -> Arc<dyn Serde> {
    create(&SerdeConfig::from_json(config).expect("a configuration")).expect("a serde")
}

fn both_ways(name: &str, serde: &dyn Serde, plain: &[u8]) {
    let bfloat16 = Dtype::from_name("torch.bfloat16").expect("a dtype");
    let layout = MemoryLayoutDesc::new(vec![(Box::new([ELEMENTS as u64]), bfloat16)]).expect("a layout");
    let key = ObjectKey::new(ChunkHash::new(&[1]), Arc::new(KeyScope::new("m", 0, 0, "").expect("a scope")));
    let (mut wire, mut back) = (Vec::new(), vec![0; plain.len()]);
    report(&format!("{name} serialize"), || {
        serde.serialize(&key, &layout, black_box(plain), &mut wire).expect("a wire");
    });
    report(&format!("{name} deserialize"), || {
        serde.deserialize(&key, &layout, black_box(&wire), &mut back).expect("an object");
    });
}

fn float8_crate(values: &[bf16]) {
    let mut codes = vec![F8E4M3::ZERO; ELEMENTS];
    report("float8 crate bf16 -> e4m3", || {
        for (code, value) in codes.iter_mut().zip(black_box(values)) {
            *code = F8E4M3::from_f32(value.to_f32());
        }
    });
    let mut back = vec![bf16::ZERO; ELEMENTS];
    report("float8 crate e4m3 -> bf16", || {
        for (value, code) in back.iter_mut().zip(black_box(&codes)) {
            *value = bf16::from_f32(code.to_f32());
        }
    });
}

fn rust_crypto<C: AeadInOut>(name: &str, cipher: &C, plain: &[u8]) {
    let (nonce, mut text) = (aes_gcm::aead::Nonce::<C>::default(), plain.to_vec());
    report(name, || {
        text.copy_from_slice(black_box(plain));
        black_box(cipher.encrypt_inout_detached(&nonce, b"", text.as_mut_slice().into()).expect("a tag"));
    });
}

fn main() {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let values: Vec<bf16> =
        (0..ELEMENTS).map(|_| bf16::from_f32((0..12).map(|_| uniform()).sum())).collect();
    let plain: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();

    both_ways("fp8 e4m3fn", &*serde_of(&json!({"type": "fp8"})), &plain);
    float8_crate(&values);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    std::fs::write(&path, b"a secret of the benchmark").expect("a file");
    for aes_bits in [128, 256] {
        let config = json!({"type": "aesgcm", "aes_bits": aes_bits, "master_key_path": path});
        both_ways(&format!("aesgcm {aes_bits}"), &*serde_of(&config), &plain);
    }
    rust_crypto("RustCrypto aes-gcm 128 encrypt", &Aes128Gcm::new(&[7; 16].into()), &plain);
    rust_crypto("RustCrypto aes-gcm 256 encrypt", &Aes256Gcm::new(&[7; 32].into()), &plain);
}

//! The `"serde"` object: LMCache's keys and defaults, and a sentence for everything else.

use serde_json::{Value, json};

use lmcache::error::ErrorKind;
use lmcache::storage::serde::SerdeConfig;
use lmcache::storage::serde::config::{AesGcmConfig, AesKeySize, Fp8Config, MAX_WORKERS};
use lmcache::storage::serde::float8::Float8;

fn refusal(json: &Value) -> (ErrorKind, String) {
    let error = SerdeConfig::from_json(json).unwrap_err();
    (error.kind(), format!("{error}; {}", error.hint().unwrap_or_default()))
}

#[test]
fn what_is_left_out_is_as_lmcache_has_it() {
    let fp8 = SerdeConfig::from_json(&json!({"type": "fp8"})).unwrap();
    assert_eq!(fp8, SerdeConfig::Fp8(Fp8Config { format: Float8::E4m3fn, max_workers: 1 }));
    assert_eq!((fp8.name(), fp8.max_workers()), ("fp8", 1));
    let aesgcm = SerdeConfig::from_json(&json!({"type": "aesgcm", "master_key_path": "k"})).unwrap();
    let expected =
        AesGcmConfig { key_size: AesKeySize::Bits128, master_key_path: "k".into(), max_workers: 1 };
    assert_eq!(aesgcm, SerdeConfig::AesGcm(expected));
}

#[test]
fn every_key_is_read() {
    let fp8 = json!({"type": "fp8", "fp8_dtype": "float8_e5m2fnuz", "max_workers": 4});
    let expected = Fp8Config { format: Float8::E5m2fnuz, max_workers: 4 };
    assert_eq!(SerdeConfig::from_json(&fp8).unwrap(), SerdeConfig::Fp8(expected));
    let aesgcm = json!({
        "type": "aesgcm", "key_provider": "hkdf", "aes_bits": 256, "master_key_path": "k", "max_workers": 2
    });
    let expected =
        AesGcmConfig { key_size: AesKeySize::Bits256, master_key_path: "k".into(), max_workers: 2 };
    let config = SerdeConfig::from_json(&aesgcm).unwrap();
    assert_eq!((config.name(), config.max_workers()), ("aesgcm", 2));
    assert_eq!(config, SerdeConfig::AesGcm(expected));
}

#[test]
fn workers_are_accepted_to_the_limit_and_refused_past_it() {
    let with = |workers: Value| SerdeConfig::from_json(&json!({"type": "fp8", "max_workers": workers}));
    assert_eq!(with(json!(MAX_WORKERS)).unwrap().max_workers(), MAX_WORKERS);
    for workers in
        [json!(MAX_WORKERS + 1), json!(0), json!(-1), json!(1.5), json!("2"), json!(true), json!(null)]
    {
        let error = with(workers.clone()).unwrap_err();
        assert!(error.to_string().starts_with("max_workers must be an integer from 1 to 256"), "{workers}");
    }
}

#[test]
fn types_that_are_not_here_are_refused_each_by_its_reason() {
    for (name, kind, words) in [
        ("turboquant", ErrorKind::Unsupported, "needs CUDA kernels"),
        ("multi", ErrorKind::Unsupported, "no configuration can name it (type multi"),
        ("asym_k16_v8", ErrorKind::Unsupported, "no configuration can name it (type asym_k16_v8"),
        ("zstd", ErrorKind::InvalidArgument, "unknown type of serde (type zstd"),
    ] {
        let (found, text) = refusal(&json!({"type": name}));
        assert_eq!(found, kind);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (json, words) in [
        (json!("fp8"), "serde must be an object"),
        (json!({}), "misses the key type"),
        (json!({"type": 8}), "type must be a string"),
        (
            json!({"type": "fp8", "dtype": "x"}),
            "unknown key (key dtype, in serde); the keys are type, fp8_dtype",
        ),
        (json!({"type": "fp8", "aes_bits": 128}), "unknown key (key aes_bits"),
        (json!({"type": "fp8", "fp8_dtype": "float8_e8m0fnu"}), "fp8_dtype is not an 8-bit float"),
        (
            json!({"type": "fp8", "fp8_dtype": "torch.float8_e5m2"}),
            "the types are float8_e4m3fn, float8_e5m2",
        ),
        (json!({"type": "fp8", "fp8_dtype": 1}), "fp8_dtype must be a string"),
        (json!({"type": "aesgcm"}), "misses the key master_key_path"),
        (json!({"type": "aesgcm", "master_key_path": ""}), "master_key_path must be a non-empty string"),
        (json!({"type": "aesgcm", "master_key_path": "k", "aes_bits": 192}), "aes_bits must be 128 or 256"),
        (json!({"type": "aesgcm", "master_key_path": "k", "aes_bits": "128"}), "aes_bits must be 128 or 256"),
        (
            json!({"type": "aesgcm", "master_key_path": "k", "key_provider": "keyring"}),
            "key_provider must be hkdf",
        ),
        (json!({"type": "aesgcm", "master_key_path": "k", "aes-bits": 256}), "unknown key (key aes-bits"),
    ] {
        let (_, text) = refusal(&json);
        assert!(text.contains(words), "{json}: {text}");
    }
}

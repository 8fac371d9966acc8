//! The serde `aesgcm`: LMCache's frames are read, and nothing but whole frames of the right key.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Digest;

use lmcache::error::ErrorKind;
use lmcache::storage::serde::aesgcm::MAX_MASTER_KEY_BYTES;
use lmcache::storage::serde::{Serde, SerdeConfig, create};

use crate::common::json as fixture;
use crate::support::{deserialize, key, layout, serialize};

fn open(master_key: &[u8], aes_bits: u64) -> lmcache::error::Result<Arc<dyn Serde>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    std::fs::write(&path, master_key).unwrap();
    let config = json!({"type": "aesgcm", "aes_bits": aes_bits, "master_key_path": path});
    create(&SerdeConfig::from_json(&config).unwrap())
}

fn bytes_of_hex(value: &Value) -> Vec<u8> {
    let digits: Vec<u32> = value.as_str().unwrap().chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// The plain bytes of `make.py`.
fn plain_of(size: usize) -> Vec<u8> {
    (0_u32..).flat_map(|i| sha2::Sha256::digest(i.to_string())).take(size).collect()
}

#[test]
fn frames_of_lmcache_are_decrypted() {
    let frames = fixture("serde/aesgcm.json");
    let frames = frames.as_array().unwrap();
    assert_eq!(frames.len(), 6);
    for frame in frames {
        let serde = open(&bytes_of_hex(&frame["master_key"]), frame["aes_bits"].as_u64().unwrap()).unwrap();
        let size = frame["size"].as_u64().unwrap();
        let (key, layout) = (key(frame["cache_salt"].as_str().unwrap()), layout(&[(size, "uint8")]));
        let wire = bytes_of_hex(&frame["wire"]);
        assert_eq!(wire.len() as u64, serde.estimate_bytes(&layout).unwrap());
        assert_eq!(deserialize(&*serde, &key, &layout, &wire).unwrap(), plain_of(size as usize));
    }
}

#[test]
fn a_frame_has_a_version_a_fresh_iv_and_a_tag() {
    let serde = open(b"secret", 128).unwrap();
    let (key, layout) = (key("tenant"), layout(&[(100, "uint8")]));
    let plain = plain_of(100);
    let frames: Vec<Vec<u8>> = (0..100).map(|_| serialize(&*serde, &key, &layout, &plain)).collect();
    for frame in &frames {
        assert_eq!((frame.len(), frame[0]), (129, 1));
        assert!(frame.windows(8).all(|window| window != &plain[..8]), "nothing is left plain");
        assert_eq!(deserialize(&*serde, &key, &layout, frame).unwrap(), plain);
    }
    let ivs: std::collections::HashSet<&[u8]> = frames.iter().map(|frame| &frame[1..13]).collect();
    assert_eq!(ivs.len(), frames.len());
    assert_eq!(serde.name(), "aesgcm");
}

#[test]
fn an_altered_frame_is_refused_and_leaves_nothing_behind() {
    let serde = open(b"secret", 256).unwrap();
    let (key, layout) = (key(""), layout(&[(40, "uint8")]));
    let frame = serialize(&*serde, &key, &layout, &plain_of(40));
    for bit in 0..frame.len() * 8 {
        let mut altered = frame.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let mut out = [0xa5; 40];
        let error = serde.deserialize(&key, &layout, &altered, &mut out).unwrap_err();
        if bit < 8 {
            assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
        } else {
            assert_eq!((error.kind(), out), (ErrorKind::Corrupt, [0; 40]), "bit {bit}");
        }
    }
    for length in 0..frame.len() {
        let error = deserialize(&*serde, &key, &layout, &frame[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{length} bytes");
    }
    let padded = [&frame[..], &[0; 7]].concat();
    assert_eq!(deserialize(&*serde, &key, &layout, &padded).unwrap(), plain_of(40), "padding is ignored");
}

#[test]
fn tenants_sizes_and_master_keys_do_not_read_each_other() {
    let layout = layout(&[(16, "bfloat16")]);
    let frame = serialize(&*open(b"one", 128).unwrap(), &key("a"), &layout, &plain_of(32));
    for (master_key, aes_bits, salt) in
        [(b"one", 128, "b"), (b"one", 128, ""), (b"one", 256, "a"), (b"two", 128, "a")]
    {
        let error =
            deserialize(&*open(master_key, aes_bits).unwrap(), &key(salt), &layout, &frame).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    assert!(deserialize(&*open(b"one", 128).unwrap(), &key("a"), &layout, &frame).is_ok());
}

#[test]
fn buffers_of_other_lengths_are_refused() {
    let serde = open(b"secret", 128).unwrap();
    let layout = layout(&[(4, "float16")]);
    assert!(serde.serialize(&key(""), &layout, &[0; 7], &mut Vec::new()).is_err());
    assert!(serde.deserialize(&key(""), &layout, &[1; 64], &mut [0; 9]).is_err());
    let huge = crate::support::layout(&[(u64::MAX, "uint8")]);
    assert!(serde.estimate_bytes(&huge).is_err(), "its frame is longer than 64 bits can count");
}

#[test]
fn a_master_key_file_that_is_no_key_is_named() {
    for (content, kind) in
        [(0, ErrorKind::InvalidArgument), (MAX_MASTER_KEY_BYTES + 1, ErrorKind::InvalidArgument)]
    {
        let error = open(&vec![7; content as usize], 128).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("master.key"), "{error}");
    }
    assert!(open(&vec![7; MAX_MASTER_KEY_BYTES as usize], 128).is_ok());
    let config = json!({"type": "aesgcm", "master_key_path": "no/such/file"});
    let error = create(&SerdeConfig::from_json(&config).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("(path no/such/file)"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let config = json!({"type": "aesgcm", "master_key_path": folder.path()});
    let error = create(&SerdeConfig::from_json(&config).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "a folder cannot be read");
}

#[test]
fn keys_are_not_shown() {
    let serde = open(b"secret", 128).unwrap();
    assert_eq!(format!("{serde:?}"), "AesGcm { algorithm: AES_128_GCM, .. }");
}

proptest! {
    #[test]
    fn what_was_encrypted_comes_back(
        plain in prop::collection::vec(any::<u8>(), 0..300), salt in "[^@/\\\\\0]{0,20}", is_256 in any::<bool>(),
    ) {
        let serde = open(b"secret", if is_256 { 256 } else { 128 }).unwrap();
        let (key, layout) = (key(&salt), layout(&[(plain.len() as u64, "uint8")]));
        let wire = serialize(&*serde, &key, &layout, &plain);
        prop_assert_eq!(deserialize(&*serde, &key, &layout, &wire).unwrap(), plain);
    }

    #[test]
    fn bytes_of_no_origin_are_refused(wire in prop::collection::vec(any::<u8>(), 0..200), size in 0..150_u64) {
        let serde = open(b"secret", 128).unwrap();
        prop_assert!(deserialize(&*serde, &key(""), &layout(&[(size, "uint8")]), &wire).is_err());
    }
}

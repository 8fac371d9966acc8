//! What LMCache writes we read, and the other way round; with the real LMCache where `LMCACHE_PYTHON` names a Python that
//! has it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use lmcache::format::model::ObjectKey;
use lmcache::storage::l2::L2Adapter;
use serde_json::{Value, json};

use super::{file_names, folder, native};
use crate::support::{key_of, load, store_all};

fn payload(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|i| (seed * 31 + i * 7 + i / 256) as u8).collect()
}

/// Keys that have names in both, and what is stored under them.
fn objects() -> Vec<(ObjectKey, Vec<u8>)> {
    let keys = [
        key_of("org/model", 0x0805_0401, 18, &[1, 0xff], ""),
        key_of("org/model", 0x0805_0401, 18, &[1, 0xff], "tenant"),
        key_of("", 0, 0, &[], ""),
        key_of("\u{6a21}/\u{578b} b", -1, 0, &[0xab; 32], "\u{e9}.data"),
        key_of("%2F..//x", 1 << 40, 0xffff_ffff, &[0; 40], "t"),
    ];
    let sizes = [1, 4096, 100_000, 65_535, 12_288];
    keys.into_iter().zip(sizes).enumerate().map(|(seed, (key, size))| (key, payload(seed, size))).collect()
}

fn spec(objects: &[(ObjectKey, Vec<u8>)]) -> Value {
    let row = |(seed, (key, bytes)): (usize, &(ObjectKey, Vec<u8>))| {
        let view = key.view();
        let hash = format!("{:?}", key.chunk_hash());
        json!([view.model_name, view.kv_rank, view.object_group_id, hash, view.cache_salt, seed, bytes.len()])
    };
    objects.iter().enumerate().map(row).collect()
}

/// Has LMCache do it; `None` where there is none.
fn lmcache(action: &str, base: &Path, objects: &[(ObjectKey, Vec<u8>)]) -> Option<Value> {
    let Some(python) = std::env::var_os("LMCACHE_PYTHON") else {
        eprintln!("skipped: LMCACHE_PYTHON names no Python with LMCache");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/l2/fs/lmcache_fs.py");
    let mut child = Command::new(python)
        .arg(script)
        .args([action.as_ref(), base.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("that Python starts");
    child.stdin.take().unwrap().write_all(spec(objects).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    // LMCache logs to the same place.
    Some(serde_json::from_str(text.lines().last().expect("a line")).expect("JSON"))
}

fn load_all(adapter: &dyn L2Adapter, objects: &[(ObjectKey, Vec<u8>)]) {
    let wanted: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
    for (found, (key, expected)) in load(adapter, &wanted).iter().zip(objects) {
        assert!(found.as_ref() == Some(expected), "{key:?}");
    }
}

#[test]
fn lmcache_reads_what_we_write() {
    let (base, objects) = (folder(), objects());
    let adapter = native(base.path());
    store_all(&*adapter, &objects);
    adapter.close();
    if let Some(found) = lmcache("load", base.path(), &objects) {
        assert_eq!(found, json!([true, true, true, true, true]));
    }
}

#[test]
fn we_read_what_lmcache_writes() {
    let (base, objects) = (folder(), objects());
    if let Some(stored) = lmcache("store", base.path(), &objects) {
        assert_eq!(stored, json!([true, true, true, true, true]));
        let adapter = native(base.path());
        let bytes: u64 = objects.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        assert_eq!(adapter.ledger().used_bytes(), bytes, "{:?}", file_names(base.path()));
        load_all(&*adapter, &objects);
        adapter.close();
    }
}

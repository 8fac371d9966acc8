//! A device that holds something else, and one that only looks so.

use lmcache::error::Error;
use lmcache::storage::config::Compat;
use lmcache::storage::l2::connector::{Connector, Put};
use lmcache::storage::l2::raw_block::{RawBlock, RawBlockOptions};
use serde_json::Value;

use super::{BUFFERED, Device, META, SLOT, config, core, counts, get, open, open_as, put};
use crate::support::{keys, payload};

/// What is said of a device with these bytes, which it still has afterwards.
fn refusal(bytes: &[u8], more: &str, compat: Compat) -> Error {
    let device = Device::with(bytes);
    let config = config(&device.path(), more);
    let error = RawBlock::open(RawBlockOptions { config, compat }).expect_err("it holds something else");
    assert!(device.bytes() == bytes, "nothing was written");
    error
}

#[test]
fn a_device_that_holds_something_else_is_refused_and_stays_as_it_is() {
    let zeros = vec![0; (META + 4 * SLOT) as usize];
    let [last, far] = [META - 1, META / 2 + 4_096].map(|at| at as usize);
    // A boot sector, a file system's magic, the end of the metadata, and what looks like a checkpoint from afar.
    let cases: [(usize, &[u8], &str); 5] = [
        (0, b"\xeb\x3c\x90mkfs.fat", "offset 0, found \"\\xeb<\\x90mkfs.fat"),
        (1_080, b"\x53\xef", "offset 1080, found \"S\\xef"),
        (last, b"x", "offset 65535, found \"x\")"),
        (far, b"{\"version\":1}", "offset 36864, found \"{\\\"version"),
        (0, b"LMCIDX99", "offset 0, found \"LMCIDX99"),
    ];
    for (at, content, words) in cases {
        let mut bytes = zeros.clone();
        bytes[at..at + content.len()].copy_from_slice(content);
        // A slot of ours outlives a `mkfs`, and proves nothing.
        bytes[META as usize..META as usize + 8].copy_from_slice(b"LMCBLK01");
        for compat in Compat::ALL {
            for more in [BUFFERED, r#","use_odirect":false,"load_checkpoint_on_init":false"#] {
                let error = refusal(&bytes, more, compat);
                let said = error.to_string();
                assert!(said.starts_with("the raw block device holds something else"), "{said}");
                assert!(said.contains(words), "{said}");
                assert!(error.hint().unwrap().contains("count=65536 iflag=count_bytes conv=notrunc"));
            }
        }
    }
    // A `mkfs` goes over the first checkpoint, and leaves the second one as it was.
    let device = Device::with(&zeros);
    let ours = open(&device.path());
    for key in keys(0, 2) {
        put(&ours, &key, &payload(1, 700)).unwrap();
        ours.checkpoint_now().unwrap();
    }
    drop(ours);
    let whole = device.bytes();
    for (wiped, at, content) in
        [(4_096, 0, b"XFSB\0\0\x10\0".as_slice()), (4_096, 4_086, b"SWAPSPACE2"), (8_192, 9_000, b"_BHRfS_M")]
    {
        let mut bytes = whole.clone();
        bytes[..wiped].fill(0);
        bytes[at..at + content.len()].copy_from_slice(content);
        bytes[at + 32] = 1;
        refusal(&bytes, BUFFERED, Compat::Native);
    }
    // Zeros alone are nobody's: the second checkpoint counts.
    let mut wiped = whole;
    wiped[..META as usize / 2].fill(0);
    std::fs::write(device.path(), wiped).unwrap();
    assert_eq!(counts(&open(&device.path()), ["indexed_key_count"]), [2]);
    // What lies where no metadata go is nobody's business: so an operator gets on by zeroing the metadata.
    let mut bytes = zeros;
    bytes[META as usize..].fill(7);
    let device = Device::with(&bytes);
    assert!(matches!(put(&open(&device.path()), &keys(0, 1)[0], &[3; 77]), Ok(Put::Written { .. })));
}

#[test]
fn a_process_that_was_killed_in_its_first_checkpoint_leaves_a_device_of_ours() {
    let device = Device::new(META + 4 * SLOT);
    let ours = open(&device.path());
    let key = keys(0, 1).remove(0);
    put(&ours, &key, &payload(1, 700)).unwrap();
    let before = device.bytes();
    ours.checkpoint_now().unwrap();
    let after = device.bytes();
    drop(ours);
    let mut without_header = after.clone();
    without_header[..4_096].fill(0);
    for bytes in [before, without_header] {
        std::fs::write(device.path(), bytes).unwrap();
        let again = open(&device.path());
        assert_eq!(core(&again)["recovery_refused"], Value::Null);
        assert_eq!(get(&again, &key, 700), None);
        put(&again, &key, &payload(2, 700)).unwrap();
        assert!(again.checkpoint_now().unwrap());
        drop(again);
        assert_eq!(get(&open(&device.path()), &key, 700), Some(payload(2, 700)));
    }
    // The magic alone is enough, whatever became of the rest.
    let mut torn = after;
    torn[8..META as usize].fill(0x5a);
    std::fs::write(device.path(), torn).unwrap();
    assert_eq!(counts(&open(&device.path()), ["indexed_key_count"]), [0]);
}

#[test]
fn a_checkpoint_of_another_magic_or_version_is_raw_blocks_own_and_told() {
    for (more, field) in
        [(r#""meta_magic":"LMCIDX02""#, "meta_magic"), (r#""meta_version":2"#, "meta_version")]
    {
        let device = Device::new(META + 4 * SLOT);
        let ours = open(&device.path());
        put(&ours, &keys(0, 1)[0], &[7; 100]).unwrap();
        ours.close();
        drop(ours);
        let again = open_as(&device.path(), &format!("{BUFFERED},{more}"), Compat::Native);
        let state = core(&again);
        assert!(state["recovery_refused"].as_str().unwrap().contains(&format!("field {field}")), "{state}");
        assert_eq!(state["indexed_key_count"], 0);
    }
}

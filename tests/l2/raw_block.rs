//! Slots on a device: LMCache's bytes, and what a killed process leaves.

mod foreign;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lmcache::format::model::{Dtype, MemoryLayoutDesc, ObjectKey};
use lmcache::storage::config::l2::RawBlockAdapterConfig;
use lmcache::storage::config::{AdapterKind, Compat, L2AdapterConfig};
use lmcache::storage::l2::connected::{ConnectorAdapter, ConnectorOptions};
use lmcache::storage::l2::connector::{Connector, Put};
use lmcache::storage::l2::factory::{AdapterContext, create};
use lmcache::storage::l2::raw_block::checkpoint::ContainerHeader;
use lmcache::storage::l2::raw_block::key_codec::{Scopes, decode, encode, slot_identity};
use lmcache::storage::l2::raw_block::{RawBlock, RawBlockOptions};
use lmcache::storage::l2::{L2Adapter, Transfer};
use proptest::prelude::*;
use serde_json::Value;

use crate::conformance::{Made, Traits, conformance, odd_keys};
use crate::support::{Buffers, Random, key_of, keys, load_one, payload, present_any, store, store_all};

const META: u64 = 65_536;
const SLOT: u64 = 16_384;
const HEADER: u64 = 4_096;

/// A file that is used as a device, gone with this.
struct Device {
    folder: tempfile::TempDir,
}

impl Device {
    fn new(bytes: u64) -> Self {
        let device = Self { folder: tempfile::tempdir().expect("a folder") };
        let file = std::fs::File::create(device.path()).expect("a file");
        file.set_len(bytes).expect("a sparse file");
        device
    }

    fn with(bytes: &[u8]) -> Self {
        let device = Self::new(0);
        std::fs::write(device.path(), bytes).expect("a file");
        device
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("device")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).expect("the file")
    }
}

fn config(path: &Path, more: &str) -> RawBlockAdapterConfig {
    let path = path.display();
    let json = format!(
        r#"{{"type":"raw_block","device_path":"{path}","slot_bytes":{SLOT},"meta_total_bytes":{META},"meta_enable_periodic":false{more}}}"#
    );
    match L2AdapterConfig::from_json(&json).expect("a configuration").kind {
        AdapterKind::RawBlock(config) => config,
        kind => panic!("{kind:?}"),
    }
}

fn open_as(path: &Path, more: &str, compat: Compat) -> RawBlock {
    let config = config(path, more);
    RawBlock::open(RawBlockOptions { config, compat }).unwrap_or_else(|error| panic!("{error}"))
}

const BUFFERED: &str = r#","use_odirect":false"#;

fn open(path: &Path) -> RawBlock {
    open_as(path, BUFFERED, Compat::Native)
}

fn core(device: &RawBlock) -> Value {
    let status = device.status();
    status.into_iter().find(|(name, _)| *name == "core").expect("a core").1
}

fn counts<const N: usize>(device: &RawBlock, names: [&str; N]) -> [u64; N] {
    let state = core(device);
    names.map(|name| state[name].as_u64().unwrap_or_else(|| panic!("{name}: {state}")))
}

fn put(device: &RawBlock, key: &ObjectKey, bytes: &[u8]) -> lmcache::error::Result<Put> {
    let buffers = Buffers::new(bytes.len() as u64 + 4_096);
    device.put(&[Transfer::new(key.clone(), buffers.filled(bytes))]).remove(0)
}

fn get(device: &RawBlock, key: &ObjectKey, len: usize) -> Option<Vec<u8>> {
    let buffers = Buffers::new(len as u64 + 4_096);
    let buffer = buffers.take(len);
    let again = buffers.arena.pin(buffer.span());
    let found = device.get(&[Transfer::new(key.clone(), buffer)]).remove(0).expect("no error");
    found.then(|| {
        let mut bytes = vec![0; len];
        again.read_into(0, &mut bytes);
        bytes
    })
}

/// Whether files here can be opened for direct I/O; says so where they cannot.
fn has_direct_io() -> bool {
    let device = Device::new(META + 4 * SLOT);
    let config = config(&device.path(), "");
    match RawBlock::open(RawBlockOptions { config, compat: Compat::Native }) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("skipped: no direct I/O on the file system of temporary files: {error}");
            false
        }
    }
}

fn made(more: &str) -> Made {
    const SUITE_SLOT: u64 = (128 << 10) + HEADER;
    let device = Device::new(META * 8 + 420 * SUITE_SLOT);
    let mut config = config(&device.path(), more);
    (config.slot_bytes, config.meta_total_bytes) = (SUITE_SLOT, META * 8);
    let raw_block = RawBlock::open(RawBlockOptions { config, compat: Compat::Native }).expect("a device");
    let options =
        ConnectorOptions { workers: 7, capacity_bytes: raw_block.capacity_bytes(), compat: Compat::Native };
    let adapter = ConnectorAdapter::start(raw_block, options).expect("threads");
    let traits = Traits { max_object_bytes: 128 << 10, charged_bytes: |_| SUITE_SLOT, ..Traits::default() };
    Made::new(Arc::new(adapter), traits, device)
}

pub(crate) fn suite_device() -> Made {
    made(BUFFERED)
}

fn direct() -> Made {
    if has_direct_io() { made("") } else { suite_device() }
}

conformance!(buffered, super::suite_device());
conformance!(direct_io, super::direct());

/// What the real LMCache wrote; made by `data/raw_block.py`.
const LMCACHE_DEVICES: &str = include_str!("data/raw_block.json");

struct Recorded {
    case: Value,
    keys: Vec<ObjectKey>,
    names: Vec<String>,
}

fn recorded() -> Vec<Recorded> {
    let cases: Vec<Value> = serde_json::from_str(LMCACHE_DEVICES).unwrap();
    let of_case = |case: Value| {
        let rows = case["keys"].as_array().unwrap().clone();
        let names = rows.iter().map(|row| row[5].as_str().unwrap().to_owned()).collect();
        let keys = rows.iter().map(key_of_row).collect();
        Recorded { case, keys, names }
    };
    cases.into_iter().map(of_case).collect()
}

fn key_of_row(row: &Value) -> ObjectKey {
    let text = |at: usize| row[at].as_str().unwrap();
    key_of(
        text(1),
        row[2].as_i64().unwrap(),
        row[3].as_u64().unwrap() as u32,
        &bytes_of_hex(text(0)),
        text(4),
    )
}

fn recorded_bytes(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| ((number * 31 + i * 7 + i / 256) % 256) as u8).collect()
}

fn recorded_layout(number: usize, len: usize) -> MemoryLayoutDesc {
    let dtypes = ["torch.bfloat16", "torch.float16", "torch.uint8", "torch.float8_e4m3fn", "torch.uint16"];
    let shape = [2, number as u64, len as u64];
    MemoryLayoutDesc::new(vec![(Box::new(shape), Dtype::from_name(dtypes[number % 5]).unwrap())]).unwrap()
}

/// A hexadecimal text as bytes.
fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// A device as it was recorded: stretches of bytes at their places, zeros elsewhere.
fn image(case: &Value, name: &str) -> Vec<u8> {
    let mut bytes = vec![0; case["device_bytes"].as_u64().unwrap() as usize];
    for stretch in case[name].as_array().unwrap() {
        let (at, content) =
            (stretch[0].as_u64().unwrap() as usize, bytes_of_hex(stretch[1].as_str().unwrap()));
        bytes[at..at + content.len()].copy_from_slice(&content);
    }
    bytes
}

const MAGIC: [u8; 8] = *b"LMCIDX01";

/// The JSON of a container, if there is one.
fn container(bytes: &[u8], number: usize) -> Option<(ContainerHeader, String)> {
    let container = &bytes[number * META as usize / 2..];
    let header = ContainerHeader::decode(container, MAGIC, 1)?;
    let json = &container[4_096..4_096 + header.payload_bytes as usize];
    assert_eq!(crc32fast::hash(json), header.crc32);
    Some((header, String::from_utf8(json.to_vec()).unwrap()))
}

/// Puts another JSON in a container, with everything right about it.
fn set_container(bytes: &mut [u8], number: usize, sequence: u64, json: &[u8]) {
    let at = number * META as usize / 2;
    bytes[at..at + META as usize / 2].fill(0);
    let header = ContainerHeader { sequence, payload_bytes: json.len() as u64, crc32: crc32fast::hash(json) };
    bytes[at..at + 32].copy_from_slice(&header.encode(MAGIC, 1));
    bytes[at + 4_096..at + 4_096 + json.len()].copy_from_slice(json);
}

/// The same device under another path. Checkpoints name theirs.
fn renamed(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    for number in 0..2 {
        if let Some((header, json)) = container(&bytes, number) {
            let json =
                json.replace(&format!("\"device_path\":\"{from}\""), &format!("\"device_path\":\"{to}\""));
            set_container(&mut bytes, number, header.sequence, json.as_bytes());
        }
    }
    bytes
}

#[test]
fn names_and_identities_are_lmcaches() {
    for recorded in recorded() {
        for (at, key) in recorded.keys.iter().enumerate() {
            assert_eq!(encode(key), recorded.names[at]);
            let identity: u64 = recorded.case["keys"][at][6].as_str().unwrap().parse().unwrap();
            assert_eq!(slot_identity(&encode(key)), identity);
            assert_eq!(decode(&encode(key), &mut Scopes::default()).as_ref(), Some(key));
        }
    }
    for key in odd_keys() {
        assert_eq!(decode(&encode(&key), &mut Scopes::default()), Some(key));
    }
    for name in [
        "",
        "m",
        "m@0x00000000@0",
        "m@0x00000000@0@0",
        "m@0x0@0@00",
        "m@0x00000000@00@00",
        "m@0x0000000A@0@00",
        "m@0x00000000@0@00@",
        "m@0x00000000@0@00@s@t",
        "%@0x00000000@0@00",
        "%ff@0x00000000@0@00",
        "%6d@0x00000000@0@00",
        "m@-0x0000000@0@00",
        "m@0x00000000@0@0G",
        "m@0xffffffffffffffffff@0@00",
        "m@0x00000000@fffffffff@00",
    ] {
        assert_eq!(decode(name, &mut Scopes::default()), None, "{name}");
    }
}

#[test]
fn what_a_killed_lmcache_left_is_found_as_it_finds_it_itself() {
    for Recorded { case, keys, .. } in recorded() {
        let device = Device::new(0);
        let path = device.path().display().to_string();
        std::fs::write(device.path(), renamed(image(&case, "crashed"), "device", &path)).unwrap();
        let ours = open(&device.path());
        let found = case["found"].as_object().unwrap();
        let state = core(&ours);
        assert_eq!(state["indexed_key_count"], found.len());
        for (status, recorded) in
            [("next_slot", "next_slot"), ("metadata_seq", "seq"), ("max_slots", "max_slots")]
        {
            assert_eq!(state[status], case[recorded], "{status}");
        }
        assert_eq!(state["free_slot_count"], case["free"].as_array().unwrap().len());
        assert_eq!(state["recovery_stale_entries"], 1, "its slot has another object by now");
        for (number, key) in keys.iter().enumerate() {
            let len = case["sizes"][number].as_u64().unwrap() as usize;
            let expected = found.contains_key(&encode(key)).then(|| recorded_bytes(number, len));
            assert_eq!(get(&ours, key, len), expected, "object {number}");
        }
    }
}

#[test]
fn a_slot_that_nobody_looked_at_is_looked_at_when_it_is_read() {
    for Recorded { case, keys, .. } in recorded() {
        let device = Device::new(0);
        let path = device.path().display().to_string();
        std::fs::write(device.path(), renamed(image(&case, "crashed"), "device", &path)).unwrap();
        let ours =
            open_as(&device.path(), r#","use_odirect":false,"meta_verify_on_load":false"#, Compat::Native);
        let found = case["found"].as_object().unwrap();
        assert_eq!(core(&ours)["indexed_key_count"], found.len() + 1, "one has another object's slot");
        for (number, key) in keys.iter().enumerate() {
            let len = case["sizes"][number].as_u64().unwrap() as usize;
            let expected = found.contains_key(&encode(key)).then(|| recorded_bytes(number, len));
            assert_eq!(get(&ours, key, len), expected, "object {number}");
        }
        assert_eq!(core(&ours)["indexed_key_count"], found.len(), "it can be stored again");
    }
}

#[test]
fn the_same_calls_leave_the_same_bytes_as_lmcaches() {
    for Recorded { case, keys, .. } in recorded() {
        let is_direct = case["odirect"].as_bool().unwrap();
        if is_direct && !has_direct_io() {
            continue;
        }
        let device = Device::new(case["device_bytes"].as_u64().unwrap());
        let ours = open_as(&device.path(), if is_direct { "" } else { BUFFERED }, Compat::Native);
        let put = |number: usize| {
            let len = case["sizes"][number].as_u64().unwrap() as usize;
            let buffers = Buffers::new(1 << 20);
            let buffer = buffers.filled(&recorded_bytes(number, len));
            let layout = Some(recorded_layout(number, len));
            let object = Transfer { key: keys[number].clone(), buffer, layout };
            assert!(matches!(ours.put(&[object]).remove(0), Ok(Put::Written { .. })));
        };
        (0..5).for_each(put);
        ours.remove(&[keys[1].clone(), keys[3].clone()]);
        put(5);
        assert!(ours.checkpoint_now().unwrap());
        put(6);
        assert!(ours.checkpoint_now().unwrap());
        assert!(!ours.checkpoint_now().unwrap(), "nothing changed");
        let path = device.path().display().to_string();
        let expected = renamed(image(&case, "checkpointed"), "device", &path);
        let found = device.bytes();
        for number in 0..2 {
            assert_eq!(container(&found, number), container(&expected, number));
        }
        assert!(
            found == expected,
            "first difference at {:?}",
            found.iter().zip(&expected).position(|(a, b)| a != b)
        );
    }
}

#[test]
fn lmcaches_fields_of_the_status_come_in_its_order() {
    let device = Device::new(META + SLOT);
    let ours: Vec<String> = core(&open(&device.path())).as_object().unwrap().keys().cloned().collect();
    let theirs = recorded().remove(0).case["status_keys"].clone();
    let theirs: Vec<&str> = theirs.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    // The adapter around the device has the locks, and counts them.
    let theirs: Vec<&str> = theirs.into_iter().filter(|name| *name != "locked_key_count").collect();
    let known: Vec<&str> = ours.iter().map(String::as_str).filter(|name| theirs.contains(name)).collect();
    assert_eq!(known, theirs);
}

/// Stores without a checkpoint; what is left if the process is killed now.
fn after_a_kill(device: Device, ours: RawBlock) -> (Device, RawBlock) {
    let bytes = device.bytes();
    drop(ours);
    std::fs::write(device.path(), bytes).unwrap();
    let again = open(&device.path());
    (device, again)
}

#[test]
fn what_was_stored_after_the_last_checkpoint_is_lost_and_never_wrong() {
    let device = Device::new(META + 4 * SLOT);
    let ours = open(&device.path());
    let all = keys(0, 6);
    for key in &all[..3] {
        put(&ours, key, &payload(1, 5_000)).unwrap();
    }
    ours.checkpoint_now().unwrap();
    // One gives its slot to another of the same size, one stays, one goes, and one more comes.
    ours.remove(&all[..1]);
    put(&ours, &all[3], &payload(2, 5_000)).unwrap();
    ours.remove(&all[1..2]);
    put(&ours, &all[4], &payload(3, 5_000)).unwrap();
    put(&ours, &all[5], &payload(4, 5_000)).unwrap();
    let (_device, again) = after_a_kill(device, ours);
    assert_eq!(counts(&again, ["recovered_key_count", "recovery_stale_entries"]), [1, 2]);
    assert_eq!(get(&again, &all[2], 5_000), Some(payload(1, 5_000)));
    for key in [&all[0], &all[1], &all[3], &all[4], &all[5]] {
        assert_eq!(get(&again, key, 5_000), None);
    }
    // Their slots can be used.
    for key in &all[3..6] {
        assert!(matches!(put(&again, key, &payload(5, 100)), Ok(Put::Written { .. })));
    }
    assert_eq!(put(&again, &all[0], &[1]).unwrap(), Put::NoRoom);
}

#[test]
fn a_slot_loses_its_header_before_it_gets_other_bytes() {
    let device = Device::new(META + SLOT);
    let ours = open(&device.path());
    let all = keys(0, 2);
    put(&ours, &all[0], &payload(1, 9_000)).unwrap();
    ours.checkpoint_now().unwrap();
    ours.remove(&all[..1]);
    put(&ours, &all[1], &payload(2, 9_000)).unwrap();
    ours.remove(&all[1..]);
    put(&ours, &all[0], &payload(1, 9_000)).unwrap();
    // Killed between the payload and the header of the second store: what the device has then.
    let mut bytes = device.bytes();
    drop(ours);
    let (slot, end) = (META as usize, (META + HEADER) as usize + 9_000);
    bytes[slot..slot + HEADER as usize].fill(0);
    bytes[slot + HEADER as usize..end].copy_from_slice(&payload(2, 9_000));
    std::fs::write(device.path(), bytes).unwrap();
    let again = open(&device.path());
    assert_eq!(get(&again, &all[0], 9_000), None);
    assert_eq!(core(&again)["recovery_stale_entries"], 1);
}

#[test]
fn a_torn_checkpoint_falls_back_to_the_one_before() {
    let device = Device::new(META + 4 * SLOT);
    let ours = open(&device.path());
    let all = keys(0, 2);
    put(&ours, &all[0], &payload(1, 700)).unwrap();
    ours.checkpoint_now().unwrap();
    put(&ours, &all[1], &payload(2, 700)).unwrap();
    ours.checkpoint_now().unwrap();
    let whole = device.bytes();
    drop(ours);
    // Every stretch of 8 bytes of the newest checkpoint, header and JSON.
    let second = META as usize / 2;
    let len = container(&whole, 1).unwrap().0.payload_bytes as usize;
    for at in (second..second + 32).step_by(8).chain((second + 4_096..second + 4_096 + len).step_by(64)) {
        let mut torn = whole.clone();
        torn[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(device.path(), torn).unwrap();
        let again = open(&device.path());
        assert_eq!(get(&again, &all[0], 700), Some(payload(1, 700)), "torn at {at}");
        // A number that is torn is still a number: the checkpoint may then count as older or newer.
        if at != second + 8 && at != second + 16 {
            assert_eq!(core(&again)["indexed_key_count"], 1, "torn at {at}");
        }
    }
}

#[test]
fn a_close_writes_what_the_next_process_finds_and_counts() {
    let device = Device::new(META + 8 * SLOT);
    let context = AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4_096 };
    let path = device.path();
    let json = format!(
        r#"{{"type":"raw_block","device_path":"{}","slot_bytes":{SLOT},"meta_total_bytes":{META},"use_odirect":false}}"#,
        path.display()
    );
    let config = L2AdapterConfig::from_json(&json).unwrap();
    let adapter = create(&config, &context).unwrap();
    let all = keys(0, 5);
    let objects: Vec<_> = all.iter().map(|key| (key.clone(), payload(3, 999))).collect();
    store_all(&*adapter, &objects);
    adapter.close();
    let error = create(&config, &context).expect_err("the first one still has the file");
    assert!(error.to_string().contains("in use by another adapter"), "{error}");
    drop(adapter);
    for compat in Compat::ALL {
        let adapter = create(&config, &AdapterContext { compat, ..context }).unwrap();
        adapter.recover().unwrap();
        assert_eq!(adapter.ledger().used_bytes(), 5 * SLOT);
        assert_eq!(adapter.ledger().capacity_bytes(), 8 * SLOT);
        assert_eq!(present_any(&*adapter, &all), [true; 5]);
        assert_eq!(load_one(&*adapter, &all[4], 999), Some(payload(3, 999)));
        adapter.close();
    }
}

#[test]
fn a_full_device_has_no_room_and_lmcaches_store_fails() {
    for compat in Compat::ALL {
        let device = Device::new(META + 2 * SLOT);
        let ours = open_as(&device.path(), BUFFERED, compat);
        let capacity_bytes = ours.capacity_bytes();
        let options = ConnectorOptions { workers: 1, capacity_bytes, compat: Compat::Native };
        let adapter = ConnectorAdapter::start(ours, options).unwrap();
        let objects: Vec<_> = keys(0, 3).into_iter().map(|key| (key, payload(1, 50))).collect();
        let outcome = store(&adapter, &objects);
        assert_eq!(outcome.is_success(), compat == Compat::Native);
        assert_eq!((outcome.bytes, adapter.ledger().used_bytes()), (100, 2 * SLOT));
        assert_eq!(adapter.ledger().usage_fraction(), Some(1.0));
        adapter.close();
    }
}

/// Whichever worker comes first: what finds no room is what stands last in the task.
#[test]
fn the_last_slots_go_to_the_first_objects_of_a_task() {
    for _ in 0..5 {
        let device = Device::new(META + 104 * SLOT);
        let ours = open(&device.path());
        let options =
            ConnectorOptions { workers: 7, capacity_bytes: ours.capacity_bytes(), compat: Compat::Native };
        let adapter = ConnectorAdapter::start(ours, options).unwrap();
        let objects: Vec<_> = keys(0, 200).into_iter().map(|key| (key, payload(1, 9_000))).collect();
        assert_eq!(store(&adapter, &objects[..5]).refused.popcount(), 0);
        let outcome = store(&adapter, &objects[5..]);
        assert_eq!(outcome.refused.ones().collect::<Vec<_>>(), (99..195).collect::<Vec<_>>());
        adapter.close();
    }
}

#[test]
fn the_largest_object_fits_and_one_byte_more_does_not() {
    let device = Device::new(META + 2 * SLOT);
    let ours = open(&device.path());
    let [largest, larger] = [SLOT - HEADER, SLOT - HEADER + 1].map(|bytes| bytes as usize);
    let all = keys(0, 2);
    put(&ours, &all[0], &payload(1, largest)).unwrap();
    let error = put(&ours, &all[1], &payload(1, larger)).unwrap_err();
    assert!(error.to_string().contains("fits no slot"), "{error}");
    assert_eq!(get(&ours, &all[0], largest), Some(payload(1, largest)));
    assert_eq!(core(&ours)["inflight_key_count"], 0);
}

#[test]
fn a_load_takes_an_object_of_its_size_only() {
    for (compat, is_shorter_taken) in [(Compat::Native, false), (Compat::Lmcache, true)] {
        let device = Device::new(META + SLOT);
        let ours = open_as(&device.path(), BUFFERED, compat);
        let key = keys(0, 1).remove(0);
        put(&ours, &key, &payload(1, 500)).unwrap();
        assert!(get(&ours, &key, 499).is_none());
        assert_eq!(
            get(&ours, &key, 501).map(|bytes| bytes[..500] == payload(1, 500)),
            is_shorter_taken.then_some(true)
        );
    }
}

#[test]
fn an_object_of_another_size_is_replaced() {
    let device = Device::new(META + 2 * SLOT);
    let ours = open_as(&device.path(), BUFFERED, Compat::Native);
    let key = keys(0, 1).remove(0);
    put(&ours, &key, &payload(1, 500)).unwrap();
    put(&ours, &key, &payload(2, 600)).unwrap();
    assert_eq!(get(&ours, &key, 600), Some(payload(2, 600)));
    assert!(get(&ours, &key, 500).is_none());
    assert_eq!(core(&ours)["free_slot_count"], 1);
    let found = |size_bytes| *ours.exists(std::slice::from_ref(&key), &[size_bytes])[0].as_ref().unwrap();
    assert_eq!([0, 500, 600].map(found), [true, false, true]);
}

#[test]
fn an_index_that_outgrows_its_place_is_said_and_the_device_goes_on() {
    let device = Device::new(16_384 + 40 * SLOT);
    let ours = open_as(&device.path(), r#","use_odirect":false"#, Compat::Native);
    drop(ours);
    let mut config = config(&device.path(), BUFFERED);
    config.meta_total_bytes = 16_384;
    let ours = RawBlock::open(RawBlockOptions { config, compat: Compat::Native }).unwrap();
    for key in keys(0, 40) {
        put(&ours, &key, &[1]).unwrap();
    }
    let error = ours.checkpoint_now().unwrap_err().to_string();
    assert!(error.contains("larger than its place") && error.contains("place_bytes 4096"), "{error}");
    assert!(!ours.is_healthy());
    assert_eq!(core(&ours)["checkpoint_too_large"], 1);
    ours.remove(&keys(0, 30));
    assert!(ours.checkpoint_now().unwrap() && ours.is_healthy());
}

#[test]
fn a_checkpoint_comes_by_itself_when_the_device_is_quiet() {
    let device = Device::new(META + 2 * SLOT);
    let more = r#","use_odirect":false,"meta_checkpoint_interval_sec":1,"meta_idle_quiet_ms":1"#;
    let mut config = config(&device.path(), more);
    config.meta_enable_periodic = true;
    let ours = RawBlock::open(RawBlockOptions { config, compat: Compat::Native }).unwrap();
    put(&ours, &keys(0, 1)[0], &[7; 100]).unwrap();
    let begun = std::time::Instant::now();
    while core(&ours)["metadata_seq"] == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", core(&ours));
        std::thread::yield_now();
    }
    let json = container(&device.bytes(), 0).expect("a checkpoint").1;
    assert!(json.contains("\"next_slot\":1"), "{json}");
}

#[test]
fn settings_that_a_device_was_not_written_with_are_told_and_it_starts_empty() {
    let device = Device::new(META + 4 * SLOT);
    let ours = open(&device.path());
    put(&ours, &keys(0, 1)[0], &[7; 100]).unwrap();
    ours.close();
    drop(ours);
    let ours = open_as(&device.path(), r#","use_odirect":false,"header_bytes":8192"#, Compat::Native);
    assert_eq!(counts(&ours, ["indexed_key_count", "metadata_seq"]), [0, 1]);
    let state = core(&ours);
    assert!(state["recovery_refused"].as_str().unwrap().contains("field header_bytes"), "{state}");
    drop(ours);
    let missing = config(&device.path().with_file_name("missing"), BUFFERED);
    let error = RawBlock::open(RawBlockOptions { config: missing, compat: Compat::Native }).unwrap_err();
    assert!(error.hint().unwrap().contains("truncate"), "{error}");
}

/// Writes `json` as the only checkpoint of a device and opens it.
fn opened_with(json: &[u8]) -> RawBlock {
    let mut bytes = vec![0; (META + 4 * SLOT) as usize];
    set_container(&mut bytes, 0, 1, json);
    let device = Device::with(&bytes);
    let more = r#","use_odirect":false,"meta_verify_on_load":false"#;
    // Open, it needs no name.
    open_as(&device.path(), more, Compat::Native)
}

fn checkpoint_of(entries: &str, next_slot: u64) -> String {
    format!(r#"{{"version":1,"next_slot":{next_slot},"entries":{{{entries}}}}}"#)
}

#[test]
fn entries_that_cannot_be_right_are_dropped_one_by_one() {
    let name = |number: u64| format!("m@0x00000000@0@0{number}");
    let entry =
        |number, offset: u64, size: u64| format!(r#""{}":{{"offset":{offset},"size":{size}}}"#, name(number));
    let slot = |number| META + number * SLOT;
    let good = entry(1, slot(1), 100);
    for bad in [
        entry(2, slot(0) - SLOT, 100),
        entry(2, slot(0) + 1, 100),
        entry(2, slot(4), 100),
        entry(2, slot(0), 0),
        entry(2, slot(0), SLOT - HEADER + 1),
        entry(2, u64::MAX, u64::MAX),
        // A slot twice, a key twice, a name that is none.
        entry(2, slot(1), 100),
        entry(1, slot(2), 100),
        format!(r#""m@0@0":{{"offset":{},"size":1}}"#, slot(2)),
        r#""x":{}"#.to_owned(),
    ] {
        let state = opened_with(checkpoint_of(&format!("{good},{bad}"), 2).as_bytes());
        assert_eq!(counts(&state, ["indexed_key_count", "recovery_dropped_entries"]), [1, 1], "{bad}");
    }
    let largest = entry(2, slot(3), SLOT - HEADER);
    let state = opened_with(checkpoint_of(&format!("{good},{largest}"), 0).as_bytes());
    assert_eq!(counts(&state, ["indexed_key_count", "next_slot", "free_slot_count"]), [2, 4, 2]);
    for (next_slot, is_taken) in [(4, true), (5, false), (u64::MAX, false)] {
        let state = opened_with(checkpoint_of(&good, next_slot).as_bytes());
        assert_eq!(core(&state)["recovery_refused"].is_null(), is_taken, "{next_slot}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever stands in the metadata, a device opens, and finds nothing or what is there; or it is refused as somebody
    /// else's, and left alone.
    #[test]
    fn no_device_harms_who_opens_it(
        noise in prop::collection::vec((0..META as usize, any::<u8>()), 0..40),
        seed in 1_u64..u64::MAX,
        style in 0..4_u8,
    ) {
        let mut random = Random(seed);
        let json = checkpoint_of(r#""m@0x00000000@0@01":{"offset":65536,"size":9,"shape":[2,3],"dtype":"half","fmt":"KV_2LTD","cached_positions":[1]}"#, 1);
        let mut json = json.into_bytes();
        match style {
            0 => json = (0..random.below(3_000)).map(|_| random.below(256) as u8).collect(),
            1 => {
                for _ in 0..1 + random.below(6) {
                    let at = random.below(json.len() as u64) as usize;
                    json[at] = b"{}[]\",:0123456789-e.nulltruefas@x"[random.below(33) as usize];
                }
            }
            2 => json.truncate(random.below(json.len() as u64) as usize),
            _ => {}
        }
        let mut bytes = vec![0; (META + 4 * SLOT) as usize];
        if !json.is_empty() {
            set_container(&mut bytes, (seed % 2) as usize, seed, &json);
        }
        if style == 3 {
            noise.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        }
        let device = Device::with(&bytes);
        let options = RawBlockOptions { config: config(&device.path(), BUFFERED), compat: Compat::Native };
        let Ok(ours) = RawBlock::open(options) else {
            prop_assert!(device.bytes() == bytes && !bytes.starts_with(&MAGIC));
            return Ok(());
        };
        prop_assert_eq!(counts(&ours, ["indexed_key_count"]), [0], "no slot has a header");
        put(&ours, &keys(0, 1)[0], &[3; 77]).unwrap();
        prop_assert!(ours.checkpoint_now().unwrap());
        drop(ours);
        let ours = open(&device.path());
        prop_assert_eq!(get(&ours, &keys(0, 1)[0], 77), Some(vec![3; 77]));
    }
}

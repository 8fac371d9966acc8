//! The order of an object's bytes is LMCache's: `tests/fixtures/device/make.py` asked it.

use lmcache::device::{Direction, EngineKvFormat, PageBufferShape};
use sha2::{Digest, Sha256};

use crate::cases::Case;
use crate::run::run;

const RECORDED: &str = include_str!("../fixtures/device/lmcache-0.5.6.tsv");

/// As in `make.py`.
fn pattern(tensor: u64, byte: u64) -> u8 {
    ((byte + tensor * 1_000_003).wrapping_mul(2_654_435_761) >> 24) as u8
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of some stretches of `bytes`, one behind the other.
fn digest(bytes: &[u8], stretches: impl Iterator<Item = (u64, u64)>) -> String {
    let mut sha = Sha256::new();
    stretches.for_each(|(offset, len)| sha.update(&bytes[offset as usize..][..len as usize]));
    hex(&sha.finalize())
}

fn recorded(line: &str) -> (Case, String, String) {
    let fields: Vec<_> = line.split('\t').collect();
    let number = |index: usize| fields[index].parse().expect("a number");
    let case = Case {
        format: EngineKvFormat::from_name(fields[0]).expect("a layout"),
        shape: PageBufferShape {
            layers: number(1),
            blocks: number(2),
            block_tokens: number(3),
            heads: number(4),
            head_size: number(5),
            element_bytes: number(6),
            block_stride_elements: number(7),
        },
        object_tokens: number(8),
        skip_prefix_blocks: number(9),
        block_ids: fields[10].split(',').map(|id| id.parse().expect("a block")).collect(),
    };
    (case, fields[11].to_owned(), fields[12].to_owned())
}

/// What the digests of `make.py` are of.
fn check(case: &Case, objects_digest: &str, caches_digest: &str) {
    let (tensors, objects) = (case.tensors(), case.objects());
    let mut full = vec![0; case.device_bytes() as usize];
    for (index, tensor) in tensors.iter().enumerate() {
        let bytes = &mut full[tensor.offset as usize..][..tensor.len_bytes as usize];
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = pattern(index as u64, at as u64));
    }
    let plan = case.plan();
    let (_, gathered, _) =
        run(&plan, Direction::DeviceToHost, &full, &vec![0xee; case.host_bytes() as usize]);
    let of_objects = digest(&gathered, objects.iter().map(|object| (object.offset, object.len_bytes)));
    assert_eq!(of_objects, objects_digest, "objects of {case:?}");

    let empty = vec![0x11; case.device_bytes() as usize];
    let (scattered, ..) = run(&plan, Direction::HostToDevice, &empty, &gathered);
    let of_caches = digest(&scattered, tensors.iter().map(|tensor| (tensor.offset, tensor.len_bytes)));
    assert_eq!(of_caches, caches_digest, "caches of {case:?}");
}

#[test]
fn objects_and_caches_are_those_of_lmcache() {
    let mut formats = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let (case, objects, caches) = recorded(line);
        check(&case, &objects, &caches);
        formats.push(case.format);
    }
    formats.sort_by_key(|format| format.number());
    formats.dedup();
    // All but the one that LMCache has no transfer for on the CPU, and the one that is made of more than a shape (`planes.rs`).
    let others = [EngineKvFormat::NL_X_NB_BSV_BSS, EngineKvFormat::NL_X_NP_X_NB_BS_ONE_HS];
    let expected: Vec<_> =
        EngineKvFormat::ALL.into_iter().filter(|format| !others.contains(format)).collect();
    assert_eq!(formats, expected);
}

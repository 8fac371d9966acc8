//! The storage manager from C: what goes wrong is a code, and an engine in C++ gets back the bytes that it wrote.

use std::collections::BTreeMap;

use lmcache::format::native::{Body, RecordKind};
use lmcache::trace::{ReadMode, Trace};

use crate::compile::Host;
use crate::layer::WAYS;

/// What `misuse_storage.c` tries.
pub(crate) const SUITES: [&str; 12] = [
    "nulls",
    "handles",
    "numbers",
    "states",
    "several",
    "callbacks",
    "freed",
    "logs",
    "pins",
    "tables",
    "races",
    "forks",
];

#[test]
fn every_misuse_of_a_storage_manager_is_a_code() {
    let said = Host::compile("misuse_storage.c").succeed(&[]);
    assert_eq!(said.lines().collect::<Vec<_>>(), SUITES);
}

/// What the engine says that it did, by name.
fn counts(said: &str) -> BTreeMap<&str, u64> {
    let line = |line: &'_ str| -> (usize, u64) {
        let (name, count) = line.split_once(' ').expect("a name and a number");
        (name.len(), count.parse().expect("a number"))
    };
    said.lines().map(|text| (&text[..line(text).0], line(text).1)).collect()
}

#[test]
fn an_engine_in_cpp_reads_what_it_wrote_and_its_calls_are_in_the_trace() {
    for words in WAYS {
        reads_what_it_wrote(&Host::compile_with("engine.cc", words));
    }
}

fn reads_what_it_wrote(host: &Host) {
    let said = host.succeed(&[]);
    let did = counts(&said);
    let trace = Trace::open(host.folder().join("engine.lct"), ReadMode::buffered()).expect("a trace");
    assert!(trace.sm_config_json().contains("\"l1_manager_config\""), "{}", trace.sm_config_json());
    let Trace::Native(native) = &trace else { panic!("a native file") };
    let (mut calls, mut completions) = (BTreeMap::<String, u64>::new(), 0);
    for place in native.record_chunks() {
        let chunk = native.open_chunk(place, None).expect("a whole chunk");
        for record in chunk.records() {
            match (record.kind(), record.body()) {
                (Some(RecordKind::Call(op)), Body::Call(_)) => {
                    *calls.entry(format!("{op:?}")).or_default() += 1
                }
                (Some(RecordKind::Completion), _) => completions += 1,
                _ => {}
            }
        }
    }
    let call = |op: &str| calls.get(op).copied().unwrap_or(0);
    assert_eq!(call("SubmitPrefetch"), did["prefetches"]);
    assert_eq!(call("FinishWrite"), did["finished_writes"]);
    assert_eq!([call("ReadEnter"), call("ReadExit"), call("FinishRead")], [did["reads"]; 3]);
    assert!(call("ReserveWrite") >= call("FinishWrite"));
    assert_eq!(completions, calls.values().sum::<u64>(), "each call has its end");
}

//! A host in C that records from four threads; what it recorded is read back.

use lmcache::format::native::{Body, RecordKind};
use lmcache::trace::{ReadMode, Trace};

use crate::compile::Host;

#[test]
fn a_host_with_a_scope_for_each_request_records_them_all() {
    assert_eq!(Host::compile("scopes.c").succeed(&[]), "5000 calls\n");
}

#[test]
fn four_threads_of_a_host_in_c_record() {
    let host = Host::compile("record.c");
    assert_eq!(host.succeed(&[]), "2800 calls\n");
    let trace = Trace::open(host.folder().join("engine.lct"), ReadMode::buffered()).expect("a trace");
    assert_eq!(trace.sm_config_json(), r#"{"chunk_size": 256}"#);
    let Trace::Native(native) = &trace else { panic!("a native file") };
    assert_eq!(native.header().facts().node, "node-7");
    let (mut calls, mut completions, mut hosts_own) = (0, 0, 0);
    for place in native.record_chunks() {
        let chunk = native.open_chunk(place, None).expect("a whole chunk");
        for record in chunk.records() {
            match (record.kind(), record.body()) {
                (Some(RecordKind::Call(_)), Body::Call(_)) => calls += 1,
                (Some(RecordKind::HostCall), Body::HostCall { name, .. }) => {
                    assert_eq!(name, "engine.prompt_done");
                    hosts_own += 1;
                }
                (Some(RecordKind::Completion), _) => completions += 1,
                _ => {}
            }
        }
    }
    assert_eq!((calls, completions, hosts_own), (2400, 400, 400));
}

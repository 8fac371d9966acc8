//! Request by request: what the real LMCache 0.5.6 served of a public request trace (Mooncake's), beside what a replay of its recording
//! serves. `tests/fixtures/truth` has a row for each request: its blocks, its hits, those in L1, those from L2, what was stored.

use lmcache::format::model::StorageCall;
use lmcache::replay::live_totals::AnsweredPrefetch;
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::{Order, Pace, RecordBody, ReplayOptions, StopFlag, TimedRecord, TraceSource, replay};
use lmcache::storage::config::{Compat, EvictionPolicyKind, StorageManagerConfig};
use lmcache::trace::TraceReader;

use crate::common;

type Row = [u64; 5];

fn truth(name: &str) -> Vec<Row> {
    serde_json::from_slice(&common::unpack(&format!("truth/{name}.json"))).expect("rows of numbers")
}

fn records(name: &str) -> Vec<TimedRecord> {
    let name = format!("traces/{name}.lct");
    let reader = TraceReader::from_bytes(&name, common::unpack(&name)).expect("a trace");
    TraceSource::new(&reader).records().collect()
}

/// What each prefetch of a causal replay was answered, in the order of the trace.
fn answers(records: Vec<TimedRecord>, l1_bytes: u64) -> Vec<AnsweredPrefetch> {
    let mut config = StorageManagerConfig::l1_only(l1_bytes, EvictionPolicyKind::Lru);
    config.compat = Compat::Lmcache;
    let mut targets = ManagerTarget::of_all(config, Order::Causal, 1).expect("a manager");
    let view = targets[0].live_view();
    let answered = view.totals().watch().expect("nobody else watches");
    let options = ReplayOptions { pace: Pace::Asap, order: Order::Causal, ..ReplayOptions::default() };
    replay(records.into_iter(), &mut targets, &options, &StopFlag::default(), &mut ()).expect("threads");
    assert_eq!(view.totals().unwatched_prefetches(), 0);
    ManagerTarget::close_all(targets).expect("no thread panicked");
    answered.try_iter().collect()
}

/// How many blocks each request of a recording goes on to write.
fn reserved(records: &[TimedRecord]) -> u64 {
    let keys = records.iter().map(|record| match &record.body {
        RecordBody::Call(StorageCall::FinishWrite { keys }) => keys.len() as u64,
        _ => 0,
    });
    keys.sum()
}

#[test]
fn where_all_fits_every_request_is_served_what_the_real_manager_served() {
    let name = "mooncake_syn_all_fits";
    let (truth, records) = (truth(name), records(name));
    assert_eq!(reserved(&records), truth.iter().map(|[.., stored]| stored).sum::<u64>());
    let answers = answers(records, 245_760_000);
    assert_eq!(answers.len(), truth.len());
    for (request, (answer, [blocks, hits, l1_hits, l2_hits, _])) in answers.iter().zip(&truth).enumerate() {
        let served = [answer.requested_chunks, answer.served_chunks, answer.l1_hit_keys, answer.l2_hit_keys];
        assert_eq!(served, [*blocks, *hits, *l1_hits, *l2_hits], "request {request}");
    }
}

/// A trace does not say where in a second the real manager's passes fell, so that which blocks a pass took is not quite the same.
#[test]
fn where_l1_evicts_hits_are_within_a_hundredth_and_nearly_every_request_is_served_the_same() {
    let name = "mooncake_conv_30k";
    let (truth, records) = (truth(name), records(name));
    let answers = answers(records, 122_880_000);
    assert_eq!(answers.len(), truth.len());
    let (real, served) = truth
        .iter()
        .zip(&answers)
        .fold((0, 0), |(real, served), (row, answer)| (real + row[1], served + answer.served_chunks));
    let difference = served as f64 / real as f64 - 1.0;
    let same = answers.iter().zip(&truth).filter(|(answer, row)| answer.served_chunks == row[1]).count();
    println!("{served} blocks served, {:+.3} %; {same} of {} requests", difference * 100.0, truth.len());
    assert!(real == 85_745 && difference.abs() <= 0.01, "{served} of {real}");
    assert!(same * 100 >= truth.len() * 99, "{same} of {}", truth.len());
}

//! Does our storage manager answer as LMCache 0.5.6 does?
//!
//! `scenarios/` holds calls that were made on the real one, each with its outcome and the state after it. The
//! same calls are made here, and everything is compared: result codes, addresses, hits, victims, bytes, and
//! the whole state wherever the recording dumps it.
//!
//! In `ttl_fuzz_*` time moves by `sleep` steps alone: there, LMCache's lock, and only that, was recorded with a
//! clock that stands still between them. The other recordings take no time that a lock would notice.
//!
//! Scenarios are zstd-compressed JSON lines. Further ones, uncompressed, are run from the folder that the
//! environment variable `LMCACHE_ORACLE_DIR` names.

mod gate;
mod prefetch;
mod runner;
mod scenario;
mod state;
mod tiers;
mod watch;

use std::path::{Path, PathBuf};

use scenario::Scenario;

/// Scenarios in the repository.
const SCENARIOS: usize = 79;

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(suffix));
    files.sort();
    files
}

/// Runs a scenario; returns how many steps it had.
fn run(path: &Path) -> Result<Option<usize>, String> {
    let scenario = Scenario::load(path);
    scenario.is_supported().then(|| runner::run(&scenario)).transpose()
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} scenario(s) differ:\n\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_recorded_outcome_is_ours_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/scenarios");
    let outcomes: Vec<_> = files(&folder, ".jsonl.zst").iter().map(|path| run(path)).collect();
    let failures: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.clone().err()).collect();
    report(&failures);
    let steps: usize = outcomes.iter().filter_map(|outcome| outcome.clone().ok().flatten()).sum();
    assert_eq!(outcomes.len(), SCENARIOS);
    assert!(steps > 17_000, "only {steps} steps were compared");
}

#[test]
fn every_further_outcome_is_ours_too() {
    let Some(folder) = std::env::var_os("LMCACHE_ORACLE_DIR") else { return };
    let paths = files(Path::new(&folder), ".jsonl");
    assert!(!paths.is_empty(), "LMCACHE_ORACLE_DIR has no scenario");
    let failures: Vec<_> = paths.iter().filter_map(|path| run(path).err()).collect();
    report(&failures);
}

#[test]
fn a_wrong_outcome_is_noticed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/scenarios");
    for (op, field) in [("reserve_write", "obj"), ("prefetch", "hit"), ("evict_l1", "l1"), ("dump", "l1")] {
        let mut scenario = Scenario::load(&folder.join("l1_lru_basic.s1.jsonl.zst"));
        let step = scenario.steps.iter_mut().find(|step| step["op"] == op).expect("such a step");
        step["out"][field] = serde_json::json!("wrong");
        let difference = runner::run(&scenario).expect_err(op);
        assert!(difference.contains(op) && difference.contains("wrong"), "{difference}");
    }
}

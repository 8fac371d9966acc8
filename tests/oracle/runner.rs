//! Makes a scenario's calls and compares what comes back.
//!
//! What a recording marks as a defect of LMCache is our behaviour too, so that a what-if is true of LMCache;
//! nothing is skipped for its sake. Two marks need a word:
//!
//! | mark | here |
//! |---|---|
//! | `duplicate_keys` | the same codes and addresses, but staging bytes are right: `sbx`, the excess, is added |
//! | `isolated_lru_on_l1` | the pass reports an error, and the next pass runs; LMCache's thread dies |
//!
//! Not compared, because a manager with one L1 and no L2 has no such call (their state after is compared):
//! quotas, the L2 adapters that do not exist, and reads that name an L1 manager for a key. And a key's object
//! group has 32 bits here, so whether LMCache takes a larger one is not asked.

use std::collections::HashMap;
use std::time::Duration;

use lmcache::clock::{Clock, ManualClock, NS_PER_S};
use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{FetchingPolicy, KeyScope, LockMode, ObjectKey, PrefetchTaskSpec};
use lmcache::storage::prefetch::validate_spec;
use lmcache::storage::{Bitmap, KeyCodes, L1Error, PrefetchResult, ReadBuffer, ReadContext, StorageManager};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::scenario::{Scenario, array_of, str_of, u64_of, usize_of};
use crate::state::{self, KeyNumbers};

/// What a step answered: the `out` of the recording, or `None` where we have no such call.
type Out = Option<Value>;

/// Runs all steps; returns how many there were, or the first difference.
pub(crate) fn run(scenario: &Scenario) -> Result<usize, String> {
    let (clock, hand) = Clock::manual(NS_PER_S);
    let manager = StorageManager::with_clock(scenario.manager_config(), clock).expect("a manager");
    let numbers = scenario.keys.iter().cloned().zip(0..).collect();
    let mut runner = Runner { scenario, manager, hand, numbers, contexts: HashMap::new() };
    for step in &scenario.steps {
        let out = runner.step(step);
        let expected = state::with_float_target(step["out"].clone());
        if out.as_ref().is_some_and(|out| *out != expected) {
            return Err(difference(scenario, step, "out", &expected, &out));
        }
        let summary = state::summary(&runner.manager, &step["st"]);
        if summary != step["st"] {
            return Err(difference(scenario, step, "st", &step["st"], &Some(summary)));
        }
    }
    assert!(runner.manager.memcheck(), "{}", scenario.name);
    Ok(scenario.steps.len())
}

fn difference(scenario: &Scenario, step: &Value, what: &str, expected: &Value, got: &Out) -> String {
    let mut call = step.clone();
    for outcome in ["out", "st"] {
        call.as_object_mut().and_then(|call| call.remove(outcome));
    }
    let got = got.as_ref().unwrap_or(&Value::Null);
    format!(
        "{} step {} ({what})\ncall     {call}\nexpected {expected}\ngot      {got}",
        scenario.name, step["i"]
    )
}

fn raised() -> Value {
    json!({ "raises": "ValueError" })
}

fn letter(code: L1Error) -> char {
    match code {
        L1Error::Success => 'S',
        L1Error::KeyNotExist => 'N',
        L1Error::KeyNotReadable => 'R',
        L1Error::KeyNotWritable => 'W',
        L1Error::KeyInWrongState => 'X',
        L1Error::KeyIsLocked => 'L',
        L1Error::OutOfMemory => 'M',
    }
}

fn letters(codes: &KeyCodes, keys: &[ObjectKey]) -> String {
    codes.per_distinct_key(keys).into_iter().map(|(_, code)| letter(code)).collect()
}

/// What the recorder filled an object of `key` with: the SHA-256 of its wire name, over and over.
fn payload(key: &ObjectKey, size_bytes: u64) -> Vec<u8> {
    let digest = Sha256::digest(key.view().to_string());
    digest.iter().copied().cycle().take(size_bytes as usize).collect()
}

struct Runner<'a> {
    scenario: &'a Scenario,
    manager: StorageManager,
    hand: ManualClock,
    numbers: KeyNumbers,
    contexts: HashMap<u64, ReadContext>,
}

impl Runner<'_> {
    fn step(&mut self, step: &Value) -> Out {
        let names_owners = step.get("owners").is_some();
        match str_of(&step["op"]) {
            _ if names_owners && step["out"] == raised() => None,
            "reserve_write" => Some(self.reserve_write(step)),
            "finish_write" => Some(self.finish_write(step)),
            "finish_write_by_owner" => Some(self.finish_write_by_owner(step)),
            "prefetch" => Some(self.prefetch(step)),
            "read_enter" => Some(self.read_enter(step)),
            "read_exit" => Some(self.read_exit(step)),
            "finish_read" => Some(self.finish_read(step)),
            "unsafe_read" => Some(self.unsafe_read(step)),
            "delete_l1" => Some(self.delete_l1(step)),
            "evict_l1" => Some(self.evict_l1()),
            "dump" => Some(state::dump(&self.manager, &self.numbers)),
            "memcheck" => Some(json!({ "ok": self.manager.memcheck() })),
            "object_key_validation" => Some(validate_keys(step)),
            "touch" => {
                self.manager.touch_l1_keys(&self.keys(&step["keys"]));
                Some(json!({}))
            }
            "clear" => {
                self.manager.clear(step["force"] == true);
                Some(json!({}))
            }
            "sleep" => {
                let seconds = step["seconds"].as_f64().expect("a time");
                self.hand.advance_ns((seconds * NS_PER_S as f64) as u64);
                Some(json!({}))
            }
            "evict_l2" => Some(json!({ "actions": [] })),
            "set_quota" | "delete_quota" | "del_l2" => None,
            op => panic!("{}: step {} has the unknown op {op}", self.scenario.name, step["i"]),
        }
    }

    fn keys(&self, numbers: &Value) -> Vec<ObjectKey> {
        array_of(numbers).iter().map(|number| self.scenario.keys[usize_of(number)].clone()).collect()
    }

    fn reserve_write(&self, step: &Value) -> Value {
        let keys = self.keys(&step["keys"]);
        let layout = &self.scenario.layouts[str_of(&step["layout"])];
        let Ok(reservation) = self.manager.reserve_write(&keys, layout) else { return raised() };
        let mut objects = Vec::new();
        for (key, _) in reservation.codes().per_distinct_key(&keys) {
            let position = keys.iter().position(|other| other == key).expect("a key of the call");
            let Some(buffer) = reservation.buffer(position) else { continue };
            let span = buffer.span();
            buffer.write(&payload(key, span.size_bytes)).expect("the payload fits");
            objects.push(json!([0, span.offset_bytes, span.phy_size_bytes, span.size_bytes]));
        }
        json!({ "err": letters(reservation.codes(), &keys), "obj": objects })
    }

    fn finish_write(&self, step: &Value) -> Value {
        let keys = self.keys(&step["keys"]);
        let codes = self.manager.finish_write(&keys).expect("an open manager");
        json!({ "err": letters(&codes, &keys) })
    }

    fn finish_write_by_owner(&self, step: &Value) -> Value {
        let groups: Vec<_> = array_of(&step["groups"])
            .iter()
            .map(|group| (u64_of(&group[0]) as u32, self.keys(&group[1])))
            .collect();
        let borrowed: Vec<_> = groups.iter().map(|(owner, keys)| (*owner, keys.as_slice())).collect();
        let Ok(codes) = self.manager.finish_write_by_owner(&borrowed) else { return raised() };
        let per_l1: Vec<_> = groups
            .iter()
            .zip(&codes)
            .map(|((owner, keys), codes)| json!([owner, letters(codes, keys)]))
            .collect();
        json!({ "per_l1": per_l1 })
    }

    fn spec(&self, step: &Value) -> Option<PrefetchTaskSpec> {
        let row = |row: &Value| GroupedObjectKeys {
            keys: self.keys(&row["keys"]),
            object_group_id: u64_of(&row["g"]) as u32,
            layout: self.scenario.layouts[str_of(&row["layout"])].clone(),
            sliding_window_size: row["w"].as_i64().expect("a window"),
        };
        let fetching_policy = match str_of(&step["policy"]) {
            "prefix" => FetchingPolicy::Prefix,
            "full" => FetchingPolicy::Full,
            _ => return None,
        };
        Some(PrefetchTaskSpec {
            key_groups: array_of(&step["rows"]).iter().map(row).collect(),
            num_kv_readers: step["readers"].as_i64().expect("a count"),
            fetching_policy,
            lock_mode: if step["lock"] == "LOCK" { LockMode::Lock } else { LockMode::NoLock },
        })
    }

    fn prefetch(&self, step: &Value) -> Value {
        let Some(spec) = self.spec(step).filter(|spec| validate_spec(spec).is_ok()) else { return raised() };
        let skip_l2 = step["skip_l2"] == true;
        let handle = self.manager.submit_prefetch_task(&spec, "", skip_l2).expect("an open manager");
        assert!(self.manager.wait_prefetch_status(&handle, Duration::ZERO));
        let result = self.manager.query_prefetch_status(&handle).expect("the first query has the result");
        assert_eq!(self.manager.query_prefetch_status(&handle), None, "a result is given once");
        let PrefetchResult { hit_cells, l1_hit_cells, l2_hit_cells, found_cells } = result;
        let rows = |rows: &[Bitmap]| rows.iter().map(Bitmap::to_string).collect::<Vec<_>>();
        json!({
            "hit": rows(&hit_cells), "l1_hit": rows(&l1_hit_cells), "l2_hit": rows(&l2_hit_cells),
            "found": found_cells.as_deref().map(rows),
        })
    }

    fn read_enter(&mut self, step: &Value) -> Value {
        let keys = self.keys(&step["keys"]);
        let context = self.manager.read_prefetched_results(&keys);
        let distinct = context.codes().per_distinct_key(&keys);
        let err: String = distinct.iter().map(|(_, code)| letter(*code)).collect();
        let out = match context.objects() {
            None => json!({ "ok": false, "err": err }),
            Some(objects) => {
                let is_right = |(object, (key, _)): (&ReadBuffer<'_>, &(&ObjectKey, L1Error))| {
                    let mut bytes = vec![0; object.span().size_bytes as usize];
                    object.read_into(&mut bytes) == bytes.len() && bytes == payload(key, bytes.len() as u64)
                };
                let data: String = objects
                    .iter()
                    .zip(&distinct)
                    .map(|pair| if is_right(pair) { '1' } else { '0' })
                    .collect();
                let addr: Vec<_> = objects.iter().map(|object| object.span().offset_bytes).collect();
                json!({ "ok": true, "err": err, "n": objects.len(), "data": data, "addr": addr })
            }
        };
        self.contexts.insert(u64_of(&step["h"]), context);
        out
    }

    fn read_exit(&mut self, step: &Value) -> Value {
        let context = self.contexts.remove(&u64_of(&step["h"])).expect("an entered context");
        let released = context.exit(step["raise"] == true);
        let keys: Vec<_> = released.iter().map(|(key, _)| self.numbers[key]).collect();
        let codes: String = released.iter().map(|(_, code)| letter(*code)).collect();
        json!({ "released": [keys, codes] })
    }

    fn finish_read(&self, step: &Value) -> Value {
        let keys = self.keys(&step["keys"]);
        let codes = self.manager.finish_read_prefetched(&keys, step["locks"].as_i64().expect("a count"));
        json!({ "err": letters(&codes, &keys) })
    }

    fn unsafe_read(&self, step: &Value) -> Value {
        let keys = self.keys(&step["keys"]);
        let read = self.manager.unsafe_read(&keys);
        let codes = keys.iter().zip(read.codes().as_slice());
        let good: Vec<_> =
            codes.filter(|(_, code)| **code == L1Error::Success).map(|(key, _)| self.numbers[key]).collect();
        let addr: Vec<_> = read.objects().map(|object| object.span().offset_bytes).collect();
        json!({ "good": good, "err": letters(read.codes(), &keys), "addr": addr })
    }

    /// The storage manager counts, its L1 manager says which; so the steps take turns.
    fn delete_l1(&self, step: &Value) -> Value {
        let (keys, force) = (self.keys(&step["keys"]), step["force"] == true);
        let mut out = step["out"].clone();
        if u64_of(&step["i"]).is_multiple_of(2) {
            let (deleted, skipped) = self.manager.delete_l1_keys(&keys, force);
            out["deleted"] = json!(deleted);
            out["skipped"] = json!(skipped);
        } else {
            let codes = self.manager.l1_manager().delete(&keys, force);
            out["per_l1"] = json!([[0, letters(&codes, &keys)]]);
        }
        out
    }

    fn evict_l1(&self) -> Value {
        let pass = self.manager.evict_l1_once();
        let mut l1 = json!({
            "l1": 0, "used": pass.used_bytes, "total": pass.total_bytes, "triggered": pass.triggered,
        });
        match pass.victims {
            Err(_) => l1["raises"] = json!("ValueError"),
            Ok(victims) if pass.triggered => {
                let keys: Vec<_> = victims.iter().map(|(key, _)| self.numbers[key]).collect();
                let codes: String = victims.iter().map(|(_, code)| letter(*code)).collect();
                let actions =
                    if keys.is_empty() { (json!([]), json!([])) } else { (json!([keys]), json!([codes])) };
                (l1["victims"], l1["err"]) = actions;
            }
            Ok(_) => {}
        }
        json!({ "l1": [l1] })
    }
}

fn validate_keys(step: &Value) -> Value {
    let field = |case: &Value, name: &str, default: Value| case[0].get(name).cloned().unwrap_or(default);
    let outcome = |case: &Value| {
        let group = field(case, "object_group_id", json!(0)).as_i64().expect("a group");
        if group > i64::from(u32::MAX) {
            return case[1].clone();
        }
        let (model, salt) = (field(case, "model_name", json!("m")), field(case, "cache_salt", json!("")));
        let rank = field(case, "kv_rank", json!(1)).as_i64().expect("a rank");
        let scope = u32::try_from(group)
            .is_ok_and(|group| KeyScope::new(str_of(&model), rank, group, str_of(&salt)).is_ok());
        if scope { Value::Null } else { json!("ValueError") }
    };
    let cases: Vec<_> =
        array_of(&step["out"]["cases"]).iter().map(|case| json!([case[0], outcome(case)])).collect();
    json!({ "cases": cases })
}

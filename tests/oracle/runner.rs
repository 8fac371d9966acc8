//! Makes a scenario's calls and compares what comes back.
//!
//! What a recording marks as a defect of LMCache is our behaviour too, as long as we are told to be like LMCache, so that
//! a what-if is true of LMCache; nothing is skipped for its sake. Two marks need a word:
//!
//! | mark | here |
//! |---|---|
//! | `duplicate_keys` | the same codes and addresses, but staging bytes are right: `sbx`, the excess, is added |
//! | `isolated_lru_on_l1` | the pass reports an error, and the next pass runs; LMCache's thread dies |
//!
//! Not compared: the policies of L2 in dumps, which are inner state (their victims are compared), and object groups past
//! 32 bits, which LMCache takes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmcache::clock::{Clock, ManualClock, NS_PER_S};
use lmcache::format::model::{KeyScope, ObjectKey};
use lmcache::storage::l1_eviction::EvictionPass;
use lmcache::storage::{
    KeyCodes, L1Error, L1Owners, PrefetchHandle, ReadBuffer, ReadContext, StorageManager,
    StorageManagerBuilder, WriteReservation,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::gate::Kind;
use crate::scenario::{Scenario, adapter_config, array_of, str_of, u64_of, usize_of};
use crate::state::{self, KeyNumbers};
use crate::tiers::{self, Tiers};
use crate::watch::Watch;

/// What a step answered: the `out` of the recording, or `None` where we have no such call.
pub(crate) type Out = Option<Value>;

/// Runs all steps; returns how many there were, or the first difference.
pub(crate) fn run(scenario: &Scenario) -> Result<usize, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut runner = Runner::new(scenario, folder.path());
    for step in &scenario.steps {
        let mut out = runner.step(step);
        runner.settle();
        if let Some(out) = out.as_mut().filter(|_| may_list(step)) {
            runner.watch.report(&runner.numbers, out);
        }
        let expected = state::without_l2_policies(state::with_float_target(step["out"].clone()));
        if out.as_ref().is_some_and(|out| *out != expected) {
            return Err(difference(scenario, step, "out", &expected, &out));
        }
        let mut summary = state::summary(&runner.manager, &step["st"]);
        runner.tiers.summary(&runner.numbers, &mut summary);
        if summary != step["st"] {
            return Err(difference(scenario, step, "st", &step["st"], &Some(summary)));
        }
    }
    assert!(runner.manager.memcheck(), "{}", scenario.name);
    Ok(scenario.steps.len())
}

/// Whether the `out` of a step lists loads and failures.
fn may_list(step: &Value) -> bool {
    matches!(str_of(&step["op"]), "prefetch" | "prefetch_submit" | "gate")
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

pub(crate) fn raised() -> Value {
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

pub(crate) struct Runner<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) manager: StorageManager,
    pub(crate) numbers: KeyNumbers,
    pub(crate) handles: HashMap<u64, (PrefetchHandle, Value)>,
    tiers: Arc<Tiers>,
    watch: Arc<Watch>,
    folder: &'a Path,
    hand: ManualClock,
    contexts: HashMap<u64, ReadContext>,
}

impl<'a> Runner<'a> {
    fn new(scenario: &'a Scenario, folder: &'a Path) -> Self {
        for adapter in array_of(&scenario.config["l2"]) {
            make_folder(adapter, folder);
        }
        let (clock, hand) = Clock::manual(NS_PER_S);
        let tiers: Arc<Tiers> = Arc::default();
        let maker = Arc::clone(&tiers);
        let manager = StorageManagerBuilder::new(scenario.manager_config(folder))
            .without_threads(clock)
            .adapter_factory(Arc::new(move |config, context| maker.make(config, context)))
            .build()
            .expect("a manager");
        let watch: Arc<Watch> = Arc::default();
        manager.attach_events(Arc::clone(&watch) as _).expect("the first sink");
        let numbers = scenario.keys.iter().cloned().zip(0..).collect();
        let (handles, contexts) = (HashMap::new(), HashMap::new());
        Self { scenario, manager, numbers, handles, tiers, watch, folder, hand, contexts }
    }

    /// Until everything is done that no gate holds back.
    pub(crate) fn settle(&self) {
        loop {
            let was_busy = self.tiers.is_busy();
            let had_work = self.manager.pump();
            if !was_busy && !had_work {
                return;
            }
            std::thread::yield_now();
        }
    }
}

fn make_folder(adapter: &Value, folder: &Path) {
    let adapter = adapter.get("inner").unwrap_or(adapter);
    if let Some(path) = adapter["base_path"].as_str() {
        let path = path.replace("@TMP", folder.to_str().expect("UTF-8"));
        std::fs::create_dir_all(path).expect("a folder");
    }
}

impl Runner<'_> {
    fn step(&mut self, step: &Value) -> Out {
        match str_of(&step["op"]) {
            "reserve_write" => Some(self.reserve_write(step)),
            "finish_write" => Some(self.finish_write(step)),
            "finish_write_by_owner" => Some(self.finish_write_by_owner(step)),
            "prefetch" => Some(self.prefetch(step)),
            "prefetch_submit" => Some(self.prefetch_submit(step)),
            "prefetch_query" => Some(self.prefetch_query(step)),
            "read_enter" => Some(self.read_enter(step)),
            "read_exit" => Some(self.read_exit(step)),
            "finish_read" => Some(self.finish_read(step)),
            "unsafe_read" => Some(self.unsafe_read(step)),
            "delete_l1" => Some(self.delete_l1(step)),
            "evict_l1" => Some(self.evict_l1()),
            "evict_l2" => Some(self.evict_l2()),
            "dump" => Some(self.dump()),
            "memcheck" => Some(json!({ "ok": self.manager.memcheck() })),
            "object_key_validation" => Some(validate_keys(step)),
            "ctl" => Some(self.counters()),
            "add_l2" => Some(self.add_l2(step)),
            "fs_ls" => Some(tiers::list(&self.folder.join(str_of(&step["dir"])))),
            "delete_quota" => {
                let existed = self.manager.quota_manager().delete_quota(str_of(&step["salt"]));
                Some(json!({ "existed": existed }))
            }
            op => self.step_without_answer(op, step),
        }
    }

    fn step_without_answer(&mut self, op: &str, step: &Value) -> Out {
        match op {
            "touch" => self.manager.touch_l1_keys(&self.keys(&step["keys"])),
            "clear" => self.manager.clear(step["force"] == true),
            "gate" => {
                let gate = self.tiers.gate(u64_of(&step["adapter"]) as u32);
                gate.hold(Kind::from_name(str_of(&step["what"])), step["hold"] == true);
            }
            "sleep" => {
                let seconds = step["seconds"].as_f64().expect("a time");
                self.hand.advance_ns((seconds * NS_PER_S as f64) as u64);
            }
            "set_quota" => {
                // A quota below zero cannot be said here.
                let Some(bytes) = step["bytes"].as_u64() else { return Some(raised()) };
                self.manager.quota_manager().set_quota(str_of(&step["salt"]), bytes);
            }
            "del_l2" => return Some(self.del_l2(step)),
            "fs_edit" => tiers::edit(&self.folder.join(str_of(&step["dir"])), step),
            op => panic!("{}: step {} has the unknown op {op}", self.scenario.name, step["i"]),
        }
        Some(json!({}))
    }

    fn add_l2(&self, step: &Value) -> Value {
        make_folder(&step["adapter"], self.folder);
        let added = adapter_config(&step["adapter"], self.folder)
            .and_then(|config| self.manager.add_l2_adapter(config));
        added.map_or_else(|_| raised(), |id| json!({ "id": id }))
    }

    fn del_l2(&self, step: &Value) -> Value {
        let id = u64_of(&step["id"]) as u32;
        if self.manager.delete_l2_adapter(id, Duration::from_secs(10)).is_err() {
            return raised();
        }
        self.tiers.forget(id);
        json!({})
    }

    fn dump(&self) -> Value {
        let mut dump = state::dump(&self.manager, &self.numbers);
        if let Some(l2) = self.tiers.dump(&self.numbers) {
            dump["l2"] = l2;
        }
        dump
    }

    fn counters(&self) -> Value {
        let status = self.manager.report_status();
        let store: Vec<_> = self
            .manager
            .l1_managers()
            .map(|l1| {
                let store = &status.store_controllers[&l1.config().tag];
                json!({
                    "pending_keys_count": store.pending_keys_count,
                    "in_flight_task_count": store.in_flight_task_count,
                    "num_l2_adapters": store.num_l2_adapters,
                })
            })
            .collect();
        let prefetch = &status.prefetch_controller;
        json!({ "store": store, "prefetch": {
            "submission_queue_size": prefetch.submission_queue_size,
            "pending_queue_size": prefetch.pending_queue_size,
            "in_flight_request_count": prefetch.in_flight_request_count,
            "lookup_phase_count": prefetch.lookup_phase_count,
            "load_phase_count": prefetch.load_phase_count,
            "completed_results_count": prefetch.completed_results_count,
            "num_l2_adapters": prefetch.num_l2_adapters,
        }})
    }

    pub(crate) fn owners(&self, step: &Value) -> Option<L1Owners> {
        let owners = step.get("owners")?;
        let owner = |pair: &Value| (self.scenario.keys[usize_of(&pair[0])].clone(), u64_of(&pair[1]) as u32);
        Some(array_of(owners).iter().map(owner).collect())
    }

    pub(crate) fn keys(&self, numbers: &Value) -> Vec<ObjectKey> {
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
            let owner = reservation.owner(position);
            objects.push(json!([owner, span.offset_bytes, span.phy_size_bytes, span.size_bytes]));
        }
        let mut out = json!({ "err": letters(reservation.codes(), &keys), "obj": objects });
        if self.manager.l1_managers().len() > 1 {
            out["per_l1"] = self.codes_per_l1(&keys, &reservation);
        }
        out
    }

    /// What each L1 said of the keys that came to it: LMCache's dictionary has first what was refused, and then what went
    /// to the allocator.
    fn codes_per_l1(&self, keys: &[ObjectKey], reservation: &WriteReservation) -> Value {
        let first = [(0, reservation.codes().clone())];
        let per_l1 = match reservation.codes_per_l1() {
            [] if keys.is_empty() => return json!([]),
            [] => &first,
            tried => tried,
        };
        let mut passed_on = keys.to_vec();
        let mut answers = Vec::new();
        for (owner, codes) in per_l1 {
            let outcomes = codes.per_distinct_key(&passed_on);
            let (refused, rest): (Vec<_>, Vec<_>) =
                outcomes.iter().partition(|(_, code)| *code == L1Error::KeyNotWritable);
            let letters: String = refused.iter().chain(&rest).map(|(_, code)| letter(*code)).collect();
            answers.push(json!([owner, letters]));
            let pending = passed_on.into_iter().zip(codes.as_slice());
            passed_on =
                pending.filter(|(_, code)| **code == L1Error::OutOfMemory).map(|(key, _)| key).collect();
        }
        json!(answers)
    }

    fn finish_write(&self, step: &Value) -> Value {
        let keys = self.keys(&step["keys"]);
        let Ok(codes) = self.manager.finish_write(&keys) else { return raised() };
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

    fn read_enter(&mut self, step: &Value) -> Value {
        let keys = self.keys(&step["keys"]);
        let owners = self.owners(step);
        let Ok(context) = self.manager.read_prefetched_results(&keys, owners.as_ref()) else {
            return raised();
        };
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
        let (locks, owners) = (step["locks"].as_i64().expect("a count"), self.owners(step));
        let finished = self.manager.finish_read_prefetched(&keys, locks, owners.as_ref());
        let Ok(codes) = finished else { return raised() };
        json!({ "err": letters(&codes, &keys) })
    }

    fn unsafe_read(&self, step: &Value) -> Value {
        let keys = self.keys(&step["keys"]);
        let Ok(read) = self.manager.unsafe_read(&keys, self.owners(step).as_ref()) else { return raised() };
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
            let per_l1 = self.manager.l1_managers().enumerate();
            let per_l1 =
                per_l1.map(|(l1, manager)| json!([l1, letters(&manager.delete(&keys, force), &keys)]));
            out["per_l1"] = json!(per_l1.collect::<Vec<_>>());
        }
        out
    }

    fn evict_l1(&self) -> Value {
        let passes = self.manager.evict_l1_once().into_iter().enumerate();
        json!({ "l1": passes.map(|(l1, pass)| self.pass(l1, pass)).collect::<Vec<_>>() })
    }

    fn pass(&self, l1: usize, pass: EvictionPass) -> Value {
        let mut l1 = json!({
            "l1": l1, "used": pass.used_bytes, "total": pass.total_bytes, "triggered": pass.triggered,
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
        l1
    }

    fn evict_l2(&self) -> Value {
        let action = |(id, keys): (u32, Vec<ObjectKey>)| {
            json!([id, keys.iter().map(|key| self.numbers[key]).collect::<Vec<_>>()])
        };
        json!({ "actions": self.manager.evict_l2_once().into_iter().map(action).collect::<Vec<_>>() })
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

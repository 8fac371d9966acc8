//! The prefetch steps of a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use lmcache::format::model::call::GroupedObjectKeys;
use lmcache::format::model::{FetchingPolicy, LockMode, ObjectKey, PrefetchTaskSpec};
use lmcache::storage::l1::ObjectStage;
use lmcache::storage::prefetch::validate_spec;
use lmcache::storage::{Bitmap, PrefetchHandle, PrefetchResult};
use serde_json::{Value, json};

use crate::runner::{Runner, raised};
use crate::scenario::{array_of, str_of, u64_of};

impl Runner<'_> {
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
        let spec = PrefetchTaskSpec {
            key_groups: array_of(&step["rows"]).iter().map(row).collect(),
            num_kv_readers: step["readers"].as_i64().expect("a count"),
            fetching_policy,
            lock_mode: if step["lock"] == "LOCK" { LockMode::Lock } else { LockMode::NoLock },
        };
        validate_spec(&spec).is_ok().then_some(spec)
    }

    fn submit(&mut self, step: &Value) -> Option<PrefetchHandle> {
        let spec = self.spec(step)?;
        let skip_l2 = step["skip_l2"] == true;
        let handle = self.manager.submit_prefetch_task(&spec, "", skip_l2).expect("an open manager");
        self.handles.insert(u64_of(&step["h"]), (handle.clone(), step.clone()));
        Some(handle)
    }

    /// Submits, waits and asks.
    pub(crate) fn prefetch(&mut self, step: &Value) -> Value {
        let Some(handle) = self.submit(step) else { return raised() };
        assert!(self.manager.wait_prefetch_status(&handle, Duration::from_secs(10)));
        self.settle();
        let result = self.manager.query_prefetch_status(&handle).expect("the first query has the result");
        assert_eq!(self.manager.query_prefetch_status(&handle), None, "a result is given once");
        self.result(step, result)
    }

    pub(crate) fn prefetch_submit(&mut self, step: &Value) -> Value {
        let Some(handle) = self.submit(step) else { return raised() };
        json!({ "total": handle.total_requested_keys, "rid": handle.prefetch_request_id })
    }

    pub(crate) fn prefetch_query(&mut self, step: &Value) -> Value {
        let (handle, submitted) = &self.handles[&u64_of(&step["h"])];
        match self.manager.query_prefetch_status(handle) {
            None => json!({ "done": false }),
            Some(result) => {
                let mut out = self.result(submitted, result);
                out["done"] = json!(true);
                out
            }
        }
    }

    fn result(&self, step: &Value, result: PrefetchResult) -> Value {
        let rows = |rows: &[Bitmap]| rows.iter().map(Bitmap::to_string).collect::<Vec<_>>();
        let mut out = json!({
            "hit": rows(&result.hit_cells),
            "l1_hit": rows(&result.l1_hit_cells),
            "l2_hit": rows(&result.l2_hit_cells),
            "found": result.found_cells.as_deref().map(rows),
        });
        if self.manager.l1_managers().len() > 1 {
            let owners = result.l1_owners.iter().map(|(key, l1)| (self.numbers[key], *l1));
            out["owners"] = json!(owners.collect::<BTreeMap<_, _>>().into_iter().collect::<Vec<_>>());
        }
        let placed = self.placed(step, &result.l2_hit_cells);
        if !placed.is_empty() {
            out["placed"] = json!(placed);
        }
        out
    }

    /// Where the objects behind the hits of L2 lie, as far as they are resident.
    fn placed(&self, step: &Value, l2_hit_cells: &[Bitmap]) -> Vec<Value> {
        let mut keys: Vec<ObjectKey> = Vec::new();
        for (row, hits) in array_of(&step["rows"]).iter().zip(l2_hit_cells) {
            let of_row = self.keys(&row["keys"]);
            for key in hits.ones().map(|cell| &of_row[cell]) {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
        }
        if keys.is_empty() {
            return Vec::new();
        }
        let mut placed = Vec::new();
        for key in keys {
            for (l1, manager) in self.manager.l1_managers().enumerate() {
                let objects = manager.objects_of(&key);
                for object in objects.into_iter().filter(|object| object.stage == ObjectStage::Resident) {
                    let (offset, phy) = (object.span.offset_bytes, object.span.phy_size_bytes);
                    let temporary = u8::from(object.is_temporary);
                    placed.push(json!([self.numbers[&key], l1, offset, phy, temporary]));
                }
            }
        }
        placed
    }
}

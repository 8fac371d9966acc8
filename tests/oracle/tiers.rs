//! The L2 of a scenario: its adapters behind gates, and what they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use lmcache::format::model::ObjectKey;
use lmcache::storage::config::{AdapterKind, L2AdapterConfig};
use lmcache::storage::l2::factory::{self, AdapterContext};
use lmcache::storage::l2::fault_inject::FaultInjectAdapter;
use lmcache::storage::l2::mock::MockAdapter;
use lmcache::storage::l2::{L2Adapter, L2AdapterId};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::gate::Gate;
use crate::scenario::{str_of, u64_of};
use crate::state::KeyNumbers;

/// What an adapter stores: key numbers, or file names.
type Stored = BTreeSet<Item>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    Key(usize),
    File(String),
}

impl Item {
    fn json(&self) -> Value {
        match self {
            Self::Key(number) => json!(number),
            Self::File(name) => json!(name),
        }
    }
}

enum Store {
    Mock(Arc<MockAdapter>),
    Folder(PathBuf),
}

struct Tier {
    gate: Arc<Gate>,
    store: Store,
    /// What it stored when its difference was last taken.
    last: Stored,
}

/// The adapters that exist, by their numbers.
#[derive(Default)]
pub(crate) struct Tiers {
    tiers: Mutex<BTreeMap<L2AdapterId, Tier>>,
}

impl Tiers {
    /// What a builder makes adapters with: the real ones, behind gates.
    pub(crate) fn make(
        &self,
        config: &L2AdapterConfig,
        context: &AdapterContext,
    ) -> lmcache::error::Result<Arc<dyn L2Adapter>> {
        let (adapter, store) = Self::adapter(config, context)?;
        let gate = Arc::new(Gate::new(adapter));
        let tier = Tier { gate: Arc::clone(&gate), store, last: Stored::new() };
        self.tiers.lock().expect("a lock").insert(context.id, tier);
        Ok(gate)
    }

    fn adapter(
        config: &L2AdapterConfig,
        context: &AdapterContext,
    ) -> lmcache::error::Result<(Arc<dyn L2Adapter>, Store)> {
        match &config.kind {
            AdapterKind::Mock(mock) => {
                let mock = Arc::new(MockAdapter::new(factory::mock_options(mock, context)));
                Ok((Arc::clone(&mock) as Arc<dyn L2Adapter>, Store::Mock(mock)))
            }
            AdapterKind::Fs(fs) => {
                Ok((factory::create(config, context)?, Store::Folder(fs.base_path.clone())))
            }
            AdapterKind::FaultInject(faults) => {
                let (inner, store) = Self::adapter(&faults.inner, context)?;
                Ok((Arc::new(FaultInjectAdapter::new(inner, faults)), store))
            }
            other => panic!("no scenario has an adapter of type {}", other.name()),
        }
    }

    pub(crate) fn gate(&self, id: L2AdapterId) -> Arc<Gate> {
        Arc::clone(&self.tiers.lock().expect("a lock")[&id].gate)
    }

    pub(crate) fn forget(&self, id: L2AdapterId) {
        self.tiers.lock().expect("a lock").remove(&id);
    }

    /// Whether an adapter is at work.
    pub(crate) fn is_busy(&self) -> bool {
        self.tiers.lock().expect("a lock").values().any(|tier| tier.gate.is_busy())
    }

    /// The `l2` and the `l2d` of a state; nothing where there are no adapters.
    pub(crate) fn summary(&self, numbers: &KeyNumbers, state: &mut Value) {
        let mut tiers = self.tiers.lock().expect("a lock");
        let (mut all, mut differences) = (Map::new(), Map::new());
        for (id, tier) in tiers.iter_mut() {
            let stored = tier.stored(numbers);
            let usage = tier.gate.ledger().usage();
            let mut summary = json!({ "b": usage.total_bytes_used, "n": stored.len() });
            if usage.bytes_by_cache_salt.iter().any(|(salt, _)| !salt.is_empty()) {
                let salts: Map<_, _> =
                    usage.bytes_by_cache_salt.into_iter().map(|(salt, bytes)| (salt, json!(bytes))).collect();
                summary["salts"] = json!(salts);
            }
            all.insert(id.to_string(), summary);
            let mut difference = Map::new();
            for (name, these, others) in [("add", &stored, &tier.last), ("del", &tier.last, &stored)] {
                let items: Vec<_> = these.difference(others).map(Item::json).collect();
                if !items.is_empty() {
                    difference.insert(name.to_owned(), json!(items));
                }
            }
            if !difference.is_empty() {
                differences.insert(id.to_string(), json!(difference));
            }
            tier.last = stored;
        }
        if !all.is_empty() {
            state["l2"] = json!(all);
        }
        if !differences.is_empty() {
            state["l2d"] = json!(differences);
        }
    }

    /// The `l2` of a `dump`, without policies.
    pub(crate) fn dump(&self, numbers: &KeyNumbers) -> Option<Value> {
        let tiers = self.tiers.lock().expect("a lock");
        let dump = |tier: &Tier| {
            let objects: Vec<_> = tier.stored(numbers).iter().map(Item::json).collect();
            let mut dump = json!({ "objects": objects });
            if let Store::Mock(mock) = &tier.store {
                let mut locked: Vec<_> =
                    mock.locked_keys().into_iter().map(|(key, count)| (numbers[&key], count)).collect();
                locked.sort_unstable();
                dump["locked"] = json!(locked);
            }
            dump
        };
        let all: Map<_, _> = tiers.iter().map(|(id, tier)| (id.to_string(), dump(tier))).collect();
        (!all.is_empty()).then(|| json!(all))
    }
}

impl Tier {
    fn stored(&self, numbers: &KeyNumbers) -> Stored {
        match &self.store {
            Store::Mock(mock) => {
                mock.stored_keys().iter().map(|key: &ObjectKey| Item::Key(numbers[key])).collect()
            }
            Store::Folder(folder) => files(folder)
                .into_iter()
                .filter(|name| name.ends_with(".data") && !name.contains('/'))
                .map(Item::File)
                .collect(),
        }
    }
}

/// All files below a folder, by their paths from there.
fn files(folder: &Path) -> Vec<String> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("the folder can be listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below the folder");
                files.push(name.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    files.sort();
    files
}

/// The `out` of `fs_ls`.
pub(crate) fn list(folder: &Path) -> Value {
    let file = |name: &String| {
        let bytes = std::fs::read(folder.join(name)).expect("the file can be read");
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        json!([name, bytes.len(), digest])
    };
    json!({ "files": files(folder).iter().map(file).collect::<Vec<_>>() })
}

/// `fs_edit`: changes a file behind the adapter's back.
pub(crate) fn edit(folder: &Path, step: &Value) {
    let path = folder.join(str_of(&step["file"]));
    match str_of(&step["action"]) {
        "unlink" => std::fs::remove_file(&path).expect("the file can be removed"),
        "truncate" => {
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("a file");
            file.set_len(u64_of(&step["n"])).expect("the file can be cut");
        }
        "append" | "create" => {
            let mut bytes = std::fs::read(&path).unwrap_or_default();
            bytes.resize(bytes.len() + u64_of(&step["n"]) as usize, 0);
            std::fs::write(&path, bytes).expect("the file can be written");
        }
        other => panic!("an edit of unknown kind {other}"),
    }
}

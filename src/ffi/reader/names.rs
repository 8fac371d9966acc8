//! Scopes and layouts of a reader: made once, and at the same address until the reader is freed.

use std::ffi::CString;
use std::rc::Rc;

use hashbrown::{HashMap, HashTable};

use super::record::{LMCACHE_NOT_KNOWN, lmcache_recorded_layout, lmcache_recorded_scope};
use crate::ffi::keys::lmcache_tensor;
use crate::format::model::{KeyView, MemoryLayoutDesc};
use crate::format::native::schema::ScopeFacts;

/// Layouts of LMCache's files that are compared before they are looked up: a server has one per model and object group.
const COMPARED_LAYOUTS: usize = 8;

/// Bytes with a NUL behind them.
fn with_nul(text: &str) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes.into()
}

struct Scope {
    seen: lmcache_recorded_scope,
    model_name: Box<[u8]>,
    cache_salt: Box<[u8]>,
}

impl Scope {
    fn new(key: &KeyView<'_>) -> Self {
        let (model_name, cache_salt) = (with_nul(key.model_name), with_nul(key.cache_salt));
        let seen = lmcache_recorded_scope {
            model_name: model_name.as_ptr().cast(),
            model_name_length: model_name.len() - 1,
            cache_salt: cache_salt.as_ptr().cast(),
            cache_salt_length: cache_salt.len() - 1,
            kv_rank: key.kv_rank,
            object_group_id: key.object_group_id,
            reserved: 0,
        };
        Self { seen, model_name, cache_salt }
    }

    fn is_of(&self, key: &KeyView<'_>) -> bool {
        let same =
            |kept: &[u8], text: &str| kept.len() == text.len() + 1 && kept.starts_with(text.as_bytes());
        self.seen.kv_rank == key.kv_rank
            && self.seen.object_group_id == key.object_group_id
            && same(&self.model_name, key.model_name)
            && same(&self.cache_salt, key.cache_salt)
    }
}

/// The scopes that were met.
#[derive(Default)]
pub(super) struct Scopes {
    table: HashTable<(u64, Rc<Scope>)>,
    hasher: foldhash::fast::RandomState,
    last: Option<Rc<Scope>>,
}

impl Scopes {
    /// The scope of a key.
    #[inline]
    pub(super) fn of(&mut self, key: &KeyView<'_>) -> *const lmcache_recorded_scope {
        match &self.last {
            Some(last) if last.is_of(key) => &raw const last.seen,
            _ => self.find(key),
        }
    }

    fn find(&mut self, key: &KeyView<'_>) -> *const lmcache_recorded_scope {
        let fields = (key.model_name, key.kv_rank, key.object_group_id, key.cache_salt);
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, fields);
        let known = self.table.find(hash, |(_, scope)| scope.is_of(key)).map(|(_, scope)| Rc::clone(scope));
        let scope = known.unwrap_or_else(|| {
            let scope = Rc::new(Scope::new(key));
            self.table.insert_unique(hash, (hash, Rc::clone(&scope)), |(hash, _)| *hash);
            scope
        });
        &raw const self.last.insert(scope).seen
    }

    /// The scope that `facts` describe.
    pub(super) fn of_facts(&mut self, facts: &ScopeFacts) -> *const lmcache_recorded_scope {
        self.of(&facts.key(&[]))
    }
}

struct Layout {
    seen: lmcache_recorded_layout,
    /// What `seen` points to.
    _tensors: Box<[lmcache_tensor]>,
    _names: Vec<CString>,
}

/// Tensors as they are compared: shape, and the name of the type.
type Tensors = Box<[(Box<[u64]>, String)]>;

/// The layouts that were met.
#[derive(Default)]
pub(super) struct Layouts {
    known: HashMap<Rc<Tensors>, Rc<Layout>>,
    compared: Vec<(MemoryLayoutDesc, *const lmcache_recorded_layout)>,
    next: usize,
}

impl Layouts {
    /// The layout of these tensors; `size_bytes` is that of an object, if there can be one.
    pub(super) fn of_tensors(
        &mut self,
        tensors: Tensors,
        size_bytes: Option<u64>,
    ) -> *const lmcache_recorded_layout {
        if let Some(known) = self.known.get(&tensors) {
            return &raw const known.seen;
        }
        let tensors = Rc::new(tensors);
        // A name with a NUL is none of torch's.
        let name = |(_, name): &(Box<[u64]>, String)| CString::new(name.replace('\0', "\u{fffd}"));
        let names: Vec<CString> = tensors.iter().map(|tensor| name(tensor).unwrap_or_default()).collect();
        let tensor = |((shape, _), name): (&(Box<[u64]>, String), &CString)| lmcache_tensor {
            shape: shape.as_ptr(),
            dimensions: shape.len(),
            dtype: name.as_ptr(),
        };
        let seen_tensors: Box<[_]> = tensors.iter().zip(&names).map(tensor).collect();
        let seen = lmcache_recorded_layout {
            tensors: seen_tensors.as_ptr(),
            tensor_count: seen_tensors.len(),
            size_bytes: size_bytes.unwrap_or(LMCACHE_NOT_KNOWN),
        };
        let layout = Rc::new(Layout { seen, _tensors: seen_tensors, _names: names });
        let address = &raw const layout.seen;
        self.known.insert(tensors, layout);
        address
    }

    /// A layout of the model.
    pub(super) fn of(&mut self, layout: &MemoryLayoutDesc) -> *const lmcache_recorded_layout {
        if let Some((_, known)) = self.compared.iter().find(|(known, _)| known == layout) {
            return *known;
        }
        let tensors = layout.groups().map(|(shape, dtype)| (Box::from(shape), dtype.to_string())).collect();
        let address = self.of_tensors(tensors, Some(layout.size_bytes()));
        if self.compared.len() < COMPARED_LAYOUTS {
            self.compared.push((layout.clone(), address));
        } else {
            self.compared[self.next] = (layout.clone(), address);
            self.next = (self.next + 1) % COMPARED_LAYOUTS;
        }
        address
    }
}

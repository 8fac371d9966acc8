//! Keys, layouts and serdes to test with.

use std::sync::Arc;

use lmcache::format::model::{ChunkHash, Dtype, KeyScope, MemoryLayoutDesc, ObjectKey};
use lmcache::storage::serde::{Serde, SerdeConfig, create};
use serde_json::Value;

/// The key of a tenant.
pub(crate) fn key(cache_salt: &str) -> ObjectKey {
    let scope = KeyScope::new("model", 0, 0, cache_salt).unwrap();
    ObjectKey::new(ChunkHash::new(&[1]), Arc::new(scope))
}

/// Tensors of one dimension.
pub(crate) fn layout(tensors: &[(u64, &str)]) -> MemoryLayoutDesc {
    let dtype = |name: &str| Dtype::from_name(&format!("torch.{name}")).unwrap();
    let groups = tensors.iter().map(|(elements, name)| (Box::from([*elements]), dtype(name))).collect();
    MemoryLayoutDesc::new(groups).unwrap()
}

/// The serde of a `"serde"` object.
pub(crate) fn serde_of(json: &Value) -> Arc<dyn Serde> {
    create(&SerdeConfig::from_json(json).unwrap()).unwrap()
}

/// The serialized form, which is never longer than announced.
pub(crate) fn serialize(
    serde: &dyn Serde,
    key: &ObjectKey,
    layout: &MemoryLayoutDesc,
    plain: &[u8],
) -> Vec<u8> {
    let mut wire = b"what was there before".to_vec();
    serde.serialize(key, layout, plain, &mut wire).unwrap();
    assert!(wire.len() as u64 <= serde.estimate_bytes(layout).unwrap());
    wire
}

/// The plain form of `wire`.
pub(crate) fn deserialize(
    serde: &dyn Serde,
    key: &ObjectKey,
    layout: &MemoryLayoutDesc,
    wire: &[u8],
) -> lmcache::error::Result<Vec<u8>> {
    let mut plain = vec![0xa5; layout.size_bytes() as usize];
    serde.deserialize(key, layout, wire, &mut plain).map(|()| plain)
}

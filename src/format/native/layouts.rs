//! Layouts between their two forms: as archived, and as the model has them.

use super::schema::{LayoutFacts, TensorFacts};
use crate::format::model::{Dtype, MemoryLayoutDesc};

/// The layout that `facts` describe; nothing if torch has no such element type, or its size is past 64 bits.
pub(super) fn layout_of_facts(facts: &LayoutFacts) -> Option<MemoryLayoutDesc> {
    let tensor = |tensor: &TensorFacts| {
        Some((tensor.shape.clone().into_boxed_slice(), Dtype::from_name(&tensor.dtype)?))
    };
    MemoryLayoutDesc::new(facts.groups.iter().map(tensor).collect::<Option<_>>()?).ok()
}

/// What stands in the file for `layout`.
pub(super) fn facts_of_layout(layout: &MemoryLayoutDesc) -> LayoutFacts {
    let tensor =
        |(shape, dtype): (&[u64], Dtype)| TensorFacts { shape: shape.to_vec(), dtype: dtype.to_string() };
    LayoutFacts { groups: layout.groups().map(tensor).collect() }
}

//! `noop`: tracks nothing and evicts nothing. For an L1 that only buffers writes on their way to L2.

use super::{Demand, EvictionPolicy, PolicyState};
use crate::error::Result;
use crate::format::model::ObjectKey;

/// Hears nothing, names nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopPolicy;

impl EvictionPolicy for NoopPolicy {
    fn on_keys_created(&mut self, _keys: &[&ObjectKey]) {}

    fn on_keys_touched(&mut self, _keys: &[&ObjectKey]) {}

    fn on_keys_removed(&mut self, _keys: &[&ObjectKey]) {}

    fn victims(
        &mut self,
        _demand: Demand<'_>,
        _cache_salt: Option<&str>,
        _is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        Ok(Vec::new())
    }

    fn tracked_keys(&self) -> usize {
        0
    }

    fn state(&self) -> PolicyState {
        PolicyState::Noop
    }
}

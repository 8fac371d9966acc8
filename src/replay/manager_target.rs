//! stub
use crate::error::Result;
use crate::format::model::StorageCall;
use crate::replay::{ReadSlot, ReplayTarget, StorageTotals};
use crate::storage::config::StorageManagerConfig;
/// stub
#[derive(Debug)]
pub struct ManagerTarget(StorageTotals);
impl ManagerTarget {
    /// stub
    pub fn new(_config: StorageManagerConfig) -> Result<Self> {
        Ok(Self(StorageTotals::default()))
    }
    /// stub
    pub fn close(self) -> StorageTotals {
        self.0
    }
}
impl ReplayTarget for ManagerTarget {
    fn dispatch(&mut self, _call: &StorageCall, _slot: Option<ReadSlot>) -> Result<()> {
        Ok(())
    }
}

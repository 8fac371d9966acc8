//! Which objects are on their way from L2, and who waits for them: a load is shared by all requests for its object.

use crate::format::model::ObjectKey;

/// A cell of a request that waits for somebody else's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    /// The number of the request.
    pub(super) request: u64,
    /// Row and column.
    pub(super) cell: (usize, usize),
}

#[derive(Debug)]
struct Load {
    is_temporary: bool,
    waiters: Vec<Waiter>,
}

/// The loads that are under way, by the L1 that they go to and the key.
#[derive(Debug, Default)]
pub(super) struct Board {
    loads: hashbrown::HashMap<(usize, ObjectKey), Load, foldhash::fast::RandomState>,
    /// Cells that waited instead of being loaded again, since the start.
    joined: u64,
}

impl Board {
    /// Has `waiter` wait for the load of `key`, if one is under way. A waiter that needs the object to stay does not
    /// join a load of one that leaves with its readers.
    pub(super) fn join(&mut self, l1: usize, key: &ObjectKey, needs_to_stay: bool, waiter: Waiter) -> bool {
        let load = self.loads.get_mut(&(l1, key.clone()));
        let Some(load) = load.filter(|load| !(needs_to_stay && load.is_temporary)) else { return false };
        load.waiters.push(waiter);
        self.joined += 1;
        true
    }

    /// A load is under way from now on.
    pub(super) fn begin(&mut self, l1: usize, key: &ObjectKey, is_temporary: bool) {
        self.loads.insert((l1, key.clone()), Load { is_temporary, waiters: Vec::new() });
    }

    /// It is not any more. Returns who waited.
    pub(super) fn end(&mut self, l1: usize, key: &ObjectKey) -> Vec<Waiter> {
        self.loads.remove(&(l1, key.clone())).map(|load| load.waiters).unwrap_or_default()
    }

    /// Cells that waited instead of being loaded again, since the start.
    pub(super) fn joined(&self) -> u64 {
        self.joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};
    use crate::sync::Arc;

    #[test]
    fn a_load_is_shared_until_it_ends_and_not_by_who_needs_it_to_stay() {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").unwrap());
        let key = ObjectKey::new(ChunkHash::new(b"h"), scope);
        let waiter = |request| Waiter { request, cell: (0, 1) };
        let mut board = Board::default();
        assert!(!board.join(0, &key, false, waiter(1)));
        board.begin(0, &key, true);
        assert!(board.join(0, &key, false, waiter(2)) && !board.join(1, &key, false, waiter(3)));
        assert!(!board.join(0, &key, true, waiter(4)));
        assert_eq!(board.end(0, &key), [waiter(2)]);
        assert_eq!((board.end(0, &key), board.joined()), (vec![], 1));
    }
}

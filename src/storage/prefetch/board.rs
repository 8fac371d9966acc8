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
    /// The number of the request that loads.
    owner: u64,
    is_temporary: bool,
    waiters: Vec<Waiter>,
}

/// The loads that are under way, by the L1 that they go to and the key. A key has several where a request could not
/// share the load that was there.
#[derive(Debug, Default)]
pub(super) struct Board {
    loads: hashbrown::HashMap<(usize, ObjectKey), Vec<Load>, foldhash::fast::RandomState>,
    /// Cells that waited instead of being loaded again, since the start.
    joined: u64,
}

impl Board {
    /// Has `waiter` wait for the load of `key`, if one is under way. A waiter that needs the object to stay does not
    /// join a load of one that leaves with its readers.
    pub(super) fn join(&mut self, l1: usize, key: &ObjectKey, needs_to_stay: bool, waiter: Waiter) -> bool {
        let mut loads = self.loads.get_mut(&(l1, key.clone())).into_iter().flatten();
        let Some(load) = loads.find(|load| !(needs_to_stay && load.is_temporary)) else { return false };
        load.waiters.push(waiter);
        self.joined += 1;
        true
    }

    /// Request `owner` loads `key` from now on. A second cell of it with the same key is part of the same load.
    pub(super) fn begin(&mut self, l1: usize, key: &ObjectKey, owner: u64, is_temporary: bool) {
        let loads = self.loads.entry((l1, key.clone())).or_default();
        if loads.iter().all(|load| load.owner != owner) {
            loads.push(Load { owner, is_temporary, waiters: Vec::new() });
        }
    }

    /// It does not any more. Returns who waited for its load.
    pub(super) fn end(&mut self, l1: usize, key: &ObjectKey, owner: u64) -> Vec<Waiter> {
        let place = (l1, key.clone());
        let Some(loads) = self.loads.get_mut(&place) else { return Vec::new() };
        let Some(position) = loads.iter().position(|load| load.owner == owner) else { return Vec::new() };
        let load = loads.remove(position);
        if loads.is_empty() {
            self.loads.remove(&place);
        }
        load.waiters
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
        board.begin(0, &key, 1, true);
        assert!(board.join(0, &key, false, waiter(2)) && !board.join(1, &key, false, waiter(3)));
        assert!(!board.join(0, &key, true, waiter(4)));
        assert_eq!(board.end(0, &key, 1), [waiter(2)]);
        assert_eq!((board.end(0, &key, 1), board.joined()), (vec![], 1));
    }

    #[test]
    fn each_of_several_loads_of_a_key_keeps_its_own_waiters() {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").unwrap());
        let key = ObjectKey::new(ChunkHash::new(b"h"), scope);
        let waiter = |request| Waiter { request, cell: (0, 0) };
        let mut board = Board::default();
        board.begin(0, &key, 1, true);
        assert!(board.join(0, &key, false, waiter(2)) && !board.join(0, &key, true, waiter(3)));
        board.begin(0, &key, 3, false);
        board.begin(0, &key, 3, false);
        assert!(board.join(0, &key, true, waiter(4)));
        assert_eq!(board.end(0, &key, 1), [waiter(2)]);
        assert_eq!(board.end(0, &key, 3), [waiter(4)]);
        assert!(board.end(0, &key, 3).is_empty() && board.loads.is_empty());
    }
}

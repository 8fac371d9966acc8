//! The six traced operations of LMCache's storage manager, by name.

/// What every storage-level qualified name starts with.
pub const STORAGE_MANAGER_PREFIX: &str = "lmcache.v1.distributed.storage_manager.StorageManager.";

/// A traced operation. The order is that of their names, which is the order of LMCache's reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    /// `finish_read_prefetched`: releases read locks.
    FinishRead,
    /// `finish_write`: what was reserved is now readable.
    FinishWrite,
    /// `read_prefetched_results.__enter__`: reads objects that a prefetch locked.
    ReadEnter,
    /// `read_prefetched_results.__exit__`: the reader is done with the buffers.
    ReadExit,
    /// `reserve_write`: buffers for objects about to be written.
    ReserveWrite,
    /// `submit_prefetch_task`: looks objects up in all tiers and locks them in L1.
    SubmitPrefetch,
}

impl Op {
    /// All operations, in the order of their names.
    pub const ALL: [Self; 6] = [
        Self::FinishRead,
        Self::FinishWrite,
        Self::ReadEnter,
        Self::ReadExit,
        Self::ReserveWrite,
        Self::SubmitPrefetch,
    ];

    /// How many operations there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name after [`STORAGE_MANAGER_PREFIX`].
    pub fn method(self) -> &'static str {
        match self {
            Self::FinishRead => "finish_read_prefetched",
            Self::FinishWrite => "finish_write",
            Self::ReadEnter => "read_prefetched_results.__enter__",
            Self::ReadExit => "read_prefetched_results.__exit__",
            Self::ReserveWrite => "reserve_write",
            Self::SubmitPrefetch => "submit_prefetch_task",
        }
    }

    /// The name that stands in trace files.
    pub fn qualname(self) -> String {
        format!("{STORAGE_MANAGER_PREFIX}{}", self.method())
    }

    /// The name in LMCache's terminal tables, where `__enter__` reads `enter`.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::ReadEnter => "read_prefetched_results.enter",
            Self::ReadExit => "read_prefetched_results.exit",
            other => other.method(),
        }
    }

    /// The operation of a qualified name, if it is one of the six.
    pub fn from_qualname(qualname: &str) -> Option<Self> {
        let method = qualname.strip_prefix(STORAGE_MANAGER_PREFIX)?;
        Self::ALL.into_iter().find(|op| op.method() == method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_come_back() {
        assert!(Op::ALL.is_sorted_by_key(|op| op.qualname()));
        for op in Op::ALL {
            assert_eq!(Op::from_qualname(&op.qualname()), Some(op));
        }
        assert_eq!(Op::from_qualname("reserve_write"), None);
    }
}

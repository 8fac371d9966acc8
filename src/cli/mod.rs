//! The command line: one file per verb.

pub(crate) mod storage_flags;

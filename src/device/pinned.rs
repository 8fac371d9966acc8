//! Pages that stay where they are.
//!
//! A device copies from and to memory of the host by its physical address, so the pages must neither move nor leave. Here
//! the kernel is asked for that (`mlock`); that a driver knows of the pages too is the next step, and not there yet.

use crate::os::host;
use crate::os::region::Region;

/// Whether the pages of a memory stay where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageLock {
    /// Nobody asked for it.
    NotAsked,
    /// They do.
    Locked,
    /// They were to, but do not, for this reason. The memory works as any other.
    Refused(String),
}

/// Locks the first `len_bytes` of `region`, or says why not.
pub(super) fn lock(region: &Region, len_bytes: usize) -> PageLock {
    if let Some(why) = too_much(host::available_memory_bytes(), len_bytes as u64) {
        return PageLock::Refused(why);
    }
    match region.lock(0, len_bytes) {
        Ok(()) => PageLock::Locked,
        Err(error) => PageLock::Refused(match error.hint() {
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        }),
    }
}

/// Locking brings all pages into memory, and where there is not enough of it, the kernel ends a process rather than say
/// no. So it is asked first what it has, where it says that.
fn too_much(available_bytes: Option<u64>, len_bytes: u64) -> Option<String> {
    let available_bytes = available_bytes.filter(|available| *available < len_bytes)?;
    Some(format!("{len_bytes} bytes are to be locked, and {available_bytes} bytes of memory are free"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_free_may_be_locked_and_no_more() {
        assert_eq!((too_much(Some(10), 10), too_much(None, u64::MAX)), (None, None));
        let why = too_much(Some(10), 11).unwrap();
        assert_eq!(why, "11 bytes are to be locked, and 10 bytes of memory are free");
    }
}

//! Pages that stay where they are.
//!
//! A device copies from and to memory of the host by its physical address, so the pages must neither move nor leave. Here
//! the kernel is asked for that (`mlock`): what there is without a device. A driver that is told of the pages is another
//! [`PageRegistrar`].

use std::ptr::NonNull;

use super::registrar::{PageRegistrar, Registration, RegistrationKind};
use crate::error::{Error, ErrorKind, Result};
use crate::os::region::Region;
use crate::os::{host, page_lock};

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

/// Has the kernel keep pages in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageLocker;

impl PageRegistrar for PageLocker {
    fn kind(&self) -> RegistrationKind {
        RegistrationKind::Locked
    }

    fn register(&self, base: NonNull<u8>, len_bytes: usize) -> Result<Registration> {
        check_available(host::available_memory_bytes(), len_bytes as u64)?;
        let address = base.addr();
        // What was locked before the kernel said no is given back.
        page_lock::lock(base, len_bytes).inspect_err(|_| page_lock::unlock(base, len_bytes))?;
        let undo = move || page_lock::unlock(NonNull::without_provenance(address), len_bytes);
        Ok(Registration::new(undo))
    }
}

/// Locks the first `len_bytes` of `region` for as long as it lives, or says why not.
pub(super) fn lock(region: &Region, len_bytes: usize) -> PageLock {
    let locked = check_available(host::available_memory_bytes(), len_bytes as u64)
        .and_then(|()| region.lock(0, len_bytes));
    match locked {
        Ok(()) => PageLock::Locked,
        Err(error) => PageLock::Refused(match error.hint() {
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        }),
    }
}

/// Locking brings all pages into memory, and where there is not enough of it, the kernel ends a process rather than say
/// no. So it is asked first what it has, where it says that.
fn check_available(available_bytes: Option<u64>, len_bytes: u64) -> Result<()> {
    match available_bytes.filter(|available| *available < len_bytes) {
        None => Ok(()),
        Some(available_bytes) => {
            Err(Error::new(ErrorKind::OutOfMemory, "there is not enough free memory to lock these bytes")
                .with_context("bytes", len_bytes)
                .with_context("available_bytes", available_bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::region::page_bytes;

    #[test]
    fn all_that_is_free_may_be_locked_and_no_more() {
        assert!(check_available(Some(10), 10).is_ok() && check_available(None, u64::MAX).is_ok());
        let error = check_available(Some(10), 11).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is not enough free memory to lock these bytes (bytes 11, available_bytes 10)"
        );
    }

    #[test]
    fn pages_are_locked_as_long_as_their_registration_lives_or_the_error_says_what_to_do() {
        let region = Region::anonymous(page_bytes(), 1).unwrap();
        match PageLocker.register(region.base(), page_bytes()) {
            Ok(registration) => drop(registration),
            Err(error) => assert!(error.hint().is_some_and(|hint| hint.contains("ulimit -l")), "{error}"),
        }
        assert_eq!(PageLocker.register(region.base(), 1 << 45).unwrap_err().kind(), ErrorKind::OutOfMemory);
    }
}

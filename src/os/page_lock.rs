//! Pages that the kernel keeps in memory (`mlock`).

use std::ptr::NonNull;

use crate::error::{Error, Result};

/// Keeps the pages that hold the `len_bytes` at `base` in memory, those that were not there included, until they are unmapped or
/// [`unlock`]ed. Addresses that nothing is mapped at are an error.
///
/// # Errors
/// If the kernel does not let this process keep so much, or has no pages left. Some may be locked then.
pub fn lock(base: NonNull<u8>, len_bytes: usize) -> Result<()> {
    // SAFETY: locking changes no byte, whoever's they are.
    if unsafe { libc::mlock(base.as_ptr().cast(), len_bytes) } == 0 {
        return Ok(());
    }
    let cause = std::io::Error::last_os_error();
    Err(Error::io("cannot lock memory (mlock)", cause)
        .with_context("bytes", len_bytes)
        .with_hint("raise the limit of locked memory: ulimit -l, LimitMEMLOCK=, --ulimit memlock="))
}

/// Undoes [`lock`], however often that was called. Nothing is said of pages that were not locked, or are unmapped.
pub fn unlock(base: NonNull<u8>, len_bytes: usize) {
    // SAFETY: as in `lock`. Its one error is about addresses that nothing is mapped at, where there is nothing to undo.
    unsafe { libc::munlock(base.as_ptr().cast(), len_bytes) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::region::{Region, page_bytes};

    /// What the kernel counts as locked of the map that starts at `base`.
    fn locked_kib(base: NonNull<u8>) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let start = format!("{:x}-", base.addr());
        let own = maps.lines().skip_while(|line| !line.starts_with(&start));
        let line = own.skip(1).find_map(|line| line.strip_prefix("Locked:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    #[test]
    fn pages_are_locked_and_unlocked_again() {
        let len_bytes = 3 * page_bytes();
        let region = Region::anonymous(len_bytes, 1).unwrap();
        if let Err(error) = lock(region.base(), len_bytes) {
            assert!(error.hint().is_some_and(|hint| hint.contains("ulimit -l")), "{error}");
            return;
        }
        assert_eq!(locked_kib(region.base()), len_bytes as u64 / 1_024);
        unlock(region.base(), len_bytes);
        assert_eq!(locked_kib(region.base()), 0);
    }

    #[test]
    fn addresses_that_nothing_is_mapped_at_are_an_error() {
        // The last page below the end of the address space, which the kernel gives to nobody.
        let last = NonNull::new(std::ptr::without_provenance_mut((1 << 47) - page_bytes())).unwrap();
        assert!(lock(last, page_bytes()).is_err());
        unlock(last, page_bytes());
    }
}

//! Where the bytes of an arena come from, and under which of LMCache's rules.

use crate::error::{Error, ErrorKind, Result};
use crate::os::region::{HUGE_PAGE_BYTES, Region};
use crate::os::shm::ShmSegment;

/// What every segment's name begins with; LMCache's clients look for it.
pub const SHM_PREFIX: &str = "lmcache_l1_pool_";

/// The longest name of a segment, prefix included, in bytes: what the C library takes.
pub const MAX_SHM_NAME_BYTES: usize = 253;

/// How many 2 MiB pages are free for everybody.
const FREE_HUGE_PAGES_PATH: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";

/// Where the bytes of an arena come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ArenaSource {
    /// Private memory in small pages.
    #[default]
    Anonymous,
    /// Private memory in pages of 2 MiB, which the operator has set aside. The size is rounded up to whole pages.
    HugePages,
    /// A POSIX shared memory segment that other processes of the same user map, by its name after [`shm_name`]. A
    /// stale segment of that name is unlinked; all bytes are in memory from the start.
    SharedMemory {
        /// As [`shm_name`] gives it.
        name: String,
    },
}

/// What an [`Arena`](super::Arena) is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArenaOptions {
    /// How many bytes; at least one.
    pub size_bytes: u64,
    /// The first one is at a multiple of this power of two.
    pub align_bytes: u64,
    /// Where they come from.
    pub source: ArenaSource,
    /// The NUMA node whose memory they are, and no other's.
    pub numa_node: Option<u32>,
    /// Whether all pages are there before the first object is, so that no write waits for one.
    pub first_touch: bool,
}

impl ArenaOptions {
    /// Plain memory of any node, which is there when it is written.
    pub fn new(size_bytes: u64, align_bytes: u64) -> Self {
        Self { size_bytes, align_bytes, source: ArenaSource::default(), numa_node: None, first_touch: false }
    }
}

impl ArenaSource {
    /// Memory of at least `len_bytes`, and the segment that it is, if it is one.
    pub(super) fn map(&self, len_bytes: usize, align_bytes: usize) -> Result<(Region, Option<ShmSegment>)> {
        match self {
            Self::Anonymous => Ok((Region::anonymous(len_bytes, align_bytes)?, None)),
            Self::HugePages => {
                check_huge_pages(free_huge_pages(), len_bytes)?;
                Ok((Region::huge_pages(len_bytes, align_bytes)?, None))
            }
            Self::SharedMemory { name } => {
                let segment = ShmSegment::create(name, len_bytes)?;
                Ok((Region::shared(&segment, align_bytes)?, Some(segment)))
            }
        }
    }
}

/// The name of the segment for `configured`, by LMCache's rule: slashes in front are dropped, and [`SHM_PREFIX`] is
/// added where it is missing.
///
/// # Errors
/// If nothing is left of the name, a slash, a backslash or NUL is, or it is longer than [`MAX_SHM_NAME_BYTES`].
pub fn shm_name(configured: &str) -> Result<String> {
    let refused = |why: &'static str| Err(Error::invalid(why).with_context("shm_name", configured));
    let bare = configured.trim_start_matches('/');
    if bare.is_empty() {
        return refused("the name of the shared memory segment is empty");
    }
    if bare.contains(['/', '\\', '\0']) {
        return refused("the name of a shared memory segment must not contain a slash, a backslash or NUL");
    }
    let prefix = if bare.starts_with(SHM_PREFIX) { "" } else { SHM_PREFIX };
    let name = format!("{prefix}{bare}");
    if name.len() > MAX_SHM_NAME_BYTES {
        return refused("the name of the shared memory segment is too long");
    }
    Ok(name)
}

/// How many 2 MiB pages are free; nothing where the kernel does not say.
fn free_huge_pages() -> Option<u64> {
    std::fs::read_to_string(FREE_HUGE_PAGES_PATH).ok()?.trim().parse().ok()
}

/// LMCache's check, before the kernel is asked: its own answer is "cannot allocate memory" and no more. Where the
/// number of free pages is not known, the kernel's answer has to do.
fn check_huge_pages(free_pages: Option<u64>, len_bytes: usize) -> Result<()> {
    let needed_pages = len_bytes.div_ceil(HUGE_PAGE_BYTES) as u64;
    match free_pages {
        Some(free_pages) if free_pages < needed_pages => {
            Err(Error::new(ErrorKind::OutOfMemory, "there are not enough free 2 MiB pages for L1")
                .with_context("free_pages", free_pages)
                .with_context("needed_pages", needed_pages)
                .with_hint("raise vm.nr_hugepages, or run without huge pages"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_lmcaches_name() {
        for configured in ["a", "/a", "//a", "lmcache_l1_pool_a", "/lmcache_l1_pool_a"] {
            assert_eq!(shm_name(configured).unwrap(), "lmcache_l1_pool_a", "{configured}");
        }
        for refused in ["", "/", "a/b", "/a/", "a\\b", "a\0b"] {
            assert!(shm_name(refused).is_err(), "{refused}");
        }
        let longest = "x".repeat(MAX_SHM_NAME_BYTES - SHM_PREFIX.len());
        assert_eq!(shm_name(&longest).unwrap().len(), MAX_SHM_NAME_BYTES);
        assert!(shm_name(&format!("{longest}x")).is_err());
    }

    #[test]
    fn as_many_huge_pages_as_needed_are_enough() {
        assert!(check_huge_pages(Some(2), 2 * HUGE_PAGE_BYTES).is_ok());
        let error = check_huge_pages(Some(2), 2 * HUGE_PAGE_BYTES + 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there are not enough free 2 MiB pages for L1 (free_pages 2, needed_pages 3)"
        );
        assert!(check_huge_pages(None, usize::MAX).is_ok());
    }
}

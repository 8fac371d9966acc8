//! What a walk over a trace could not read: counted, and told when it is asked for.

use std::ffi::{CString, c_char};

use crate::ffi::border::args::Growing;
use crate::sync::Arc;

/// A chunk of a native file whose checksums are wrong, or that holds what no recorder writes.
pub const LMCACHE_DAMAGE_CHUNK: u32 = 1;
/// Bytes of a native file where a chunk should be and none is.
pub const LMCACHE_DAMAGE_GAP: u32 = 2;
/// A frame of LMCache's that is no record.
pub const LMCACHE_DAMAGE_FRAME: u32 = 3;
/// The end of an LMCache file is cut off.
pub const LMCACHE_DAMAGE_CUT: u32 = 4;

/// Damages that are kept one by one; what comes after them is counted.
pub const LMCACHE_MAX_KEPT_DAMAGES: usize = 1024;

/// Something that could not be read. It begins with its size.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_damage {
    /// `sizeof(lmcache_damage)`.
    pub struct_size: u32,
    /// One of LMCACHE_DAMAGE_*.
    pub kind: u32,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes, as far as the file can tell; else 0.
    pub bytes: u64,
    /// Of a chunk: the calls in it, as it says itself.
    pub calls: u64,
    /// What is wrong. Ends in NUL; valid until the next call on the reader.
    pub reason: *const c_char,
}

// SAFETY: numbers and a pointer; the first field is the size.
unsafe impl Growing for lmcache_damage {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// What a walk has met since the reader was opened, rewound or sent to another place. It begins with its size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_reader_stats {
    /// `sizeof(lmcache_reader_stats)`.
    pub struct_size: u32,
    /// Nothing; 0.
    pub reserved: u32,
    /// Records that `lmcache_reader_next` gave.
    pub records: u64,
    /// Of those, calls.
    pub calls: u64,
    /// Of those records, losses; and
    pub losses: u64,
    /// the calls that they say are not in the file.
    pub lost_calls: u64,
    /// Chunks that could not be read.
    pub damaged_chunks: u64,
    /// Calls in them, as they say themselves.
    pub damaged_calls: u64,
    /// Bytes where chunks should be.
    pub gap_bytes: u64,
    /// Frames of LMCache's that are no records.
    pub undecodable_frames: u64,
    /// Ends of LMCache files that are cut off: 0 or 1.
    pub cut_ends: u64,
    /// Records and chunks of kinds that this library does not know, which were stepped over.
    pub unknown: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_reader_stats {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// One of them, kept.
#[derive(Debug)]
struct Kept {
    kind: u32,
    offset: u64,
    bytes: u64,
    calls: u64,
    reason: Arc<CString>,
}

/// What was met so far.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub(super) stats: lmcache_reader_stats,
    kept: Vec<Kept>,
}

impl Met {
    fn keep(&mut self, kind: u32, offset: u64, bytes: u64, calls: u64, reason: impl FnOnce() -> String) {
        if self.kept.len() < LMCACHE_MAX_KEPT_DAMAGES {
            let reason = CString::new(reason().replace('\0', "\u{fffd}")).unwrap_or_default();
            self.kept.push(Kept { kind, offset, bytes, calls, reason: Arc::new(reason) });
        }
    }

    /// A chunk cannot be read.
    pub(super) fn chunk(&mut self, offset: u64, bytes: u64, calls: u64, reason: impl FnOnce() -> String) {
        self.stats.damaged_chunks += 1;
        self.stats.damaged_calls = self.stats.damaged_calls.saturating_add(calls);
        self.keep(LMCACHE_DAMAGE_CHUNK, offset, bytes, calls, reason);
    }

    /// There is no chunk.
    pub(super) fn gap(&mut self, offset: u64, bytes: u64) {
        self.stats.gap_bytes = self.stats.gap_bytes.saturating_add(bytes);
        let reason = || "there is no chunk where one should be".to_owned();
        self.keep(LMCACHE_DAMAGE_GAP, offset, bytes, 0, reason);
    }

    /// A frame is no record.
    pub(super) fn frame(&mut self, offset: u64, bytes: u64, reason: impl FnOnce() -> String) {
        self.stats.undecodable_frames += 1;
        self.keep(LMCACHE_DAMAGE_FRAME, offset, bytes, 0, reason);
    }

    /// The end is cut off.
    pub(super) fn cut(&mut self, offset: u64, bytes: u64) {
        self.stats.cut_ends = 1;
        let reason = || "the file ends within a frame: it was cut short".to_owned();
        self.keep(LMCACHE_DAMAGE_CUT, offset, bytes, 0, reason);
    }

    /// One of the damages, in the order in which they were met.
    pub(super) fn damage(&self, position: usize) -> Option<lmcache_damage> {
        self.kept.get(position).map(|kept| lmcache_damage {
            struct_size: size_of::<lmcache_damage>() as u32,
            kind: kept.kind,
            offset: kept.offset,
            bytes: kept.bytes,
            calls: kept.calls,
            reason: kept.reason.as_ptr(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damages_are_kept_to_the_limit_and_counted_past_it() {
        let mut met = Met::default();
        for offset in 0..=LMCACHE_MAX_KEPT_DAMAGES as u64 {
            met.frame(offset, 1, || "broken".to_owned());
        }
        assert_eq!(met.stats.undecodable_frames, LMCACHE_MAX_KEPT_DAMAGES as u64 + 1);
        assert!(met.damage(LMCACHE_MAX_KEPT_DAMAGES - 1).is_some());
        assert!(met.damage(LMCACHE_MAX_KEPT_DAMAGES).is_none());
    }
}

//! The reasons of misses.

/// Why a cell of a prefetch, or a key of a read, was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum MissReason {
    /// No write of it was finished in this replay before.
    NeverWritten,
    /// It was reserved, and its write was not finished.
    BeingWritten,
    /// It was to be written, and L1 had no memory for it.
    WriteRefused,
    /// It was written and is gone: from L1, and, if L2 was asked, from there, too.
    Evicted,
    /// It was on its way between L1 and L2: stored, or loaded for somebody.
    StillLoading,
    /// It was there, but nobody held a lock on it for the read.
    NotLocked,
    /// An adapter that had it did not find it, or did not deliver it in time.
    LostByAdapter,
    /// It left L1 and is not in L2: its store failed, found a full queue, or an adapter without room.
    NotStored,
    /// L1 had no room for what was to be loaded.
    NoRoom,
    /// The prefetch was given up before it had it.
    GivenUp,
    /// It was there, and of no use: a chunk before it was missing, or, for the full policy, the same chunk of another row.
    BehindGap,
    /// It lies before the sliding window of its row: nobody needs it.
    OutsideWindow,
    /// It was written too long ago to be known, or never.
    TooLongAgo,
}

impl MissReason {
    /// How many there are.
    pub const COUNT: usize = 13;

    /// All of them, in the order of reports.
    pub const ALL: [Self; Self::COUNT] = [
        Self::NeverWritten,
        Self::BeingWritten,
        Self::WriteRefused,
        Self::Evicted,
        Self::StillLoading,
        Self::NotLocked,
        Self::LostByAdapter,
        Self::NotStored,
        Self::NoRoom,
        Self::GivenUp,
        Self::BehindGap,
        Self::OutsideWindow,
        Self::TooLongAgo,
    ];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NeverWritten => "never_written",
            Self::BeingWritten => "being_written",
            Self::WriteRefused => "write_refused",
            Self::Evicted => "evicted",
            Self::StillLoading => "still_loading",
            Self::NotLocked => "not_locked",
            Self::LostByAdapter => "lost_by_adapter",
            Self::NotStored => "not_stored",
            Self::NoRoom => "no_room_in_l1",
            Self::GivenUp => "given_up",
            Self::BehindGap => "behind_a_gap",
            Self::OutsideWindow => "outside_window",
            Self::TooLongAgo => "too_long_ago",
        }
    }

    /// In words, for a table.
    pub fn words(self) -> &'static str {
        match self {
            Self::NeverWritten => "never written",
            Self::BeingWritten => "being written (write lock)",
            Self::WriteRefused => "its write found no memory in L1",
            Self::Evicted => "written, and gone by then (evicted)",
            Self::StillLoading => "on its way between L1 and L2",
            Self::NotLocked => "there, but not locked for reading",
            Self::LostByAdapter => "lost by an adapter",
            Self::NotStored => "not stored to L2, and gone from L1",
            Self::NoRoom => "in L2, no room in L1",
            Self::GivenUp => "its prefetch was given up",
            Self::BehindGap => "there, behind a chunk that was missed",
            Self::OutsideWindow => "outside of its sliding window",
            Self::TooLongAgo => "unknown (too long ago)",
        }
    }
}

/// How often each reason was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissCounts([u64; MissReason::COUNT]);

impl MissCounts {
    /// One more.
    pub(in crate::replay) fn add(&mut self, reason: MissReason) {
        self.0[reason as usize] += 1;
    }

    /// How often it was this one.
    pub fn of(&self, reason: MissReason) -> u64 {
        self.0[reason as usize]
    }

    /// The reasons that were found, in the order of reports.
    pub fn found(&self) -> impl Iterator<Item = (MissReason, u64)> {
        MissReason::ALL.into_iter().map(|reason| (reason, self.of(reason))).filter(|(_, count)| *count > 0)
    }

    /// All together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }
}

/// What was missed, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MissSummary {
    /// Cells of prefetches that were no hits.
    pub prefetches: MissCounts,
    /// Keys that reads did not get, of reads that got nothing.
    pub reads: MissCounts,
    /// Keys that were forgotten to bound memory: so many can be [`MissReason::TooLongAgo`].
    pub forgotten_keys: u64,
}

impl MissSummary {
    /// Adds what another worker missed. What was forgotten is shared by all.
    pub fn merge(&mut self, other: &Self) {
        self.prefetches.merge(&other.prefetches);
        self.reads.merge(&other.reads);
        self.forgotten_keys = self.forgotten_keys.max(other.forgotten_keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_by_their_names_and_merged() {
        assert!(MissReason::ALL.iter().enumerate().all(|(position, reason)| *reason as usize == position));
        let names: std::collections::HashSet<_> = MissReason::ALL.map(MissReason::name).into();
        assert_eq!(names.len(), MissReason::COUNT);
        let mut some = MissSummary { forgotten_keys: 3, ..MissSummary::default() };
        some.prefetches.add(MissReason::Evicted);
        let mut others = MissSummary { forgotten_keys: 4, ..MissSummary::default() };
        others.prefetches.add(MissReason::Evicted);
        others.reads.add(MissReason::TooLongAgo);
        some.merge(&others);
        assert_eq!((some.prefetches.total(), some.reads.total(), some.forgotten_keys), (2, 1, 4));
        assert_eq!(some.prefetches.found().collect::<Vec<_>>(), [(MissReason::Evicted, 2)]);
    }
}

//! From what is known of a key and of its prefetch to the reason of a miss.

use super::fates::{Known, Store, Written};
use super::reason::MissReason;
use crate::format::model::FetchingPolicy;
use crate::storage::L1Error;
use crate::storage::prefetch::{Bitmap, JourneyEnd, PrefetchJourney};

/// A prefetch that was answered.
#[derive(Clone, Copy, Debug)]
pub(in crate::replay) struct Answered<'a> {
    pub(in crate::replay) policy: FetchingPolicy,
    /// The window of each row.
    pub(in crate::replay) windows: &'a [i64],
    /// How many chunks its hits serve.
    pub(in crate::replay) served_chunks: usize,
    /// Its way, if it went to L2.
    pub(in crate::replay) journey: Option<&'a PrefetchJourney>,
}

fn has(rows: &[Bitmap], (row, column): (usize, usize)) -> bool {
    rows.get(row).is_some_and(|cells| cells.test(column))
}

impl Answered<'_> {
    /// Why `cell` was no hit. `known` is of its key at the submission; `is_in_l1` looks whether it is there now, and is asked
    /// only for a prefetch that was answered in its call.
    pub(in crate::replay) fn explain(
        &self,
        cell: (usize, usize),
        known: Known,
        is_in_l1: impl FnOnce() -> bool,
    ) -> MissReason {
        let has_window = self.windows.get(cell.0).is_some_and(|window| *window > 0);
        if self.policy == FetchingPolicy::Prefix && has_window && cell.1 < self.served_chunks {
            return MissReason::OutsideWindow;
        }
        match self.journey {
            Some(journey) => explain_after_journey(journey, cell, known),
            None => explain_in_l1(known, is_in_l1),
        }
    }
}

/// Of a cell of which L1 alone was asked.
fn explain_in_l1(known: Known, is_in_l1: impl FnOnce() -> bool) -> MissReason {
    match known {
        Known::Fate(fate) if fate.written == Written::Reserved => MissReason::BeingWritten,
        // What L1 has without a write has come from L2.
        _ if is_in_l1() => MissReason::BehindGap,
        Known::Fate(fate) if fate.written == Written::Finished => MissReason::Evicted,
        Known::Fate(fate) if fate.written == Written::Refused => MissReason::WriteRefused,
        Known::Fate(_) | Known::Never => MissReason::NeverWritten,
        Known::Forgotten => MissReason::TooLongAgo,
    }
}

/// Of a cell of a prefetch that went to L2.
fn explain_after_journey(journey: &PrefetchJourney, cell: (usize, usize), known: Known) -> MissReason {
    if has(&journey.undelivered_cells, cell) && journey.end == JourneyEnd::Done {
        return MissReason::LostByAdapter;
    }
    if has(&journey.crowded_cells, cell) {
        return MissReason::NoRoom;
    }
    if has(&journey.contended_cells, cell) {
        return MissReason::StillLoading;
    }
    let is_found = has(&journey.found_cells, cell);
    match (known, journey.end, is_found) {
        (_, JourneyEnd::Done, true) => MissReason::BehindGap,
        (Known::Never, _, false) => MissReason::NeverWritten,
        (_, JourneyEnd::TimedOut | JourneyEnd::Abandoned, _) => MissReason::GivenUp,
        (Known::Forgotten, ..) => MissReason::TooLongAgo,
        (Known::Fate(fate), ..) => match (fate.written, fate.store) {
            _ if fate.l2_copies > 0 => MissReason::LostByAdapter,
            (Written::Reserved, _) => MissReason::BeingWritten,
            (Written::Refused, _) => MissReason::WriteRefused,
            (Written::Never, _) => MissReason::NeverWritten,
            (Written::Finished, Store::GivenUp) => MissReason::NotStored,
            (Written::Finished, Store::Stored) => MissReason::Evicted,
            (Written::Finished, Store::None | Store::UnderWay) => MissReason::StillLoading,
        },
    }
}

/// Why a read did not get a key, of which L1 said `code`.
pub(in crate::replay) fn explain_read(code: L1Error, known: Known, is_loading: bool) -> MissReason {
    match (code, known) {
        _ if is_loading => MissReason::StillLoading,
        (L1Error::KeyNotReadable, _) => MissReason::NotLocked,
        (_, Known::Forgotten) => MissReason::TooLongAgo,
        (_, Known::Never) => MissReason::NeverWritten,
        (_, Known::Fate(fate)) => match fate.written {
            Written::Never => MissReason::NeverWritten,
            Written::Reserved => MissReason::BeingWritten,
            Written::Refused => MissReason::WriteRefused,
            Written::Finished => MissReason::Evicted,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::misses::fates::Fate;
    use crate::storage::prefetch::Rows;

    fn rows(text: &[&str]) -> Rows {
        text.iter().map(|row| Bitmap::from_fn(row.len(), |cell| row.as_bytes()[cell] == b'1')).collect()
    }

    fn fate(written: Written, store: Store, l2_copies: u8) -> Known {
        Known::Fate(Fate { written, store, l2_copies, ..Fate::default() })
    }

    const FINISHED: Known = Known::Fate(Fate { written: Written::Finished, ..Fate::NEW });
    const RESERVED: Known = Known::Fate(Fate { written: Written::Reserved, ..Fate::NEW });

    fn of_l1(known: Known, is_in_l1: bool) -> MissReason {
        let answered =
            Answered { policy: FetchingPolicy::Prefix, windows: &[-1], served_chunks: 3, journey: None };
        answered.explain((0, 1), known, || is_in_l1)
    }

    #[test]
    fn what_l1_alone_missed() {
        assert_eq!(of_l1(Known::Never, false), MissReason::NeverWritten);
        assert_eq!(of_l1(Known::Never, true), MissReason::BehindGap, "it came from L2 before");
        assert_eq!(of_l1(fate(Written::Never, Store::None, 0), false), MissReason::NeverWritten);
        assert_eq!(of_l1(RESERVED, false), MissReason::BeingWritten);
        assert_eq!(of_l1(fate(Written::Refused, Store::None, 0), false), MissReason::WriteRefused);
        assert_eq!(of_l1(fate(Written::Refused, Store::None, 0), true), MissReason::BehindGap);
        assert_eq!(of_l1(FINISHED, false), MissReason::Evicted);
        assert_eq!(of_l1(FINISHED, true), MissReason::BehindGap);
        assert_eq!(of_l1(Known::Forgotten, false), MissReason::TooLongAgo);
        assert_eq!(of_l1(Known::Forgotten, true), MissReason::BehindGap);
    }

    #[test]
    fn what_lies_before_a_window_is_not_needed_for_a_prefix_alone() {
        let answered = |policy, column| {
            let of = Answered { policy, windows: &[-1, 2], served_chunks: 3, journey: None };
            [0, 1].map(|row| of.explain((row, column), FINISHED, || true))
        };
        use MissReason::{BehindGap, OutsideWindow};
        assert_eq!(answered(FetchingPolicy::Prefix, 2), [BehindGap, OutsideWindow]);
        assert_eq!(answered(FetchingPolicy::Prefix, 3), [BehindGap, BehindGap]);
        assert_eq!(answered(FetchingPolicy::Full, 2), [BehindGap, BehindGap]);
    }

    fn after(journey: &PrefetchJourney, column: usize, known: Known) -> MissReason {
        let answered = Answered {
            policy: FetchingPolicy::Prefix,
            windows: &[-1],
            served_chunks: 0,
            journey: Some(journey),
        };
        answered.explain((0, column), known, || panic!("what L1 has by now says nothing"))
    }

    #[test]
    fn what_a_prefetch_missed_that_went_to_l2() {
        let journey = PrefetchJourney {
            found_cells: rows(&["11110"]),
            undelivered_cells: rows(&["1000"]),
            crowded_cells: rows(&["0100"]),
            contended_cells: rows(&["0010"]),
            ..PrefetchJourney::default()
        };
        let found: Vec<_> = (0..4).map(|column| after(&journey, column, FINISHED)).collect();
        use MissReason::{BehindGap, Evicted, LostByAdapter, NoRoom, NotStored, StillLoading};
        assert_eq!(found, [LostByAdapter, NoRoom, StillLoading, BehindGap]);
        let not_found = [
            (Known::Never, MissReason::NeverWritten),
            (Known::Forgotten, MissReason::TooLongAgo),
            (RESERVED, MissReason::BeingWritten),
            (fate(Written::Never, Store::None, 0), MissReason::NeverWritten),
            (fate(Written::Refused, Store::None, 0), MissReason::WriteRefused),
            (fate(Written::Refused, Store::Stored, 1), LostByAdapter),
            (fate(Written::Finished, Store::Stored, 1), LostByAdapter),
            (fate(Written::Finished, Store::Stored, 0), Evicted),
            (fate(Written::Finished, Store::GivenUp, 0), NotStored),
            (fate(Written::Finished, Store::UnderWay, 0), StillLoading),
            (FINISHED, StillLoading),
        ];
        for (known, reason) in not_found {
            assert_eq!(after(&journey, 4, known), reason, "{known:?}");
        }
    }

    #[test]
    fn a_prefetch_that_was_given_up_explains_what_was_written() {
        for end in [JourneyEnd::TimedOut, JourneyEnd::Abandoned] {
            let journey = PrefetchJourney {
                found_cells: rows(&["110"]),
                undelivered_cells: rows(&["100"]),
                end,
                ..PrefetchJourney::default()
            };
            let reasons = [0, 1, 2].map(|column| after(&journey, column, FINISHED));
            assert_eq!(reasons, [MissReason::GivenUp; 3]);
            assert_eq!(after(&journey, 2, Known::Never), MissReason::NeverWritten);
            assert_eq!(after(&journey, 1, Known::Never), MissReason::GivenUp, "it was found");
        }
    }

    #[test]
    fn what_a_read_missed() {
        let (gone, unlocked) = (L1Error::KeyNotExist, L1Error::KeyNotReadable);
        let cases = [
            (gone, Known::Never, false, MissReason::NeverWritten),
            (gone, FINISHED, false, MissReason::Evicted),
            (gone, FINISHED, true, MissReason::StillLoading),
            (gone, RESERVED, false, MissReason::BeingWritten),
            (gone, fate(Written::Never, Store::None, 0), false, MissReason::NeverWritten),
            (gone, fate(Written::Refused, Store::None, 0), false, MissReason::WriteRefused),
            (gone, Known::Forgotten, false, MissReason::TooLongAgo),
            (unlocked, FINISHED, false, MissReason::NotLocked),
            (unlocked, Known::Forgotten, false, MissReason::NotLocked),
            (unlocked, FINISHED, true, MissReason::StillLoading),
        ];
        for (code, known, is_loading, reason) in cases {
            assert_eq!(explain_read(code, known, is_loading), reason, "{code:?} {known:?} {is_loading}");
        }
    }
}

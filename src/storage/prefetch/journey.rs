//! The way of a request that L1 could not answer alone: when it was where, and what became of its cells.
//!
//! A request that L1 answers alone has none: it reads no clock for this, and allocates nothing.
//!
//! ```text
//!   submitted .. lookup begun .. lookup ended .. loads begun .. loads ended .. published
//!           queue          lookup           plan          load           admit
//! ```

use super::bitmap::Rows;
use super::grid::Grid;
use crate::clock::monotonic_ns;

/// When a request was where, in nanoseconds on `CLOCK_MONOTONIC`, whatever the manager's clock is. What it did not get
/// to is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefetchTimes {
    /// It was submitted; under a manual clock, L1 had been asked by then.
    pub submitted_ns: u64,
    /// It had a place, and adapters were asked.
    pub lookup_begun_ns: Option<u64>,
    /// The last adapter had answered.
    pub lookup_ended_ns: Option<u64>,
    /// Buffers were there, and loads were submitted. `None` if it loads nothing and waits for nobody's load.
    pub loads_begun_ns: Option<u64>,
    /// The last load was there.
    pub loads_ended_ns: Option<u64>,
    /// The result was out.
    pub published_ns: u64,
}

fn between(begun_ns: Option<u64>, ended_ns: Option<u64>) -> Option<u64> {
    Some(ended_ns?.saturating_sub(begun_ns?))
}

impl PrefetchTimes {
    /// From submission to result.
    pub fn total_ns(&self) -> u64 {
        self.published_ns.saturating_sub(self.submitted_ns)
    }

    /// How long it waited for a place; `None` if it got none.
    pub fn queue_ns(&self) -> Option<u64> {
        between(Some(self.submitted_ns), self.lookup_begun_ns)
    }

    /// How long the slowest adapter looked for its keys.
    pub fn lookup_ns(&self) -> Option<u64> {
        between(self.lookup_begun_ns, self.lookup_ended_ns)
    }

    /// How long its loads took, from the submission of the first to the answer of the last.
    pub fn load_ns(&self) -> Option<u64> {
        between(self.loads_begun_ns, self.loads_ended_ns)
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JourneyEnd {
    /// Its adapters had answered.
    #[default]
    Done,
    /// It took too long, and was answered with what L1 had.
    TimedOut,
    /// It was cancelled, or the manager was closed.
    Abandoned,
}

/// See the module. One bitmap per row of the request, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefetchJourney {
    /// When it was where.
    pub times: PrefetchTimes,
    /// How it ended.
    pub end: JourneyEnd,
    /// The cells that L1 or an adapter had when the request was planned.
    pub found_cells: Rows,
    /// Those of them for which L1 had no room.
    pub crowded_cells: Rows,
    /// Those of them that became resident, or were being loaded by somebody else, before they could be reserved, and could
    /// not be shared.
    pub contended_cells: Rows,
    /// Those of them that an adapter had promised and that did not come, or came after their reservation had run out.
    pub undelivered_cells: Rows,
}

/// A journey under way.
#[derive(Debug)]
pub(super) struct Travel {
    pub(super) times: PrefetchTimes,
    pub(super) found: Grid,
    pub(super) crowded: Grid,
    pub(super) contended: Grid,
    pub(super) undelivered: Grid,
}

impl Travel {
    /// Begins one, of a request in the shape of `empty`.
    pub(super) fn begin(empty: &Grid, submitted_ns: u64) -> Self {
        Self {
            times: PrefetchTimes { submitted_ns, ..PrefetchTimes::default() },
            found: empty.clone(),
            crowded: empty.clone(),
            contended: empty.clone(),
            undelivered: empty.clone(),
        }
    }

    /// Ends it: the result is about to be published.
    pub(super) fn end(self, end: JourneyEnd) -> PrefetchJourney {
        PrefetchJourney {
            times: PrefetchTimes { published_ns: monotonic_ns(), ..self.times },
            end,
            found_cells: self.found.into_rows(),
            crowded_cells: self.crowded.into_rows(),
            contended_cells: self.contended.into_rows(),
            undelivered_cells: self.undelivered.into_rows(),
        }
    }
}

//! Rings after the writer's end. A call that has passed the gate can be stopped before its record is there, for as long as its thread is:
//! the writer does not wait for that, so such a record comes into a ring that nobody reads. It is counted when somebody asks for counts.

use crate::sync::atomic::Ordering;
use crate::sync::{Mutex, lock};
use crate::trace::recorder::lane::Lane;
use crate::trace::recorder::shared::{Arrival, Totals};

/// The rings that the writer has left.
#[derive(Default)]
pub(super) struct Leftovers(Mutex<Vec<Lane>>);

impl Leftovers {
    pub(super) fn take_over(&self, mut lanes: Vec<Lane>) {
        lanes.retain_mut(|lane| !lane.is_finished());
        lock(&self.0).extend(lanes);
    }

    /// Counts what has come since the writer's last look, or since this was called last, and lets go of rings that get nothing any more:
    /// that of thread `left`, and those of threads that are gone.
    pub(super) fn count(&self, arrivals: Vec<Arrival>, left: Option<u32>, totals: &Totals) {
        let mut lanes = lock(&self.0);
        lanes.extend(arrivals.into_iter().map(Lane::new));
        for lane in lanes.iter_mut() {
            lane.refresh();
            let discarded = lane.discard();
            // Relaxed, both: counts that somebody prints.
            totals.unrecorded.fetch_add(discarded.calls, Ordering::Relaxed);
            totals.lost_completions.fetch_add(discarded.completions, Ordering::Relaxed);
        }
        lanes.retain_mut(|lane| Some(lane.data().number) != left && !lane.is_finished());
    }
}

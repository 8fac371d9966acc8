//! A worker that decodes its calls itself, one after the other: where nothing is waited for, and a step of the source costs less than
//! handing what it gives from one CPU to another.

use crate::clock::monotonic_ns;
use crate::format::model::KeyInterner;
use crate::replay::plan::{PlannedRecord, Planner};
use crate::replay::source::{RecordSource, Step};
use crate::replay::target::ReplayTarget;
use crate::replay::worker::{Worker, WorkerRun};

impl<'a, T: ReplayTarget> Worker<'a, T> {
    /// Makes the calls of `source` until there are none, or the replay is stopped. Every call is written over the one before.
    pub(super) fn work_inline(
        mut self,
        source: &mut impl RecordSource,
        planner: &mut Planner,
    ) -> (WorkerRun, u64, &'a mut T) {
        let (mut keys, mut planned) = (KeyInterner::default(), PlannedRecord::default());
        loop {
            let is_stopped = match source.step(&mut planned.record, &mut keys) {
                Step::Record => {
                    // What is left out before the first record, and behind the last call, takes no time of the replay.
                    if self.origin_ns == 0 {
                        self.origin_ns = monotonic_ns();
                    }
                    planner.plan(&mut planned);
                    !self.play(&planned)
                }
                Step::LeftOut => self.stop.is_set(),
                Step::End => break,
            };
            if is_stopped {
                self.run.interrupted = true;
                break;
            }
        }
        self.run.end_ns = self.last_end_ns();
        let begun_ns = if self.origin_ns == 0 { self.run.end_ns } else { self.origin_ns };
        (self.run, begun_ns, self.target)
    }

    /// When its last call had returned; now, if it made none.
    fn last_end_ns(&self) -> u64 {
        let since_ns = if self.last_end == 0 { 0 } else { self.watch.since_ns(self.last_end) };
        monotonic_ns() - since_ns
    }
}

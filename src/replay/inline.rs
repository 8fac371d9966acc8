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
        let (mut keys, mut planned, mut is_playing) =
            (KeyInterner::default(), PlannedRecord::default(), true);
        self.origin_ns = monotonic_ns();
        loop {
            let step = source.step(&mut planned.record, &mut keys);
            if step == Step::Record {
                is_playing = true;
                planner.plan(&mut planned);
                if self.play(&planned) {
                    continue;
                }
            } else if std::mem::take(&mut is_playing) {
                // What is left out behind the last call belongs to no call.
                self.run.end_ns = monotonic_ns();
            }
            if step == Step::End {
                break;
            }
            if self.stop.is_set() {
                self.run.end_ns = monotonic_ns();
                self.run.interrupted = true;
                break;
            }
        }
        (self.run, self.origin_ns, self.target)
    }
}

//! One replay, from its first thread to its totals: who is started before whom.
//!
//! What both faces do: the command line has more who look on, and says more of how it went.

use crate::error::Result;
use crate::format::native::KeyTable;
use crate::os::affinity::{ReservedCpu, usable_cpus};
use crate::replay::copies::{Looped, Tenants};
use crate::replay::manager_target::ManagerTarget;
use crate::replay::nodes::{Alignment, Merged};
use crate::replay::selection::{LeftOut, Selected, Selection};
use crate::replay::totals::ManagerTotals;
use crate::replay::traces::Nodes;
use crate::replay::{
    LiveView, Order, Pace, RecordBody, RecordSource, RecordedOutcomes, ReplayObserver, ReplayOptions,
    ReplayRun, StopFlag, TraceExtent, TraceSource, replay,
};
use crate::storage::StorageManager;
use crate::storage::config::StorageManagerConfig;
use crate::storage::l2::namespace::{Namespace, NamespaceMode};
use crate::sync::Arc;
use crate::trace::Trace;

/// Where there are more CPUs than this, calls are made by several workers.
const CPUS_OF_ONE_WORKER: usize = 4;

/// The most workers that a replay starts by itself.
const MAX_DEFAULT_WORKERS: usize = 4;

/// How many workers a replay has of which nobody says it. `l1_managers` is how many L1s the manager has.
pub fn default_workers(order: Order, l1_managers: usize) -> usize {
    let cpus = usable_cpus();
    let is_one = order == Order::Causal || l1_managers > 1 || cpus <= CPUS_OF_ONE_WORKER;
    if is_one { 1 } else { (cpus / 2).min(MAX_DEFAULT_WORKERS) }
}

/// Which part of the traces is replayed, and how often.
#[derive(Clone, Debug)]
pub struct Part {
    /// Which records.
    pub selection: Selection,
    /// How often, one after the other; from 1 to [`MAX_COPIES`](crate::replay::copies::MAX_COPIES).
    pub loops: u32,
    /// For how many tenants at once; likewise.
    pub tenants: u32,
    /// Where several traces lie beside each other.
    pub alignment: Alignment,
}

impl Part {
    /// How often each record is replayed.
    pub fn copies(&self) -> u64 {
        u64::from(self.loops) * u64::from(self.tenants)
    }

    /// How long a replay of it is to take at `pace`, and how many records it has at most, of all that there are.
    pub fn expected(&self, all: &TraceExtent, pace: Pace) -> TraceExtent {
        let records = all.records.saturating_mul(self.copies());
        let part_s = self.selection.duration_s(all.duration_s) * f64::from(self.loops);
        let duration_s = match pace {
            Pace::Recorded => part_s,
            Pace::Speed(factor) => part_s / factor,
            Pace::Rate(per_s) => records as f64 / per_s,
            Pace::Asap => 0.0,
        };
        TraceExtent { records, duration_s, ..*all }
    }

    /// Whether any call of `trace` is in it.
    pub fn has_a_call(&self, trace: &Trace, keys: Option<&KeyTable<'_>>) -> bool {
        let left_out = LeftOut::default();
        TraceSource::of(trace, keys).records().any(|mut record| {
            self.selection.select(&mut record, &left_out) && matches!(record.body, RecordBody::Call(_))
        })
    }
}

/// The traces, and what of them is replayed.
#[derive(Debug)]
pub struct Replayed<'a> {
    /// The traces.
    pub nodes: Nodes<'a>,
    /// How much there is in all of them.
    pub extent: TraceExtent,
    /// What of them.
    pub part: Part,
}

impl Replayed<'_> {
    /// Whether a record that is replayed is known to be one of a trace: copies, and records of several nodes, are numbered as
    /// they come.
    fn is_numbered_as_recorded(&self) -> bool {
        self.part.copies() == 1 && self.nodes.0.len() == 1
    }

    /// Their records, as they are replayed.
    fn source(&self, left_out: &Arc<LeftOut>, recorded: &Arc<RecordedOutcomes>) -> impl RecordSource + Send {
        let open = move || {
            let sources = self.nodes.0.iter().map(|node| {
                let source = TraceSource::of(node.trace, node.keys);
                // Calls of several nodes can have the same number in the same thread.
                let source = match self.nodes.0.len() {
                    1 => source.with_completions(Arc::clone(recorded)),
                    _ => source,
                };
                (source, node.begins_s)
            });
            let source = Merged::new(sources);
            let (selection, left_out) = (self.part.selection.clone(), Arc::clone(left_out));
            Selected::new(source, selection, left_out, self.extent.records)
        };
        Tenants::new(Looped::new(open, self.part.loops), self.part.tenants)
    }

    /// Whether the replay takes as long as expected: at a rate only if it is known how many records there will be.
    pub fn is_duration_known(&self, pace: Pace) -> bool {
        pace.follows_the_trace() || (pace != Pace::Asap && self.part.selection.is_everything())
    }
}

/// A replay whose manager is there, and which was not begun yet or is over.
pub struct Session {
    targets: Vec<ManagerTarget>,
    options: ReplayOptions,
    left_out: Arc<LeftOut>,
    recorded: Arc<RecordedOutcomes>,
    namespace: Namespace,
    /// Taken before the manager starts its threads, which inherit what this one keeps off.
    _reserved: Option<ReservedCpu>,
}

impl Session {
    /// Starts a manager under `config`, whose L2 adapters have places by `mode`, for a replay of `replayed` by so many workers. The
    /// first call can be made when this returns.
    ///
    /// # Errors
    /// Those of [`Namespace::open`] and of [`ManagerTarget::of_all`].
    pub fn start(
        replayed: &Replayed<'_>,
        options: ReplayOptions,
        workers: usize,
        config: &StorageManagerConfig,
        mode: NamespaceMode,
    ) -> Result<Self> {
        let reserved = if workers == 1 { ReservedCpu::take() } else { None };
        let namespace = Namespace::open(mode, config)?;
        let mut targets = ManagerTarget::of_all(namespace.config().clone(), options.order, workers)?;
        let recorded = Arc::new(RecordedOutcomes::new(replayed.is_numbered_as_recorded()));
        targets.iter_mut().for_each(|target| target.compare_with(Arc::clone(&recorded)));
        Ok(Self {
            targets,
            options: ReplayOptions { dispatcher_cpu: reserved.as_ref().map(ReservedCpu::cpu), ..options },
            left_out: Arc::new(LeftOut::of_copies(replayed.part.tenants)),
            recorded,
            namespace,
            _reserved: reserved,
        })
    }

    /// The manager, to look at what the replay does in it.
    pub fn manager(&self) -> &Arc<StorageManager> {
        self.targets[0].manager()
    }

    /// A view of it, from any thread.
    pub fn live_view(&self) -> LiveView {
        self.targets[0].live_view()
    }

    /// What the part left out so far.
    pub fn left_out(&self) -> &Arc<LeftOut> {
        &self.left_out
    }

    /// Replays, with `observer` on this thread, until all is done or `stop` is set.
    ///
    /// # Errors
    /// Those of [`replay`].
    pub fn run(
        &mut self,
        replayed: &Replayed<'_>,
        stop: &StopFlag,
        observer: &mut impl ReplayObserver,
    ) -> Result<ReplayRun> {
        let source = replayed.source(&self.left_out, &self.recorded);
        replay(source, &mut self.targets, &self.options, stop, observer)
    }

    /// Stops the manager, and says what it answered. The places in L2 are for the caller to [close](Namespace::close).
    ///
    /// # Errors
    /// Those of [`ManagerTarget::close_all`].
    pub fn close(self) -> Result<(ManagerTotals, Namespace)> {
        Ok((ManagerTarget::close_all(self.targets)?, self.namespace))
    }
}

//! An adapter whose completions can be held back, kind by kind: the recordings' `gate`.
//!
//! A task goes to the adapter at once, and the adapter does its work. What is held is the answer.

use std::sync::{Arc, Mutex};

use lmcache::error::Result;
use lmcache::format::model::ObjectKey;
use lmcache::storage::l2::{AdapterStatus, Completion, L2Adapter, Ledger, LoadTask, LookupTask, StoreTask};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lookup,
    Load,
    Store,
}

impl Kind {
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "lookup" => Self::Lookup,
            "load" => Self::Load,
            "store" => Self::Store,
            other => panic!("a gate of unknown kind {other}"),
        }
    }
}

/// Passes an answer on.
type Answer = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    closed: Vec<Kind>,
    /// Answers that are held, in the order of their tasks' numbers.
    held: Vec<(Kind, u64, Answer)>,
    next_task: u64,
    /// Tasks that the adapter has not answered.
    in_adapter: usize,
}

/// See the module.
pub(crate) struct Gate {
    inner: Arc<dyn L2Adapter>,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gate").field(&self.inner).finish()
    }
}

impl Gate {
    pub(crate) fn new(inner: Arc<dyn L2Adapter>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Holds answers of a kind back from now on, or lets all of them go, the oldest task first.
    pub(crate) fn hold(&self, kind: Kind, hold: bool) {
        let mut state = self.state.lock().expect("a lock");
        state.closed.retain(|closed| *closed != kind);
        if hold {
            return state.closed.push(kind);
        }
        let (mut released, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.held).into_iter().partition(|(of, _, _)| *of == kind);
        state.held = kept;
        drop(state);
        released.sort_by_key(|(_, task, _)| *task);
        released.into_iter().for_each(|(_, _, answer)| answer());
    }

    /// Whether the adapter is still at work.
    pub(crate) fn is_busy(&self) -> bool {
        self.state.lock().expect("a lock").in_adapter > 0
    }

    fn through<T: Send + 'static>(&self, kind: Kind, done: Completion<T>) -> Completion<T> {
        let mut state = self.state.lock().expect("a lock");
        let task = state.next_task;
        state.next_task += 1;
        state.in_adapter += 1;
        drop(state);
        let shared = Arc::clone(&self.state);
        Completion::new(move |answer: Option<T>| {
            let pass_on = move || {
                if let Some(answer) = answer {
                    done.answer(answer);
                }
            };
            let mut state = shared.lock().expect("a lock");
            if state.closed.contains(&kind) {
                state.held.push((kind, task, Box::new(pass_on)));
            } else {
                drop(state);
                pass_on();
                state = shared.lock().expect("a lock");
            }
            state.in_adapter -= 1;
        })
    }
}

impl L2Adapter for Gate {
    fn type_name(&self) -> &'static str {
        self.inner.type_name()
    }

    fn recover(&self) -> Result<()> {
        self.inner.recover()
    }

    fn submit_store(&self, task: StoreTask) {
        let done = self.through(Kind::Store, task.done);
        self.inner.submit_store(StoreTask { done, ..task });
    }

    fn submit_lookup_and_lock(&self, task: LookupTask) {
        let done = self.through(Kind::Lookup, task.done);
        self.inner.submit_lookup_and_lock(LookupTask { done, ..task });
    }

    fn submit_unlock(&self, keys: &[ObjectKey]) {
        self.inner.submit_unlock(keys);
    }

    fn submit_load(&self, task: LoadTask) {
        let done = self.through(Kind::Load, task.done);
        self.inner.submit_load(LoadTask { done, ..task });
    }

    fn delete(&self, keys: &[ObjectKey]) -> usize {
        self.inner.delete(keys)
    }

    fn ledger(&self) -> &Ledger {
        self.inner.ledger()
    }

    fn report_status(&self) -> AdapterStatus {
        self.inner.report_status()
    }

    fn close(&self) {
        self.inner.close();
    }
}

//! What a recorder sees of transfers: LMCache's server does the same calls.

use std::sync::{Arc, Mutex};

use lmcache::device::EngineKvFormat as F;
use lmcache::format::model::Op;
use lmcache::format::native::Outcome;
use lmcache::storage::hook::{CallEnd, CallHook, CallToken, HookedCall};

use crate::support::{Engine, keys, manager, prefetch, table};

#[derive(Debug, Default)]
struct Notes(Mutex<Vec<(Op, usize, Option<Outcome>)>>);

impl CallHook for Notes {
    fn begin(&self, call: &HookedCall<'_>) -> Option<CallToken> {
        let keys = match call {
            HookedCall::ReserveWrite { keys, .. }
            | HookedCall::FinishWrite(keys)
            | HookedCall::ReadEnter(keys)
            | HookedCall::ReadExit(keys)
            | HookedCall::FinishRead { keys, read_locks: 1 } => keys.len(),
            HookedCall::FinishRead { .. } => panic!("a worker releases one lock"),
            HookedCall::SubmitPrefetch { spec, .. } => spec.key_groups[0].keys.len(),
        };
        let mut notes = self.0.lock().unwrap();
        notes.push((call.op(), keys, None));
        Some(CallToken(notes.len() as u64 - 1))
    }

    fn end(&self, token: CallToken, end: &CallEnd) {
        self.0.lock().unwrap()[token.0 as usize].2 = Some(end.outcome);
    }
}

impl Notes {
    fn take(&self) -> Vec<(Op, usize, Option<Outcome>)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_store_and_a_retrieve_are_recorded_as_those_of_lmcache() {
    let (manager, _hand) = manager(16);
    let notes: Arc<Notes> = Arc::default();
    manager.attach_hook(notes.clone()).unwrap();
    let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
    let keys = keys(0, 4);
    engine.stored(&manager, &keys[..1], &table(1, 0));
    let done = Some(Outcome::Done);
    assert_eq!(notes.take(), [(Op::ReserveWrite, 1, done), (Op::FinishWrite, 1, done)]);

    // All keys are asked for, and those that were reserved are finished, when the device is done.
    let ticket = engine.store(&manager, &keys, &table(4, 8));
    while engine.device.pump() {}
    let partly = Some(Outcome::Partly);
    assert_eq!(notes.take(), [(Op::ReserveWrite, 4, partly)]);
    engine.finish(&manager, &ticket);
    assert_eq!(notes.take(), [(Op::FinishWrite, 3, done)]);

    prefetch(&manager, &keys);
    let ticket = engine.retrieve(&manager, &keys, &table(4, 32));
    assert_eq!(notes.take(), [(Op::SubmitPrefetch, 4, done)]);
    engine.finish(&manager, &ticket);
    assert_eq!(notes.take(), [(Op::FinishRead, 4, done)]);

    // Nothing that was reserved: nothing is finished. What cannot be read: the locks are released all the same.
    engine.finish(&manager, &engine.store(&manager, &keys, &table(4, 8)));
    assert_eq!(notes.take(), [(Op::ReserveWrite, 4, Some(Outcome::Failed))]);
    engine.retrieve(&manager, &keys, &table(4, 8));
    assert_eq!(notes.take(), [(Op::FinishRead, 4, Some(Outcome::Failed))]);
    let more = crate::support::keys(9, 1);
    let ticket = engine.store(&manager, &more, &table(1, 0));
    engine.device.lose("");
    engine.finish(&manager, &ticket);
    assert_eq!(notes.take(), [(Op::ReserveWrite, 1, done)], "what failed is never finished");
}

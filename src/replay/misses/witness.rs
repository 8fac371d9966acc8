//! Tells the table of fates what happens to keys in L2.

use super::fates::{Fate, KeyFates, Print, Store};
use crate::format::model::ObjectKey;
use crate::storage::events::Event;

impl KeyFates {
    /// An event of L2 happened.
    pub(in crate::replay) fn note(&self, event: &Event<'_>) {
        match event {
            Event::L2StoreSubmitted(task) => {
                self.change_all(task.keys.iter().copied(), |fate| fate.store = Store::UnderWay);
            }
            Event::L2StoreCompleted { task, .. } => {
                self.change_all(task.keys.iter().copied(), |fate| fate.store = Store::Stored);
            }
            Event::L2StoreGivenUp { keys } => {
                self.change_all(*keys, |fate| fate.store = Store::GivenUp);
            }
            Event::L2KeysStored { keys, .. } => self.change_all(keys.iter().map(|(key, _)| key), |fate| {
                fate.l2_copies = fate.l2_copies.saturating_add(1)
            }),
            Event::L2KeysDeleted { keys, .. } => self.change_all(keys.iter().map(|(key, _)| key), |fate| {
                fate.l2_copies = fate.l2_copies.saturating_sub(1)
            }),
            _ => {}
        }
    }

    fn change_all<'a>(&self, keys: impl IntoIterator<Item = &'a ObjectKey>, change: impl Fn(&mut Fate)) {
        keys.into_iter().for_each(|key| self.change(Print::of(key), &change));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};
    use crate::replay::misses::fates::Known;
    use crate::storage::events::L2Task;
    use crate::sync::Arc;

    #[test]
    fn what_adapters_say_of_a_key_is_its_fate() {
        let scope = Arc::new(KeyScope::new("m", 0, 0, "").expect("a valid scope"));
        let key = ObjectKey::new(ChunkHash::new(b"k"), scope);
        let fates = KeyFates::for_keys(1);
        fates.reserve(Print::of(&key), 0);
        let (keys, sized) = ([&key], [(key.clone(), 9)]);
        let task =
            L2Task { adapter_index: 0, l2_name: "mock", task_id: 0, keys: &keys, bytes: 0, duration_ns: 0 };
        let listed = |keys| {
            (
                Event::L2KeysStored { backend: "mock", shared: false, keys },
                Event::L2KeysDeleted { backend: "mock", shared: false, keys },
            )
        };
        let (stored, deleted) = listed(&sized);
        let steps = [
            (Event::L2StoreSubmitted(task), Store::UnderWay, 0),
            (stored, Store::UnderWay, 1),
            (Event::L2StoreCompleted { task, failed_count: 0, written_ns: &[0] }, Store::Stored, 1),
            (stored, Store::Stored, 2),
            (deleted, Store::Stored, 1),
            (deleted, Store::Stored, 0),
            (deleted, Store::Stored, 0),
            (Event::L2StoreGivenUp { keys: std::slice::from_ref(&key) }, Store::GivenUp, 0),
        ];
        for (event, store, copies) in steps {
            fates.note(&event);
            let Known::Fate(fate) = fates.get(Print::of(&key)) else { panic!("it was reserved") };
            assert_eq!((fate.store, fate.l2_copies), (store, copies), "{}", event.name());
        }
    }
}

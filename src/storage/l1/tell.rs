//! Events of L1, for who wants to know: metrics and logs. Told after the operation, without any lock of L1.

use super::{KeyCodes, L1Error};
use crate::format::model::ObjectKey;
use crate::storage::events::{Event, Events, L1Keys};

/// Who is told, and in whose name.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    l1_tag: Box<str>,
    events: Events,
}

/// An event of some keys.
type Make = for<'a> fn(L1Keys<'a>) -> Event<'a>;

impl Teller {
    pub(super) fn new(l1_tag: &str, events: Events) -> Self {
        Self { l1_tag: l1_tag.into(), events }
    }

    /// Whether anybody listens: for who would have to gather keys.
    #[inline]
    pub(super) fn is_heard(&self) -> bool {
        self.events.has_sink()
    }

    /// Whether anybody listens to reservations and touches.
    #[inline]
    pub(super) fn is_heard_of_reservations(&self) -> bool {
        self.events.has_sink_for_reservations()
    }

    /// Tells of these keys.
    pub(super) fn tell(&self, keys: &[&ObjectKey], make: Make) {
        if !keys.is_empty() {
            self.events.publish(|| make(L1Keys { l1_tag: &self.l1_tag, keys }));
        }
    }

    /// Tells of those keys of an operation for which it succeeded.
    pub(super) fn tell_successes(&self, keys: &[&ObjectKey], codes: &KeyCodes, make: Make) {
        let outcomes = keys.iter().zip(codes.as_slice());
        let succeeded: Vec<&ObjectKey> =
            outcomes.filter(|(_, code)| **code == L1Error::Success).map(|(key, _)| *key).collect();
        self.tell(&succeeded, make);
    }

    /// Tells of victims that are gone.
    pub(super) fn tell_victims(&self, victims: &[(ObjectKey, L1Error)]) {
        if self.is_heard() {
            let gone = victims.iter().filter(|(_, code)| *code == L1Error::Success);
            self.tell(&gone.map(|(key, _)| key).collect::<Vec<_>>(), Event::l1_keys_evicted);
        }
    }
}

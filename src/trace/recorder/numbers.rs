//! Numbers that a recording thread gives to scopes, layouts and names, so that a row names its scope by four bytes.
//!
//! There are a few hundred of each at a time; one that is not among them takes the place of one that was not used in
//! the call at hand, and is sent again when it comes back. So memory is bounded however many tenants there are.

use crate::format::model::{KeyScope, MemoryLayoutDesc};
use crate::sync::Arc;
use crate::trace::recorder::wire::{ScopeHead, encode_layout};

/// How many of each have numbers at a time, beside the scopes that the host keeps.
pub(super) const NUMBERED: usize = 256;

/// A scope that the host keeps; see [`ThreadRecorder::scope`](super::ThreadRecorder::scope).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeNumber {
    /// The thread that gave it.
    pub(super) thread: u32,
    pub(super) number: u32,
}

/// The numbers of one thread.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    scopes: Slots<Arc<KeyScope>>,
    /// Scopes that the host keeps, and whether they were sent; their numbers follow those of the slots.
    kept: Vec<(Arc<KeyScope>, bool)>,
    pub(super) layouts: Slots<MemoryLayoutDesc>,
    pub(super) names: Slots<Box<str>>,
}

impl Numbers {
    /// The number of a scope that was sent.
    #[inline]
    pub(super) fn scope(&mut self, call: u64, scope: &Arc<KeyScope>) -> Option<u32> {
        self.scopes.find(call, |known| Arc::ptr_eq(known, scope))
    }

    /// Gives `scope` a number and says what is to be sent; nothing if too many are used in this call.
    pub(super) fn claim_scope(&mut self, call: u64, scope: &Arc<KeyScope>) -> Option<(u32, Vec<u8>)> {
        let number = self.scopes.claim(call, Arc::clone(scope))?;
        Some((number, scope_bytes(scope)))
    }

    pub(super) fn forget_scope(&mut self, number: u32) {
        self.scopes.forget(number);
    }

    pub(super) fn keep_scope(&mut self, thread: u32, scope: &Arc<KeyScope>) -> ScopeNumber {
        self.keep_scope_of_few(thread, scope, usize::MAX).expect("there are never so many")
    }

    /// The same, but no more than `most` are kept.
    pub(super) fn keep_scope_of_few(
        &mut self,
        thread: u32,
        scope: &Arc<KeyScope>,
        most: usize,
    ) -> Option<ScopeNumber> {
        let known = self.kept.iter().position(|(known, _)| known == scope);
        let position = known.or_else(|| {
            (self.kept.len() < most).then(|| self.kept.push((Arc::clone(scope), false)))?;
            Some(self.kept.len() - 1)
        })?;
        Some(ScopeNumber { thread, number: (NUMBERED + position) as u32 })
    }

    /// Whether a kept scope was sent.
    #[inline(always)]
    pub(super) fn is_kept_sent(&self, number: ScopeNumber) -> bool {
        self.kept.get((number.number as usize).wrapping_sub(NUMBERED)).is_some_and(|(_, is_sent)| *is_sent)
    }

    /// What is to be sent for a kept scope; nothing if the number is another thread's.
    pub(super) fn kept_bytes(&self, number: ScopeNumber) -> Option<Vec<u8>> {
        let (scope, _) = self.kept.get((number.number as usize).checked_sub(NUMBERED)?)?;
        Some(scope_bytes(scope))
    }

    pub(super) fn kept_sent(&mut self, number: ScopeNumber) {
        if let Some((_, is_sent)) = self.kept.get_mut((number.number as usize).wrapping_sub(NUMBERED)) {
            *is_sent = true;
        }
    }
}

fn scope_bytes(scope: &KeyScope) -> Vec<u8> {
    let head = ScopeHead {
        kv_rank: scope.kv_rank(),
        object_group_id: scope.object_group_id(),
        model_bytes: scope.model_name().len() as u32,
        salt_bytes: scope.cache_salt().len() as u32,
        reserved: 0,
    };
    [bytemuck::bytes_of(&head), scope.model_name().as_bytes(), scope.cache_salt().as_bytes()].concat()
}

/// What is sent for a layout.
pub(super) fn layout_bytes(layout: &MemoryLayoutDesc) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_layout(layout, &mut bytes);
    bytes
}

/// Values in numbered places.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Option<Slot<T>>>,
    /// The slot that was found last; nearly always the one that is looked for.
    last: usize,
    /// Where the search for a place to take goes on.
    hand: usize,
}

#[derive(Debug)]
struct Slot<T> {
    value: T,
    /// The call that used it last: it keeps its number until that call is written.
    call: u64,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), last: 0, hand: 0 }
    }
}

impl<T> Slots<T> {
    /// The number of the value that `is_it`, which `call` uses.
    #[inline]
    pub(super) fn find(&mut self, call: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let is_slot = |slot: &Option<Slot<T>>| slot.as_ref().is_some_and(|slot| is_it(&slot.value));
        if !self.slots.get(self.last).is_some_and(is_slot) {
            self.last = self.slots.iter().position(is_slot)?;
        }
        let slot = self.slots[self.last].as_mut()?;
        slot.call = call;
        Some(self.last as u32)
    }

    /// Puts `value` where nothing is, or where something is that `call` does not use.
    pub(super) fn claim(&mut self, call: u64, value: T) -> Option<u32> {
        let number = match self.slots.len() {
            len if len < NUMBERED => {
                self.slots.push(None);
                len
            }
            len => {
                let is_free = |at: &usize| self.slots[*at].as_ref().is_none_or(|slot| slot.call != call);
                (0..len).map(|step| (self.hand + step) % len).find(is_free)?
            }
        };
        self.hand = number + 1;
        self.slots[number] = Some(Slot { value, call });
        Some(number as u32)
    }

    /// Takes back a number whose value could not be sent.
    pub(super) fn forget(&mut self, number: u32) {
        self.slots[number as usize] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_through_its_call_and_taken_after_it() {
        let mut slots = Slots::default();
        for value in 0..NUMBERED {
            assert_eq!(slots.claim(1, value), Some(value as u32));
        }
        assert_eq!(slots.claim(1, NUMBERED), None, "one past the limit in one call");
        assert_eq!(slots.find(2, |value| *value == 0), Some(0));
        assert_eq!(slots.claim(2, 1000), Some(1), "the next that call 2 does not use");
        assert_eq!(
            (slots.find(2, |value| *value == 1), slots.find(2, |value| *value == 1000)),
            (None, Some(1))
        );
        slots.forget(1);
        assert_eq!(slots.find(3, |value| *value == 1000), None);
    }

    #[test]
    fn scopes_are_kept_to_the_limit_and_known_ones_past_it() {
        let mut numbers = Numbers::default();
        let scope = |salt: &str| Arc::new(KeyScope::new("m", 0, 0, salt).unwrap());
        let mut keep = |salt: &str| numbers.keep_scope_of_few(7, &scope(salt), 2).map(|number| number.number);
        let first = NUMBERED as u32;
        assert_eq!(
            ["a", "b", "c", "a", "b"].map(&mut keep),
            [Some(first), Some(first + 1), None, Some(first), Some(first + 1)]
        );
    }
}

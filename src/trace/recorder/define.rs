//! Numbers that a thread's records use, defined in its ring before they are used.

use crate::format::model::{KeyScope, MemoryLayoutDesc, ObjectKey};
use crate::format::native::kind::RecordKind;
use crate::format::native::pod::{PREFIX_BYTES, RecordPrefix};
use crate::sync::Arc;
use crate::trace::recorder::into_ring::write_prefix;
use crate::trace::recorder::numbers::{ScopeNumber, layout_bytes};
use crate::trace::recorder::thread::ThreadRecorder;
use crate::trace::recorder::wire::call_bytes;
use crate::trace::ring::Refusal;

impl ThreadRecorder {
    /// The number of a layout, sent before if it was not.
    pub(super) fn layout_number(&mut self, layout: &MemoryLayoutDesc, ticks: u64) -> Result<u32, Refusal> {
        let call = self.attempted;
        if let Some(number) = self.numbers.layouts.find(call, |known| known == layout) {
            return Ok(number);
        }
        let number = self.numbers.layouts.claim(call, layout.clone()).ok_or(Refusal::TooLarge)?;
        let sent = self.define(RecordKind::Layout, number, &layout_bytes(layout), ticks);
        sent.inspect_err(|_| self.numbers.layouts.forget(number))?;
        Ok(number)
    }

    pub(super) fn name_number(&mut self, name: &str, ticks: u64) -> Result<u32, Refusal> {
        let call = self.attempted;
        if let Some(number) = self.numbers.names.find(call, |known| **known == *name) {
            return Ok(number);
        }
        let number = self.numbers.names.claim(call, name.into()).ok_or(Refusal::TooLarge)?;
        let sent = self.define(RecordKind::Name, number, name.as_bytes(), ticks);
        sent.inspect_err(|_| self.numbers.names.forget(number))?;
        Ok(number)
    }

    /// Sends the scopes of `keys` that were not sent.
    #[inline]
    pub(super) fn send_scopes(&mut self, keys: &[ObjectKey], ticks: u64) -> Result<(), Refusal> {
        let mut last = std::ptr::null();
        for key in keys {
            let scope = Arc::as_ptr(key.scope());
            if scope != last {
                if self.numbers.scope(self.attempted, key.scope()).is_none() {
                    self.send_scope(key.scope(), ticks)?;
                }
                last = scope;
            }
        }
        Ok(())
    }

    #[cold]
    fn send_scope(&mut self, scope: &Arc<KeyScope>, ticks: u64) -> Result<(), Refusal> {
        let claimed = self.numbers.claim_scope(self.attempted, scope);
        let (number, bytes) = claimed.ok_or(Refusal::TooLarge)?;
        self.define(RecordKind::Scope, number, &bytes, ticks)
            .inspect_err(|_| self.numbers.forget_scope(number))
    }

    #[cold]
    pub(super) fn send_kept(&mut self, scope: ScopeNumber, ticks: u64) -> Result<(), Refusal> {
        let bytes = self.numbers.kept_bytes(scope).ok_or(Refusal::TooLarge)?;
        self.define(RecordKind::Scope, scope.number, &bytes, ticks)?;
        self.numbers.kept_sent(scope);
        Ok(())
    }

    /// Sends a definition of `number`, with the stamp of the call that needs it: a later one would make the call late.
    /// `aux` says how many bytes of the record are padding.
    #[cold]
    fn define(&mut self, kind: RecordKind, number: u32, body: &[u8], ticks: u64) -> Result<(), Refusal> {
        let length_bytes = call_bytes(0, body.len());
        let padding = length_bytes.next_multiple_of(8) - length_bytes;
        let prefix = self.prefix(kind, ticks, length_bytes, padding as u16, 0);
        let prefix = RecordPrefix { sequence: number, ..prefix };
        self.write(length_bytes, |out| {
            let (start, rest) = out.split_at_mut(PREFIX_BYTES);
            write_prefix(start, prefix);
            rest.copy_from_slice(body);
        })
    }
}

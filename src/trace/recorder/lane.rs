//! The writer's side of one thread: its ring, what its numbers mean, and which of its calls are missing.

use crate::format::model::{KeyView, MemoryLayoutDesc};
use crate::format::native::builder::{ChunkBuilder, ChunkFull};
use crate::format::native::kind::RecordKind;
use crate::format::native::pod::PREFIX_BYTES;
use crate::format::native::schema::{ScopeFacts, ThreadFacts};
use crate::sync::Arc;
use crate::trace::recorder::shared::{Arrival, ThreadLosses};
use crate::trace::recorder::wire::{RingRecord, ScopeHead, decode_layout, take};
use crate::trace::ring::Consumer;

/// One recording thread, as the writer sees it.
pub(super) struct Lane {
    ring: Consumer,
    losses: Arc<ThreadLosses>,
    data: LaneData,
    /// How many calls the thread had attempted when it last lost one, as of this round.
    attempted: u64,
    /// Bytes of the ring that this round may still take.
    pub(super) readable_bytes: usize,
}

/// What was taken from a ring and is in no file.
pub(super) struct Discarded {
    /// Calls, those included that had not fitted into the ring.
    pub(super) calls: u64,
    pub(super) completions: u64,
}

/// What is known of the thread.
pub(super) struct LaneData {
    pub(super) number: u32,
    pub(super) facts: ThreadFacts,
    /// The call that comes next if none is missing.
    pub(super) expected: u64,
    /// Time of the last record.
    pub(super) last_ns: u64,
    pub(super) numbers: LaneNumbers,
}

/// What the thread's numbers mean, and which numbers the chunk has for it.
#[derive(Default)]
pub(super) struct LaneNumbers {
    pub(super) scopes: Vec<Option<InChunk<ScopeFacts>>>,
    pub(super) layouts: Vec<Option<InChunk<MemoryLayoutDesc>>>,
    pub(super) names: Vec<Option<InChunk<Box<str>>>>,
}

/// A value, and its number in a chunk.
pub(super) struct InChunk<T> {
    pub(super) value: T,
    /// The chunk, and the number in it.
    known: Option<(u64, u32)>,
}

impl<T> InChunk<T> {
    fn new(value: T) -> Self {
        Self { value, known: None }
    }

    /// The number in chunk `chunk`; `define` gives it one.
    #[inline]
    fn number_in(
        &mut self,
        chunk: u64,
        define: impl FnOnce(&T) -> Result<u32, ChunkFull>,
    ) -> Result<u32, ChunkFull> {
        match self.known {
            Some((known, number)) if known == chunk => Ok(number),
            _ => {
                let number = define(&self.value)?;
                self.known = Some((chunk, number));
                Ok(number)
            }
        }
    }
}

impl Lane {
    pub(super) fn new(arrival: Arrival) -> Self {
        let Arrival { number, facts, ring, losses } = arrival;
        let data = LaneData { number, facts, expected: 0, last_ns: 0, numbers: LaneNumbers::default() };
        Self { ring, losses, data, attempted: 0, readable_bytes: 0 }
    }

    /// Begins a round: what is in the ring at this moment may be taken.
    pub(super) fn refresh(&mut self) {
        // In this order: whoever counted a loss had put every earlier call into the ring.
        self.attempted = self.losses.attempted();
        self.readable_bytes = self.ring.refresh();
    }

    /// Whether there is something to write about the thread.
    pub(super) fn has_work(&self) -> bool {
        self.readable_bytes > 0 || self.has_trailing_loss()
    }

    /// Whether the last that is known of the thread is that it lost calls.
    pub(super) fn has_trailing_loss(&self) -> bool {
        self.readable_bytes == 0 && self.attempted > self.data.expected
    }

    /// Calls that are missing behind the last that was taken.
    pub(super) fn missing(&self) -> u64 {
        self.attempted.saturating_sub(self.data.expected)
    }

    /// Ticks of the next record.
    #[inline]
    pub(super) fn next_ticks(&self) -> Option<u64> {
        self.ring.readable().into_iter().find_map(RingRecord::first_ticks)
    }

    /// The ring to read from, and what reading changes.
    pub(super) fn split(&mut self) -> (&Consumer, &mut LaneData) {
        (&self.ring, &mut self.data)
    }

    pub(super) fn data(&mut self) -> &mut LaneData {
        &mut self.data
    }

    /// Gives back what was taken.
    pub(super) fn release(&mut self, taken_bytes: usize) {
        self.ring.release(taken_bytes);
        self.readable_bytes -= taken_bytes;
    }

    /// Takes all that is in the ring without looking at more than the numbers of the calls. Returns what that was.
    pub(super) fn discard(&mut self) -> Discarded {
        let (before, mut completions) = (self.data.expected, 0);
        for mut bytes in self.ring.readable() {
            while let Some((record, rest)) = RingRecord::split_first(bytes) {
                let kind = RecordKind::from_number(record.prefix.kind);
                completions += u64::from(kind == Some(RecordKind::Completion));
                if kind.is_some_and(|kind| kind.is_call() || kind == RecordKind::Loss) {
                    let missing = record.prefix.sequence.wrapping_sub(self.data.expected as u32);
                    self.data.expected += u64::from(missing) + 1;
                }
                bytes = rest;
            }
        }
        self.release(self.readable_bytes);
        self.data.expected = self.data.expected.max(self.attempted);
        Discarded { calls: self.data.expected - before, completions }
    }

    /// Ticks of the last loss.
    pub(super) fn last_loss_ticks(&self) -> u64 {
        self.losses.last_ticks()
    }

    /// Whether the thread is gone and nothing is left of it.
    pub(super) fn is_finished(&mut self) -> bool {
        self.ring.is_finished() && self.losses.attempted() <= self.data.expected
    }
}

impl LaneNumbers {
    /// Takes in a definition of a scope; nothing if it is damaged, which only a bug can do.
    pub(super) fn define_scope(&mut self, record: &RingRecord<'_>) -> Option<()> {
        let (head, text) = take::<ScopeHead>(record.rest)?;
        let (model, rest) = text.split_at_checked(head.model_bytes as usize)?;
        let salt = rest.get(..head.salt_bytes as usize)?;
        let facts = ScopeFacts {
            model_name: std::str::from_utf8(model).ok()?.to_owned(),
            kv_rank: head.kv_rank,
            object_group_id: head.object_group_id,
            cache_salt: std::str::from_utf8(salt).ok()?.to_owned(),
        };
        put(&mut self.scopes, record.prefix.sequence, facts);
        Some(())
    }

    pub(super) fn define_layout(&mut self, record: &RingRecord<'_>) -> Option<()> {
        put(&mut self.layouts, record.prefix.sequence, decode_layout(unpadded(record)?)?);
        Some(())
    }

    pub(super) fn define_name(&mut self, record: &RingRecord<'_>) -> Option<()> {
        let name = std::str::from_utf8(unpadded(record)?).ok()?;
        put(&mut self.names, record.prefix.sequence, name.into());
        Some(())
    }

    /// The chunk's number of one of the thread's scopes.
    #[inline]
    pub(super) fn scope(
        &mut self,
        number: u32,
        chunk: u64,
        builder: &mut ChunkBuilder,
    ) -> Result<u32, ChunkFull> {
        defined(&mut self.scopes, number).number_in(chunk, |scope| builder.scope(&scope_view(scope)))
    }

    /// The chunk's number of one of the thread's layouts.
    pub(super) fn layout(
        &mut self,
        number: u32,
        chunk: u64,
        builder: &mut ChunkBuilder,
    ) -> Result<u32, ChunkFull> {
        defined(&mut self.layouts, number).number_in(chunk, |layout| builder.layout(layout))
    }

    /// The chunk's number of one of the thread's names.
    pub(super) fn name(
        &mut self,
        number: u32,
        chunk: u64,
        builder: &mut ChunkBuilder,
    ) -> Result<u32, ChunkFull> {
        defined(&mut self.names, number).number_in(chunk, |name| builder.name(name))
    }
}

fn scope_view(scope: &ScopeFacts) -> KeyView<'_> {
    scope.key(&[])
}

fn put<T>(values: &mut Vec<Option<InChunk<T>>>, number: u32, value: T) {
    let place = number as usize;
    if place >= values.len() {
        values.resize_with(place + 1, || None);
    }
    values[place] = Some(InChunk::new(value));
}

fn defined<T>(values: &mut [Option<InChunk<T>>], number: u32) -> &mut InChunk<T> {
    values[number as usize].as_mut().expect("a thread defines a number before it uses it, in the same ring")
}

/// The body of a definition without the zeros that fill it up.
fn unpadded<'a>(record: &RingRecord<'a>) -> Option<&'a [u8]> {
    let body_bytes = record.prefix.length_bytes as usize - PREFIX_BYTES;
    record.rest.get(..body_bytes - usize::from(record.prefix.aux))
}

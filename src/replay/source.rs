//! Where records come from: decoded, in the order of the file.
//!
//! A replay takes any [`RecordSource`], such as an iterator of [`TimedRecord`]; [`TraceSource`] is the one that reads a file,
//! LMCache's here, ours in `native_source`. Whoever asks for a record says where to put it, over one that is done with, and lends what keys
//! are made with: so lists of keys, but for long ones, are used again instead of allocated.

use crate::format::model::KeyInterner;
use crate::format::native::KeyTable;
use crate::replay::latency::RecordedOutcomes;
use crate::replay::native_source::NativeSource;
use crate::replay::timed::{TimedRecord, decode};
use crate::sync::Arc;
use crate::trace::{Entry, NativeTrace, Records, Trace, TraceReader};

/// What a source gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record to be replayed: it is in its place.
    Record,
    /// Nothing yet: a record was read that is not replayed. Whoever waits can look after other things before asking again.
    LeftOut,
    /// Nothing any more.
    End,
}

/// Records, one after the other, in steps that are each soon over, however few of the records of a file are wanted.
pub trait RecordSource {
    /// The next step. What stands in `place` is done with: a record is written over it, and over its lists of keys. Unless a
    /// record was put there, nobody may look at what is left of it. Keys come from `keys`; a source that has its records already
    /// makes none.
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step;

    /// Whether a step costs less than handing what it gives to another thread, as where records are read in place.
    fn is_quick(&self) -> bool {
        false
    }
}

impl<I: Iterator<Item = TimedRecord>> RecordSource for I {
    fn step(&mut self, place: &mut TimedRecord, _keys: &mut KeyInterner) -> Step {
        let Some(record) = self.next() else { return Step::End };
        *place = record;
        Step::Record
    }
}

/// The records of a source, with keys of their own.
#[derive(Debug)]
pub struct SourceRecords<S> {
    source: S,
    keys: KeyInterner,
}

impl<S> SourceRecords<S> {
    /// Those of `source`.
    pub fn of(source: S) -> Self {
        Self { source, keys: KeyInterner::default() }
    }
}

impl<S: RecordSource> Iterator for SourceRecords<S> {
    type Item = TimedRecord;

    fn next(&mut self) -> Option<TimedRecord> {
        let mut record = TimedRecord::default();
        loop {
            match self.source.step(&mut record, &mut self.keys) {
                Step::Record => return Some(record),
                Step::LeftOut => {}
                Step::End => return None,
            }
        }
    }
}

/// The records of an open trace file, decoded as they are asked for.
#[derive(Debug)]
pub struct TraceSource<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Lct(Records<'a>),
    Native(Box<NativeSource<'a>>),
}

impl<'a> TraceSource<'a> {
    /// All records of an LMCache file, from the first.
    pub fn new(reader: &'a TraceReader) -> Self {
        Self(Source::Lct(reader.records()))
    }

    /// All calls of a native file, from the first. `keys` is its [`NativeTrace::key_table`].
    pub fn native(trace: &'a NativeTrace, keys: Option<&'a KeyTable<'a>>) -> Self {
        Self(Source::Native(Box::new(NativeSource::new(trace, keys))))
    }

    /// Tells `recorded` of the completions that it meets; an LMCache file has none.
    #[must_use]
    pub fn with_completions(mut self, recorded: Arc<RecordedOutcomes>) -> Self {
        if let Source::Native(source) = &mut self.0 {
            source.tell(recorded);
        }
        self
    }

    /// All records of either kind of file. `keys` is [`Trace::key_table`].
    pub fn of(trace: &'a Trace, keys: Option<&'a KeyTable<'a>>) -> Self {
        match trace {
            Trace::Lct(reader) => Self::new(reader),
            Trace::Native(trace) => Self::native(trace, keys),
        }
    }

    /// The records one by one, for who does not replay them.
    pub fn records(self) -> SourceRecords<Self> {
        SourceRecords::of(self)
    }
}

impl RecordSource for TraceSource<'_> {
    /// What is no record is stepped over, as by LMCache's reader, and so are damaged chunks; [`TraceExtent`](super::TraceExtent) counts
    /// both.
    #[inline]
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
        match &mut self.0 {
            Source::Lct(entries) => step_of_lmcache(entries, place, keys),
            Source::Native(source) => source.step(place, keys),
        }
    }

    /// A native file is read in place; records of LMCache take longer to decode than most calls take.
    fn is_quick(&self) -> bool {
        matches!(&self.0, Source::Native(source) if source.is_read_in_place())
    }
}

fn step_of_lmcache(entries: &mut Records<'_>, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
    for entry in entries {
        if let Entry::Record(record) = entry {
            (place.seq, place.t_mono_s) = (record.seq, record.t_mono_s);
            place.body.give_back(keys);
            place.body = decode(&record, keys);
            return Step::Record;
        }
    }
    Step::End
}

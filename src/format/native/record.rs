//! A record of a verified chunk, and what its body says.

use super::chunk::{Chunk, DefinedLayout};
use super::header::Header;
use super::keys::KeyList;
use super::kind::RecordKind;
use super::pod::{
    BODY_HEAD_BYTES, BodyHead, COMPLETION_BYTES, CompletionBody, FLAG_LATE, FLAG_SLICE, FLAG_T_MONO,
    FLAG_WALL, FLAG_WIDE, KEY_SLICE_BYTES, KeySlice, LOSS_BYTES, LossBody, PREFIX_BYTES, RecordPrefix,
    SectionHead,
};
use super::schema::{ArchivedPrefetchArgs, ScopeFacts};
use super::table::split_section;
use super::trusted;
use crate::format::model::{FetchingPolicy, LockMode, Op};

/// A record where it lies. Copying it copies an address: what it says is read from the chunk.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    chunk: &'a Chunk<'a>,
    /// Offset of the record in the chunk.
    position: usize,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// One of the six storage calls.
    Call(CallView<'a>),
    /// What became of a call.
    Completion(CompletionBody),
    /// A call that the host defined.
    HostCall {
        /// What the host calls it.
        name: &'a str,
        /// Its arguments, as the host gave them.
        bytes: &'a [u8],
    },
    /// A record of LMCache in another shape than 0.5.6 writes.
    ForeignCall {
        /// Its qualified name.
        qualname: &'a str,
        /// The body of its frame.
        frame: &'a [u8],
    },
    /// Bytes of an LMCache file that are no record.
    ForeignBytes {
        /// Whether they are the end of a file that was cut short, length included; else the body of a frame.
        is_cut: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Calls that are not in the file.
    Loss(LossBody),
    /// Keys of the key table.
    KeySection {
        /// Which ids.
        head: SectionHead,
        /// The hashes, end to end.
        hashes: &'a [u8],
        /// Their scope.
        scope: &'a ScopeFacts,
    },
    /// A definition that other records refer to, or a kind that this build does not know.
    Other,
}

impl<'a> RecordView<'a> {
    /// The record that begins at `position` of a chunk, all of which is there.
    #[inline]
    pub(super) fn new(chunk: &'a Chunk<'a>, position: usize) -> Self {
        Self { chunk, position }
    }

    /// When, who, and what kind.
    #[inline]
    pub fn prefix(&self) -> &'a RecordPrefix {
        bytemuck::from_bytes(&self.chunk.bytes()[self.position..][..PREFIX_BYTES])
    }

    /// What stands behind the prefix.
    #[inline]
    pub(super) fn raw_body(&self) -> &'a [u8] {
        &self.chunk.bytes()[self.position..][PREFIX_BYTES..self.prefix().length_bytes as usize]
    }

    /// Its kind, if this build knows it.
    #[inline]
    pub fn kind(&self) -> Option<RecordKind> {
        RecordKind::from_number(self.prefix().kind)
    }

    /// Offset of the record in the file.
    pub fn offset(&self) -> u64 {
        self.chunk.header().offset + self.position as u64
    }

    /// The chunk that it lies in.
    pub fn chunk(&self) -> &'a Chunk<'a> {
        self.chunk
    }

    /// Whether it was published after later records had been written.
    pub fn is_late(&self) -> bool {
        self.prefix().flags & FLAG_LATE != 0
    }

    /// The storage call that it is, if it is one.
    #[inline]
    pub fn call(&self) -> Option<CallView<'a>> {
        match self.kind() {
            Some(RecordKind::Call(op)) => Some(CallView { op, record: *self }),
            _ => None,
        }
    }

    /// What it says.
    pub fn body(&self) -> Body<'a> {
        let verified = "the record was checked when its chunk was verified";
        match self.kind() {
            Some(RecordKind::Call(op)) => Body::Call(CallView { op, record: *self }),
            Some(RecordKind::Completion) => {
                Body::Completion(bytemuck::pod_read_unaligned(&self.raw_body()[..COMPLETION_BYTES]))
            }
            Some(RecordKind::Loss) => {
                Body::Loss(bytemuck::pod_read_unaligned(&self.raw_body()[..LOSS_BYTES]))
            }
            Some(RecordKind::HostCall) => {
                let (number, bytes) = split_bytes(self.raw_body()).expect(verified);
                Body::HostCall { name: self.chunk.name(number).expect(verified), bytes }
            }
            Some(RecordKind::ForeignCall) => {
                let (number, frame) = split_bytes(self.raw_body()).expect(verified);
                Body::ForeignCall { qualname: self.chunk.name(number).expect(verified), frame }
            }
            Some(RecordKind::ForeignBytes) => {
                let (_, bytes) = split_bytes(self.raw_body()).expect(verified);
                Body::ForeignBytes { is_cut: self.prefix().aux != 0, bytes }
            }
            Some(RecordKind::KeySection) => {
                let (head, hashes) = split_section(self.raw_body()).expect(verified);
                Body::KeySection { head, hashes, scope: self.chunk.scope(head.scope).expect(verified) }
            }
            Some(
                RecordKind::Thread
                | RecordKind::Scope
                | RecordKind::Layout
                | RecordKind::Name
                | RecordKind::Bytes,
            )
            | None => Body::Other,
        }
    }
}

/// One of the six storage calls where it lies.
#[derive(Clone, Copy, Debug)]
pub struct CallView<'a> {
    op: Op,
    record: RecordView<'a>,
}

impl<'a> CallView<'a> {
    /// Which operation.
    #[inline]
    pub fn op(&self) -> Op {
        self.op
    }

    /// The record.
    pub fn record(&self) -> &RecordView<'a> {
        &self.record
    }

    /// The time of day at the call in nanoseconds, if the record has one of its own.
    pub fn wall_ns(&self) -> Option<u64> {
        self.tail().wall_ns
    }

    /// Bits of LMCache's `t_mono`, if the record has it as LMCache wrote it.
    pub fn t_mono_bits(&self) -> Option<u64> {
        self.tail().t_mono_bits
    }

    /// Seconds from the start of the recording to the call, as LMCache counts them.
    #[inline]
    pub fn t_mono_s(&self, header: &Header) -> f64 {
        self.t_mono_bits().map_or_else(|| header.t_mono_s(self.record.prefix().t_ns), f64::from_bits)
    }

    /// How many locks a `finish_read_prefetched` releases.
    pub fn read_locks(&self) -> i64 {
        self.tail().wide.unwrap_or(i64::from(self.record.prefix().aux))
    }

    /// The layout of a `reserve_write`.
    pub fn layout(&self) -> Option<&'a DefinedLayout> {
        match self.op {
            Op::ReserveWrite => self.record.chunk.layout(u32::from(self.record.prefix().aux)),
            _ => None,
        }
    }

    /// The keys of a call; those of a prefetch are in its rows.
    #[inline(always)]
    pub fn keys(&self) -> KeyList<'a> {
        let (chunk, body) = (self.record.chunk, self.tail().body);
        if self.op == Op::SubmitPrefetch {
            return KeyList::rows(&[], chunk.names());
        }
        match slice_of(body).filter(|_| self.record.prefix().flags & FLAG_SLICE != 0) {
            Some((slice, _)) => key_slice(chunk, slice),
            None => KeyList::rows(bytemuck::cast_slice(body), chunk.names()),
        }
    }

    /// The arguments of a `submit_prefetch_task`.
    pub fn prefetch(&self) -> Option<PrefetchView<'a>> {
        Some(PrefetchView { args: trusted::prefetch_args(&self.record)?, chunk: self.record.chunk })
    }

    #[inline(always)]
    fn tail(&self) -> Tail<'a> {
        let (body, tail) = strip_tail(self.record.prefix().flags, self.record.raw_body())
            .expect("the record was checked when its chunk was verified");
        Tail { body, ..tail }
    }
}

/// The arguments of a `submit_prefetch_task` where they lie.
#[derive(Clone, Copy, Debug)]
pub struct PrefetchView<'a> {
    args: &'a ArchivedPrefetchArgs,
    chunk: &'a Chunk<'a>,
}

/// One row of a prefetch where it lies.
#[derive(Clone, Copy, Debug)]
pub struct PrefetchRow<'a> {
    /// Its keys.
    pub keys: KeyList<'a>,
    /// The group of layers.
    pub object_group_id: u32,
    /// The layout of its objects.
    pub layout: &'a DefinedLayout,
    /// Attention window in chunks; -1 is all.
    pub sliding_window_size: i64,
}

impl<'a> PrefetchView<'a> {
    /// The rows, in the order of the request.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = PrefetchRow<'a>> + Clone + use<'a> {
        let chunk = self.chunk;
        self.args.groups.iter().map(move |group| PrefetchRow {
            keys: key_slice(
                chunk,
                KeySlice { start: group.start.to_native(), count: group.count.to_native() },
            ),
            object_group_id: group.object_group_id.to_native(),
            layout: chunk
                .layout(group.layout.to_native())
                .expect("layouts were checked when the chunk was verified"),
            sliding_window_size: group.sliding_window_size.to_native(),
        })
    }

    /// The engine's name for the request.
    pub fn external_request_id(&self) -> &'a str {
        self.args.external_request_id.as_str()
    }

    /// How many readers each release a lock.
    pub fn num_kv_readers(&self) -> i64 {
        self.args.num_kv_readers.to_native()
    }

    /// Which cells count as hits.
    pub fn fetching_policy(&self) -> FetchingPolicy {
        if self.args.fetching_policy == 0 { FetchingPolicy::Prefix } else { FetchingPolicy::Full }
    }

    /// Whether hits stay locked.
    pub fn lock_mode(&self) -> LockMode {
        if self.args.lock_mode == 0 { LockMode::Lock } else { LockMode::NoLock }
    }

    /// Whether only L1 is looked at.
    pub fn skip_l2(&self) -> bool {
        self.args.skip_l2 != 0
    }
}

fn key_slice<'a>(chunk: &'a Chunk<'a>, slice: KeySlice) -> KeyList<'a> {
    if slice.count == 0 {
        return KeyList::rows(&[], chunk.names());
    }
    match chunk.is_compact() {
        true => KeyList::ids(chunk.id_slice(slice), chunk.names()),
        false => KeyList::rows(chunk.row_slice(slice), chunk.names()),
    }
}

/// The end of a call's body, by its flags, and what stands before it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail<'a> {
    body: &'a [u8],
    wide: Option<i64>,
    t_mono_bits: Option<u64>,
    wall_ns: Option<u64>,
}

/// Takes the end off the body of a call.
#[inline(always)]
pub(super) fn strip_tail(flags: u8, body: &[u8]) -> Option<(&[u8], Tail<'_>)> {
    let (mut body, mut tail) = (body, Tail::default());
    if flags & (FLAG_WALL | FLAG_T_MONO | FLAG_WIDE) == 0 {
        return Some((body, tail));
    }
    if flags & FLAG_WALL != 0 {
        let (rest, wall) = body.split_last_chunk()?;
        (body, tail.wall_ns) = (rest, Some(u64::from_le_bytes(*wall)));
    }
    if flags & FLAG_T_MONO != 0 {
        let (rest, t_mono) = body.split_last_chunk()?;
        (body, tail.t_mono_bits) = (rest, Some(u64::from_le_bytes(*t_mono)));
    }
    if flags & FLAG_WIDE != 0 {
        let (rest, wide) = body.split_last_chunk()?;
        (body, tail.wide) = (rest, Some(i64::from_le_bytes(*wide)));
    }
    Some((body, tail))
}

/// The key slice that a body begins with, and what follows it.
pub(super) fn slice_of(body: &[u8]) -> Option<(KeySlice, &[u8])> {
    let (slice, rest) = body.split_first_chunk::<KEY_SLICE_BYTES>()?;
    Some((bytemuck::pod_read_unaligned(slice), rest))
}

/// The rows and the archive of a body that has a [`BodyHead`].
pub(super) fn split_archive(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = body.split_first_chunk::<BODY_HEAD_BYTES>()?;
    let head: BodyHead = bytemuck::pod_read_unaligned(head);
    let (rows, rest) = rest.split_at_checked(head.first as usize)?;
    Some((rows, rest.get(..head.bytes as usize)?))
}

/// The number and the bytes of a body that has a [`BodyHead`].
pub(super) fn split_bytes(body: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = body.split_first_chunk::<BODY_HEAD_BYTES>()?;
    let head: BodyHead = bytemuck::pod_read_unaligned(head);
    Some((head.first, rest.get(..head.bytes as usize)?))
}

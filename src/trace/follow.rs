//! Reads a native trace file while its recorder writes it.
//!
//! Everything is read by `pread`, never mapped: the bytes behind the last commit change at any moment. Of a chunk the
//! head is read first; the records that a slot vouches for were in the file before that slot was, so they are read
//! next, and its checksum must be theirs. Whatever is not so was read while it was written, and is read again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::clock::{Clock, NS_PER_S};
use crate::error::{Error, ErrorKind, Result};
use crate::format::native::chunk::Records;
use crate::format::native::index::end_mark;
use crate::format::native::pod::{CHUNK_HEADER_BYTES, END_MARK_BYTES, FILE_HEADER_BYTES, STATE_SEALED};
use crate::format::native::{Chunk, ChunkKind, Header, RecordKind, UnverifiedChunk, UnverifiedHeader};

/// How long polls may meet bytes that cannot be: a recorder that was stopped in the middle of a write is running again
/// by then.
const PATIENCE_NS: u64 = 2 * NS_PER_S;

/// Most that is read at once: a slot cannot make a reader allocate what is not in the file.
const READ_BYTES: usize = 1 << 20;

/// A file that is read as it grows, each record once.
#[derive(Debug)]
pub struct TraceFollower {
    path: PathBuf,
    file: File,
    header: Header,
    /// Where the chunk starts that is being read.
    offset: u64,
    /// Where in it the next record will start.
    position: usize,
    /// The chunk, as far as it was read.
    buffer: rkyv::util::AlignedVec,
    /// The file was at least this long.
    seen_bytes: u64,
    /// Since when bytes are met that cannot be.
    strange_since_ns: Option<u64>,
    clock: Clock,
}

/// What a poll met.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once in a poll and taken apart at once")]
pub enum Polled<'a> {
    /// Records that no poll had met before; there may be more: poll again at once.
    Records(NewRecords<'a>),
    /// Nothing was added. Wait a little: each poll of a growing chunk goes over all of it.
    Nothing,
    /// The recorder closed the file, and all of it was met. If it records on, then into another file.
    Closed,
}

/// Records of one chunk, verified.
#[derive(Debug)]
pub struct NewRecords<'a> {
    chunk: Chunk<'a>,
    from: usize,
}

impl NewRecords<'_> {
    /// The records, in the order of the file.
    pub fn iter(&self) -> Records<'_> {
        self.chunk.records_from(self.from)
    }

    /// The sequence number in the file of the first call among them, or of the next one if there is none.
    pub fn first_seq(&self) -> u64 {
        let (mut records, mut seq) = (self.chunk.records(), self.chunk.header().calls_before);
        while records.position() < self.from {
            let Some(record) = records.next() else { break };
            let is_call = record.kind().is_some_and(RecordKind::is_call);
            seq = seq.wrapping_add(u64::from(is_call));
        }
        seq
    }

    /// Whether their chunk is finished: then what follows them stands in the next one, and may be there already.
    pub fn is_chunk_sealed(&self) -> bool {
        self.chunk.slot().state == STATE_SEALED
    }

    /// The chunk that they stand in.
    pub fn chunk(&self) -> &Chunk<'_> {
        &self.chunk
    }
}

/// What the head of a chunk says about going on.
#[expect(clippy::large_enum_variant, reason = "made once in a poll and taken apart at once")]
enum Step {
    /// The slot vouches for records that were not met.
    New(UnverifiedChunk),
    /// The chunk is read to its end.
    Next {
        chunk_bytes: u32,
    },
    /// There is nothing to do yet.
    Wait,
    Closed,
}

impl TraceFollower {
    /// Opens the file at `path`, to be read from its first record.
    ///
    /// # Errors
    /// As for any native file; [`ErrorKind::Truncated`] too if its header is not all there yet. A compact file is
    /// never recorded into: [`ErrorKind::Unsupported`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::open_unnamed(path).map_err(|error| error.with_context("path", path.display()))
    }

    fn open_unnamed(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("cannot open trace file", error))?;
        let header = read_header(&file)?;
        if header.is_compact() {
            return Err(Error::unsupported("a compact trace file does not grow, and cannot be followed"));
        }
        let offset = header.first_chunk_offset();
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            offset,
            position: CHUNK_HEADER_BYTES,
            buffer: rkyv::util::AlignedVec::new(),
            seen_bytes: 0,
            strange_since_ns: None,
            clock: Clock::system(),
        })
    }

    /// Takes the time from `clock`, by which it tells a write in the making from damage.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The path that the file was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Passes over all records that are there: the next ones are those that are committed from here on.
    ///
    /// # Errors
    /// What the system says.
    pub fn skip_to_end(&mut self) -> Result<()> {
        self.skip_while(|_, _| true)?;
        if let Some(chunk) = self.chunk_at(self.offset)? {
            let committed_bytes = chunk.latest().map_or(0, |slot| slot.committed_bytes as usize);
            self.position = self.position.max(CHUNK_HEADER_BYTES + committed_bytes);
        }
        Ok(())
    }

    /// Passes over chunks whose every record is of before `t_ns`. Some earlier records follow all the same.
    ///
    /// # Errors
    /// What the system says.
    pub fn skip_to_time(&mut self, t_ns: u64) -> Result<()> {
        // A slot has the times of calls; other records lie between them and the calls of the next chunk.
        self.skip_while(|chunk, next| {
            let is_next_begun = next.latest().is_some_and(|slot| slot.calls > 0 && slot.first_ns < t_ns);
            is_next_begun && chunk.latest().is_none_or(|slot| slot.last_ns < t_ns)
        })
    }

    /// Goes to the first chunk that is to be read, but not past the last one that there is. `is_skipped` is asked
    /// about a chunk and the one after it.
    fn skip_while(&mut self, is_skipped: impl Fn(&UnverifiedChunk, &UnverifiedChunk) -> bool) -> Result<()> {
        while let Some(chunk) = self.chunk_at(self.offset)? {
            let chunk_bytes = chunk.header().chunk_bytes;
            let next = self.chunk_at(self.offset + u64::from(chunk_bytes))?;
            if !next.is_some_and(|next| is_skipped(&chunk, &next)) {
                break;
            }
            self.go_on(chunk_bytes);
        }
        Ok(())
    }

    /// Looks for records that were committed since the last poll. A recorder is not disturbed by any number of
    /// followers, nor by how often they look.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if the file became shorter; [`ErrorKind::Corrupt`] if another recording was started
    /// in it, or if it is damaged; what the system says.
    pub fn poll(&mut self) -> Result<Polled<'_>> {
        match self.find_new() {
            Ok(Step::New(chunk)) => {
                let from = self.position;
                let chunk = Chunk::verify(&chunk, &self.buffer, None)
                    .map_err(|error| error.with_context("path", self.path.display()))?;
                self.position = chunk.bytes().len();
                Ok(Polled::Records(NewRecords { chunk, from }))
            }
            Ok(Step::Closed) => Ok(Polled::Closed),
            Ok(Step::Wait | Step::Next { .. }) => Ok(Polled::Nothing),
            Err(error) => Err(error.with_context("path", self.path.display())),
        }
    }

    fn find_new(&mut self) -> Result<Step> {
        loop {
            self.check_length()?;
            match self.step()? {
                Step::Next { chunk_bytes } => self.go_on(chunk_bytes),
                other => return Ok(other),
            }
        }
    }

    fn go_on(&mut self, chunk_bytes: u32) {
        self.offset += u64::from(chunk_bytes);
        self.position = CHUNK_HEADER_BYTES;
        self.buffer.clear();
        self.strange_since_ns = None;
    }

    fn step(&mut self) -> Result<Step> {
        // Whether there is a next chunk is asked before the slots are read: then they are the last of this one.
        let Some(chunk) = self.chunk_at(self.offset)? else { return self.no_chunk() };
        let chunk_bytes = chunk.header().chunk_bytes;
        let is_left = self.chunk_at(self.offset + u64::from(chunk_bytes))?.is_some();
        let Some(chunk) = self.chunk_at(self.offset)? else { return self.strange() };
        let Some(slot) = chunk.latest().copied() else { return self.strange() };
        let is_read = chunk.header().kind == ChunkKind::Records as u32;
        if is_read && CHUNK_HEADER_BYTES + slot.committed_bytes as usize > self.position {
            return self.read_records(chunk, slot.committed_bytes as usize);
        }
        self.strange_since_ns = None;
        match slot.state == STATE_SEALED || is_left {
            true => Ok(Step::Next { chunk_bytes }),
            false => self.check_recording().map(|()| Step::Wait),
        }
    }

    /// Reads what was added to the chunk, and believes it if the newest slot does.
    fn read_records(&mut self, chunk: UnverifiedChunk, committed_bytes: usize) -> Result<Step> {
        let end = CHUNK_HEADER_BYTES + committed_bytes;
        while self.buffer.len() < end {
            let (start, offset) = (self.buffer.len(), self.offset + self.buffer.len() as u64);
            self.buffer.resize(end.min(start + READ_BYTES), 0);
            if !read_whole(&self.file, &mut self.buffer[start..], offset)? {
                self.buffer.resize(start, 0);
                return self.strange();
            }
        }
        self.seen_bytes = self.seen_bytes.max(self.offset + end as u64);
        let believed =
            chunk.believe(&self.buffer).is_some_and(|slot| slot.committed_bytes as usize == committed_bytes);
        if believed {
            self.strange_since_ns = None;
            return Ok(Step::New(chunk));
        }
        self.buffer.clear();
        self.strange()
    }

    /// Where the next chunk will be, or the index, there is none yet.
    fn no_chunk(&mut self) -> Result<Step> {
        if self.is_closed()? {
            return Ok(Step::Closed);
        }
        self.check_recording()?;
        let mut head = [0; CHUNK_HEADER_BYTES];
        let is_there = read_whole(&self.file, &mut head, self.offset)?;
        match is_there && head.iter().any(|byte| *byte != 0) {
            true => self.strange(),
            false => {
                self.strange_since_ns = None;
                Ok(Step::Wait)
            }
        }
    }

    /// Something that is met in the middle of a write, and in a damaged file for ever.
    fn strange(&mut self) -> Result<Step> {
        self.check_length()?;
        self.check_recording()?;
        let now_ns = self.clock.now_ns();
        let since_ns = *self.strange_since_ns.get_or_insert(now_ns);
        if now_ns.saturating_sub(since_ns) <= PATIENCE_NS {
            return Ok(Step::Wait);
        }
        Err(Error::new(ErrorKind::Corrupt, "the trace file is damaged where it is followed")
            .with_context("offset", self.offset)
            .with_hint("`lmcache-trace verify` says what is wrong with it"))
    }

    /// The chunk at a place, if one was begun there.
    fn chunk_at(&self, offset: u64) -> Result<Option<UnverifiedChunk>> {
        let mut head = [0; CHUNK_HEADER_BYTES];
        if !read_whole(&self.file, &mut head, offset)? {
            return Ok(None);
        }
        let fixed = self.header.fixed();
        Ok(UnverifiedChunk::parse(&head, offset, fixed.recording_id, fixed.chunk_bytes))
    }

    /// How long the file is.
    ///
    /// # Errors
    /// What the system says.
    pub fn file_bytes(&self) -> Result<u64> {
        let metadata = self.file.metadata();
        metadata.map(|metadata| metadata.len()).map_err(|error| Error::io("cannot examine trace file", error))
    }

    /// Whether the recorder closed the file: then it does not grow any more.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_closed(&self) -> Result<bool> {
        let file_bytes = self.file_bytes()?;
        let mut tail = [0; END_MARK_BYTES];
        let Some(offset) = file_bytes.checked_sub(END_MARK_BYTES as u64) else { return Ok(false) };
        let is_there = read_whole(&self.file, &mut tail, offset)?;
        Ok(is_there && end_mark(&tail, file_bytes, self.header.fixed().recording_id).is_some())
    }

    /// A trace file never becomes shorter than what was committed.
    fn check_length(&self) -> Result<()> {
        let file_bytes = self.file_bytes()?;
        if file_bytes >= self.seen_bytes {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Truncated, "the trace file was cut while it was followed")
            .with_context("bytes before", self.seen_bytes)
            .with_context("bytes there", file_bytes)
            .with_hint("was another recording started into it?"))
    }

    fn check_recording(&self) -> Result<()> {
        let mut head = [0; FILE_HEADER_BYTES];
        let is_there = read_whole(&self.file, &mut head, 0)?;
        if is_there && head == *bytemuck::bytes_of(self.header.fixed()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Corrupt,
            "another recording was started in the trace file that is followed",
        ))
    }
}

fn read_header(file: &File) -> Result<Header> {
    let mut bytes = Vec::new();
    read_up_to(file, &mut bytes, FILE_HEADER_BYTES)?;
    let unverified = UnverifiedHeader::parse(&bytes)?;
    read_up_to(file, &mut bytes, unverified.needed_bytes())?;
    unverified.verify(&bytes)
}

/// Reads on until there are `end_bytes`, or the file ends.
fn read_up_to(file: &File, bytes: &mut Vec<u8>, end_bytes: usize) -> Result<()> {
    while bytes.len() < end_bytes {
        let start = bytes.len();
        bytes.resize(end_bytes.min(start + READ_BYTES), 0);
        let read_bytes = read_some(file, &mut bytes[start..], start as u64)?;
        bytes.truncate(start + read_bytes);
        if read_bytes == 0 {
            break;
        }
    }
    Ok(())
}

/// Fills `bytes` from `offset` on, or says that the file ends before.
fn read_whole(file: &File, bytes: &mut [u8], offset: u64) -> Result<bool> {
    read_some(file, bytes, offset).map(|read_bytes| read_bytes == bytes.len())
}

/// Fills `bytes` as far as the file goes.
fn read_some(file: &File, bytes: &mut [u8], offset: u64) -> Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read_bytes) => filled += read_bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("cannot read trace file", error)),
        }
    }
    Ok(filled)
}

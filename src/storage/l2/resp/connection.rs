//! One connection to a server: commands go out, replies come in, and a payload goes between the socket and L1
//! without a copy in between.
//!
//! An error here is the end of the connection: nobody knows what the next byte would belong to. What a server
//! refuses is a reply, not an error.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use super::wire::{END, Head, parse_head};
use crate::clock::monotonic_ns;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::memory::PinnedSpan;

/// What is read ahead of the lines of replies. The longest line of a reply, too: a server's refusals are shorter.
const READ_BYTES: usize = 16 << 10;

/// Payloads below it are copied, to go out in one call with the commands around them.
const COPIED_BELOW_BYTES: usize = 16 << 10;

/// What is gathered before it goes out.
const WRITE_BYTES: usize = 64 << 10;

/// The longest value that is read in order to throw it away; what is announced as longer ends the connection. Redis'
/// own limit of a value.
pub(super) const MAX_SKIPPED_BYTES: u64 = 512 << 20;

/// The longest name that is read as a text; Redis' own names can have 512 MiB, ours have some hundred bytes.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// The longest part of a server's refusal that is shown.
const SHOWN_BYTES: usize = 200;

/// A reply to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `+OK`, or another word.
    Simple,
    /// The command was refused, for this reason.
    Refused(String),
    /// A number.
    Integer(i64),
    /// A value of so many bytes is next: it must be taken or skipped.
    Bulk(u64),
    /// There is no such value.
    Nil,
    /// So many replies are next, one behind the other.
    Array(u64),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    timeout: Duration,
    outgoing: Vec<u8>,
    incoming: Box<[u8]>,
    /// What of `incoming` was received and not used yet.
    unread: std::ops::Range<usize>,
}

impl Connection {
    /// Takes over a socket. Each reply, and each command, has `timeout` to come or to go.
    pub(super) fn new(socket: TcpStream, timeout: Duration) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        let incoming = vec![0; READ_BYTES].into_boxed_slice();
        Ok(Self { socket, timeout, outgoing: Vec::new(), incoming, unread: 0..0 })
    }

    /// Whether it can be used again after a pause: the server has neither closed it nor said anything unasked.
    pub(super) fn is_idle(&self) -> bool {
        if !self.unread.is_empty() || !self.outgoing.is_empty() || self.socket.set_nonblocking(true).is_err()
        {
            return false;
        }
        let peeked = self.socket.peek(&mut [0]);
        let is_quiet = matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        is_quiet && self.socket.set_nonblocking(false).is_ok()
    }

    fn deadline_ns(&self) -> u64 {
        monotonic_ns().saturating_add(self.timeout.as_nanos() as u64)
    }

    /// Adds to what goes out next.
    pub(super) fn queue(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        write(&mut self.outgoing);
        if self.outgoing.len() < WRITE_BYTES { Ok(()) } else { self.flush() }
    }

    /// Adds a value's bytes and its end to what goes out next. A large one goes out at once, from where it lies.
    pub(super) fn queue_value(&mut self, value: &PinnedSpan) -> Result<()> {
        let size = value.size_bytes();
        if size < COPIED_BELOW_BYTES {
            return self.queue(|out| {
                let start = out.len();
                out.resize(start + size, 0);
                value.read_into(0, &mut out[start..]);
                out.extend_from_slice(END);
            });
        }
        self.flush()?;
        let deadline_ns = self.deadline_ns();
        let mut sent = 0;
        while sent < size {
            sent += self.moved(value.bytes().send_some(sent, self.socket.as_fd()), deadline_ns)?;
        }
        self.queue(|out| out.extend_from_slice(END))
    }

    /// Sends what was queued.
    pub(super) fn flush(&mut self) -> Result<()> {
        let deadline_ns = self.deadline_ns();
        let mut sent = 0;
        while sent < self.outgoing.len() {
            let written = (&self.socket).write(&self.outgoing[sent..]);
            sent += self.moved(written, deadline_ns)?;
        }
        self.outgoing.clear();
        Ok(())
    }

    /// The next reply. A value that it announces is still to be read.
    pub(super) fn reply(&mut self) -> Result<Reply> {
        if self.unread.is_empty() {
            self.flush()?;
        }
        let deadline_ns = self.deadline_ns();
        let line_end = loop {
            let unread = &self.incoming[self.unread.clone()];
            if let Some(position) = unread.windows(END.len()).position(|pair| pair == END) {
                break self.unread.start + position;
            }
            self.receive(deadline_ns)?;
        };
        let reply = match parse_head(&self.incoming[self.unread.start..line_end]) {
            Some(Head::Simple(_)) => Reply::Simple,
            Some(Head::Error(text)) => Reply::Refused(shown(text)),
            Some(Head::Integer(number)) => Reply::Integer(number),
            Some(Head::Bulk(bytes)) => Reply::Bulk(bytes),
            Some(Head::Nil) => Reply::Nil,
            Some(Head::Array(count)) => Reply::Array(count),
            None => return Err(self.nonsense(self.unread.start..line_end)),
        };
        self.unread.start = line_end + END.len();
        Ok(reply)
    }

    /// Reads the value that was announced into `into`, which has its size.
    pub(super) fn take_value(&mut self, into: &PinnedSpan) -> Result<()> {
        let deadline_ns = self.deadline_ns();
        let size = into.size_bytes();
        let mut taken = self.unread.len().min(size);
        into.write_from(0, &self.incoming[self.unread.start..self.unread.start + taken])?;
        self.unread.start += taken;
        while taken < size {
            taken += self.moved(into.bytes().recv_some(taken, self.socket.as_fd()), deadline_ns)?;
        }
        self.value_end(deadline_ns)
    }

    /// Reads the value of `bytes` that was announced, and forgets it.
    pub(super) fn skip_value(&mut self, bytes: u64) -> Result<()> {
        if bytes > MAX_SKIPPED_BYTES {
            return Err(Error::new(
                ErrorKind::Corrupt,
                "the Redis server announced a value that it cannot hold",
            )
            .with_context("bytes", bytes)
            .with_hint("check that host and port are those of a Redis or Valkey server"));
        }
        let deadline_ns = self.deadline_ns();
        let mut left = bytes;
        loop {
            let skipped = self.unread.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.unread.start += skipped;
            left -= skipped as u64;
            if left == 0 {
                return self.value_end(deadline_ns);
            }
            self.receive(deadline_ns)?;
        }
    }

    /// Reads the short value of `bytes` that was announced: a name, a cursor.
    pub(super) fn take_text(&mut self, bytes: u64) -> Result<Vec<u8>> {
        if bytes > MAX_TEXT_BYTES {
            return Err(Error::new(ErrorKind::Corrupt, "the Redis server announced a name that is too long")
                .with_context("bytes", bytes));
        }
        let deadline_ns = self.deadline_ns();
        let mut text = Vec::with_capacity(bytes as usize);
        loop {
            let taken = self.unread.len().min(bytes as usize - text.len());
            text.extend_from_slice(&self.incoming[self.unread.start..self.unread.start + taken]);
            self.unread.start += taken;
            if text.len() as u64 == bytes {
                self.value_end(deadline_ns)?;
                return Ok(text);
            }
            self.receive(deadline_ns)?;
        }
    }

    fn value_end(&mut self, deadline_ns: u64) -> Result<()> {
        while self.unread.len() < END.len() {
            self.receive(deadline_ns)?;
        }
        let end = self.unread.start..self.unread.start + END.len();
        if self.incoming[end.clone()] != *END {
            return Err(self.nonsense(end));
        }
        self.unread.start += END.len();
        Ok(())
    }

    /// Waits for more bytes behind those that are unread.
    fn receive(&mut self, deadline_ns: u64) -> Result<()> {
        self.incoming.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.unread.len() == self.incoming.len() {
            return Err(self.nonsense(self.unread.clone()));
        }
        let received = (&self.socket).read(&mut self.incoming[self.unread.end..]);
        self.unread.end += self.moved(received, deadline_ns)?;
        Ok(())
    }

    /// How many bytes a call moved, if it moved any and the time is not up.
    fn moved(&self, result: io::Result<usize>, deadline_ns: u64) -> Result<usize> {
        match result {
            Ok(0) => {
                Err(Error::io("the Redis server closed the connection", io::ErrorKind::UnexpectedEof.into()))
            }
            Ok(moved) if monotonic_ns() <= deadline_ns => Ok(moved),
            Ok(_) => Err(self.too_late()),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted if monotonic_ns() <= deadline_ns => Ok(0),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                    Err(self.too_late())
                }
                _ => Err(Error::io("the connection to the Redis server was lost", error)),
            },
        }
    }

    fn too_late(&self) -> Error {
        Error::new(ErrorKind::Timeout, "the Redis server did not answer in time")
            .with_context("timeout_ms", self.timeout.as_millis())
            .with_hint("raise request_timeout_ms if the server is only slow")
    }

    fn nonsense(&self, bytes: std::ops::Range<usize>) -> Error {
        Error::new(ErrorKind::Corrupt, "the server's reply is not one of Redis")
            .with_context("reply", shown(&self.incoming[bytes]))
            .with_hint("check that host and port are those of a Redis or Valkey server")
    }
}

/// What a server said, made fit for one line of a log.
fn shown(text: &[u8]) -> String {
    let short = &text[..text.len().min(SHOWN_BYTES)];
    let mut shown = short.escape_ascii().to_string();
    if short.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

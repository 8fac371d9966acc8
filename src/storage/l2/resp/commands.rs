//! What is sent for each call of a connector, and what the replies mean.

use super::connection::{Connection, Reply};
use super::pipeline::Batch;
use super::wire::{push_command, push_set};
use super::{Counters, count};
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::l2::Transfer;
use crate::storage::l2::connector::{Put, Removed};

/// Values from this size on are asked for at once, so that the server works on the next while one is read.
const LARGE_BYTES: u64 = 16 << 10;

/// The reason with which Redis and Valkey refuse a value when their memory is full.
const OUT_OF_MEMORY: &str = "OOM ";

/// An object's name on the server.
fn wire_name(prefix: &str, key: &ObjectKey) -> Vec<u8> {
    format!("{prefix}{}", key.view()).into_bytes()
}

/// `SET`.
pub(super) struct Set<'a> {
    pub(super) objects: Vec<&'a Transfer>,
    pub(super) prefix: &'a str,
    pub(super) counters: &'a Counters,
}

impl Batch for Set<'_> {
    type Answer = Put;

    fn len(&self) -> usize {
        self.objects.len()
    }

    fn value_bytes(&self, position: usize) -> u64 {
        self.objects[position].buffer.size_bytes() as u64
    }

    fn send(&self, connection: &mut Connection, position: usize) -> Result<()> {
        let Transfer { key, buffer, .. } = self.objects[position];
        connection.queue(|out| push_set(out, &wire_name(self.prefix, key), buffer.size_bytes()))?;
        connection.queue_value(buffer)
    }

    fn receive(&self, connection: &mut Connection, position: usize) -> Result<Result<Put>> {
        match connection.reply()? {
            Reply::Simple => Ok(Ok(Put::Written { added_bytes: None })),
            Reply::Refused(why) if why.starts_with(OUT_OF_MEMORY) => Ok(Ok(Put::NoRoom)),
            other => unexpected(other, "SET", &self.objects[position].key, self.counters),
        }
    }
}

/// `GET`.
pub(super) struct Get<'a> {
    pub(super) objects: &'a [Transfer],
    pub(super) prefix: &'a str,
    pub(super) counters: &'a Counters,
}

impl Batch for Get<'_> {
    type Answer = bool;

    fn len(&self) -> usize {
        self.objects.len()
    }

    fn value_bytes(&self, position: usize) -> u64 {
        self.objects[position].buffer.size_bytes() as u64
    }

    fn send(&self, connection: &mut Connection, position: usize) -> Result<()> {
        let name = wire_name(self.prefix, &self.objects[position].key);
        connection.queue(|out| push_command(out, &[b"GET", &name]))?;
        if self.value_bytes(position) >= LARGE_BYTES { connection.flush() } else { Ok(()) }
    }

    fn receive(&self, connection: &mut Connection, position: usize) -> Result<Result<bool>> {
        let Transfer { key, buffer, .. } = &self.objects[position];
        match connection.reply()? {
            Reply::Nil => Ok(Ok(false)),
            Reply::Bulk(bytes) if bytes == buffer.size_bytes() as u64 => {
                connection.take_value(buffer)?;
                Ok(Ok(true))
            }
            Reply::Bulk(bytes) => {
                count(&self.counters.wrong_sizes);
                connection.skip_value(bytes)?;
                Ok(Ok(false))
            }
            other => unexpected(other, "GET", key, self.counters),
        }
    }
}

/// `EXISTS`, or `STRLEN` where the size counts: a value that is too short is not offered. No object is empty,
/// so the length of a missing value, 0, is nobody's.
pub(super) struct Lookup<'a> {
    pub(super) keys: &'a [ObjectKey],
    pub(super) prefix: &'a str,
    pub(super) sizes_bytes: &'a [u64],
    pub(super) checks_size: bool,
    pub(super) counters: &'a Counters,
}

impl Lookup<'_> {
    fn command(&self) -> &'static str {
        if self.checks_size { "STRLEN" } else { "EXISTS" }
    }
}

impl Batch for Lookup<'_> {
    type Answer = bool;

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn value_bytes(&self, _: usize) -> u64 {
        0
    }

    fn send(&self, connection: &mut Connection, position: usize) -> Result<()> {
        let name = wire_name(self.prefix, &self.keys[position]);
        connection.queue(|out| push_command(out, &[self.command().as_bytes(), &name]))
    }

    fn receive(&self, connection: &mut Connection, position: usize) -> Result<Result<bool>> {
        match connection.reply()? {
            Reply::Integer(number) if !self.checks_size => Ok(Ok(number > 0)),
            Reply::Integer(bytes) => {
                let is_there = bytes > 0;
                let wanted_bytes = self.sizes_bytes.get(position).copied().unwrap_or(0);
                let fits = u64::try_from(bytes).is_ok_and(|bytes| bytes >= wanted_bytes);
                if is_there && !fits {
                    count(&self.counters.wrong_sizes);
                }
                Ok(Ok(is_there && fits))
            }
            other => unexpected(other, self.command(), &self.keys[position], self.counters),
        }
    }
}

/// `DEL`.
pub(super) struct Delete<'a> {
    pub(super) keys: &'a [ObjectKey],
    pub(super) prefix: &'a str,
    pub(super) counters: &'a Counters,
}

impl Batch for Delete<'_> {
    type Answer = Removed;

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn value_bytes(&self, _: usize) -> u64 {
        0
    }

    fn send(&self, connection: &mut Connection, position: usize) -> Result<()> {
        let name = wire_name(self.prefix, &self.keys[position]);
        connection.queue(|out| push_command(out, &[b"DEL", &name]))
    }

    fn receive(&self, connection: &mut Connection, position: usize) -> Result<Result<Removed>> {
        match connection.reply()? {
            Reply::Integer(0) => Ok(Ok(Removed::Absent)),
            Reply::Integer(_) => Ok(Ok(Removed::Gone(None))),
            other => unexpected(other, "DEL", &self.keys[position], self.counters),
        }
    }
}

/// A refusal concerns its key. Any other reply belongs to another command, or to no server of ours.
fn unexpected<T>(
    reply: Reply,
    command: &'static str,
    key: &ObjectKey,
    counters: &Counters,
) -> Result<Result<T>> {
    match reply {
        Reply::Refused(why) => {
            count(&counters.refused_commands);
            Ok(Err(Error::new(ErrorKind::Io, "the Redis server refused a command")
                .with_context("command", command)
                .with_context("key", key.view())
                .with_context("reply", why)))
        }
        _ => {
            Err(Error::new(ErrorKind::Corrupt, "the server answered a command with a reply of another kind")
                .with_context("command", command)
                .with_hint("check that host and port are those of a Redis or Valkey server"))
        }
    }
}

//! Several commands in flight on one connection.

use super::connection::Connection;
use crate::error::{Error, ErrorKind, Result};

/// How far commands run ahead of their replies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Commands, at most.
    pub(super) commands: usize,
    /// Bytes of their values, at most, unless one alone has more.
    pub(super) bytes: u64,
}

/// A batch on its way through a connection: the commands that are to be sent, and what their replies mean.
pub(super) trait Batch {
    /// What a reply says.
    type Answer;

    /// How many commands there are.
    fn len(&self) -> usize;

    /// The bytes of the value that goes with the command, in either direction.
    fn value_bytes(&self, position: usize) -> u64;

    /// Queues the command.
    ///
    /// # Errors
    /// If the connection is lost.
    fn send(&self, connection: &mut Connection, position: usize) -> Result<()>;

    /// Reads the whole reply. The inner error is the command's own.
    ///
    /// # Errors
    /// If the connection is lost.
    fn receive(&self, connection: &mut Connection, position: usize) -> Result<Result<Self::Answer>>;
}

/// Sends a batch and reads all replies. If the connection is lost on the way, that is the answer to all commands
/// that have none yet, and the second value is false.
pub(super) fn run<B: Batch>(
    connection: &mut Connection,
    batch: &B,
    window: Window,
) -> (Vec<Result<B::Answer>>, bool) {
    let mut answers = Vec::with_capacity(batch.len());
    let lost = exchange(connection, batch, window, &mut answers).err();
    let is_alive = lost.is_none();
    if let Some(error) = lost {
        let (kind, text) = (error.kind(), error.to_string());
        answers.resize_with(batch.len(), || Err(Error::new(kind, text.clone())));
    }
    (answers, is_alive)
}

fn exchange<B: Batch>(
    connection: &mut Connection,
    batch: &B,
    window: Window,
    answers: &mut Vec<Result<B::Answer>>,
) -> Result<()> {
    let (mut sent, mut in_flight_bytes) = (0, 0);
    while answers.len() < batch.len() {
        // Small commands are sent in groups: half a window is made free before it is filled again.
        let is_low = sent - answers.len() <= window.commands / 2;
        while is_low && sent < batch.len() && sent - answers.len() < window.commands {
            let bytes = batch.value_bytes(sent);
            if sent > answers.len() && in_flight_bytes + bytes > window.bytes {
                break;
            }
            batch.send(connection, sent)?;
            in_flight_bytes += bytes;
            sent += 1;
        }
        let position = answers.len();
        let answer = batch.receive(connection, position)?;
        in_flight_bytes -= batch.value_bytes(position);
        answers.push(answer);
    }
    Ok(())
}

/// All `count` commands failed for the reason of `error`.
pub(super) fn all_failed<T>(count: usize, error: &Error) -> Vec<Result<T>> {
    let (kind, text): (ErrorKind, String) = (error.kind(), error.to_string());
    (0..count).map(|_| Err(Error::new(kind, text.clone()))).collect()
}

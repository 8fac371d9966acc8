//! Removes all values whose names have a prefix: what a replay wrote into a namespace of its own.

use super::connection::{Connection, Reply};
use super::dial;
use super::wire::push_command;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::config::l2::RespAdapterConfig;

/// How many names the server looks at for one answer. It serves others in between.
const NAMES_A_LOOK: &str = "1000";

/// The most names in one answer that are believed: far more than a server sends.
const MAX_NAMES: u64 = 1 << 20;

/// Removes every value whose name begins with the `name_prefix` of `config`, and says how many there were. The server's
/// whole list of names is walked for it, a thousand at a time.
///
/// # Errors
/// If the prefix is empty or would match other names, the server cannot be reached, or refuses one of the commands.
pub fn remove_all(config: &RespAdapterConfig) -> Result<u64> {
    let prefix = &config.name_prefix;
    // What has a meaning in a pattern of Redis would match what is not ours.
    if prefix.is_empty() || prefix.contains(['*', '?', '[', ']', '\\', '^']) {
        return Err(Error::invalid("only the values of a namespace can be removed")
            .with_context("prefix", format!("{prefix:?}")));
    }
    let pattern = format!("{prefix}*");
    let by_hand = |error: Error| {
        error.with_context("server", dial::server(config)).with_hint(format!(
            "the values of this replay are still there; remove them by \
             `redis-cli --scan --pattern '{pattern}' | xargs redis-cli del`"
        ))
    };
    let mut connection = dial::dial(config)?;
    let mut removed = 0;
    let mut cursor = b"0".to_vec();
    loop {
        let (next, names) = look(&mut connection, &cursor, &pattern).map_err(by_hand)?;
        removed += delete(&mut connection, &names).map_err(by_hand)?;
        if next == b"0" {
            return Ok(removed);
        }
        cursor = next;
    }
}

/// One step of a walk over all names: where the next one begins, and the names of this one.
fn look(connection: &mut Connection, cursor: &[u8], pattern: &str) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let words = [b"SCAN", cursor, b"MATCH", pattern.as_bytes(), b"COUNT", NAMES_A_LOOK.as_bytes()];
    connection.queue(|out| push_command(out, &words))?;
    match connection.reply()? {
        Reply::Array(2) => {}
        other => return Err(unexpected("SCAN", other)),
    }
    let next = text(connection)?;
    let count = match connection.reply()? {
        Reply::Array(count) if count <= MAX_NAMES => count,
        other => return Err(unexpected("SCAN", other)),
    };
    let names = (0..count).map(|_| text(connection)).collect::<Result<_>>()?;
    Ok((next, names))
}

fn text(connection: &mut Connection) -> Result<Vec<u8>> {
    match connection.reply()? {
        Reply::Bulk(bytes) => connection.take_text(bytes),
        other => Err(unexpected("SCAN", other)),
    }
}

fn delete(connection: &mut Connection, names: &[Vec<u8>]) -> Result<u64> {
    if names.is_empty() {
        return Ok(0);
    }
    let words: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain(names.iter().map(Vec::as_slice)).collect();
    connection.queue(|out| push_command(out, &words))?;
    match connection.reply()? {
        Reply::Integer(removed) => Ok(u64::try_from(removed).unwrap_or(0)),
        other => Err(unexpected("DEL", other)),
    }
}

fn unexpected(command: &'static str, reply: Reply) -> Error {
    match reply {
        Reply::Refused(why) => Error::new(ErrorKind::Io, "the Redis server refused a command")
            .with_context("command", command)
            .with_context("reply", why),
        _ => Error::new(ErrorKind::Corrupt, "the server answered a command with a reply of another kind")
            .with_context("command", command),
    }
}

//! A new connection: the name, the address, the password, and a first word from the server.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::connection::{Connection, Reply};
use super::wire::push_command;
use crate::clock::monotonic_ns;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::config::l2::RespAdapterConfig;

/// Connects to the server, tries each address of its name, says who we are, and hears that the server is ready.
///
/// # Errors
/// If none of it works in `connect_timeout`, the password is wrong, or the server wants one. Resolving a name takes
/// the time that the system's resolver takes.
pub(super) fn dial(config: &RespAdapterConfig) -> Result<Connection> {
    let in_vain = |error: Error| error.with_context("server", server(config));
    let socket = connect(config).map_err(in_vain)?;
    let mut connection = Connection::new(socket, config.request_timeout)
        .map_err(|error| in_vain(Error::io("cannot set up the connection to the Redis server", error)))?;
    greet(&mut connection, config).map_err(in_vain)?;
    Ok(connection)
}

/// `host:port`, as messages show it.
pub(super) fn server(config: &RespAdapterConfig) -> String {
    let host = bare(&config.host);
    if host.contains(':') { format!("[{host}]:{}", config.port) } else { format!("{host}:{}", config.port) }
}

/// An IPv6 address may stand in brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn connect(config: &RespAdapterConfig) -> Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (bare(&config.host), config.port)
        .to_socket_addrs()
        .map_err(|error| Error::io("cannot resolve the name of the Redis server", error))?
        .collect();
    let started_ns = monotonic_ns();
    let mut last = None;
    for address in addresses {
        let spent = Duration::from_nanos(monotonic_ns().saturating_sub(started_ns));
        let left = config.connect_timeout.saturating_sub(spent);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| std::io::ErrorKind::TimedOut.into());
    Err(Error::io("cannot connect to the Redis server", error)
        .with_hint("check host and port, and that the server runs"))
}

fn greet(connection: &mut Connection, config: &RespAdapterConfig) -> Result<()> {
    let (username, password) = (config.username.as_bytes(), config.password.expose().as_bytes());
    if !password.is_empty() {
        let with_name: &[&[u8]] = &[b"AUTH", username, password];
        let without: &[&[u8]] = &[b"AUTH", password];
        let words = if username.is_empty() { without } else { with_name };
        connection.queue(|out| push_command(out, words))?;
        if let Reply::Refused(why) = expect_line(connection)? {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the Redis server refused our name or password",
            )
            .with_context("reply", code(&why))
            .with_hint("check username and password of the adapter"));
        }
    }
    connection.queue(|out| push_command(out, &[b"PING"]))?;
    match expect_line(connection)? {
        Reply::Refused(why) => match code(&why) {
            // Who may not ping may still read and write; a server that cannot save still reads.
            "NOPERM" | "MISCONF" => Ok(()),
            "NOAUTH" => Err(Error::invalid("the Redis server wants a password")
                .with_hint("add password, and username where the server has users, to the adapter")),
            _ => Err(Error::new(ErrorKind::Io, "the Redis server is not ready").with_context("reply", why)),
        },
        _ => Ok(()),
    }
}

/// The first word of a refusal, which says what kind it is. What follows may repeat what we sent.
fn code(why: &str) -> &str {
    why.split(' ').next().unwrap_or_default()
}

fn expect_line(connection: &mut Connection) -> Result<Reply> {
    match connection.reply()? {
        reply @ (Reply::Simple | Reply::Refused(_)) => Ok(reply),
        _ => Err(Error::new(ErrorKind::Corrupt, "the server's reply is not one of Redis")
            .with_hint("check that host and port are those of a Redis or Valkey server")),
    }
}

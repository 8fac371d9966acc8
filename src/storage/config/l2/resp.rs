//! `resp`: Redis, Valkey, or what speaks their protocol.

use std::time::Duration;

use super::fs::workers;
use super::spec::Spec;
use crate::error::{Error, Result};
use crate::storage::config::Secret;
use crate::storage::config::fields::missing;

/// The type in JSON.
pub const TYPE: &str = "resp";

/// The keys of its own.
pub const KEYS: &[&str] = &[
    "host",
    "port",
    "num_workers",
    "username",
    "password",
    "max_capacity_gb",
    "connect_timeout_ms",
    "request_timeout_ms",
    "pipeline_depth",
    "max_value_bytes",
];

/// LMCache's default for `num_workers`.
const DEFAULT_WORKERS: u64 = 8;

/// How long a connection may take, by default: that of LMCache's `valkey`.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take, by default: that of LMCache's `valkey`.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Commands in flight on one connection, by default.
pub const DEFAULT_PIPELINE_DEPTH: u64 = 32;

/// The most commands in flight on one connection.
pub const MAX_PIPELINE_DEPTH: u64 = 4096;

/// The longest value that Redis takes unless it is told otherwise (`proto-max-bulk-len`).
pub const DEFAULT_MAX_VALUE_BYTES: u64 = 512 << 20;

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespAdapterConfig {
    /// `host`: a name or an address. `LMCACHE_RESP_HOST` if it is not given.
    pub host: String,
    /// `port`: above 0. `LMCACHE_RESP_PORT` if it is not given.
    pub port: u16,
    /// `num_workers`: the number of connections; 8 by default.
    pub num_workers: usize,
    /// `username`: empty for none. `LMCACHE_RESP_USERNAME` if it is not given.
    pub username: String,
    /// `password`: empty for none. `LMCACHE_RESP_PASSWORD` if it is not given.
    pub password: Secret,
    /// `max_capacity_gb`: what eviction measures use against; nothing by default.
    pub max_capacity_bytes: Option<u64>,
    /// `connect_timeout_ms`: how long a connection may take. Ours; 10 s by default.
    pub connect_timeout: Duration,
    /// `request_timeout_ms`: how long an answer may take. Ours; 5 s by default.
    pub request_timeout: Duration,
    /// `pipeline_depth`: commands in flight on one connection. Ours; 32 by default.
    pub pipeline_depth: usize,
    /// `max_value_bytes`: objects above it are not stored. Ours; 512 MiB by default, as the server's own limit.
    pub max_value_bytes: u64,
    /// What stands in front of every object's name there: empty, or that of a replay's
    /// [`Namespace`](crate::storage::l2::namespace::Namespace). No key of the JSON.
    pub name_prefix: String,
}

pub(super) fn read(spec: Spec<'_>) -> Result<RespAdapterConfig> {
    let fields = spec.fields;
    let host = spec.text_or_variable("host", "LMCACHE_RESP_HOST")?;
    if host.trim().is_empty() {
        let error = match fields.get("host") {
            None => missing("host", ""),
            Some(_) => Error::invalid("host must be a non-empty string"),
        };
        return Err(
            error.with_hint("add \"host\": \"127.0.0.1\", or set LMCACHE_RESP_HOST in the environment")
        );
    }
    if host.contains(['@', '/']) || host.contains(char::is_whitespace) {
        // It may hold a password, so it is not shown.
        return Err(Error::invalid("host must be a name or an address, without a user or a path")
            .with_hint("put the user into \"username\" and the number behind the colon into \"port\""));
    }
    Ok(RespAdapterConfig {
        host,
        port: port(spec)?,
        num_workers: workers(fields, "num_workers", DEFAULT_WORKERS)?,
        username: spec.text_or_variable("username", "LMCACHE_RESP_USERNAME")?,
        password: Secret::new(spec.text_or_variable("password", "LMCACHE_RESP_PASSWORD")?),
        max_capacity_bytes: fields.capacity_gb("max_capacity_gb")?,
        connect_timeout: fields.timeout("connect_timeout_ms", DEFAULT_CONNECT_TIMEOUT)?,
        request_timeout: fields.timeout("request_timeout_ms", DEFAULT_REQUEST_TIMEOUT)?,
        pipeline_depth: fields.integer("pipeline_depth", DEFAULT_PIPELINE_DEPTH, 1..=MAX_PIPELINE_DEPTH)?
            as usize,
        max_value_bytes: fields.integer("max_value_bytes", DEFAULT_MAX_VALUE_BYTES, 1..=u64::MAX)?,
        name_prefix: String::new(),
    })
}

/// LMCache reads the variables when it connects, and an object without a host or a port never gets there.
fn port(spec: Spec<'_>) -> Result<u16> {
    const HINT: &str = "add \"port\": 6379, or set LMCACHE_RESP_PORT in the environment";
    let given = match spec.fields.get("port") {
        Some(_) => spec.fields.integer("port", 0, 1..=u64::from(u16::MAX))?,
        None => match (spec.environment)("LMCACHE_RESP_PORT") {
            Some(text) => text.trim().parse().unwrap_or(0),
            None => return Err(missing("port", "6379").with_hint(HINT)),
        },
    };
    u16::try_from(given)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| Error::invalid("LMCACHE_RESP_PORT must be an integer from 1 to 65535").with_hint(HINT))
}

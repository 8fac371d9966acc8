//! `resp`: objects in Redis, Valkey, or what speaks their protocol (RESP2); LMCache's `LMCacheRedisClient`.
//!
//! An object is a string under LMCache's name for it ([`KeyView`](crate::format::model::KeyView) as text), its value
//! the object's bytes and nothing else, so that LMCache and this crate read what the other wrote.
//!
//! * This file: the [`Connector`]. * `commands`: what is sent for each of its calls, and what the replies mean.
//! * `remove`: all values of a name prefix, after a replay. * `pipeline`: several commands in flight. * `connection`: one socket, its replies and its payloads. * `dial`: a
//!   new connection, with its password. * `wire`: the bytes of the protocol.
//!
//! The protocol is spoken here, and not by a client library: a payload of some MiB goes from L1 to the kernel and
//! back without a copy in between, which no library offers. `docs/performance.md` has what that is worth.
//!
//! **A connection is in step or it is gone.** A refusal, a missing value and one of another size are replies like
//! others. An error of the socket, a reply that is none, and one that does not come in time end the connection, and
//! with it the batch that was on it; the next batch makes a new one. A server that cannot be reached is left alone
//! for a while, longer each time ([`Breaker`]).

mod commands;
mod connection;
mod dial;
mod pipeline;
mod remove;
mod wire;

use std::time::Duration;

use serde_json::{Value, json};

use super::Transfer;
use super::breaker::{Breaker, BreakerOptions};
use super::connector::{Connector, Put, Removed};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::Compat;
use crate::storage::config::l2::RespAdapterConfig;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};
use commands::{Delete, Get, Lookup, Set};
use connection::Connection;
use pipeline::{Batch, Window};
pub use remove::remove_all;

/// Bytes of values in flight on one connection. More makes the server hold whole values back in buffers.
const IN_FLIGHT_BYTES: u64 = 4 << 20;

/// The pauses after connections that failed.
const RECONNECT: BreakerOptions = BreakerOptions {
    failures: 1,
    first_pause: Duration::from_millis(50),
    longest_pause: Duration::from_secs(5),
    is_final: false,
};

/// See the module.
#[derive(Debug)]
pub struct RespConnector {
    config: RespAdapterConfig,
    compat: Compat,
    /// Connections that nobody is using, the one that was used last at the end. A call takes one, or makes one:
    /// there are as many as calls at once.
    idle: Mutex<Vec<Connection>>,
    breaker: Breaker,
    counters: Counters,
}

/// What the status tells. Relaxed throughout: counters that order nothing.
#[derive(Debug, Default)]
struct Counters {
    connected: AtomicU64,
    lost: AtomicU64,
    refused_commands: AtomicU64,
    wrong_sizes: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl RespConnector {
    /// One for the server of `config`. It connects when there is something to do.
    pub fn new(config: RespAdapterConfig, compat: Compat) -> Self {
        Self {
            config,
            compat,
            idle: Mutex::default(),
            breaker: Breaker::new(RECONNECT, Clock::system()),
            counters: Counters::default(),
        }
    }

    fn connection(&self) -> Result<Connection> {
        loop {
            let idle = lock(&self.idle).pop();
            match idle {
                Some(connection) if connection.is_idle() => return Ok(connection),
                Some(_) => count(&self.counters.lost),
                None => return self.dial(),
            }
        }
    }

    fn dial(&self) -> Result<Connection> {
        let pass = self.breaker.enter().map_err(|refused| {
            let error = Error::new(ErrorKind::Io, "the Redis server could not be reached a moment ago")
                .with_context("server", dial::server(&self.config));
            match refused.retry_in {
                Some(pause) => error.with_context("tried_again_in_ms", pause.as_millis()),
                None => error,
            }
        })?;
        match dial::dial(&self.config) {
            Ok(connection) => {
                pass.succeeded();
                count(&self.counters.connected);
                Ok(connection)
            }
            Err(error) => {
                pass.failed();
                Err(error)
            }
        }
    }

    fn run<B: Batch>(&self, batch: &B) -> Vec<Result<B::Answer>> {
        if batch.len() == 0 {
            return Vec::new();
        }
        let mut connection = match self.connection() {
            Ok(connection) => connection,
            Err(error) => return pipeline::all_failed(batch.len(), &error),
        };
        let window = Window { commands: self.config.pipeline_depth, bytes: IN_FLIGHT_BYTES };
        let (answers, is_alive) = pipeline::run(&mut connection, batch, window);
        if is_alive {
            lock(&self.idle).push(connection);
        } else {
            count(&self.counters.lost);
        }
        answers
    }
}

impl Connector for RespConnector {
    fn type_name(&self) -> &'static str {
        "resp"
    }

    fn class_name(&self) -> &'static str {
        "LMCacheRedisClient"
    }

    fn put(&self, objects: &[Transfer]) -> Vec<Result<Put>> {
        // What is too long for the server is not sent: it would end the connection.
        let limit_bytes = self.config.max_value_bytes;
        let prefix = &self.config.name_prefix;
        let fits = |object: &&Transfer| object.buffer.size_bytes() as u64 <= limit_bytes;
        let sent: Vec<&Transfer> = objects.iter().filter(fits).collect();
        let mut answers = self.run(&Set { objects: sent, prefix, counters: &self.counters }).into_iter();
        let results = objects.iter().map(|object| {
            let answer = if fits(&object) { answers.next() } else { None };
            answer.unwrap_or_else(|| Err(too_long(object, limit_bytes)))
        });
        results.collect()
    }

    fn get(&self, objects: &[Transfer]) -> Vec<Result<bool>> {
        self.run(&Get { objects, prefix: &self.config.name_prefix, counters: &self.counters })
    }

    fn exists(&self, keys: &[ObjectKey], sizes_bytes: &[u64]) -> Vec<Result<bool>> {
        let checks_size = self.compat == Compat::Native;
        let prefix = &self.config.name_prefix;
        self.run(&Lookup { keys, prefix, sizes_bytes, checks_size, counters: &self.counters })
    }

    fn remove(&self, keys: &[ObjectKey]) -> Vec<Result<Removed>> {
        self.run(&Delete { keys, prefix: &self.config.name_prefix, counters: &self.counters })
    }

    fn is_healthy(&self) -> bool {
        !self.breaker.is_open()
    }

    fn status(&self) -> Vec<(&'static str, Value)> {
        let Counters { connected, lost, refused_commands, wrong_sizes } = &self.counters;
        let number = |counter: &AtomicU64| json!(counter.load(Ordering::Relaxed));
        vec![
            ("server", json!(dial::server(&self.config))),
            ("idle_connections", json!(lock(&self.idle).len())),
            ("connections_made", number(connected)),
            ("connections_lost", number(lost)),
            ("refused_commands", number(refused_commands)),
            ("wrong_size_values", number(wrong_sizes)),
        ]
    }

    fn close(&self) {
        lock(&self.idle).clear();
    }
}

fn too_long(object: &Transfer, limit_bytes: u64) -> Error {
    Error::invalid("the object is larger than a value of the Redis server may be")
        .with_context("key", object.key.view())
        .with_context("bytes", object.buffer.size_bytes())
        .with_context("max_value_bytes", limit_bytes)
        .with_hint("raise proto-max-bulk-len of the server and max_value_bytes of the adapter")
}

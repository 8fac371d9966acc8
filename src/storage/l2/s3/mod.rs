//! `s3`: objects in a bucket of S3, or of what speaks its protocol; LMCache's `S3L2Adapter`. With the feature `s3`.
//!
//! An object's name is LMCache's ([`KeyView`](crate::format::model::KeyView) as text), its body the object's bytes and
//! nothing else, so that LMCache and this crate read what the other wrote.
//!
//! * This file: the [`Connector`]. * `bucket`: the client for one bucket, and the names in it. * `outcome`: what an
//!   error means.
//!
//! Requests are futures on a small runtime of the connector's own. A worker of the adapter drives those of its part
//! of a task, all at once; over all workers there are `s3_num_io_threads` in flight.
//!
//! An endpoint that cannot be reached three times in a row is left alone for a while, longer each time
//! ([`Breaker`]); LMCache's is left alone for good.

mod bucket;
mod outcome;

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::Transfer;
use super::breaker::{Breaker, BreakerOptions};
use super::connector::{Connector, Put, Removed};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::format::model::ObjectKey;
use crate::storage::config::Compat;
use crate::storage::config::l2::S3AdapterConfig;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, lock};
use bucket::Bucket;
use outcome::{Failure, Fault};

/// LMCache's `max_connection_failures`.
const CONNECTION_FAILURES: u32 = 3;

/// Threads that move the bytes of connections.
const RUNTIME_THREADS: usize = 2;

/// Workers of the adapter, at most: each drives many requests at once.
pub const MAX_WORKERS: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct S3Connector {
    config: S3AdapterConfig,
    compat: Compat,
    bucket: Bucket,
    in_flight: Semaphore,
    breaker: Breaker,
    /// None once it is closed.
    runtime: Mutex<Option<Arc<Runtime>>>,
}

/// Removes every object whose name begins with the `name_prefix` of `config`, which has to begin with a folder, and says how
/// many there were: what a replay wrote into a namespace of its own.
///
/// # Errors
/// If the prefix has no folder, or the endpoint cannot be reached or refuses to list or to delete.
pub fn remove_all(config: &S3AdapterConfig) -> Result<u64> {
    let Some((folder, _)) = config.name_prefix.split_once('/').filter(|(folder, _)| !folder.is_empty())
    else {
        return Err(Error::invalid("only the objects of a namespace can be removed")
            .with_context("prefix", format!("{:?}", config.name_prefix)));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::io("cannot start a thread for S3", error))?;
    runtime.block_on(Bucket::new(config)?.remove_all(folder)).map_err(|error| {
        Error::new(ErrorKind::Io, "cannot remove what the replay wrote to S3")
            .with_context("endpoint", &config.endpoint)
            .with_source(error)
            .with_hint(format!("remove the objects below {folder}/ in the bucket {} by hand", config.bucket))
    })
}

/// A batch on its way: whether the endpoint answered any of it, and whether it turned out to be away.
#[derive(Debug, Default)]
struct Contact {
    answered: AtomicBool,
    is_away: AtomicBool,
}

impl S3Connector {
    /// One for the bucket of `config`. Nothing is sent yet.
    ///
    /// # Errors
    /// If the configuration makes no client, or the system gives no thread.
    pub fn new(config: S3AdapterConfig, compat: Compat) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("l2-s3-io")
            .enable_all()
            .build()
            .map_err(|error| Error::io("cannot start the threads of the s3 adapter", error))?;
        let bucket = Bucket::new(&config)?;
        let breaker = BreakerOptions {
            failures: CONNECTION_FAILURES,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            is_final: compat == Compat::Lmcache,
        };
        Ok(Self {
            in_flight: Semaphore::new(config.num_io_threads),
            breaker: Breaker::new(breaker, Clock::system()),
            runtime: Mutex::new(Some(Arc::new(runtime))),
            bucket,
            compat,
            config,
        })
    }

    /// Runs one request for each of `count` positions, and gives their results in order.
    fn run<T, F>(&self, count: usize, request: impl Fn(usize) -> F) -> Vec<Result<T>>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let Some(runtime) = lock(&self.runtime).clone() else {
            let closed = || Error::new(ErrorKind::Closed, "the s3 adapter is closed");
            return (0..count).map(|_| Err(closed())).collect();
        };
        let pass = match self.breaker.enter() {
            Ok(pass) => pass,
            Err(refused) => {
                let pause = refused.retry_in.filter(|_| self.compat == Compat::Native);
                return (0..count).map(|_| Err(self.away(pause))).collect();
            }
        };
        let contact = Contact::default();
        let requests =
            futures_util::stream::iter(0..count).map(|position| self.one(&contact, request(position)));
        let results = runtime.block_on(requests.buffered(self.config.num_io_threads).collect());
        // Relaxed, here and in `one`: the requests were polled by this thread.
        if contact.answered.load(Ordering::Relaxed) {
            pass.succeeded();
        } else if contact.is_away.load(Ordering::Relaxed) {
            pass.failed();
        }
        results
    }

    async fn one<T>(
        &self,
        contact: &Contact,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T> {
        // The semaphore is never closed.
        let _turn = self.in_flight.acquire().await;
        if contact.is_away.load(Ordering::Relaxed) {
            return Err(self.away(None));
        }
        let result = tokio::time::timeout(self.config.request_timeout, request).await;
        let result = result.unwrap_or_else(|_| Err(Failure::timeout(self.config.request_timeout)));
        match &result {
            Err(Failure { fault: Fault::Connection, .. }) => contact.is_away.store(true, Ordering::Relaxed),
            Err(Failure { fault: Fault::Local, .. }) => {}
            Ok(_) | Err(_) => contact.answered.store(true, Ordering::Relaxed),
        }
        result.map_err(|failure| failure.error)
    }

    fn away(&self, pause: Option<Duration>) -> Error {
        let error = Error::new(ErrorKind::Io, "the S3 endpoint could not be reached a moment ago")
            .with_context("endpoint", &self.config.endpoint);
        match pause {
            Some(pause) => error.with_context("tried_again_in_ms", pause.as_millis()),
            None => error,
        }
    }
}

impl Connector for S3Connector {
    fn type_name(&self) -> &'static str {
        "s3"
    }

    fn class_name(&self) -> &'static str {
        "S3L2Adapter"
    }

    fn put(&self, objects: &[Transfer]) -> Vec<Result<Put>> {
        self.run(objects.len(), async |position| {
            let Transfer { key, buffer, .. } = &objects[position];
            self.bucket.put(key, buffer).await?;
            Ok(Put::Written { added_bytes: None })
        })
    }

    fn get(&self, objects: &[Transfer]) -> Vec<Result<bool>> {
        self.run(objects.len(), async |position| {
            let Transfer { key, buffer, .. } = &objects[position];
            self.bucket.get(key, buffer).await
        })
    }

    fn exists(&self, keys: &[ObjectKey], sizes_bytes: &[u64]) -> Vec<Result<bool>> {
        self.run(keys.len(), async |position| {
            let size_bytes = self.bucket.size_bytes(&keys[position]).await?;
            Ok(match (size_bytes, self.compat) {
                (None | Some(0), _) => false,
                (Some(_), Compat::Lmcache) => true,
                (Some(bytes), Compat::Native) => bytes >= sizes_bytes.get(position).copied().unwrap_or(0),
            })
        })
    }

    fn remove(&self, keys: &[ObjectKey]) -> Vec<Result<Removed>> {
        let mut seen = hashbrown::HashSet::new();
        let is_first: Vec<bool> = keys.iter().map(|key| seen.insert(key)).collect();
        self.run(keys.len(), async |position| {
            let key = &keys[position];
            // S3 deletes what is not there, and says that it did.
            let asks_first = self.compat == Compat::Native;
            if !is_first[position] || asks_first && self.bucket.size_bytes(key).await?.is_none() {
                return Ok(Removed::Absent);
            }
            self.bucket.delete(key).await?;
            Ok(Removed::Gone(None))
        })
    }

    fn is_healthy(&self) -> bool {
        !self.breaker.is_open()
    }

    fn status(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("endpoint", json!(self.config.endpoint)),
            ("region", json!(self.config.region)),
            ("connection_failures", json!(self.breaker.failures())),
            ("connection_disabled", json!(self.breaker.is_open())),
        ]
    }

    fn close(&self) {
        let runtime = lock(&self.runtime).take();
        // A call that still uses it is the last to let go of it.
        if let Some(runtime) = runtime.and_then(Arc::into_inner) {
            // A name that is being resolved may take long, and nobody waits for it any more.
            runtime.shutdown_background();
        }
    }
}

//! Where Prometheus finds the metrics: HTTP on one port, for a few clients at a time.
//!
//! One thread accepts; each client has a thread of its own for the few milliseconds that it takes, so that a slow one
//! holds nobody up. There are [`MAX_CONNECTIONS`] of them at most, each with a buffer of 8 KiB and one text.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::exchange::{Ending, PATIENCE, exchange, turn_away};
use super::source::Source;
use crate::clock::{Waiter, monotonic_ns};
use crate::error::{Error, Result};
use crate::replay::stop::StopFlag;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The most clients at a time; more are told to come again.
pub const MAX_CONNECTIONS: usize = 8;

/// How often the port is looked at. It is not waited for, so that closing it needs no client.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often the end looks whether the last clients have gone.
const CLIENT_LOOK_NS: u64 = 2_000_000;

/// What a client's thread needs.
const STACK_BYTES: usize = 256 << 10;

/// What clients asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointReport {
    /// Where metrics were served.
    pub address: SocketAddr,
    /// How often they were read.
    pub scrapes: u64,
    /// Clients that got no metrics: there were too many of them at a time, they were too slow, or they did not speak HTTP.
    pub refused: u64,
}

/// Takes the port.
///
/// # Errors
/// If it is in use, or not this user's to take.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::AddrInUse => "the port for Prometheus is in use",
            _ => "cannot serve metrics on this port",
        };
        Error::io(message, error)
            .with_context("address", address)
            .with_hint("choose another --prometheus-port; 0 takes any free one and says which")
    })
}

/// The port being served.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    clients: Arc<Clients>,
    /// Dropped to end the thread.
    open: Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Clients {
    stop: StopFlag,
    active: AtomicUsize,
    scrapes: AtomicU64,
    refused: AtomicU64,
}

impl Endpoint {
    /// Serves `source` on `listener`.
    ///
    /// # Errors
    /// If the system grants no thread.
    pub(super) fn start(listener: TcpListener, source: Arc<Source>) -> Result<Self> {
        let address = listener
            .local_addr()
            .map_err(|error| Error::io("the port for Prometheus has no address", error))?;
        let clients = Arc::new(Clients::default());
        let (open, closed) = bounded(0);
        let of_thread = Arc::clone(&clients);
        let thread = std::thread::Builder::new()
            .name("lmcache-metrics".to_owned())
            .spawn(move || accept(&listener, &source, &of_thread, &closed))
            .map_err(|error| Error::io("cannot start the thread that serves metrics", error))?;
        Ok(Self { address, clients, open, thread })
    }

    /// Where it is, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port. Clients that are being answered get their answer; those that are waited for do not hold this up.
    pub(super) fn close(self) -> EndpointReport {
        drop(self.open);
        self.clients.stop.set();
        // A panic of that thread has been said on standard error; the replay's results are worth having all the same.
        let _ = self.thread.join();
        EndpointReport {
            address: self.address,
            scrapes: self.clients.scrapes.load(Ordering::Relaxed),
            refused: self.clients.refused.load(Ordering::Relaxed),
        }
    }
}

/// Accepts until the endpoint is dropped, and waits for the last clients.
fn accept(listener: &TcpListener, source: &Arc<Source>, clients: &Arc<Clients>, closed: &Receiver<()>) {
    let is_closed = |time| closed.recv_timeout(time) == Err(RecvTimeoutError::Disconnected);
    loop {
        match listener.accept() {
            Ok((stream, _)) => serve(stream, source, clients),
            // Nobody is there; or there are no file descriptors, which passes.
            Err(_) if is_closed(LOOK_EVERY) => break,
            Err(_) => {}
        }
        if clients.stop.is_set() {
            break;
        }
    }
    // Acquire: what a client's thread counted comes before its leaving.
    while clients.active.load(Ordering::Acquire) > 0 {
        Waiter::new(0).wait_until_ns(monotonic_ns() + CLIENT_LOOK_NS, || false);
    }
}

fn serve(mut stream: TcpStream, source: &Arc<Source>, clients: &Arc<Clients>) {
    // Relaxed: this thread alone adds to it, so what it reads is too much at worst.
    if clients.active.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
        clients.refused.fetch_add(1, Ordering::Relaxed);
        return turn_away(stream);
    }
    clients.active.fetch_add(1, Ordering::Relaxed);
    let leaving = Leaving(Arc::clone(clients));
    let source = Arc::clone(source);
    let started = std::thread::Builder::new()
        .name("lmcache-scrape".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let clients = &leaving.0;
            let ending = exchange(&mut stream, PATIENCE, &clients.stop, || source.text().ok());
            // Relaxed: a count; `Leaving` orders it before the end.
            match ending {
                Ending::Scraped => clients.scrapes.fetch_add(1, Ordering::Relaxed),
                Ending::Answered => 0,
                Ending::GivenUp => clients.refused.fetch_add(1, Ordering::Relaxed),
            };
        });
    if started.is_err() {
        clients.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client's place, which is free again when this is dropped.
struct Leaving(Arc<Clients>);

impl Drop for Leaving {
    fn drop(&mut self) {
        // Release: see `accept`.
        self.0.active.fetch_sub(1, Ordering::Release);
    }
}

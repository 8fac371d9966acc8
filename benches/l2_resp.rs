//! How fast objects go to Redis and come back: ours beside `redis-benchmark` and the `redis` crate, in turn.
//!
//! `cargo bench --bench l2_resp` starts a `redis-server` of its own without persistence, and moves values of 1 MiB over 1
//! and 4 connections. Each figure is the median of the rounds. Without a `redis-server` there is nothing to measure,
//! and it says so.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lmcache::clock::monotonic_ns;
use lmcache::format::model::{ChunkHash, KeyScope, ObjectKey};
use lmcache::storage::config::l2::RespAdapterConfig;
use lmcache::storage::config::{Compat, Secret};
use lmcache::storage::l2::Transfer;
use lmcache::storage::l2::connector::Connector;
use lmcache::storage::l2::resp::RespConnector;
use lmcache::storage::memory::{Arena, Span};

const VALUE_BYTES: u64 = 1 << 20;
/// Different keys, as many for every rival.
const KEYS: u32 = 64;
/// Objects of one call: the share that a connection has in a task of some hundred objects.
const BATCH: u32 = 16;

struct Server {
    port: u16,
    process: Child,
}

impl Server {
    fn start() -> Option<Self> {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let arguments =
            ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let mut command = Command::new("redis-server");
        let process = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::park_timeout(Duration::from_millis(10));
        }
        Some(Self { port, process })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with us either way.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Call {
    Set,
    Get,
}

/// Bytes per nanosecond, which is GB/s.
fn rate(values: u32, work: impl FnOnce()) -> f64 {
    let start_ns = monotonic_ns();
    work();
    (u64::from(values) * VALUE_BYTES) as f64 / (monotonic_ns() - start_ns) as f64
}

fn redis_benchmark(port: u16, call: Call, connections: u32, values: u32) -> f64 {
    let name = if call == Call::Set { "set" } else { "get" };
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &port.to_string(), "-t", name, "--csv", "-d", &VALUE_BYTES.to_string()]);
    command.args(["-n", &values.to_string(), "-c", &connections.to_string(), "-r", &KEYS.to_string()]);
    let output = command.output().expect("redis-benchmark runs").stdout;
    let text = String::from_utf8_lossy(&output).to_lowercase();
    let line = text.lines().find(|line| line.starts_with(&format!("\"{name}\""))).expect("its result");
    let per_second: f64 =
        line.split(',').nth(1).and_then(|field| field.trim_matches('"').parse().ok()).expect("a rate");
    per_second * VALUE_BYTES as f64 / 1e9
}

fn redis_crate(port: u16, call: Call, connections: u32, values: u32) -> f64 {
    let work = |share: u32| {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).expect("an address");
        let mut connection = client.get_connection().expect("a connection");
        let value = vec![7_u8; VALUE_BYTES as usize];
        for number in 0..share {
            let key = format!("crate:{}", number % KEYS);
            match call {
                Call::Set => {
                    redis::cmd("SET").arg(key).arg(&value).query::<()>(&mut connection).expect("stored")
                }
                Call::Get => {
                    let found: Vec<u8> = redis::cmd("GET").arg(key).query(&mut connection).expect("loaded");
                    assert_eq!(found.len() as u64, VALUE_BYTES);
                }
            }
        }
    };
    rate(values, || on_threads(connections, |_| work(values / connections)))
}

fn on_threads(count: u32, work: impl Fn(u32) + Sync) {
    thread::scope(|scope| {
        for number in 0..count {
            let work = &work;
            scope.spawn(move || work(number));
        }
    });
}

struct Ours {
    connector: RespConnector,
    arena: Arc<Arena>,
    scope: Arc<KeyScope>,
}

impl Ours {
    fn new(port: u16) -> Self {
        let config = RespAdapterConfig {
            host: "127.0.0.1".to_owned(),
            port,
            num_workers: 4,
            username: String::new(),
            password: Secret::default(),
            max_capacity_bytes: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(60),
            pipeline_depth: 32,
            max_value_bytes: 512 << 20,
            name_prefix: String::new(),
        };
        let arena = Arc::new(Arena::new(u64::from(4 * BATCH) * VALUE_BYTES, 4096).expect("memory"));
        let ours = Self {
            connector: RespConnector::new(config, Compat::Native),
            arena,
            scope: Arc::new(KeyScope::new("model", 0, 0, "").expect("a scope")),
        };
        let touched = vec![7; VALUE_BYTES as usize];
        for slot in 0..4 * BATCH {
            ours.transfer(slot, 0).buffer.write_from(0, &touched).expect("it fits");
        }
        ours
    }

    fn transfer(&self, slot: u32, key: u32) -> Transfer {
        let offset_bytes = u64::from(slot) * VALUE_BYTES;
        let span = Span { offset_bytes, phy_size_bytes: VALUE_BYTES, size_bytes: VALUE_BYTES };
        let key = ObjectKey::new(ChunkHash::new(&(key % KEYS).to_be_bytes()), Arc::clone(&self.scope));
        Transfer::new(key, self.arena.pin(span))
    }

    fn run(&self, call: Call, connections: u32, values: u32) -> f64 {
        let batches = values / connections / BATCH;
        let work = |thread: u32| {
            for batch in 0..batches {
                let objects: Vec<_> =
                    (0..BATCH).map(|i| self.transfer(thread * BATCH + i, batch * BATCH + i)).collect();
                match call {
                    Call::Set => assert!(self.connector.put(&objects).iter().all(Result::is_ok)),
                    Call::Get => {
                        assert!(self.connector.get(&objects).iter().all(|found| matches!(found, Ok(true))))
                    }
                }
            }
        };
        rate(batches * BATCH * connections, || on_threads(connections, work))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let is_smoke =
        std::env::args().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench");
    let (rounds, values) = if is_smoke { (1, 4 * BATCH) } else { (7, 2048) };
    let Some(server) = Server::start() else {
        println!("skipped: there is no redis-server on this machine");
        return;
    };
    let ours = Ours::new(server.port);
    println!("values of {VALUE_BYTES} bytes, GB/s, median of {rounds} rounds of {values} values");
    println!("{:<22}{:>16}{:>16}{:>16}{:>10}", "", "redis-benchmark", "redis crate", "ours", "ratio");
    for connections in [1, 4] {
        for (call, name) in [(Call::Set, "SET"), (Call::Get, "GET")] {
            let mut rates = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..rounds {
                rates[0].push(redis_benchmark(server.port, call, connections, values));
                rates[1].push(redis_crate(server.port, call, connections, values));
                rates[2].push(ours.run(call, connections, values));
            }
            let [bench, other, own] = rates.map(median);
            let row = format!("{name}, {connections} connection(s)");
            println!("{row:<22}{bench:>16.3}{other:>16.3}{own:>16.3}{:>10.2}", own / bench);
        }
    }
}

//! What monitoring systems see of a replay.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use lmcache::clock::{NS_PER_S, monotonic_ns};
use lmcache::replay::manager_target::ManagerTarget;
use lmcache::replay::telemetry::TelemetryOptions;
use lmcache::replay::telemetry::endpoint::MAX_CONNECTIONS;
use lmcache::replay::{TimedRecord, TraceSource};
use lmcache::storage::StorageManager;
use lmcache::storage::config::{EvictionPolicyKind, L2AdapterConfig, StorageManagerConfig};
use lmcache::storage::metrics::StorageMetrics;
use lmcache::storage::metrics::instruments::Points;
use lmcache::trace::TraceReader;
use serde_json::{Value, json};

use crate::command::{L1, command, text};
use crate::common;
use crate::fakes::run_to_the_end;
use crate::made::{MadeTrace, keys, layout};

/// The answer to a request, head and body.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    stream.write_all(request.as_bytes()).expect("a listener that reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer that ends");
    answer
}

/// Whether there are too many clients. Who is turned away may find the connection reset before the answer.
fn is_turned_away(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let mut answer = String::new();
    let asked = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
    asked.is_err() || answer.starts_with("HTTP/1.1 503 ")
}

fn scrape(address: SocketAddr) -> String {
    let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    body.to_owned()
}

/// The sum of all series of a name; nothing if there is none.
fn sum(metrics: &str, name: &str) -> Option<u64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit_once(' ')?.1.parse::<u64>().ok()
    });
    values.reduce(|one, other| one + other)
}

fn count(metrics: &str, name: &str) -> u64 {
    sum(metrics, name).unwrap_or(0)
}

#[test]
fn what_is_scraped_is_what_the_replay_reports() {
    let mut config = StorageManagerConfig::l1_only(200 << 20, EvictionPolicyKind::Lru);
    let adapter = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1000}"#;
    config.l2_adapters = vec![L2AdapterConfig::from_json(adapter).expect("an adapter")];
    let name = "traces/deterministic.lct";
    let reader = TraceReader::from_bytes(name, common::unpack(name)).expect("a trace");
    let mut target = ManagerTarget::new(config).expect("memory");
    let any_port = TelemetryOptions {
        prometheus: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..TelemetryOptions::default()
    };
    let telemetry = any_port.prepare().expect("a port").start(target.manager()).expect("threads");
    let address = telemetry.address().expect("it is served");
    let records = TraceSource::new(&reader).records().map(|record| TimedRecord { t_mono_s: 0.0, ..record });
    run_to_the_end(records, &mut target);
    telemetry.keep_gauges();
    let totals = target.close_in_full().expect("no thread panicked");
    let metrics = scrape(address);

    let storage = totals.storage;
    assert!(storage.hit_keys > 0 && storage.keys_reserved > 0, "{storage:?}");
    assert_eq!(count(&metrics, "lmcache_mp_l1_write_chunks_total"), storage.keys_reserved, "{metrics}");
    let stored = totals.l2.adapters[0].fields["stored_object_count"].as_u64();
    let sent = count(&metrics, "lmcache_mp_l2_store_completed_objects_chunks_total");
    assert_eq!(stored, Some(sent), "{metrics}");
    assert!(sent > 0 && sent <= storage.keys_reserved, "{metrics}");
    assert!(metrics.contains("target_info{service_instance_id=\""), "{metrics}");
    // What the manager held before it was closed.
    let held = metrics.lines().find(|line| line.starts_with("lmcache_mp_l1_memory_usage_bytes{"));
    assert!(held.is_some_and(|line| !line.ends_with(" 0.0")), "{metrics}");

    let report = telemetry.close();
    let prometheus = report.prometheus.expect("it was served");
    assert_eq!((prometheus.address, prometheus.scrapes, prometheus.refused), (address, 1, 0));
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
}

/// A write at the start, and a call that is far away.
fn long_trace() -> MadeTrace {
    MadeTrace::new()
        .call(0.0, "reserve_write", json!({"keys": keys("abc"), "layout_desc": layout(4096)}))
        .call(0.0, "finish_write", json!({"keys": keys("abc")}))
        .call(600.0, "finish_write", json!({"keys": keys("a")}))
}

/// A replay under way, and where its metrics are.
struct Served {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start(words: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("made.lct"), long_trace().bytes()).expect("room for a trace");
        let words = format!("{L1} --no-csv --format json --prometheus-port 0 {words}");
        let mut command = command(folder.path(), Path::new("made.lct"), &words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.expect("UTF-8");
            let (_, rest) = line.split_once("metrics are at http://")?;
            rest.split_once('/').map(|(address, _)| address.parse().expect("an address"))
        });
        // Whoever closes the pipe makes the next sentence on it an error.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: address.expect("the address is said"), _folder: folder }
    }

    /// Scrapes until the write has been counted.
    fn scrape_the_write(&self) -> String {
        let deadline_ns = monotonic_ns() + 30 * NS_PER_S;
        loop {
            let metrics = scrape(self.address);
            if sum(&metrics, "lmcache_mp_l1_write_chunks_total") == Some(3) {
                return metrics;
            }
            assert!(monotonic_ns() < deadline_ns, "{metrics}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Interrupts the replay; its report.
    fn end(self) -> Value {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-INT", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        let output = self.child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130));
        serde_json::from_slice(&output.stdout).expect("a JSON object")
    }
}

#[test]
fn metrics_are_served_while_the_replay_runs_and_on_loopback() {
    let served = Served::start("");
    assert!(served.address.ip().is_loopback());
    let metrics = served.scrape_the_write();
    assert!(metrics.contains("\nlmcache_mp_l1_write_chunks_total{l1_tag=\"_default\"} 3\n"), "{metrics}");
    let report = served.end();
    let prometheus = &report["observability"]["prometheus"];
    assert!(prometheus["scrapes"].as_u64() >= Some(1), "{prometheus}");
    assert_eq!((&prometheus["refused"], &report["observability"]["otlp"]), (&json!(0), &Value::Null));
}

#[test]
fn only_metrics_are_there_and_only_to_be_read() {
    let served = Served::start("");
    served.scrape_the_write();
    let ask = |request: &str| ask(served.address, request);
    assert!(ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask("GET /metricsx HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(ask("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").starts_with("HTTP/1.1 405 "));
    assert!(ask("no HTTP\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let head = ask("HEAD /metrics HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(served.end()["observability"]["prometheus"]["refused"], 1, "no HTTP");
}

#[test]
fn slow_clients_hold_nobody_up() {
    let served = Served::start("");
    served.scrape_the_write();
    let slow = |_| {
        let mut stream = TcpStream::connect(served.address).expect("somebody listens");
        stream.write_all(b"GET /metr").expect("a listener that reads");
        stream
    };
    let mut clients: Vec<TcpStream> = (1..MAX_CONNECTIONS).map(slow).collect();
    scrape(served.address);
    clients.push(slow(0));
    let deadline_ns = monotonic_ns() + 30 * NS_PER_S;
    let full = || is_turned_away(served.address);
    while !full() {
        assert!(monotonic_ns() < deadline_ns, "one more is turned away");
    }
    clients.clear();
    while full() {
        assert!(monotonic_ns() < deadline_ns, "there is room again");
    }
    scrape(served.address);
    let report = served.end();
    assert!(report["observability"]["prometheus"]["refused"].as_u64() >= Some(MAX_CONNECTIONS as u64));
}

#[test]
fn a_port_in_use_is_said_before_the_replay_begins() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("made.lct"), long_trace().bytes()).expect("room for a trace");
    let words = format!("{L1} --jsonl-out x.jsonl --prometheus-port {port}");
    let output = command(folder.path(), Path::new("made.lct"), &words).output().expect("the program runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let said = text(&output.stderr);
    let sentence = format!("error: the port for Prometheus is in use (address 127.0.0.1:{port}): ");
    assert!(said.starts_with(&sentence) && said.contains("--prometheus-port"), "{said}");
    assert!(!folder.path().join("x.jsonl").exists(), "no call was made");
}

#[test]
fn nothing_is_served_without_being_asked_for() {
    for words in ["", "--prometheus-port 0 --disable-metrics", "--prometheus-port 0 --disable-observability"]
    {
        let trace = common::unpack_to_file("traces/deterministic.lct");
        let (output, _folder) =
            crate::command::replay(&trace, &format!("{L1} --no-csv --format json {words}"));
        let report: Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
        assert_eq!(report["observability"], Value::Null, "{words}");
        assert!(!text(&output.stderr).contains("metrics are at"), "{words}");
    }
}

/// The names of all instruments, behind what all begin with; counters as Prometheus has them.
fn instruments() -> BTreeSet<String> {
    let config = StorageManagerConfig::l1_only(1 << 20, EvictionPolicyKind::Lru);
    let manager = StorageManager::new(config).expect("memory");
    let metrics = StorageMetrics::new(1.0).expect("a rate").snapshot(&manager);
    let names = metrics.iter().map(|metric| {
        let total = if matches!(metric.points, Points::Counts(_)) { "_total" } else { "" };
        let name = format!("{}{total}", metric.instrument.prometheus_name());
        name.strip_prefix("lmcache_mp_").expect("LMCache's prefix").to_owned()
    });
    names.collect()
}

#[test]
fn the_page_has_every_metric_and_no_other() {
    let page = include_str!("../../docs/observability.md");
    let (_, section) = page.split_once("\n## The metrics\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("another one");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).expect("a first column"));
    let named: BTreeSet<String> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert_eq!(named, instruments());
}

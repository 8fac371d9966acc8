//! The adapter of S3: against a real server, and against scripts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lmcache::format::model::ObjectKey;
use lmcache::storage::config::l2::S3AdapterConfig;
use lmcache::storage::config::{
    AdapterKind, Compat, EvictionPolicyKind, L2AdapterConfig, Secret, StorageManagerConfig,
};
use lmcache::storage::l2::L2Adapter;
use lmcache::storage::l2::connector::Connector;
use lmcache::storage::l2::factory::{AdapterContext, create};
use lmcache::storage::l2::namespace::{Namespace, NamespaceMode, PREFIX};
use lmcache::storage::l2::s3::S3Connector;

use crate::conformance::{Made, Traits, conformance};
use crate::redis_server::free_port;
use crate::resp::{last_error, transfers};
use crate::s3_server::{ACCESS_KEY, BUCKET, DOMAIN, S3Server, SECRET_KEY};
use crate::support::{
    Buffers, key_of, keys, load, load_one, lookup_sized, payload, present_any, store, store_all,
};

fn config(port: u16) -> S3AdapterConfig {
    S3AdapterConfig {
        endpoint: format!("127.0.0.1:{port}"),
        bucket: BUCKET.to_owned(),
        region: "eu-central-1".to_owned(),
        num_io_threads: 16,
        prefer_http2: false,
        enable_s3express: false,
        disable_tls: true,
        access_key_id: Some(Secret::new(ACCESS_KEY)),
        secret_access_key: Some(Secret::new(SECRET_KEY)),
        session_token: None,
        max_capacity_bytes: None,
        path_style: true,
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(10),
        name_prefix: String::new(),
    }
}

fn adapter(config: S3AdapterConfig, compat: Compat) -> Arc<dyn L2Adapter> {
    let context = AdapterContext { id: 0, compat, l1_align_bytes: 4096 };
    create(&L2AdapterConfig::new(AdapterKind::S3(config)), &context).expect("an adapter")
}

pub(crate) fn made() -> Option<Made> {
    let server = S3Server::start()?;
    let traits = Traits { overwrites: true, takes_odd_keys: false, ..Traits::default() };
    Some(Made::new(adapter(config(server.port), Compat::Native), traits, server))
}

conformance!(suite, super::made());

/// A name with all that LMCache lets through.
const ODD_NAME: &str = "a/b.c ~%25@08050401@12@01ff@s:t";

#[test]
fn others_find_the_bytes_of_an_object_under_lmcaches_name() {
    if let Some(server) = S3Server::start() {
        check_names(&server.file(ODD_NAME), &*adapter(config(server.port), Compat::Native));
    }
}

fn check_names(file: &Path, adapter: &dyn L2Adapter) {
    let key = key_of("a/b.c ~%25", 0x0805_0401, 18, &[1, 255], "s:t");
    let bytes = payload(1, 9_000_001);
    store_all(adapter, &[(key.clone(), bytes.clone())]);
    assert!(std::fs::read(file).unwrap() == bytes);
    let theirs = payload(2, 9_000_001);
    std::fs::write(file, &theirs).unwrap();
    assert!(load_one(adapter, &key, theirs.len()) == Some(theirs));
    assert_eq!(adapter.delete(&[key]), 1);
    assert!(!file.exists());
    adapter.close();
}

/// Where the file of the object is, for the process that [`the_bucket_can_stand_in_the_host`] starts.
const FILE_VARIABLE: &str = "LMCACHE_TEST_S3_FILE";

/// As with AWS. No name resolver is needed: the server is the client's proxy, which only a variable of the process can
/// say, so the client is a process of its own.
#[test]
fn the_bucket_can_stand_in_the_host() {
    if let Some(file) = std::env::var_os(FILE_VARIABLE) {
        let config =
            S3AdapterConfig { endpoint: format!("{BUCKET}.{DOMAIN}"), path_style: false, ..config(0) };
        return check_names(Path::new(&file), &*adapter(config, Compat::Native));
    }
    let Some(server) = S3Server::start() else { return };
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "s3::the_bucket_can_stand_in_the_host", "--nocapture"])
        .env(FILE_VARIABLE, server.file(ODD_NAME))
        .env("http_proxy", format!("http://127.0.0.1:{}", server.port))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .expect("it runs again");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

#[test]
fn an_object_of_another_size_is_not_loaded() {
    let Some(server) = S3Server::start() else { return };
    let adapter = adapter(config(server.port), Compat::Native);
    let all = keys(0, 4);
    let objects: Vec<_> = all.iter().map(|key| (key.clone(), payload(3, 70_000))).collect();
    store_all(&*adapter, &objects);
    for (position, len) in [(0, 69_999), (1, 70_001), (2, 0)] {
        std::fs::write(server.file(&all[position].view().to_string()), payload(3, len)).unwrap();
    }
    let wanted: Vec<_> = all.iter().map(|key| (key.clone(), 70_000)).collect();
    let found = load(&*adapter, &wanted);
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, true]);
    let sized: Vec<_> = all.iter().map(|key| (key.clone(), 70_000)).collect();
    assert_eq!(lookup_sized(&*adapter, &sized).ones().collect::<Vec<_>>(), [1, 3]);
    adapter.close();
}

#[test]
fn a_namespace_of_a_bucket_begins_empty_and_takes_its_objects_with_it() {
    let Some(server) = S3Server::start() else { return };
    let mut manager = StorageManagerConfig::l1_only(1 << 20, EvictionPolicyKind::Lru);
    manager.l2_adapters = vec![L2AdapterConfig::new(AdapterKind::S3(config(server.port)))];
    let theirs = adapter(config(server.port), Compat::Native);
    let key = key_of("model", 0x0100_0100, 0, b"chunk", "");
    store_all(&*theirs, &[(key.clone(), payload(1, 5_000))]);
    let context = AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4096 };
    for (mode, stays) in [(NamespaceMode::Fresh, false), (NamespaceMode::FreshKept, true)] {
        let namespace = Namespace::open(mode, &manager).expect("a place");
        let ours = create(&namespace.config().l2_adapters[0], &context).expect("an adapter");
        assert_eq!(present_any(&*ours, std::slice::from_ref(&key)), [false]);
        store_all(&*ours, &[(key.clone(), payload(2, 5_000))]);
        assert!(load_one(&*ours, &key, 5_000) == Some(payload(2, 5_000)));
        ours.close();
        namespace.close().expect("removed");
        assert_eq!(server.objects_below(PREFIX), u64::from(stays));
    }
    assert!(load_one(&*theirs, &key, 5_000) == Some(payload(1, 5_000)), "what others stored");
    theirs.close();
}

#[test]
fn a_wrong_secret_is_refused_and_not_shown() {
    let Some(server) = S3Server::start() else { return };
    let secret_access_key = Some(Secret::new("hunter3-hunter3"));
    let adapter = adapter(S3AdapterConfig { secret_access_key, ..config(server.port) }, Compat::Native);
    for _ in 0..4 {
        assert!(!store(&*adapter, &[(keys(0, 1).remove(0), payload(1, 10))]).is_success());
    }
    let error = last_error(&*adapter);
    assert!(error.contains("cannot store an object in S3") && !error.contains("hunter3"), "{error}");
    assert!(adapter.report_status().is_healthy, "the endpoint can be reached");
    adapter.close();
}

fn fail(adapter: &dyn L2Adapter, times: u32) {
    for _ in 0..times {
        assert!(!store(adapter, &[(keys(0, 1).remove(0), payload(1, 10))]).is_success());
    }
}

#[test]
fn an_endpoint_that_is_gone_is_left_alone_and_found_again() {
    let Some(mut server) = S3Server::start() else { return };
    let adapter = adapter(config(server.port), Compat::Native);
    let object = (keys(0, 1).remove(0), payload(1, 10));
    store_all(&*adapter, std::slice::from_ref(&object));
    server.kill();
    fail(&*adapter, 2);
    assert!(adapter.report_status().is_healthy);
    fail(&*adapter, 1);
    assert!(!adapter.report_status().is_healthy);
    fail(&*adapter, 1);
    assert!(last_error(&*adapter).contains("could not be reached a moment ago"), "{}", last_error(&*adapter));
    server.restart();
    let start = Instant::now();
    while !store(&*adapter, std::slice::from_ref(&object)).is_success() {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", last_error(&*adapter));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(adapter.report_status().is_healthy);
    assert!(load_one(&*adapter, &object.0, 10) == Some(object.1));
    adapter.close();
}

#[test]
fn lmcaches_breaker_stays_open() {
    let connector = S3Connector::new(config(free_port()), Compat::Lmcache).unwrap();
    let all = keys(0, 1);
    for _ in 0..3 {
        assert!(connector.exists(&all, &[10])[0].is_err());
    }
    assert!(!connector.is_healthy());
    let error = connector.exists(&all, &[10]).remove(0).unwrap_err().to_string();
    assert!(error.contains("could not be reached") && !error.contains("tried_again"), "{error}");
    connector.close();
    assert!(connector.exists(&all, &[10])[0].is_err(), "a closed one answers too");
}

/// Hears one request at a time, and answers each with `reply`; hands out the heads of the requests.
fn fake(reply: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, receive) = channel();
    // Ends with the process: it waits for a connection.
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let head = read_request(&mut socket);
            if let Some(reply) = reply(&head) {
                let _ = socket.write_all(&reply);
            } else {
                std::thread::sleep(Duration::from_secs(2));
            }
            if send.send(head).is_err() {
                return;
            }
        }
    });
    (port, receive)
}

/// The head of a request; its body is read and forgotten.
fn read_request(socket: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && socket.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    socket.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    [head.into_bytes(), body.to_vec()].concat()
}

/// The requests that LMCache 0.5.6 was seen to send for the same objects, but for multipart loads.
#[test]
fn requests_are_lmcaches() {
    let (port, heads) = fake(|_| Some(response("200 OK", "ETag: \"e\"\r\nContent-Length: 0\r\n", b"")));
    let connector =
        S3Connector::new(S3AdapterConfig { path_style: false, ..config(port) }, Compat::Lmcache).unwrap();
    let buffers = Buffers::new(1 << 20);
    let cases = [
        (
            key_of("org/m", 1, 0, &[9; 4], "s t:~+\u{e9}"),
            "/org/m%4000000001%400%4009090909%40s%20t%3A~%2B%C3%A9",
        ),
        (key_of("/models/m", 1, 0, &[9], ""), "//models/m%4000000001%400%4009"),
    ];
    for (key, path) in cases {
        connector.put(&transfers(&buffers, &[(key.clone(), 10)])).remove(0).unwrap();
        let head = heads.recv().unwrap();
        assert!(head.starts_with(&format!("PUT {path} HTTP/1.1\r\n")), "{head}");
        for line in [
            "content-type: application/octet-stream".to_owned(),
            "content-length: 10".to_owned(),
            "x-amz-content-sha256: UNSIGNED-PAYLOAD".to_owned(),
            format!("host: 127.0.0.1:{port}"),
        ] {
            assert!(head.lines().any(|found| found == line), "{line} in {head}");
        }
        assert!(!head.contains(SECRET_KEY));
        let _ = connector.exists(std::slice::from_ref(&key), &[10]);
        assert!(heads.recv().unwrap().starts_with(&format!("HEAD {path} HTTP/1.1\r\n")));
        let _ = connector.remove(&[key]);
        assert!(heads.recv().unwrap().starts_with(&format!("DELETE {path} HTTP/1.1\r\n")));
    }
    let odd = key_of("a//b", 0, 0, &[1], "");
    let error = connector.put(&transfers(&buffers, &[(odd, 10)])).remove(0).unwrap_err().to_string();
    assert!(error.contains("cannot be one of S3"), "{error}");
    connector.close();
}

fn get_one(connector: &S3Connector, key: &ObjectKey) -> Result<bool, String> {
    let buffers = Buffers::new(1 << 20);
    let results = connector.get(&transfers(&buffers, &[(key.clone(), 10)]));
    results.into_iter().next().unwrap().map_err(|error| error.to_string())
}

#[test]
fn answers_that_are_wrong_load_nothing() {
    let key = keys(0, 1).remove(0);
    let part = |range: &str, length: usize, body: &[u8]| {
        let headers = format!(
            "Content-Range: bytes {range}\r\nContent-Length: {length}\r\nETag: \"e\"\r\n\
             Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        );
        response("206 Partial Content", &headers, body)
    };
    let cases = [
        (part("0-9/10", 10, b"0123456789"), Some(true)),
        (part("0-9/11", 10, b"0123456789"), Some(false)),
        (part("0-8/9", 9, b"012345678"), Some(false)),
        (part("0-9/10", 10, b"01234"), None),
        (part("1-10/11", 10, b"0123456789"), None),
        (response("200 OK", "Content-Length: 10\r\n", b"0123456789"), None),
        (response("404 Not Found", "Content-Length: 0\r\n", b""), Some(false)),
        (response("403 Forbidden", "Content-Length: 0\r\n", b""), None),
        (b"+PONG\r\n".to_vec(), None),
    ];
    for (position, (reply, expected)) in cases.into_iter().enumerate() {
        let (port, _heads) = fake(move |_| Some(reply.clone()));
        let config = S3AdapterConfig { request_timeout: Duration::from_secs(3), ..config(port) };
        let connector = S3Connector::new(config, Compat::Native).unwrap();
        let found = get_one(&connector, &key);
        assert_eq!(found.clone().ok(), expected, "case {position}: {found:?}");
        connector.close();
    }
}

#[test]
fn an_endpoint_that_hangs_is_given_up_in_time() {
    let (port, _heads) = fake(|_| None);
    let config = S3AdapterConfig { request_timeout: Duration::from_millis(300), ..config(port) };
    let connector = S3Connector::new(config, Compat::Native).unwrap();
    let start = Instant::now();
    for _ in 0..3 {
        assert!(get_one(&connector, &keys(0, 1)[0]).is_err());
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!connector.is_healthy(), "no answer is no connection");
    connector.close();
}

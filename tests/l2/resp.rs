//! The adapter of Redis: against a real server, and what it stores, as others see it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lmcache::format::model::ObjectKey;
use lmcache::storage::config::l2::RespAdapterConfig;
use lmcache::storage::config::{AdapterKind, Compat, L2AdapterConfig, Secret};
use lmcache::storage::l2::connected::{ConnectorAdapter, ConnectorOptions};
use lmcache::storage::l2::factory::{AdapterContext, create};
use lmcache::storage::l2::resp::RespConnector;
use lmcache::storage::l2::{L2Adapter, Transfer};

use crate::conformance::{Made, Traits, conformance};
use crate::redis_server::{RedisServer, free_port};
use crate::support::{
    Buffers, Random, key_of, keys, load, load_one, lookup_sized, payload, status_number, store, store_all,
};

pub(crate) fn config(port: u16) -> RespAdapterConfig {
    RespAdapterConfig {
        host: "127.0.0.1".to_owned(),
        port,
        num_workers: 4,
        username: String::new(),
        password: Secret::default(),
        max_capacity_bytes: None,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(10),
        pipeline_depth: 32,
        max_value_bytes: 512 << 20,
        name_prefix: String::new(),
    }
}

pub(crate) fn adapter(config: RespAdapterConfig) -> Arc<dyn L2Adapter> {
    let context = AdapterContext { id: 0, compat: Compat::Native, l1_align_bytes: 4096 };
    create(&L2AdapterConfig::new(AdapterKind::Resp(config)), &context).expect("an adapter")
}

pub(crate) fn made() -> Option<Made> {
    let server = RedisServer::start(&[])?;
    let traits = Traits { overwrites: true, ..Traits::default() };
    Some(Made::new(adapter(config(server.port)), traits, server))
}

conformance!(suite, super::made());

pub(crate) fn last_error(adapter: &dyn L2Adapter) -> String {
    adapter.report_status().fields["last_error"].as_str().unwrap_or_default().to_owned()
}

fn ask<T: redis::FromRedisValue>(server: &RedisServer, words: &[&[u8]]) -> T {
    let mut command = redis::Cmd::new();
    words.iter().for_each(|word| {
        command.arg(*word);
    });
    command.query(&mut server.client()).expect("an answer")
}

#[test]
fn others_find_the_bytes_of_an_object_under_lmcaches_name() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let adapter = adapter(config(server.port));
    let named = [
        ("a/b.c@08050401@12@01ff", key_of("a/b.c", 0x0805_0401, 18, &[1, 255], "")),
        ("m@00000000@0@09@red", key_of("m", 0, 0, &[9], "red")),
        ("\u{fc}\r\n m@00000001@0@", key_of("\u{fc}\r\n m", 1, 0, &[], "")),
    ];
    for (name, key) in &named {
        let bytes = payload(1, 100_001);
        store_all(&*adapter, &[(key.clone(), bytes.clone())]);
        assert!(ask::<Vec<u8>>(&server, &[b"GET", name.as_bytes()]) == bytes, "{name:?}");
        let theirs = payload(2, 100_001);
        ask::<()>(&server, &[b"SET", name.as_bytes(), &theirs]);
        assert!(load_one(&*adapter, key, theirs.len()) == Some(theirs));
    }
    assert_eq!(ask::<u64>(&server, &[b"DBSIZE"]), 3);
    assert_eq!(adapter.delete(&[named[0].1.clone()]), 1);
    assert_eq!(ask::<u64>(&server, &[b"DBSIZE"]), 2);
    adapter.close();
}

/// Values that somebody else changed, between others that are right.
#[test]
fn a_value_of_another_size_or_kind_costs_its_own_key_only() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let adapter = adapter(config(server.port));
    for len in [100, 30_000] {
        let all = keys(0, 12);
        let objects: Vec<_> = all.iter().map(|key| (key.clone(), payload(3, len))).collect();
        store_all(&*adapter, &objects);
        let name = |position: usize| all[position].view().to_string().into_bytes();
        for (position, theirs) in [(1, 0), (2, len - 1), (4, len + 1), (5, 3 * len + 70_000), (7, 1)] {
            ask::<()>(&server, &[b"SET", &name(position), &payload(4, theirs)]);
        }
        ask::<()>(&server, &[b"DEL", &name(9)]);
        ask::<()>(&server, &[b"LPUSH", &name(9), b"a list"]);
        ask::<()>(&server, &[b"DEL", &name(10)]);
        let wanted: Vec<_> = all.iter().map(|key| (key.clone(), len)).collect();
        let good = [0, 3, 6, 8, 11];
        for (position, found) in load(&*adapter, &wanted).into_iter().enumerate() {
            let expected = good.contains(&position).then(|| payload(3, len));
            assert!(found == expected, "{position} of {len} bytes");
        }
        assert!(last_error(&*adapter).contains("WRONGTYPE"), "{}", last_error(&*adapter));
        let sized: Vec<_> = all.iter().map(|key| (key.clone(), len as u64)).collect();
        let found = lookup_sized(&*adapter, &sized);
        // Those that are longer are found, and turn out to be others when they are loaded.
        assert_eq!(found.ones().collect::<Vec<_>>(), [0, 3, 4, 5, 6, 8, 11]);
        adapter.submit_unlock(&all);
        adapter.delete(&all);
    }
    assert_eq!(status_number(&*adapter, "connections_lost"), 0);
    adapter.close();
}

#[test]
fn batches_come_back_in_order_at_every_depth() {
    let Some(server) = RedisServer::start(&[]) else { return };
    for (seed, pipeline_depth) in [(1, 1), (2, 2), (3, 7), (4, 4096)] {
        let adapter = adapter(RespAdapterConfig { pipeline_depth, num_workers: 2, ..config(server.port) });
        let mut random = Random(seed);
        let sizes: Vec<usize> = (0..400)
            .map(|_| match random.below(20) {
                0 => 1 << 20,
                1..4 => 16_383 + random.below(3) as usize,
                _ => 1 + random.below(500) as usize,
            })
            .collect();
        let objects: Vec<_> =
            keys(0, 400).into_iter().zip(&sizes).map(|(key, size)| (key, payload(seed, *size))).collect();
        store_all(&*adapter, &objects);
        let wanted: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
        for ((key, expected), found) in objects.iter().zip(load(&*adapter, &wanted)) {
            assert!(found.as_ref() == Some(expected), "{key:?}");
        }
        adapter.close();
    }
}

/// Stores and loads until both work, as a host that goes on would.
fn wait_until_it_works(adapter: &dyn L2Adapter, key: &ObjectKey) {
    let start = Instant::now();
    while !store(adapter, &[(key.clone(), payload(5, 1_000))]).is_success() {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", last_error(adapter));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(load_one(adapter, key, 1_000) == Some(payload(5, 1_000)));
}

#[test]
fn a_server_that_dies_and_comes_back_is_used_again() {
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let adapter = adapter(config(server.port));
    let all = keys(0, 16);
    let objects: Vec<_> = all.iter().map(|key| (key.clone(), payload(6, 200_000))).collect();
    for _ in 0..3 {
        store_all(&*adapter, &objects);
        std::thread::scope(|scope| {
            let (adapter, objects) = (&*adapter, &objects);
            let load = scope.spawn(move || {
                let wanted: Vec<_> = objects.iter().map(|(key, bytes)| (key.clone(), bytes.len())).collect();
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(300) {
                    for ((_, expected), found) in objects.iter().zip(load(adapter, &wanted)) {
                        assert!(found.is_none_or(|found| found == *expected), "whole or not at all");
                    }
                }
            });
            std::thread::sleep(Duration::from_millis(100));
            server.kill();
            load.join().expect("no wrong bytes");
        });
        assert!(!store(&*adapter, &objects).is_success());
        assert!(!adapter.report_status().is_healthy);
        server.restart();
        wait_until_it_works(&*adapter, &all[0]);
        assert!(adapter.report_status().is_healthy);
    }
    adapter.close();
}

#[test]
fn a_connection_that_was_closed_while_idle_costs_no_batch() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let adapter = adapter(config(server.port));
    let objects = [(keys(0, 1).remove(0), payload(7, 10))];
    for _ in 0..3 {
        store_all(&*adapter, &objects);
        ask::<u64>(&server, &[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
        std::thread::sleep(Duration::from_millis(20));
    }
    store_all(&*adapter, &objects);
    assert_eq!(status_number(&*adapter, "failed_stores"), 0);
    assert_eq!(status_number(&*adapter, "connections_lost"), 3);
    adapter.close();
}

#[test]
fn names_and_passwords_are_checked_and_not_shown() {
    let user = "--user lmcache on >s3cret ~* +get +set +strlen +del";
    let arguments: Vec<&str> = ["--requirepass", "open sesame"].into_iter().chain(user.split(' ')).collect();
    let Some(server) = RedisServer::start(&arguments) else { return };
    let objects = [(keys(0, 1).remove(0), payload(8, 10))];
    let with = |username: &str, password: &str| {
        let (username, password) = (username.to_owned(), Secret::new(password));
        adapter(RespAdapterConfig { username, password, ..config(server.port) })
    };
    for (username, password) in [("", "open sesame"), ("default", "open sesame"), ("lmcache", "s3cret")] {
        let adapter = with(username, password);
        store_all(&*adapter, &objects);
        adapter.close();
    }
    for (username, password, word) in [
        ("", "open tahini", "WRONGPASS"),
        ("lmcache", "open sesame", "WRONGPASS"),
        ("", "", "wants a password"),
    ] {
        let adapter = with(username, password);
        assert!(!store(&*adapter, &objects).is_success());
        let error = last_error(&*adapter);
        assert!(error.contains(word), "{error}");
        assert!(password.is_empty() || !format!("{:?} {error}", adapter.report_status()).contains(password));
        adapter.close();
    }
}

#[test]
fn without_a_server_calls_fail_at_once_and_leave_it_alone_for_a_while() {
    let adapter = adapter(config(free_port()));
    let objects = [(keys(0, 1).remove(0), payload(9, 10))];
    let start = Instant::now();
    assert!(!store(&*adapter, &objects).is_success());
    assert!(last_error(&*adapter).contains("cannot connect to the Redis server (server 127.0.0.1:"));
    (0..50).for_each(|_| assert!(!store(&*adapter, &objects).is_success()));
    assert!(last_error(&*adapter).contains("could not be reached a moment ago"), "{}", last_error(&*adapter));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!adapter.report_status().is_healthy);
    assert_eq!(adapter.delete(&keys(0, 3)), 0);
    assert_eq!(status_number(&*adapter, "failed_deletes"), 3);
    adapter.close();
}

#[test]
fn a_full_server_has_no_room_and_a_value_past_the_limit_is_not_sent() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let adapter = adapter(RespAdapterConfig { max_value_bytes: 1_000, ..config(server.port) });
    let all = keys(0, 3);
    let objects: Vec<_> =
        all.iter().zip([1_000, 1_001, 10]).map(|(key, len)| (key.clone(), payload(1, len))).collect();
    let outcome = store(&*adapter, &objects);
    assert_eq!(outcome.failed.ones().collect::<Vec<_>>(), [1]);
    assert!(last_error(&*adapter).contains("max_value_bytes 1000"), "{}", last_error(&*adapter));
    ask::<()>(&server, &[b"CONFIG", b"SET", b"maxmemory", b"1"]);
    let outcome = store(&*adapter, &objects[..1]);
    assert!(outcome.is_success() && outcome.bytes == 0, "nobody gains by trying again");
    assert!(load_one(&*adapter, &all[2], 10).is_some());
    adapter.close();
}

#[test]
fn hosts_are_names_and_addresses_of_both_kinds() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let has_ipv6 = std::net::TcpStream::connect(("::1", server.port)).is_ok();
    if !has_ipv6 {
        println!("skipped in part: this machine has no IPv6");
    }
    let objects = [(keys(0, 1).remove(0), payload(1, 10))];
    for host in ["localhost", "127.0.0.1", "::1", "[::1]"] {
        if host.contains(':') && !has_ipv6 {
            continue;
        }
        let adapter = adapter(RespAdapterConfig { host: host.to_owned(), ..config(server.port) });
        store_all(&*adapter, &objects);
        adapter.close();
    }
    let adapter =
        adapter(RespAdapterConfig { host: "no-such-host.invalid".to_owned(), ..config(server.port) });
    assert!(!store(&*adapter, &objects).is_success());
    assert!(last_error(&*adapter).contains("cannot resolve the name"), "{}", last_error(&*adapter));
    adapter.close();
}

/// LMCache looks no size up, and offers what it cannot load.
#[test]
fn only_our_own_lookups_know_sizes() {
    let Some(server) = RedisServer::start(&[]) else { return };
    for (compat, is_found) in [(Compat::Native, false), (Compat::Lmcache, true)] {
        let connector = RespConnector::new(config(server.port), compat);
        let options = ConnectorOptions { workers: 1, capacity_bytes: 0, compat };
        let adapter = ConnectorAdapter::start(connector, options).unwrap();
        let key = keys(0, 1).remove(0);
        store_all(&adapter, &[(key.clone(), payload(1, 50))]);
        assert_eq!(lookup_sized(&adapter, &[(key.clone(), 51)]).test(0), is_found);
        assert!(lookup_sized(&adapter, &[(key.clone(), 50)]).test(0));
        assert!(load_one(&adapter, &key, 51).is_none());
        adapter.close();
    }
}

/// A whole batch in one connector call, so that its commands share one connection.
pub(crate) fn transfers(buffers: &Buffers, objects: &[(ObjectKey, usize)]) -> Vec<Transfer> {
    let transfer = |(key, len): &(ObjectKey, usize)| Transfer::new(key.clone(), buffers.take(*len));
    objects.iter().map(transfer).collect()
}

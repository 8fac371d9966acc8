//! What our reader makes of `--l2-adapter` objects: defaults, every key, limits, names.

use std::path::Path;
use std::time::Duration;

use lmcache::error::{Error, ErrorKind};
use lmcache::storage::config::l2::fault_inject::MAX_DEPTH;
use lmcache::storage::config::l2::known::{ABSENT, EXAMPLES, KNOWN};
use lmcache::storage::config::l2::{
    FaultInjectAdapterConfig, FileChecksum, FsAdapterConfig, FsIoEngine, MockAdapterConfig,
    PluginAdapterConfig, RawBlockAdapterConfig, RawBlockIoEngine, RespAdapterConfig, S3AdapterConfig,
};
use lmcache::storage::config::{AdapterKind, EvictionMeasure, EvictionPolicyKind, L2AdapterConfig, Secret};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Reads in an empty environment.
fn read(json: &str) -> L2AdapterConfig {
    L2AdapterConfig::from_json_in(json, &|_| None).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn error(json: &str) -> Error {
    L2AdapterConfig::from_json_in(json, &|_| None).expect_err(json)
}

fn mock() -> MockAdapterConfig {
    MockAdapterConfig {
        max_size_bytes: 1 << 30,
        bandwidth_bytes_per_s: 2f64.powi(31),
        load_bandwidth_bytes_per_s: 2f64.powi(31),
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        jitter_seed: 0,
        keep_bytes: true,
    }
}

const MOCK: &str = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":2}"#;

#[test]
fn what_every_adapter_has() {
    let config = read(MOCK);
    assert_eq!(config.kind, AdapterKind::Mock(mock()));
    assert_eq!(
        (config.affinity_tag.as_str(), config.shared, config.persist_enabled),
        ("_default", false, true)
    );
    assert!(config.eviction.is_none() && config.serde.is_none());

    let config = read(
        r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":2,"affinity_tag":"hot","shared":true,
            "persist_enabled":false,"serde":{"type":"fp8"},
            "eviction":{"eviction_policy":"ARC","trigger_watermark":0.5,"eviction_ratio":1,"by":"bytes"}}"#,
    );
    assert_eq!((config.affinity_tag.as_str(), config.shared, config.persist_enabled), ("hot", true, false));
    assert_eq!(config.serde.map(|serde| serde.name()), Some("fp8"));
    let eviction = config.eviction.expect("given");
    assert_eq!((eviction.policy, eviction.by), (EvictionPolicyKind::Arc, EvictionMeasure::Bytes));
    assert_eq!((eviction.trigger_watermark, eviction.eviction_ratio), (0.5, 1.0));

    let eviction =
        read(&MOCK.replace('}', r#","eviction":{"eviction_policy":"LRU"}}"#)).eviction.expect("given");
    assert_eq!((eviction.trigger_watermark, eviction.eviction_ratio), (0.8, 0.2));
    assert_eq!(eviction.by, EvictionMeasure::Keys);
}

#[test]
fn every_key_of_mock() {
    let config = read(
        r#"{"type":"mock","max_size_gb":0.5,"mock_bandwidth_gb":1,"load_bandwidth_gb":4,"latency_ms":0.25,
            "jitter_ms":3,"jitter_seed":18446744073709551615,"keep_bytes":false}"#,
    );
    let expected = MockAdapterConfig {
        max_size_bytes: 1 << 29,
        bandwidth_bytes_per_s: 2f64.powi(30),
        load_bandwidth_bytes_per_s: 2f64.powi(32),
        latency: Duration::from_micros(250),
        jitter: MS(3),
        jitter_seed: u64::MAX,
        keep_bytes: false,
    };
    assert_eq!(config.kind, AdapterKind::Mock(expected));
}

#[test]
fn every_key_of_fs_and_fs_native() {
    let defaults = FsAdapterConfig {
        base_path: "/kv".into(),
        relative_tmp_dir: None,
        read_ahead_bytes: None,
        use_odirect: false,
        num_workers: 4,
        max_capacity_bytes: None,
        checksum: FileChecksum::None,
        durable: true,
        io_engine: FsIoEngine::Auto,
    };
    assert_eq!(read(r#"{"type":"fs","base_path":"/kv"}"#).kind, AdapterKind::Fs(defaults.clone()));
    let empty = r#"{"type":"fs_native","base_path":"/kv","relative_tmp_dir":"","max_capacity_gb":0}"#;
    assert_eq!(read(empty).kind, AdapterKind::FsNative(defaults));
    for kind in ["fs", "fs_native"] {
        let config = read(&format!(
            r#"{{"type":"{kind}","base_path":"/kv","relative_tmp_dir":"tmp/new","read_ahead_size":4096,
                "use_odirect":true,"num_workers":1024,"max_capacity_gb":1.5,"checksum":"crc32c",
                "durable":false,"io_engine":"io_uring"}}"#
        ));
        let (AdapterKind::Fs(fs) | AdapterKind::FsNative(fs)) = config.kind else { panic!("{kind}") };
        assert_eq!(fs.relative_tmp_dir.as_deref(), Some(Path::new("tmp/new")));
        assert_eq!((fs.read_ahead_bytes, fs.use_odirect, fs.num_workers), (Some(4096), true, 1024));
        assert_eq!(fs.max_capacity_bytes, Some(3 << 29));
        assert_eq!(
            (fs.checksum, fs.durable, fs.io_engine),
            (FileChecksum::Crc32c, false, FsIoEngine::IoUring)
        );
    }
    for path in ["/tmp", "../up", "a/../../b"] {
        let json = format!(r#"{{"type":"fs","base_path":"/kv","relative_tmp_dir":"{path}"}}"#);
        assert!(error(&json).to_string().contains("relative_tmp_dir"), "{path}");
    }
}

#[test]
fn every_key_of_raw_block() {
    let defaults = RawBlockAdapterConfig {
        device_path: "/dev/x".into(),
        slot_bytes: 8192,
        capacity_bytes: None,
        use_odirect: true,
        block_align: 4096,
        header_bytes: 4096,
        meta_total_bytes: 256 << 20,
        meta_magic: *b"LMCIDX01",
        meta_version: 1,
        meta_checkpoint_interval: Duration::from_secs(60),
        meta_idle_quiet: MS(100),
        meta_enable_periodic: true,
        load_checkpoint_on_init: true,
        meta_verify_on_load: true,
        enable_zero_copy: true,
        io_engine: RawBlockIoEngine::Posix,
        iouring_queue_depth: 256,
        max_data_transfer_bytes: None,
        num_store_workers: 2,
        num_lookup_workers: 1,
        num_load_workers: 4,
    };
    let least = r#"{"type":"raw_block","device_path":"/dev/x","slot_bytes":8192}"#;
    assert_eq!(read(least).kind, AdapterKind::RawBlock(defaults));
    let config = read(
        r#"{"type":"raw_block","device_path":"/dev/x","slot_bytes":1024,"capacity_bytes":1048576,
            "use_odirect":false,"block_align":512,"header_bytes":512,"meta_total_bytes":2048,
            "meta_magic":"LMCIDX99","meta_version":7,"meta_checkpoint_interval_sec":5,
            "meta_idle_quiet_ms":0,"meta_enable_periodic":false,"load_checkpoint_on_init":false,
            "meta_verify_on_load":false,"enable_zero_copy":false,"io_engine":"io_uring",
            "iouring_queue_depth":32768,"max_data_transfer_size":131072,"num_store_workers":3,
            "num_lookup_workers":5,"num_load_workers":6,"fdp_data_placement_policy":"none",
            "fdp_slot_reuse_policy":"none"}"#,
    );
    let expected = RawBlockAdapterConfig {
        device_path: "/dev/x".into(),
        slot_bytes: 1024,
        capacity_bytes: Some(1 << 20),
        use_odirect: false,
        block_align: 512,
        header_bytes: 512,
        meta_total_bytes: 2048,
        meta_magic: *b"LMCIDX99",
        meta_version: 7,
        meta_checkpoint_interval: Duration::from_secs(5),
        meta_idle_quiet: Duration::ZERO,
        meta_enable_periodic: false,
        load_checkpoint_on_init: false,
        meta_verify_on_load: false,
        enable_zero_copy: false,
        io_engine: RawBlockIoEngine::IoUring,
        iouring_queue_depth: 32_768,
        max_data_transfer_bytes: Some(131_072),
        num_store_workers: 3,
        num_lookup_workers: 5,
        num_load_workers: 6,
    };
    assert_eq!(config.kind, AdapterKind::RawBlock(expected));
}

#[test]
fn what_raw_block_cannot_be_is_said() {
    let with =
        |fields: &str| format!(r#"{{"type":"raw_block","device_path":"/dev/x","slot_bytes":8192{fields}}}"#);
    for (fields, words) in [
        (r#","header_bytes":8192"#, "slot_bytes must be more than header_bytes"),
        (r#","header_bytes":100"#, "header_bytes must be a multiple"),
        (r#","block_align":8,"header_bytes":16"#, "header_bytes must be at least 24"),
        (r#","block_align":3000"#, "power of two"),
        (r#","meta_total_bytes":12288"#, "meta_total_bytes must have room"),
        (r#","meta_total_bytes":16385"#, "meta_total_bytes must be a multiple"),
        (r#","capacity_bytes":268435456"#, "capacity_bytes must leave room"),
        (r#","meta_magic":"LMCIDX0""#, "meta_magic must be 8"),
        (r#","meta_magic":"LMCIDX012""#, "meta_magic must be 8"),
        (r#","iouring_queue_depth":32769"#, "iouring_queue_depth"),
        (r#","persist_enabled":false"#, "raw_block requires persist_enabled"),
    ] {
        let error = error(&with(fields));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{fields}");
        assert!(error.to_string().contains(words), "{fields}: {error}");
    }
    let odd = error(&with("").replace("8192", "8193"));
    assert!(odd.to_string().starts_with("slot_bytes must be a multiple of block_align (block_align 4096"));
    assert_eq!(odd.hint(), Some("the next one is 12288"));
    read(&with(r#","capacity_bytes":268435457"#));
    read(&with(r#","meta_total_bytes":16384"#));
    read(&with(r#","block_align":8,"header_bytes":24"#));
}

#[test]
fn every_key_of_resp() {
    let defaults = RespAdapterConfig {
        host: "h".to_owned(),
        port: 6379,
        num_workers: 8,
        username: String::new(),
        password: Secret::default(),
        max_capacity_bytes: None,
        connect_timeout: MS(10_000),
        request_timeout: MS(5000),
        pipeline_depth: 32,
        max_value_bytes: 512 << 20,
        name_prefix: String::new(),
    };
    assert_eq!(read(r#"{"type":"resp","host":"h","port":6379}"#).kind, AdapterKind::Resp(defaults));
    let config = read(
        r#"{"type":"resp","host":"::1","port":65535,"num_workers":2,"username":"u","password":"p",
            "max_capacity_gb":2,"connect_timeout_ms":1,"request_timeout_ms":0.5,"pipeline_depth":4096,
            "max_value_bytes":1}"#,
    );
    let expected = RespAdapterConfig {
        host: "::1".to_owned(),
        port: 65_535,
        num_workers: 2,
        username: "u".to_owned(),
        password: Secret::new("p"),
        max_capacity_bytes: Some(2 << 30),
        connect_timeout: MS(1),
        request_timeout: Duration::from_micros(500),
        pipeline_depth: 4096,
        max_value_bytes: 1,
        name_prefix: String::new(),
    };
    assert_eq!(config.kind, AdapterKind::Resp(expected));
}

#[test]
fn the_environment_fills_what_resp_leaves_out() {
    let environment = |name: &str| {
        let value = match name {
            "LMCACHE_RESP_HOST" => "redis.local",
            "LMCACHE_RESP_PORT" => "6380",
            "LMCACHE_RESP_USERNAME" => "someone",
            "LMCACHE_RESP_PASSWORD" => "sesame",
            other => panic!("{other}"),
        };
        Some(value.to_owned())
    };
    let resp = |json: &str| match L2AdapterConfig::from_json_in(json, &environment).unwrap().kind {
        AdapterKind::Resp(resp) => (resp.host, resp.port, resp.username, resp.password.expose().to_owned()),
        other => panic!("{other:?}"),
    };
    let owned = |host: &str, port, user: &str, password: &str| {
        (host.to_owned(), port, user.to_owned(), password.to_owned())
    };
    assert_eq!(resp(r#"{"type":"resp"}"#), owned("redis.local", 6380, "someone", "sesame"));
    let given = r#"{"type":"resp","host":"h","port":1,"username":"u","password":"p"}"#;
    assert_eq!(resp(given), owned("h", 1, "u", "p"));
    for port in ["", "x", "0", "65536", "-1"] {
        let broken = |name: &str| (name == "LMCACHE_RESP_PORT").then(|| port.to_owned());
        let error = L2AdapterConfig::from_json_in(r#"{"type":"resp","host":"h"}"#, &broken).expect_err(port);
        assert!(error.hint().is_some_and(|hint| hint.contains("LMCACHE_RESP_PORT")), "{error}");
    }
    assert!(
        error(r#"{"type":"resp","port":1}"#).hint().is_some_and(|hint| hint.contains("LMCACHE_RESP_HOST"))
    );
}

#[test]
fn every_key_of_s3() {
    let defaults = S3AdapterConfig {
        endpoint: "kv.s3.eu-west-1.amazonaws.com".to_owned(),
        bucket: "kv".to_owned(),
        region: "eu-west-1".to_owned(),
        num_io_threads: 64,
        prefer_http2: true,
        enable_s3express: false,
        disable_tls: false,
        access_key_id: None,
        secret_access_key: None,
        session_token: None,
        max_capacity_bytes: None,
        path_style: false,
        connect_timeout: MS(5000),
        request_timeout: MS(30_000),
        name_prefix: String::new(),
    };
    for scheme in ["", "s3://", "https://"] {
        let config = read(&format!(
            r#"{{"type":"s3","s3_endpoint":"{scheme}kv.s3.eu-west-1.amazonaws.com","s3_region":"eu-west-1"}}"#
        ));
        assert_eq!(config.kind, AdapterKind::S3(defaults.clone()));
    }
    assert_eq!(defaults.url(), "https://kv.s3.eu-west-1.amazonaws.com");
    let config = read(
        r#"{"type":"s3","s3_endpoint":"http://127.0.0.1:9000/","s3_region":"r","s3_num_io_threads":3,
            "s3_prefer_http2":false,"s3_enable_s3express":true,"aws_access_key_id":"id",
            "aws_secret_access_key":"key","aws_session_token":"session","max_capacity_gb":0.5,
            "s3_path_style":true,"s3_bucket":"kv","connect_timeout_ms":1,"request_timeout_ms":2}"#,
    );
    let AdapterKind::S3(s3) = config.kind else { panic!("{config:?}") };
    assert_eq!(s3.url(), "http://127.0.0.1:9000");
    assert_eq!((s3.bucket.as_str(), s3.path_style, s3.disable_tls), ("kv", true, true));
    assert_eq!((s3.num_io_threads, s3.prefer_http2, s3.enable_s3express), (3, false, true));
    assert_eq!((s3.access_key_id, s3.secret_access_key), (Some(Secret::new("id")), Some(Secret::new("key"))));
    assert_eq!((s3.session_token, s3.max_capacity_bytes), (Some(Secret::new("session")), Some(1 << 29)));
    assert_eq!((s3.connect_timeout, s3.request_timeout), (MS(1), MS(2)));
}

#[test]
fn an_endpoint_that_s3_cannot_use_is_not_shown() {
    for endpoint in [
        "ftp://kv.host",
        "user:sesame@kv.host",
        "kv.host/sesame",
        "kv.host?sesame",
        "https://",
        " ",
        "kv host",
    ] {
        let json = format!(r#"{{"type":"s3","s3_endpoint":"{endpoint}","s3_region":"r"}}"#);
        let error = error(&json);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{endpoint}");
        assert!(!format!("{error} {:?}", error.hint()).contains("sesame"), "{error}");
    }
    let no_bucket = r#"{"type":"s3","s3_endpoint":"127.0.0.1:9000","s3_region":"r","s3_path_style":true}"#;
    assert!(error(no_bucket).to_string().contains("bucket"));
}

#[test]
fn every_key_of_fault_inject() {
    let least = read(&format!(r#"{{"type":"fault_inject","inner":{MOCK}}}"#));
    let defaults = FaultInjectAdapterConfig {
        inner: Box::new(read(MOCK)),
        rate: 0.0,
        seed: 0,
        gap_indices: Vec::new(),
        gap_tail_ratios: Vec::new(),
        store_error_rate: 0.0,
        lookup_error_rate: 0.0,
        load_error_rate: 0.0,
        torn_write_rate: 0.0,
        delay: Duration::ZERO,
        status_panics: false,
    };
    assert_eq!(least.innermost().kind, AdapterKind::Mock(mock()));
    assert_eq!(least.kind, AdapterKind::FaultInject(defaults));
    let config = read(&format!(
        r#"{{"type":"fault_inject","rate":1,"seed":-7,"gap_indices":[0,9],"gap_tail_ratios":[0,0.5,1],
            "store_error_rate":0.1,"lookup_error_rate":0.2,"load_error_rate":0.3,"torn_write_rate":0.4,
            "delay_ms":86400000,"status_panics":true,"inner":{MOCK}}}"#
    ));
    let expected = FaultInjectAdapterConfig {
        inner: Box::new(read(MOCK)),
        rate: 1.0,
        seed: -7,
        gap_indices: vec![0, 9],
        gap_tail_ratios: vec![0.0, 0.5, 1.0],
        store_error_rate: 0.1,
        lookup_error_rate: 0.2,
        load_error_rate: 0.3,
        torn_write_rate: 0.4,
        delay: MS(86_400_000),
        status_panics: true,
    };
    assert_eq!(config.kind, AdapterKind::FaultInject(expected));
}

/// LMCache reads them, and makes the adapter from the outer ones.
#[test]
fn settings_of_the_whole_do_not_hide_in_the_inner_adapter() {
    for field in [
        r#""eviction":{"eviction_policy":"LRU"}"#,
        r#""persist_enabled":true"#,
        r#""serde":{"type":"fp8"}"#,
        r#""affinity_tag":"a""#,
        r#""shared":true"#,
    ] {
        let inner = MOCK.replace('}', &format!(",{field}}}"));
        let error = error(&format!(r#"{{"type":"fault_inject","inner":{inner}}}"#));
        assert!(error.hint().is_some_and(|hint| hint.contains("around it")), "{field}: {error}");
        read(&format!(r#"{{"type":"fault_inject","inner":{MOCK},{field}}}"#));
    }
    let raw_block = r#"{"type":"raw_block","device_path":"/x","slot_bytes":8192}"#;
    let volatile = format!(r#"{{"type":"fault_inject","persist_enabled":false,"inner":{raw_block}}}"#);
    assert!(error(&volatile).to_string().contains("persist_enabled"));
}

#[test]
fn every_key_of_plugin() {
    let config =
        read(r#"{"type":"plugin","library_path":"a.so","adapter_params":{"n":1},"max_capacity_gb":1}"#);
    let AdapterKind::Plugin(plugin) = config.kind else { panic!("{config:?}") };
    let PluginAdapterConfig { library_path, adapter_params, max_capacity_bytes } = plugin;
    assert_eq!((library_path.as_path(), max_capacity_bytes), (Path::new("a.so"), Some(1 << 30)));
    assert_eq!(serde_json::to_string(&adapter_params).unwrap(), r#"{"n":1}"#);
    let AdapterKind::Plugin(least) = read(r#"{"type":"plugin","library_path":"a.so"}"#).kind else {
        panic!()
    };
    assert!(least.adapter_params.is_empty() && least.max_capacity_bytes.is_none());
    let python = error(r#"{"type":"plugin","module_path":"a.b","class_name":"C"}"#);
    assert_eq!(python.kind(), ErrorKind::Unsupported);
    assert!(python.hint().is_some_and(|hint| hint.contains("library_path")));
    assert!(
        error(r#"{"type":"plugin","library_path":"a.so","adapter_params":[]}"#)
            .to_string()
            .contains("object")
    );
}

/// The value that is the limit, and the one past it, of every limit that is ours.
#[test]
fn limits_are_accepted_and_refused_one_past() {
    let fs = r#""type":"fs","base_path":"/kv""#;
    let resp = r#""type":"resp","host":"h","port":1"#;
    let fault = format!(r#""type":"fault_inject","inner":{MOCK}"#);
    for (least, key, limit, past) in [
        (fs, "num_workers", "1024", "1025"),
        (fs, "num_workers", "1", "0"),
        (fs, "read_ahead_size", "1", "0"),
        (fs, "max_capacity_gb", "8589934591", "8589934592"),
        (r#""type":"resp","host":"h""#, "port", "65535", "65536"),
        (resp, "pipeline_depth", "4096", "4097"),
        (resp, "pipeline_depth", "1", "0"),
        (resp, "connect_timeout_ms", "86400000", "86400001"),
        (resp, "request_timeout_ms", "0.000001", "0"),
        (resp, "max_value_bytes", "1", "0"),
        (&fault, "delay_ms", "86400000", "86400001"),
        (&fault, "delay_ms", "0", "-1"),
        (&fault, "torn_write_rate", "1", "1.01"),
        (&fault, "store_error_rate", "1.0", "1.01"),
        (&fault, "lookup_error_rate", "0", "-0.01"),
        (&fault, "load_error_rate", "1", "2"),
        (&fault, "seed", "-9223372036854775808", "-9223372036854775809"),
        (&fault, "seed", "9223372036854775807", "9223372036854775808"),
    ] {
        read(&format!("{{{least},\"{key}\":{limit}}}"));
        let error = error(&format!("{{{least},\"{key}\":{past}}}"));
        assert!(error.to_string().contains(key), "{key} {past}: {error}");
    }
    let gaps = |count: usize| format!("{{{fault},\"gap_indices\":[{}]}}", vec!["1"; count].join(","));
    read(&gaps(65_536));
    assert!(error(&gaps(65_537)).to_string().contains("at most 65536"));
}

#[test]
fn adapters_can_be_nested_to_the_limit() {
    let nested = |depth: usize| {
        let opening = r#"{"type":"fault_inject","inner":"#.repeat(depth);
        format!("{opening}{MOCK}{}", "}".repeat(depth))
    };
    assert_eq!(read(&nested(MAX_DEPTH)).innermost().kind, AdapterKind::Mock(mock()));
    assert!(error(&nested(MAX_DEPTH + 1)).to_string().contains("nested too deeply"));
    assert_eq!(error(&nested(100_000)).kind(), ErrorKind::InvalidArgument);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for example in EXAMPLES {
        let config = read(example);
        let wrong = example.replacen('{', r#"{"base_pth":1,"#, 1);
        let error = error(&wrong);
        assert!(error.to_string().contains("field base_pth"), "{error}");
        assert!(error.to_string().contains(&format!("type {}", config.kind.name())), "{error}");
    }
    let inner = r#"{"type":"fault_inject","inner":{"type":"fs","base_path":"/x","x":1}}"#;
    assert!(
        error(inner).to_string().contains("field x, type fs, in inner, type fault_inject"),
        "{}",
        error(inner)
    );
    let hostile = format!(r#"{{"type":"fs","base_path":"/x","\u001b[31m{}":1}}"#, "y".repeat(10_000));
    let said = error(&hostile).to_string();
    assert!(said.len() < 300 && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn there_is_an_example_of_each_type() {
    let names: Vec<&str> = EXAMPLES.iter().map(|example| read(example).kind.name()).collect();
    assert_eq!(names, KNOWN);
}

#[test]
fn types_of_lmcache_that_this_build_lacks_say_what_to_use() {
    for (name, instead) in ABSENT {
        let error = error(&format!(r#"{{"type":"{name}"}}"#));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
        assert!(error.to_string().contains("not part of this build") && error.to_string().contains(name));
        assert_eq!(error.hint(), Some(instead));
    }
    let unknown = error(r#"{"type":"redis"}"#);
    assert_eq!(unknown.kind(), ErrorKind::InvalidArgument);
    assert!(unknown.hint().is_some_and(|hint| KNOWN.iter().all(|name| hint.contains(name))), "{unknown}");
}

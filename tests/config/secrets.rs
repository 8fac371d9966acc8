//! Secrets of adapters: used, and never seen.

use lmcache::storage::config::{
    AdapterKind, EvictionPolicyKind, GIB_BYTES, L2AdapterConfig, StorageManagerConfig,
};

const SECRETS: [&str; 3] = [
    r#"{"type":"resp","host":"h","port":1,"username":"u","password":"sesame"}"#,
    r#"{"type":"s3","s3_endpoint":"kv.host","s3_region":"r","aws_access_key_id":"sesame-id",
        "aws_secret_access_key":"sesame-key","aws_session_token":"sesame-session"}"#,
    r#"{"type":"plugin","library_path":"a.so",
        "adapter_params":{"a":[{"API_TOKEN":"sesame","n":1}],"Password":{"x":"sesame"}}}"#,
];

fn config(json: &str) -> StorageManagerConfig {
    let mut config = StorageManagerConfig::l1_only(GIB_BYTES, EvictionPolicyKind::Lru);
    config.l2_adapters = vec![L2AdapterConfig::from_json(json).expect("valid JSON")];
    config
}

#[test]
fn secrets_are_in_no_text_that_anybody_sees() {
    for json in SECRETS {
        for json in [json.to_owned(), format!(r#"{{"type":"fault_inject","inner":{json}}}"#)] {
            let config = config(&json);
            for seen in [format!("{config:?}"), format!("{config:#?}"), config.to_json()] {
                assert!(!seen.contains("sesame") && seen.contains("***"), "{seen}");
            }
            let in_code = L2AdapterConfig::new(config.l2_adapters[0].kind.clone());
            assert!(!in_code.spec.to_string().contains("sesame"), "{}", in_code.spec);
        }
    }
    let AdapterKind::Resp(resp) = &config(SECRETS[0]).l2_adapters[0].kind else { panic!("resp") };
    assert_eq!(resp.password.expose(), "sesame");
    assert_eq!(format!("{}", resp.password), "***");
}

#[test]
fn an_error_shows_no_value() {
    for json in [
        r#"{"type":"resp","host":"h","port":0,"password":"sesame"}"#,
        r#"{"type":"resp","host":"u:sesame@h","port":1}"#,
        r#"{"type":"resp","host":"h","port":1,"password":["sesame"]}"#,
        r#"{"type":"resp","host":"h","port":1,"passwrd":"sesame"}"#,
        r#"{"type":"resp","host":"h","port":1,"password":"sesame"#,
        r#"{"type":"s3","s3_endpoint":"kv.host","s3_region":"r","aws_secret_access_key":"sesame"}"#,
    ] {
        let error = L2AdapterConfig::from_json(json).expect_err(json);
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("sesame"), "{error}");
    }
}

#[test]
fn a_secret_does_not_change_the_digest_and_everything_else_does() {
    let resp = |password: &str, port: u16| {
        config(&format!(r#"{{"type":"resp","port":{port},"host":"h","password":"{password}"}}"#)).digest()
    };
    assert_eq!(resp("a", 1), resp("b", 1));
    assert_ne!(resp("a", 1), resp("a", 2));
}

#[test]
fn the_digest_is_the_same_however_an_object_is_written() {
    let digest = |json: &str| config(json).digest();
    let expected = digest(r#"{"type":"fs","base_path":"/kv","num_workers":2}"#);
    assert_eq!(digest(" { \"num_workers\" : 2 , \"base_path\" : \"\\/kv\", \"type\":\"fs\"}"), expected);
    let one = config(r#"{"type":"fs","base_path":"/kv"}"#);
    assert!(
        one.to_json().contains(r#""l2_adapter_config": {"adapters": [{"base_path": "/kv", "type": "fs"}]}"#),
        "{}",
        one.to_json()
    );
}

#[test]
fn a_kind_that_is_made_in_code_is_told_apart() {
    let kind = |json: &str| L2AdapterConfig::from_json(json).expect("valid JSON").kind;
    let spec = |json: &str| L2AdapterConfig::new(kind(json)).spec;
    assert_ne!(spec(r#"{"type":"fs","base_path":"/a"}"#), spec(r#"{"type":"fs","base_path":"/b"}"#));
}

//! Every real trace gives exactly what LMCache's own reader gave (`fixtures/expect`).

use std::collections::{BTreeMap, BTreeSet};

use lmcache::format::lct::{Ending, Header, for_each_key};
use lmcache::format::model::key::Hex;
use lmcache::trace::{Entry, Record, TraceReader};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common;

/// Python's `repr` of a float: the shortest digits, with an exponent below 1e-4 and from 1e16 on.
fn python_repr(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1e-4..1e16).contains(&magnitude) {
        let text = format!("{value}");
        return if text.contains('.') { text } else { text + ".0" };
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[derive(Default)]
struct Reading {
    records: u64,
    per_qualname: BTreeMap<String, u64>,
    max_t_mono: f64,
    t_mono_sum: f64,
    keys_total: u64,
    keys: BTreeSet<(String, String, i64, u32, String)>,
    models: BTreeSet<String>,
    undecodable_keys: u64,
    canon: Sha256,
    canon_bits: Sha256,
}

impl Reading {
    fn add(&mut self, record: &Record<'_>) {
        self.records += 1;
        *self.per_qualname.entry(record.qualname.to_owned()).or_default() += 1;
        self.max_t_mono = self.max_t_mono.max(record.t_mono_s);
        self.t_mono_sum += record.t_mono_s;
        let (mut first, mut last) = (String::new(), String::new());
        let nkeys = for_each_key(&record.args, |key| {
            let view = key.view;
            last = match key.hash_is_hex {
                true => String::from_utf8(view.chunk_hash.to_vec()).unwrap(),
                false => Hex(view.chunk_hash).to_string(),
            };
            if first.is_empty() {
                first.clone_from(&last);
            }
            self.models.insert(view.model_name.to_owned());
            let (model, salt) = (view.model_name.to_owned(), view.cache_salt.to_owned());
            self.keys.insert((last.clone(), model, view.kv_rank, view.object_group_id, salt));
        });
        let nkeys = nkeys.unwrap_or_else(|_| {
            self.undecodable_keys += 1;
            0
        });
        self.keys_total += nkeys as u64;
        let tail = format!("|{}|{nkeys}|{first}|{last}\n", record.qualname);
        self.canon.update(python_repr(record.t_mono_s) + &tail);
        self.canon_bits.update(format!("{:016x}{tail}", record.t_mono_s.to_bits()));
    }
}

fn check_header(name: &str, header: &Header, expected: &Value) {
    let text = |field: &str| expected[field].as_str().unwrap_or_else(|| panic!("{name}: {field}"));
    assert_eq!(header.level.name(), text("level"), "{name}");
    assert_eq!(header.format_version, expected["format_version"].as_i64().unwrap(), "{name}");
    assert_eq!(header.trace_schema_version, expected["trace_schema_version"].as_i64().unwrap(), "{name}");
    assert_eq!(header.t_mono_start_s, expected["t_mono_start"].as_f64().unwrap(), "{name}");
    assert_eq!(header.t_wall_start_s, expected["t_wall_start"].as_f64().unwrap(), "{name}");
    assert_eq!(header.sm_config_digest, text("sm_config_digest"), "{name}");
    assert_eq!(
        header.sm_config_json.chars().count() as u64,
        expected["sm_config_json_len"].as_u64().unwrap()
    );
    let digest = Hex(&Sha256::digest(&header.sm_config_json)).to_string();
    assert_eq!(digest, text("sm_config_json_sha256"), "{name}");
    let meta: serde_json::Map<_, _> = header.level_meta.iter().cloned().collect();
    assert_eq!(
        Value::Object(meta),
        expected.get("level_meta").cloned().unwrap_or_else(|| serde_json::json!({}))
    );
}

fn check_reading(name: &str, reader: &TraceReader, expected: &Value) {
    check_header(name, reader.header(), &expected["header"]);
    let mut reading = Reading::default();
    let mut records = reader.records();
    for entry in &mut records {
        if let Entry::Record(record) = entry {
            reading.add(&record);
        }
    }
    let number = |field: &str| expected[field].as_u64().unwrap_or_else(|| panic!("{name}: {field}"));
    assert_eq!(reading.records, number("records"), "{name}");
    assert_eq!(serde_json::json!(reading.per_qualname), expected["per_qualname"], "{name}");
    assert_eq!(records.skipped(), number("malformed"), "{name}");
    let truncated_in = match records.ending().unwrap() {
        Ending::Clean => Value::Null,
        Ending::InPrefix { .. } => "length_prefix".into(),
        Ending::InBody { .. } => "body".into(),
    };
    assert_eq!(truncated_in, expected["truncated_in"], "{name}");
    assert_eq!(!truncated_in.is_null(), expected["truncated"].as_bool().unwrap(), "{name}");
    assert_eq!(reading.max_t_mono, expected["max_t_mono"].as_f64().unwrap(), "{name}");
    assert_eq!(reading.t_mono_sum, hex_float(expected["t_mono_sum_hex"].as_str().unwrap()), "{name}");
    assert_eq!(reading.keys_total, number("keys_total"), "{name}");
    assert_eq!(reading.keys.len() as u64, number("keys_distinct"), "{name}");
    assert_eq!(reading.models.len() as u64, number("models_distinct"), "{name}");
    let models: Vec<_> = reading.models.iter().take(50).collect();
    assert_eq!(serde_json::json!(models), expected["models"], "{name}");
    assert_eq!(reading.undecodable_keys, number("records_with_undecodable_keys"), "{name}");
    assert_eq!(Hex(&reading.canon.finalize()).to_string(), expected["canon_sha256"], "{name}");
    assert_eq!(Hex(&reading.canon_bits.finalize()).to_string(), expected["canon_bits_sha256"], "{name}");
}

/// Python's `float.hex`.
fn hex_float(text: &str) -> f64 {
    let (mantissa, exponent) = text.strip_prefix("0x").unwrap().split_once('p').unwrap();
    let (whole, fraction) = mantissa.split_once('.').unwrap();
    let digits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    digits as f64 * 2f64.powi(exponent - 4 * fraction.len() as i32)
}

fn check(fixture: &str, expect: &str) {
    let expected = common::json(&format!("expect/{expect}.json"));
    let bytes = common::unpack(fixture);
    assert_eq!(bytes.len() as u64, expected["size"].as_u64().unwrap(), "{fixture}");
    match (TraceReader::from_bytes(fixture, bytes), expected.get("rejected")) {
        (Ok(reader), None) => check_reading(fixture, &reader, &expected),
        (Err(error), Some(_)) => check_rejection(expect, &error),
        (Ok(_), Some(_)) => panic!("{fixture}: LMCache refuses this file"),
        (Err(error), None) => panic!("{fixture}: LMCache reads this file, but: {error}"),
    }
}

fn check_rejection(name: &str, error: &lmcache::error::Error) {
    let sentence = match name {
        "bad_format_version" => "unsupported format_version (found 2, expected 1)",
        "bad_schema_version" => "unsupported trace_schema_version (found 2, expected 1)",
        "bad_magic" => "bad magic: this is not an LMCache trace (found b\"XMCT\", expected b\"LMCT\")",
        "not_a_trace" => {
            "this is not an LMCache trace: it ends inside its first frame (offset 4, bytes there 34, bytes promised 1751477356)"
        }
        "zero_bytes" => "the trace file is empty: it has no header",
        other => panic!("{other}: an unexpected refusal: {error}"),
    };
    assert_eq!(error.to_string(), sentence);
    assert!(error.hint().is_some() || name == "bad_magic");
}

#[test]
fn every_trace_reads_as_lmcache_reads_it() {
    let mut checked = 0;
    for entry in std::fs::read_dir(common::fixtures().join("expect")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".json").unwrap();
        match name.strip_prefix("old-") {
            Some(version) => check(&format!("old_traces/{version}.lct"), name),
            None => check(&format!("traces/{name}.lct"), name),
        }
        checked += 1;
    }
    assert_eq!(checked, 35);
}

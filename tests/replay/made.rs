//! Trace files made up on the spot, byte by byte.

use serde_json::{Value, json};

/// A string that begins like this becomes bytes.
const BYTES: &str = "bytes:";

/// A trace of level "storage", of which the recorder was told no configuration.
pub(crate) struct MadeTrace(Vec<u8>);

impl MadeTrace {
    pub(crate) fn new() -> Self {
        Self::started_at(1.0)
    }

    /// One whose recorder started at this time of the wall clock, in seconds.
    pub(crate) fn started_at(t_wall_start_s: f64) -> Self {
        let mut trace = Self(Vec::new());
        trace.frame(&json!({
            "type": "header", "magic": "bytes:LMCT", "format_version": 1, "level": "storage",
            "trace_schema_version": 1, "t_mono_start": 1.0, "t_wall_start": t_wall_start_s,
            "sm_config_json": "", "sm_config_digest": "",
        }));
        trace
    }

    /// One more record, of one of the storage manager's calls.
    pub(crate) fn call(self, t_mono_s: f64, name: &str, args: Value) -> Self {
        let qualname = format!("lmcache.v1.distributed.storage_manager.StorageManager.{name}");
        self.record(t_mono_s, &qualname, args)
    }

    /// One more record, of any name.
    pub(crate) fn record(mut self, t_mono_s: f64, qualname: &str, args: Value) -> Self {
        self.frame(&json!({
            "type": "record", "t_mono": t_mono_s, "t_wall": 1.0, "qualname": qualname, "args": args,
        }));
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }

    fn frame(&mut self, value: &Value) {
        let mut body = Vec::new();
        pack(value, &mut body);
        self.0.extend(u32::try_from(body.len()).expect("a short frame").to_be_bytes());
        self.0.extend(body);
    }
}

/// Arguments that hold keys, each named by one byte.
pub(crate) fn keys(names: &str) -> Value {
    let key = |name: char| {
        json!({"__t__": "ObjectKey", "v": {
            "chunk_hash": format!("{BYTES}{name}"), "model_name": "m", "kv_rank": 0, "object_group_id": 0,
        }})
    };
    names.chars().map(key).collect()
}

/// A layout of one tensor of this many bytes.
pub(crate) fn layout(size_bytes: u64) -> Value {
    json!({"__t__": "MemoryLayoutDesc", "v": {"shapes": [[size_bytes]], "dtypes": ["torch.uint8"]}})
}

/// The arguments of a prefetch as LMCache 0.5.6 records them: rows of keys, each with its window.
pub(crate) fn prefetch(rows: &[(&str, i64)], num_kv_readers: i64) -> Value {
    let row = |&(names, window): &(&str, i64)| {
        json!({"__t__": "GroupedObjectKeys", "v": {
            "keys": keys(names), "object_group_id": 0, "layout_desc": layout(16), "sliding_window_size": window,
        }})
    };
    json!({
        "spec": {"__t__": "PrefetchTaskSpec", "v": {
            "key_groups": rows.iter().map(row).collect::<Vec<_>>(),
            "num_kv_readers": num_kv_readers,
            "fetching_policy": "prefix",
            "lock_mode": {"__t__": "PrefetchLockMode", "v": "LOCK"},
        }},
        "external_request_id": "r",
        "skip_l2": false,
    })
}

/// Msgpack, in its longest forms.
fn pack(value: &Value, out: &mut Vec<u8>) {
    let length = |count: usize| u32::try_from(count).expect("short").to_be_bytes();
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 + u8::from(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => {
                [&[0xd3], whole.to_be_bytes().as_slice()].iter().for_each(|part| out.extend(*part))
            }
            None => {
                out.push(0xcb);
                out.extend(number.as_f64().expect("a double").to_be_bytes());
            }
        },
        Value::String(text) => {
            let (tag, bytes) = match text.strip_prefix(BYTES) {
                Some(bytes) => (0xc6, bytes),
                None => (0xdb, text.as_str()),
            };
            out.push(tag);
            out.extend(length(bytes.len()));
            out.extend(bytes.as_bytes());
        }
        Value::Array(values) => {
            out.push(0xdd);
            out.extend(length(values.len()));
            values.iter().for_each(|value| pack(value, out));
        }
        Value::Object(pairs) => {
            out.push(0xdf);
            out.extend(length(pairs.len()));
            for (name, value) in pairs {
                pack(&Value::String(name.clone()), out);
                pack(value, out);
            }
        }
    }
}

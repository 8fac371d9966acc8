//! The index of a device as bytes: LMCache's JSON, and the header in front of it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::entry_meta::{EntryMeta, known_dtype_name};
use super::geometry::{CONTAINER_HEADER_BYTES, Geometry};
use super::key_codec::{self, Scopes};
use super::slots::{Found, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::config::l2::RawBlockAdapterConfig;
use crate::storage::config::python_json::write_string;
use crate::sync::Arc;

/// The version of the JSON.
const JSON_VERSION: u64 = 1;

/// The most numbers of a list in an entry, such as a shape; no object has so many.
const MAX_LIST: usize = 1 << 16;

/// The memory formats that LMCache has.
const FORMATS: [&str; 9] =
    ["UNDEFINED", "KV_2LTD", "KV_T2D", "KV_2TD", "BINARY", "BINARY_BUFFER", "KV_MLA_FMT", "EC_TD", "HS_TD"];

/// The JSON of an index, as `json.dumps(..., separators=(",", ":"))` writes it.
pub(super) fn encode(config: &RawBlockAdapterConfig, geometry: &Geometry, snapshot: &Snapshot) -> String {
    let mut text = format!("{{\"version\":{JSON_VERSION},\"device_path\":");
    write_string(&mut text, &config.device_path.to_string_lossy());
    let numbers = [
        ("capacity_bytes", geometry.capacity_bytes),
        ("block_align", geometry.block_align),
        ("header_bytes", geometry.header_bytes),
        ("slot_bytes", geometry.slot_bytes),
        ("meta_total_bytes", geometry.meta_total_bytes),
    ];
    for (name, number) in numbers {
        let _ = write!(text, ",\"{name}\":{number}");
    }
    text.push_str(",\"meta_magic\":");
    write_string(&mut text, &String::from_utf8_lossy(&config.meta_magic));
    let _ = write!(
        text,
        ",\"meta_version\":{},\"data_base_offset\":{},\"next_slot\":{},\"entries\":{{",
        config.meta_version, geometry.meta_total_bytes, snapshot.next_slot
    );
    for (position, (key, entry)) in snapshot.entries.iter().enumerate() {
        text.push_str(if position == 0 { "" } else { "," });
        write_string(&mut text, &key_codec::encode(key));
        let offset = geometry.slot_offset(entry.slot);
        let _ =
            write!(text, ":{{\"offset\":{offset},\"size\":{},{}}}", entry.size_bytes, entry.meta.as_str());
    }
    text.push_str("}}");
    text
}

/// The header of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerHeader {
    /// Which checkpoint this is, counted from 1. The highest is the newest.
    pub sequence: u64,
    /// How long its JSON is.
    pub payload_bytes: u64,
    /// The CRC-32 of the JSON.
    pub crc32: u32,
}

impl ContainerHeader {
    /// Its bytes.
    pub fn encode(&self, magic: [u8; 8], version: u32) -> [u8; CONTAINER_HEADER_BYTES] {
        let mut bytes = [0; CONTAINER_HEADER_BYTES];
        bytes[..8].copy_from_slice(&magic);
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[28..].copy_from_slice(&self.crc32.to_le_bytes());
        bytes
    }

    /// Reads it, if it is one of this magic and version.
    pub fn decode(bytes: &[u8], magic: [u8; 8], version: u32) -> Option<Self> {
        let is_ours = bytes.get(..8)? == magic && bytes.get(8..12)? == version.to_le_bytes();
        Self::decode_any(bytes).filter(|_| is_ours)
    }

    /// Reads what would be one, whatever its magic and version are.
    pub(super) fn decode_any(bytes: &[u8]) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| {
            Some(bytes.get(range)?.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
        };
        Some(Self {
            sequence: number(12..20)?,
            payload_bytes: number(20..28)?,
            crc32: number(28..32)? as u32,
        })
    }
}

/// What a checkpoint says, as far as it is about this device.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The objects, each in a slot of its own.
    pub(super) found: Vec<Found>,
    /// Slots from here on were never used.
    pub(super) next_slot: u32,
    /// Entries that are none: no slot of ours, no possible size, a name that is no key, or a slot or key a second
    /// time.
    pub(super) dropped: u64,
}

/// Reads the JSON of a checkpoint. Keeps nothing of it that does not fit the device.
///
/// # Errors
/// If it is no such JSON, or one of another device or layout.
pub(super) fn decode(json: &[u8], config: &RawBlockAdapterConfig, geometry: &Geometry) -> Result<Loaded> {
    let mut reader =
        Reader { config, geometry, scopes: Scopes::default(), wrong: None, loaded: Loaded::default() };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let read = (&mut reader).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the checkpoint is not LMCache's JSON").with_source(error)
    })?;
    match reader.wrong {
        None => Ok(reader.loaded),
        Some(field) => Err(written_with_another(field)),
    }
}

/// The error for a checkpoint of another `field`.
pub(super) fn written_with_another(field: &'static str) -> Error {
    Error::invalid("the checkpoint was written with other settings")
        .with_context("field", field)
        .with_hint("use the settings that it was written with, or another device")
}

struct Reader<'a> {
    config: &'a RawBlockAdapterConfig,
    geometry: &'a Geometry,
    scopes: Scopes,
    /// The first field that is not as it should be.
    wrong: Option<&'static str>,
    loaded: Loaded,
}

impl<'de> DeserializeSeed<'de> for &mut Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a checkpoint")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<(), M::Error> {
        let mut version = None;
        let mut highest = 0;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let expected = match &*name {
                "version" => {
                    version = Some(map.next_value::<u64>()?);
                    continue;
                }
                "next_slot" => {
                    let next_slot = map.next_value::<u64>()?;
                    self.expect("next_slot", next_slot <= u64::from(self.geometry.max_slots));
                    highest = highest.max(u32::try_from(next_slot).unwrap_or(0));
                    continue;
                }
                "device_path" => {
                    let path = map.next_value::<Option<Cow<'_, str>>>()?.unwrap_or_default();
                    let is_ours = path.is_empty() || path == self.config.device_path.to_string_lossy();
                    self.expect("device_path", is_ours);
                    continue;
                }
                "meta_magic" => {
                    let magic = map.next_value::<Cow<'_, str>>()?;
                    self.expect("meta_magic", magic.as_bytes() == self.config.meta_magic);
                    continue;
                }
                "entries" => {
                    map.next_value_seed(Entries(self))?;
                    continue;
                }
                "block_align" => ("block_align", self.geometry.block_align),
                "header_bytes" => ("header_bytes", self.geometry.header_bytes),
                "slot_bytes" => ("slot_bytes", self.geometry.slot_bytes),
                "meta_total_bytes" => ("meta_total_bytes", self.geometry.meta_total_bytes),
                "meta_version" => ("meta_version", u64::from(self.config.meta_version)),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let found = map.next_value::<u64>()?;
            self.expect(expected.0, found == expected.1);
        }
        self.expect("version", version == Some(JSON_VERSION));
        // LMCache would give a used slot beyond `next_slot` away again.
        let used = self.loaded.found.iter().map(|found| found.slot + 1).max().unwrap_or(0);
        self.loaded.next_slot = highest.max(used);
        Ok(())
    }
}

impl Reader<'_> {
    fn expect(&mut self, field: &'static str, is_right: bool) {
        if !is_right {
            self.wrong.get_or_insert(field);
        }
    }
}

struct Entries<'a, 'b>(&'a mut Reader<'b>);

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entries of a checkpoint")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<(), M::Error> {
        let mut used_slots = hashbrown::HashSet::<u32, foldhash::fast::RandomState>::default();
        let mut keys = hashbrown::HashSet::<_, foldhash::fast::RandomState>::default();
        let mut last_meta: Option<Arc<EntryMeta>> = None;
        let Reader { geometry, scopes, loaded, .. } = self.0;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let entry = map.next_value::<EntryJson>()?;
            let is_size = (1..=geometry.max_payload_bytes()).contains(&entry.size);
            let slot = geometry.slot_at(entry.offset).filter(|slot| is_size && !used_slots.contains(slot));
            let key = slot.and_then(|_| key_codec::decode(&name, scopes)).filter(|key| !keys.contains(key));
            let (Some(slot), Some(key)) = (slot, key) else {
                loaded.dropped += 1;
                continue;
            };
            let size_bytes = entry.size;
            let meta = entry.meta();
            // Most objects of a device are of one shape.
            let meta = match last_meta.filter(|last| **last == meta) {
                Some(last) => last,
                None => Arc::new(meta),
            };
            last_meta = Some(Arc::clone(&meta));
            used_slots.insert(slot);
            keys.insert(key.clone());
            loaded.found.push(Found { key, slot, size_bytes, meta });
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct EntryJson<'a> {
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    size: u64,
    #[serde(default, deserialize_with = "short_list")]
    shape: Option<Vec<i128>>,
    #[serde(default, borrow)]
    dtype: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    fmt: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "short_list")]
    cached_positions: Option<Vec<i128>>,
}

impl EntryJson<'_> {
    fn meta(self) -> EntryMeta {
        let format = self.fmt.as_deref().filter(|format| FORMATS.contains(format)).unwrap_or("UNDEFINED");
        let dtype = self.dtype.as_deref().and_then(known_dtype_name).map(Cow::Owned);
        EntryMeta::new(self.shape, dtype, format, self.cached_positions)
    }
}

fn short_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Vec<i128>>, D::Error> {
    struct List;

    impl<'de> Visitor<'de> for List {
        type Value = Option<Vec<i128>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "null, or a list of at most {MAX_LIST} whole numbers")
        }

        fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> std::result::Result<Self::Value, S::Error> {
            let mut numbers = Vec::new();
            while let Some(number) = seq.next_element::<i64>()? {
                if numbers.len() == MAX_LIST {
                    return Err(serde::de::Error::invalid_length(MAX_LIST + 1, &self));
                }
                numbers.push(i128::from(number));
            }
            Ok(Some(numbers))
        }
    }

    deserializer.deserialize_any(List)
}

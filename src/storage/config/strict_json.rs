//! JSON of flags, in which no object has a key twice.
//!
//! serde_json and Python's `json.loads` take the last of two, and nobody hears that the first one was passed over. A
//! flag is written by hand, so the second is a mistake, at whatever depth it stands.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::fields::short;
use crate::error::{Error, Result};

/// Reads `json` as one object.
///
/// # Errors
/// If it is not JSON, nests deeper than serde_json follows (128 levels), is not an object, or has a key twice.
pub(super) fn parse_object(json: &str) -> Result<Map<String, Value>> {
    let mut twice = None;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = Strict { twice: &mut twice }.deserialize(&mut deserializer);
    let read = read.and_then(|value| deserializer.end().map(|()| value));
    match (read, twice) {
        (_, Some(key)) => Err(Error::invalid("a key stands twice in one object")
            .with_context("field", short(&key))
            .with_hint("leave one of the two out: LMCache takes the last one and says nothing")),
        (Ok(Value::Object(fields)), _) => Ok(fields),
        (Ok(_), _) => Err(Error::invalid("not a JSON object").with_hint(FORM)),
        (Err(error), _) => Err(Error::invalid("not a JSON object").with_source(error).with_hint(FORM)),
    }
}

/// What a shell makes of quotes is the usual reason.
const FORM: &str =
    "write {\"key\": value, ...} with double quotes around keys and texts, all of it in single quotes";

/// Reads a value, and keeps the first key that stands twice.
struct Strict<'a> {
    twice: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> std::result::Result<Value, S::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(Strict { twice: &mut *self.twice })? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Value, M::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if fields.contains_key(&key) {
                *self.twice = Some(key);
                return Err(M::Error::custom("a key stands twice"));
            }
            let value = map.next_value_seed(Strict { twice: &mut *self.twice })?;
            fields.insert(key, value);
        }
        Ok(fields.into())
    }
}

//! Texts that must not be seen.

use std::fmt;

use serde_json::Value;

/// What stands where a secret was.
pub const MASK: &str = "***";

/// Words that mark a key of a JSON object as a secret, wherever they stand in it.
const SECRET_WORDS: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "access_key",
    "api_key",
    "apikey",
    "private_key",
    "auth",
    "credential",
    "signature",
    "sas",
    "connection_string",
];

/// A password or a key. `Debug` and `Display` show [`MASK`] in its place, so that it can stand in a
/// configuration that is logged.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// `value` with [`MASK`] for every value whose name says that it is a secret, at any depth. Recursion is
/// bounded by serde_json's own limit of 128 levels.
pub fn masked(value: &Value) -> Value {
    match value {
        Value::Object(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| {
                let shown = if is_secret_name(name) { Value::from(MASK) } else { masked(value) };
                (name.clone(), shown)
            });
            Value::Object(pairs.collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(masked).collect()),
        other => other.clone(),
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

//! The records of an `events`-level file: what a server told its coordinator about its cache.

use super::cursor::WireError;
use super::value::Value;

/// Qualified name of a record with a batch of cache events.
pub const BATCH: &str = "events.batch";

/// Qualified name of a record that says that a server starts or stops.
pub const LIFECYCLE: &str = "events.lifecycle";

/// A batch of cache events of one kind. Fields that are missing have the values that LMCache prints for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBatch<'a> {
    /// The server.
    pub instance_id: &'a str,
    /// When that server process started, in seconds since the epoch.
    pub incarnation: i64,
    /// `store`, `delete`, `access` or `config`.
    pub event_type: &'a str,
    /// `l1` or `l2`.
    pub tier: &'a str,
    /// The kind of memory or adapter.
    pub backend: &'a str,
    /// Whether several servers see the same tier.
    pub shared: bool,
    /// How many events.
    pub entries: u64,
    /// The sum of their sizes.
    pub size_bytes: u64,
    /// How many of them name tokens.
    pub entries_with_tokens: u64,
}

impl<'a> EventBatch<'a> {
    /// Reads the arguments of a [`BATCH`] record.
    pub fn decode(args: &Value<'a>) -> Result<Self, WireError> {
        let text = |name: &'static [u8], missing: &'static str| match args.get(name)? {
            Some(value) => value.as_str(),
            None => Ok(missing),
        };
        let mut batch = Self {
            instance_id: text(b"instance_id", "?")?,
            incarnation: args.get(b"incarnation")?.map_or(Ok(0), |value| value.as_i64())?,
            event_type: text(b"event_type", "?")?,
            tier: text(b"tier", "?")?,
            backend: text(b"backend", "")?,
            shared: args.get(b"shared")?.map_or(Ok(false), |value| value.as_bool())?,
            entries: 0,
            size_bytes: 0,
            entries_with_tokens: 0,
        };
        if let Some(entries) = args.get(b"entries")? {
            for entry in entries.elements()? {
                batch.add_entry(&entry?)?;
            }
        }
        Ok(batch)
    }

    fn add_entry(&mut self, entry: &Value<'_>) -> Result<(), WireError> {
        self.entries += 1;
        let size_bytes = entry.get(b"size_bytes")?.map_or(Ok(0), |size| size.as_u64())?;
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
        if let Some(tokens) = entry.get(b"token_ids")? {
            self.entries_with_tokens += u64::from(tokens.elements()?.remaining() > 0);
        }
        Ok(())
    }
}

/// `start` or `stop` of a [`LIFECYCLE`] record.
pub fn lifecycle_phase<'a>(args: &Value<'a>) -> Result<&'a str, WireError> {
    args.get(b"phase")?.map_or(Ok("?"), |phase| phase.as_str())
}

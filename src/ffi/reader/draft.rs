//! A record in the making: its parts, in room that is used again for the next one.

use super::names::{Layouts, Scopes};
use super::record::{
    LMCACHE_MAX_RECORD_KEYS, LMCACHE_RECORD_TOO_LARGE, lmcache_record, lmcache_recorded_key,
    lmcache_recorded_layout, lmcache_recorded_row, lmcache_recorded_scope,
};
use crate::ffi::recorder::producer::lmcache_completion;
use crate::format::model::{KeyView, Op};

/// The qualified names of the calls, with their NULs, in the order of [`Op::ALL`].
const QUALNAMES: [&str; Op::COUNT] = [
    "lmcache.v1.distributed.storage_manager.StorageManager.finish_read_prefetched\0",
    "lmcache.v1.distributed.storage_manager.StorageManager.finish_write\0",
    "lmcache.v1.distributed.storage_manager.StorageManager.read_prefetched_results.__enter__\0",
    "lmcache.v1.distributed.storage_manager.StorageManager.read_prefetched_results.__exit__\0",
    "lmcache.v1.distributed.storage_manager.StorageManager.reserve_write\0",
    "lmcache.v1.distributed.storage_manager.StorageManager.submit_prefetch_task\0",
];

/// A record that is being put together.
pub(super) struct Draft {
    pub(super) record: lmcache_record,
    pub(super) scopes: Scopes,
    pub(super) layouts: Layouts,
    keys: Vec<lmcache_recorded_key>,
    rows: Vec<lmcache_recorded_row>,
    /// Keys of all rows so far.
    keys_in_rows: usize,
    /// Name and request id, each with a NUL.
    texts: Vec<u8>,
    name: Option<(usize, usize)>,
    request_id: Option<(usize, usize)>,
    completion: Box<Option<lmcache_completion>>,
    is_too_large: bool,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            record: lmcache_record::empty(),
            scopes: Scopes::default(),
            layouts: Layouts::default(),
            keys: Vec::new(),
            rows: Vec::new(),
            keys_in_rows: 0,
            texts: Vec::new(),
            name: None,
            request_id: None,
            completion: Box::default(),
            is_too_large: false,
        }
    }

    /// Begins another record.
    pub(super) fn begin(&mut self) {
        self.record = lmcache_record::empty();
        self.keys.clear();
        self.rows.clear();
        self.texts.clear();
        self.keys_in_rows = 0;
        (self.name, self.request_id, self.is_too_large) = (None, None, false);
    }

    /// It is this call.
    pub(super) fn set_op(&mut self, op: Op) {
        self.record.kind = crate::format::native::RecordKind::Call(op).number().into();
        let name = QUALNAMES[op as usize];
        (self.record.name, self.record.name_length) = (name.as_ptr().cast(), name.len() - 1);
    }

    fn add_text(&mut self, text: &str) -> (usize, usize) {
        let start = self.texts.len();
        self.texts.extend_from_slice(text.as_bytes());
        self.texts.push(0);
        (start, text.len())
    }

    /// It has this name.
    pub(super) fn set_name(&mut self, name: &str) {
        self.name = Some(self.add_text(name));
    }

    /// Its request is called so.
    pub(super) fn set_request_id(&mut self, id: &str) {
        self.request_id = Some(self.add_text(id));
    }

    /// It is the end of a call.
    pub(super) fn set_completion(&mut self, completion: lmcache_completion) {
        self.record.completion = std::ptr::from_ref(self.completion.insert(completion));
    }

    /// It has these bytes, which stay until the next record.
    pub(super) fn set_bytes(&mut self, bytes: &[u8]) {
        (self.record.bytes, self.record.byte_count) = (bytes.as_ptr(), bytes.len());
    }

    /// Whether so many keys more are not too many.
    pub(super) fn has_room_for(&mut self, keys: usize) -> bool {
        self.is_too_large |= keys > LMCACHE_MAX_RECORD_KEYS - self.keys.len();
        if !self.is_too_large {
            self.keys.reserve(keys);
        }
        !self.is_too_large
    }

    /// A key whose hash stays until the next record.
    #[inline]
    pub(super) fn push(&mut self, hash: &[u8], scope: *const lmcache_recorded_scope) {
        self.keys.push(lmcache_recorded_key { hash: hash.as_ptr(), hash_bytes: hash.len(), scope });
    }

    /// Keys whose hashes stay until the next record, if they are not too many.
    pub(super) fn add_keys<'a>(&mut self, keys: impl ExactSizeIterator<Item = KeyView<'a>>) {
        if self.has_room_for(keys.len()) {
            for key in keys {
                let scope = self.scopes.of(&key);
                self.push(key.chunk_hash, scope);
            }
        }
    }

    /// A row of the keys that were added since the row before.
    pub(super) fn end_row(
        &mut self,
        layout: *const lmcache_recorded_layout,
        sliding_window_size: i64,
        object_group_id: u32,
    ) {
        let before = std::mem::replace(&mut self.keys_in_rows, self.keys.len());
        self.rows.push(lmcache_recorded_row {
            keys: std::ptr::null(),
            key_count: self.keys.len() - before,
            layout,
            sliding_window_size,
            object_group_id,
            reserved: 0,
        });
    }

    /// The record, whose parts stay where they are until the next one begins.
    pub(super) fn finish(&mut self) -> &lmcache_record {
        let text = |place: Option<(usize, usize)>| {
            place.map(|(start, length)| (self.texts[start..].as_ptr().cast(), length))
        };
        if let Some(name) = text(self.name) {
            (self.record.name, self.record.name_length) = name;
        }
        if let Some(id) = text(self.request_id) {
            (self.record.request_id, self.record.request_id_length) = id;
        }
        if self.is_too_large {
            self.record.kind = LMCACHE_RECORD_TOO_LARGE;
            self.rows.clear();
        } else if self.rows.is_empty() {
            (self.record.keys, self.record.key_count) = (self.keys.as_ptr(), self.keys.len());
        }
        let mut start = 0;
        for row in &mut self.rows {
            row.keys = self.keys[start..].as_ptr();
            start += row.key_count;
        }
        (self.record.rows, self.record.row_count) = (self.rows.as_ptr(), self.rows.len());
        let null_if_empty = |record: &mut lmcache_record| {
            if record.key_count == 0 {
                record.keys = std::ptr::null();
            }
            if record.row_count == 0 {
                record.rows = std::ptr::null();
            }
        };
        null_if_empty(&mut self.record);
        &self.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_lmcache() {
        for op in Op::ALL {
            assert_eq!(QUALNAMES[op as usize].strip_suffix('\0'), Some(op.qualname().as_str()));
        }
    }

    #[test]
    fn keys_are_taken_to_the_limit_and_not_past_it() {
        let mut draft = Draft::new();
        assert!(draft.has_room_for(LMCACHE_MAX_RECORD_KEYS));
        draft.push(b"h", std::ptr::null());
        draft.end_row(std::ptr::null(), -1, 0);
        assert_eq!((draft.finish().kind, draft.record.row_count), (0, 1));
        assert!(!draft.has_room_for(LMCACHE_MAX_RECORD_KEYS));
        let record = draft.finish();
        assert_eq!((record.kind, record.row_count, record.key_count), (LMCACHE_RECORD_TOO_LARGE, 0, 0));
        draft.begin();
        assert!(draft.has_room_for(1));
    }
}

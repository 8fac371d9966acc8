//! The counts of a chunk in the making: what the index will say of it.

use super::parts::{KeysToPush, Stamp};
use super::pod::FLAG_LATE;
use super::schema::ThreadFacts;
use crate::format::model::Op;

/// The counts of a chunk in the making.
#[derive(Debug, Default)]
pub(super) struct ChunkTally {
    pub(super) ops: [u64; Op::COUNT],
    pub(super) keys: u64,
    pub(super) late: u64,
    pub(super) completions: u64,
    /// Keys by scope number; whoever pushes ids counts them by [`FileTally::add_scope`](super::tally::FileTally::add_scope).
    pub(super) scope_keys: Vec<u64>,
    pub(super) names: Vec<u64>,
    pub(super) threads: Vec<ThreadTally>,
    last_thread: usize,
}

#[derive(Debug)]
pub(super) struct ThreadTally {
    pub(super) number: u32,
    pub(super) facts: ThreadFacts,
    pub(super) calls: u64,
    pub(super) lost: u64,
}

impl ChunkTally {
    pub(super) fn clear(&mut self) {
        let Self { mut scope_keys, mut names, mut threads, .. } = std::mem::take(self);
        scope_keys.clear();
        names.clear();
        threads.clear();
        *self = Self { scope_keys, names, threads, ..Self::default() };
    }

    pub(super) fn define_thread(&mut self, number: u32, facts: &ThreadFacts) {
        self.threads.push(ThreadTally { number, facts: facts.clone(), calls: 0, lost: 0 });
    }

    #[inline]
    pub(super) fn has_thread(&self, number: u32) -> bool {
        self.threads.get(self.last_thread).is_some_and(|thread| thread.number == number)
            || self.threads.iter().any(|thread| thread.number == number)
    }

    #[inline]
    pub(super) fn add_call(&mut self, stamp: &Stamp) {
        self.late += u64::from(stamp.flags & FLAG_LATE != 0);
        if let Some(thread) = self.thread(stamp.thread) {
            thread.calls += 1;
        }
    }

    #[inline]
    pub(super) fn add_op(&mut self, op: Op) {
        self.ops[op as usize] += 1;
    }

    #[inline]
    pub(super) fn add_keys(&mut self, keys: KeysToPush<'_>) {
        let KeysToPush::Rows(rows) = keys else {
            self.keys += u64::from(keys.count());
            return;
        };
        self.keys += rows.len() as u64;
        for row in rows {
            let scope = row.scope_number() as usize;
            if scope >= self.scope_keys.len() {
                self.scope_keys.resize(scope + 1, 0);
            }
            self.scope_keys[scope] += 1;
        }
    }

    #[inline]
    pub(super) fn add_uniform_keys(&mut self, scope: u32, keys: usize) {
        self.keys += keys as u64;
        if scope as usize >= self.scope_keys.len() {
            self.scope_keys.resize(scope as usize + 1, 0);
        }
        self.scope_keys[scope as usize] += keys as u64;
    }

    pub(super) fn add_name(&mut self, name: u32) {
        if name as usize >= self.names.len() {
            self.names.resize(name as usize + 1, 0);
        }
        self.names[name as usize] += 1;
    }

    pub(super) fn add_loss(&mut self, thread: u32, count: u64) {
        if let Some(thread) = self.thread(thread) {
            thread.lost = thread.lost.saturating_add(count);
        }
    }

    #[inline]
    fn thread(&mut self, number: u32) -> Option<&mut ThreadTally> {
        if self.threads.get(self.last_thread).is_none_or(|thread| thread.number != number) {
            self.last_thread = self.threads.iter().position(|thread| thread.number == number)?;
        }
        self.threads.get_mut(self.last_thread)
    }
}

//! A trace several times: one after the other, and for several tenants at once.
//!
//! A loop begins where the one before ended, with the same keys: what the first one wrote the second one finds. Tenants make
//! the same calls at the same time, each with keys of its own: within a tenant all is as it was recorded, and between them nothing is
//! shared. Records are numbered as they come, since several have the same place in the file.

use hashbrown::HashMap;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::format::model::key::MAX_SALT_CHARS;
use crate::format::model::{KeyInterner, KeyScope, ObjectKey, StorageCall};
use crate::replay::schedule::MAX_OFFSET_S;
use crate::replay::source::{RecordSource, Step};
use crate::replay::timed::{RecordBody, TimedRecord};
use crate::sync::Arc;

/// The most loops, and the most tenants.
pub const MAX_COPIES: u32 = 10_000;

/// Characters of a salt that is too long to be put behind a tenant's name: a digest stands for it.
const DIGEST_CHARS: usize = 32;

/// A source that is opened anew for each loop.
#[derive(Debug)]
pub struct Looped<F, S> {
    open: F,
    current: Option<S>,
    loops_left: u32,
    /// When the current loop began, and the latest time so far, in seconds.
    begun_s: f64,
    latest_s: f64,
    next_seq: u64,
    is_renumbered: bool,
}

impl<F: FnMut() -> S, S: RecordSource> Looped<F, S> {
    /// The records of `open`, so many times.
    pub fn new(mut open: F, loops: u32) -> Self {
        Self {
            current: (loops > 0).then(&mut open),
            open,
            loops_left: loops.saturating_sub(1),
            begun_s: 0.0,
            latest_s: 0.0,
            next_seq: 0,
            is_renumbered: loops > 1,
        }
    }

    fn put_on_the_clock(&mut self, record: &mut TimedRecord) {
        // A time that nobody can wait for stays one in every loop.
        if (0.0..=MAX_OFFSET_S).contains(&record.t_mono_s) {
            record.t_mono_s += self.begun_s;
            self.latest_s = self.latest_s.max(record.t_mono_s.min(MAX_OFFSET_S));
        }
        if self.is_renumbered {
            record.seq = self.next_seq;
            self.next_seq += 1;
        }
    }
}

impl<F: FnMut() -> S, S: RecordSource> RecordSource for Looped<F, S> {
    #[inline]
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
        if let Some(current) = &mut self.current {
            match current.step(place, keys) {
                Step::Record => {
                    self.put_on_the_clock(place);
                    return Step::Record;
                }
                Step::LeftOut => return Step::LeftOut,
                Step::End => {}
            }
            self.current = None;
            self.begun_s = self.latest_s;
        }
        if self.loops_left == 0 {
            return Step::End;
        }
        self.loops_left -= 1;
        self.current = Some((self.open)());
        Step::LeftOut
    }

    fn is_quick(&self) -> bool {
        self.current.as_ref().is_some_and(S::is_quick)
    }
}

/// Scopes of tenants that are remembered at most; past them they are made anew.
const MOST_SCOPES: usize = 1 << 14;

/// Each record of a source once for every tenant.
#[derive(Debug)]
pub struct Tenants<S> {
    source: S,
    tenants: u32,
    /// The scope of a tenant, by the trace's.
    scopes: HashMap<(Arc<KeyScope>, u32), Arc<KeyScope>, foldhash::fast::RandomState>,
    /// The record whose copies are being made, and how many were made.
    current: TimedRecord,
    copies_made: u32,
    next_seq: u64,
}

impl<S: RecordSource> Tenants<S> {
    /// The records of `source` for so many tenants; one is the trace as it is.
    pub fn new(source: S, tenants: u32) -> Self {
        let current = TimedRecord::default();
        // As if the last copy of a record had been made.
        Self { source, tenants, scopes: HashMap::default(), current, copies_made: tenants, next_seq: 0 }
    }

    /// Makes a copy of a record that of a tenant.
    fn rename_all(&mut self, copy: &mut TimedRecord, tenant: u32) {
        copy.seq = self.next_seq;
        self.next_seq += 1;
        if let RecordBody::Call(call) = &mut copy.body {
            self.rename(call, tenant);
        }
    }

    fn rename(&mut self, call: &mut StorageCall, tenant: u32) {
        for key in call.key_lists_mut().flatten() {
            let scope = self.scope(key.scope(), tenant);
            *key = ObjectKey::new(key.chunk_hash().clone(), scope);
        }
        if let StorageCall::SubmitPrefetch { external_request_id, .. } = call {
            external_request_id.push_str(&format!("-t{tenant}"));
        }
    }

    fn scope(&mut self, scope: &Arc<KeyScope>, tenant: u32) -> Arc<KeyScope> {
        if self.scopes.len() >= MOST_SCOPES {
            self.scopes.clear();
        }
        let of_both =
            self.scopes.entry((Arc::clone(scope), tenant)).or_insert_with(|| of_tenant(scope, tenant));
        Arc::clone(of_both)
    }
}

/// The scope of a tenant. One that cannot be made keeps what the trace has.
fn of_tenant(scope: &Arc<KeyScope>, tenant: u32) -> Arc<KeyScope> {
    let salted = || -> Result<KeyScope> {
        let salt = salt(scope.cache_salt(), tenant);
        KeyScope::new(scope.model_name(), scope.kv_rank(), scope.object_group_id(), &salt)
    };
    salted().map_or_else(|_| Arc::clone(scope), Arc::new)
}

/// The salt of a tenant: `t<number>`, and behind it the trace's salt, or its digest if that is too long. The first tenant has one
/// as well, or a trace that was recorded with such salts would share its keys with the others.
fn salt(recorded: &str, tenant: u32) -> String {
    let name = format!("t{tenant}-{recorded}");
    if name.chars().count() <= MAX_SALT_CHARS {
        return if recorded.is_empty() { format!("t{tenant}") } else { name };
    }
    let digest = Sha256::digest(recorded.as_bytes());
    let digits: String = digest.iter().take(DIGEST_CHARS / 2).map(|byte| format!("{byte:02x}")).collect();
    format!("t{tenant}-{digits}")
}

impl<S: RecordSource> RecordSource for Tenants<S> {
    #[inline]
    fn step(&mut self, place: &mut TimedRecord, keys: &mut KeyInterner) -> Step {
        if self.tenants <= 1 {
            return self.source.step(place, keys);
        }
        if self.copies_made >= self.tenants {
            match self.source.step(&mut self.current, keys) {
                Step::Record => self.copies_made = 0,
                other => return other,
            }
        }
        place.clone_from(&self.current);
        self.rename_all(place, self.copies_made);
        self.copies_made += 1;
        Step::Record
    }

    fn is_quick(&self) -> bool {
        self.tenants <= 1 && self.source.is_quick()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::ChunkHash;
    use crate::replay::source::SourceRecords;

    fn record(seq: u64, t_mono_s: f64, salt: &str) -> TimedRecord {
        let scope = Arc::new(KeyScope::new("m", 0, 0, salt).unwrap());
        let keys = vec![ObjectKey::new(ChunkHash::new(b"h"), scope)];
        TimedRecord { seq, t_mono_s, body: RecordBody::Call(StorageCall::FinishWrite { keys }) }
    }

    fn salt_of(record: &TimedRecord) -> String {
        let RecordBody::Call(call) = &record.body else { panic!("a call") };
        let key = &call.key_lists().next().unwrap()[0];
        key.scope().cache_salt().to_owned()
    }

    fn all_of(source: impl RecordSource) -> Vec<TimedRecord> {
        SourceRecords::of(source).collect()
    }

    #[test]
    fn a_loop_begins_where_the_one_before_ended() {
        let open = || vec![record(5, 0.5, ""), record(6, f64::NAN, ""), record(7, 2.0, "")].into_iter();
        let all: Vec<_> =
            all_of(Looped::new(open, 3)).iter().map(|record| (record.seq, record.t_mono_s)).collect();
        let numbers: Vec<u64> = all.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(numbers, (0..9).collect::<Vec<_>>());
        let times: Vec<f64> = all.iter().map(|(_, t)| *t).filter(|t| !t.is_nan()).collect();
        assert_eq!(times, [0.5, 2.0, 2.5, 4.0, 4.5, 6.0]);
        let once: Vec<_> = all_of(Looped::new(open, 1)).iter().map(|record| record.seq).collect();
        assert_eq!(once, [5, 6, 7], "one loop is the trace as it is");
    }

    #[test]
    fn times_that_cannot_be_waited_for_stay_so_in_every_loop() {
        let open = || vec![record(0, -1.0, ""), record(1, 4.0, ""), record(2, f64::MAX, "")].into_iter();
        let times: Vec<_> = all_of(Looped::new(open, 2)).iter().map(|record| record.t_mono_s).collect();
        assert_eq!(times, [-1.0, 4.0, f64::MAX, -1.0, 8.0, f64::MAX]);
    }

    #[test]
    fn tenants_share_nothing_with_each_other() {
        let source = || vec![record(3, 1.0, ""), record(4, 2.0, "x")].into_iter();
        let all: Vec<_> = all_of(Tenants::new(source(), 3));
        let salts: Vec<_> = all.iter().map(salt_of).collect();
        assert_eq!(salts, ["t0", "t1", "t2", "t0-x", "t1-x", "t2-x"]);
        assert_eq!(all.iter().map(|record| record.seq).collect::<Vec<_>>(), (0..6).collect::<Vec<_>>());
        let one: Vec<_> = all_of(Tenants::new(source(), 1)).iter().map(|record| record.seq).collect();
        assert_eq!(one, [3, 4]);
        // A trace that was recorded from tenants.
        let of_tenants = ["", "t0", "t1", "t1-t0", "t0-t1"].map(|salt| record(0, 0.0, salt));
        let salts: Vec<_> = all_of(Tenants::new(of_tenants.into_iter(), 3)).iter().map(salt_of).collect();
        assert_eq!(salts.iter().collect::<std::collections::HashSet<_>>().len(), 15);
    }

    #[test]
    fn the_longest_salts_stay_apart() {
        let fits = "s".repeat(MAX_SALT_CHARS - 3);
        assert_eq!(salt(&fits, 1), format!("t1-{fits}"));
        let longs = ["s", "z"].map(|end| salt(&("s".repeat(MAX_SALT_CHARS - 1) + end), 1));
        assert!(longs.iter().all(|salt| salt.chars().count() == 3 + DIGEST_CHARS) && longs[0] != longs[1]);
    }
}

//! ARC, as LMCache 0.5.6 has it.

use std::collections::HashSet;

use lmcache::storage::eviction::PolicyState;

use super::{Model, Request, keys, take_out};

#[derive(Default)]
pub(super) struct Arc {
    t1: Vec<u32>,
    t2: Vec<u32>,
    b1: Vec<u32>,
    b2: Vec<u32>,
    /// The target of T1.
    p: f64,
    capacity: usize,
    pending_admissions: HashSet<u32>,
    pending_evictions: HashSet<u32>,
}

impl Arc {
    /// Moves the target if `key` is a ghost.
    fn adapt(&mut self, key: u32) {
        let (b1, b2) = (self.b1.len() as f64, self.b2.len() as f64);
        if self.b1.contains(&key) {
            self.p = (self.capacity as f64).min(self.p + 1.0_f64.max(b2 / b1));
        } else if self.b2.contains(&key) {
            self.p = 0.0_f64.max(self.p - 1.0_f64.max(b1 / b2));
        }
    }

    /// Takes the key out of all lists; whether it was in one.
    fn take(&mut self, key: u32) -> bool {
        [&mut self.t1, &mut self.t2, &mut self.b1, &mut self.b2].into_iter().any(|list| take_out(list, key))
    }

    fn trim(&mut self) {
        if self.capacity == 0 {
            return;
        }
        while self.t1.len() + self.b1.len() > self.capacity && !self.b1.is_empty() {
            self.b1.remove(0);
        }
        while self.tracked() + self.b1.len() + self.b2.len() > 2 * self.capacity {
            if self.b2.is_empty() { &mut self.b1 } else { &mut self.b2 }.remove(0);
        }
    }

    fn arrived(&mut self) {
        self.capacity = self.capacity.max(self.tracked());
        self.trim();
    }
}

impl Model for Arc {
    fn reserve(&mut self, key: u32) {
        self.pending_evictions.remove(&key);
        self.pending_admissions.insert(key);
        self.adapt(key);
        self.take(key);
        self.t1.push(key);
        self.arrived();
    }

    fn create(&mut self, key: u32) {
        self.pending_evictions.remove(&key);
        if self.pending_admissions.remove(&key) {
            return;
        }
        self.adapt(key);
        if self.take(key) { &mut self.t2 } else { &mut self.t1 }.push(key);
        self.arrived();
    }

    fn touch(&mut self, key: u32) {
        if self.t1.contains(&key) || self.t2.contains(&key) {
            self.take(key);
            self.t2.push(key);
        }
    }

    fn remove(&mut self, key: u32) {
        let (in_t1, in_t2) = (self.t1.contains(&key), self.t2.contains(&key));
        self.take(key);
        self.pending_admissions.remove(&key);
        if self.pending_evictions.remove(&key) {
            if in_t1 {
                self.b1.push(key);
            } else if in_t2 {
                self.b2.push(key);
            }
        }
        self.trim();
    }

    fn victims(&mut self, request: &Request) -> Vec<u32> {
        let tracked = self.tracked();
        if request.is_met(&[], tracked) {
            return Vec::new();
        }
        self.p = self.p.min(self.capacity as f64);
        let may_go = |list: &[u32]| -> Vec<u32> {
            list.iter().copied().filter(|key| !request.locked.contains(key)).collect()
        };
        let (mut from_t1, mut from_t2) = (may_go(&self.t1), may_go(&self.t2));
        let (mut victims, mut virtual_t1) = (Vec::new(), self.t1.len());
        while !request.is_met(&victims, tracked) && from_t1.len() + from_t2.len() > 0 {
            let wants_t1 = virtual_t1 >= self.p as usize;
            if from_t2.is_empty() || (wants_t1 && !from_t1.is_empty()) {
                victims.push(from_t1.remove(0));
                virtual_t1 -= 1;
            } else {
                victims.push(from_t2.remove(0));
            }
        }
        self.pending_evictions.extend(&victims);
        victims
    }

    fn tracked(&self) -> usize {
        self.t1.len() + self.t2.len()
    }

    fn state(&self) -> PolicyState {
        PolicyState::Arc {
            t1: keys(&self.t1),
            t2: keys(&self.t2),
            b1: keys(&self.b1),
            b2: keys(&self.b2),
            capacity: self.capacity,
            target_t1_size: self.p,
        }
    }
}

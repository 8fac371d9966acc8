//! One order for all, of which each tenant has its part.

use std::cmp::Ordering;

use lmcache::storage::config::Compat;
use lmcache::storage::eviction::PolicyState;

use super::{Model, Request, SALTS, keys, salt_of, take_out};

pub(super) struct IsolatedLru {
    /// Of all tenants, least recently used first.
    order: Vec<u32>,
    compat: Compat,
}

impl IsolatedLru {
    pub(super) fn new(compat: Compat) -> Self {
        Self { order: Vec::new(), compat }
    }

    fn of_salt(&self, salt: &str) -> Vec<u32> {
        self.order.iter().copied().filter(|key| salt_of(*key) == salt).collect()
    }

    /// All that may go: at each step the one whose tenant has then given the least share.
    fn in_shares(&self, request: &Request) -> Vec<u32> {
        let mut left: Vec<u32> =
            self.order.iter().copied().filter(|key| !request.locked.contains(key)).collect();
        let mut given: Vec<u32> = Vec::new();
        let compare_shares = |given: &[u32], a: u32, b: u32| -> Ordering {
            let given_with =
                |key: u32| 1 + given.iter().filter(|other| salt_of(**other) == salt_of(key)).count();
            let all = |key: u32| self.of_salt(salt_of(key)).len();
            (given_with(a) * all(b)).cmp(&(given_with(b) * all(a)))
        };
        while !left.is_empty() {
            // Of equals, `min_by` takes the first: the one that was used longer ago.
            let next = left.iter().copied().min_by(|a, b| compare_shares(&given, *a, *b)).unwrap();
            take_out(&mut left, next);
            given.push(next);
        }
        given
    }
}

impl Model for IsolatedLru {
    fn create(&mut self, key: u32) {
        take_out(&mut self.order, key);
        self.order.push(key);
    }

    fn touch(&mut self, key: u32) {
        if take_out(&mut self.order, key) {
            self.order.push(key);
        }
    }

    fn remove(&mut self, key: u32) {
        take_out(&mut self.order, key);
    }

    fn victims(&mut self, request: &Request) -> Vec<u32> {
        let candidates = match (request.salt, self.compat) {
            (Some(salt), _) => self.of_salt(salt),
            (None, Compat::Native) => return request.take(self.in_shares(request), self.tracked()),
            (None, Compat::Lmcache) => unreachable!("a tenant is named"),
        };
        request.take(candidates.clone(), candidates.len())
    }

    fn tracked(&self) -> usize {
        self.order.len()
    }

    fn state(&self) -> PolicyState {
        let per_salt = SALTS.iter().map(|salt| ((*salt).to_owned(), keys(&self.of_salt(salt))));
        PolicyState::IsolatedLru { per_salt: per_salt.filter(|(_, keys)| !keys.is_empty()).collect() }
    }
}

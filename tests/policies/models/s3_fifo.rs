//! S3-FIFO, by Algorithm 1 of the paper, with the rules of libCacheSim for what it leaves open.

use std::collections::HashSet;

use lmcache::storage::eviction::PolicyState;

use super::{Model, Request, keys, take_out};

#[derive(Default)]
pub(super) struct S3Fifo {
    /// Oldest first, with the number of uses.
    small: Vec<(u32, u8)>,
    main: Vec<(u32, u8)>,
    ghost: Vec<u32>,
    /// With whether it was in the small queue.
    named: Vec<(u32, bool)>,
    /// Keys that came before the first eviction, in their order.
    early: Vec<(u32, u8)>,
    evicts: bool,
    capacity: usize,
}

/// The oldest that was not passed over in this call.
fn oldest(queue: &[(u32, u8)], passed: &HashSet<u32>) -> Option<usize> {
    queue.iter().position(|(key, _)| !passed.contains(key))
}

impl S3Fifo {
    fn names(&self) -> Vec<u32> {
        self.named.iter().map(|(key, _)| *key).collect()
    }

    fn take_named(&mut self, key: u32) -> Option<bool> {
        let at = self.named.iter().position(|(other, _)| *other == key)?;
        Some(self.named.remove(at).1)
    }

    fn is_queued(&self, key: u32) -> bool {
        self.small.iter().chain(&self.main).chain(&self.early).any(|(other, _)| *other == key)
    }

    fn evict_small(&mut self, request: &Request, passed: &mut HashSet<u32>) -> Option<u32> {
        while let Some(at) = oldest(&self.small, passed) {
            let (key, uses) = self.small[at];
            if uses > 1 {
                self.small.remove(at);
                self.main.push((key, 0));
            } else if request.locked.contains(&key) {
                passed.insert(key);
            } else {
                self.small.remove(at);
                self.named.push((key, true));
                return Some(key);
            }
        }
        None
    }

    fn evict_main(&mut self, request: &Request, passed: &mut HashSet<u32>) -> Option<u32> {
        while let Some(at) = oldest(&self.main, passed) {
            let (key, uses) = self.main[at];
            if uses > 0 {
                self.main.remove(at);
                self.main.push((key, uses - 1));
            } else if request.locked.contains(&key) {
                passed.insert(key);
            } else {
                self.main.remove(at);
                self.named.push((key, false));
                return Some(key);
            }
        }
        None
    }
}

impl Model for S3Fifo {
    fn create(&mut self, key: u32) {
        let came_back = self.take_named(key).is_some() || take_out(&mut self.ghost, key);
        if came_back {
            if self.evicts { &mut self.main } else { &mut self.early }.push((key, 0));
        } else if !self.is_queued(key) {
            if self.evicts { &mut self.small } else { &mut self.early }.push((key, 0));
        }
        self.capacity = self.capacity.max(self.tracked());
        while self.ghost.len() * 10 > self.capacity * 9 {
            self.ghost.remove(0);
        }
    }

    fn touch(&mut self, key: u32) {
        if self.take_named(key).is_some() {
            self.main.push((key, 0));
            return;
        }
        let queues = self.small.iter_mut().chain(&mut self.main).chain(&mut self.early);
        for (other, uses) in queues {
            if *other == key && *uses < 3 {
                *uses += 1;
            }
        }
    }

    fn remove(&mut self, key: u32) {
        take_out(&mut self.ghost, key);
        for queue in [&mut self.small, &mut self.main, &mut self.early] {
            queue.retain(|(other, _)| *other != key);
        }
        if self.take_named(key) == Some(true) {
            self.ghost.push(key);
        }
    }

    fn victims(&mut self, request: &Request) -> Vec<u32> {
        let tracked = self.tracked();
        if tracked == 0 || request.is_met(&[], tracked) {
            return Vec::new();
        }
        self.evicts = true;
        for early in std::mem::take(&mut self.early) {
            let has_room = self.small.len() < self.capacity / 10;
            if has_room { &mut self.small } else { &mut self.main }.push(early);
        }
        let mut victims = request.take(self.names(), tracked);
        let mut passed = HashSet::new();
        while !request.is_met(&victims, tracked) {
            let main_is_full = self.main.len() > self.capacity - self.capacity / 10;
            let victim = if main_is_full && oldest(&self.main, &passed).is_some()
                || oldest(&self.small, &passed).is_none()
            {
                self.evict_main(request, &mut passed)
            } else {
                self.evict_small(request, &mut passed)
            };
            victims.extend(victim);
            if oldest(&self.small, &passed).is_none() && oldest(&self.main, &passed).is_none() {
                break;
            }
        }
        victims
    }

    fn tracked(&self) -> usize {
        self.small.len() + self.main.len() + self.early.len() + self.named.len()
    }

    fn state(&self) -> PolicyState {
        let queue = |queue: &[(u32, u8)]| {
            queue.iter().map(|(key, uses)| (keys(&[*key]).remove(0), *uses)).collect::<Vec<_>>()
        };
        PolicyState::S3Fifo {
            small: queue(&self.small),
            main: queue(&[&self.early[..], &self.main].concat()),
            ghost: keys(&self.ghost),
            named: keys(&self.names()),
            capacity: self.capacity,
        }
    }
}

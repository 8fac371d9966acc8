//! The policies with one order, or none.

use lmcache::storage::eviction::PolicyState;

use super::{Model, Request, keys, take_out};

#[derive(Default)]
pub(super) struct Lru {
    order: Vec<u32>,
}

impl Model for Lru {
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
        request.take(self.order.clone(), self.tracked())
    }

    fn tracked(&self) -> usize {
        self.order.len()
    }

    fn state(&self) -> PolicyState {
        PolicyState::Lru { order: keys(&self.order) }
    }
}

#[derive(Default)]
pub(super) struct Fifo {
    order: Vec<u32>,
}

impl Model for Fifo {
    fn create(&mut self, key: u32) {
        if !self.order.contains(&key) {
            self.order.push(key);
        }
    }

    fn touch(&mut self, _key: u32) {}

    fn remove(&mut self, key: u32) {
        take_out(&mut self.order, key);
    }

    fn victims(&mut self, request: &Request) -> Vec<u32> {
        request.take(self.order.clone(), self.tracked())
    }

    fn tracked(&self) -> usize {
        self.order.len()
    }

    fn state(&self) -> PolicyState {
        PolicyState::Fifo { order: keys(&self.order) }
    }
}

#[derive(Default)]
pub(super) struct Noop;

impl Model for Noop {
    fn create(&mut self, _key: u32) {}

    fn touch(&mut self, _key: u32) {}

    fn remove(&mut self, _key: u32) {}

    fn victims(&mut self, _request: &Request) -> Vec<u32> {
        Vec::new()
    }

    fn tracked(&self) -> usize {
        0
    }

    fn state(&self) -> PolicyState {
        PolicyState::Noop
    }
}

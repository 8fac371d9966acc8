//! SIEVE, by Algorithm 1 of the paper, with the queue as an array and the hand as an index.

use lmcache::storage::eviction::PolicyState;

use super::{Model, Request, keys, take_out};

#[derive(Default)]
pub(super) struct Sieve {
    /// Oldest first, with the visited bit.
    queue: Vec<(u32, bool)>,
    /// `queue.len()` if it is past the newest.
    hand: Option<usize>,
    named: Vec<u32>,
}

impl Sieve {
    fn insert(&mut self, key: u32) {
        self.queue.push((key, false));
    }

    fn position(&self, key: u32) -> Option<usize> {
        self.queue.iter().position(|(other, _)| *other == key)
    }

    /// Takes the place `at` out of the queue; the hand stays on whom it was.
    fn drop_place(&mut self, at: usize) {
        self.queue.remove(at);
        self.hand = match self.hand {
            Some(hand) if hand > at => Some(hand - 1),
            Some(hand) if hand == self.queue.len() => None,
            hand => hand,
        };
    }
}

impl Model for Sieve {
    fn create(&mut self, key: u32) {
        if take_out(&mut self.named, key) || self.position(key).is_none() {
            self.insert(key);
        }
    }

    fn touch(&mut self, key: u32) {
        if take_out(&mut self.named, key) {
            self.insert(key);
        } else if let Some(at) = self.position(key) {
            self.queue[at].1 = true;
        }
    }

    fn remove(&mut self, key: u32) {
        take_out(&mut self.named, key);
        if let Some(at) = self.position(key) {
            self.drop_place(at);
        }
    }

    fn victims(&mut self, request: &Request) -> Vec<u32> {
        let tracked = self.tracked();
        let mut victims = request.take(self.named.clone(), tracked);
        // Two rounds at most.
        let mut steps = 2 * self.queue.len();
        while steps > 0 && !request.is_met(&victims, tracked) && !self.queue.is_empty() {
            steps -= 1;
            let at = self.hand.unwrap_or(0);
            let (key, visited) = self.queue[at];
            self.queue[at].1 = false;
            self.hand = (at + 1 < self.queue.len()).then_some(at + 1);
            if !visited && !request.locked.contains(&key) {
                self.drop_place(at);
                victims.push(key);
                self.named.push(key);
            }
        }
        victims
    }

    fn tracked(&self) -> usize {
        self.queue.len() + self.named.len()
    }

    fn state(&self) -> PolicyState {
        let queue = self.queue.iter().map(|(key, visited)| (keys(&[*key]).remove(0), *visited));
        PolicyState::Sieve {
            queue: queue.collect(),
            hand: self.hand.map(|at| keys(&[self.queue[at].0]).remove(0)),
            named: keys(&self.named),
        }
    }
}

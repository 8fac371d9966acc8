//! Keys in several orders, each key in at most one: the storage of every policy.
//!
//! The lists are threaded through one slab, and one index leads from a key to its node, so finding, moving
//! and removing a key takes the same time in a list of ten and of ten million.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::demand::Tally;
use crate::format::model::ObjectKey;

/// The end of a list.
const NIL: u32 = u32::MAX;

/// Which list; the first is 0.
pub(super) type ListId = u32;

/// A key's place in the slab. It stays the same while the key is tracked.
pub(super) type NodeId = u32;

/// Where a key is that is in a list for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it was.
    Found(NodeId),
    /// Behind the last of the list that was asked for, where it was put.
    New(NodeId),
}

#[derive(Clone, Debug)]
struct Node<M> {
    /// A node that is not in use keeps its last key until it gets the next.
    key: ObjectKey,
    list: ListId,
    prev: u32,
    next: u32,
    mark: M,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
    len: usize,
}

/// The lists. `M` is what a policy notes down beside a key.
#[derive(Clone, Debug)]
pub(super) struct KeyLists<M> {
    nodes: Vec<Node<M>>,
    vacant: Vec<NodeId>,
    index: HashTable<NodeId>,
    hasher: foldhash::fast::RandomState,
    lists: Vec<Ends>,
}

impl<M: Copy + Default> KeyLists<M> {
    /// This many empty lists.
    pub(super) fn new(lists: usize) -> Self {
        let empty = Ends { first: NIL, last: NIL, len: 0 };
        Self {
            nodes: Vec::new(),
            vacant: Vec::new(),
            index: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            lists: vec![empty; lists],
        }
    }

    /// One more empty list.
    pub(super) fn add_list(&mut self) -> ListId {
        self.lists.push(Ends { first: NIL, last: NIL, len: 0 });
        (self.lists.len() - 1) as ListId
    }

    /// The node of `key`, if it is in a list.
    pub(super) fn find(&self, key: &ObjectKey) -> Option<NodeId> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |node| self.nodes[*node as usize].key == *key).copied()
    }

    /// The node of `key` if it is in a list; otherwise it is put behind the last of `list`.
    pub(super) fn find_or_push(&mut self, list: ListId, key: &ObjectKey) -> Place {
        let hash = self.hasher.hash_one(key);
        match self.index.find(hash, |node| self.nodes[*node as usize].key == *key) {
            Some(node) => Place::Found(*node),
            None => Place::New(self.push_hashed(list, hash, key)),
        }
    }

    /// `hash` is that of `key`, which is in no list.
    fn push_hashed(&mut self, list: ListId, hash: u64, key: &ObjectKey) -> NodeId {
        let node = Node { key: key.clone(), list, prev: NIL, next: NIL, mark: M::default() };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                // 2^32 keys would need 300 GiB of nodes first.
                self.nodes.push(node);
                (self.nodes.len() - 1) as NodeId
            }
        };
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.index.insert_unique(hash, id, |other| hasher.hash_one(&nodes[*other as usize].key));
        self.link_last(id, list);
        id
    }

    /// Takes the key out of its list and puts it behind the last of `list`.
    pub(super) fn move_last(&mut self, id: NodeId, list: ListId) {
        self.unlink(id);
        self.link_last(id, list);
    }

    /// Forgets `key`, if it is in a list.
    pub(super) fn remove_key(&mut self, key: &ObjectKey) {
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.index.find_entry(hash, |node| self.nodes[*node as usize].key == *key) {
            let (id, _) = entry.remove();
            self.unlink(id);
            self.vacant.push(id);
        }
    }

    /// Forgets the key of a node.
    pub(super) fn remove(&mut self, id: NodeId) {
        self.unlink(id);
        let hash = self.hasher.hash_one(&self.nodes[id as usize].key);
        if let Ok(entry) = self.index.find_entry(hash, |node| *node == id) {
            entry.remove();
        }
        self.vacant.push(id);
    }

    /// Forgets the first key of `list`, if it has one.
    pub(super) fn remove_first(&mut self, list: ListId) {
        if let Some(first) = self.first(list) {
            self.remove(first);
        }
    }

    fn link_last(&mut self, id: NodeId, list: ListId) {
        let ends = &mut self.lists[list as usize];
        let prev = std::mem::replace(&mut ends.last, id);
        ends.len += 1;
        if prev == NIL {
            ends.first = id;
        } else {
            self.nodes[prev as usize].next = id;
        }
        let node = &mut self.nodes[id as usize];
        (node.list, node.prev, node.next) = (list, prev, NIL);
    }

    fn unlink(&mut self, id: NodeId) {
        let Node { list, prev, next, .. } = self.nodes[id as usize];
        let ends = &mut self.lists[list as usize];
        ends.len -= 1;
        if prev == NIL {
            ends.first = next;
        } else {
            self.nodes[prev as usize].next = next;
        }
        if next == NIL {
            self.lists[list as usize].last = prev;
        } else {
            self.nodes[next as usize].prev = prev;
        }
    }

    /// The list that the key is in.
    pub(super) fn list_of(&self, id: NodeId) -> ListId {
        self.nodes[id as usize].list
    }

    /// The key of a node.
    pub(super) fn key(&self, id: NodeId) -> &ObjectKey {
        &self.nodes[id as usize].key
    }

    /// A copy of what is noted beside the key.
    pub(super) fn mark_of(&self, id: NodeId) -> M {
        self.nodes[id as usize].mark
    }

    /// What is noted beside the key.
    pub(super) fn mark(&mut self, id: NodeId) -> &mut M {
        &mut self.nodes[id as usize].mark
    }

    /// How many keys the list has.
    pub(super) fn len(&self, list: ListId) -> usize {
        self.lists[list as usize].len
    }

    /// The first node of a list.
    pub(super) fn first(&self, list: ListId) -> Option<NodeId> {
        let first = self.lists[list as usize].first;
        (first != NIL).then_some(first)
    }

    /// The node behind this one in its list.
    pub(super) fn next(&self, id: NodeId) -> Option<NodeId> {
        let next = self.nodes[id as usize].next;
        (next != NIL).then_some(next)
    }

    /// The nodes of a list, first to last.
    pub(super) fn iter(&self, list: ListId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(self.first(list), |id| self.next(*id))
    }

    /// Copies of the keys of a list, first to last.
    pub(super) fn keys(&self, list: ListId) -> Vec<ObjectKey> {
        self.iter(list).map(|id| self.key(id).clone()).collect()
    }

    /// The same, each with what is noted beside it.
    pub(super) fn keys_and_marks(&self, list: ListId) -> impl Iterator<Item = (ObjectKey, M)> {
        self.iter(list).map(|id| (self.key(id).clone(), self.mark_of(id)))
    }

    /// Offers the keys of a list, first to last, until the demand is met.
    pub(super) fn offer(&self, list: ListId, tally: &mut Tally<'_>) {
        let mut nodes = self.iter(list);
        while !tally.is_met()
            && let Some(node) = nodes.next()
        {
            tally.offer(self.key(node));
        }
    }
}

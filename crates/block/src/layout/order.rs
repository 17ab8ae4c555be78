//! The canonical order of attributes: one order of keys from which most rows' own order follows.
//!
//! In: keys, and the orders in which rows have them, the most frequent first. Out: all keys, each
//! once. A key is put behind the one it follows in the first shape that has it, so that shapes
//! which only differ in what they leave out agree with the result.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// `keys` in canonical order; other keys in the shapes are passed over.
pub(super) fn canonical(keys: &[u32], shapes: Vec<&[u32]>) -> Vec<u32> {
    let mut chain = Chain::new(keys);
    for shape in shapes {
        let mut previous = HEAD;
        for (place, key) in shape.iter().enumerate() {
            let Some(node) = chain.node_of.get(key).copied() else { continue };
            if !chain.has(node) {
                // The start of a shape goes before the first key of it that has a place already.
                let later = match previous {
                    HEAD => chain.first_placed(&shape[place..]),
                    _ => None,
                };
                let previous = later.map_or(previous, |later| chain.before[later as usize]);
                chain.insert_behind(previous, node);
            }
            previous = node;
        }
    }
    // Keys of shapes that were forgotten, the most frequent first.
    for node in 1..=keys.len() as u32 {
        if !chain.has(node) {
            chain.insert_behind(chain.before[HEAD as usize], node);
        }
    }
    chain.in_order(keys)
}

/// Node 0 stands before the first and behind the last one; node `n` is `keys[n - 1]`.
const HEAD: u32 = 0;
const NONE: u32 = u32::MAX;

/// A doubly linked ring of nodes.
struct Chain {
    before: Vec<u32>,
    behind: Vec<u32>,
    node_of: HashMap<u32, u32, RandomState>,
}

impl Chain {
    fn new(keys: &[u32]) -> Self {
        let mut before = vec![NONE; keys.len() + 1];
        let mut behind = before.clone();
        (before[0], behind[0]) = (HEAD, HEAD);
        let node_of = keys.iter().zip(1..).map(|(key, node)| (*key, node)).collect();
        Self { before, behind, node_of }
    }

    fn has(&self, node: u32) -> bool {
        self.before[node as usize] != NONE
    }

    fn first_placed(&self, keys: &[u32]) -> Option<u32> {
        let mut nodes = keys.iter().filter_map(|key| self.node_of.get(key).copied());
        nodes.find(|node| self.has(*node))
    }

    fn insert_behind(&mut self, previous: u32, node: u32) {
        let next = self.behind[previous as usize];
        (self.before[node as usize], self.behind[node as usize]) = (previous, next);
        self.behind[previous as usize] = node;
        self.before[next as usize] = node;
    }

    fn in_order(&self, keys: &[u32]) -> Vec<u32> {
        let mut in_order = Vec::with_capacity(keys.len());
        let mut node = self.behind[HEAD as usize];
        while node != HEAD {
            in_order.push(keys[node as usize - 1]);
            node = self.behind[node as usize];
        }
        in_order
    }
}

//! What a store no longer holds, and how it lets go of it.
//!
//! A node is in no more than one place of a state's tries, and its number tells the block that made it. So the nodes that only
//! states before block N need are found from blocks N-1 and N alone: they are under the root of N-1, and no node that N made
//! links to one above them. Nothing is recorded for it while blocks are made. A block's walk visits what the block replaced.
//!
//! A state is given up in three steps, each crash-safe by itself: `states` moves up (from here on readers are refused), then the
//! nodes go, children before parents, so that a walk that starts again takes a missing node for a subtree that is gone already,
//! then `swept` moves up.

use alloy_primitives::keccak256;
use alloy_primitives::map::HashSet;
use heed::RwTxn;
use std::ops::Bound;

use super::index::forget_index;
use super::records::{number_key, to_u64, transactions};
use super::{Store, Txn};
use crate::error::{Error, Result};
use crate::node::{Kind, NodeId, Pointer, parse_record};

/// The first block of which the store holds: its state, its body and receipts, its header. And the state up to which nodes that
/// no kept state needs are gone. Block 0 is always held, but for its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pub states: u64,
    pub bodies: u64,
    pub headers: u64,
    pub swept: u64,
}

impl Kept {
    /// The lowest block that a rollback can make the head again.
    pub fn floor(&self) -> u64 {
        self.states.max(self.bodies.saturating_sub(1))
    }
}

/// Trie nodes that go, and the block up to which they are all of them.
#[derive(Debug, Default)]
pub struct Doomed {
    pub nodes: Vec<NodeId>,
    pub swept: u64,
}

fn children(kind: &Kind) -> impl Iterator<Item = NodeId> {
    let (one, many) = match kind {
        Kind::Leaf(leaf) => (leaf.storage.as_ref(), None),
        Kind::Extension { child, .. } => (Some(child), None),
        Kind::Branch(children) => (None, Some(children.iter().flatten())),
    };
    one.into_iter()
        .chain(many.into_iter().flatten())
        .filter_map(|link| match link.pointer {
            Pointer::Stored(id) if id != 0 => Some(id),
            _ => None,
        })
}

impl Store {
    pub fn kept(&self, txn: &Txn) -> Result<Kept> {
        let Some(data) = self.meta.get(txn, b"kept")? else {
            return Ok(Kept::default());
        };
        let (fields, rest) = data.as_chunks::<8>();
        match fields {
            [states, bodies, headers, swept] if rest.is_empty() => Ok(Kept {
                states: to_u64(states)?,
                bodies: to_u64(bodies)?,
                headers: to_u64(headers)?,
                swept: to_u64(swept)?,
            }),
            _ => Err(Error::Corrupt("what the store keeps".into())),
        }
    }

    pub fn set_kept(&self, txn: &mut RwTxn, kept: &Kept) -> Result<()> {
        let fields = [kept.states, kept.bodies, kept.headers, kept.swept];
        let data: Vec<u8> = fields.into_iter().flat_map(number_key).collect();
        Ok(self.meta.put(txn, b"kept", &data)?)
    }

    /// Why a block that the chain has is not answered for.
    pub(super) fn pruned(&self, txn: &Txn, number: u64, what: &str) -> Result<Error> {
        let kept = self.kept(txn)?;
        let first = if what == "header" {
            kept.headers
        } else {
            kept.bodies
        };
        Ok(if number < first {
            Error::Pruned("pruned history unavailable".into())
        } else {
            Error::NotFound(format!("there is no block {number}"))
        })
    }

    /// Trie nodes that are stored.
    pub fn node_count(&self, txn: &Txn) -> Result<u64> {
        Ok(self.nodes.len(txn)?)
    }

    /// Up to `most` nodes that no state from `kept.states` on needs.
    pub fn doomed(&self, txn: &Txn, kept: &Kept, most: usize) -> Result<Doomed> {
        let mut doomed = Doomed {
            nodes: Vec::new(),
            swept: kept.swept,
        };
        while doomed.swept < kept.states && doomed.nodes.len() < most {
            if !self.replaced(txn, doomed.swept + 1, most, &mut doomed.nodes)? {
                break;
            }
            doomed.swept += 1;
        }
        Ok(doomed)
    }

    /// The nodes that block `number` replaced, children first. Tells whether `out` had room for all.
    fn replaced(&self, txn: &Txn, number: u64, most: usize, out: &mut Vec<NodeId>) -> Result<bool> {
        let missing = || Error::Corrupt(format!("a header before block {number} is missing"));
        let before = self.header(txn, number - 1)?.ok_or_else(missing)?;
        let after = self.header(txn, number)?.ok_or_else(missing)?;
        let first = before.next_node;
        let mut shared = HashSet::<NodeId>::default();
        if after.state_node < first {
            shared.insert(after.state_node);
        }
        let range = (
            Bound::Included(&number_key(first)[..]),
            Bound::Excluded(&number_key(after.next_node)[..]),
        );
        if first < after.next_node {
            for entry in self.nodes.range(txn, &range)? {
                let (key, record) = entry?;
                let node = parse_record(to_u64(key)?, record)?;
                shared.extend(children(&node.kind).filter(|id| *id < first));
            }
        }
        self.fall(txn, before.state_node, &shared, most, out)
    }

    fn fall(
        &self,
        txn: &Txn,
        id: NodeId,
        shared: &HashSet<NodeId>,
        most: usize,
        out: &mut Vec<NodeId>,
    ) -> Result<bool> {
        if id == 0 || shared.contains(&id) {
            return Ok(true);
        }
        let Some(record) = self.nodes.get(txn, &number_key(id))? else {
            return Ok(true);
        };
        let node = parse_record(id, record)?;
        for child in children(&node.kind) {
            if !self.fall(txn, child, shared, most, out)? {
                return Ok(false);
            }
        }
        if out.len() >= most {
            return Ok(false);
        }
        out.push(id);
        Ok(true)
    }

    /// Deletes these nodes, and what a rollback below `doomed.swept` would need.
    pub fn sweep(&self, txn: &mut RwTxn, doomed: &Doomed) -> Result<()> {
        for id in &doomed.nodes {
            self.nodes.delete(txn, &number_key(*id))?;
        }
        let mut kept = self.kept(txn)?;
        for number in kept.swept + 1..=doomed.swept {
            self.undo.delete(txn, &number_key(number))?;
        }
        kept.swept = doomed.swept;
        self.set_kept(txn, &kept)
    }

    /// Deletes bodies, receipts and indexes of blocks before `target`, until about `most` entries are gone.
    pub fn drop_bodies(&self, txn: &mut RwTxn, target: u64, most: usize) -> Result<usize> {
        let mut kept = self.kept(txn)?;
        let mut gone = 0;
        while kept.bodies < target && gone < most {
            if kept.bodies == 0 {
                // The genesis block is small, and asked for as "earliest".
                kept.bodies = 1;
                continue;
            }
            let key = number_key(kept.bodies);
            let hashes: Vec<_> = match self.bodies.get(txn, &key)? {
                Some(body) => transactions(body)?.iter().map(keccak256).collect(),
                None => Vec::new(),
            };
            for hash in &hashes {
                // A hash that a later block has as well points there.
                if self.tx_place(txn, hash)?.map(|place| place.0) == Some(kept.bodies) {
                    self.txs.delete(txn, hash.as_slice())?;
                }
            }
            gone += self.keep_outbox(txn, kept.bodies)?;
            self.bodies.delete(txn, &key)?;
            self.receipts.delete(txn, &key)?;
            forget_index(self, txn, kept.bodies)?;
            gone += hashes.len() + 1;
            kept.bodies += 1;
        }
        self.set_kept(txn, &kept)?;
        Ok(gone)
    }
}

//! Letting go: of the newest blocks by a rollback; of old states, bodies and receipts a little at a time, while the chain goes on.

use super::Chain;
use crate::error::{Error, Result};
use crate::store::Kept;

/// Table entries that one write transaction deletes: how long a commit may have to wait for it.
const AT_ONCE: usize = 2_000;
/// States given up at once.
const STATES_AT_ONCE: u64 = 256;

impl Chain {
    /// From which block on the store holds what.
    pub fn kept(&self) -> Result<Kept> {
        self.store.kept(&self.store.read()?)
    }

    /// One small step towards keeping states from block `states` on, bodies and receipts from block `bodies` on; what is beyond
    /// the head counts as the head. Tells whether there may be more to do.
    pub fn prune(&self, states: u64, bodies: u64) -> Result<bool> {
        let kept = self.kept()?;
        if kept.swept < kept.states {
            // What is given up stands for good, so it is found without keeping writers waiting.
            let doomed = {
                let txn = self.store.read()?;
                self.store.doomed(&txn, &kept, AT_ONCE)?
            };
            let mut txn = self.store.write()?;
            if self.store.kept(&txn)? == kept {
                self.store.sweep(&mut txn, &doomed)?;
                txn.commit()?;
            }
            return Ok(true);
        }
        let mut txn = self.store.write()?;
        let mut kept = self.store.kept(&txn)?;
        let head = self
            .store
            .head_number(&txn)?
            .ok_or_else(|| Error::Corrupt("the store has no head".into()))?;
        if kept.states < states.min(head) {
            kept.states = states.min(head).min(kept.states + STATES_AT_ONCE);
            self.store.set_kept(&mut txn, &kept)?;
        } else if kept.bodies < bodies.min(head) {
            self.store
                .drop_bodies(&mut txn, bodies.min(head), AT_ONCE)?;
        } else {
            return Ok(false);
        }
        txn.commit()?;
        Ok(true)
    }

    /// Forgets every block after `number`, atomically.
    pub fn rollback(&self, number: u64) -> Result<()> {
        let mut writer = self.writer()?;
        writer.discard();
        let head = writer.head.header.number;
        if number > head {
            return Err(Error::NotFound(format!(
                "there is no block {number}: the head is {head}"
            )));
        }
        let record = self.header(number)?;
        let mut txn = self.store.write()?;
        let floor = self.store.kept(&txn)?.floor();
        if number < floor {
            return Err(Error::Pruned(format!(
                "the chain cannot go back to block {number}: what that takes is kept from block {floor} on"
            )));
        }
        for popped in (number + 1..=head).rev() {
            self.store.pop_block(&mut txn, popped)?;
        }
        self.store.drop_nodes(&mut txn, record.next_node)?;
        txn.commit()?;
        writer.reset()
    }
}

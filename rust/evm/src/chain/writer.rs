//! The one writer of a chain: what is committed, what is cached above it, and the blocks that wait for their commit.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use std::sync::Arc;

use super::{Built, HeadInfo};
use crate::block::{Body, Executed, Plan, Sealed, assemble, context, side_by_side};
use crate::config::{ChainConfig, GenesisDocument, OUTBOX};
use crate::derivation::Ledger;
use crate::error::{Error, Result};
use crate::executor::execute_block_by;
use crate::node::{Link, NodeId, persist, root_hash};
use crate::parallel::Workers;
use crate::state::{Account, Changes, Overlay};
use crate::store::Store;
use crate::tx::{SenderCache, SignedTx, decode_all};
use crate::view::Latest;
use crate::world;

/// Accounts and slots that stay in memory between blocks.
const CACHED_STATE: usize = 2_000_000;
/// Trie nodes that stay in memory between blocks.
const CACHED_NODES: u64 = 500_000;

pub(super) struct Pending {
    pub(super) block: Executed,
    pub(super) changes: Changes,
    pub(super) root: Option<Link>,
}

pub(super) struct Writer {
    pub(super) config: ChainConfig,
    pub(super) store: Arc<Store>,
    pub(super) senders: Arc<SenderCache>,
    pub(super) workers: Workers,
    pub(super) overlay: Overlay<Latest>,
    /// The committed head.
    pub(super) head: Sealed,
    pub(super) root: Option<Link>,
    pub(super) next_node: NodeId,
    /// Nodes that were written since the in-memory trie was last dropped.
    pub(super) warm_nodes: u64,
    pub(super) pending: Vec<Pending>,
}

impl Writer {
    pub(super) fn expect_idle(&self) -> Result<()> {
        match self.pending.last() {
            None => Ok(()),
            Some(pending) => Err(Error::Invalid(format!(
                "block {} is pending: commit or discard it first",
                pending.block.sealed.header.number
            ))),
        }
    }

    pub(super) fn built(&self, index: usize) -> Result<Built> {
        let pending = self
            .pending
            .get(index)
            .ok_or_else(|| Error::Invalid("nothing is pending".into()))?;
        let block = &pending.block;
        Ok(Built {
            head: HeadInfo::from(block),
            included: block.included.clone(),
            skipped: block.skipped.clone(),
        })
    }

    /// Executes a plan on the pending tip. On an error nothing of it is left.
    pub(super) fn run(&mut self, plan: Plan) -> Result<()> {
        let result = self.try_run(plan);
        self.overlay.reader.end();
        if result.is_err() {
            self.discard();
            // What the block changed may have been taken out of the overlay, and be known to nobody any more.
            self.overlay.clear();
        }
        result
    }

    fn try_run(&mut self, mut plan: Plan) -> Result<()> {
        self.overlay.reader.begin()?;
        let parent = self.head().clone();
        let context = context(&self.config, &parent, &plan);
        let txs = core::mem::take(&mut plan.txs);
        let mut outcome = execute_block_by(
            &self.workers,
            &context,
            &mut self.overlay,
            txs,
            &plan.withdrawals,
        )?;
        let outbox_root = outbox_root(&mut self.overlay, &self.config)?;
        let changes = self.overlay.take_changes();
        let tip = self
            .pending
            .last()
            .map_or(&self.root, |pending| &pending.root)
            .clone();
        let txs = outcome.txs.len();
        let (root, body) = side_by_side(
            txs,
            || world::update(&*self.store, tip, &changes.accounts),
            || Body::of(&mut outcome),
        );
        let root = root?;
        let block = assemble(
            &context,
            plan,
            outcome,
            body,
            root_hash(root.as_ref()),
            outbox_root,
        );
        self.overlay
            .push_block_hash(block.sealed.header.number, block.sealed.hash);
        self.pending.push(Pending {
            block,
            changes,
            root,
        });
        Ok(())
    }

    pub(super) fn discard(&mut self) {
        self.overlay
            .forget(self.pending.iter().map(|pending| &pending.changes));
        self.pending.clear();
    }

    /// Forgets all that is in memory and takes up what is committed.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.pending.clear();
        self.overlay.clear();
        self.overlay.reader.end();
        (self.head, self.root, self.next_node) = load_head(&self.store)?;
        self.warm_nodes = 0;
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = core::mem::take(&mut self.pending);
        match self.write(&pending) {
            Ok(next) => {
                self.warm_nodes += next - self.next_node;
                self.next_node = next;
                if let Some(last) = pending.into_iter().last() {
                    self.head = last.block.sealed;
                    self.root = last.root;
                }
                self.overlay.forget_block_hashes();
                if self.warm_nodes > CACHED_NODES {
                    self.root = self
                        .root
                        .take()
                        .and_then(|root| Link::root(root.id(), &root.hash()));
                    self.warm_nodes = 0;
                }
                if self.overlay.weight() > CACHED_STATE {
                    self.overlay.clear();
                    self.overlay.drop_codes();
                }
                Ok(())
            }
            Err(error) => {
                // New nodes may have got numbers that the failed transaction did not keep.
                self.reset()?;
                Err(error)
            }
        }
    }

    fn write(&self, pending: &[Pending]) -> Result<NodeId> {
        let mut txn = self.store.write()?;
        let mut next = self.next_node;
        for Pending {
            block,
            changes,
            root,
        } in pending
        {
            let node = match root {
                Some(root) => persist(root, &mut next, &mut |id, record| {
                    self.store.put_node(&mut txn, id, record)
                })?,
                None => 0,
            };
            self.store.put_block(&mut txn, block, changes, node, next)?;
        }
        txn.commit()?;
        Ok(next)
    }
}

impl Ledger for Writer {
    type Error = Error;

    fn config(&self) -> &ChainConfig {
        &self.config
    }

    fn head(&self) -> &Sealed {
        self.pending
            .last()
            .map_or(&self.head, |pending| &pending.block.sealed)
    }

    fn decode(&self, txs: &[Bytes]) -> Vec<Result<SignedTx, String>> {
        decode_all(txs, &self.senders)
    }

    fn build(&mut self, plan: Plan) -> Result<()> {
        self.run(plan)?;
        if let Some(built) = self.pending.last_mut() {
            // Nobody asks why a batch's transactions were skipped, and there may be many.
            built.block.skipped = Vec::new();
        }
        Ok(())
    }
}

pub(crate) fn genesis_block(
    store: &Arc<Store>,
    overlay: &mut Overlay<Latest>,
    genesis: GenesisDocument,
) -> Result<(Sealed, Changes, Option<Link>)> {
    overlay.reader.begin()?;
    for (address, entry) in genesis.alloc {
        let code = entry.code.unwrap_or_default();
        let code_hash = if code.is_empty() {
            Account::default().code_hash
        } else {
            keccak256(&code)
        };
        let account = Account {
            nonce: entry.nonce.unwrap_or(0),
            balance: entry.balance,
            code_hash,
        };
        let storage: Vec<(U256, U256)> = entry
            .storage
            .unwrap_or_default()
            .into_iter()
            .map(|(slot, value)| (slot.into(), value.into()))
            .collect();
        overlay.put(address, account, Some(code), &storage);
    }
    let changes = overlay.take_changes();
    let root = world::update(&**store, None, &changes.accounts)?;
    let mut header = genesis.header;
    header.state_root = root_hash(root.as_ref());
    Ok((Sealed::new(header), changes, root))
}

pub(crate) fn outbox_root(overlay: &mut Overlay<Latest>, config: &ChainConfig) -> Result<B256> {
    Ok(match overlay.account(OUTBOX)? {
        Some(_) => overlay.slot(OUTBOX, config.outbox_slot)?.into(),
        None => B256::ZERO,
    })
}

/// The committed head, checked: its hash, its place in the index, and the root of its state.
pub(super) fn load_head(store: &Store) -> Result<(Sealed, Option<Link>, NodeId)> {
    let txn = store.read()?;
    let missing = || Error::Corrupt("the store has no head block".into());
    let number = store.head_number(&txn)?.ok_or_else(missing)?;
    let record = store.header(&txn, number)?.ok_or_else(missing)?;
    if record.sealed.header.hash_slow() != record.sealed.hash
        || store.number_of(&txn, &record.sealed.hash)? != Some(number)
    {
        return Err(Error::Corrupt(format!(
            "the head, block {number}, is not what its hash says"
        )));
    }
    let root = record.state();
    if let Some(link) = &root {
        let mut rlp = Vec::new();
        store
            .node(&txn, record.state_node)?
            .kind
            .encode_rlp(&mut rlp);
        if keccak256(&rlp) != link.hash() {
            return Err(Error::Corrupt(format!(
                "the state of block {number} is not what its root says"
            )));
        }
    }
    Ok((record.sealed, root, record.next_node))
}

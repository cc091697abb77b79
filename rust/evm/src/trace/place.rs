//! A block about to be executed again.

use alloy_primitives::B256;
use revm::ExecuteCommitEvm;
use revm::primitives::hardfork::SpecId;

use super::Clock;
use super::tracer::Subject;
use crate::block::{Sealed, context_of};
use crate::config::ChainConfig;
use crate::error::{Error, Result};
use crate::executor::{BlockContext, open_block};
use crate::state::Overlay;
use crate::store::{Store, transactions};
use crate::tx::{SignedTx, decode_known};
use crate::view::At;

/// A block's transactions, and the state that its first one finds.
pub struct Place<'s> {
    pub context: BlockContext,
    pub hash: B256,
    pub state: Overlay<At<'s>>,
    pub txs: Vec<SignedTx>,
    /// How many logs each transaction has, where that is known.
    logs: Vec<usize>,
}

impl<'s> Place<'s> {
    /// Block `number` of the chain.
    pub fn open(config: &ChainConfig, store: &'s Store, number: u64) -> Result<Self> {
        let parent = number.checked_sub(1).ok_or_else(untraceable)?;
        let (_, at) = At::open(store, Some(parent))?;
        let missing = || Error::NotFound(format!("there is no block {number}"));
        let record = store.header(&at.txn, number)?.ok_or_else(missing)?;
        let raws = transactions(store.body(&at.txn, number)?.ok_or_else(missing)?)?;
        let receipts = store.receipts(&at.txn, number)?.ok_or_else(missing)?;
        let damaged = |why: &str| Error::Corrupt(format!("block {number} {why}"));
        if receipts.senders.len() != raws.len() || receipts.receipts.len() != raws.len() {
            return Err(damaged("has not one receipt for each transaction"));
        }
        let txs = raws
            .iter()
            .zip(&receipts.senders)
            .map(|(raw, sender)| decode_known(raw, *sender).map_err(|why| damaged(&why)))
            .collect::<Result<_>>()?;
        let logs = receipts
            .receipts
            .iter()
            .map(|receipt| receipt.logs.len())
            .collect();
        Self::new(config, at, record.sealed, txs, logs)
    }

    /// A block that need not be of the chain, above one that is.
    pub fn above(
        config: &ChainConfig,
        store: &'s Store,
        sealed: Sealed,
        txs: Vec<SignedTx>,
    ) -> Result<Self> {
        let parent = sealed
            .header
            .number
            .checked_sub(1)
            .ok_or_else(untraceable)?;
        let unknown = || Error::InvalidTransaction(format!("block #{parent} not found"));
        let (record, at) = match At::open(store, Some(parent)) {
            Err(Error::NotFound(_)) => return Err(unknown()),
            opened => opened?,
        };
        if record.sealed.hash != sealed.header.parent_hash {
            return Err(Error::InvalidTransaction(format!(
                "block {:#x} not found",
                sealed.header.parent_hash
            )));
        }
        // The memory that a transaction may have grows with its gas.
        let most = record.sealed.header.gas_limit;
        if sealed.header.gas_limit > most.saturating_add(most / 1024) {
            return Err(Error::InvalidTransaction(format!(
                "the block's gas limit {} is too far above its parent's, {most}",
                sealed.header.gas_limit
            )));
        }
        Self::new(config, at, sealed, txs, Vec::new())
    }

    /// The block of the transaction `hash`, with all before it executed, and its position.
    pub fn of_transaction(
        config: &ChainConfig,
        store: &'s Store,
        hash: &B256,
        clock: Clock,
    ) -> Result<Option<(Self, usize)>> {
        let Some((number, index)) = store.tx_place(&store.read()?, hash)? else {
            return Ok(None);
        };
        let mut place = match Self::open(config, store, number) {
            Err(Error::NotFound(_)) => return Ok(None), // rolled back in between
            opened => opened?,
        };
        if place.txs.get(index).map(SignedTx::hash) != Some(hash) {
            return Ok(None);
        }
        place.advance(index, clock)?;
        Ok(Some((place, index)))
    }

    fn new(
        config: &ChainConfig,
        at: At<'s>,
        sealed: Sealed,
        txs: Vec<SignedTx>,
        logs: Vec<usize>,
    ) -> Result<Self> {
        let context = context_of(config, &sealed.header);
        let mut state = Overlay::new(at);
        state.keep_empty = context.spec < SpecId::SPURIOUS_DRAGON;
        open_block(&context, &mut state)?;
        Ok(Self {
            context,
            hash: sealed.hash,
            state,
            txs,
            logs,
        })
    }

    /// Executes the transactions before position `index`.
    pub fn advance(&mut self, index: usize, clock: Clock) -> Result<()> {
        let mut evm = self.context.evm(&mut self.state, |_| {});
        for tx in &self.txs[..index] {
            clock.check()?;
            evm.transact_commit(tx.env()).map_err(|error| {
                Error::Corrupt(format!(
                    "transaction {} of block {} does not execute again: {error}",
                    tx.hash(),
                    self.context.number
                ))
            })?;
        }
        Ok(())
    }

    pub fn subject(&self, index: usize) -> Subject {
        let tx = &self.txs[index];
        Subject {
            hash: Some(*tx.hash()),
            index: Some(index as u64),
            block_hash: Some(self.hash),
            tx: tx.env(),
            signed: true,
            first_log: self.logs.iter().take(index).sum::<usize>() as u64,
        }
    }
}

fn untraceable() -> Error {
    Error::InvalidTransaction("genesis is not traceable".into())
}

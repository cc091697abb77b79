//! Growing a chain by blocks that others made.

use alloy_consensus::Header;
use alloy_primitives::{B256, U256, map::B256Set};

use super::writer::Pending;
use super::{Chain, HeadInfo, Writer};
use crate::block::{Executed, Sealed, context_of};
use crate::error::{Error, Result};
use crate::import::{self, Foreign};
use crate::node::root_hash;
use crate::state::Changes;
use crate::store::ommers;
use crate::{header_rules, world};

/// How many generations back an ommer's parent may lie.
const OMMER_DEPTH: u64 = 7;

impl Chain {
    /// Checks, executes and commits blocks in Ethereum's encoding, one after the other as `geth export` writes them. One that is
    /// not valid on the head is an error; those before it are kept.
    pub fn import(&self, mut blocks: &[u8]) -> Result<Vec<HeadInfo>> {
        if !self.config.imported {
            return Err(Error::Invalid(
                "this chain's blocks are built here: none can be imported".into(),
            ));
        }
        let mut writer = self.writer()?;
        let mut heads = Vec::new();
        while !blocks.is_empty() {
            let block = import::take(&mut blocks, &self.senders).map_err(Error::Invalid)?;
            writer.import(block)?;
            heads.extend(writer.pending.iter().map(|one| HeadInfo::from(&one.block)));
            writer.commit()?;
        }
        Ok(heads)
    }
}

impl Writer {
    fn import(&mut self, block: Foreign) -> Result<()> {
        self.expect_idle()?;
        self.overlay.reader.begin()?;
        let result = self.try_import(block);
        self.overlay.reader.end();
        if result.is_err() {
            self.discard();
            // Of the steps that had changed the state already, nobody knows any more what they changed.
            self.overlay.clear();
        }
        result
    }

    fn try_import(&mut self, mut block: Foreign) -> Result<()> {
        let number = block.sealed.header.number;
        let wrong = |why: String| Error::Invalid(format!("block {number}: {why}"));
        self.check_place(&block).map_err(wrong)?;
        import::check_body(&self.config, &block).map_err(wrong)?;
        self.check_ommers(&block)?;
        let mut root = self.root.clone();
        let mut changes = Changes::default();
        let ran = import::execute(&self.config, &mut block, &mut self.overlay, |overlay| {
            let step = overlay.take_changes();
            root = world::update(&*self.store, root.take(), &step.accounts)?;
            changes.follow(step);
            Ok(root_hash(root.as_ref()))
        })?
        .map_err(wrong)?;
        let rest = self.overlay.take_changes();
        let root = world::update(&*self.store, root, &rest.accounts)?;
        changes.follow(rest);
        let Sealed { header, .. } = &block.sealed;
        let checked = import::check_outcome(&self.config, header, &ran, root_hash(root.as_ref()));
        let blob_price = context_of(&self.config, header).blob_price();
        let block = Executed {
            sealed: block.sealed,
            txs: ran.txs,
            receipts: ran.receipts,
            touched: ran.touched,
            blob_price,
            ommers: block.ommers,
            withdrawals: block.withdrawals.unwrap_or_default(),
            forced: 0,
            outbox_root: B256::ZERO,
            included: Vec::new(),
            skipped: Vec::new(),
        };
        self.overlay.push_block_hash(number, block.sealed.hash);
        // Pending before it is judged: so a discard forgets what it left in the cache.
        self.pending.push(Pending {
            block,
            changes,
            root,
        });
        checked.map_err(wrong)
    }

    /// The header on the head.
    fn check_place(&self, block: &Foreign) -> Result<(), String> {
        let header = &block.sealed.header;
        if header.parent_hash != self.head.hash {
            return Err(format!(
                "its parent is not the head, block {}",
                self.head.header.number
            ));
        }
        header_rules::check(&self.config, &self.head.header, header)?;
        let ends_proof_of_work =
            header.difficulty.is_zero() && !self.head.header.difficulty.is_zero();
        let wanted = self.config.forks.terminal_total_difficulty();
        if ends_proof_of_work && !wanted.is_zero() {
            let total = self.total_difficulty().map_err(|error| error.to_string())?;
            if total < wanted {
                return Err(format!(
                    "it has no difficulty, but the chain's total is {total} and proof of work ends at {wanted}"
                ));
            }
        }
        Ok(())
    }

    fn total_difficulty(&self) -> Result<U256> {
        let txn = self.store.read()?;
        let mut total = U256::ZERO;
        for number in 0..=self.head.header.number {
            let record = self.store.header(&txn, number)?;
            let header = record.map(|record| record.sealed.header);
            total = total.saturating_add(header.unwrap_or_default().difficulty);
        }
        Ok(total)
    }

    /// Ommers are children of the block's ancestors, headers that stand, and new.
    fn check_ommers(&self, block: &Foreign) -> Result<()> {
        if block.ommers.is_empty() {
            return Ok(());
        }
        let number = block.sealed.header.number;
        let wrong = |why: &str| Error::Invalid(format!("block {number}: an ommer {why}"));
        let txn = self.store.read()?;
        let mut seen = B256Set::default();
        for ancestor in number.saturating_sub(OMMER_DEPTH)..number {
            seen.extend(self.store.block_hash(&txn, ancestor)?);
            if let Some(body) = self.store.body(&txn, ancestor)? {
                seen.extend(ommers(body)?.iter().map(Header::hash_slow));
            }
        }
        for ommer in &block.ommers {
            if !seen.insert(ommer.hash_slow()) {
                return Err(wrong("is no ommer, or was one already"));
            }
            if ommer.number >= number || ommer.number + OMMER_DEPTH <= number {
                return Err(wrong("is too old, or not older than the block"));
            }
            let parent = self.store.header(&txn, ommer.number.saturating_sub(1))?;
            let Some(parent) = parent.filter(|parent| parent.sealed.hash == ommer.parent_hash)
            else {
                return Err(wrong("has no parent among the block's ancestors"));
            };
            header_rules::check(&self.config, &parent.sealed.header, ommer)
                .map_err(|why| wrong(&format!("does not stand: {why}")))?;
        }
        Ok(())
    }
}

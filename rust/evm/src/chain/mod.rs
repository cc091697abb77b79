//! A durable chain: blocks are executed on the head, held as pending, and committed together or not at all.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::{self, Batch, DeclaredBlock};
use crate::block::{Executed, Plan, Sealed};
use crate::config::{ChainConfig, GenesisDocument};
use crate::derivation::{self, Ledger, Message};
use crate::error::{Error, Result};
use crate::node::persist;
use crate::parallel::Workers;
use crate::state::Overlay;
use crate::store::{HeaderRecord, Store, transactions};
use crate::tx::{SenderCache, decode_all};
use crate::view::{At, Latest};

mod importing;
mod pruning;
mod writer;

use writer::{Writer, load_head};
pub(crate) use writer::{genesis_block, outbox_root};

pub struct Chain {
    pub config: ChainConfig,
    pub genesis_hash: B256,
    /// Stands for the genesis document and the rules.
    pub fingerprint: B256,
    store: Arc<Store>,
    senders: Arc<SenderCache>,
    writer: Mutex<Writer>,
}

/// A header and what goes with it that is not in it.
#[derive(Clone, Debug)]
pub struct HeadInfo {
    pub sealed: Sealed,
    pub outbox_root: B256,
}

impl From<&HeaderRecord> for HeadInfo {
    fn from(record: &HeaderRecord) -> Self {
        Self {
            sealed: record.sealed.clone(),
            outbox_root: record.outbox_root,
        }
    }
}

impl From<&Executed> for HeadInfo {
    fn from(block: &Executed) -> Self {
        Self {
            sealed: block.sealed.clone(),
            outbox_root: block.outbox_root,
        }
    }
}

/// A block that waits for its commit.
#[derive(Clone, Debug)]
pub struct Built {
    pub head: HeadInfo,
    pub included: Vec<usize>,
    pub skipped: Vec<(usize, String)>,
}

impl Chain {
    /// Opens the chain at `path`, or creates it from the genesis document.
    pub fn open(
        path: &Path,
        genesis_json: &str,
        map_bytes: usize,
        senders: Arc<SenderCache>,
    ) -> Result<Self> {
        let genesis = GenesisDocument::parse(genesis_json, false)?;
        Self::open_document(path, genesis, map_bytes, senders)
    }

    /// As `open`, for a chain whose blocks others made: it grows by `import` alone.
    pub fn open_imported(
        path: &Path,
        genesis_json: &str,
        map_bytes: usize,
        senders: Arc<SenderCache>,
    ) -> Result<Self> {
        let genesis = GenesisDocument::parse(genesis_json, true)?;
        Self::open_document(path, genesis, map_bytes, senders)
    }

    fn open_document(
        path: &Path,
        genesis: GenesisDocument,
        map_bytes: usize,
        senders: Arc<SenderCache>,
    ) -> Result<Self> {
        let store = Arc::new(Store::open(path, map_bytes)?);
        let config = genesis.config.clone();
        let created = { store.identity(&store.read()?)? };
        if store.is_importing(&store.read()?)? {
            return Err(Error::Corrupt(format!(
                "{} holds a part of a snapshot, whose import was not finished: import it again",
                path.display()
            )));
        }
        let mut overlay = Overlay::new(Latest::new(store.clone()));
        let (sealed, changes, root) = genesis_block(&store, &mut overlay, genesis)?;
        let fingerprint =
            keccak256([config.fingerprint().as_slice(), sealed.hash.as_slice()].concat());
        let genesis_hash = sealed.hash;
        match created {
            None => {
                let outbox_root = outbox_root(&mut overlay, &config)?;
                let block = Executed::empty(sealed, outbox_root);
                let mut txn = store.write()?;
                let mut next = 1;
                let node = match &root {
                    Some(root) => persist(root, &mut next, &mut |id, record| {
                        store.put_node(&mut txn, id, record)
                    })?,
                    None => 0,
                };
                store.put_block(&mut txn, &block, &changes, node, next)?;
                store.set_identity(&mut txn, &fingerprint)?;
                txn.commit()?;
            }
            Some(identity) if identity == Store::identity_bytes(&fingerprint) => {}
            Some(identity) if Store::is_other_format(&identity) => {
                return Err(Error::Corrupt(format!(
                    "{} was written in the format of another version of this program",
                    path.display()
                )));
            }
            Some(_) => {
                return Err(Error::Corrupt(format!(
                    "{} holds a chain of another genesis document",
                    path.display()
                )));
            }
        }
        overlay.clear();
        let (head, root, next_node) = load_head(&store)?;
        let writer = Writer {
            config: config.clone(),
            store: store.clone(),
            senders: senders.clone(),
            workers: Workers::default(),
            overlay,
            head,
            root,
            next_node,
            warm_nodes: 0,
            pending: Vec::new(),
        };
        Ok(Self {
            config,
            genesis_hash,
            fingerprint,
            store,
            senders,
            writer: Mutex::new(writer),
        })
    }

    /// Lets these threads execute the blocks to come. What comes of a block does not depend on them.
    pub fn set_workers(&self, workers: Workers) -> Result<()> {
        self.writer()?.workers = workers;
        Ok(())
    }

    /// How many transactions were executed in parallel, and how many of them again.
    pub fn parallel(&self) -> Result<(u64, u64)> {
        Ok(self.writer()?.workers.counts())
    }

    /// A writer that panicked half-way is put back to what is committed.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>> {
        match self.writer.lock() {
            Ok(guard) => Ok(guard),
            Err(poisoned) => {
                let mut guard = PoisonError::into_inner(poisoned);
                guard.reset()?;
                self.writer.clear_poison();
                Ok(guard)
            }
        }
    }

    /// The writer of a chain whose blocks we build, with nothing pending.
    fn builder(&self) -> Result<MutexGuard<'_, Writer>> {
        if self.config.imported {
            return Err(Error::Invalid(
                "this chain's blocks are imported: none can be built on it".into(),
            ));
        }
        let writer = self.writer()?;
        writer.expect_idle()?;
        Ok(writer)
    }

    /// Executes an ordered block on the head. It replaces nothing: one that is pending must be committed or discarded first.
    pub fn execute(
        &self,
        timestamp: u64,
        txs: &[Bytes],
        skip_invalid: bool,
        beneficiary: Address,
    ) -> Result<Built> {
        let mut writer = self.builder()?;
        let parent = writer.head.header.timestamp;
        if timestamp < parent {
            return Err(Error::Invalid(format!(
                "the timestamp {timestamp} lies before the head's, {parent}"
            )));
        }
        let txs = decode_all(txs, &self.senders);
        if !skip_invalid
            && let Some((position, reason)) = txs
                .iter()
                .enumerate()
                .find_map(|(i, tx)| Some((i, tx.as_ref().err()?)))
        {
            return Err(Error::InvalidTransaction(format!(
                "transaction {position}: {reason}"
            )));
        }
        writer.run(Plan {
            timestamp,
            beneficiary,
            txs,
            ..Default::default()
        })?;
        let built = writer.built(0)?;
        if !skip_invalid && let Some((position, reason)) = built.skipped.first() {
            let error = Error::InvalidTransaction(format!("transaction {position}: {reason}"));
            writer.discard();
            return Err(error);
        }
        Ok(built)
    }

    /// Executes one rollup block as the derivation does. Positions in the result index `txs`, the block's own.
    pub fn execute_rollup(
        &self,
        timestamp: u64,
        inbox_end: u64,
        messages: &[Message],
        txs: &[Bytes],
    ) -> Result<Built> {
        let mut writer = self.builder()?;
        let start = writer.head().inbox_end();
        derivation::check(start, inbox_end, messages).map_err(Error::Invalid)?;
        let plan = derivation::plan(&*writer, timestamp, inbox_end, start, messages, txs);
        let forced = plan.forced;
        writer.run(plan)?;
        let mut built = writer.built(0)?;
        built.included = built
            .included
            .iter()
            .filter_map(|position| position.checked_sub(forced))
            .collect();
        built
            .skipped
            .retain_mut(|(position, _)| match position.checked_sub(forced) {
                Some(own) => {
                    *position = own;
                    true
                }
                None => false,
            });
        Ok(built)
    }

    /// Derives and commits all blocks of one batch.
    pub fn apply_batch(
        &self,
        data: Option<&[u8]>,
        timestamp: u64,
        inbox_end: u64,
        messages: &[Message],
    ) -> Result<Vec<HeadInfo>> {
        let mut writer = self.builder()?;
        derivation::check(writer.head().inbox_end(), inbox_end, messages)
            .map_err(Error::Invalid)?;
        if let Err(error) = derivation::derive(&mut *writer, data, timestamp, inbox_end, messages) {
            writer.discard();
            return Err(error);
        }
        let heads = writer
            .pending
            .iter()
            .map(|pending| HeadInfo::from(&pending.block))
            .collect();
        writer.commit()?;
        Ok(heads)
    }

    pub fn commit(&self) -> Result<()> {
        self.writer()?.commit()
    }

    pub fn discard(&self) -> Result<()> {
        self.writer()?.discard();
        Ok(())
    }

    /// The canonical batch of stored blocks.
    pub fn encode_batch(&self, first: u64, last: u64, level: i32) -> Result<Vec<u8>> {
        if first == 0 || last < first {
            return Err(Error::Invalid(format!(
                "blocks {first} to {last} are not a range that a batch can hold"
            )));
        }
        if last - first >= batch::MAX_BLOCKS as u64 {
            return Err(Error::Invalid(format!(
                "a batch holds at most {} blocks",
                batch::MAX_BLOCKS
            )));
        }
        let txn = self.store.read()?;
        let missing = |number: u64| Error::NotFound(format!("there is no block {number}"));
        let mut blocks = Vec::new();
        let mut gas = 0u64;
        for number in first..=last {
            let record = self
                .store
                .header(&txn, number)?
                .ok_or_else(|| missing(number))?;
            if gas >= batch::MAX_GAS {
                return Err(Error::Invalid(format!(
                    "blocks {first} to {} have used the gas of a batch",
                    number - 1
                )));
            }
            gas = gas.saturating_add(record.sealed.header.gas_used);
            let body = self
                .store
                .body(&txn, number)?
                .ok_or_else(|| missing(number))?;
            let mut all = transactions(body)?;
            if record.forced > all.len() as u64 {
                return Err(Error::Pruned(format!(
                    "block {number} came as a snapshot: what of it was forced is not known"
                )));
            }
            let own = all.split_off(record.forced as usize);
            blocks.push(DeclaredBlock {
                timestamp: record.sealed.header.timestamp,
                inbox_end: record.sealed.inbox_end(),
                txs: own,
            });
        }
        let parent_hash = self
            .store
            .block_hash(&txn, first - 1)?
            .ok_or_else(|| missing(first - 1))?;
        let wanted = Batch {
            parent_hash,
            blocks,
        };
        let data = batch::encode(&wanted, level).ok_or_else(|| {
            Error::Invalid(format!(
                "blocks {first} to {last} are over the {} bytes of a batch",
                batch::MAX_CONTENT
            ))
        })?;
        if batch::decode(&data, self.config.gas_limit).as_ref() != Some(&wanted) {
            return Err(Error::Invalid(format!(
                "blocks {first} to {last} cannot be encoded as a batch"
            )));
        }
        Ok(data)
    }

    // --- reading: from snapshots, never waiting for the writer

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn head(&self) -> Result<HeaderRecord> {
        let txn = self.store.read()?;
        let number = self
            .store
            .head_number(&txn)?
            .ok_or_else(|| Error::Corrupt("the store has no head".into()))?;
        self.store
            .header(&txn, number)?
            .ok_or_else(|| Error::Corrupt(format!("the head, block {number}, is missing")))
    }

    pub fn header(&self, number: u64) -> Result<HeaderRecord> {
        let txn = self.store.read()?;
        self.store
            .header(&txn, number)?
            .ok_or_else(|| Error::NotFound(format!("there is no block {number}")))
    }

    pub fn number_of(&self, hash: &B256) -> Result<Option<u64>> {
        self.store.number_of(&self.store.read()?, hash)
    }

    pub fn transactions(&self, number: u64) -> Result<Vec<Bytes>> {
        let txn = self.store.read()?;
        let body = self
            .store
            .body(&txn, number)?
            .ok_or_else(|| Error::NotFound(format!("there is no block {number}")))?;
        transactions(body)
    }

    /// The block as Ethereum encodes it.
    pub fn block_rlp(&self, number: u64) -> Result<Vec<u8>> {
        let txn = self.store.read()?;
        let missing = || Error::NotFound(format!("there is no block {number}"));
        let header = self.store.header(&txn, number)?.ok_or_else(missing)?.rlp;
        let body = self.store.body(&txn, number)?.ok_or_else(missing)?;
        let mut block = Vec::with_capacity(header.len() + body.len() + 8);
        alloy_rlp::Header {
            list: true,
            payload_length: header.len() + body.len(),
        }
        .encode(&mut block);
        block.extend_from_slice(&header);
        block.extend_from_slice(body);
        Ok(block)
    }

    /// The state after block `number` (None: after the head), and its header.
    pub fn at(&self, number: Option<u64>) -> Result<(HeaderRecord, At<'_>)> {
        At::open(&self.store, number)
    }
}

//! A durable chain: blocks are executed on the head, held as pending, and committed together or not at all.

use alloy_primitives::{keccak256, Address, Bytes, B256, U256};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::{self, Batch, DeclaredBlock};
use crate::block::{assemble, context, Executed, Plan, Sealed};
use crate::config::{ChainConfig, GenesisDocument, OUTBOX};
use crate::derivation::{self, Ledger, Message};
use crate::error::{Error, Result};
use crate::executor::execute_block;
use crate::node::{persist, root_hash, Link, NodeId};
use crate::state::{Account, Changes, Overlay};
use crate::store::{transactions, HeaderRecord, Store};
use crate::tx::{decode_all, SenderCache, SignedTx};
use crate::view::{At, Latest};
use crate::world;

/// Accounts and slots that stay in memory between blocks.
const CACHED_STATE: usize = 2_000_000;
/// Trie nodes that stay in memory between blocks.
const CACHED_NODES: u64 = 500_000;

pub struct Chain {
    pub config: ChainConfig,
    pub genesis_hash: B256,
    store: Arc<Store>,
    senders: Arc<SenderCache>,
    writer: Mutex<Writer>,
}

struct Pending {
    block: Executed,
    changes: Changes,
    root: Option<Link>,
}

struct Writer {
    config: ChainConfig,
    store: Arc<Store>,
    senders: Arc<SenderCache>,
    overlay: Overlay<Latest>,
    /// The committed head.
    head: Sealed,
    root: Option<Link>,
    next_node: NodeId,
    /// Nodes that were written since the in-memory trie was last dropped.
    warm_nodes: u64,
    pending: Vec<Pending>,
}

/// A header and what goes with it that is not in it.
#[derive(Clone, Debug)]
pub struct HeadInfo {
    pub sealed: Sealed,
    pub outbox_root: B256,
}

impl From<&HeaderRecord> for HeadInfo {
    fn from(record: &HeaderRecord) -> Self {
        Self { sealed: record.sealed.clone(), outbox_root: record.outbox_root }
    }
}

impl From<&Executed> for HeadInfo {
    fn from(block: &Executed) -> Self {
        Self { sealed: block.sealed.clone(), outbox_root: block.outbox_root }
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
    pub fn open(path: &Path, genesis_json: &str, map_bytes: usize, senders: Arc<SenderCache>) -> Result<Self> {
        let genesis = GenesisDocument::parse(genesis_json)?;
        let store = Arc::new(Store::open(path, map_bytes)?);
        let config = genesis.config.clone();
        let created = { store.identity(&store.read()?)? };
        let mut overlay = Overlay::new(Latest::new(store.clone()));
        let (sealed, changes, root) = genesis_block(&store, &mut overlay, genesis)?;
        let fingerprint = keccak256([config.fingerprint().as_slice(), sealed.hash.as_slice()].concat());
        let genesis_hash = sealed.hash;
        match created {
            None => {
                let outbox_root = outbox_root(&mut overlay, &config)?;
                let block = Executed {
                    sealed,
                    txs: Vec::new(),
                    receipts: Vec::new(),
                    withdrawals: Vec::new(),
                    forced: 0,
                    outbox_root,
                    included: Vec::new(),
                    skipped: Vec::new(),
                };
                let mut txn = store.write()?;
                let mut next = 1;
                let node = match &root {
                    Some(root) => persist(root, &mut next, &mut |id, record| store.put_node(&mut txn, id, record))?,
                    None => 0,
                };
                store.put_block(&mut txn, &block, &changes, node, next)?;
                store.set_identity(&mut txn, &fingerprint)?;
                txn.commit()?;
            }
            Some(identity) if identity == Store::identity_bytes(&fingerprint) => {}
            Some(_) => {
                return Err(Error::Corrupt(format!("{} holds a chain of another genesis document", path.display())));
            }
        }
        overlay.clear();
        let (head, root, next_node) = load_head(&store)?;
        let writer = Writer {
            config: config.clone(),
            store: store.clone(),
            senders: senders.clone(),
            overlay,
            head,
            root,
            next_node,
            warm_nodes: 0,
            pending: Vec::new(),
        };
        Ok(Self { config, genesis_hash, store, senders, writer: Mutex::new(writer) })
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

    /// Executes an ordered block on the head. It replaces nothing: one that is pending must be committed or discarded first.
    pub fn execute(&self, timestamp: u64, txs: &[Bytes], skip_invalid: bool, beneficiary: Address) -> Result<Built> {
        let mut writer = self.writer()?;
        writer.expect_idle()?;
        let parent = writer.head.header.timestamp;
        if timestamp < parent {
            return Err(Error::Invalid(format!("the timestamp {timestamp} lies before the head's, {parent}")));
        }
        let txs = decode_all(txs, &self.senders);
        if !skip_invalid && let Some((position, reason)) = txs.iter().enumerate().find_map(|(i, tx)| Some((i, tx.as_ref().err()?))) {
            return Err(Error::InvalidTransaction(format!("transaction {position}: {reason}")));
        }
        writer.run(Plan { timestamp, beneficiary, txs, ..Default::default() })?;
        let built = writer.built(0)?;
        if !skip_invalid && let Some((position, reason)) = built.skipped.first() {
            let error = Error::InvalidTransaction(format!("transaction {position}: {reason}"));
            writer.discard();
            return Err(error);
        }
        Ok(built)
    }

    /// Executes one rollup block as the derivation does. Positions in the result index `txs`, the block's own.
    pub fn execute_rollup(&self, timestamp: u64, inbox_end: u64, messages: &[Message], txs: &[Bytes]) -> Result<Built> {
        let mut writer = self.writer()?;
        writer.expect_idle()?;
        let start = writer.head().inbox_end();
        check_messages(start, inbox_end, messages)?;
        let plan = derivation::plan(&*writer, timestamp, inbox_end, start, messages, txs);
        let forced = plan.forced;
        writer.run(plan)?;
        let mut built = writer.built(0)?;
        built.included = built.included.iter().filter_map(|position| position.checked_sub(forced)).collect();
        built.skipped.retain_mut(|(position, _)| match position.checked_sub(forced) {
            Some(own) => {
                *position = own;
                true
            }
            None => false,
        });
        Ok(built)
    }

    /// Derives and commits all blocks of one batch.
    pub fn apply_batch(&self, data: Option<&[u8]>, timestamp: u64, inbox_end: u64, messages: &[Message]) -> Result<Vec<HeadInfo>> {
        let mut writer = self.writer()?;
        writer.expect_idle()?;
        check_messages(writer.head().inbox_end(), inbox_end, messages)?;
        if let Err(error) = derivation::derive(&mut *writer, data, timestamp, inbox_end, messages) {
            writer.discard();
            return Err(error);
        }
        let heads = writer.pending.iter().map(|pending| HeadInfo::from(&pending.block)).collect();
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

    /// Forgets every block after `number`, atomically.
    pub fn rollback(&self, number: u64) -> Result<()> {
        let mut writer = self.writer()?;
        writer.discard();
        let head = writer.head.header.number;
        if number > head {
            return Err(Error::NotFound(format!("there is no block {number}: the head is {head}")));
        }
        let record = self.header(number)?;
        let mut txn = self.store.write()?;
        for popped in (number + 1..=head).rev() {
            self.store.pop_block(&mut txn, popped)?;
        }
        self.store.drop_nodes(&mut txn, record.next_node)?;
        txn.commit()?;
        writer.reset()
    }

    /// The canonical batch of stored blocks.
    pub fn encode_batch(&self, first: u64, last: u64, level: i32) -> Result<Vec<u8>> {
        if first == 0 || last < first {
            return Err(Error::Invalid(format!("blocks {first} to {last} are not a range that a batch can hold")));
        }
        if last - first >= batch::MAX_BLOCKS as u64 {
            return Err(Error::Invalid(format!("a batch holds at most {} blocks", batch::MAX_BLOCKS)));
        }
        let txn = self.store.read()?;
        let missing = |number: u64| Error::NotFound(format!("there is no block {number}"));
        let mut blocks = Vec::new();
        for number in first..=last {
            let record = self.store.header(&txn, number)?.ok_or_else(|| missing(number))?;
            let body = self.store.body(&txn, number)?.ok_or_else(|| missing(number))?;
            let own = transactions(body)?.split_off(record.forced as usize);
            blocks.push(DeclaredBlock {
                timestamp: record.sealed.header.timestamp,
                inbox_end: record.sealed.inbox_end(),
                txs: own,
            });
        }
        let parent_hash = self.store.block_hash(&txn, first - 1)?.ok_or_else(|| missing(first - 1))?;
        let wanted = Batch { parent_hash, blocks };
        let data = batch::encode(&wanted, level)
            .ok_or_else(|| Error::Invalid(format!("blocks {first} to {last} are over the {} bytes of a batch", batch::MAX_CONTENT)))?;
        if batch::decode(&data, self.config.gas_limit).as_ref() != Some(&wanted) {
            return Err(Error::Invalid(format!("blocks {first} to {last} cannot be encoded as a batch")));
        }
        Ok(data)
    }

    // --- reading: from snapshots, never waiting for the writer

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn head(&self) -> Result<HeaderRecord> {
        let txn = self.store.read()?;
        let number = self.store.head_number(&txn)?.ok_or_else(|| Error::Corrupt("the store has no head".into()))?;
        self.store.header(&txn, number)?.ok_or_else(|| Error::Corrupt(format!("the head, block {number}, is missing")))
    }

    pub fn header(&self, number: u64) -> Result<HeaderRecord> {
        let txn = self.store.read()?;
        self.store.header(&txn, number)?.ok_or_else(|| Error::NotFound(format!("there is no block {number}")))
    }

    pub fn number_of(&self, hash: &B256) -> Result<Option<u64>> {
        self.store.number_of(&self.store.read()?, hash)
    }

    pub fn transactions(&self, number: u64) -> Result<Vec<Bytes>> {
        let txn = self.store.read()?;
        let body = self.store.body(&txn, number)?.ok_or_else(|| Error::NotFound(format!("there is no block {number}")))?;
        transactions(body)
    }

    /// The block as Ethereum encodes it.
    pub fn block_rlp(&self, number: u64) -> Result<Vec<u8>> {
        let txn = self.store.read()?;
        let missing = || Error::NotFound(format!("there is no block {number}"));
        let header = self.store.header(&txn, number)?.ok_or_else(missing)?.rlp;
        let body = self.store.body(&txn, number)?.ok_or_else(missing)?;
        let mut block = Vec::with_capacity(header.len() + body.len() + 8);
        alloy_rlp::Header { list: true, payload_length: header.len() + body.len() }.encode(&mut block);
        block.extend_from_slice(&header);
        block.extend_from_slice(body);
        Ok(block)
    }

    /// The state after block `number` (None: after the head), and its header.
    pub fn at(&self, number: Option<u64>) -> Result<(HeaderRecord, At<'_>)> {
        At::open(&self.store, number)
    }
}

fn check_messages(start: u64, inbox_end: u64, messages: &[Message]) -> Result<()> {
    let Some(wanted) = inbox_end.checked_sub(start) else {
        return Err(Error::Invalid(format!("the inbox end {inbox_end} lies before the chain's position, {start}")));
    };
    if (messages.len() as u64) < wanted {
        return Err(Error::Invalid(format!("{} inbox messages were given, {wanted} are needed", messages.len())));
    }
    Ok(())
}

fn genesis_block(store: &Arc<Store>, overlay: &mut Overlay<Latest>, genesis: GenesisDocument) -> Result<(Sealed, Changes, Option<Link>)> {
    overlay.reader.begin()?;
    for (address, entry) in genesis.alloc {
        let code = entry.code.unwrap_or_default();
        let code_hash = if code.is_empty() { Account::default().code_hash } else { keccak256(&code) };
        let account = Account { nonce: entry.nonce.unwrap_or(0), balance: entry.balance, code_hash };
        let storage: Vec<(U256, U256)> =
            entry.storage.unwrap_or_default().into_iter().map(|(slot, value)| (slot.into(), value.into())).collect();
        overlay.put(address, account, Some(code), &storage);
    }
    let changes = overlay.take_changes();
    let root = world::update(&**store, None, &changes.accounts)?;
    let mut header = genesis.header;
    header.state_root = root_hash(root.as_ref());
    Ok((Sealed::new(header), changes, root))
}

fn outbox_root(overlay: &mut Overlay<Latest>, config: &ChainConfig) -> Result<B256> {
    Ok(match overlay.account(OUTBOX)? {
        Some(_) => overlay.slot(OUTBOX, config.outbox_slot)?.into(),
        None => B256::ZERO,
    })
}

/// The committed head, checked: its hash, its place in the index, and the root of its state.
fn load_head(store: &Store) -> Result<(Sealed, Option<Link>, NodeId)> {
    let txn = store.read()?;
    let missing = || Error::Corrupt("the store has no head block".into());
    let number = store.head_number(&txn)?.ok_or_else(missing)?;
    let record = store.header(&txn, number)?.ok_or_else(missing)?;
    if record.sealed.header.hash_slow() != record.sealed.hash || store.number_of(&txn, &record.sealed.hash)? != Some(number) {
        return Err(Error::Corrupt(format!("the head, block {number}, is not what its hash says")));
    }
    let root = record.state();
    if let Some(link) = &root {
        let mut rlp = Vec::new();
        store.node(&txn, record.state_node)?.kind.encode_rlp(&mut rlp);
        if keccak256(&rlp) != link.hash() {
            return Err(Error::Corrupt(format!("the state of block {number} is not what its root says")));
        }
    }
    Ok((record.sealed, root, record.next_node))
}

impl Writer {
    fn expect_idle(&self) -> Result<()> {
        match self.pending.last() {
            None => Ok(()),
            Some(pending) => Err(Error::Invalid(format!(
                "block {} is pending: commit or discard it first",
                pending.block.sealed.header.number
            ))),
        }
    }

    fn built(&self, index: usize) -> Result<Built> {
        let pending = self.pending.get(index).ok_or_else(|| Error::Invalid("nothing is pending".into()))?;
        let block = &pending.block;
        Ok(Built { head: HeadInfo::from(block), included: block.included.clone(), skipped: block.skipped.clone() })
    }

    /// Executes a plan on the pending tip. On an error nothing of it is left.
    fn run(&mut self, plan: Plan) -> Result<()> {
        let result = self.try_run(plan);
        self.overlay.reader.end();
        if result.is_err() {
            self.discard();
        }
        result
    }

    fn try_run(&mut self, mut plan: Plan) -> Result<()> {
        self.overlay.reader.begin()?;
        let parent = self.head().clone();
        let context = context(&self.config, &parent, &plan);
        let txs = core::mem::take(&mut plan.txs);
        let outcome = execute_block(&context, &mut self.overlay, txs, &plan.withdrawals)?;
        let outbox_root = outbox_root(&mut self.overlay, &self.config)?;
        let changes = self.overlay.take_changes();
        let tip = self.pending.last().map_or(&self.root, |pending| &pending.root).clone();
        let root = world::update(&*self.store, tip, &changes.accounts)?;
        let block = assemble(&context, plan, outcome, root_hash(root.as_ref()), outbox_root);
        self.overlay.push_block_hash(block.sealed.header.number, block.sealed.hash);
        self.pending.push(Pending { block, changes, root });
        Ok(())
    }

    fn discard(&mut self) {
        self.overlay.forget(self.pending.iter().map(|pending| &pending.changes));
        self.pending.clear();
    }

    /// Forgets all that is in memory and takes up what is committed.
    fn reset(&mut self) -> Result<()> {
        self.pending.clear();
        self.overlay.clear();
        self.overlay.reader.end();
        (self.head, self.root, self.next_node) = load_head(&self.store)?;
        self.warm_nodes = 0;
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
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
                    self.root = self.root.take().and_then(|root| Link::root(root.id(), &root.hash()));
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
        for Pending { block, changes, root } in pending {
            let node = match root {
                Some(root) => persist(root, &mut next, &mut |id, record| self.store.put_node(&mut txn, id, record))?,
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
        self.pending.last().map_or(&self.head, |pending| &pending.block.sealed)
    }

    fn decode(&self, txs: &[Bytes]) -> Vec<Result<SignedTx, String>> {
        decode_all(txs, &self.senders)
    }

    fn build(&mut self, plan: Plan) -> Result<()> {
        self.run(plan)
    }
}

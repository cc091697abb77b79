//! The durable tables, in one LMDB environment.
//!
//! - `headers`: number → state root's node, next node number, forced transactions, outbox root, hash, header RLP
//! - `bodies`: number → RLP of transactions, ommers and withdrawals, as they follow the header in a block
//! - `receipts`: number → senders and receipts; `hashes`: block hash → number; `txs`: transaction hash → number, index
//! - `accounts`, `storage`: the latest state, flat; `codes`: by hash
//! - `nodes`: the tries' nodes under growing numbers, never rewritten: every stored block's state stays readable
//! - `undo`: number → what the block replaced in the flat tables
//!
//! A commit is one write transaction: after a crash the store is at the last commit that returned, or a later one.

use alloy_primitives::{Address, Bytes, B256, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use heed::types::Bytes as Raw;
use heed::{Database, Env, EnvOpenOptions, PutFlags, RoTxn, RwTxn, WithoutTls};
use std::fs::{File, OpenOptions, TryLockError};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use crate::block::{Executed, Sealed, StoredReceipt};
use crate::error::{Error, Result};
use crate::node::{parse_record, Link, Node, NodeId, NodeSource};
use crate::state::{Account, AccountChange, Changes};

type Table = Database<Raw, Raw>;
pub type Txn<'a> = RoTxn<'a, WithoutTls>;

const FORMAT: u64 = 1;
/// Address space set aside for the map; the file grows with its content.
pub const DEFAULT_MAP_BYTES: usize = 1 << 40;

pub struct Store {
    env: Env<WithoutTls>,
    meta: Table,
    headers: Table,
    bodies: Table,
    receipts: Table,
    hashes: Table,
    txs: Table,
    accounts: Table,
    storage: Table,
    codes: Table,
    nodes: Table,
    undo: Table,
    _lock: File,
}

/// A stored block's header and what goes with it.
#[derive(Clone, Debug)]
pub struct HeaderRecord {
    pub sealed: Sealed,
    pub rlp: Bytes,
    pub state_node: NodeId,
    pub next_node: NodeId,
    pub forced: u64,
    pub outbox_root: B256,
}

impl HeaderRecord {
    pub fn state(&self) -> Option<Link> {
        Link::root(self.state_node, &self.sealed.header.state_root)
    }
}

#[derive(RlpEncodable, RlpDecodable)]
pub struct ReceiptsRecord {
    pub senders: Vec<Address>,
    pub receipts: Vec<StoredReceipt>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct UndoSlot {
    slot: U256,
    value: U256,
}

#[derive(RlpEncodable, RlpDecodable)]
struct UndoAccount {
    address: Address,
    account: Bytes,
    storage: Vec<UndoSlot>,
}

fn encode_account(account: &Account) -> Vec<u8> {
    let mut out = Vec::with_capacity(72);
    out.extend_from_slice(&account.nonce.to_be_bytes());
    out.extend_from_slice(&account.balance.to_be_bytes::<32>());
    if account.code_hash != Account::default().code_hash {
        out.extend_from_slice(account.code_hash.as_slice());
    }
    out
}

fn decode_account(data: &[u8]) -> Result<Account> {
    let damaged = || Error::Corrupt("a stored account does not decode".into());
    let (nonce, rest) = data.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (balance, rest) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    let code_hash = match rest.len() {
        0 => Account::default().code_hash,
        32 => B256::from_slice(rest),
        _ => return Err(damaged()),
    };
    Ok(Account { nonce: u64::from_be_bytes(*nonce), balance: U256::from_be_bytes(*balance), code_hash })
}

fn slot_key(address: &Address, slot: &U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

fn number_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn to_u64(data: &[u8]) -> Result<u64> {
    data.try_into().map(u64::from_be_bytes).map_err(|_| Error::Corrupt("a stored number is not 8 bytes".into()))
}

impl Store {
    /// Opens or creates the environment at `path`, for this process alone.
    pub fn open(path: &Path, map_bytes: usize) -> Result<Self> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull => Error::Full(error.to_string()),
            _ => Error::Store(format!("{}: {error}", path.display())),
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join("owner.lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Store(format!("{} is in use by another process or object", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_bytes).max_dbs(16).max_readers(1024);
        // SAFETY: the file lock above keeps every other process of ours, and this one, from opening the environment twice.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(path) }?;
        lengthen(path, &env).map_err(failed)?;
        let mut txn = env.write_txn()?;
        let mut table = |name| env.create_database::<Raw, Raw>(&mut txn, Some(name));
        let store = Self {
            meta: table("meta")?,
            headers: table("headers")?,
            bodies: table("bodies")?,
            receipts: table("receipts")?,
            hashes: table("hashes")?,
            txs: table("txs")?,
            accounts: table("accounts")?,
            storage: table("storage")?,
            codes: table("codes")?,
            nodes: table("nodes")?,
            undo: table("undo")?,
            env: env.clone(),
            _lock: lock,
        };
        txn.commit()?;
        Ok(store)
    }

    pub fn read(&self) -> Result<Txn<'_>> {
        Ok(self.env.read_txn()?)
    }

    pub fn read_static(&self) -> Result<Txn<'static>> {
        Ok(self.env.clone().static_read_txn()?)
    }

    pub fn write(&self) -> Result<RwTxn<'_>> {
        Ok(self.env.write_txn()?)
    }

    // --- chain

    /// (format and chain fingerprint) as it was created with, if it was.
    pub fn identity(&self, txn: &Txn) -> Result<Option<Vec<u8>>> {
        Ok(self.meta.get(txn, b"identity")?.map(<[u8]>::to_vec))
    }

    pub fn set_identity(&self, txn: &mut RwTxn, fingerprint: &B256) -> Result<()> {
        Ok(self.meta.put(txn, b"identity", &Self::identity_bytes(fingerprint))?)
    }

    pub fn identity_bytes(fingerprint: &B256) -> Vec<u8> {
        [&FORMAT.to_be_bytes(), fingerprint.as_slice()].concat()
    }

    pub fn head_number(&self, txn: &Txn) -> Result<Option<u64>> {
        self.meta.get(txn, b"head")?.map(to_u64).transpose()
    }

    pub fn number_of(&self, txn: &Txn, hash: &B256) -> Result<Option<u64>> {
        self.hashes.get(txn, hash.as_slice())?.map(to_u64).transpose()
    }

    pub fn header(&self, txn: &Txn, number: u64) -> Result<Option<HeaderRecord>> {
        let Some(data) = self.headers.get(txn, &number_key(number))? else { return Ok(None) };
        let damaged = || Error::Corrupt(format!("the header record of block {number} does not decode"));
        let (numbers, rest) = data.split_first_chunk::<24>().ok_or_else(damaged)?;
        let (outbox_root, rest) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        let (hash, rlp) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        let field = |i: usize| to_u64(&numbers[i * 8..i * 8 + 8]);
        let header = alloy_consensus::Header::decode(&mut &rlp[..]).map_err(|_| damaged())?;
        Ok(Some(HeaderRecord {
            sealed: Sealed { header, hash: B256::from(*hash) },
            rlp: Bytes::copy_from_slice(rlp),
            state_node: field(0)?,
            next_node: field(1)?,
            forced: field(2)?,
            outbox_root: B256::from(*outbox_root),
        }))
    }

    pub fn block_hash(&self, txn: &Txn, number: u64) -> Result<Option<B256>> {
        Ok(self.headers.get(txn, &number_key(number))?.and_then(|data| data.get(56..88)).map(B256::from_slice))
    }

    /// RLP of transactions, ommers and withdrawals, one after the other.
    pub fn body<'t>(&self, txn: &'t Txn, number: u64) -> Result<Option<&'t [u8]>> {
        Ok(self.bodies.get(txn, &number_key(number))?)
    }

    pub fn receipts(&self, txn: &Txn, number: u64) -> Result<Option<ReceiptsRecord>> {
        let data = self.receipts.get(txn, &number_key(number))?;
        Ok(data.map(|mut data| ReceiptsRecord::decode(&mut data)).transpose()?)
    }

    pub fn tx_place(&self, txn: &Txn, hash: &B256) -> Result<Option<(u64, usize)>> {
        let Some(data) = self.txs.get(txn, hash.as_slice())? else { return Ok(None) };
        let (number, index) = data.split_at_checked(8).ok_or_else(|| Error::Corrupt("a transaction's place".into()))?;
        Ok(Some((to_u64(number)?, to_u64(index)? as usize)))
    }

    // --- latest state

    pub fn account(&self, txn: &Txn, address: &Address) -> Result<Option<Account>> {
        self.accounts.get(txn, address.as_slice())?.map(decode_account).transpose()
    }

    pub fn storage(&self, txn: &Txn, address: &Address, slot: &U256) -> Result<U256> {
        match self.storage.get(txn, &slot_key(address, slot))? {
            None => Ok(U256::ZERO),
            Some(data) => U256::try_from_be_slice(data).ok_or_else(|| Error::Corrupt("a stored slot is too long".into())),
        }
    }

    pub fn code(&self, txn: &Txn, hash: &B256) -> Result<Bytes> {
        if *hash == Account::default().code_hash || hash.is_zero() {
            return Ok(Bytes::new());
        }
        let code = self.codes.get(txn, hash.as_slice())?;
        code.map(Bytes::copy_from_slice).ok_or_else(|| Error::Corrupt(format!("the code {hash} is missing")))
    }

    pub fn node(&self, txn: &Txn, id: NodeId) -> Result<Arc<Node>> {
        match self.nodes.get(txn, &number_key(id))? {
            Some(data) => parse_record(id, data),
            None => Err(Error::Corrupt(format!("the trie node {id} is missing"))),
        }
    }

    // --- writing

    pub fn put_node(&self, txn: &mut RwTxn, id: NodeId, record: &[u8]) -> Result<()> {
        Ok(self.nodes.put_with_flags(txn, PutFlags::APPEND, &number_key(id), record)?)
    }

    /// Stores a block as the new head, with its changes to the flat tables. Its trie nodes are stored already.
    pub fn put_block(
        &self,
        txn: &mut RwTxn,
        block: &Executed,
        changes: &Changes,
        state_node: NodeId,
        next_node: NodeId,
    ) -> Result<()> {
        let header = &block.sealed.header;
        let key = number_key(header.number);
        let mut record = Vec::with_capacity(800);
        for number in [state_node, next_node, block.forced as u64] {
            record.extend_from_slice(&number.to_be_bytes());
        }
        record.extend_from_slice(block.outbox_root.as_slice());
        record.extend_from_slice(block.sealed.hash.as_slice());
        header.encode(&mut record);
        self.headers.put(txn, &key, &record)?;
        self.bodies.put(txn, &key, &encode_body(block))?;
        let receipts = ReceiptsRecord {
            senders: block.txs.iter().map(|tx| tx.sender).collect(),
            receipts: block.receipts.clone(),
        };
        self.receipts.put(txn, &key, &alloy_rlp::encode(receipts))?;
        self.hashes.put(txn, block.sealed.hash.as_slice(), &key)?;
        for (index, tx) in block.txs.iter().enumerate() {
            let place = [key, number_key(index as u64)].concat();
            self.txs.put(txn, tx.hash().as_slice(), &place)?;
        }
        self.undo.put(txn, &key, &encode_undo(&changes.accounts))?;
        for (hash, code) in &changes.codes {
            self.codes.put(txn, hash.as_slice(), code)?;
        }
        for change in &changes.accounts {
            self.put_change(txn, change)?;
        }
        Ok(self.meta.put(txn, b"head", &key)?)
    }

    fn put_change(&self, txn: &mut RwTxn, change: &AccountChange) -> Result<()> {
        let address = &change.address;
        if change.reset {
            let (first, last) = (slot_key(address, &U256::ZERO), slot_key(address, &U256::MAX));
            self.storage.delete_range(txn, &(Bound::Included(&first[..]), Bound::Included(&last[..])))?;
        }
        self.put_account(txn, address, change.after.as_ref())?;
        for (slot, _, value) in &change.storage {
            self.put_slot(txn, address, slot, value)?;
        }
        Ok(())
    }

    fn put_account(&self, txn: &mut RwTxn, address: &Address, account: Option<&Account>) -> Result<()> {
        match account {
            Some(account) => self.accounts.put(txn, address.as_slice(), &encode_account(account))?,
            None => {
                self.accounts.delete(txn, address.as_slice())?;
            }
        }
        Ok(())
    }

    fn put_slot(&self, txn: &mut RwTxn, address: &Address, slot: &U256, value: &U256) -> Result<()> {
        let key = slot_key(address, slot);
        if value.is_zero() {
            self.storage.delete(txn, &key)?;
        } else {
            self.storage.put(txn, &key, &value.to_be_bytes_trimmed_vec())?;
        }
        Ok(())
    }

    /// Forgets the head block. Its nodes stay until `drop_nodes`.
    pub fn pop_block(&self, txn: &mut RwTxn, number: u64) -> Result<()> {
        let key = number_key(number);
        let damaged = |what: &str| Error::Corrupt(format!("the {what} of block {number} is missing"));
        let hash = self.block_hash(txn, number)?.ok_or_else(|| damaged("header"))?;
        let hashes: Vec<B256> = {
            let body = self.bodies.get(txn, &key)?.ok_or_else(|| damaged("body"))?;
            transactions(body)?.iter().map(alloy_primitives::keccak256).collect()
        };
        let undo = {
            let mut data = self.undo.get(txn, &key)?.ok_or_else(|| damaged("undo record"))?;
            Vec::<UndoAccount>::decode(&mut data)?
        };
        for tx in hashes {
            self.txs.delete(txn, tx.as_slice())?;
        }
        for old in undo {
            let account = if old.account.is_empty() { None } else { Some(decode_account(&old.account)?) };
            self.put_account(txn, &old.address, account.as_ref())?;
            for UndoSlot { slot, value } in &old.storage {
                self.put_slot(txn, &old.address, slot, value)?;
            }
        }
        for table in [&self.headers, &self.bodies, &self.receipts, &self.undo] {
            table.delete(txn, &key)?;
        }
        self.hashes.delete(txn, hash.as_slice())?;
        Ok(self.meta.put(txn, b"head", &number_key(number - 1))?)
    }

    /// Forgets the trie nodes from `first` on.
    pub fn drop_nodes(&self, txn: &mut RwTxn, first: NodeId) -> Result<()> {
        self.nodes.delete_range(txn, &(Bound::Included(&number_key(first)[..]), Bound::Unbounded))?;
        Ok(())
    }
}

impl NodeSource for Store {
    fn record(&self, id: NodeId) -> Result<Arc<Node>> {
        self.node(&self.read()?, id)
    }
}

/// LMDB maps its file: to read a page past the file's end would end the process. Pages that were allocated and freed again may
/// never have been written, so a short file is no proof of damage; lengthened with zeros, a page that is really missing is
/// found by LMDB's checks or ours when it is read.
fn lengthen(path: &Path, env: &Env<WithoutTls>) -> std::io::Result<()> {
    let wanted = (env.info().last_page_number as u64 + 1) * u64::from(env.stat().page_size);
    let file = OpenOptions::new().write(true).open(path.join("data.mdb"))?;
    if file.metadata()?.len() < wanted { file.set_len(wanted) } else { Ok(()) }
}

fn encode_body(block: &Executed) -> Vec<u8> {
    let mut txs = Vec::new();
    for tx in &block.txs {
        // In a block a legacy transaction is a list, a typed one a string.
        if tx.envelope.is_legacy() { txs.extend_from_slice(&tx.raw) } else { tx.raw.encode(&mut txs) }
    }
    let mut body = Vec::with_capacity(txs.len() + 16);
    alloy_rlp::Header { list: true, payload_length: txs.len() }.encode(&mut body);
    body.extend_from_slice(&txs);
    body.push(alloy_rlp::EMPTY_LIST_CODE);
    block.withdrawals.encode(&mut body);
    body
}

/// The EIP-2718 encodings of a stored body's transactions.
pub fn transactions(body: &[u8]) -> Result<Vec<Bytes>> {
    let mut rest = body;
    let mut items = alloy_rlp::Header::decode_bytes(&mut rest, true)?;
    let mut txs = Vec::new();
    while !items.is_empty() {
        let before = items;
        let header = alloy_rlp::Header::decode(&mut items)?;
        let payload = items.split_at_checked(header.payload_length).ok_or(alloy_rlp::Error::InputTooShort)?;
        items = payload.1;
        let whole = &before[..before.len() - items.len()];
        txs.push(Bytes::copy_from_slice(if header.list { whole } else { payload.0 }));
    }
    Ok(txs)
}

/// A stored body's withdrawals.
pub fn withdrawals(body: &[u8]) -> Result<Vec<alloy_eips::eip4895::Withdrawal>> {
    let mut rest = body;
    for _transactions_then_ommers in 0..2 {
        alloy_rlp::Header::decode_bytes(&mut rest, true)?;
    }
    Ok(Decodable::decode(&mut rest)?)
}

fn encode_undo(changes: &[AccountChange]) -> Vec<u8> {
    let undo: Vec<UndoAccount> = changes
        .iter()
        .map(|change| UndoAccount {
            address: change.address,
            account: change.before.as_ref().map(encode_account).unwrap_or_default().into(),
            storage: change.storage.iter().map(|(slot, value, _)| UndoSlot { slot: *slot, value: *value }).collect(),
        })
        .collect();
    alloy_rlp::encode(undo)
}

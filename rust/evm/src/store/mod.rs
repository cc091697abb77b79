//! The durable tables, in one LMDB environment.
//!
//! - `headers`: number → state root's node, next node number, forced transactions, outbox root, hash, header RLP
//! - `bodies`: number → RLP of transactions, ommers and withdrawals, as they follow the header in a block
//! - `receipts`: number → senders, hashes and receipts (`receipts`); `hashes`: block hash → number; `txs`: transaction hash → number, index
//! - `accounts`, `storage`: the latest state, flat; `codes`: by hash
//! - `nodes`: the tries' nodes under growing numbers, never rewritten: every stored block's state stays readable
//! - `undo`: number → what the block replaced in the flat tables
//! - `meta`: the store's identity, its head, and what of the chain it no longer holds (`Kept`)
//! - `outbox`: number → the outbox's logs of a block whose body went (`outbox`)
//! - `index`: kind, level, number → fingerprints that find logs and transactions (`crate::index`)
//!
//! A commit is one write transaction: after a crash the store is at the last commit that returned, or a later one.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::Decodable;
use heed::types::Bytes as Raw;
use heed::{Database, Env, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

use crate::block::Sealed;
use crate::error::{Error, Result};
use crate::node::{Link, Node, NodeId, NodeSource, parse_record};
use crate::state::Account;

mod importing;
mod index;
mod kept;
mod outbox;
mod receipts;
mod records;
mod write;

pub use importing::Flat;
pub use kept::{Doomed, Kept};
pub use outbox::KeptLog;
pub use receipts::{Place, Receipts, ReceiptsRecord};
use records::{decode_account, number_key, slot_key, to_u64};
pub use records::{ommers, transactions, withdrawals};

type Table = Database<Raw, Raw>;
pub type Txn<'a> = RoTxn<'a, WithoutTls>;

const FORMAT: u64 = 4;
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
    index: Table,
    outbox: Table,
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

impl Store {
    /// Opens or creates the environment at `path`, for this process alone.
    pub fn open(path: &Path, map_bytes: usize) -> Result<Self> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull => Error::Full(error.to_string()),
            _ => Error::Store(format!("{}: {error}", path.display())),
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("owner.lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Store(format!(
                    "{} is in use by another process or object",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(map_bytes).max_dbs(16).max_readers(1024);
        // SAFETY: the file lock above keeps every other process of ours, and this one, from opening the environment twice.
        #[allow(unsafe_code)]
        let env = unsafe { options.open(path) }?;
        let short = lengthen(path, &env).map_err(failed)?;
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
            index: table("index")?,
            outbox: table("outbox")?,
            env: env.clone(),
            _lock: lock,
        };
        txn.commit()?;
        if short {
            store.scan()?;
        }
        Ok(store)
    }

    /// Reads every entry of every table.
    fn scan(&self) -> Result<()> {
        let txn = self.read()?;
        let chain = [
            &self.meta,
            &self.headers,
            &self.bodies,
            &self.receipts,
            &self.hashes,
            &self.txs,
        ];
        let state = [
            &self.accounts,
            &self.storage,
            &self.codes,
            &self.nodes,
            &self.undo,
            &self.index,
        ];
        for table in chain.into_iter().chain(state) {
            let mut entries = 0;
            for entry in table.iter(&txn)? {
                entry?;
                entries += 1;
            }
            if entries != table.len(&txn)? {
                return Err(Error::Corrupt("a table has lost entries".into()));
            }
        }
        Ok(())
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
        Ok(self
            .meta
            .put(txn, b"identity", &Self::identity_bytes(fingerprint))?)
    }

    /// Whether this is the identity of a store that another format's version wrote.
    pub fn is_other_format(identity: &[u8]) -> bool {
        identity.get(..8) != Some(&FORMAT.to_be_bytes()[..])
    }

    pub fn identity_bytes(fingerprint: &B256) -> Vec<u8> {
        [&FORMAT.to_be_bytes(), fingerprint.as_slice()].concat()
    }

    pub fn head_number(&self, txn: &Txn) -> Result<Option<u64>> {
        self.meta.get(txn, b"head")?.map(to_u64).transpose()
    }

    pub fn number_of(&self, txn: &Txn, hash: &B256) -> Result<Option<u64>> {
        self.hashes
            .get(txn, hash.as_slice())?
            .map(to_u64)
            .transpose()
    }

    pub fn header(&self, txn: &Txn, number: u64) -> Result<Option<HeaderRecord>> {
        let Some(data) = self.headers.get(txn, &number_key(number))? else {
            return match self.pruned(txn, number, "header")? {
                gone @ Error::Pruned(_) => Err(gone),
                _ => Ok(None),
            };
        };
        let damaged = || {
            Error::Corrupt(format!(
                "the header record of block {number} does not decode"
            ))
        };
        let (numbers, rest) = data.split_first_chunk::<24>().ok_or_else(damaged)?;
        let (outbox_root, rest) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        let (hash, rlp) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
        let field = |i: usize| to_u64(&numbers[i * 8..i * 8 + 8]);
        let header = alloy_consensus::Header::decode(&mut &rlp[..]).map_err(|_| damaged())?;
        Ok(Some(HeaderRecord {
            sealed: Sealed {
                header,
                hash: B256::from(*hash),
            },
            rlp: Bytes::copy_from_slice(rlp),
            state_node: field(0)?,
            next_node: field(1)?,
            forced: field(2)?,
            outbox_root: B256::from(*outbox_root),
        }))
    }

    pub fn block_hash(&self, txn: &Txn, number: u64) -> Result<Option<B256>> {
        Ok(self
            .headers
            .get(txn, &number_key(number))?
            .and_then(|data| data.get(56..88))
            .map(B256::from_slice))
    }

    /// RLP of transactions, ommers and withdrawals, one after the other.
    pub fn body<'t>(&self, txn: &'t Txn, number: u64) -> Result<Option<&'t [u8]>> {
        let data = self.bodies.get(txn, &number_key(number))?;
        self.unless_pruned(txn, number, data)
    }

    pub fn receipts(&self, txn: &Txn, number: u64) -> Result<Option<ReceiptsRecord>> {
        let record = self.receipts_in_place(txn, number)?;
        record.map(|record| record.all()).transpose()
    }

    /// The receipts of a block, of which single ones are to be read.
    pub fn receipts_in_place<'t>(&self, txn: &'t Txn, number: u64) -> Result<Option<Receipts<'t>>> {
        let data = self.receipts.get(txn, &number_key(number))?;
        self.unless_pruned(txn, number, data)?
            .map(Receipts::new)
            .transpose()
    }

    fn unless_pruned<T>(&self, txn: &Txn, number: u64, found: Option<T>) -> Result<Option<T>> {
        if found.is_none()
            && let gone @ Error::Pruned(_) = self.pruned(txn, number, "body")?
        {
            return Err(gone);
        }
        Ok(found)
    }

    pub fn tx_place(&self, txn: &Txn, hash: &B256) -> Result<Option<(u64, usize)>> {
        let Some(data) = self.txs.get(txn, hash.as_slice())? else {
            return Ok(None);
        };
        let (number, index) = data
            .split_at_checked(8)
            .ok_or_else(|| Error::Corrupt("a transaction's place".into()))?;
        Ok(Some((to_u64(number)?, to_u64(index)? as usize)))
    }

    // --- latest state

    pub fn account(&self, txn: &Txn, address: &Address) -> Result<Option<Account>> {
        self.accounts
            .get(txn, address.as_slice())?
            .map(decode_account)
            .transpose()
    }

    pub fn storage(&self, txn: &Txn, address: &Address, slot: &U256) -> Result<U256> {
        match self.storage.get(txn, &slot_key(address, slot))? {
            None => Ok(U256::ZERO),
            Some(data) => U256::try_from_be_slice(data)
                .ok_or_else(|| Error::Corrupt("a stored slot is too long".into())),
        }
    }

    pub fn code(&self, txn: &Txn, hash: &B256) -> Result<Bytes> {
        if *hash == Account::default().code_hash || hash.is_zero() {
            return Ok(Bytes::new());
        }
        let code = self.codes.get(txn, hash.as_slice())?;
        code.map(Bytes::copy_from_slice)
            .ok_or_else(|| Error::Corrupt(format!("the code {hash} is missing")))
    }

    pub fn node(&self, txn: &Txn, id: NodeId) -> Result<Arc<Node>> {
        match self.nodes.get(txn, &number_key(id))? {
            Some(data) => parse_record(id, data),
            None => Err(Error::Corrupt(format!("the trie node {id} is missing"))),
        }
    }
}

impl NodeSource for Store {
    fn record(&self, id: NodeId) -> Result<Arc<Node>> {
        self.node(&self.read()?, id)
    }
}

/// LMDB maps its file: to read a page past the file's end would end the process. Pages that were allocated and freed again may
/// never have been written, so a short file is no proof of damage; lengthened with zeros, a page that is really missing is
/// found by LMDB's checks when it is read. Tells whether the file was short.
fn lengthen(path: &Path, env: &Env<WithoutTls>) -> std::io::Result<bool> {
    let wanted = (env.info().last_page_number as u64 + 1) * u64::from(env.stat().page_size);
    let file = OpenOptions::new().write(true).open(path.join("data.mdb"))?;
    let short = file.metadata()?.len() < wanted;
    if short {
        file.set_len(wanted)?;
    }
    Ok(short)
}

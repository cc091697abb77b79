//! The state as the EVM sees it: a reader below, changes above.
//!
//! `StateReader` is the seam between execution and whatever holds the state: the store's flat tables, an old state
//! read through the trie, or a witness in a guest. `Overlay` keeps what was read and what was written, across blocks,
//! and hands out each block's net changes.

use alloy_primitives::map::{AddressMap, B256Map, U256Map};
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::bytecode::Bytecode;
use revm::database_interface::{DBErrorMarker, Database, DatabaseCommit};
use revm::primitives::KECCAK_EMPTY;
use revm::state::{Account as EvmAccount, AccountInfo};

mod base;
mod changes;
mod journal;
mod overriding;

pub use base::{Base, Fork};
pub use changes::{AccountChange, Changes};

/// What Ethereum keeps of an account, except its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub nonce: u64,
    pub balance: U256,
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            nonce: 0,
            balance: U256::ZERO,
            code_hash: KECCAK_EMPTY,
        }
    }
}

impl Account {
    /// As revm takes it: the code is asked for when it is needed.
    pub fn info(&self) -> AccountInfo {
        AccountInfo {
            balance: self.balance,
            nonce: self.nonce,
            code_hash: self.code_hash,
            code: None,
            ..Default::default()
        }
    }

    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK_EMPTY
    }
}

impl From<&AccountInfo> for Account {
    fn from(info: &AccountInfo) -> Self {
        Self {
            nonce: info.nonce,
            balance: info.balance,
            code_hash: info.code_hash,
        }
    }
}

/// Reads a state that does not change while it is being read.
pub trait StateReader {
    type Error: DBErrorMarker;
    fn account(&self, address: Address) -> Result<Option<Account>, Self::Error>;
    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error>;
    fn code(&self, hash: B256) -> Result<Bytes, Self::Error>;
    fn block_hash(&self, number: u64) -> Result<B256, Self::Error>;
}

#[derive(Clone, Default)]
struct Before {
    account: Option<Account>,
    storage: U256Map<U256>,
    reset: bool,
}

#[derive(Clone, Default)]
struct Now {
    account: Option<Account>,
    storage: U256Map<U256>,
    /// What `storage` does not list is zero.
    complete: bool,
}

#[derive(Clone, Default)]
struct Entry {
    now: Now,
    before: Option<Box<Before>>,
}

/// A cache over a reader, and the changes of the block in the making.
#[derive(Clone)]
pub struct Overlay<R> {
    pub reader: R,
    accounts: AddressMap<Entry>,
    codes: B256Map<Bytecode>,
    dirty: Vec<Address>,
    new_codes: Vec<(B256, Bytes)>,
    block_hashes: Vec<(u64, B256)>,
    slots: usize,
    /// Lets empty accounts exist, as before EIP-161: only to replay old chains.
    pub keep_empty: bool,
}

impl<R: StateReader> Overlay<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            accounts: AddressMap::default(),
            codes: B256Map::default(),
            dirty: Vec::new(),
            new_codes: Vec::new(),
            block_hashes: Vec::new(),
            slots: 0,
            keep_empty: false,
        }
    }

    /// Forgets everything, changes included.
    pub fn clear(&mut self) {
        self.accounts.clear();
        self.dirty.clear();
        self.new_codes.clear();
        self.block_hashes.clear();
        self.slots = 0;
    }

    /// Accounts and slots held in memory.
    pub fn weight(&self) -> usize {
        self.accounts.len() + self.slots + self.codes.len() * 64
    }

    pub fn drop_codes(&mut self) {
        self.codes.clear();
    }

    /// Tells the hash of a block that the reader does not know yet.
    pub fn push_block_hash(&mut self, number: u64, hash: B256) {
        self.block_hashes.push((number, hash));
    }

    pub fn forget_block_hashes(&mut self) {
        self.block_hashes.clear();
    }

    pub fn account(&mut self, address: Address) -> Result<Option<Account>, R::Error> {
        Ok(self.entry(address)?.now.account)
    }

    pub fn slot(&mut self, address: Address, slot: U256) -> Result<U256, R::Error> {
        if let Some(Entry { now, .. }) = self.accounts.get(&address) {
            match now.storage.get(&slot) {
                Some(value) => return Ok(*value),
                None if now.complete => return Ok(U256::ZERO),
                None => {}
            }
        }
        self.entry(address)?;
        Database::storage(self, address, slot)
    }

    fn entry(&mut self, address: Address) -> Result<&mut Entry, R::Error> {
        use alloy_primitives::map::Entry as Slot;
        match self.accounts.entry(address) {
            Slot::Occupied(entry) => Ok(entry.into_mut()),
            Slot::Vacant(vacant) => {
                let account = self.reader.account(address)?;
                Ok(vacant.insert(Entry {
                    now: Now {
                        account,
                        complete: account.is_none(),
                        ..Default::default()
                    },
                    before: None,
                }))
            }
        }
    }

    /// Adds to a balance outside of any transaction (EIP-4895 withdrawals).
    pub fn credit(&mut self, address: Address, wei: U256) -> Result<(), R::Error> {
        if wei.is_zero() {
            return Ok(());
        }
        self.entry(address)?;
        let (now, _) = touch(&mut self.accounts, &mut self.dirty, address);
        let account = now.account.get_or_insert_default();
        account.balance = account.balance.saturating_add(wei);
        Ok(())
    }

    /// Replaces an account with its code and storage: how a genesis allocation comes in.
    pub fn put(
        &mut self,
        address: Address,
        account: Account,
        code: Option<Bytes>,
        storage: &[(U256, U256)],
    ) {
        let (now, before) = touch(&mut self.accounts, &mut self.dirty, address);
        // geth's genesis state has empty accounts too, until something touches them (EIP-161).
        now.account = Some(account);
        now.complete = true;
        for (slot, value) in storage {
            before.storage.entry(*slot).or_insert(U256::ZERO);
            now.storage.insert(*slot, *value);
        }
        if let Some(code) = code.filter(|code| !code.is_empty()) {
            self.codes.insert(account.code_hash, bytecode(code.clone()));
            self.new_codes.push((account.code_hash, code));
        }
    }

    /// Ends a block: its net changes, in the order of addresses and slots. What was written stays readable.
    pub fn take_changes(&mut self) -> Changes {
        let mut accounts = Vec::with_capacity(self.dirty.len());
        self.dirty.sort_unstable();
        for address in core::mem::take(&mut self.dirty) {
            let Some(entry) = self.accounts.get_mut(&address) else {
                continue;
            };
            let Some(before) = entry.before.take() else {
                continue;
            };
            let reset = before.reset && before.account.is_some();
            let mut storage: Vec<_> = before
                .storage
                .into_iter()
                .filter_map(|(slot, old)| {
                    let new = entry.now.storage.get(&slot).copied().unwrap_or_default();
                    // A storage that starts anew lacks what is as it was before.
                    (new != old || reset && !new.is_zero()).then_some((slot, old, new))
                })
                .collect();
            storage.sort_unstable_by_key(|(slot, ..)| *slot);
            if before.account != entry.now.account || !storage.is_empty() || reset {
                accounts.push(AccountChange {
                    address,
                    before: before.account,
                    after: entry.now.account,
                    reset,
                    storage,
                });
            }
        }
        Changes {
            accounts,
            codes: core::mem::take(&mut self.new_codes),
        }
    }

    /// Forgets what was cached of the accounts that `changes` names, and every change not yet taken.
    pub fn forget<'a>(&mut self, changes: impl Iterator<Item = &'a Changes>) {
        for address in core::mem::take(&mut self.dirty) {
            self.accounts.remove(&address);
        }
        for account in changes.flat_map(|block| &block.accounts) {
            self.accounts.remove(&account.address);
        }
        self.new_codes.clear();
        self.block_hashes.clear();
    }
}

/// Analysed code. What looks like an EIP-7702 delegation and is none (only a genesis document can hold it) is plain code.
pub(crate) fn bytecode(code: Bytes) -> Bytecode {
    Bytecode::new_raw_checked(code.clone()).unwrap_or_else(|_| Bytecode::new_legacy(code))
}

/// The cached entry of a known address, marked as changed, and what it was before the block.
fn touch<'a>(
    accounts: &'a mut AddressMap<Entry>,
    dirty: &mut Vec<Address>,
    address: Address,
) -> (&'a mut Now, &'a mut Before) {
    let Entry { now, before } = accounts.entry(address).or_default();
    let account = now.account;
    let before = before.get_or_insert_with(|| {
        dirty.push(address);
        Box::new(Before {
            account,
            ..Default::default()
        })
    });
    (now, before)
}

impl<R: StateReader> Database for Overlay<R> {
    type Error = R::Error;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        Ok(self.entry(address)?.now.account.as_ref().map(Account::info))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        if code_hash == KECCAK_EMPTY || code_hash.is_zero() {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.codes.get(&code_hash) {
            return Ok(code.clone());
        }
        let code = bytecode(self.reader.code(code_hash)?);
        self.codes.insert(code_hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, index: U256) -> Result<U256, Self::Error> {
        use alloy_primitives::map::Entry as Slot;
        let entry = self.accounts.entry(address).or_default();
        match entry.now.storage.entry(index) {
            Slot::Occupied(slot) => Ok(*slot.get()),
            Slot::Vacant(_) if entry.now.complete => Ok(U256::ZERO),
            Slot::Vacant(slot) => {
                self.slots += 1;
                Ok(*slot.insert(self.reader.storage(address, index)?))
            }
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        match self
            .block_hashes
            .iter()
            .rev()
            .find(|(known, _)| *known == number)
        {
            Some((_, hash)) => Ok(*hash),
            None => self.reader.block_hash(number),
        }
    }
}

impl<R: StateReader> DatabaseCommit for Overlay<R> {
    fn commit(&mut self, changes: AddressMap<EvmAccount>) {
        for (address, account) in changes {
            if !account.is_touched() {
                continue;
            }
            let (now, before) = touch(&mut self.accounts, &mut self.dirty, address);
            if account.is_selfdestructed() || account.is_created() {
                for (slot, value) in now.storage.drain() {
                    before.storage.entry(slot).or_insert(value);
                }
                now.complete = true;
                before.reset = true;
            }
            if account.is_selfdestructed() {
                now.account = None;
                continue;
            }
            let info = account.info;
            let next = Account::from(&info);
            let old_code = now
                .account
                .map_or(KECCAK_EMPTY, |account| account.code_hash);
            // EIP-161: an empty account does not exist.
            now.account = (self.keep_empty || !next.is_empty()).then_some(next);
            if let Some(code) = info.code
                && !code.is_empty()
                && old_code != info.code_hash
            {
                self.new_codes.push((info.code_hash, code.original_bytes()));
                self.codes.insert(info.code_hash, code);
            }
            for (slot, value) in account.storage {
                if value.is_changed() {
                    before.storage.entry(slot).or_insert(value.original_value());
                    if now.storage.insert(slot, value.present_value()).is_none() {
                        self.slots += 1;
                    }
                }
            }
        }
    }
}

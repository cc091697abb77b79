//! The state as one transaction of a wave sees it: what lower transactions wrote, over what the block has had so far.

use alloy_primitives::map::{AddressMap, B256Map, HashMap};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::database_interface::{DBErrorMarker, Database};
use revm::primitives::KECCAK_EMPTY;
use revm::state::AccountInfo;
use std::sync::{Mutex, PoisonError};

use super::memory::{Found, Memory, Place};
use super::run::{Fee, Run};
use crate::state::{Account, Base, Overlay, StateReader, bytecode};

/// What is shared by the threads that execute a wave.
pub struct Shared<'a> {
    pub memory: Memory,
    pub runs: Vec<Mutex<Cell>>,
    pub base: Base<'a>,
    pub beneficiary: Address,
    /// The gas that the block has left when the wave begins.
    pub left: u64,
    /// Code that transactions of the wave have brought. The hash covers it, so it needs no versions.
    pub codes: Mutex<B256Map<Bytecode>>,
}

/// A transaction's latest execution, where the latest wrote, and what it pays to the beneficiary.
#[derive(Default)]
pub struct Cell {
    pub run: Option<Run>,
    pub places: Vec<Place>,
    pub fee: Fee,
}

/// Why an execution did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// A lower transaction is to write first what was to be read.
    #[error("it waits for transaction {0}")]
    Waits(usize),
    /// The state below could not be read.
    #[error("the state could not be read")]
    Failed,
}

impl DBErrorMarker for Halt {}

/// A value that was read, and whether no transaction of the wave had written it.
#[derive(Clone, Copy, Debug)]
pub struct Read<T> {
    pub value: T,
    pub from_base: bool,
}

/// Everything that an execution read. Its outcome depends on nothing else.
#[derive(Default, Debug)]
pub struct Reads {
    pub accounts: Vec<(Address, Read<Option<Account>>)>,
    pub slots: Vec<(Address, U256, Read<U256>)>,
    pub beneficiary: Option<Read<Option<Account>>>,
}

impl Reads {
    /// Whether the state gives what an execution has read.
    pub fn are_in<R: StateReader>(
        &self,
        state: &mut Overlay<R>,
        beneficiary: Address,
    ) -> Result<bool, R::Error> {
        if let Some(read) = &self.beneficiary
            && state.account(beneficiary)? != read.value
        {
            return Ok(false);
        }
        for (address, read) in &self.accounts {
            if state.account(*address)? != read.value {
                return Ok(false);
            }
        }
        for (address, slot, read) in &self.slots {
            if state.slot(*address, *slot)? != read.value {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a thread has read from below the overlay.
#[derive(Default)]
pub struct Cold {
    pub accounts: AddressMap<Option<Account>>,
    pub slots: HashMap<(Address, U256), U256>,
    pub codes: B256Map<Bytecode>,
}

pub struct View<'a, R> {
    pub shared: &'a Shared<'a>,
    pub reader: R,
    pub cold: Cold,
    pub tx: usize,
    pub reads: Reads,
}

impl Shared<'_> {
    /// The beneficiary as transaction `tx` finds it: as last written in full, and the fees since. The second tells whether no
    /// transaction of the wave has changed it.
    fn beneficiary(
        &self,
        tx: usize,
        base: impl FnOnce() -> Result<Option<Account>, Halt>,
    ) -> Result<Read<Option<Account>>, Halt> {
        let (first, mut account, mut from_base) = match self.memory.account(&self.beneficiary, tx) {
            Found::Nothing => (0, base()?, true),
            Found::Written(writer, account) => (writer + 1, account, false),
            Found::Estimate(writer) => return Err(Halt::Waits(writer)),
        };
        for lower in first..tx {
            let fee = self.runs[lower]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .fee;
            match fee {
                Fee::Unknown => return Err(Halt::Waits(lower)),
                Fee::None => {}
                Fee::Owed(wei) => {
                    account = with_fee(account, wei);
                    from_base = false;
                }
            }
        }
        Ok(Read {
            value: account,
            from_base,
        })
    }

    /// Whether an execution of `tx` would read now what `reads` says.
    pub fn hold(&self, tx: usize, reads: &Reads) -> bool {
        fn same<T: PartialEq>(found: Found<T>, read: &Read<T>) -> bool {
            match found {
                Found::Nothing => read.from_base,
                Found::Written(_, value) => value == read.value,
                Found::Estimate(_) => false,
            }
        }
        reads
            .accounts
            .iter()
            .all(|(address, read)| same(self.memory.account(address, tx), read))
            && reads
                .slots
                .iter()
                .all(|(address, slot, read)| same(self.memory.slot(address, slot, tx), read))
            && reads.beneficiary.as_ref().is_none_or(|read| {
                // Unread below: then only a read that was of the base can hold.
                self.beneficiary(tx, || match read.from_base {
                    true => Ok(read.value),
                    false => self.base.account(&self.beneficiary).ok_or(Halt::Failed),
                })
                .is_ok_and(|now| now.value == read.value)
            })
    }
}

/// As revm pays a fee: none, if the balance would overflow. EIP-161: an account that stays empty does not exist.
pub fn with_fee(account: Option<Account>, wei: U256) -> Option<Account> {
    let mut account = account.unwrap_or_default();
    account.balance = account.balance.checked_add(wei).unwrap_or(account.balance);
    (!account.is_empty()).then_some(account)
}

impl<R: StateReader> View<'_, R> {
    fn base_account(&mut self, address: Address) -> Result<Option<Account>, Halt> {
        if let Some(account) = self.shared.base.account(&address) {
            return Ok(account);
        }
        if let Some(account) = self.cold.accounts.get(&address) {
            return Ok(*account);
        }
        let account = self.reader.account(address).map_err(|_| Halt::Failed)?;
        self.cold.accounts.insert(address, account);
        Ok(account)
    }

    fn base_slot(&mut self, address: Address, slot: U256) -> Result<U256, Halt> {
        if let Some(value) = self.shared.base.slot(&address, &slot) {
            return Ok(value);
        }
        let key = (address, slot);
        if let Some(value) = self.cold.slots.get(&key) {
            return Ok(*value);
        }
        let value = self
            .reader
            .storage(address, slot)
            .map_err(|_| Halt::Failed)?;
        self.cold.slots.insert(key, value);
        Ok(value)
    }
}

impl<R: StateReader> Database for View<'_, R> {
    type Error = Halt;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Halt> {
        let shared = self.shared;
        let read = if address == shared.beneficiary {
            let read = shared.beneficiary(self.tx, || self.base_account(address))?;
            self.reads.beneficiary = Some(read);
            read
        } else {
            let read = match shared.memory.account(&address, self.tx) {
                Found::Nothing => Read {
                    value: self.base_account(address)?,
                    from_base: true,
                },
                Found::Written(_, value) => Read {
                    value,
                    from_base: false,
                },
                Found::Estimate(lower) => return Err(Halt::Waits(lower)),
            };
            self.reads.accounts.push((address, read));
            read
        };
        Ok(read.value.as_ref().map(Account::info))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Halt> {
        if hash == KECCAK_EMPTY || hash.is_zero() {
            return Ok(Bytecode::default());
        }
        if let Some(code) = self.shared.base.codes.get(&hash) {
            return Ok(code.clone());
        }
        if let Some(code) = self.cold.codes.get(&hash) {
            return Ok(code.clone());
        }
        let new = self
            .shared
            .codes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&hash)
            .cloned();
        let code = match new {
            Some(code) => return Ok(code),
            None => bytecode(self.reader.code(hash).map_err(|_| Halt::Failed)?),
        };
        self.cold.codes.insert(hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Halt> {
        let read = match self.shared.memory.slot(&address, &slot, self.tx) {
            Found::Nothing => Read {
                value: self.base_slot(address, slot)?,
                from_base: true,
            },
            Found::Written(_, value) => Read {
                value,
                from_base: false,
            },
            Found::Estimate(lower) => return Err(Halt::Waits(lower)),
        };
        self.reads.slots.push((address, slot, read));
        Ok(read.value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Halt> {
        match self.shared.base.block_hash(number) {
            Some(hash) => Ok(hash),
            None => self.reader.block_hash(number).map_err(|_| Halt::Failed),
        }
    }
}

//! What several threads may read of an overlay at once, and what they bring back.

use alloy_primitives::map::{AddressMap, B256Map, HashMap};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;

use super::{Account, Entry, Now, Overlay, StateReader, touch};

/// A reader that can be had once more for each thread. All see the same state.
pub trait Fork: StateReader {
    type Fork: StateReader<Error = Self::Error> + Send;
    fn fork(&self) -> Result<Self::Fork, Self::Error>;
}

/// What an overlay holds in memory. What it does not hold is the reader's to tell.
pub struct Base<'a> {
    accounts: &'a AddressMap<Entry>,
    pub codes: &'a B256Map<Bytecode>,
    block_hashes: &'a [(u64, B256)],
}

impl Base<'_> {
    pub fn account(&self, address: &Address) -> Option<Option<Account>> {
        self.accounts.get(address).map(|entry| entry.now.account)
    }

    pub fn slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        let now = &self.accounts.get(address)?.now;
        let value = now.storage.get(slot).copied();
        value.or_else(|| now.complete.then_some(U256::ZERO))
    }

    pub fn block_hash(&self, number: u64) -> Option<B256> {
        let known = self.block_hashes.iter().rev();
        known
            .into_iter()
            .find(|(known, _)| *known == number)
            .map(|(_, hash)| *hash)
    }
}

impl<R: StateReader> Overlay<R> {
    pub fn base(&self) -> Base<'_> {
        Base {
            accounts: &self.accounts,
            codes: &self.codes,
            block_hashes: &self.block_hashes,
        }
    }

    /// Keeps what a thread has read through a fork of the reader.
    pub fn absorb(
        &mut self,
        accounts: AddressMap<Option<Account>>,
        slots: HashMap<(Address, U256), U256>,
        codes: B256Map<Bytecode>,
    ) {
        for (address, account) in accounts {
            self.accounts.entry(address).or_insert_with(|| Entry {
                now: Now {
                    account,
                    complete: account.is_none(),
                    ..Default::default()
                },
                before: None,
            });
        }
        for ((address, slot), value) in slots {
            if let Some(Entry { now, .. }) = self.accounts.get_mut(&address)
                && !now.complete
            {
                now.storage.entry(slot).or_insert_with(|| {
                    self.slots += 1;
                    value
                });
            }
        }
        for (hash, code) in codes {
            self.codes.entry(hash).or_insert(code);
        }
    }

    /// Changes an account as a transaction does that only pays it a fee.
    pub fn pay(
        &mut self,
        address: Address,
        paid: impl FnOnce(Option<Account>) -> Option<Account>,
    ) -> Result<(), R::Error> {
        self.entry(address)?;
        let (now, _) = touch(&mut self.accounts, &mut self.dirty, address);
        now.account = paid(now.account);
        Ok(())
    }
}

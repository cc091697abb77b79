//! What a block changes.

use alloy_primitives::{Address, B256, Bytes, U256};

use super::Account;

/// An account's net change in a block. `reset` says that its old storage is gone; `storage` then lists what is new.
#[derive(Clone, Debug)]
pub struct AccountChange {
    pub address: Address,
    pub before: Option<Account>,
    pub after: Option<Account>,
    pub reset: bool,
    /// (slot, before, after)
    pub storage: Vec<(U256, U256, U256)>,
}

/// Everything that a block changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub accounts: Vec<AccountChange>,
    pub codes: Vec<(B256, Bytes)>,
}

impl Changes {
    /// Adds what happened after these changes to them.
    pub fn follow(&mut self, next: Self) {
        if self.accounts.is_empty() {
            self.codes.extend(next.codes);
            self.accounts = next.accounts;
            return;
        }
        self.codes.extend(next.codes);
        for later in next.accounts {
            match self
                .accounts
                .binary_search_by_key(&later.address, |change| change.address)
            {
                Ok(place) => self.accounts[place].follow(later),
                Err(place) => self.accounts.insert(place, later),
            }
        }
    }
}

impl AccountChange {
    fn follow(&mut self, later: Self) {
        self.after = later.after;
        // An account that these changes made has no older storage.
        self.reset |= later.reset && self.before.is_some();
        for (slot, before, after) in later.storage {
            match self
                .storage
                .binary_search_by_key(&slot, |(known, ..)| *known)
            {
                Ok(place) => self.storage[place].2 = after,
                Err(place) => self.storage.insert(place, (slot, before, after)),
            }
        }
    }
}

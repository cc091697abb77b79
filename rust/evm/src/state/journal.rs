//! How an overlay takes in what a journal holds of many transactions.

use alloy_primitives::Address;
use revm::DatabaseCommit;
use revm::state::EvmState;

use super::{Account, Overlay, StateReader, touch};

impl<R: StateReader> Overlay<R> {
    /// Changes a known account outside of any journal.
    pub fn change(&mut self, address: Address, change: impl FnOnce(&mut Account)) {
        let (now, _) = touch(&mut self.accounts, &mut self.dirty, address);
        let mut account = now.account.unwrap_or_default();
        change(&mut account);
        now.account = (!account.is_empty()).then_some(account);
    }

    /// Takes in what some transactions left in their journal: whatever is not as it is here. Accounts that only the last of them
    /// created or destroyed, or gave code to, are among them. `emptied` are those that were touched when nothing was in them.
    pub fn settle(&mut self, mut state: EvmState, emptied: &[Address]) {
        for address in emptied {
            if let Some(account) = state.get_mut(address)
                && account.info.is_empty()
            {
                account.mark_touch();
            }
        }
        state.retain(|address, account| {
            if account.is_created() || account.is_selfdestructed() {
                account.mark_touch();
            }
            if account.is_touched() {
                return true;
            }
            let Some(entry) = self.accounts.get(address) else {
                return false;
            };
            let now = &entry.now;
            let next = Account::from(&account.info);
            let same = now.account.map_or(next.is_empty(), |known| known == next);
            account.storage.retain(|slot, value| {
                let known = now.storage.get(slot).copied().unwrap_or_default();
                value.original_value = known;
                known != value.present_value
            });
            if !same || !account.storage.is_empty() {
                account.mark_touch();
            }
            account.is_touched()
        });
        self.commit(state);
    }
}

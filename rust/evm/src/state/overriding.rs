//! Accounts and slots that are set outside of any transaction, for calls and simulations on another state.

use alloy_primitives::{Address, Bytes, U256};

use super::{Account, Overlay, StateReader, bytecode, touch};

impl<R: StateReader> Overlay<R> {
    /// Overrides an account. It stays there even if it is empty.
    pub fn set_account(
        &mut self,
        address: Address,
        account: Account,
        code: Option<Bytes>,
    ) -> Result<(), R::Error> {
        self.entry(address)?;
        let (now, _) = touch(&mut self.accounts, &mut self.dirty, address);
        now.account = Some(account);
        if let Some(code) = code.filter(|code| !code.is_empty()) {
            self.codes.insert(account.code_hash, bytecode(code.clone()));
            self.new_codes.push((account.code_hash, code));
        }
        Ok(())
    }

    /// Lets an account without code or storage be absent.
    pub fn drop_account(&mut self, address: Address) -> Result<(), R::Error> {
        self.entry(address)?;
        touch(&mut self.accounts, &mut self.dirty, address)
            .0
            .account = None;
        Ok(())
    }

    /// Overrides a slot. An account that was not there is there then.
    pub fn set_slot(&mut self, address: Address, slot: U256, value: U256) -> Result<(), R::Error> {
        let old = self.slot(address, slot)?;
        let (now, before) = touch(&mut self.accounts, &mut self.dirty, address);
        now.account.get_or_insert_default();
        before.storage.entry(slot).or_insert(old);
        now.storage.insert(slot, value);
        Ok(())
    }

    /// Overrides an account's whole storage.
    pub fn set_storage(
        &mut self,
        address: Address,
        slots: &[(U256, U256)],
    ) -> Result<(), R::Error> {
        self.entry(address)?;
        let (now, before) = touch(&mut self.accounts, &mut self.dirty, address);
        now.account.get_or_insert_default();
        for (slot, value) in now.storage.drain() {
            before.storage.entry(slot).or_insert(value);
        }
        now.complete = true;
        before.reset = true;
        for (slot, value) in slots {
            before.storage.entry(*slot).or_insert(U256::ZERO);
            now.storage.insert(*slot, *value);
        }
        Ok(())
    }
}

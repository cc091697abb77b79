//! Plain transfers, without an interpreter.
//!
//! A payment to an account without code runs no code: what comes of it is three additions. They are done here if nothing at all is
//! out of the ordinary, checked before anything is changed; any other transaction, and one that is invalid in its place, is left to
//! revm, whose outcome this is (`tests/parallel.rs`).
//!
//! Source: execution-specs, `prague/fork.py`, `check_transaction` and `process_transaction`; EIP-1559, EIP-3607, EIP-7623 (whose
//! floor is the same 21,000 where there is no calldata), EIP-7702 (a delegated account has code), EIP-7825.

use alloy_consensus::Transaction;
use alloy_primitives::{Address, U256};
use revm::context::{Cfg, ContextTr};
use revm::primitives::KECCAK_EMPTY;

use crate::executor::{BlockContext, BlockEvm};
use crate::index;
use crate::state::{Account, StateReader};
use crate::tx::SignedTx;

/// What a plain transfer takes.
pub(crate) const GAS: u64 = 21_000;

/// Executes a plain transfer and returns the accounts that it touched (`index::touched`). None if it is no plain transfer: then
/// nothing is changed.
pub(crate) fn run<R: StateReader>(
    block: &BlockContext,
    evm: &mut BlockEvm<'_, R>,
    tx: &SignedTx,
) -> Result<Option<Vec<Address>>, R::Error> {
    let Some(payment) = Payment::of(block, tx) else {
        return Ok(None);
    };
    if tx.gas_limit() > evm.ctx.cfg().tx_gas_limit_cap() {
        return Ok(None);
    }
    let sender = read(evm, tx.sender)?;
    let Some(sender_after) = sender.and_then(|account| payment.sent(account)) else {
        return Ok(None);
    };
    let value = payment.value;
    let recipient = read(evm, payment.to)?.unwrap_or_default();
    let beneficiary = read(evm, block.beneficiary)?.unwrap_or_default();
    let both = value.checked_add(payment.tip);
    // Who is paid nothing is touched nevertheless, which ends an account that is empty (EIP-161).
    let takes = |account: Account, wei: U256| {
        both.is_some_and(|both| account.balance.checked_add(both).is_some())
            && !(wei.is_zero() && account.is_empty())
    };
    if recipient.code_hash != KECCAK_EMPTY
        || !takes(recipient, value)
        || !takes(beneficiary, payment.tip)
    {
        return Ok(None);
    }
    // They may be one and the same: each change is made on what the last one left.
    write(evm, tx.sender, |account| {
        account.nonce = sender_after.nonce;
        account.balance = sender_after.balance;
    });
    for (address, wei) in [(payment.to, value), (block.beneficiary, payment.tip)] {
        if !wei.is_zero() {
            write(evm, address, |account| account.balance += wei);
        }
    }
    let mut touched = Vec::with_capacity(2);
    touched.extend([tx.sender, payment.to]);
    touched.retain(|address| index::counts(address, &block.beneficiary));
    touched.sort_unstable();
    touched.dedup();
    Ok(Some(touched))
}

/// A transaction that does nothing but pay, as far as can be told without the state.
struct Payment {
    to: Address,
    value: U256,
    nonce: u64,
    /// What the sender must have, for the gas limit at the highest price and for the value.
    covered: U256,
    /// What the sender pays for the gas, and the part of it that the beneficiary gets.
    fee: U256,
    tip: U256,
}

impl Payment {
    fn of(block: &BlockContext, envelope: &SignedTx) -> Option<Self> {
        let tx = &envelope.envelope;
        let to = tx.to()?;
        let plain = tx.input().is_empty()
            && tx.access_list().is_none_or(|list| list.is_empty())
            && !tx.is_eip4844()
            && !tx.is_eip7702();
        let here = tx.chain_id().is_none_or(|chain| chain == block.chain_id);
        let (limit, nonce) = (tx.gas_limit(), tx.nonce());
        // Precompiles have no code either.
        if !plain || !here || limit < GAS || nonce == u64::MAX || to[..18] == [0; 18] {
            return None;
        }
        let base_fee = u128::from(block.base_fee);
        let most = tx.max_fee_per_gas();
        let price = match tx.max_priority_fee_per_gas() {
            Some(priority) if priority > most => return None,
            Some(priority) => most.min(base_fee.checked_add(priority)?),
            None => most,
        };
        let gas = u128::from(GAS);
        Some(Self {
            to,
            value: tx.value(),
            nonce,
            covered: U256::from(most.checked_mul(u128::from(limit))?).checked_add(tx.value())?,
            fee: U256::from(price.checked_mul(gas)?),
            tip: U256::from(price.checked_sub(base_fee)?.checked_mul(gas)?),
        })
    }

    /// The sender after it has paid, if it may and can.
    fn sent(&self, sender: Account) -> Option<Account> {
        let may = sender.code_hash == KECCAK_EMPTY
            && sender.nonce == self.nonce
            && sender.balance >= self.covered;
        may.then(|| Account {
            nonce: self.nonce + 1,
            balance: sender.balance - self.fee - self.value,
            ..sender
        })
    }
}

/// An account as the transactions so far left it.
fn read<R: StateReader>(
    evm: &mut BlockEvm<'_, R>,
    address: Address,
) -> Result<Option<Account>, R::Error> {
    let journal = &evm.ctx.journaled_state;
    match journal.inner.state.get(&address) {
        Some(account) => Ok(Some(Account::from(&account.info))),
        None => evm.ctx.db_mut().account(address),
    }
}

/// Changes an account that was read.
fn write<R: StateReader>(
    evm: &mut BlockEvm<'_, R>,
    address: Address,
    change: impl FnOnce(&mut Account),
) {
    let journal = &mut evm.ctx.journaled_state;
    match journal.inner.state.get_mut(&address) {
        Some(account) => {
            let mut next = Account::from(&account.info);
            change(&mut next);
            account.info.nonce = next.nonce;
            account.info.balance = next.balance;
        }
        None => evm.ctx.db_mut().change(address, change),
    }
}

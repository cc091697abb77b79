//! One transaction's execution on a thread of its own: what came of it, and what it wrote.

use alloy_primitives::U256;
use core::marker::PhantomData;
use revm::ExecuteEvm;
use revm::context::result::{EVMError, ExecutionResult, HaltReason};
use revm::context::{Block, ContextSetters, ContextTr, Transaction};
use revm::handler::{FrameResult, Handler, MainnetContext, MainnetEvm, post_execution};
use revm::state::EvmState;

use super::memory::Writes;
use super::view::{Halt, Reads, View};
use crate::state::{Account, StateReader};
use crate::tx::SignedTx;

/// What an execution owes to the beneficiary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fee {
    /// Not executed yet, or taken back.
    #[default]
    Unknown,
    /// The transaction was skipped, or it has read the beneficiary and written it in full.
    None,
    Owed(U256),
}

/// An execution and all that it depends on.
pub struct Run {
    /// The reason, if the transaction is invalid in its place.
    pub result: Result<ExecutionResult, String>,
    pub state: EvmState,
    pub reads: Reads,
    pub fee: Fee,
}

pub type ViewEvm<'a, R> = MainnetEvm<MainnetContext<View<'a, R>>>;

/// Ethereum's way to execute a transaction, but that the beneficiary's fee is only noted: if every transaction wrote that one
/// account, none could be executed beside another. A transaction that has read the account pays in full, as it must.
struct Noting<'a, R>(Fee, PhantomData<fn(&'a R)>);

impl<'a, R: StateReader> Handler for Noting<'a, R> {
    type Evm = ViewEvm<'a, R>;
    type Error = EVMError<Halt>;
    type HaltReason = HaltReason;

    fn execution_result(
        &mut self,
        evm: &mut Self::Evm,
        result: FrameResult,
        gas: revm::context::result::ResultGas,
    ) -> Result<ExecutionResult, Self::Error> {
        if self.0 == Fee::Unknown {
            self.0 = noted(evm, &result);
        }
        revm::handler::MainnetHandler::default().execution_result(evm, result, gas)
    }

    fn reward_beneficiary(
        &self,
        evm: &mut Self::Evm,
        result: &mut FrameResult,
    ) -> Result<(), Self::Error> {
        if evm.ctx.db().reads.beneficiary.is_some() {
            post_execution::reward_beneficiary(&mut evm.ctx, result.gas())?;
        }
        Ok(())
    }
}

/// What `post_execution::reward_beneficiary` would have paid, from the London fork on.
fn noted<R: StateReader>(evm: &ViewEvm<'_, R>, result: &FrameResult) -> Fee {
    if evm.ctx.db().reads.beneficiary.is_some() {
        return Fee::None;
    }
    let base_fee = u128::from(evm.ctx.block().basefee());
    let price = evm
        .ctx
        .tx()
        .effective_gas_price(base_fee)
        .saturating_sub(base_fee);
    let gas = result.gas();
    let used = gas.used().saturating_sub(gas.reservoir());
    Fee::Owed(U256::from(price.wrapping_mul(u128::from(used))))
}

/// Executes a transaction on the view that `evm` holds.
pub fn execute<'a, R: StateReader + 'a>(
    evm: &mut ViewEvm<'a, R>,
    tx: &SignedTx,
) -> Result<Run, Halt> {
    let mut handler = Noting(Fee::Unknown, PhantomData);
    evm.ctx.set_tx(tx.env());
    let result = handler.run(evm);
    let state = evm.finalize();
    let reads = core::mem::take(&mut evm.ctx.db_mut().reads);
    let (result, state, fee) = match result {
        Ok(result) => (Ok(result), state, handler.0),
        Err(EVMError::Database(halt)) => return Err(halt),
        Err(EVMError::Transaction(reason)) => {
            (Err(reason.to_string()), EvmState::default(), Fee::None)
        }
        Err(other) => (Err(other.to_string()), EvmState::default(), Fee::None),
    };
    Ok(Run {
        result,
        state,
        reads,
        fee,
    })
}

impl Run {
    /// What it changes, as `Overlay` will take it in.
    pub fn writes(&self) -> Writes {
        let mut writes = Writes::default();
        for (address, account) in &self.state {
            if !account.is_touched() {
                continue;
            }
            if account.is_selfdestructed() || account.is_created() {
                writes.wiped.push(*address);
            }
            if account.is_selfdestructed() {
                writes.accounts.push((*address, None));
                continue;
            }
            if account.is_changed() || account.is_created() {
                let next = Account::from(&account.info);
                writes
                    .accounts
                    .push((*address, (!next.is_empty()).then_some(next)));
            }
            for (slot, value) in &account.storage {
                if value.is_changed() {
                    writes.slots.push((*address, *slot, value.present_value()));
                }
            }
        }
        writes
    }
}

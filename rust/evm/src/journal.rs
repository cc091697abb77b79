//! One transaction after the other on one journal.
//!
//! `executor::InOrder` hands each transaction's changes to the state at once, and the next one reads them from there again. Here
//! they stay where they are, in revm's journal, until somebody else needs the state: what a stretch of transactions touches is
//! looked up once and handed over once. The outcome is the same (`tests/parallel.rs`), by three precautions:
//!
//! - revm marks an account as touched once and for all; the mark is taken back after each transaction, so that each tells what it
//!   touched itself (`index::touched`).
//! - What a value was before is known to the state, not to the journal, whose original values are those of the last transaction.
//! - A transaction that creates or destroys accounts, or changes code, ends the stretch: what revm notes of that is meant for a
//!   single transaction.
//!
//! Plain transfers do without an interpreter: see `transfer`.

use alloy_primitives::Address;
use core::marker::PhantomData;
use revm::ExecuteEvm;
use revm::context::journal::JournalEntry;
use revm::context::result::{EVMError, ExecutionResult, HaltReason, ResultGas};
use revm::context::{ContextSetters, ContextTr};
use revm::handler::{FrameResult, Handler, MainnetHandler};
use revm::primitives::hardfork::SpecId;

use crate::executor::{BlockContext, BlockEvm, BlockOutcome, InOrder, Offered, Runner, fitting};
use crate::index;
use crate::state::{Overlay, StateReader};
use crate::transfer;

/// All of a block's transactions, one after the other.
pub struct Journaled;

impl<R: StateReader> Runner<R> for Journaled {
    fn run(
        &self,
        block: &BlockContext,
        evm: &mut BlockEvm<'_, R>,
        txs: impl Iterator<Item = Offered>,
        outcome: &mut BlockOutcome,
    ) -> Result<(), R::Error> {
        if !is_current(block, evm.ctx.db_ref()) {
            return InOrder.run(block, evm, txs, outcome);
        }
        let mut stretch = Stretch::default();
        for (position, tx) in txs.enumerate() {
            stretch.run(block, evm, position, tx, outcome)?;
        }
        stretch.end(evm);
        Ok(())
    }
}

/// Whether the rules are those of a fork that this module and `parallel` are made for: others are only replayed.
pub(crate) fn is_current<R>(block: &BlockContext, state: &Overlay<R>) -> bool {
    let spec = block.spec;
    spec.is_enabled_in(SpecId::LONDON)
        && !spec.is_enabled_in(SpecId::AMSTERDAM)
        && !state.keep_empty
}

/// Transactions whose changes the journal still holds.
#[derive(Default)]
pub(crate) struct Stretch {
    /// Accounts that were touched and had nothing in them: such an account does not exist (EIP-161).
    emptied: Vec<Address>,
}

impl Stretch {
    /// Executes one transaction on what came of those before it.
    pub fn run<R: StateReader>(
        &mut self,
        block: &BlockContext,
        evm: &mut BlockEvm<'_, R>,
        position: usize,
        tx: Offered,
        outcome: &mut BlockOutcome,
    ) -> Result<(), R::Error> {
        let Some(tx) = fitting(block, position, tx, outcome) else {
            return Ok(());
        };
        if let Some(touched) = transfer::run(block, evm, &tx)? {
            outcome.include_transfer(position, tx, touched);
            return Ok(());
        }
        let mut handler = Keeping {
            emptied: &mut self.emptied,
            touched: Vec::new(),
            ends: false,
            reader: PhantomData,
        };
        evm.ctx.set_tx(tx.env());
        match handler.run(evm) {
            Ok(result) => {
                let (touched, ends) = (handler.touched, handler.ends);
                if ends {
                    self.end(evm);
                }
                outcome.include(position, tx, result, touched);
            }
            Err(EVMError::Database(error)) => {
                let _ = evm.finalize();
                return Err(error);
            }
            Err(EVMError::Transaction(reason)) => {
                outcome.skipped.push((position, reason.to_string()))
            }
            Err(other) => outcome.skipped.push((position, other.to_string())),
        }
        Ok(())
    }

    /// Hands all changes to the state.
    pub fn end<R: StateReader>(&mut self, evm: &mut BlockEvm<'_, R>) {
        let emptied = core::mem::take(&mut self.emptied);
        if !evm.ctx.journaled_state.inner.state.is_empty() {
            let changes = evm.finalize();
            evm.ctx.db_mut().settle(changes, &emptied);
        }
    }
}

/// Ethereum's way to execute a transaction, that looks at the journal before it is cleared.
struct Keeping<'e, 'a, R> {
    emptied: &'e mut Vec<Address>,
    touched: Vec<Address>,
    ends: bool,
    reader: PhantomData<fn(&'a R)>,
}

impl<'a, R: StateReader> Handler for Keeping<'_, 'a, R> {
    type Evm = BlockEvm<'a, R>;
    type Error = EVMError<R::Error>;
    type HaltReason = HaltReason;

    fn execution_result(
        &mut self,
        evm: &mut Self::Evm,
        result: FrameResult,
        gas: ResultGas,
    ) -> Result<ExecutionResult, Self::Error> {
        let beneficiary = evm.ctx.block.beneficiary;
        let journal = &mut evm.ctx.journaled_state.inner;
        for entry in &journal.journal {
            match entry {
                JournalEntry::AccountTouched { address } => {
                    if let Some(account) = journal.state.get_mut(address) {
                        if account.info.is_empty() {
                            self.emptied.push(*address);
                        }
                        account.unmark_touch();
                    }
                    if index::counts(address, &beneficiary) {
                        self.touched.push(*address);
                    }
                }
                JournalEntry::AccountCreated { .. }
                | JournalEntry::AccountDestroyed { .. }
                | JournalEntry::CodeChange { .. } => self.ends = true,
                _ => {}
            }
        }
        self.touched.sort_unstable();
        MainnetHandler::default().execution_result(evm, result, gas)
    }
}

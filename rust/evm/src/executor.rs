//! One block's execution on revm: system calls, transactions, withdrawals, requests.
//!
//! The order is Ethereum's (execution-specs, prague/fork.py `apply_body`):
//!
//! 1. EIP-4788: the parent beacon block root goes into its contract. EIP-2935: the parent's hash goes into its contract.
//! 2. Transactions, in order.
//! 3. EIP-4895 withdrawals.
//! 4. EIP-7002 and EIP-7251: the request queues are read (EIP-6110's deposits, of blocks that others made: `deposits`).
//!
//! A system contract that is not there, or that fails, is passed over, so that a block has an outcome whatever the genesis
//! document put there. No I/O happens here but through the `StateReader`.

use alloy_eips::eip4844::{BLOB_TX_MIN_BLOB_GASPRICE, fake_exponential};
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7685::Requests;
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use revm::context::result::{EVMError, ExecutionResult};
use revm::context::{BlockEnv, CfgEnv, Context, ContextTr, JournalTr, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::handler::{MainBuilder, MainnetContext, MainnetEvm, SystemCallEvm};
use revm::primitives::hardfork::SpecId;
use revm::{DatabaseCommit, ExecuteCommitEvm, ExecuteEvm, Journal};

use crate::index;
use crate::state::{Overlay, StateReader};
use crate::transfer;
use crate::tx::SignedTx;

/// What a block's execution depends on besides the state and its transactions.
#[derive(Clone, Debug)]
pub struct BlockContext {
    pub chain_id: u64,
    pub spec: SpecId,
    pub number: u64,
    pub timestamp: u64,
    pub beneficiary: Address,
    pub gas_limit: u64,
    pub base_fee: u64,
    pub difficulty: U256,
    pub prev_randao: B256,
    pub parent_hash: B256,
    pub parent_beacon_block_root: B256,
    pub excess_blob_gas: u64,
    pub blob_fraction: u64,
}

impl BlockContext {
    pub fn block_env(&self) -> BlockEnv {
        BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            difficulty: self.difficulty,
            prevrandao: Some(self.prev_randao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas: self.excess_blob_gas,
                blob_gasprice: self.price_of_blobs(),
            }),
            slot_num: 0,
        }
    }

    /// The wei of a unit of blob gas; 0 before there are blobs.
    pub fn blob_price(&self) -> u128 {
        match self.spec.is_enabled_in(SpecId::CANCUN) {
            true => self.price_of_blobs(),
            false => 0,
        }
    }

    /// The engine's own sum wraps, and then may never end.
    fn price_of_blobs(&self) -> u128 {
        let (excess, fraction) = (self.excess_blob_gas.into(), self.blob_fraction.into());
        fake_exponential(BLOB_TX_MIN_BLOB_GASPRICE, excess, fraction)
    }

    /// An EVM for this block on `state`.
    pub fn evm<D: revm::Database>(
        &self,
        state: D,
        adjust: impl FnOnce(&mut CfgEnv),
    ) -> MainnetEvm<MainnetContext<D>> {
        let context: Context<BlockEnv, TxEnv, CfgEnv, D, Journal<D>, ()> =
            Context::new(state, self.spec);
        context
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(self.spec);
                cfg.chain_id = self.chain_id;
                cfg.tx_chain_id_check = true;
                adjust(cfg);
            })
            .with_block(self.block_env())
            .build_mainnet()
    }
}

/// The outcome of a transaction that was included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutcome {
    pub success: bool,
    pub gas_used: u64,
    pub cumulative_gas_used: u64,
    pub logs: Vec<Log>,
    /// The accounts that it called, paid or created (`index::touched`).
    pub touched: Vec<Address>,
}

/// The outcome of a block.
#[derive(Debug, Default)]
pub struct BlockOutcome {
    pub txs: Vec<SignedTx>,
    pub outcomes: Vec<TxOutcome>,
    /// Positions among the offered transactions.
    pub included: Vec<usize>,
    pub skipped: Vec<(usize, String)>,
    pub gas_used: u64,
    pub requests: Requests,
    /// The contract of a request queue that is not there or that failed: with it a block of Ethereum is invalid.
    pub silent: Option<Address>,
}

/// An EVM on the state of a block in the making.
pub type BlockEvm<'a, R> = MainnetEvm<MainnetContext<&'a mut Overlay<R>>>;

/// A transaction as it was offered, or why it is none.
pub type Offered = Result<SignedTx, String>;

/// A way to run a block's transactions. Each has the very outcome of `InOrder`.
pub trait Runner<R: StateReader> {
    fn run(
        &self,
        block: &BlockContext,
        evm: &mut BlockEvm<'_, R>,
        txs: impl Iterator<Item = Offered>,
        outcome: &mut BlockOutcome,
    ) -> Result<(), R::Error>;
}

/// One transaction after the other.
pub struct InOrder;

impl<R: StateReader> Runner<R> for InOrder {
    fn run(
        &self,
        block: &BlockContext,
        evm: &mut BlockEvm<'_, R>,
        txs: impl Iterator<Item = Offered>,
        outcome: &mut BlockOutcome,
    ) -> Result<(), R::Error> {
        for (position, tx) in txs.enumerate() {
            run_one(block, evm, position, tx, outcome)?;
        }
        Ok(())
    }
}

/// The transaction, if the block has room for its gas limit.
pub(crate) fn fitting(
    block: &BlockContext,
    position: usize,
    tx: Offered,
    outcome: &mut BlockOutcome,
) -> Option<SignedTx> {
    let left = block.gas_limit - outcome.gas_used;
    let reason = match tx {
        Ok(tx) if tx.gas_limit() <= left => return Some(tx),
        Ok(tx) => format!(
            "its gas limit {} is over the {left} that the block has left",
            tx.gas_limit()
        ),
        Err(reason) => reason,
    };
    outcome.skipped.push((position, reason));
    None
}

/// Executes one transaction on what came of those before it.
pub(crate) fn run_one<R: StateReader>(
    block: &BlockContext,
    evm: &mut BlockEvm<'_, R>,
    position: usize,
    tx: Offered,
    outcome: &mut BlockOutcome,
) -> Result<(), R::Error> {
    match fitting(block, position, tx, outcome) {
        Some(tx) => run_fitting(block, evm, position, tx, outcome),
        None => Ok(()),
    }
}

/// As `run_one`, for a transaction that the block has room for.
pub(crate) fn run_fitting<R: StateReader>(
    block: &BlockContext,
    evm: &mut BlockEvm<'_, R>,
    position: usize,
    tx: SignedTx,
    outcome: &mut BlockOutcome,
) -> Result<(), R::Error> {
    match evm.transact_one(tx.env()) {
        Ok(result) => {
            let touched = index::touched(evm.ctx.journal().evm_state(), &block.beneficiary);
            evm.commit_inner();
            outcome.include(position, tx, result, touched);
        }
        Err(error) => {
            let _ = evm.finalize();
            match error {
                EVMError::Database(error) => return Err(error),
                EVMError::Transaction(reason) => {
                    outcome.skipped.push((position, reason.to_string()))
                }
                other => outcome.skipped.push((position, other.to_string())),
            }
        }
    }
    Ok(())
}

impl BlockOutcome {
    /// Includes a plain transfer, which always succeeds.
    pub(crate) fn include_transfer(
        &mut self,
        position: usize,
        tx: SignedTx,
        touched: Vec<Address>,
    ) {
        self.gas_used += transfer::GAS;
        self.outcomes.push(TxOutcome {
            success: true,
            gas_used: transfer::GAS,
            cumulative_gas_used: self.gas_used,
            logs: Vec::new(),
            touched,
        });
        self.txs.push(tx);
        self.included.push(position);
    }

    pub(crate) fn include(
        &mut self,
        position: usize,
        tx: SignedTx,
        result: ExecutionResult,
        touched: Vec<Address>,
    ) {
        let gas_used = result.tx_gas_used();
        self.gas_used += gas_used;
        self.outcomes.push(TxOutcome {
            success: result.is_success(),
            gas_used,
            cumulative_gas_used: self.gas_used,
            logs: if result.is_success() {
                result.into_logs()
            } else {
                Vec::new()
            },
            touched,
        });
        self.txs.push(tx);
        self.included.push(position);
    }
}

/// Executes a block. A transaction that Ethereum's rules call invalid in its place is skipped and leaves no trace.
pub fn execute_block<R: StateReader>(
    block: &BlockContext,
    state: &mut Overlay<R>,
    txs: impl IntoIterator<Item = Offered>,
    withdrawals: &[Withdrawal],
) -> Result<BlockOutcome, R::Error> {
    execute_block_by(&InOrder, block, state, txs, withdrawals)
}

/// As `execute_block`, with the transactions run in this way.
pub fn execute_block_by<R: StateReader>(
    runner: &impl Runner<R>,
    block: &BlockContext,
    state: &mut Overlay<R>,
    txs: impl IntoIterator<Item = Offered>,
    withdrawals: &[Withdrawal],
) -> Result<BlockOutcome, R::Error> {
    let mut outcome = BlockOutcome::default();
    let mut evm = block.evm(state, |_| {});

    before_transactions(block, &mut evm)?;

    let txs = txs.into_iter();
    let (least, _) = txs.size_hint();
    outcome.txs.reserve(least);
    outcome.outcomes.reserve(least);
    outcome.included.reserve(least);
    runner.run(block, &mut evm, txs, &mut outcome)?;

    for withdrawal in withdrawals {
        let wei = U256::from(withdrawal.amount) * U256::from(1_000_000_000u64);
        evm.ctx.db_mut().credit(withdrawal.address, wei)?;
    }

    (outcome.requests, outcome.silent) = after_transactions(block, &mut evm)?;
    Ok(outcome)
}

/// The state as a block leaves it: the system calls that come last, and what they ask of the consensus layer.
pub fn close_block<R: StateReader>(
    block: &BlockContext,
    state: &mut Overlay<R>,
) -> Result<Requests, R::Error> {
    Ok(after_transactions(block, &mut block.evm(state, |_| {}))?.0)
}

fn after_transactions<R: StateReader>(
    block: &BlockContext,
    evm: &mut BlockEvm<'_, R>,
) -> Result<(Requests, Option<Address>), R::Error> {
    let (mut requests, mut silent) = (Requests::default(), None);
    if block.spec.is_enabled_in(SpecId::PRAGUE) && block.number > 0 {
        for (kind, contract) in [
            (
                eip7002::WITHDRAWAL_REQUEST_TYPE,
                eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            ),
            (
                eip7251::CONSOLIDATION_REQUEST_TYPE,
                eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            ),
        ] {
            match system_call(evm, contract, Bytes::new())? {
                Some(data) if data.is_empty() => {}
                Some(data) => requests.push_request_with_type(kind, data),
                None => silent = silent.or(Some(contract)),
            }
        }
    }
    Ok((requests, silent))
}

/// The state as a block's first transaction finds it: the system calls that come before.
pub fn open_block<R: StateReader>(
    block: &BlockContext,
    state: &mut Overlay<R>,
) -> Result<(), R::Error> {
    before_transactions(block, &mut block.evm(state, |_| {}))
}

fn before_transactions<R: StateReader>(
    block: &BlockContext,
    evm: &mut BlockEvm<'_, R>,
) -> Result<(), R::Error> {
    if block.spec.is_enabled_in(SpecId::CANCUN) && block.number > 0 {
        system_call(
            evm,
            eip4788::BEACON_ROOTS_ADDRESS,
            block.parent_beacon_block_root.into(),
        )?;
    }
    if block.spec.is_enabled_in(SpecId::PRAGUE) && block.number > 0 {
        system_call(
            evm,
            eip2935::HISTORY_STORAGE_ADDRESS,
            block.parent_hash.into(),
        )?;
    }
    Ok(())
}

/// None: there is no such contract, or it failed.
fn system_call<R: StateReader>(
    evm: &mut BlockEvm<'_, R>,
    contract: Address,
    data: Bytes,
) -> Result<Option<Bytes>, R::Error> {
    let account = evm.ctx.db_mut().account(contract)?;
    if account.is_none_or(|account| account.code_hash == revm::primitives::KECCAK_EMPTY) {
        return Ok(None);
    }
    let result = match evm.system_call_one(contract, data) {
        Ok(result) => result,
        Err(EVMError::Database(error)) => return Err(error),
        Err(_) => {
            let _ = evm.finalize();
            return Ok(None);
        }
    };
    let changes = evm.finalize();
    match result {
        ExecutionResult::Success { output, .. } => {
            evm.ctx.db_mut().commit(changes);
            Ok(Some(output.into_data()))
        }
        _ => Ok(None),
    }
}

//! One block's execution on revm: system calls, transactions, withdrawals, requests.
//!
//! The order is Ethereum's (execution-specs, prague/fork.py `apply_body`):
//!
//! 1. EIP-4788: the parent beacon block root goes into its contract. EIP-2935: the parent's hash goes into its contract.
//! 2. Transactions, in order.
//! 3. EIP-4895 withdrawals.
//! 4. EIP-7002 and EIP-7251: the request queues are read (EIP-6110 deposits do not exist here).
//!
//! A system contract that is not there, or that fails, is passed over, so that a block has an outcome whatever the genesis
//! document put there. No I/O happens here but through the `StateReader`.

use alloy_consensus::Transaction;
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
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(
                self.excess_blob_gas,
                self.blob_fraction,
            )),
            slot_num: 0,
        }
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
#[derive(Clone, Debug)]
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
}

/// Executes a block. A transaction that Ethereum's rules call invalid in its place is skipped and leaves no trace.
pub fn execute_block<R: StateReader>(
    block: &BlockContext,
    state: &mut Overlay<R>,
    txs: impl IntoIterator<Item = Result<SignedTx, String>>,
    withdrawals: &[Withdrawal],
) -> Result<BlockOutcome, R::Error> {
    let mut outcome = BlockOutcome::default();
    let mut evm = block.evm(state, |_| {});

    if block.spec.is_enabled_in(SpecId::CANCUN) && block.number > 0 {
        system_call(
            &mut evm,
            eip4788::BEACON_ROOTS_ADDRESS,
            block.parent_beacon_block_root.into(),
        )?;
    }
    if block.spec.is_enabled_in(SpecId::PRAGUE) && block.number > 0 {
        system_call(
            &mut evm,
            eip2935::HISTORY_STORAGE_ADDRESS,
            block.parent_hash.into(),
        )?;
    }

    for (position, tx) in txs.into_iter().enumerate() {
        let tx = match tx {
            Ok(tx) => tx,
            Err(reason) => {
                outcome.skipped.push((position, reason));
                continue;
            }
        };
        let left = block.gas_limit - outcome.gas_used;
        if tx.envelope.gas_limit() > left {
            let reason = format!(
                "its gas limit {} is over the {left} that the block has left",
                tx.envelope.gas_limit()
            );
            outcome.skipped.push((position, reason));
            continue;
        }
        match evm.transact_one(tx.env()) {
            Ok(result) => {
                let touched = index::touched(evm.ctx.journal().evm_state(), &block.beneficiary);
                evm.commit_inner();
                let gas_used = result.tx_gas_used();
                outcome.gas_used += gas_used;
                outcome.outcomes.push(TxOutcome {
                    success: result.is_success(),
                    gas_used,
                    cumulative_gas_used: outcome.gas_used,
                    logs: if result.is_success() {
                        result.into_logs()
                    } else {
                        Vec::new()
                    },
                    touched,
                });
                outcome.txs.push(tx);
                outcome.included.push(position);
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
    }

    for withdrawal in withdrawals {
        let wei = U256::from(withdrawal.amount) * U256::from(1_000_000_000u64);
        evm.ctx.db_mut().credit(withdrawal.address, wei)?;
    }

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
            let data = system_call(&mut evm, contract, Bytes::new())?;
            if !data.is_empty() {
                outcome.requests.push_request_with_type(kind, data);
            }
        }
    }
    Ok(outcome)
}

fn system_call<R: StateReader>(
    evm: &mut MainnetEvm<MainnetContext<&mut Overlay<R>>>,
    contract: Address,
    data: Bytes,
) -> Result<Bytes, R::Error> {
    let account = evm.ctx.db_mut().account(contract)?;
    if account.is_none_or(|account| account.code_hash == revm::primitives::KECCAK_EMPTY) {
        return Ok(Bytes::new());
    }
    let result = match evm.system_call_one(contract, data) {
        Ok(result) => result,
        Err(EVMError::Database(error)) => return Err(error),
        Err(_) => {
            let _ = evm.finalize();
            return Ok(Bytes::new());
        }
    };
    let changes = evm.finalize();
    match result {
        ExecutionResult::Success { output, .. } => {
            evm.ctx.db_mut().commit(changes);
            Ok(output.into_data())
        }
        _ => Ok(Bytes::new()),
    }
}

//! One simulated call after the other, in a block.
//!
//! Source: go-ethereum `core/state_transition.go` (`preCheck`, `buyGas`), whose order of checks and whose words are kept. The
//! nonce and a sender with code are never checked by the engine; the nonce is checked here, in validation mode.

use alloy_eips::eip4844::{DATA_GAS_PER_BLOB, VERSIONED_HASH_VERSION_KZG};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use revm::context::result::{EVMError, ExecutionResult, InvalidTransaction};
use revm::context::{Evm, TxEnv};
use revm::context_interface::{Cfg, ContextTr};
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, MainnetContext};
use revm::inspector::InspectEvm;
use revm::interpreter::interpreter::EthInterpreter;
use revm::primitives::hardfork::SpecId;
use revm::{ExecuteCommitEvm, ExecuteEvm};

use super::failure::*;
use super::logs::{Indexed, Recorder};
use super::reverts;
use super::transaction::{Call, Unsigned};
use crate::block::StoredReceipt;
use crate::call::in_words;
use crate::overrides::MovedPrecompiles;
use crate::state::Overlay;
use crate::view::At;

type Context<'a, 's> = MainnetContext<&'a mut Overlay<At<'s>>>;
pub type BlockEvm<'a, 's, 'r> = Evm<
    Context<'a, 's>,
    Recorder<'r>,
    EthInstructions<EthInterpreter, Context<'a, 's>>,
    MovedPrecompiles,
    EthFrame<EthInterpreter>,
>;

/// What holds for every call of a block.
pub struct Rules {
    pub chain_id: u64,
    pub spec: SpecId,
    pub gas_limit: u64,
    pub base_fee: u64,
    pub validation: bool,
}

/// Why a call failed: what its result says.
pub struct CallError {
    pub code: i64,
    pub message: String,
    pub data: Option<Bytes>,
}

/// A call's transaction and what came of it.
pub struct Done {
    pub sender: Address,
    pub tx: Unsigned,
    pub hash: B256,
    pub data: Bytes,
    pub gas_used: u64,
    pub max_gas_used: u64,
    pub logs: Vec<Indexed>,
    pub error: Option<CallError>,
}

/// The block so far.
#[derive(Default)]
pub struct Progress {
    pub done: Vec<Done>,
    pub receipts: Vec<StoredReceipt>,
    pub gas_used: u64,
    pub blob_gas_used: u64,
    /// Bytes that the results hold.
    pub bytes: usize,
}

/// Runs a call and adds it to the block. `budget` is the gas left to the whole simulation.
pub fn run(
    evm: &mut BlockEvm<'_, '_, '_>,
    rules: &Rules,
    call: Call,
    budget: &mut u64,
    progress: &mut Progress,
) -> Simulated<()> {
    let account = evm.ctx.db_mut().account(call.from)?.unwrap_or_default();
    let nonce = call.nonce.unwrap_or(account.nonce);
    let remaining = rules.gas_limit.saturating_sub(progress.gas_used);
    let wanted = call.gas.unwrap_or(remaining);
    if remaining < wanted {
        return fail(
            BLOCK_GAS_LIMIT,
            format!("block gas limit reached: remaining: {remaining}, required: {wanted}"),
        );
    }
    let gas = wanted.min(*budget);
    call.check(rules.chain_id)?;
    let supplied = |failure: Stop| match failure {
        Stop::Caller(failure) if !matches!(failure.code, TIMEOUT | CLIENT_LIMIT) => {
            Stop::Caller(Failure {
                message: format!("err: {} (supplied gas {gas})", failure.message),
                ..failure
            })
        }
        other => other,
    };
    check_nonce(rules, &call, nonce, account.nonce).map_err(supplied)?;
    let free = check_fees(rules, &call).map_err(supplied)?;
    let mut env = call.env(gas, rules.spec);
    check_blobs(evm, rules, &call, &mut env).map_err(supplied)?;
    check_shape(evm, &call).map_err(supplied)?;
    check_funds(&call, gas, account.balance).map_err(supplied)?;

    evm.ctx.cfg.disable_base_fee = free;
    let result = transact(evm, env).map_err(supplied)?;
    // In geth's state the highest nonce is followed by zero.
    if account.nonce == u64::MAX && call.to.is_some() {
        wrap_nonce(evm, call.from)?;
    }
    let logs = evm.inspector.take();
    let gas_used = result.tx_gas_used();
    let spent = result.gas();
    let max_gas_used = spent.total_gas_spent().max(spent.floor_gas());
    *budget = budget.saturating_sub(gas_used);
    progress.gas_used += gas_used;
    progress.blob_gas_used += blob_gas(&call);
    let london = rules.spec.is_enabled_in(SpecId::LONDON);
    let tx = call.transaction(rules.chain_id, nonce, gas, london);
    let success = result.is_success();
    let mut error = None;
    let (data, own_logs) = match result {
        ExecutionResult::Success { output, logs, .. } => (output.into_data(), logs),
        ExecutionResult::Revert { output, .. } => {
            error = Some(CallError {
                code: REVERTED,
                message: reverts::message(&output),
                data: Some(output),
            });
            (Bytes::new(), Vec::new())
        }
        ExecutionResult::Halt { reason, .. } => {
            let capped = match gas < wanted {
                true => " (gas limit was capped by the RPC server's global gas cap)",
                false => "",
            };
            error = Some(CallError {
                code: VM_ERROR,
                message: in_words(&reason) + capped,
                data: None,
            });
            (Bytes::new(), Vec::new())
        }
    };
    let said = error.as_ref().and_then(|error| error.data.as_ref());
    let returned = data.len() + said.map_or(0, |data| 2 * data.len());
    progress.bytes += 1_500 + 2 * (returned + call.input.len());
    progress.receipts.push(StoredReceipt {
        tx_type: tx.tx_type(),
        success,
        cumulative_gas_used: progress.gas_used,
        logs: own_logs,
        state_root: None,
    });
    progress.done.push(Done {
        sender: call.from,
        hash: tx.hash(),
        tx,
        data,
        gas_used,
        max_gas_used,
        logs,
        error,
    });
    Ok(())
}

fn check_nonce(rules: &Rules, call: &Call, nonce: u64, state: u64) -> Simulated<()> {
    let from = call.from;
    if !rules.validation {
        return Ok(());
    }
    if state < nonce {
        return fail(
            NONCE_TOO_HIGH,
            format!("nonce too high: address {from}, tx: {nonce} state: {state}"),
        );
    }
    if state > nonce {
        return fail(
            NONCE_TOO_LOW,
            format!("nonce too low: address {from}, tx: {nonce} state: {state}"),
        );
    }
    if state == u64::MAX {
        return fail(
            INTERNAL,
            format!("nonce has max value: address {from}, nonce: {state}"),
        );
    }
    Ok(())
}

/// Whether the call is free of fees: it offers none, and nobody validates.
fn check_fees(rules: &Rules, call: &Call) -> Simulated<bool> {
    let fees = call.fees();
    if !rules.spec.is_enabled_in(SpecId::LONDON) {
        return Ok(false);
    }
    if !rules.validation && fees.max == 0 && fees.priority == 0 {
        return Ok(true);
    }
    if fees.max < fees.priority {
        return fail(
            INVALID_PARAMS,
            format!(
                "max priority fee per gas higher than max fee per gas: address {}, maxPriorityFeePerGas: {}, maxFeePerGas: {}",
                call.from, fees.priority, fees.max
            ),
        );
    }
    if fees.max < u128::from(rules.base_fee) {
        return fail(
            BASE_FEE_TOO_LOW,
            format!(
                "max fee per gas less than block base fee: address {}, maxFeePerGas: {}, baseFee: {}",
                call.from, fees.max, rules.base_fee
            ),
        );
    }
    Ok(false)
}

fn check_blobs(
    evm: &BlockEvm<'_, '_, '_>,
    rules: &Rules,
    call: &Call,
    env: &mut TxEnv,
) -> Simulated<()> {
    let Some(hashes) = &call.blobs else {
        return Ok(());
    };
    if hashes.is_empty() {
        return fail(INVALID_PARAMS, "blob transaction missing blob hashes");
    }
    if !rules.spec.is_enabled_in(SpecId::CANCUN) {
        return fail(INVALID_PARAMS, "blob transactions come with Cancun");
    }
    let most = evm.ctx.cfg.max_blobs_per_tx();
    if most.is_some_and(|most| hashes.len() as u64 > most) {
        return fail(INVALID_PARAMS, "blob transaction has too many blobs");
    }
    let unknown = |hash: &B256| hash[0] != VERSIONED_HASH_VERSION_KZG;
    if let Some(place) = hashes.iter().position(unknown) {
        return fail(
            INVALID_PARAMS,
            format!("blob {place} has invalid hash version"),
        );
    }
    let price = evm
        .ctx
        .block
        .blob_excess_gas_and_price
        .map_or(0, |blob| blob.blob_gasprice);
    let offered = call.fees().blob;
    if !rules.validation && offered == 0 {
        env.max_fee_per_blob_gas = price;
    } else if offered < price {
        return fail(
            INVALID_PARAMS,
            format!(
                "max fee per blob gas less than block blob gas fee: address {} blobGasFeeCap: {offered}, blobBaseFee: {price}",
                call.from
            ),
        );
    }
    Ok(())
}

fn check_shape(evm: &BlockEvm<'_, '_, '_>, call: &Call) -> Simulated<()> {
    if call.authorizations.as_ref().is_some_and(Vec::is_empty) {
        return fail(
            INVALID_PARAMS,
            format!(
                "EIP-7702 transaction with empty auth list (sender {})",
                call.from
            ),
        );
    }
    let (size, most) = (call.input.len(), evm.ctx.cfg.max_initcode_size());
    let metered = evm.ctx.cfg.spec.is_enabled_in(SpecId::SHANGHAI);
    if call.to.is_none() && metered && size > most {
        return fail(
            INIT_CODE_SIZE,
            format!("max initcode size exceeded: code size {size}, limit {most}"),
        );
    }
    Ok(())
}

fn blob_gas(call: &Call) -> u64 {
    let blobs = call.blobs.as_ref().map_or(0, Vec::len);
    blobs as u64 * DATA_GAS_PER_BLOB
}

fn check_funds(call: &Call, gas: u64, have: U256) -> Simulated<()> {
    let (from, fees) = (call.from, call.fees());
    // Fees are at most 96 bits: neither product overflows.
    let for_gas = U256::from(gas) * U256::from(fees.max);
    let for_blobs = U256::from(blob_gas(call)) * U256::from(fees.blob);
    let want = (for_gas + for_blobs).checked_add(call.value);
    let words = "insufficient funds for gas * price + value";
    match want {
        Some(want) if want <= have => Ok(()),
        Some(want) => fail(
            INSUFFICIENT_FUNDS,
            format!("{words}: address {from} have {have} want {want}"),
        ),
        None => fail(
            INSUFFICIENT_FUNDS,
            format!("{words}: address {from} required balance exceeds 256 bits"),
        ),
    }
}

fn transact(evm: &mut BlockEvm<'_, '_, '_>, env: TxEnv) -> Simulated<ExecutionResult> {
    let gas = env.gas_limit;
    let creates = env.kind == TxKind::Create;
    let outcome = evm.inspect_one_tx(env);
    let stopped = evm.inspector.stopped();
    let error = match outcome {
        Ok(result) if stopped.is_ok() => {
            evm.commit_inner();
            return Ok(result);
        }
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let _ = evm.finalize();
    stopped?;
    match error {
        Some(EVMError::Database(error)) => Err(Stop::Store(error)),
        Some(EVMError::Transaction(reason)) => refuse(reason, gas, creates),
        Some(other) => fail(INVALID_REQUEST, other.to_string()),
        None => fail(INTERNAL, "the call was not run"),
    }
}

fn refuse<T>(reason: InvalidTransaction, gas: u64, creates: bool) -> Simulated<T> {
    match reason {
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, .. } => fail(
            INTRINSIC_GAS,
            format!("intrinsic gas too low: have {gas}, want {initial_gas}"),
        ),
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, .. } => fail(
            INTRINSIC_GAS,
            format!("insufficient gas for floor data gas cost: have {gas}, want {gas_floor}"),
        ),
        InvalidTransaction::LackOfFundForMaxFee { .. } => {
            fail(INSUFFICIENT_FUNDS, reason.to_string())
        }
        InvalidTransaction::CreateInitCodeSizeLimit if creates => {
            fail(INIT_CODE_SIZE, "max initcode size exceeded")
        }
        other => fail(INVALID_PARAMS, other.to_string()),
    }
}

fn wrap_nonce(evm: &mut BlockEvm<'_, '_, '_>, sender: Address) -> Simulated<()> {
    let state = evm.ctx.db_mut();
    if let Some(mut account) = state.account(sender)? {
        account.nonce = 0;
        match account.is_empty() {
            true => state.drop_account(sender)?,
            false => state.set_account(sender, account, None)?,
        }
    }
    Ok(())
}

//! Calls and gas estimates on the state after a stored block, changing nothing.
//!
//! Source: geth's `eth_call` and `eth/gasestimator`. The call sees the block's own number, timestamp and base fee; where it names
//! no fee, the base fee is zero.

use alloy_primitives::{Bytes, TxKind, U256};
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::either::Either;
use revm::primitives::hardfork::SpecId;
use revm::{Database, ExecuteEvm};
use serde_json::Value;

use crate::block::context_of;
use crate::config::ChainConfig;
use crate::error::{Error, Result};
use crate::executor::BlockContext;
use crate::overrides::{self, BlockOverrides, MovedPrecompiles, StateOverrides};
use crate::sign::Fields;
use crate::state::Overlay;
use crate::store::Store;
use crate::view::At;
use crate::words;

const TX_GAS: u64 = 21_000;
/// A fee has at most this many, so that no sum of fees overflows.
pub(crate) const MAX_FEE_BITS: usize = 96;
const CALL_STIPEND: u64 = 2_300;
/// A limit for one transaction from Osaka on (EIP-7825).
const OSAKA_TX_GAS: u64 = 1 << 24;
/// How far, relatively, an estimate may lie above the least sufficient limit.
const ESTIMATE_SLACK: f64 = 0.015;

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub success: bool,
    /// What was returned or, without success, the revert data.
    pub data: Bytes,
    /// Gas used; of an estimate: the limit that suffices.
    pub gas: u64,
}

/// A call, and what is to be different about the state and the block where it runs.
pub struct Request {
    fields: Value,
    state: StateOverrides,
    block: BlockOverrides,
}

impl Request {
    /// `overrides_json` are those of the state and of the block, each an object or null.
    pub fn parse(json: &str, overrides_json: (&str, &str)) -> Result<Self> {
        let fields: Value = serde_json::from_str(json)
            .map_err(|error| Error::Invalid(format!("the call is not JSON: {error}")))?;
        if !fields.is_object() {
            return Err(Error::Invalid("the call is not a JSON object".into()));
        }
        let (state, block) = overrides::parse_both(overrides_json.0, overrides_json.1)?;
        Ok(Self {
            fields,
            state,
            block,
        })
    }
}

/// A request, read, and where it runs.
pub(crate) struct Call<'c> {
    pub(crate) context: BlockContext,
    /// The context's block, as far as a context cannot say what is overridden.
    block: BlockEnv,
    pub(crate) precompiles: MovedPrecompiles,
    pub(crate) state: Overlay<At<'c>>,
    pub(crate) tx: TxEnv,
    pub(crate) gas: Option<u64>,
    /// The gas limit of the block itself, whatever it is overridden with.
    ceiling: u64,
}

impl<'c> Call<'c> {
    pub(crate) fn new(
        config: &ChainConfig,
        store: &'c Store,
        request: &Request,
        number: u64,
    ) -> Result<Self> {
        let fields = Fields(&request.fields);
        let (record, at) = At::open(store, Some(number))?;
        let mut header = record.sealed.header;
        header.timestamp = request.block.time.unwrap_or(header.timestamp);
        let gas_price = fields.u128("gasPrice")?;
        let max_fee = fields.u128("maxFeePerGas")?;
        let priority_fee = fields.u128("maxPriorityFeePerGas")?;
        if gas_price.is_some() && (max_fee.is_some() || priority_fee.is_some()) {
            return Err(Error::Invalid(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) are given".into(),
            ));
        }
        let fee = gas_price.or(max_fee).or(priority_fee).unwrap_or_default();
        if fee >> MAX_FEE_BITS != 0 {
            return Err(Error::Invalid(format!("a fee is over {MAX_FEE_BITS} bits")));
        }
        let authorizations = fields.authorizations()?;
        let access_list = fields.access_list()?;
        let tx_type = match (
            !authorizations.is_empty(),
            max_fee.or(priority_fee).is_some(),
            !access_list.is_empty(),
        ) {
            (true, ..) => 4,
            (_, true, _) => 2,
            (.., true) => 1,
            _ => 0,
        };
        let tx = TxEnv {
            tx_type,
            caller: fields.address("from")?.unwrap_or_default(),
            gas_limit: 0,
            gas_price: fee,
            kind: fields.address("to")?.map_or(TxKind::Create, TxKind::Call),
            value: fields.u256("value")?.unwrap_or_default(),
            data: fields.input()?,
            nonce: fields.u64("nonce")?.unwrap_or_default(),
            chain_id: None,
            access_list,
            gas_priority_fee: (tx_type == 2 || tx_type == 4)
                .then(|| priority_fee.unwrap_or_default()),
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list: authorizations.into_iter().map(Either::Left).collect(),
        };
        let ceiling = header.gas_limit;
        let mut context = context_of(config, &header);
        let mut block = context.block_env();
        request.block.apply(&mut block)?;
        if fee == 0 {
            block.basefee = 0;
        }
        context.number = block.number.saturating_to();
        context.beneficiary = block.beneficiary;
        context.gas_limit = block.gas_limit;
        context.base_fee = block.basefee;
        context.difficulty = block.difficulty;
        context.prev_randao = block.prevrandao.unwrap_or_default();
        let mut call = Self {
            block,
            precompiles: MovedPrecompiles::new(context.spec),
            context,
            state: Overlay::new(at),
            tx,
            gas: fields.u64("gas")?,
            ceiling,
        };
        request
            .state
            .apply(&mut call.state, &mut call.precompiles)?;
        Ok(call)
    }

    /// Runs it on another state, where the overrides hold too.
    pub(crate) fn move_to(&mut self, request: &Request, state: Overlay<At<'c>>) -> Result<()> {
        self.state = state;
        self.precompiles = MovedPrecompiles::new(self.context.spec);
        request
            .state
            .apply(&mut self.state, &mut self.precompiles)?;
        Ok(())
    }

    fn run(&mut self, gas: u64) -> Result<Result<ExecutionResult, InvalidTransaction>> {
        let evm = self.context.evm(&mut self.state, unsigned);
        let mut evm = evm.with_precompiles(self.precompiles.clone());
        evm.ctx.block = self.block.clone();
        match evm.transact(TxEnv {
            gas_limit: gas,
            ..self.tx.clone()
        }) {
            Ok(outcome) => Ok(Ok(outcome.result)),
            Err(EVMError::Transaction(reason)) => Ok(Err(reason)),
            Err(EVMError::Database(error)) => Err(error),
            Err(other) => Err(Error::InvalidTransaction(other.to_string())),
        }
    }

    /// Whether the call succeeds with `gas`; a limit that is too low is no success.
    fn suffices(&mut self, gas: u64) -> Result<bool> {
        match self.run(gas)? {
            Ok(result) => Ok(result.is_success()),
            Err(
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
                | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            ) => Ok(false),
            Err(reason) => Err(self.refused(&reason)),
        }
    }

    /// The highest limit to try: the request's or the block's, as far as the sender can pay for it.
    fn highest(&mut self, gas_cap: u64) -> Result<u64> {
        let mut gas = self
            .gas
            .filter(|gas| *gas >= TX_GAS)
            .unwrap_or(self.ceiling);
        if self.context.spec.is_enabled_in(SpecId::OSAKA) {
            gas = gas.min(OSAKA_TX_GAS);
        }
        if self.tx.gas_price > 0 {
            let balance = self
                .state
                .account(self.tx.caller)?
                .unwrap_or_default()
                .balance;
            let available = balance
                .checked_sub(self.tx.value)
                .filter(|left| !left.is_zero());
            let available = available.ok_or_else(|| {
                Error::InvalidTransaction("insufficient funds for transfer".into())
            })?;
            gas = u64::try_from(available / U256::from(self.tx.gas_price))
                .map_or(gas, |allowance| gas.min(allowance));
        }
        Ok(gas.min(gas_cap))
    }

    fn refused(&self, reason: &InvalidTransaction) -> Error {
        Error::InvalidTransaction(words::refused(reason, &self.tx.caller))
    }

    fn is_plain_transfer(&mut self) -> Result<bool> {
        let TxKind::Call(to) = self.tx.kind else {
            return Ok(false);
        };
        if !self.tx.data.is_empty() {
            return Ok(false);
        }
        let account = self.state.account(to)?.unwrap_or_default();
        Ok(self.state.code_by_hash(account.code_hash)?.is_empty())
    }
}

/// What does not hold for a call that nobody signed.
pub(crate) fn unsigned(cfg: &mut CfgEnv) {
    cfg.disable_nonce_check = true;
    cfg.disable_eip3607 = true;
    cfg.disable_block_gas_limit = true;
    cfg.tx_chain_id_check = false;
    cfg.tx_gas_limit_cap = Some(u64::MAX);
}

/// A halt is no outcome: nothing was returned, not even revert data.
fn outcome(result: ExecutionResult) -> Result<Outcome> {
    let gas = result.tx_gas_used();
    match result {
        ExecutionResult::Success { output, .. } => Ok(Outcome {
            success: true,
            data: output.into_data(),
            gas,
        }),
        ExecutionResult::Revert { output, .. } => Ok(Outcome {
            success: false,
            data: output,
            gas,
        }),
        ExecutionResult::Halt { reason, .. } => Err(Error::InvalidTransaction(in_words(&reason))),
    }
}

/// As geth says it (`core/vm/errors.go`).
pub(crate) fn in_words(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound | HaltReason::NotActivated => "invalid opcode".into(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".into(),
        HaltReason::StackOverflow => "stack limit reached".into(),
        HaltReason::OutOfOffset => "return data out of bounds".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".into(),
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef".into(),
        HaltReason::StateChangeDuringStaticCall => "write protection".into(),
        other => other.to_string(),
    }
}

/// Runs an eth_call request on the state after block `number`.
pub fn call(
    config: &ChainConfig,
    store: &Store,
    request: &Request,
    number: u64,
    gas_cap: u64,
) -> Result<Outcome> {
    let mut call = Call::new(config, store, request, number)?;
    let gas = call.gas.unwrap_or(gas_cap).min(gas_cap);
    match call.run(gas)? {
        Ok(result) => outcome(result),
        Err(reason) => Err(call.refused(&reason)),
    }
}

/// Finds a gas limit that suffices, as geth does. Without success, what the call came to at the highest limit.
pub fn estimate_gas(
    config: &ChainConfig,
    store: &Store,
    request: &Request,
    number: u64,
    gas_cap: u64,
) -> Result<Outcome> {
    let mut call = Call::new(config, store, request, number)?;
    let found = |gas| {
        Ok(Outcome {
            success: true,
            data: Bytes::new(),
            gas,
        })
    };
    let mut high = call.highest(gas_cap)?;
    if call.is_plain_transfer()? && high >= TX_GAS && call.suffices(TX_GAS)? {
        return found(TX_GAS);
    }
    let exceeded =
        |gas| Error::InvalidTransaction(format!("gas required exceeds allowance ({gas})"));
    let result = match call.run(high)? {
        Ok(result) => result,
        Err(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
        ) => {
            return Err(exceeded(high));
        }
        Err(reason) => return Err(call.refused(&reason)),
    };
    match &result {
        ExecutionResult::Success { .. } => {}
        ExecutionResult::Halt {
            reason: HaltReason::OutOfGas(_),
            ..
        } => return Err(exceeded(high)),
        _ => return outcome(result),
    }
    let mut low = result.tx_gas_used().saturating_sub(1);
    let peak = result.gas().total_gas_spent().max(result.tx_gas_used());
    let optimistic = (peak + CALL_STIPEND) * 64 / 63;
    if optimistic < high {
        if call.suffices(optimistic)? {
            high = optimistic
        } else {
            low = optimistic
        }
    }
    while low + 1 < high && (high - low) as f64 / high as f64 >= ESTIMATE_SLACK {
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
        if call.suffices(middle)? {
            high = middle
        } else {
            low = middle
        }
    }
    found(high)
}

//! Blocks that others made, as Ethereum encodes them: read, checked against what their headers state, executed.
//!
//! 1. `take` reads a block (`[header, transactions, ommers, withdrawals]`), canonical bytes only, and recovers its senders.
//! 2. `check_body` holds the body against the roots in its header, `header_rules` the header against its parent.
//! 3. `execute` runs it; before Byzantium it takes the state's root after every transaction, for the receipts.
//! 4. `check_outcome` holds what came of it against the header.
//!
//! Sources: execution-specs `state_transition` and `apply_body` of each fork. Deviation: no seals (see `header_rules`).

use alloy_consensus::proofs::{calculate_ommers_root, calculate_withdrawals_root};
use alloy_consensus::{Block, Header};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use revm::primitives::hardfork::SpecId;

use crate::block::{Sealed, StoredReceipt, context_of, receipts_root, traces};
use crate::config::ChainConfig;
use crate::deposits;
use crate::executor::{BlockContext, BlockOutcome, execute_block};
use crate::state::{Overlay, StateReader};
use crate::tx::{Envelope, SenderCache, SignedTx, decode_all_any, encoded_root};

/// Largest block from Osaka on (EIP-7934): 10 MiB less 2 MiB for the beacon block around it.
const OSAKA_BLOCK_BYTES: usize = 8 << 20;
/// The ommers' depth, and how many a block may have.
const MAX_OMMERS: usize = 2;

/// A block whose bytes are in order, and whose transactions are signed.
#[derive(Debug)]
pub struct Foreign {
    pub sealed: Sealed,
    pub txs: Vec<SignedTx>,
    pub ommers: Vec<Header>,
    pub withdrawals: Option<Vec<Withdrawal>>,
    size: usize,
}

/// What came of a foreign block.
#[derive(Debug)]
pub struct Ran {
    pub txs: Vec<SignedTx>,
    pub receipts: Vec<StoredReceipt>,
    pub touched: Vec<Vec<Address>>,
    requests_hash: B256,
    gas_used: u64,
}

/// Reads the first block of `data`, and takes it off.
pub fn take(data: &mut &[u8], senders: &SenderCache) -> Result<Foreign, String> {
    let whole = *data;
    let block = Block::<Envelope>::decode(data).map_err(|error| format!("not a block: {error}"))?;
    let size = whole.len() - data.len();
    let mut again = Vec::with_capacity(size);
    block.encode(&mut again);
    if again != whole[..size] {
        return Err("a block that is not encoded canonically".into());
    }
    let number = block.header.number;
    let raws: Vec<Bytes> = block
        .body
        .transactions
        .iter()
        .map(|tx| tx.encoded_2718().into())
        .collect();
    let txs = decode_all_any(&raws, senders)
        .into_iter()
        .enumerate()
        .map(|(i, tx)| tx.map_err(|why| format!("block {number}: transaction {i}: {why}")))
        .collect::<Result<_, _>>()?;
    Ok(Foreign {
        sealed: Sealed::new(block.header),
        txs,
        ommers: block.body.ommers,
        withdrawals: block.body.withdrawals.map(|list| list.0),
        size,
    })
}

/// Holds a body against the roots in its header.
pub fn check_roots(block: &Foreign) -> Result<(), String> {
    let header = &block.sealed.header;
    let raws: Vec<&Bytes> = block.txs.iter().map(|tx| &tx.raw).collect();
    if encoded_root(&raws) != header.transactions_root {
        return Err("its transactions are not those of its root".into());
    }
    if calculate_ommers_root(&block.ommers) != header.ommers_hash || block.ommers.len() > MAX_OMMERS
    {
        return Err("its ommers are not those of its header, or too many".into());
    }
    let withdrawals = block.withdrawals.as_deref();
    if withdrawals.map(calculate_withdrawals_root) != header.withdrawals_root {
        return Err("its withdrawals are not those of its root".into());
    }
    Ok(())
}

/// Holds a body against its header, and against what its fork lets in.
pub fn check_body(config: &ChainConfig, block: &Foreign) -> Result<(), String> {
    check_roots(block)?;
    let header = &block.sealed.header;
    let spec = config.spec(header);
    if spec >= SpecId::OSAKA && block.size > OSAKA_BLOCK_BYTES {
        return Err(format!(
            "its {} bytes are over the limit of {OSAKA_BLOCK_BYTES}",
            block.size
        ));
    }
    let mut blobs = 0;
    let most = config
        .forks
        .blobs(header.timestamp)
        .map_or(0, |params| params.max_blobs_per_tx);
    for (i, tx) in block.txs.iter().enumerate() {
        let count = tx.blob_versioned_hashes().len() as u64;
        if count > most {
            return Err(format!("transaction {i} has more than {most} blobs"));
        }
        blobs += count;
        // As geth: Berlin's signatures name a chain whether or not the document schedules EIP-155.
        let protected = spec >= SpecId::BERLIN || config.forks.replay_protection(header.number);
        if tx.chain_id().is_some() && !protected {
            return Err(format!("transaction {i} names a chain before EIP-155"));
        }
        if tx.envelope.is_eip7702() && tx.authorizes_nobody() {
            return Err(format!("transaction {i} has an empty authorization list"));
        }
    }
    if spec >= SpecId::CANCUN && header.blob_gas_used != Some(blobs * DATA_GAS_PER_BLOB) {
        return Err(format!("its blob gas is not that of {blobs} blobs"));
    }
    Ok(())
}

/// Runs a block on `state`. `root_after` makes a block of the changes so far and tells the state's root; it is called after each
/// transaction before Byzantium.
pub fn execute<R: StateReader>(
    config: &ChainConfig,
    block: &mut Foreign,
    state: &mut Overlay<R>,
    mut root_after: impl FnMut(&mut Overlay<R>) -> Result<B256, R::Error>,
) -> Result<Result<Ran, String>, R::Error> {
    let context = context_of(config, &block.sealed.header);
    state.keep_empty = context.spec < SpecId::SPURIOUS_DRAGON;
    let txs = core::mem::take(&mut block.txs);
    let withdrawals = block.withdrawals.as_deref().unwrap_or_default();
    let ran = if context.spec >= SpecId::BYZANTIUM {
        let mut outcome = execute_block(&context, state, txs.into_iter().map(Ok), withdrawals)?;
        if let Some(why) = skipped(&outcome, 0) {
            return Ok(Err(why));
        }
        // EIP-7002 and EIP-7251: a block is invalid without their contracts.
        if let Some(contract) = outcome.silent {
            return Ok(Err(format!(
                "the system contract {contract} is not there, or failed"
            )));
        }
        let (receipts, touched) = traces(&mut outcome);
        let mut requests = core::mem::take(&mut outcome.requests);
        if context.spec >= SpecId::PRAGUE
            && let Some(contract) = config.forks.deposit_contract()
        {
            let logs = receipts.iter().flat_map(|receipt| &receipt.logs);
            requests = match deposits::before(requests, contract, logs) {
                Ok(requests) => requests,
                Err(why) => return Ok(Err(why)),
            };
        }
        Ran {
            receipts,
            touched,
            txs: outcome.txs,
            requests_hash: requests.requests_hash(),
            gas_used: outcome.gas_used,
        }
    } else {
        match one_by_one(&context, state, txs, &mut root_after)? {
            Ok(ran) => ran,
            Err(why) => return Ok(Err(why)),
        }
    };
    if context.spec < SpecId::MERGE {
        pay_miners(config, block, state)?;
    }
    Ok(Ok(ran))
}

fn skipped(outcome: &BlockOutcome, first: usize) -> Option<String> {
    let (position, why) = outcome.skipped.first()?;
    Some(format!("transaction {}: {why}", first + position))
}

/// Before Byzantium: each transaction as a block of its own, because its receipt states the root after it.
fn one_by_one<R: StateReader>(
    context: &BlockContext,
    state: &mut Overlay<R>,
    txs: Vec<SignedTx>,
    root_after: &mut impl FnMut(&mut Overlay<R>) -> Result<B256, R::Error>,
) -> Result<Result<Ran, String>, R::Error> {
    let mut ran = Ran {
        txs: Vec::with_capacity(txs.len()),
        receipts: Vec::with_capacity(txs.len()),
        touched: Vec::with_capacity(txs.len()),
        requests_hash: B256::ZERO,
        gas_used: 0,
    };
    for (i, tx) in txs.into_iter().enumerate() {
        let left = context.gas_limit - ran.gas_used;
        if tx.gas_limit() > left {
            return Ok(Err(format!(
                "transaction {i}: its gas limit is over the {left} that the block has left"
            )));
        }
        let mut outcome = execute_block(context, state, [Ok(tx)], &[])?;
        if let Some(why) = skipped(&outcome, i) {
            return Ok(Err(why));
        }
        let root = root_after(state)?;
        let before = ran.gas_used;
        ran.gas_used += outcome.gas_used;
        let (receipts, mut touched) = traces(&mut outcome);
        ran.touched.append(&mut touched);
        ran.receipts
            .extend(receipts.into_iter().map(|receipt| StoredReceipt {
                cumulative_gas_used: before + receipt.cumulative_gas_used,
                state_root: Some(root),
                ..receipt
            }));
        ran.txs.append(&mut outcome.txs);
    }
    Ok(Ok(ran))
}

/// The miner's reward, a 32nd of it more for each ommer, and what the ommers' miners get.
fn pay_miners<R: StateReader>(
    config: &ChainConfig,
    block: &Foreign,
    state: &mut Overlay<R>,
) -> Result<(), R::Error> {
    let header = &block.sealed.header;
    let reward = config.forks.reward(header.number);
    for ommer in &block.ommers {
        let share = U256::from((ommer.number + 8).saturating_sub(header.number));
        state.credit(ommer.beneficiary, reward * share / U256::from(8))?;
    }
    let more = reward * U256::from(block.ommers.len()) / U256::from(32);
    state.credit(header.beneficiary, reward + more)
}

/// Holds what came of a block against what its header states.
pub fn check_outcome(
    config: &ChainConfig,
    header: &Header,
    ran: &Ran,
    state_root: B256,
) -> Result<(), String> {
    if ran.gas_used != header.gas_used {
        return Err(format!(
            "it used {} gas, not the {} that it states",
            ran.gas_used, header.gas_used
        ));
    }
    let (root, bloom) = receipts_root(&ran.receipts);
    if root != header.receipts_root || bloom != header.logs_bloom {
        return Err("its receipts or its bloom are not what it states".into());
    }
    if config.spec(header) >= SpecId::PRAGUE && header.requests_hash != Some(ran.requests_hash) {
        return Err("its requests are not what it states".into());
    }
    if state_root != header.state_root {
        return Err(format!(
            "its state root is {state_root}, not the {} that it states",
            header.state_root
        ));
    }
    Ok(())
}

//! Blocks: what is asked of one, what came of it, and its exact header.

use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::proofs::calculate_withdrawals_root;
use alloy_consensus::{Header, Typed2718};
use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B64, B256, BlockHash, Bloom, Bytes, Log, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use revm::primitives::eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE;

use crate::config::ChainConfig;
use crate::executor::{BlockContext, BlockOutcome};
use crate::roots::{blooms, ordered_root};
use crate::tx::SignedTx;

/// A header and its hash.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub header: Header,
    pub hash: BlockHash,
}

impl Sealed {
    pub fn new(header: Header) -> Self {
        let hash = header.hash_slow();
        Self { header, hash }
    }

    /// Parses a header's canonical RLP.
    pub fn decode(rlp: &[u8]) -> Result<Self, String> {
        use alloy_rlp::Decodable;
        let mut rest = rlp;
        let header = Header::decode(&mut rest).map_err(|error| format!("not a header: {error}"))?;
        if !rest.is_empty() || alloy_rlp::encode(&header) != rlp {
            return Err("a header that is not encoded canonically".into());
        }
        Ok(Self::new(header))
    }

    /// The header of a block in Ethereum's encoding; the rest of it is not looked at.
    pub fn of_block(rlp: &[u8]) -> Result<Self, String> {
        let mut rest = rlp;
        let damaged = |error| format!("not a block: {error}");
        alloy_rlp::Header::decode(&mut rest).map_err(damaged)?;
        let start = rest;
        let header = alloy_rlp::Header::decode(&mut rest).map_err(damaged)?;
        let length = start.len() - rest.len() + header.payload_length;
        Self::decode(start.get(..length).ok_or("not a block: it is cut off")?)
    }

    /// Up to where the inbox is consumed: the 8 bytes of a rollup block's `extra_data`; 0 for the genesis block and for
    /// blocks of a chain without an inbox.
    pub fn inbox_end(&self) -> u64 {
        match <[u8; 8]>::try_from(self.header.extra_data.as_ref()) {
            Ok(bytes) if self.header.number > 0 => u64::from_be_bytes(bytes),
            _ => 0,
        }
    }
}

/// What a block is to contain. `txs` that did not decode are skipped with their reasons.
#[derive(Debug, Default)]
pub struct Plan {
    pub timestamp: u64,
    pub beneficiary: Address,
    pub extra_data: Bytes,
    pub txs: Vec<Result<SignedTx, String>>,
    /// How many of `txs`, from the front, are forced transactions.
    pub forced: usize,
    pub withdrawals: Vec<Withdrawal>,
}

/// A receipt as stored: the bloom follows from the logs.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct StoredReceipt {
    pub tx_type: u8,
    pub success: bool,
    pub cumulative_gas_used: u64,
    pub logs: Vec<Log>,
    /// The state root after the transaction, which receipts before Byzantium show instead of `success`.
    pub state_root: Option<B256>,
}

impl StoredReceipt {
    pub fn bloom(&self) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for log in &self.logs {
            bloom.accrue_log(log);
        }
        bloom
    }

    /// The EIP-2718 encoding that the receipts root is made of.
    pub fn encode_2718(&self, bloom: &Bloom, out: &mut Vec<u8>) {
        use alloy_rlp::Encodable;
        if self.tx_type != 0 {
            out.push(self.tx_type);
        }
        let outcome: &dyn Encodable = match &self.state_root {
            Some(root) => root,
            None => &self.success,
        };
        let payload_length = outcome.length()
            + self.cumulative_gas_used.length()
            + bloom.length()
            + self.logs.length();
        alloy_rlp::Header {
            list: true,
            payload_length,
        }
        .encode(out);
        outcome.encode(out);
        self.cumulative_gas_used.encode(out);
        bloom.encode(out);
        self.logs.encode(out);
    }
}

/// A block that was executed, complete.
#[derive(Debug)]
pub struct Executed {
    pub sealed: Sealed,
    pub txs: Vec<SignedTx>,
    pub receipts: Vec<StoredReceipt>,
    /// Of each transaction: the accounts that it called, paid or created (`index::touched`).
    pub touched: Vec<Vec<Address>>,
    /// The wei of a unit of blob gas in it; 0 before there are blobs.
    pub blob_price: u128,
    pub ommers: Vec<Header>,
    pub withdrawals: Vec<Withdrawal>,
    /// How many of `txs`, from the front, came through the inbox.
    pub forced: usize,
    pub outbox_root: B256,
    pub included: Vec<usize>,
    pub skipped: Vec<(usize, String)>,
}

impl Executed {
    /// A block that nothing was executed for: a genesis block.
    pub fn empty(sealed: Sealed, outbox_root: B256) -> Self {
        Self {
            sealed,
            txs: Vec::new(),
            receipts: Vec::new(),
            touched: Vec::new(),
            blob_price: 0,
            ommers: Vec::new(),
            withdrawals: Vec::new(),
            forced: 0,
            outbox_root,
            included: Vec::new(),
            skipped: Vec::new(),
        }
    }
}

/// The execution context of a block with this header.
pub fn context_of(config: &ChainConfig, header: &Header) -> BlockContext {
    BlockContext {
        chain_id: config.chain_id,
        spec: config.spec(header),
        number: header.number,
        timestamp: header.timestamp,
        beneficiary: header.beneficiary,
        gas_limit: header.gas_limit,
        base_fee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: header.difficulty,
        prev_randao: header.mix_hash,
        parent_hash: header.parent_hash,
        parent_beacon_block_root: header.parent_beacon_block_root.unwrap_or_default(),
        excess_blob_gas: header.excess_blob_gas.unwrap_or_default(),
        blob_fraction: blob_fraction(config, header.timestamp),
    }
}

fn blob_fraction(config: &ChainConfig, timestamp: u64) -> u64 {
    let params = config.forks.blobs(timestamp);
    params.map_or(BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE, |params| {
        params.update_fraction as u64
    })
}

/// The execution context of the block that follows `parent` on a chain of our own.
pub fn context(config: &ChainConfig, parent: &Sealed, plan: &Plan) -> BlockContext {
    let header = &parent.header;
    BlockContext {
        chain_id: config.chain_id,
        spec: config
            .forks
            .spec(header.number + 1, plan.timestamp, U256::ZERO),
        number: header.number + 1,
        timestamp: plan.timestamp,
        beneficiary: plan.beneficiary,
        gas_limit: config.gas_limit,
        base_fee: next_base_fee(header),
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        parent_hash: parent.hash,
        parent_beacon_block_root: B256::ZERO,
        excess_blob_gas: 0,
        blob_fraction: blob_fraction(config, plan.timestamp),
    }
}

/// EIP-1559's base fee of the block after `parent`.
pub fn next_base_fee(parent: &Header) -> u64 {
    let base_fee = parent.base_fee_per_gas.unwrap_or_default();
    calc_next_block_base_fee(
        parent.gas_used,
        parent.gas_limit,
        base_fee,
        BaseFeeParams::ethereum(),
    )
}

/// What a block's transactions leave: their receipts, and the accounts that each touched.
pub fn traces(outcome: &mut BlockOutcome) -> (Vec<StoredReceipt>, Vec<Vec<Address>>) {
    let outcomes = core::mem::take(&mut outcome.outcomes);
    outcome
        .txs
        .iter()
        .zip(outcomes)
        .map(|(tx, outcome)| {
            let receipt = StoredReceipt {
                tx_type: tx.envelope.ty(),
                success: outcome.success,
                cumulative_gas_used: outcome.cumulative_gas_used,
                logs: outcome.logs,
                state_root: None,
            };
            (receipt, outcome.touched)
        })
        .unzip()
}

/// The receipts root of a block, and the bloom of all its logs.
pub fn receipts_root(receipts: &[StoredReceipt]) -> (B256, Bloom) {
    let blooms = blooms(receipts);
    let logs_bloom = blooms.iter().fold(Bloom::ZERO, |all, bloom| all | *bloom);
    let with_blooms: Vec<(&StoredReceipt, &Bloom)> = receipts.iter().zip(&blooms).collect();
    let root = ordered_root(&with_blooms, |(receipt, bloom), out| {
        receipt.encode_2718(bloom, out)
    });
    (root, logs_bloom)
}

/// What of a block does not depend on its state.
pub struct Body {
    receipts: Vec<StoredReceipt>,
    touched: Vec<Vec<Address>>,
    receipts_root: B256,
    logs_bloom: Bloom,
    transactions_root: B256,
}

impl Body {
    /// Takes the receipts out of `outcome`.
    pub fn of(outcome: &mut BlockOutcome) -> Self {
        let (receipts, touched) = traces(outcome);
        let txs = &outcome.txs;
        let of_txs = || ordered_root(txs, |tx, out| out.extend_from_slice(&tx.raw));
        let ((receipts_root, logs_bloom), transactions_root) =
            side_by_side(txs.len(), || receipts_root(&receipts), of_txs);
        Self {
            receipts,
            touched,
            receipts_root,
            logs_bloom,
            transactions_root,
        }
    }
}

/// Does both, on two cores if a block of so many transactions is worth it.
pub fn side_by_side<A: Send, B: Send>(
    txs: usize,
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B + Send,
) -> (A, B) {
    if txs < 32 {
        (one(), other())
    } else {
        rayon::join(one, other)
    }
}

/// Seals what came of a block.
pub fn assemble(
    context: &BlockContext,
    plan: Plan,
    outcome: BlockOutcome,
    body: Body,
    state_root: B256,
    outbox_root: B256,
) -> Executed {
    let header = Header {
        parent_hash: context.parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: context.beneficiary,
        state_root,
        transactions_root: body.transactions_root,
        receipts_root: body.receipts_root,
        logs_bloom: body.logs_bloom,
        difficulty: U256::ZERO,
        number: context.number,
        gas_limit: context.gas_limit,
        gas_used: outcome.gas_used,
        timestamp: context.timestamp,
        extra_data: plan.extra_data,
        mix_hash: context.prev_randao,
        nonce: B64::ZERO,
        base_fee_per_gas: Some(context.base_fee),
        withdrawals_root: Some(calculate_withdrawals_root(&plan.withdrawals)),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(context.excess_blob_gas),
        parent_beacon_block_root: Some(context.parent_beacon_block_root),
        requests_hash: Some(outcome.requests.requests_hash()),
        ..Default::default()
    };
    let forced = outcome
        .included
        .iter()
        .filter(|position| **position < plan.forced)
        .count();
    Executed {
        sealed: Sealed::new(header),
        txs: outcome.txs,
        receipts: body.receipts,
        touched: body.touched,
        blob_price: context.blob_price(),
        ommers: Vec::new(),
        withdrawals: plan.withdrawals,
        forced,
        outbox_root,
        included: outcome.included,
        skipped: outcome.skipped,
    }
}

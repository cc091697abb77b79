//! What a header may say after its parent, as far as no execution is needed to know it.
//!
//! Sources: execution-specs `validate_header` and `check_gas_limit` of each fork, `calculate_block_difficulty`; EIP-1559, EIP-3675,
//! EIP-4844, EIP-7918. The seal of a proof-of-work header (its nonce against its difficulty) is not checked: those blocks have to
//! come from somebody who is trusted with them.

use alloy_consensus::Header;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_primitives::{B64, U256};
use revm::primitives::hardfork::SpecId;

use crate::block::next_base_fee;
use crate::config::ChainConfig;
use crate::forks::Forks;

const MAX_EXTRA_DATA: usize = 32;
const MIN_GAS_LIMIT: u64 = 5_000;
const MIN_DIFFICULTY: u64 = 131_072;
const INITIAL_BASE_FEE: u64 = 1_000_000_000;

/// The error says which rule `header` breaks.
pub fn check(config: &ChainConfig, parent: &Header, header: &Header) -> Result<(), String> {
    let spec = config.spec(header);
    if header.number != parent.number + 1 {
        return Err(format!("it does not follow block {}", parent.number));
    }
    if header.timestamp <= parent.timestamp {
        return Err(format!(
            "its timestamp {} is not after its parent's, {}",
            header.timestamp, parent.timestamp
        ));
    }
    if header.extra_data.len() > MAX_EXTRA_DATA {
        return Err("its extra data is longer than 32 bytes".into());
    }
    difficulty(config, spec, parent, header)?;
    fields(spec, header)?;
    gas(config, spec, parent, header)?;
    blob_gas(config, spec, parent, header)
}

/// Exactly the fields that its fork has.
fn fields(spec: SpecId, header: &Header) -> Result<(), String> {
    let cancun = spec >= SpecId::CANCUN;
    let wanted = [
        (
            "baseFeePerGas",
            header.base_fee_per_gas.is_some(),
            spec >= SpecId::LONDON,
        ),
        (
            "withdrawalsRoot",
            header.withdrawals_root.is_some(),
            spec >= SpecId::SHANGHAI,
        ),
        ("blobGasUsed", header.blob_gas_used.is_some(), cancun),
        ("excessBlobGas", header.excess_blob_gas.is_some(), cancun),
        (
            "parentBeaconBlockRoot",
            header.parent_beacon_block_root.is_some(),
            cancun,
        ),
        (
            "requestsHash",
            header.requests_hash.is_some(),
            spec >= SpecId::PRAGUE,
        ),
        (
            "blockAccessListHash",
            header.block_access_list_hash.is_some(),
            false,
        ),
        ("slotNumber", header.slot_number.is_some(), false),
    ];
    for (name, there, due) in wanted {
        if there != due {
            let verb = if due { "lacks" } else { "has" };
            return Err(format!("under {spec} rules it {verb} {name}"));
        }
    }
    Ok(())
}

fn gas(config: &ChainConfig, spec: SpecId, parent: &Header, header: &Header) -> Result<(), String> {
    if header.gas_used > header.gas_limit {
        return Err("it uses more gas than its limit".into());
    }
    let starts = spec >= SpecId::LONDON && config.spec(parent) < SpecId::LONDON;
    let before = parent.gas_limit.saturating_mul(if starts { 2 } else { 1 });
    let change = header.gas_limit.abs_diff(before);
    if change >= before / 1024 || !(MIN_GAS_LIMIT..=i64::MAX as u64).contains(&header.gas_limit) {
        return Err(format!(
            "its gas limit {} is too far from {before}, or out of range",
            header.gas_limit
        ));
    }
    if header.base_fee_per_gas != base_fee(config, spec, parent) {
        return Err("its base fee does not follow from its parent's".into());
    }
    Ok(())
}

/// EIP-1559's base fee of a block of `spec` after `parent`.
fn base_fee(config: &ChainConfig, spec: SpecId, parent: &Header) -> Option<u64> {
    if spec < SpecId::LONDON {
        None
    } else if config.spec(parent) < SpecId::LONDON {
        Some(INITIAL_BASE_FEE)
    } else {
        Some(next_base_fee(parent))
    }
}

/// What gas costs in a block and in the one after it, in wei; zero where the rules know no such fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fees {
    pub base_fee: u64,
    pub next_base_fee: u64,
    pub blob_fee: u128,
    pub next_blob_fee: u128,
    /// The most blob gas that the block may use.
    pub blob_gas_limit: u64,
}

/// The fees of a block and of one that would follow it within its own second.
pub fn fees(config: &ChainConfig, header: &Header) -> Fees {
    let next_spec = config
        .forks
        .spec(header.number + 1, header.timestamp, header.difficulty);
    let params = config
        .forks
        .blobs(header.timestamp)
        .filter(|_| header.excess_blob_gas.is_some());
    let blob_fee = |excess: u64| params.map_or(0, |params| params.calc_blob_fee(excess));
    Fees {
        base_fee: header.base_fee_per_gas.unwrap_or_default(),
        next_base_fee: base_fee(config, next_spec, header).unwrap_or_default(),
        blob_fee: blob_fee(header.excess_blob_gas.unwrap_or_default()),
        next_blob_fee: blob_fee(next_excess_blob_gas(config, header, header.timestamp)),
        blob_gas_limit: params.map_or(0, |params| params.max_blob_gas_per_block()),
    }
}

fn difficulty(
    config: &ChainConfig,
    spec: SpecId,
    parent: &Header,
    header: &Header,
) -> Result<(), String> {
    if spec < SpecId::MERGE {
        if parent.difficulty.is_zero() {
            return Err("it has a difficulty after the merge".into());
        }
        let wanted = next_difficulty(&config.forks, spec, parent, header.timestamp);
        if header.difficulty != wanted {
            return Err(format!("its difficulty is not {wanted}"));
        }
        return Ok(());
    }
    if !header.difficulty.is_zero()
        || header.nonce != B64::ZERO
        || header.ommers_hash != EMPTY_OMMER_ROOT_HASH
    {
        return Err("after the merge it has a difficulty, a nonce or ommers".into());
    }
    Ok(())
}

/// The difficulty of the proof-of-work block after `parent`.
fn next_difficulty(forks: &Forks, spec: SpecId, parent: &Header, timestamp: u64) -> U256 {
    let seconds = (timestamp - parent.timestamp).min(1 << 20) as i64;
    let steps = if spec >= SpecId::BYZANTIUM {
        let ommers = i64::from(parent.ommers_hash != EMPTY_OMMER_ROOT_HASH);
        (1 + ommers - seconds / 9).max(-99)
    } else if spec >= SpecId::HOMESTEAD {
        (1 - seconds / 10).max(-99)
    } else if seconds < 13 {
        1
    } else {
        -1
    };
    let by = parent.difficulty / U256::from(2048) * U256::from(steps.unsigned_abs());
    let moved = match steps >= 0 {
        true => parent.difficulty.saturating_add(by),
        false => parent.difficulty.saturating_sub(by),
    };
    let number = parent.number + 1;
    let period = number.saturating_sub(forks.bomb_delay(number)) / 100_000;
    let bomb = match period.checked_sub(2) {
        Some(exponent) => U256::from(1) << exponent.min(255),
        None => U256::ZERO,
    };
    moved.max(U256::from(MIN_DIFFICULTY)).saturating_add(bomb)
}

fn blob_gas(
    config: &ChainConfig,
    spec: SpecId,
    parent: &Header,
    header: &Header,
) -> Result<(), String> {
    if spec < SpecId::CANCUN {
        return Ok(());
    }
    let excess = next_excess_blob_gas(config, parent, header.timestamp);
    if header.excess_blob_gas != Some(excess) {
        return Err(format!("its excess blob gas is not {excess}"));
    }
    let most = config
        .forks
        .blobs(header.timestamp)
        .map_or(0, |params| params.max_blob_gas_per_block());
    if header.blob_gas_used.unwrap_or_default() > most {
        return Err(format!("its blobs use more than {most} gas"));
    }
    Ok(())
}

/// EIP-4844's excess blob gas of a block at `timestamp` after `parent`, by the parameters of that block's own time (EIP-7840); from
/// Osaka on with EIP-7918's reserve price.
pub fn next_excess_blob_gas(config: &ChainConfig, parent: &Header, timestamp: u64) -> u64 {
    let Some(params) = config.forks.blobs(timestamp) else {
        return 0;
    };
    params.next_block_excess_blob_gas_osaka(
        parent.excess_blob_gas.unwrap_or_default(),
        parent.blob_gas_used.unwrap_or_default(),
        parent.base_fee_per_gas.unwrap_or_default(),
    )
}

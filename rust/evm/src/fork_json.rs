//! A chain's fork schedule as JSON-RPC tells it.
//!
//! Sources: EIP-7910 (`eth_config`: names of precompiles and system contracts), EIP-6122 (the fork identifier). Times count: a chain
//! that has not come to Shanghai shows its rules with activation time 0.

use alloy_eips::eip2124::ForkHash;
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_primitives::{Address, B256, U256};
use revm::primitives::hardfork::SpecId;
use serde_json::{Map, Value, json};

use crate::config::ChainConfig;
use crate::json::{hex, to_bytes};

const PRECOMPILES: [(SpecId, &str, u64); 18] = [
    (SpecId::FRONTIER, "ECREC", 1),
    (SpecId::FRONTIER, "SHA256", 2),
    (SpecId::FRONTIER, "RIPEMD160", 3),
    (SpecId::FRONTIER, "ID", 4),
    (SpecId::BYZANTIUM, "MODEXP", 5),
    (SpecId::BYZANTIUM, "BN254_ADD", 6),
    (SpecId::BYZANTIUM, "BN254_MUL", 7),
    (SpecId::BYZANTIUM, "BN254_PAIRING", 8),
    (SpecId::ISTANBUL, "BLAKE2F", 9),
    (SpecId::CANCUN, "KZG_POINT_EVALUATION", 0x0a),
    (SpecId::PRAGUE, "BLS12_G1ADD", 0x0b),
    (SpecId::PRAGUE, "BLS12_G1MSM", 0x0c),
    (SpecId::PRAGUE, "BLS12_G2ADD", 0x0d),
    (SpecId::PRAGUE, "BLS12_G2MSM", 0x0e),
    (SpecId::PRAGUE, "BLS12_PAIRING_CHECK", 0x0f),
    (SpecId::PRAGUE, "BLS12_MAP_FP_TO_G1", 0x10),
    (SpecId::PRAGUE, "BLS12_MAP_FP2_TO_G2", 0x11),
    (SpecId::OSAKA, "P256VERIFY", 0x100),
];

const SYSTEM_CONTRACTS: [(SpecId, &str, Address); 4] = [
    (
        SpecId::CANCUN,
        "BEACON_ROOTS_ADDRESS",
        eip4788::BEACON_ROOTS_ADDRESS,
    ),
    (
        SpecId::PRAGUE,
        "CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS",
        eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    ),
    (
        SpecId::PRAGUE,
        "HISTORY_STORAGE_ADDRESS",
        eip2935::HISTORY_STORAGE_ADDRESS,
    ),
    (
        SpecId::PRAGUE,
        "WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS",
        eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    ),
];

/// eth_config's result at a head with this timestamp, on the chain with this genesis block.
pub fn config(
    config: &ChainConfig,
    genesis: (B256, u64),
    (number, timestamp): (u64, u64),
) -> Vec<u8> {
    let mut times: Vec<u64> = config
        .forks
        .by_time()
        .into_iter()
        .filter_map(|(_, time)| time)
        .collect();
    times.retain(|time| *time > genesis.1);
    times.sort_unstable();
    times.dedup();
    let current = times.iter().rev().find(|time| **time <= timestamp);
    let next = times.iter().find(|time| **time > timestamp);
    let last = times.last().filter(|time| **time > timestamp);
    let show = |time: &u64| fork(config, genesis, number, *time);
    to_bytes(&json!({
        "current": show(current.unwrap_or(&0)),
        "next": next.map(show),
        "last": last.map(show),
    }))
}

fn fork(config: &ChainConfig, genesis: (B256, u64), number: u64, activation: u64) -> Value {
    let time = activation.max(genesis.1);
    let spec = config.forks.spec(number, time, U256::ZERO);
    let precompiles: Map<String, Value> = PRECOMPILES
        .iter()
        .filter(|(since, ..)| spec >= *since)
        .map(|(_, name, place)| {
            let address = Address::left_padding_from(&place.to_be_bytes());
            ((*name).into(), json!(address))
        })
        .collect();
    let mut contracts: Map<String, Value> = SYSTEM_CONTRACTS
        .iter()
        .filter(|(since, ..)| spec >= *since)
        .map(|(_, name, address)| ((*name).into(), json!(address)))
        .collect();
    if spec >= SpecId::PRAGUE
        && let Some(address) = config.forks.deposit_contract()
    {
        contracts.insert("DEPOSIT_CONTRACT_ADDRESS".into(), json!(address));
    }
    let blobs = config.forks.blobs(time).map(|params| {
        json!({
            "target": params.target_blob_count,
            "max": params.max_blob_count,
            "baseFeeUpdateFraction": params.update_fraction as u64,
        })
    });
    json!({
        "activationTime": activation,
        "blobSchedule": blobs,
        "chainId": hex(config.chain_id),
        "forkId": fork_id(config, genesis, time),
        "precompiles": precompiles,
        "systemContracts": contracts,
    })
}

/// EIP-6122: over the genesis block's hash, the blocks and then the times of the forks that are active at `time`.
fn fork_id(config: &ChainConfig, genesis: (B256, u64), time: u64) -> Value {
    let by_block = config.forks.by_block();
    let by_time = config.forks.by_time();
    let mut blocks: Vec<u64> = by_block.iter().filter_map(|(_, block)| *block).collect();
    let mut times: Vec<u64> = by_time.iter().filter_map(|(_, time)| *time).collect();
    blocks.retain(|block| *block > 0);
    times.retain(|fork| *fork > genesis.1 && *fork <= time);
    for forks in [&mut blocks, &mut times] {
        forks.sort_unstable();
        forks.dedup();
    }
    let mut id = ForkHash::from(genesis.0);
    for fork in blocks.into_iter().chain(times) {
        id += fork;
    }
    json!(alloy_primitives::FixedBytes::<4>::from(id.0))
}

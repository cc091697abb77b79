//! What a chain is, read from a geth-style genesis document.
//!
//! Prague is the oldest fork that we run, Osaka (from `config.osakaTime` on) the newest. A document that asks for another
//! one is refused, because a chain that runs other rules than its document says is worse than none.

use alloy_consensus::Header;
use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, B64, B256, U256, address, keccak256};
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Where the outbox predeploy of a rollup lives (docs/spec/derivation.md).
pub const OUTBOX: Address = address!("d0d0000000000000000000000000000000000001");
const INITIAL_BASE_FEE: u64 = 1_000_000_000;

/// The constants of a chain.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    pub chain_id: u64,
    pub osaka_time: Option<u64>,
    /// Every block's gas limit.
    pub gas_limit: u64,
    /// Who earns the fees of a rollup's blocks.
    pub fee_recipient: Address,
    /// The storage slot of `OUTBOX` that holds the outbox root.
    pub outbox_slot: U256,
}

impl ChainConfig {
    pub fn spec(&self, timestamp: u64) -> SpecId {
        match self.osaka_time {
            Some(time) if timestamp >= time => SpecId::OSAKA,
            _ => SpecId::PRAGUE,
        }
    }

    /// A hash over everything in the document that the genesis block's hash does not cover.
    pub fn fingerprint(&self) -> B256 {
        keccak256(format!(
            "{} {:?} {} {} {}",
            self.chain_id, self.osaka_time, self.gas_limit, self.fee_recipient, self.outbox_slot
        ))
    }
}

/// A parsed genesis document.
#[derive(Clone, Debug)]
pub struct GenesisDocument {
    pub config: ChainConfig,
    /// The genesis header, complete but for its state root.
    pub header: Header,
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

fn refuse<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::Genesis(why.into()))
}

impl GenesisDocument {
    pub fn parse(json: &str) -> Result<Self> {
        let genesis: Genesis = serde_json::from_str(json).map_err(|error| {
            Error::Genesis(format!("the genesis document does not parse: {error}"))
        })?;
        let config = chain_config(&genesis)?;
        for (address, account) in &genesis.alloc {
            let has_code = account.code.as_ref().is_some_and(|code| !code.is_empty());
            let has_storage = account
                .storage
                .as_ref()
                .is_some_and(|slots| slots.values().any(|value| !value.is_zero()));
            if has_storage && !has_code && account.nonce.unwrap_or(0) == 0 {
                // EIP-7610: a later contract creation at this address would have to inherit or lose the storage.
                return refuse(format!(
                    "genesis account {address} has storage but neither code nor nonce"
                ));
            }
        }
        let base_fee = match genesis.base_fee_per_gas {
            None => INITIAL_BASE_FEE,
            Some(fee) => u64::try_from(fee)
                .or_else(|_| refuse("the genesis base fee does not fit into 64 bits"))?,
        };
        let header = Header {
            parent_hash: B256::ZERO,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: genesis.coinbase,
            state_root: EMPTY_ROOT_HASH,
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            difficulty: genesis.difficulty,
            number: 0,
            gas_limit: genesis.gas_limit,
            timestamp: genesis.timestamp,
            extra_data: genesis.extra_data,
            mix_hash: genesis.mix_hash,
            nonce: B64::from(genesis.nonce),
            base_fee_per_gas: Some(base_fee),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Default::default()
        };
        Ok(Self {
            config,
            header,
            alloc: genesis.alloc,
        })
    }
}

fn chain_config(genesis: &Genesis) -> Result<ChainConfig> {
    let config = &genesis.config;
    let by_block = [
        ("homesteadBlock", config.homestead_block),
        ("daoForkBlock", config.dao_fork_block),
        ("eip150Block", config.eip150_block),
        ("eip155Block", config.eip155_block),
        ("eip158Block", config.eip158_block),
        ("byzantiumBlock", config.byzantium_block),
        ("constantinopleBlock", config.constantinople_block),
        ("petersburgBlock", config.petersburg_block),
        ("istanbulBlock", config.istanbul_block),
        ("muirGlacierBlock", config.muir_glacier_block),
        ("berlinBlock", config.berlin_block),
        ("londonBlock", config.london_block),
        ("arrowGlacierBlock", config.arrow_glacier_block),
        ("grayGlacierBlock", config.gray_glacier_block),
        ("mergeNetsplitBlock", config.merge_netsplit_block),
    ];
    for (name, block) in by_block {
        if block.is_some_and(|block| block != 0) {
            return refuse(format!(
                "config.{name} must be 0: every fork up to Prague is active from genesis"
            ));
        }
    }
    for (name, time) in [
        ("shanghaiTime", config.shanghai_time),
        ("cancunTime", config.cancun_time),
    ] {
        if time.is_some_and(|time| time > genesis.timestamp) {
            return refuse(format!(
                "config.{name} must not lie after the genesis timestamp"
            ));
        }
    }
    match config.prague_time {
        Some(time) if time <= genesis.timestamp => {}
        _ => {
            return refuse(
                "config.pragueTime must be set and must not lie after the genesis timestamp",
            );
        }
    }
    for (name, time) in [
        ("amsterdamTime", config.amsterdam_time),
        ("bogotaTime", config.bogota_time),
    ] {
        if time.is_some() {
            return refuse(format!(
                "config.{name}: Osaka is the newest fork that is run"
            ));
        }
    }
    if config
        .terminal_total_difficulty
        .is_some_and(|difficulty| !difficulty.is_zero())
    {
        return refuse(
            "config.terminalTotalDifficulty must be 0: the chain starts after the merge",
        );
    }
    if config
        .deposit_contract_address
        .is_some_and(|address| !address.is_zero())
    {
        return refuse(
            "config.depositContractAddress must be absent: validator deposits (EIP-6110) have no meaning here",
        );
    }
    if genesis.number.unwrap_or(0) != 0 {
        return refuse("the genesis block's number must be 0");
    }
    if !(5_000..=i64::MAX as u64).contains(&genesis.gas_limit) {
        return refuse("gasLimit must be at least 5000 and below 2^63");
    }
    Ok(ChainConfig {
        chain_id: config.chain_id,
        osaka_time: config.osaka_time,
        gas_limit: genesis.gas_limit,
        fee_recipient: genesis.coinbase,
        outbox_slot: outbox_slot(genesis)?,
    })
}

fn outbox_slot(genesis: &Genesis) -> Result<U256> {
    let Some(ours) = genesis.config.extra_fields.get("dougong") else {
        return Ok(U256::ZERO);
    };
    match ours.get("outboxSlot") {
        None => Ok(U256::ZERO),
        Some(value) => crate::quantity::u256(value).map_or_else(
            || refuse("config.dougong.outboxSlot must be an integer or a hex quantity"),
            Ok,
        ),
    }
}

//! What a chain is, read from a geth-style genesis document.
//!
//! For chains of our own, Prague is the oldest fork that we run, Osaka (from `config.osakaTime` on) the newest. A document that
//! asks for another one is refused, because a chain that runs other rules than its document says is worse than none. A chain
//! that is imported, whose blocks others made, may go through any forks from Frontier to Osaka and its blob schedule.

use alloy_consensus::Header;
use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, B64, B256, U256, address, keccak256};
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::forks::Forks;

/// Where the outbox predeploy of a rollup lives (docs/spec/derivation.md).
pub const OUTBOX: Address = address!("d0d0000000000000000000000000000000000001");
const INITIAL_BASE_FEE: u64 = 1_000_000_000;

/// The constants of a chain.
#[derive(Clone, Debug)]
pub struct ChainConfig {
    pub chain_id: u64,
    pub forks: Forks,
    /// Its blocks are others': they are imported, never built.
    pub imported: bool,
    /// Every block's gas limit, where we build them.
    pub gas_limit: u64,
    /// Who earns the fees of a rollup's blocks.
    pub fee_recipient: Address,
    /// The storage slot of `OUTBOX` that holds the outbox root.
    pub outbox_slot: U256,
}

impl ChainConfig {
    /// The rules of a block with this header.
    pub fn spec(&self, header: &Header) -> SpecId {
        self.forks
            .spec(header.number, header.timestamp, header.difficulty)
    }

    /// A hash over everything in the document that the genesis block's hash does not cover.
    pub fn fingerprint(&self) -> B256 {
        keccak256(format!(
            "{} {:?} {} {} {} {}",
            self.chain_id,
            self.forks,
            self.imported,
            self.gas_limit,
            self.fee_recipient,
            self.outbox_slot
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
    /// The document of a chain of our own or, if `imported`, of one whose blocks others make.
    pub fn parse(json: &str, imported: bool) -> Result<Self> {
        let genesis: Genesis = serde_json::from_str(json).map_err(|error| {
            Error::Genesis(format!("the genesis document does not parse: {error}"))
        })?;
        let config = chain_config(&genesis, imported)?;
        check_alloc(&genesis)?;
        let header = genesis_header(&genesis, &config)?;
        Ok(Self {
            config,
            header,
            alloc: genesis.alloc,
        })
    }
}

fn check_alloc(genesis: &Genesis) -> Result<()> {
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
    Ok(())
}

/// The fields that the genesis block's forks have.
fn genesis_header(genesis: &Genesis, config: &ChainConfig) -> Result<Header> {
    let base_fee = match genesis.base_fee_per_gas {
        None => INITIAL_BASE_FEE,
        Some(fee) => u64::try_from(fee)
            .or_else(|_| refuse("the genesis base fee does not fit into 64 bits"))?,
    };
    let spec = config.forks.genesis_spec(genesis.timestamp);
    let since = |fork: SpecId| spec.is_enabled_in(fork);
    let blob_gas = |given: Option<u64>| given.filter(|_| config.imported).unwrap_or(0);
    Ok(Header {
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
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: B64::from(genesis.nonce),
        base_fee_per_gas: since(SpecId::LONDON).then_some(base_fee),
        withdrawals_root: since(SpecId::SHANGHAI).then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: since(SpecId::CANCUN).then(|| blob_gas(genesis.blob_gas_used)),
        excess_blob_gas: since(SpecId::CANCUN).then(|| blob_gas(genesis.excess_blob_gas)),
        parent_beacon_block_root: since(SpecId::CANCUN).then_some(B256::ZERO),
        requests_hash: since(SpecId::PRAGUE).then_some(EMPTY_REQUESTS_HASH),
        ..Default::default()
    })
}

fn chain_config(genesis: &Genesis, imported: bool) -> Result<ChainConfig> {
    let config = &genesis.config;
    let forks = Forks::new(config.clone()).or_else(refuse)?;
    if imported {
        check_imported(genesis)?;
    } else {
        check_own(genesis, &forks)?;
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
    if genesis.number.unwrap_or(0) != 0 {
        return refuse("the genesis block's number must be 0");
    }
    if !(5_000..=i64::MAX as u64).contains(&genesis.gas_limit) {
        return refuse("gasLimit must be at least 5000 and below 2^63");
    }
    Ok(ChainConfig {
        chain_id: config.chain_id,
        forks,
        imported,
        gas_limit: genesis.gas_limit,
        fee_recipient: genesis.coinbase,
        outbox_slot: outbox_slot(genesis)?,
    })
}

/// A chain of our own starts with Prague's rules.
fn check_own(genesis: &Genesis, forks: &Forks) -> Result<()> {
    let config = &genesis.config;
    if config
        .deposit_contract_address
        .is_some_and(|address| !address.is_zero())
    {
        return refuse(
            "config.depositContractAddress must be absent: validator deposits (EIP-6110) have no meaning here",
        );
    }
    let by_block = forks.by_block();
    for (name, block) in [("daoForkBlock", config.dao_fork_block)]
        .iter()
        .chain(&by_block)
    {
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
    if !forks.terminal_total_difficulty().is_zero() {
        return refuse(
            "config.terminalTotalDifficulty must be 0: the chain starts after the merge",
        );
    }
    Ok(())
}

/// What an imported chain may not have, because no block of it could be checked.
fn check_imported(genesis: &Genesis) -> Result<()> {
    let config = &genesis.config;
    if config.dao_fork_block.is_some() {
        return refuse("config.daoForkBlock: the DAO's fork is not run");
    }
    if config.clique.is_some() || config.parlia.is_some() {
        return refuse("config: clique's and parlia's blocks are not checked");
    }
    if config.terminal_total_difficulty.is_none() {
        return refuse(
            "config.terminalTotalDifficulty must be set: 0 for a chain that starts after the merge",
        );
    }
    Ok(())
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

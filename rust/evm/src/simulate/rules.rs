//! What the chain's schedule of forks says of a block to come.

use alloy_consensus::Header;
use alloy_primitives::U256;
use revm::primitives::hardfork::SpecId;

use crate::config::ChainConfig;

/// The difficulty of a block after `parent`: none after the merge, and no harder than its parent before it.
pub fn difficulty(
    config: &ChainConfig,
    parent: &Header,
    number: u64,
    time: u64,
    wanted: Option<U256>,
) -> U256 {
    let forks = &config.forks;
    let since = |schedule: &[(&str, Option<u64>)], name: &str, now: u64| {
        let found = schedule.iter().find(|(fork, _)| *fork == name);
        found.is_some_and(|(_, from)| from.is_some_and(|from| now >= from))
    };
    let merged = forks.terminal_total_difficulty().is_zero()
        || since(&forks.by_block(), "mergeNetsplitBlock", number)
        || since(&forks.by_time(), "shanghaiTime", time);
    match merged {
        true => U256::ZERO,
        false => wanted.unwrap_or(parent.difficulty),
    }
}

/// What a miner gets for the block.
pub fn reward(config: &ChainConfig, spec: SpecId, number: u64) -> U256 {
    match spec.is_enabled_in(SpecId::MERGE) {
        true => U256::ZERO,
        false => config.forks.reward(number),
    }
}

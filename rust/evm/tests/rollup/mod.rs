//! What the inbox of a rollup says, and what came of it.
#![allow(dead_code)]

use dougong_evm::alloy::{Address, Bytes, U256};
use dougong_evm::chain::Chain;
use dougong_evm::derivation::Message;
use dougong_evm::state::StateReader;

pub const GAS_LIMIT: u64 = 30_000_000;

pub fn deposit(to: Address, gwei: u64) -> Message {
    Message {
        kind: 0,
        payload: [to.as_slice(), &gwei.to_be_bytes()].concat().into(),
    }
}

pub fn forced(tx: Bytes) -> Message {
    Message {
        kind: 1,
        payload: tx,
    }
}

pub fn balance(chain: &Chain, address: Address) -> U256 {
    chain
        .at(None)
        .unwrap()
        .1
        .account(address)
        .unwrap()
        .unwrap_or_default()
        .balance
}

pub fn inbox_end(chain: &Chain) -> u64 {
    chain.head().unwrap().sealed.inbox_end()
}

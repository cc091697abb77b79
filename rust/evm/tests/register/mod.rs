//! A contract that stores what it is told and logs that, and chains that grow by using it.
#![allow(dead_code)]

use dougong_evm::alloy::{Address, B256, Bytes, U256};
use dougong_evm::chain::Chain;
use serde_json::json;

use crate::common::{Actor, genesis, rich};

/// Writes calldata's second word into the slot that its first word names, and logs that.
/// sstore(calldataload(0), calldataload(32)); log1(0, 0, calldataload(0))
pub const REGISTER: &str = "0x6020356000355560003560006000a100";

pub fn register() -> Address {
    Address::repeat_byte(0xcc)
}

pub fn document(actors: &[&Actor]) -> String {
    let mut alloc = rich(actors);
    alloc[register().to_string()] = json!({"code": REGISTER, "balance": "0x0",
        "storage": {"0x0000000000000000000000000000000000000000000000000000000000000005": "0x0000000000000000000000000000000000000000000000000000000000000007"}});
    genesis(alloc)
}

pub fn set(actor: &Actor, nonce: u64, slot: u64, value: u64) -> Bytes {
    let data = [
        B256::from(U256::from(slot)).0,
        B256::from(U256::from(value)).0,
    ]
    .concat();
    actor.sign(json!({"nonce": nonce, "to": register(), "gas": 100_000, "data": Bytes::from(data)}))
}

pub fn grow(chain: &Chain, actor: &Actor, nonce: u64) {
    let timestamp = chain.head().unwrap().sealed.header.timestamp + 1;
    let txs = [
        set(actor, nonce, nonce % 7, nonce % 3),
        actor.pay(nonce + 1, Address::with_last_byte(nonce as u8), nonce + 1),
        // A contract of its own each time: init code that returns one byte.
        actor.sign(
            json!({"nonce": nonce + 2, "gas": 100_000, "data": "0x6001600c60003960016000f300"}),
        ),
    ];
    let built = chain
        .execute(timestamp, &txs, false, Address::repeat_byte(0xbe))
        .unwrap();
    assert_eq!(built.included.len(), 3);
    chain.commit().unwrap();
}

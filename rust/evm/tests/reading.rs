//! What a block's logs, calls and proofs say, long after it or beside its successors.

mod common;
mod register;

use alloy_primitives::keccak256;
use common::{Actor, hash, open};
use dougong_evm::alloy::{Address, B256, U256};
use dougong_evm::error::Error;
use dougong_evm::{call, logs, proof, prove, receipts};
use register::{document, grow, register, set};
use serde_json::{Value, json};
use std::time::Duration;

fn budget(count: usize) -> logs::Budget {
    logs::Budget {
        count,
        bytes: 1 << 20,
        time: Duration::from_secs(60),
    }
}

#[test]
fn logs_are_found_by_address_and_topic_within_bounds() {
    let actor = Actor::new(7);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document(&[&actor]));
    for nonce in 0..6 {
        chain
            .execute(
                200,
                &[set(&actor, nonce, nonce % 2, 9)],
                false,
                Address::ZERO,
            )
            .unwrap();
        chain.commit().unwrap();
    }
    let find = |filter: Value, limit| {
        logs::logs(chain.store(), &filter.to_string(), (0, 6), budget(limit))
            .map(|found| serde_json::from_slice::<Vec<Value>>(&found).unwrap())
    };
    let topic = |value: u64| json!(B256::from(U256::from(value)));
    assert_eq!(find(json!({}), 10).unwrap().len(), 6);
    assert_eq!(find(json!({"topics": [topic(1)]}), 10).unwrap().len(), 3);
    assert_eq!(
        find(json!({"topics": [[topic(1), topic(0)]]}), 10)
            .unwrap()
            .len(),
        6
    );
    assert_eq!(
        find(json!({"topics": [null, topic(1)]}), 10).unwrap().len(),
        0
    );
    assert_eq!(
        find(json!({"address": register(), "topics": [topic(0)]}), 10)
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        find(json!({"address": [Address::ZERO]}), 10).unwrap().len(),
        0
    );
    assert!(matches!(find(json!({}), 5), Err(Error::Invalid(_))));
    assert!(matches!(
        find(json!({"topics": ["0x12"]}), 5),
        Err(Error::Invalid(_))
    ));
    assert!(matches!(
        logs::logs(chain.store(), "{}", (0, 7), budget(10)),
        Err(Error::NotFound(_))
    ));
}

#[test]
fn calls_see_the_state_of_their_block_and_change_nothing() {
    let actor = Actor::new(8);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document(&[&actor]));
    grow(&chain, &actor, 0);
    let before = hash(&chain);
    let request = |fields: Value| {
        let call = |number| {
            let request = call::Request::parse(&fields.to_string(), ("null", "null"))?;
            call::call(&chain.config, chain.store(), &request, number, 1_000_000)
        };
        (call(0), call(1))
    };
    // The balance of the caller: 0x33 31 60005260206000f3 as init code.
    let (zero, one) = request(json!({"from": actor.address, "data": "0x333160005260206000f3"}));
    assert_ne!(zero.unwrap().data, one.unwrap().data);
    let (broke, _) =
        request(json!({"from": Address::repeat_byte(1), "to": Address::ZERO, "value": "0x1"}));
    assert!(matches!(broke, Err(Error::InvalidTransaction(_))));
    let (odd, _) = request(json!({"to": "0x12"}));
    assert!(matches!(odd, Err(Error::Invalid(_))));
    let (burn, _) = request(json!({"data": "0x5b600056", "gas": "0xffffffffff"}));
    assert!(matches!(burn, Err(Error::InvalidTransaction(words)) if words == "out of gas"));
    let (left, _) = request(json!({"data": "0x5a60005260206000f3", "gas": "0xffffffffff"}));
    let left = left.unwrap().data;
    assert!(
        U256::from_be_slice(&left) < U256::from(1_000_000),
        "the cap holds"
    );
    let (halt, _) = request(json!({"data": "0xfe"}));
    assert!(matches!(halt, Err(Error::InvalidTransaction(words)) if words.contains("opcode")));
    let (revert, _) = request(json!({"data": "0x60006000fd"}));
    assert!(!revert.unwrap().success);
    let fields = json!({"from": actor.address, "to": register(), "data": format!("0x{:064x}{:064x}", 99, 1)});
    let fields = call::Request::parse(&fields.to_string(), ("null", "null")).unwrap();
    let estimate =
        call::estimate_gas(&chain.config, chain.store(), &fields, 1, 50_000_000).unwrap();
    let tx = actor.sign(json!({"nonce": 3, "to": register(), "gas": estimate.gas, "data": format!("0x{:064x}{:064x}", 99, 1)}));
    let built = chain
        .execute(300, std::slice::from_ref(&tx), false, Address::ZERO)
        .unwrap();
    assert_eq!(built.included, [0]);
    chain.commit().unwrap();
    let receipt = receipts::one(chain.store(), &keccak256(&tx))
        .unwrap()
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&receipt).unwrap()["status"],
        "0x1"
    );
    assert_eq!(chain.header(1).unwrap().sealed.hash, before);
}

#[test]
fn proofs_show_accounts_and_slots_to_who_has_only_the_root() {
    let actor = Actor::new(9);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document(&[&actor]));
    grow(&chain, &actor, 0);
    let nodes = |value: &Value| -> Vec<Vec<u8>> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|node| alloy_primitives::hex::decode(node.as_str().unwrap()).unwrap())
            .collect()
    };
    for number in 0..2 {
        let root = chain.header(number).unwrap().sealed.header.state_root;
        let slot = B256::from(U256::from(5));
        let shown: Value = serde_json::from_slice(
            &prove::proof(chain.store(), register(), &[slot.to_vec()], number).unwrap(),
        )
        .unwrap();
        let account = proof::verify_account(root, register(), &nodes(&shown["accountProof"]))
            .unwrap()
            .unwrap();
        let value = proof::verify_storage(
            account.storage_root,
            slot,
            &nodes(&shown["storageProof"][0]["proof"]),
        )
        .unwrap();
        assert_eq!(value, U256::from(7));
        let absent = Address::repeat_byte(0x77);
        let shown: Value =
            serde_json::from_slice(&prove::proof(chain.store(), absent, &[], number).unwrap())
                .unwrap();
        assert_eq!(
            proof::verify_account(root, absent, &nodes(&shown["accountProof"])),
            Ok(None)
        );
        // One address's proof does not speak for another.
        assert!(proof::verify_account(root, register(), &nodes(&shown["accountProof"])).is_err());
    }
}

//! The durable chain: what is committed stays readable as it was, rollback is exact, and failures are told by kind.

mod common;

use alloy_primitives::keccak256;
use common::{Actor, genesis, hash, open, rich};
use dougong_evm::alloy::{Address, B256, Bytes, U256};
use dougong_evm::chain::Chain;
use dougong_evm::error::Error;
use dougong_evm::state::StateReader;
use dougong_evm::store::DEFAULT_MAP_BYTES;
use dougong_evm::tx::SenderCache;
use dougong_evm::{call, logs, proof, prove, receipts};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Writes calldata's second word into the slot that its first word names, and logs that.
/// sstore(calldataload(0), calldataload(32)); log1(0, 0, calldataload(0))
const REGISTER: &str = "0x6020356000355560003560006000a100";

fn register() -> Address {
    Address::repeat_byte(0xcc)
}

fn document(actors: &[&Actor]) -> String {
    let mut alloc = rich(actors);
    alloc[register().to_string()] = json!({"code": REGISTER, "balance": "0x0",
        "storage": {"0x0000000000000000000000000000000000000000000000000000000000000005": "0x0000000000000000000000000000000000000000000000000000000000000007"}});
    genesis(alloc)
}

fn set(actor: &Actor, nonce: u64, slot: u64, value: u64) -> Bytes {
    let data = [
        B256::from(U256::from(slot)).0,
        B256::from(U256::from(value)).0,
    ]
    .concat();
    actor.sign(json!({"nonce": nonce, "to": register(), "gas": 100_000, "data": Bytes::from(data)}))
}

fn grow(chain: &Chain, actor: &Actor, nonce: u64) {
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

/// All that can be asked of a block's state, as text.
fn portrait(chain: &Chain, actor: &Actor, number: u64) -> String {
    let (record, state) = chain.at(Some(number)).unwrap();
    let slots: Vec<U256> = (0..7)
        .map(|slot| state.storage(register(), U256::from(slot)).unwrap())
        .collect();
    let paid: Vec<_> = (0..40)
        .map(|byte| state.account(Address::with_last_byte(byte)).unwrap())
        .collect();
    let proof = prove::proof(
        chain.store(),
        register(),
        &[B256::from(U256::from(3)).to_vec()],
        number,
    )
    .unwrap();
    format!(
        "{} {slots:?} {paid:?} {:?} {}",
        record.sealed.hash,
        state.account(actor.address).unwrap(),
        String::from_utf8(proof).unwrap()
    )
}

fn budget(count: usize) -> logs::Budget {
    logs::Budget {
        count,
        bytes: 1 << 20,
        time: Duration::from_secs(60),
    }
}

#[test]
fn every_block_stays_readable_and_a_rollback_restores_it_exactly() {
    let actor = Actor::new(1);
    let folder = tempfile::tempdir().unwrap();
    let document = document(&[&actor]);
    let chain = open(folder.path(), &document);
    let mut portraits = vec![portrait(&chain, &actor, 0)];
    for i in 0..12 {
        grow(&chain, &actor, i * 3);
        portraits.push(portrait(&chain, &actor, i + 1));
    }
    let read = |chain: &Chain, up_to: usize| {
        for (number, expected) in portraits.iter().enumerate().take(up_to + 1) {
            assert_eq!(
                &portrait(chain, &actor, number as u64),
                expected,
                "block {number}"
            );
        }
    };
    read(&chain, 12);
    drop(chain);
    let chain = open(folder.path(), &document);
    read(&chain, 12);
    // Back, and forward again on the same and on another path.
    let old = hash(&chain);
    chain.rollback(7).unwrap();
    read(&chain, 7);
    assert!(matches!(chain.header(8), Err(Error::NotFound(_))));
    for i in 7..12 {
        grow(&chain, &actor, i * 3);
    }
    assert_eq!(hash(&chain), old);
    read(&chain, 12);
    chain.rollback(0).unwrap();
    grow(&chain, &actor, 0);
    assert_eq!(portrait(&chain, &actor, 1), portraits[1]);
    assert!(matches!(chain.rollback(5), Err(Error::NotFound(_))));
}

#[test]
fn a_pending_block_is_seen_by_no_one_and_can_be_dropped() {
    let actor = Actor::new(2);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document(&[&actor]));
    let code =
        [actor.sign(json!({"nonce": 0, "gas": 100_000, "data": "0x6001600c60003960016000f300"}))];
    let first = chain
        .execute(200, &code, false, Address::ZERO)
        .unwrap()
        .head
        .sealed
        .hash;
    assert_eq!(chain.head().unwrap().sealed.header.number, 0);
    assert_eq!(
        chain
            .at(None)
            .unwrap()
            .1
            .account(actor.address)
            .unwrap()
            .unwrap()
            .nonce,
        0
    );
    assert!(
        matches!(
            chain.execute(200, &[], true, Address::ZERO),
            Err(Error::Invalid(_))
        ),
        "one at a time"
    );
    chain.discard().unwrap();
    // The same block again: its code must reach the store although it is known in memory.
    assert_eq!(
        chain
            .execute(200, &code, false, Address::ZERO)
            .unwrap()
            .head
            .sealed
            .hash,
        first
    );
    chain.commit().unwrap();
    let created = actor.address.create(0);
    let (_, state) = chain.at(None).unwrap();
    let account = state.account(created).unwrap().unwrap();
    assert_eq!(
        keccak256(state.code(account.code_hash).unwrap()),
        account.code_hash
    );
}

#[test]
fn an_invalid_transaction_is_named_and_leaves_no_trace() {
    let (rich_one, poor) = (Actor::new(3), Actor::new(4));
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document(&[&rich_one]));
    let pay = |fields: Value| rich_one.sign(fields);
    let to = Address::ZERO;
    let bad: Vec<(Bytes, &str)> = vec![
        (Bytes::from_static(&[3, 1, 2]), "blob"),
        (Bytes::from_static(&[0x7f]), "typed transaction too short"),
        (pay(json!({"nonce": 1, "to": to})), "nonce"),
        (pay(json!({"nonce": 0, "to": to, "chainId": 1})), "chain"),
        (
            pay(json!({"nonce": 0, "to": to, "maxFeePerGas": 1})),
            "basefee",
        ),
        (pay(json!({"nonce": 0, "to": to, "gas": 20_000})), "gas"),
        (
            pay(json!({"nonce": 0, "to": to, "gas": 30_000_001})),
            "gas limit",
        ),
        (poor.pay(0, to, 1), "fund"),
    ];
    for (tx, why) in bad {
        let error = chain
            .execute(200, std::slice::from_ref(&tx), false, to)
            .unwrap_err();
        assert!(
            matches!(&error, Error::InvalidTransaction(text) if text.contains(why)),
            "{why}: {error}"
        );
        let built = chain
            .execute(200, &[tx, pay(json!({"nonce": 0, "to": to}))], true, to)
            .unwrap();
        assert_eq!((built.included, built.skipped.len()), (vec![1], 1), "{why}");
        chain.discard().unwrap();
    }
    // A high s and a flipped parity: Ethereum takes neither, or another sender.
    let good = dougong_evm::tx::decode(&pay(json!({"nonce": 0, "to": to}))).unwrap();
    assert_eq!(good.sender, rich_one.address);
    // A transaction from before EIP-155 is as good as it is on Ethereum.
    let old = dougong_evm::sign::sign_transaction(
        &json!({"type": 0, "nonce": 0, "gas": 21000, "gasPrice": 10_000_000_000u64, "to": to})
            .to_string(),
        &rich_one.key,
    );
    assert_eq!(
        chain
            .execute(200, &[old.unwrap().into()], false, to)
            .unwrap()
            .included,
        [0]
    );
}

#[test]
fn a_store_of_another_genesis_or_a_damaged_one_is_refused() {
    let actor = Actor::new(5);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document(&[&actor]));
    for i in 0..3 {
        grow(&chain, &actor, i * 3);
    }
    let portraits: Vec<String> = (0..4)
        .map(|number| portrait(&chain, &actor, number))
        .collect();
    let reopen = |document: &str| {
        Chain::open(
            folder.path(),
            document,
            DEFAULT_MAP_BYTES,
            Arc::new(SenderCache::new(0)),
        )
    };
    assert!(
        matches!(reopen(&document(&[&actor])), Err(Error::Store(_))),
        "one owner at a time"
    );
    drop(chain);
    assert!(matches!(
        reopen(&genesis(json!({}))),
        Err(Error::Corrupt(_))
    ));
    let other_rules =
        document(&[&actor]).replace("\"pragueTime\":0", "\"pragueTime\":0,\"osakaTime\":999");
    assert!(
        matches!(reopen(&other_rules), Err(Error::Corrupt(_))),
        "the fork schedule is part of a chain's identity"
    );
    let file = folder.path().join("data.mdb");
    let whole = std::fs::read(&file).unwrap();
    // Cut short anywhere: refused, or (where only free pages are gone) all there. Never a crash, never another answer.
    let mut refused = 0;
    for keep in [
        whole.len() / 2,
        whole.len() / 4,
        whole.len() / 8,
        8192,
        4096,
        100,
    ] {
        std::fs::write(&file, &whole[..keep]).unwrap();
        match reopen(&document(&[&actor])) {
            Err(Error::Corrupt(_) | Error::Store(_)) => refused += 1,
            Err(other) => panic!("{keep} bytes: {other}"),
            Ok(chain) => {
                let found: Vec<String> = (0..4)
                    .map(|number| portrait(&chain, &actor, number))
                    .collect();
                assert_eq!(found, portraits, "{keep} bytes");
            }
        }
    }
    assert!(refused >= 4, "only {refused} were refused");
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(
        reopen(&document(&[&actor]))
            .unwrap()
            .head()
            .unwrap()
            .sealed
            .header
            .number,
        3
    );
}

#[test]
fn a_full_map_is_told_and_what_was_committed_is_safe() {
    let actor = Actor::new(6);
    let folder = tempfile::tempdir().unwrap();
    let document = document(&[&actor]);
    let senders = Arc::new(SenderCache::new(0));
    let chain = Chain::open(folder.path(), &document, 1 << 20, senders.clone()).unwrap();
    let (mut nonce, mut last) = (0, hash(&chain));
    let error = loop {
        let txs: Vec<Bytes> = (0..100)
            .map(|i| set(&actor, nonce + i, nonce + i, 1))
            .collect();
        chain.execute(200, &txs, false, Address::ZERO).unwrap();
        match chain.commit() {
            Ok(()) => (nonce, last) = (nonce + 100, hash(&chain)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full(_)), "{error}");
    assert_eq!(hash(&chain), last);
    // The block is gone, nothing is half done: a smaller one may still fit, a bigger map takes them all.
    drop(chain);
    let chain = Chain::open(folder.path(), &document, 1 << 30, senders).unwrap();
    assert_eq!(hash(&chain), last);
    let txs: Vec<Bytes> = (0..100)
        .map(|i| set(&actor, nonce + i, nonce + i, 1))
        .collect();
    chain.execute(200, &txs, false, Address::ZERO).unwrap();
    chain.commit().unwrap();
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

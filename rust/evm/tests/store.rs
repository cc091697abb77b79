//! The durable chain: what is committed stays readable as it was, rollback is exact, and failures are told by kind.

mod common;
mod register;

use alloy_primitives::keccak256;
use common::{Actor, genesis, hash, open};
use dougong_evm::alloy::{Address, B256, Bytes, U256};
use dougong_evm::chain::Chain;
use dougong_evm::error::Error;
use dougong_evm::prove;
use dougong_evm::state::StateReader;
use dougong_evm::store::DEFAULT_MAP_BYTES;
use dougong_evm::tx::SenderCache;
use register::{document, grow, register, set};
use serde_json::{Value, json};
use std::sync::Arc;

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

//! The derivation: what was built is what is derived, for every input there is one result, and the cut rules hold.

mod common;
mod rollup;

use common::{Actor, genesis, hash, open, rich};
use dougong_evm::alloy::{Address, Bytes, U256};
use dougong_evm::batch::{self, Batch, DeclaredBlock};
use dougong_evm::derivation::Message;
use dougong_evm::error::Error;
use dougong_evm::state::StateReader;
use rollup::{GAS_LIMIT, balance, deposit, forced, inbox_end};
use serde_json::json;

#[test]
fn what_a_sequencer_builds_is_what_everyone_derives() {
    let (alice, bob) = (Actor::new(1), Actor::new(2));
    let document = genesis(rich(&[&alice]));
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (sequencer, verifier) = (open(one.path(), &document), open(two.path(), &document));
    let messages = [
        deposit(bob.address, 5_000_000_000),
        forced(bob.pay(0, alice.address, 7)),
        Message {
            kind: 9,
            payload: Bytes::from_static(b"of no kind"),
        },
        deposit(bob.address, 1),
        Message {
            kind: 0,
            payload: Bytes::from_static(b"malformed"),
        },
        forced(Bytes::from_static(b"not a transaction")),
    ];
    let declared = [(110, 0), (110, 6), (115, 6), (90, 6), (120, 6)];
    for (nonce, (timestamp, wanted)) in (0..).zip(declared) {
        let position = inbox_end(&sequencer) as usize;
        let txs = [
            alice.pay(nonce, bob.address, 1),
            alice.pay(nonce + 9, bob.address, 1),
            Bytes::from_static(&[7]),
        ];
        let built = sequencer
            .execute_rollup(
                timestamp,
                wanted.max(position as u64),
                &messages[position..],
                &txs,
            )
            .unwrap();
        assert_eq!(built.included, [0]);
        assert_eq!(
            built
                .skipped
                .iter()
                .map(|(position, _)| *position)
                .collect::<Vec<_>>(),
            [1, 2]
        );
        sequencer.commit().unwrap();
    }
    assert_eq!(inbox_end(&sequencer), 6);
    let head = sequencer.head().unwrap().sealed.header.number;
    // In two batches, cut anywhere.
    let middle = 2;
    let reached = sequencer.header(middle).unwrap().sealed.inbox_end();
    let first = sequencer.encode_batch(1, middle, 3).unwrap();
    let second = sequencer.encode_batch(middle + 1, head, 19).unwrap();
    verifier
        .apply_batch(Some(&first), 1000, reached, &messages[..reached as usize])
        .unwrap();
    assert_eq!(
        hash(&verifier),
        sequencer.header(middle).unwrap().sealed.hash
    );
    verifier
        .apply_batch(Some(&second), 1000, 6, &messages[reached as usize..])
        .unwrap();
    assert_eq!(hash(&verifier), hash(&sequencer));
    assert_eq!(
        balance(&verifier, bob.address),
        balance(&sequencer, bob.address)
    );
}

#[test]
fn a_forced_transaction_never_runs_before_the_deposit_that_pays_for_it() {
    // The attack: a sequencer declares one block over both, so that the transaction would run before the deposit is
    // credited at the block's end, fail for want of funds, and be lost.
    let (user, other) = (Actor::new(3), Actor::new(4));
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &genesis(json!({})));
    let messages = [
        deposit(user.address, 1_000_000_000),
        forced(user.pay(0, other.address, 42)),
    ];
    let attack = Batch {
        parent_hash: hash(&chain),
        blocks: vec![DeclaredBlock {
            timestamp: 101,
            inbox_end: 2,
            txs: vec![],
        }],
    };
    let data = batch::encode(&attack, 1).unwrap();
    let heads = chain.apply_batch(Some(&data), 200, 2, &messages).unwrap();
    let ends: Vec<u64> = heads.iter().map(|head| head.sealed.inbox_end()).collect();
    assert_eq!(
        ends,
        [1, 2],
        "the declared block is cut, a second one follows"
    );
    assert_eq!(balance(&chain, other.address), U256::from(42));
    // Built by a sequencer, the same.
    let folder = tempfile::tempdir().unwrap();
    let built = open(folder.path(), &genesis(json!({})));
    let block = built.execute_rollup(101, 2, &messages, &[]).unwrap();
    assert_eq!(block.head.sealed.inbox_end(), 1);
}

#[test]
fn a_forced_transaction_waits_for_a_block_with_room_and_cannot_be_crowded_out() {
    let (alice, bob) = (Actor::new(5), Actor::new(6));
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &genesis(rich(&[&alice, &bob])));
    let big = |actor: &Actor, nonce: u64, gas: u64| {
        actor.sign(json!({"nonce": nonce, "to": Address::ZERO, "value": 1, "gas": gas}))
    };
    let messages = [
        forced(big(&alice, 0, 20_000_000)),
        forced(big(&alice, 1, GAS_LIMIT + 1)), // can never run: costs nothing, is passed over
        forced(big(&alice, 1, 10_000_000)),    // fits exactly
        forced(big(&alice, 2, 21_000)),        // does not fit any more
        forced(big(&alice, 3, GAS_LIMIT)),     // a block of its own
    ];
    let own: Vec<Bytes> = (0..3).map(|nonce| big(&bob, nonce, 21_000)).collect();
    let declared = Batch {
        parent_hash: hash(&chain),
        blocks: vec![DeclaredBlock {
            timestamp: 101,
            inbox_end: 5,
            txs: own,
        }],
    };
    let heads = chain
        .apply_batch(
            Some(&batch::encode(&declared, 1).unwrap()),
            200,
            5,
            &messages,
        )
        .unwrap();
    let ends: Vec<u64> = heads.iter().map(|head| head.sealed.inbox_end()).collect();
    assert_eq!(ends, [3, 4, 5]);
    let (alice, bob) = (
        chain
            .at(None)
            .unwrap()
            .1
            .account(alice.address)
            .unwrap()
            .unwrap(),
        chain
            .at(None)
            .unwrap()
            .1
            .account(bob.address)
            .unwrap()
            .unwrap(),
    );
    assert_eq!(
        (alice.nonce, bob.nonce),
        (4, 3),
        "every forced transaction ran, and the block's own after them"
    );
}

#[test]
fn timestamps_are_clamped_between_the_head_and_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &genesis(json!({})));
    let blocks = [50, 140, 130, u64::MAX].map(|timestamp| DeclaredBlock {
        timestamp,
        inbox_end: 0,
        txs: vec![],
    });
    let data = batch::encode(
        &Batch {
            parent_hash: hash(&chain),
            blocks: blocks.to_vec(),
        },
        1,
    )
    .unwrap();
    let heads = chain.apply_batch(Some(&data), 200, 0, &[]).unwrap();
    let times: Vec<u64> = heads
        .iter()
        .map(|head| head.sealed.header.timestamp)
        .collect();
    assert_eq!(times, [100, 140, 140, 1100]);
    // The drift of one batch does not push the next one's blocks back.
    let heads = chain
        .apply_batch(None, 300, 1, &[deposit(Address::ZERO, 1)])
        .unwrap();
    assert_eq!(heads[0].sealed.header.timestamp, 1100);
}

#[test]
fn a_caller_that_gives_too_little_of_the_inbox_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &genesis(json!({})));
    chain
        .apply_batch(
            None,
            200,
            2,
            &[deposit(Address::ZERO, 1), deposit(Address::ZERO, 1)],
        )
        .unwrap();
    assert!(matches!(
        chain.apply_batch(None, 200, 1, &[]),
        Err(Error::Invalid(_))
    ));
    assert!(matches!(
        chain.apply_batch(None, 200, 3, &[]),
        Err(Error::Invalid(_))
    ));
    assert_eq!(chain.apply_batch(None, 200, 2, &[]).unwrap().len(), 0);
}

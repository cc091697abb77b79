//! The derivation: what was built is what is derived, for every input there is one result, and the cut rules hold.

mod common;

use common::{Actor, genesis, hash, open, rich};
use dougong_evm::alloy::{Address, Bytes, U256};
use dougong_evm::batch::{self, Batch, DeclaredBlock};
use dougong_evm::chain::Chain;
use dougong_evm::derivation::Message;
use dougong_evm::error::Error;
use dougong_evm::state::StateReader;
use proptest::prelude::*;
use serde_json::json;

const GAS_LIMIT: u64 = 30_000_000;

fn deposit(to: Address, gwei: u64) -> Message {
    Message {
        kind: 0,
        payload: [to.as_slice(), &gwei.to_be_bytes()].concat().into(),
    }
}

fn forced(tx: Bytes) -> Message {
    Message {
        kind: 1,
        payload: tx,
    }
}

fn balance(chain: &Chain, address: Address) -> U256 {
    chain
        .at(None)
        .unwrap()
        .1
        .account(address)
        .unwrap()
        .unwrap_or_default()
        .balance
}

fn inbox_end(chain: &Chain) -> u64 {
    chain.head().unwrap().sealed.inbox_end()
}

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
fn what_does_not_decode_is_an_empty_batch_and_the_inbox_is_consumed() {
    let user = Actor::new(7);
    let good = |chain: &Chain, blocks| {
        batch::encode(
            &Batch {
                parent_hash: hash(chain),
                blocks,
            },
            1,
        )
        .unwrap()
    };
    let block = || DeclaredBlock {
        timestamp: 101,
        inbox_end: 0,
        txs: vec![],
    };
    let expect = |spoil: &dyn Fn(&Chain) -> Option<Vec<u8>>, blocks: usize, what: &str| {
        let folder = tempfile::tempdir().unwrap();
        let chain = open(folder.path(), &genesis(json!({})));
        let data = spoil(&chain);
        let heads = chain
            .apply_batch(data.as_deref(), 500, 1, &[deposit(user.address, 3)])
            .unwrap();
        assert_eq!(heads.len(), blocks, "{what}");
        assert_eq!(inbox_end(&chain), 1, "{what}");
        assert_eq!(
            balance(&chain, user.address),
            U256::from(3_000_000_000u64),
            "{what}"
        );
    };
    expect(&|chain| Some(good(chain, vec![block()])), 2, "a good batch");
    expect(&|_| None, 1, "no data");
    expect(&|_| Some(vec![]), 1, "no bytes");
    expect(
        &|chain| {
            let mut data = good(chain, vec![block()]);
            data[0] = 1;
            Some(data)
        },
        1,
        "another version",
    );
    expect(
        &|chain| {
            let mut data = good(chain, vec![block()]);
            data.push(0);
            Some(data)
        },
        1,
        "trailing bytes",
    );
    expect(
        &|chain| {
            let mut data = good(chain, vec![block()]);
            data.pop();
            Some(data)
        },
        1,
        "cut short",
    );
    expect(
        &|chain| {
            let mut data = good(chain, vec![block()]);
            let again = data[1..].to_vec();
            data.extend(again);
            Some(data)
        },
        1,
        "two frames",
    );
    expect(
        &|_| {
            Some(
                batch::encode(
                    &Batch {
                        parent_hash: Default::default(),
                        blocks: vec![block()],
                    },
                    1,
                )
                .unwrap(),
            )
        },
        1,
        "another parent",
    );
    let checksummed = |chain: &Chain| {
        let content = zstd::bulk::decompress(&good(chain, vec![block()])[1..], 1 << 20).unwrap();
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        compressor.include_checksum(true).unwrap();
        Some([vec![0], compressor.compress(&content).unwrap()].concat())
    };
    expect(&checksummed, 1, "a checksum");
    let unsized_frame = |chain: &Chain| {
        let content = zstd::bulk::decompress(&good(chain, vec![block()])[1..], 1 << 20).unwrap();
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        compressor.include_contentsize(false).unwrap();
        Some([vec![0], compressor.compress(&content).unwrap()].concat())
    };
    expect(&unsized_frame, 1, "no content size");
    let loose = |chain: &Chain| {
        // The timestamp as 0x81 0x65 instead of 0x65: not canonical RLP.
        let parent = hash(chain);
        let content = [
            &[0xE6, 0xA0],
            parent.as_slice(),
            &[0xC5, 0xC4, 0x81, 0x65, 0x80, 0xC0][..],
        ]
        .concat();
        let mut exact = content.clone();
        exact[0] = 0xC0 + (content.len() as u8 - 1);
        Some([vec![0], zstd::bulk::compress(&exact, 1).unwrap()].concat())
    };
    expect(&loose, 1, "RLP that is not canonical");
    let crowded = |chain: &Chain| {
        let txs = vec![Bytes::new(); (GAS_LIMIT / 21_000 + 1) as usize];
        Some(good(
            chain,
            vec![DeclaredBlock {
                timestamp: 101,
                inbox_end: 0,
                txs,
            }],
        ))
    };
    expect(
        &crowded,
        1,
        "more transactions than the gas limit can pay for",
    );
    let long = |chain: &Chain| {
        let list = |payload: &[u8]| {
            let mut out = Vec::new();
            alloy_rlp::Header {
                list: true,
                payload_length: payload.len(),
            }
            .encode(&mut out);
            [out.as_slice(), payload].concat()
        };
        let blocks = [0xC3, 0x80, 0x80, 0xC0].repeat(batch::MAX_BLOCKS + 1);
        let content = list(&[&[0xA0], hash(chain).as_slice(), &list(&blocks)].concat());
        assert!(
            batch::decode(
                &[
                    vec![0],
                    zstd::bulk::compress(
                        &list(&[&[0xA0], hash(chain).as_slice(), &list(&blocks[4..])].concat()),
                        1
                    )
                    .unwrap()
                ]
                .concat(),
                GAS_LIMIT
            )
            .is_some()
        );
        Some([vec![0], zstd::bulk::compress(&content, 1).unwrap()].concat())
    };
    expect(&long, 1, "more blocks than a batch holds");
}

#[test]
fn a_small_frame_that_unpacks_to_more_than_it_says_costs_little() {
    // 60 run-length blocks of 128 KiB behind a header that promises one byte, and one that promises 16 MiB.
    for size in [1u32, 16 << 20] {
        let mut frame = vec![0, 0x28, 0xB5, 0x2F, 0xFD, 0b1010_0000];
        frame.extend_from_slice(&size.to_le_bytes());
        for i in 0..200u32 {
            let header = (0x20000 << 3) | (1 << 1) | u32::from(i == 199);
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        assert_eq!(batch::decode(&frame, GAS_LIMIT), None);
    }
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

/// A batch that is nearly right: bytes changed, cut or put in.
fn spoiled(mut data: Vec<u8>, edits: &[(u16, u8, u8)]) -> Vec<u8> {
    for (place, byte, how) in edits {
        let place = usize::from(*place) % (data.len() + 1);
        match how % 3 {
            0 if place < data.len() => data[place] = *byte,
            1 => data.insert(place, *byte),
            _ => data.truncate(place.max(1)),
        }
    }
    data
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any bytes, any messages: no error, all of the inbox consumed, the same on every machine, and the same again after a
    /// rollback.
    #[test]
    fn every_input_has_exactly_one_result(
        raw in prop::collection::vec(any::<u8>(), 0..400),
        edits in prop::collection::vec((any::<u16>(), any::<u8>(), any::<u8>()), 0..4),
        wrap in 0u8..3,
        declared in prop::collection::vec((any::<u64>(), 0u64..12, prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..4)), 0..5),
        messages in prop::collection::vec((0u8..3, prop::collection::vec(any::<u8>(), 0..60)), 0..8),
        timestamp in any::<u64>(),
    ) {
        let user = Actor::new(9);
        let document = genesis(rich(&[&user]));
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (open(one.path(), &document), open(two.path(), &document));
        let mut blocks: Vec<DeclaredBlock> = declared
            .into_iter()
            .map(|(timestamp, inbox_end, txs)| DeclaredBlock { timestamp, inbox_end, txs: txs.into_iter().map(Bytes::from).collect() })
            .collect();
        if let Some(block) = blocks.first_mut() {
            block.txs.push(user.pay(0, Address::ZERO, 1));
        }
        let well_formed = batch::encode(&Batch { parent_hash: hash(&a), blocks }, 3).unwrap();
        let data = match wrap {
            0 => raw,
            // The content is spoiled, the frame is sound.
            1 => {
                let content = zstd::bulk::decompress(&well_formed[1..], 1 << 20).unwrap();
                [vec![0], zstd::bulk::compress(&spoiled(content, &edits), 1).unwrap()].concat()
            }
            _ => spoiled(well_formed, &edits),
        };
        let messages: Vec<Message> = messages.into_iter().map(|(kind, payload)| Message { kind, payload: payload.into() }).collect();
        let end = messages.len() as u64;
        let first = a.apply_batch(Some(&data), timestamp, end, &messages).unwrap();
        b.apply_batch(Some(&data), timestamp, end, &messages).unwrap();
        prop_assert_eq!(hash(&a), hash(&b));
        prop_assert_eq!(inbox_end(&a), end);
        let after = hash(&a);
        a.rollback(0).unwrap();
        let again = a.apply_batch(Some(&data), timestamp, end, &messages).unwrap();
        prop_assert_eq!(hash(&a), after);
        prop_assert_eq!(first.len(), again.len());
    }
}

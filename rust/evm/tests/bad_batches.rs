//! Batches that are none: whatever the bytes, there is one result, it costs little, and the inbox is consumed.

mod common;
mod rollup;

use common::{Actor, genesis, hash, open, rich};
use dougong_evm::alloy::{Address, Bytes, U256};
use dougong_evm::batch::{self, Batch, DeclaredBlock};
use dougong_evm::chain::Chain;
use dougong_evm::derivation::Message;
use proptest::prelude::*;
use rollup::{GAS_LIMIT, balance, deposit, inbox_end};
use serde_json::json;

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

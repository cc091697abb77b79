//! Known truth: the chain of ethereum/execution-apis, from its genesis through every fork up to Osaka, imported block by block:
//! everything that a header states must come out of its execution. And what is not as stated must be refused.

mod common;

use alloy_consensus::{Block, Header};
use alloy_primitives::{B64, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use dougong_evm::chain::Chain;
use dougong_evm::error::Error;
use dougong_evm::store::DEFAULT_MAP_BYTES;
use dougong_evm::tx::{Envelope, SenderCache};
use std::path::Path;
use std::sync::Arc;

type Foreign = Block<Envelope>;
type Boxed = Box<dyn Fn(&mut Foreign)>;

fn imported(folder: &Path, genesis: &str) -> Chain {
    let senders = Arc::new(SenderCache::new(1024));
    Chain::open_imported(folder, genesis, DEFAULT_MAP_BYTES, senders).unwrap()
}

fn read_blocks(data: &[u8]) -> Vec<Foreign> {
    let mut rest = data;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        blocks.push(Foreign::decode(&mut rest).unwrap());
    }
    blocks
}

fn refusal(chain: &Chain, block: &[u8]) -> String {
    match chain.import(block) {
        Err(Error::Invalid(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_chain_imports_rolls_back_and_opens_again() {
    let Some(vectors) = common::vectors() else {
        return;
    };
    let vectors = vectors.join("rpc-compat");
    let genesis = std::fs::read_to_string(vectors.join("genesis.json")).unwrap();
    let data = std::fs::read(vectors.join("chain.rlp")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let chain = imported(folder.path(), &genesis);
    let heads = chain.import(&data).unwrap();
    let blocks = read_blocks(&data);
    assert_eq!(heads.len(), blocks.len());
    for (head, block) in heads.iter().zip(&blocks) {
        assert_eq!(head.sealed.hash, block.header.hash_slow());
        let stored = chain.block_rlp(block.header.number).unwrap();
        assert_eq!(stored, alloy_rlp::encode(block));
    }
    let flat = |chain: &Chain| {
        let (record, at) = chain.at(None).unwrap();
        let block = chain.transactions(record.sealed.header.number).unwrap();
        (record.sealed.hash, at.latest, block)
    };
    let before = flat(&chain);
    // Back through every fork, and over the same blocks again: the flat tables must be what they were.
    for number in [50, 44, 38, 26, 14, 8, 5, 2, 0] {
        chain.rollback(number).unwrap();
        let mut rest = Vec::new();
        for block in &blocks[number as usize..] {
            block.encode(&mut rest);
        }
        chain.import(&rest).unwrap();
        assert_eq!(flat(&chain), before, "from block {number}");
    }
    drop(chain);
    let chain = imported(folder.path(), &genesis);
    assert_eq!(flat(&chain), before);
    assert!(chain.import(&data[..100]).is_err());
    assert!(matches!(
        chain.execute(1 << 40, &[], true, Default::default()),
        Err(Error::Invalid(_))
    ));
    assert!(matches!(
        chain.apply_batch(None, 0, 0, &[]),
        Err(Error::Invalid(_))
    ));
}

#[test]
fn a_chain_of_our_own_takes_no_foreign_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let chain = common::open(folder.path(), &common::genesis(common::rich(&[])));
    assert!(refusal(&chain, &[0xc0]).contains("built here"));
}

/// Each change to a block, with what the refusal has to speak of.
type Change = (&'static str, fn(&mut Foreign));

fn header(change: fn(&mut Header)) -> impl Fn(&mut Foreign) {
    move |block| change(&mut block.header)
}

#[test]
fn what_a_block_states_is_checked() {
    let Some(vectors) = common::vectors() else {
        return;
    };
    let vectors = vectors.join("rpc-compat");
    let genesis = std::fs::read_to_string(vectors.join("genesis.json")).unwrap();
    let blocks = read_blocks(&std::fs::read(vectors.join("chain.rlp")).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let chain = imported(folder.path(), &genesis);
    let everywhere: Vec<(&str, Boxed)> = vec![
        (
            "state root",
            Box::new(header(|h| h.state_root = B256::repeat_byte(1))),
        ),
        (
            "receipts",
            Box::new(header(|h| h.receipts_root = B256::repeat_byte(1))),
        ),
        ("bloom", Box::new(header(|h| h.logs_bloom.0[3] ^= 1))),
        (
            "transactions",
            Box::new(header(|h| h.transactions_root = B256::ZERO)),
        ),
        ("ommers", Box::new(header(|h| h.ommers_hash = B256::ZERO))),
        ("parent", Box::new(header(|h| h.parent_hash = B256::ZERO))),
        ("gas", Box::new(header(|h| h.gas_used += 1))),
        (
            "gas limit",
            Box::new(header(|h| h.gas_limit += h.gas_limit / 1000)),
        ),
        ("gas", Box::new(header(|h| h.gas_used = h.gas_limit + 1))),
        ("follow", Box::new(header(|h| h.number += 1))),
        ("timestamp", Box::new(header(|h| h.timestamp = 0))),
        (
            "extra data",
            Box::new(header(|h| h.extra_data = Bytes::from(vec![0; 33]))),
        ),
        (
            "difficulty",
            Box::new(header(|h| h.difficulty += U256::from(1))),
        ),
        (
            "transactions",
            Box::new(|b: &mut Foreign| drop(b.body.transactions.pop())),
        ),
        (
            "transactions",
            Box::new(|b: &mut Foreign| b.body.transactions.rotate_left(1)),
        ),
    ];
    let drop_fields = |b: &mut Foreign| {
        let h = &mut b.header;
        let was = h.withdrawals_root.is_some();
        h.withdrawals_root = (!was).then_some(B256::ZERO);
        if was {
            (h.blob_gas_used, h.excess_blob_gas) = (None, None);
            (h.parent_beacon_block_root, h.requests_hash) = (None, None);
        }
    };
    let since_london: Vec<Change> = vec![
        ("withdrawalsRoot", drop_fields),
        ("base fee", |b| {
            b.header.base_fee_per_gas = b.header.base_fee_per_gas.map(|fee| fee + 1);
        }),
    ];
    let since_merge: Vec<Change> = vec![("merge", |b| b.header.nonce = B64::repeat_byte(1))];
    let since_shanghai: Vec<Change> = vec![
        ("withdrawals", |b| {
            b.header.withdrawals_root = Some(B256::ZERO)
        }),
        ("withdrawals", |b| {
            b.body
                .withdrawals
                .as_mut()
                .unwrap()
                .0
                .push(Default::default());
        }),
    ];
    let since_cancun: Vec<Change> = vec![
        ("excess", |b| b.header.excess_blob_gas = Some(1 << 17)),
        ("blob", |b| {
            b.header.blob_gas_used = b.header.blob_gas_used.map(|gas| gas + (1 << 17))
        }),
        ("state root", |b| {
            b.header.parent_beacon_block_root = Some(B256::repeat_byte(7))
        }),
        ("more than", |b| b.header.blob_gas_used = Some(1 << 60)),
    ];
    let since_prague: Vec<Change> =
        vec![("requests", |b| b.header.requests_hash = Some(B256::ZERO))];
    let mut refused = 0;
    for block in &blocks {
        let head = &block.header;
        let later: Vec<&Change> = [
            (head.base_fee_per_gas.is_some(), &since_london),
            (head.difficulty.is_zero(), &since_merge),
            (head.withdrawals_root.is_some(), &since_shanghai),
            (head.excess_blob_gas.is_some(), &since_cancun),
            (head.requests_hash.is_some(), &since_prague),
        ]
        .into_iter()
        .filter(|(holds, _)| *holds)
        .flat_map(|(_, changes)| changes)
        .collect();
        let all = everywhere
            .iter()
            .map(|(word, change)| (*word, &**change as &dyn Fn(&mut Foreign)))
            .chain(
                later
                    .iter()
                    .map(|(word, change)| (*word, change as &dyn Fn(&mut Foreign))),
            );
        // Every rule in every fork would take long: each block tries half, each is tried in every second block.
        for (i, (word, change)) in all.enumerate() {
            if !(i as u64 + head.number).is_multiple_of(2) {
                continue;
            }
            let mut wrong = block.clone();
            change(&mut wrong);
            if wrong == *block {
                continue;
            }
            let why = refusal(&chain, &alloy_rlp::encode(&wrong));
            assert!(why.contains(word), "block {}, {word}: {why}", head.number);
            refused += 1;
        }
        chain.import(&alloy_rlp::encode(block)).unwrap();
    }
    assert!(refused > 400, "{refused}");
}

#[test]
fn ommers_are_checked() {
    let Some(vectors) = common::vectors() else {
        return;
    };
    let vectors = vectors.join("rpc-compat");
    let genesis = std::fs::read_to_string(vectors.join("genesis.json")).unwrap();
    let blocks = read_blocks(&std::fs::read(vectors.join("chain.rlp")).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let chain = imported(folder.path(), &genesis);
    let with = |block: &Foreign, ommers: Vec<Header>| {
        let mut block = block.clone();
        block.header.ommers_hash = alloy_consensus::proofs::calculate_ommers_root(&ommers);
        block.body.ommers = ommers;
        alloy_rlp::encode(&block)
    };
    for block in &blocks[..35] {
        if let [ommer] = block.body.ommers.as_slice() {
            let number = block.header.number as usize;
            let changed = |change: fn(&mut Header)| {
                let mut ommer = ommer.clone();
                change(&mut ommer);
                ommer
            };
            for (ommers, word) in [
                (vec![ommer.clone(), ommer.clone()], "one already"),
                (vec![ommer.clone(); 3], "too many"),
                (vec![blocks[number - 2].header.clone()], "no ommer"),
                (vec![block.header.clone()], "not older"),
                (
                    vec![changed(|ommer| ommer.difficulty += U256::from(1))],
                    "stand",
                ),
                (vec![changed(|ommer| ommer.gas_limit *= 2)], "stand"),
                (
                    vec![changed(|ommer| ommer.parent_hash = B256::ZERO)],
                    "no parent",
                ),
                (vec![changed(|ommer| ommer.number -= 1)], "parent"),
                (vec![changed(|ommer| ommer.number = 0)], "ommer"),
                (vec![changed(|ommer| ommer.number = u64::MAX)], "old"),
                (vec![], "state root"),
            ] {
                let why = refusal(&chain, &with(block, ommers));
                assert!(why.contains(word), "block {number}, {word}: {why}");
            }
        }
        chain.import(&alloy_rlp::encode(block)).unwrap();
        if let [ommer] = block.body.ommers.as_slice() {
            let next = &blocks[block.header.number as usize];
            let why = refusal(&chain, &with(next, vec![ommer.clone()]));
            assert!(why.contains("one already"), "{why}");
        }
    }
}

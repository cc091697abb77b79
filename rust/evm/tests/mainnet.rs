//! Real Ethereum blocks: every transaction encodes, hashes, recovers and counts towards the root as the block says.

mod common;

use alloy_consensus::proofs::ordered_trie_root_encoded;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes};
use dougong_evm::batch::{self, Batch, DeclaredBlock};
use dougong_evm::tx::{Envelope, SenderCache, decode_all};
use flate2::read::GzDecoder;
use serde_json::Value;

#[test]
fn mainnet_transactions_decode_hash_recover_and_survive_a_batch() {
    let Some(vectors) = common::vectors() else {
        return;
    };
    let mut seen = 0;
    for file in std::fs::read_dir(vectors.join("ethereum-blocks")).unwrap() {
        let reader = GzDecoder::new(std::fs::File::open(file.unwrap().path()).unwrap());
        let block: Value = serde_json::from_reader(reader).unwrap();
        let given = block["transactions"].as_array().unwrap();
        let txs: Vec<Bytes> = given
            .iter()
            .map(|tx| {
                serde_json::from_value::<Envelope>(tx.clone())
                    .unwrap()
                    .encoded_2718()
                    .into()
            })
            .collect();
        let senders = SenderCache::new(100);
        for _again_from_the_cache in 0..2 {
            for (tx, given) in decode_all(&txs, &senders).iter().zip(given) {
                let tx = tx.as_ref().unwrap();
                assert_eq!(
                    *tx.hash(),
                    given["hash"].as_str().unwrap().parse::<B256>().unwrap()
                );
                assert_eq!(
                    tx.sender,
                    given["from"].as_str().unwrap().parse::<Address>().unwrap()
                );
            }
        }
        let root: B256 = block["transactionsRoot"].as_str().unwrap().parse().unwrap();
        assert_eq!(ordered_trie_root_encoded(&txs), root);
        let declared = Batch {
            parent_hash: root,
            blocks: vec![DeclaredBlock {
                timestamp: 1,
                inbox_end: 0,
                txs,
            }],
        };
        for level in [1, 3, 22] {
            let data = batch::encode(&declared, level).unwrap();
            assert_eq!(batch::decode(&data, 60_000_000).as_ref(), Some(&declared));
        }
        seen += given.len();
    }
    assert_eq!(seen, 3893);
}

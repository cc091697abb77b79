//! What the tests share: the vectors' folder and signed transactions.
#![allow(dead_code)]

use dougong_evm::alloy::{Address, B256, Bytes};
use dougong_evm::chain::Chain;
use dougong_evm::sign::sign_transaction;
use dougong_evm::store::DEFAULT_MAP_BYTES;
use dougong_evm::tx::{SenderCache, decode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The shared vectors, or None (said aloud) where they are not.
pub fn vectors() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let path = std::env::var_os("DOUGONG_VECTORS").map_or(default, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no vectors at {}", path.display());
    None
}

pub const CHAIN_ID: u64 = 1337;

pub struct Actor {
    pub key: [u8; 32],
    pub address: Address,
}

impl Actor {
    pub fn new(seed: u8) -> Self {
        let key = [seed.max(1); 32];
        let probe =
            json!({"chainId": 1, "nonce": 0, "gas": 21000, "gasPrice": 1, "to": Address::ZERO})
                .to_string();
        let address = decode(&sign_transaction(&probe, &key).unwrap())
            .unwrap()
            .sender;
        Self { key, address }
    }

    pub fn sign(&self, mut fields: Value) -> Bytes {
        let defaults = json!({"type": 2, "chainId": CHAIN_ID, "gas": 21000, "maxFeePerGas": 10_000_000_000u64});
        for (name, value) in defaults.as_object().unwrap() {
            fields
                .as_object_mut()
                .unwrap()
                .entry(name)
                .or_insert(value.clone());
        }
        sign_transaction(&fields.to_string(), &self.key)
            .unwrap()
            .into()
    }

    pub fn pay(&self, nonce: u64, to: Address, wei: u64) -> Bytes {
        self.sign(json!({"nonce": nonce, "to": to, "value": wei}))
    }
}

pub fn genesis(alloc: Value) -> String {
    json!({
        "config": {"chainId": CHAIN_ID, "pragueTime": 0},
        "coinbase": "0x00000000000000000000000000000000000000fe",
        "gasLimit": "0x1c9c380", "timestamp": "0x64", "difficulty": "0x0", "alloc": alloc,
    })
    .to_string()
}

pub fn rich(actors: &[&Actor]) -> Value {
    actors
        .iter()
        .map(|actor| {
            (
                actor.address.to_string(),
                json!({"balance": "0xd3c21bcecceda1000000"}),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub fn open(path: &Path, genesis: &str) -> Chain {
    Chain::open(
        path,
        genesis,
        DEFAULT_MAP_BYTES,
        Arc::new(SenderCache::new(1024)),
    )
    .unwrap()
}

pub fn hash(chain: &Chain) -> B256 {
    chain.head().unwrap().sealed.hash
}

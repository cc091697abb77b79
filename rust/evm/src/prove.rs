//! Making EIP-1186 proofs from the stored tries (`proof` checks them).

use alloy_primitives::{Address, B256, U256};
use alloy_trie::KECCAK_EMPTY;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::json::{hex, to_bytes};
use crate::node::root_hash;
use crate::store::Store;
use crate::view::At;
use crate::{trie, world};

/// EIP-1186: an account and some of its slots, with proofs under the state root of block `number`. As geth shows them, a slot that
/// was asked for in fewer than 32 bytes is a number.
pub fn proof(store: &Store, address: Address, slots: &[Vec<u8>], number: u64) -> Result<Vec<u8>> {
    let (_, at) = At::open(store, Some(number))?;
    let (account_proof, leaf) = trie::prove(&at, at.root.as_ref(), &world::address_key(&address))?;
    let (account, storage) = match leaf {
        Some(leaf) => world::parse(leaf)?,
        None => (
            alloy_trie::TrieAccount {
                code_hash: KECCAK_EMPTY,
                ..Default::default()
            },
            None,
        ),
    };
    let storage_proof: Vec<Value> = slots
        .iter()
        .map(|slot| {
            let number = U256::try_from_be_slice(slot)
                .ok_or_else(|| Error::Invalid("a storage slot is at most 32 bytes".into()))?;
            let key = world::slot_key(&number);
            let (proof, leaf) = trie::prove(&at, storage.as_ref(), &key)?;
            let value = match leaf {
                Some(leaf) => alloy_rlp::decode_exact::<U256>(&leaf.value)?,
                None => U256::ZERO,
            };
            let shown = match slot.len() {
                32 => json!(B256::from(number)),
                _ => hex(number),
            };
            Ok(json!({ "key": shown, "value": hex(value), "proof": proof }))
        })
        .collect::<Result<_>>()?;
    Ok(to_bytes(&json!({
        "address": address,
        "accountProof": account_proof,
        "balance": hex(account.balance),
        "codeHash": account.code_hash,
        "nonce": hex(account.nonce),
        "storageHash": root_hash(storage.as_ref()),
        "storageProof": storage_proof,
    })))
}

//! The state trie: accounts under the hashes of their addresses, each with its storage trie.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{Nibbles, TrieAccount};
use rayon::prelude::*;

use crate::error::Result;
use crate::keccak;
use crate::node::{Leaf, Link, NodeSource, root_hash};
use crate::state::{Account, AccountChange};
use crate::trie::{self, Change, Value};

pub fn address_key(address: &Address) -> Nibbles {
    Nibbles::unpack_array(&keccak256(address).0)
}

pub fn slot_key(slot: &U256) -> Nibbles {
    Nibbles::unpack_array(&keccak256(B256::from(*slot)).0)
}

/// Accounts whose keys are hashed side by side.
const TOGETHER: usize = 64;

/// The state trie after a block's changes.
pub fn update<S: NodeSource + Sync>(
    source: &S,
    root: Option<Link>,
    changes: &[AccountChange],
) -> Result<Option<Link>> {
    let some = |changes: &[AccountChange]| -> Result<Vec<Change>> {
        let addresses: Vec<Address> = changes.iter().map(|change| change.address).collect();
        let keys = keccak::all(&addresses);
        let each = changes.iter().zip(keys);
        each.map(|(change, key)| {
            leaf_change(source, root.as_ref(), change, Nibbles::unpack_array(&key.0))
        })
        .collect()
    };
    let mut leaves: Vec<Change> = if changes.len() >= 16 {
        let together = changes.len().div_ceil(8).min(TOGETHER);
        let chunks: Vec<Vec<Change>> = changes
            .par_chunks(together)
            .map(some)
            .collect::<Result<_>>()?;
        chunks.into_iter().flatten().collect()
    } else {
        some(changes)?
    };
    leaves.par_sort_unstable_by_key(|change| change.0);
    trie::update(source, root, leaves)
}

fn leaf_change<S: NodeSource + Sync>(
    source: &S,
    root: Option<&Link>,
    change: &AccountChange,
    key: Nibbles,
) -> Result<Change> {
    let Some(account) = change.after else {
        return Ok((key, None));
    };
    let kept = match (change.before, change.reset) {
        (Some(_), false) => trie::get(source, root, &key)?.and_then(|leaf| leaf.storage),
        _ => None,
    };
    let storage = if change.storage.is_empty() {
        kept
    } else {
        let slots = change.storage.iter().map(|(slot, ..)| B256::from(*slot));
        let keys = keccak::all(&slots.collect::<Vec<_>>());
        let mut slots: Vec<Change> = change
            .storage
            .iter()
            .zip(keys)
            .map(|((.., value), key)| {
                let value = (!value.is_zero()).then(|| Value {
                    bytes: alloy_rlp::encode(value),
                    storage: None,
                });
                (Nibbles::unpack_array(&key.0), value)
            })
            .collect();
        slots.sort_unstable_by_key(|change| change.0);
        trie::update(source, kept, slots)?
    };
    let bytes = alloy_rlp::encode(TrieAccount {
        nonce: account.nonce,
        balance: account.balance,
        storage_root: root_hash(storage.as_ref()),
        code_hash: account.code_hash,
    });
    Ok((key, Some(Value { bytes, storage })))
}

/// An account in the state under `root`, with its storage trie.
pub fn account<S: NodeSource + ?Sized>(
    source: &S,
    root: Option<&Link>,
    address: &Address,
) -> Result<Option<(TrieAccount, Option<Link>)>> {
    trie::get(source, root, &address_key(address))?
        .map(parse)
        .transpose()
}

pub fn parse(leaf: Leaf) -> Result<(TrieAccount, Option<Link>)> {
    Ok((
        TrieAccount::decode(&mut leaf.value.as_slice())?,
        leaf.storage,
    ))
}

pub fn slot<S: NodeSource + ?Sized>(
    source: &S,
    storage: Option<&Link>,
    slot: &U256,
) -> Result<U256> {
    match trie::get(source, storage, &slot_key(slot))? {
        None => Ok(U256::ZERO),
        Some(leaf) => Ok(U256::decode(&mut leaf.value.as_slice())?),
    }
}

impl From<&TrieAccount> for Account {
    fn from(account: &TrieAccount) -> Self {
        Self {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
        }
    }
}

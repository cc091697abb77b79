//! The state trie: accounts under the hashes of their addresses, each with its storage trie.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{Nibbles, TrieAccount};
use rayon::prelude::*;

use crate::error::Result;
use crate::node::{Leaf, Link, NodeSource, root_hash};
use crate::state::{Account, AccountChange};
use crate::trie::{self, Change, Value};

pub fn address_key(address: &Address) -> Nibbles {
    Nibbles::unpack_array(&keccak256(address).0)
}

pub fn slot_key(slot: &U256) -> Nibbles {
    Nibbles::unpack_array(&keccak256(B256::from(*slot)).0)
}

/// The state trie after a block's changes.
pub fn update<S: NodeSource + Sync>(
    source: &S,
    root: Option<Link>,
    changes: &[AccountChange],
) -> Result<Option<Link>> {
    let one = |change: &AccountChange| leaf_change(source, root.as_ref(), change);
    let mut leaves: Vec<Change> = if changes.len() >= 16 {
        changes
            .par_iter()
            .with_min_len(8)
            .map(one)
            .collect::<Result<_>>()?
    } else {
        changes.iter().map(one).collect::<Result<_>>()?
    };
    leaves.sort_unstable_by_key(|change| change.0);
    trie::update(source, root, leaves)
}

fn leaf_change<S: NodeSource + Sync>(
    source: &S,
    root: Option<&Link>,
    change: &AccountChange,
) -> Result<Change> {
    let key = address_key(&change.address);
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
        let mut slots: Vec<Change> = change
            .storage
            .iter()
            .map(|(slot, _, value)| {
                let value = (!value.is_zero()).then(|| Value {
                    bytes: alloy_rlp::encode(value),
                    storage: None,
                });
                (slot_key(slot), value)
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

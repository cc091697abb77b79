//! Checking EIP-1186 proofs against a root.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::{Decodable, EMPTY_STRING_CODE, Header};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};

/// The value that `proof` shows under `root` for a key (None: shown to be absent). The error says why it shows nothing.
pub fn verify(root: B256, key: &[u8], proof: &[Vec<u8>]) -> Result<Option<Vec<u8>>, String> {
    if root == EMPTY_ROOT_HASH && proof.iter().all(|node| node == &[EMPTY_STRING_CODE]) {
        return Ok(None);
    }
    let key = Nibbles::unpack(keccak256(key));
    let mut nodes = proof.iter();
    let mut reference = root.to_vec();
    let mut depth = 0;
    let mut spent = 0;
    let outcome = loop {
        // A reference of 32 bytes is a hash; a shorter node lies in its parent.
        let node = if reference.len() == 32 {
            let node = nodes.next().ok_or("the proof ends before the key does")?;
            if keccak256(node).as_slice() != reference {
                return Err(format!(
                    "node {spent} of the proof is not the one that its parent names"
                ));
            }
            spent += 1;
            node.clone()
        } else {
            core::mem::take(&mut reference)
        };
        let items =
            items(&node).map_err(|error| format!("node {} does not decode: {error}", spent - 1))?;
        match items.as_slice() {
            [path, value] => {
                let (path, leaf) =
                    decode_path(path).ok_or("a path in the proof is not canonical")?;
                let matches = key.slice(depth.min(key.len())..).starts_with(&path);
                if leaf {
                    let whole = matches && depth + path.len() == key.len();
                    break whole.then(|| string(value)).transpose()?;
                }
                if !matches {
                    break None;
                }
                depth += path.len();
                reference = child(value)?.ok_or("an extension leads nowhere")?;
            }
            branch if branch.len() == 17 => {
                let nibble = key.get(depth).ok_or("the proof is deeper than the key")?;
                depth += 1;
                match child(branch[usize::from(nibble)])? {
                    Some(next) => reference = next,
                    None => break None,
                }
            }
            _ => return Err("a node of the proof has neither 2 nor 17 items".into()),
        }
    };
    if nodes.next().is_some() {
        return Err("the proof goes on after the key's end".into());
    }
    Ok(outcome)
}

/// An account under a state root.
pub fn verify_account(
    root: B256,
    address: Address,
    proof: &[Vec<u8>],
) -> Result<Option<TrieAccount>, String> {
    let Some(value) = verify(root, address.as_slice(), proof)? else {
        return Ok(None);
    };
    let mut rest = value.as_slice();
    let account = TrieAccount::decode(&mut rest)
        .map_err(|error| format!("the account does not decode: {error}"))?;
    if rest.is_empty() {
        Ok(Some(account))
    } else {
        Err("bytes follow the account".into())
    }
}

/// A slot's value under a storage root; zero if it is shown to be absent.
pub fn verify_storage(root: B256, slot: B256, proof: &[Vec<u8>]) -> Result<U256, String> {
    let Some(value) = verify(root, slot.as_slice(), proof)? else {
        return Ok(U256::ZERO);
    };
    let mut rest = value.as_slice();
    let value =
        U256::decode(&mut rest).map_err(|error| format!("the slot does not decode: {error}"))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err("bytes follow the slot".into())
    }
}

/// The items of an RLP list, each with its header.
fn items(node: &[u8]) -> Result<Vec<&[u8]>, alloy_rlp::Error> {
    let mut rest = node;
    let mut list = Header::decode_bytes(&mut rest, true)?;
    if !rest.is_empty() {
        return Err(alloy_rlp::Error::UnexpectedLength);
    }
    let mut items = Vec::with_capacity(17);
    while !list.is_empty() {
        let before = list;
        let header = Header::decode(&mut list)?;
        list = list
            .get(header.payload_length..)
            .ok_or(alloy_rlp::Error::InputTooShort)?;
        items.push(&before[..before.len() - list.len()]);
    }
    Ok(items)
}

fn string(item: &[u8]) -> Result<Vec<u8>, String> {
    let mut rest = item;
    Header::decode_bytes(&mut rest, false)
        .map(<[u8]>::to_vec)
        .map_err(|error| format!("a value does not decode: {error}"))
}

/// A child's reference: a hash, the child itself when it is short, or nothing.
fn child(item: &[u8]) -> Result<Option<Vec<u8>>, String> {
    match item {
        [EMPTY_STRING_CODE] => Ok(None),
        [first, hash @ ..] if *first == EMPTY_STRING_CODE + 32 && hash.len() == 32 => {
            Ok(Some(hash.to_vec()))
        }
        [first, ..] if *first >= 0xC0 && item.len() < 32 => Ok(Some(item.to_vec())),
        _ => Err("a child is neither a hash nor a short node".into()),
    }
}

fn decode_path(item: &[u8]) -> Option<(Nibbles, bool)> {
    let mut rest = item;
    let path = Header::decode_bytes(&mut rest, false).ok()?;
    let flag = *path.first()?;
    if path.len() > 33 || flag > 0x3F {
        return None;
    }
    let mut nibbles = Nibbles::new();
    if flag & 0x10 != 0 {
        nibbles.push(flag & 0x0F);
    } else if flag & 0x0F != 0 {
        return None;
    }
    if nibbles.len() + (path.len() - 1) * 2 > 64 {
        return None;
    }
    nibbles.extend(&Nibbles::unpack(&path[1..]));
    Some((nibbles, flag & 0x20 != 0))
}

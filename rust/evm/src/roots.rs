//! The roots that a block's header has of lists: transactions and receipts, each under the RLP of its index, on all cores.
//!
//! Source: Ethereum yellow paper, section 4.3.2 and appendix D. Nothing of such a trie is kept, so only encodings are made, and leaves
//! are hashed side by side. The logs' blooms (section 4.3.1) are here too: what most logs of a block share, a contract and an event,
//! is hashed once a thread.

use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, B256, Bloom, BloomInput, keccak256};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};
use alloy_trie::nodes::{RlpNode, encode_path_leaf};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use rayon::prelude::*;

use crate::block::StoredReceipt;
use crate::keccak;

/// Items below which a subtree is made on one core.
const PARALLEL: usize = 64;
/// Hashes that a thread keeps while it makes blooms.
const KEPT: usize = 8192;

/// The root of the trie of these items, each encoded by `encode`.
pub fn ordered_root<T: Sync>(items: &[T], encode: impl Fn(&T, &mut Vec<u8>) + Sync) -> B256 {
    if items.is_empty() {
        return EMPTY_ROOT_HASH;
    }
    let mut keys: Vec<(Nibbles, &T)> = Vec::with_capacity(items.len());
    // As their RLP sorts: 0x01 to 0x7f, 0x80 (which is 0), 0x81...
    let order = (1..items.len().min(128)).chain([0]).chain(128..items.len());
    for index in order {
        let mut key = [0; 9];
        let mut rest = &mut key[..];
        index.encode(&mut rest);
        let length = 9 - rest.len();
        keys.push((Nibbles::unpack(&key[..length]), &items[index]));
    }
    let node = subtree(&keys, 0, &encode);
    // A root is hashed even if it is short.
    node.as_hash().unwrap_or_else(|| keccak256(&node))
}

/// An item under its key.
type Keyed<'a, T> = (Nibbles, &'a T);

/// The node over these keys, as its parent holds it.
fn subtree<T: Sync>(
    items: &[Keyed<'_, T>],
    depth: usize,
    encode: &(impl Fn(&T, &mut Vec<u8>) + Sync),
) -> RlpNode {
    if items.len() < PARALLEL {
        return joined(items, &leaves(items, depth, encode), depth);
    }
    let place = fork(items, depth);
    let groups: Vec<_> = items.chunk_by(same(place)).collect();
    let one =
        |group: &&[Keyed<'_, T>]| (nibble(&group[0], place), subtree(group, place + 1, encode));
    let children: Vec<(usize, RlpNode)> = groups.par_iter().map(one).collect();
    branch(&items[0].0.slice(depth..place), &children)
}

/// Where the keys part.
fn fork<T>(items: &[Keyed<'_, T>], depth: usize) -> usize {
    let (first, last) = (&items[0].0, &items[items.len() - 1].0);
    depth
        + first
            .slice(depth..)
            .common_prefix_length(&last.slice(depth..))
}

fn nibble<T>(item: &Keyed<'_, T>, place: usize) -> usize {
    usize::from(item.0.get_unchecked(place))
}

fn same<'a, T>(place: usize) -> impl Fn(&Keyed<'a, T>, &Keyed<'a, T>) -> bool {
    move |a, b| nibble(a, place) == nibble(b, place)
}

/// The leaves of a subtree, hashed side by side.
fn leaves<T>(
    items: &[Keyed<'_, T>],
    depth: usize,
    encode: &impl Fn(&T, &mut Vec<u8>),
) -> Vec<RlpNode> {
    let (mut rlp, mut ends) = (Vec::with_capacity(512 * items.len()), Vec::new());
    let mut value = Vec::with_capacity(1024);
    encode_leaves(items, depth, &mut |path: &Nibbles, item: &T| {
        value.clear();
        encode(item, &mut value);
        let put = |out: &mut Vec<u8>| value[..].encode(out);
        pair(path, true, put, value[..].length(), &mut rlp);
        ends.push(rlp.len());
    });
    let starts = [0].into_iter().chain(ends.iter().copied());
    let each: Vec<&[u8]> = starts
        .zip(&ends)
        .map(|(start, end)| &rlp[start..*end])
        .collect();
    // What is shorter than a hash stands for itself.
    let hashes = keccak::all(&each);
    let nodes = each.iter().zip(hashes).map(|(rlp, hash)| {
        let short = RlpNode::from_raw(rlp).filter(|rlp| rlp.len() < 32);
        short.unwrap_or_else(|| RlpNode::word_rlp(&hash))
    });
    nodes.collect()
}

/// Goes over the leaves in order, each with the rest of its key.
fn encode_leaves<T>(items: &[Keyed<'_, T>], depth: usize, put: &mut impl FnMut(&Nibbles, &T)) {
    if let [(key, item)] = items {
        return put(&key.slice(depth..), item);
    }
    let place = fork(items, depth);
    for group in items.chunk_by(same(place)) {
        encode_leaves(group, place + 1, put);
    }
}

/// The node over leaves that are hashed already.
fn joined<T>(items: &[Keyed<'_, T>], mut leaves: &[RlpNode], depth: usize) -> RlpNode {
    if let [leaf] = leaves {
        return leaf.clone();
    }
    let place = fork(items, depth);
    let mut children = Vec::with_capacity(16);
    for group in items.chunk_by(same(place)) {
        let (mine, others) = leaves.split_at(group.len());
        children.push((nibble(&group[0], place), joined(group, mine, place + 1)));
        leaves = others;
    }
    branch(&items[0].0.slice(depth..place), &children)
}

/// A branch, and an extension if there is a path to it.
fn branch(path: &Nibbles, children: &[(usize, RlpNode)]) -> RlpNode {
    let mut slots: [Option<&RlpNode>; 16] = [None; 16];
    for (nibble, child) in children {
        slots[*nibble] = Some(child);
    }
    let payload_length = 1 + slots
        .iter()
        .map(|slot| slot.map_or(1, |node| node.len()))
        .sum::<usize>();
    let mut rlp = Vec::with_capacity(payload_length + 3);
    let list = Header {
        list: true,
        payload_length,
    };
    list.encode(&mut rlp);
    for slot in slots {
        match slot {
            Some(node) => rlp.extend_from_slice(node),
            None => rlp.push(EMPTY_STRING_CODE),
        }
    }
    rlp.push(EMPTY_STRING_CODE);
    let branch = RlpNode::from_rlp(&rlp);
    if path.is_empty() {
        return branch;
    }
    rlp.clear();
    let put = |out: &mut Vec<u8>| out.extend_from_slice(&branch);
    pair(path, false, put, branch.len(), &mut rlp);
    RlpNode::from_rlp(&rlp)
}

/// A leaf or an extension.
fn pair(
    path: &Nibbles,
    leaf: bool,
    put: impl FnOnce(&mut Vec<u8>),
    length: usize,
    rlp: &mut Vec<u8>,
) {
    let path = encode_path_leaf(path, leaf);
    let list = Header {
        list: true,
        payload_length: path[..].length() + length,
    };
    list.encode(rlp);
    path[..].encode(rlp);
    put(rlp);
}

/// Hashes of what blooms are made of.
#[derive(Default)]
struct Hashes {
    addresses: AddressMap<B256>,
    topics: B256Map<B256>,
}

impl Hashes {
    fn bloom(&mut self, receipt: &StoredReceipt) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for log in &receipt.logs {
            bloom.accrue(BloomInput::Hash(self.address(&log.address)));
            for topic in log.topics() {
                bloom.accrue(BloomInput::Hash(self.topic(topic)));
            }
        }
        bloom
    }

    fn address(&mut self, address: &Address) -> B256 {
        if self.addresses.len() >= KEPT {
            self.addresses.clear();
        }
        *self
            .addresses
            .entry(*address)
            .or_insert_with(|| keccak256(address))
    }

    fn topic(&mut self, topic: &B256) -> B256 {
        if self.topics.len() >= KEPT {
            self.topics.clear();
        }
        *self
            .topics
            .entry(*topic)
            .or_insert_with(|| keccak256(topic))
    }
}

/// Each receipt's bloom.
pub fn blooms(receipts: &[StoredReceipt]) -> Vec<Bloom> {
    if receipts.len() < PARALLEL {
        let mut hashes = Hashes::default();
        return receipts
            .iter()
            .map(|receipt| hashes.bloom(receipt))
            .collect();
    }
    receipts
        .par_chunks(512)
        .flat_map_iter(|chunk| {
            let mut hashes = Hashes::default();
            chunk.iter().map(move |receipt| hashes.bloom(receipt))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::proofs::ordered_trie_root_with_encoder;
    use alloy_primitives::{Bytes, Log};
    use proptest::prelude::*;

    fn both(items: &[Vec<u8>]) -> (B256, B256) {
        let put = |item: &Vec<u8>, out: &mut Vec<u8>| out.extend_from_slice(item);
        let known = ordered_trie_root_with_encoder(items, |item, out| out.extend_from_slice(item));
        (ordered_root(items, put), known)
    }

    #[test]
    fn every_length_has_the_root_that_others_give_it() {
        for length in (0..300).chain([4095, 4096, 4097, 65_535, 65_540]) {
            let items: Vec<Vec<u8>> = (0..length)
                .map(|i: usize| i.to_be_bytes().repeat(5))
                .collect();
            let (ours, known) = both(&items);
            assert_eq!(ours, known, "{length}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_items(items: Vec<Vec<u8>>) {
            let (ours, known) = both(&items);
            prop_assert_eq!(ours, known);
        }

        #[test]
        fn a_bloom_is_that_of_its_logs(logs in prop::collection::vec((0..3u8, prop::collection::vec(0..4u8, 0..4)), 0..200)) {
            let receipts: Vec<StoredReceipt> = logs
                .iter()
                .map(|(address, topics)| {
                    let topics = topics.iter().map(|topic| B256::repeat_byte(*topic)).collect();
                    let log = Log::new_unchecked(Address::repeat_byte(*address), topics, Bytes::new());
                    StoredReceipt { tx_type: 2, success: true, cumulative_gas_used: 0, logs: vec![log.clone(), log], state_root: None }
                })
                .collect();
            let known: Vec<Bloom> = receipts.iter().map(StoredReceipt::bloom).collect();
            prop_assert_eq!(blooms(&receipts), known);
        }
    }
}

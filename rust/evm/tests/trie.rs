//! The tries against alloy's own root computation, over random histories of batched changes.

use alloy_primitives::{B256, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, root::storage_root_unhashed};
use dougong_evm::error::{Error, Result};
use dougong_evm::node::{Link, Node, NodeId, NodeSource, parse_record, persist, root_hash};
use dougong_evm::proof;
use dougong_evm::trie::{self, Change, Value};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Default)]
struct Table(HashMap<NodeId, Vec<u8>>);

impl NodeSource for Table {
    fn record(&self, id: NodeId) -> Result<Arc<Node>> {
        let data = self
            .0
            .get(&id)
            .ok_or_else(|| Error::Corrupt(format!("no node {id}")))?;
        parse_record(id, data)
    }
}

fn slot(number: u16) -> B256 {
    U256::from(number).into()
}

fn key(number: u16) -> Nibbles {
    Nibbles::unpack(keccak256(slot(number)))
}

fn encoded(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    U256::from(value).encode(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After each batch the root is alloy's; each old root still reads and proves what it held; reloading from records
    /// changes nothing.
    #[test]
    fn every_state_of_a_random_history_is_right_and_stays_readable(
        batches in prop::collection::vec(prop::collection::btree_map(0u16..600, 0u64..4, 1..200), 1..8),
        reload in any::<bool>(),
    ) {
        let mut table = Table::default();
        let mut next: NodeId = 1;
        let mut root: Option<Link> = None;
        let mut state: BTreeMap<u16, u64> = BTreeMap::new();
        let mut history = Vec::new();
        for batch in batches {
            let mut changes: Vec<Change> = batch
                .iter()
                .map(|(number, value)| {
                    (key(*number), (*value > 0).then(|| Value { bytes: encoded(*value), storage: None }))
                })
                .collect();
            changes.sort_by_key(|change| change.0);
            root = trie::update(&table, root, changes).unwrap();
            for (number, value) in batch {
                if value > 0 { state.insert(number, value); } else { state.remove(&number); }
            }
            let expected = storage_root_unhashed(state.iter().map(|(number, value)| (slot(*number), U256::from(*value))));
            prop_assert_eq!(root_hash(root.as_ref()), expected);
            if let Some(root) = &root {
                let mut records = Vec::new();
                persist(root, &mut next, &mut |id, record| { records.push((id, record.to_vec())); Ok(()) }).unwrap();
                table.0.extend(records);
            }
            if reload {
                root = root.and_then(|root| Link::root(root.id(), &root.hash()));
            }
            history.push((root.as_ref().map_or(0, Link::id), expected, state.clone()));
        }
        for (id, hash, state) in history {
            let root = Link::root(id, &hash);
            for number in (0u16..600).step_by(23) {
                let (nodes, leaf) = trie::prove(&table, root.as_ref(), &key(number)).unwrap();
                let nodes: Vec<Vec<u8>> = nodes.into_iter().map(|node| node.to_vec()).collect();
                let value = state.get(&number).copied().unwrap_or_default();
                prop_assert_eq!(leaf.map(|leaf| leaf.value), state.get(&number).map(|value| encoded(*value)));
                prop_assert_eq!(proof::verify_storage(hash, slot(number), &nodes), Ok(U256::from(value)));
                // Any change of the proof makes it show nothing or the same, never another value.
                for cut in 0..nodes.len() {
                    let mut broken = nodes.clone();
                    broken.remove(cut);
                    prop_assert!(proof::verify_storage(hash, slot(number), &broken).is_err());
                    let mut broken = nodes.clone();
                    let last = broken[cut].len() - 1;
                    broken[cut][last] ^= 1;
                    prop_assert!(proof::verify_storage(hash, slot(number), &broken).is_err());
                }
                if hash != EMPTY_ROOT_HASH {
                    let mut longer = nodes.clone();
                    longer.push(vec![0x80]);
                    prop_assert!(proof::verify_storage(hash, slot(number), &longer).is_err());
                }
            }
        }
    }

    /// Short keys' nodes lie inside their parents: values that share long prefixes, as only mined keys can.
    #[test]
    fn nodes_shorter_than_a_hash_lie_in_their_parents(tails in prop::collection::btree_map(0u8..16, 1u64..3, 1..16)) {
        let table = Table::default();
        let changes: Vec<Change> = tails
            .iter()
            .map(|(tail, value)| {
                let mut raw = [0x11u8; 32];
                raw[31] = 0x10 | tail;
                (Nibbles::unpack(raw), Some(Value { bytes: encoded(*value), storage: None }))
            })
            .collect();
        let root = trie::update(&table, None, changes.clone()).unwrap();
        let mut builder = alloy_trie::HashBuilder::default();
        for (key, value) in &changes {
            builder.add_leaf(*key, &value.as_ref().unwrap().bytes);
        }
        prop_assert_eq!(root_hash(root.as_ref()), builder.root());
        for (key, value) in &changes {
            let leaf = trie::get(&table, root.as_ref(), key).unwrap().unwrap();
            prop_assert_eq!(&leaf.value, &value.as_ref().unwrap().bytes);
        }
        let removals: Vec<Change> = changes.iter().map(|(key, _)| (*key, None)).collect();
        prop_assert!(trie::update(&table, root, removals).unwrap().is_none());
    }
}

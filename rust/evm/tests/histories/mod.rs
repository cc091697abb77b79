//! Chains with a random past, and all that can be asked of one of their blocks.
#![allow(dead_code)]

use alloy_primitives::keccak256;
use dougong_evm::alloy::{Address, B256, Bytes, U256};
use dougong_evm::chain::Chain;
use dougong_evm::json as blocks;
use dougong_evm::node::{Kind, Link, root_hash};
use dougong_evm::prove;
use dougong_evm::receipts;
use dougong_evm::state::StateReader;
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::common::{Actor, genesis, open, rich};

pub fn register() -> Address {
    Address::repeat_byte(0xcc)
}

pub struct History {
    pub chain: Chain,
    pub actor: Actor,
    path: PathBuf,
    document: String,
}

#[derive(Clone, Debug)]
pub enum Move {
    Grow(u64),
    Back(u64),
    Prune(u64, u64, u64),
    Reopen,
}

pub fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (0u64..9).prop_map(Move::Grow),
        2 => (0u64..6).prop_map(Move::Back),
        2 => (1u64..8, 1u64..8, 1u64..6).prop_map(|(states, bodies, steps)| Move::Prune(states, bodies, steps)),
        1 => Just(Move::Reopen),
    ];
    prop::collection::vec(one, 5..40)
}

fn document(actor: &Actor) -> String {
    // Writes calldata[1] slots from calldata[0] on with the value calldata[2], and logs the first.
    let code = "0x60005b602035811015601b576040358160003501556001016002565b60003560006000a100";
    let mut alloc = rich(&[actor]);
    alloc[register().to_string()] = json!({"code": code, "balance": "0x0"});
    // A second account with the same code and a storage of its own.
    alloc[Address::repeat_byte(0xdd).to_string()] = json!({"code": code, "balance": "0x1",
        "storage": {"0x0000000000000000000000000000000000000000000000000000000000000005": "0x07"}});
    genesis(alloc)
}

impl History {
    pub fn new(path: &Path) -> Self {
        let actor = Actor::new(1);
        let document = document(&actor);
        Self {
            chain: open(path, &document),
            actor,
            path: path.into(),
            document,
        }
    }

    pub fn document(&self) -> &str {
        &self.document
    }

    pub fn head(&self) -> u64 {
        self.chain.head().unwrap().sealed.header.number
    }

    fn nonce(&self) -> u64 {
        let account = self.chain.at(None).unwrap().1.account(self.actor.address);
        account.unwrap().unwrap().nonce
    }

    fn write(&self, nonce: u64, to: Address, first: u64, count: u64, value: u64) -> Bytes {
        let words = [first, count, value].map(|word| B256::from(U256::from(word)).0);
        let data = Bytes::from(words.concat());
        self.actor
            .sign(json!({"nonce": nonce, "to": to, "gas": 28_000_000, "maxFeePerGas": 10_000_000_000_000u64, "data": data}))
    }

    fn build(&self, txs: &[Bytes]) {
        let timestamp = self.chain.head().unwrap().sealed.header.timestamp + 1;
        let built = self
            .chain
            .execute(timestamp, txs, false, Address::repeat_byte(0xbe))
            .unwrap();
        assert_eq!(built.included.len(), txs.len());
        self.chain.commit().unwrap();
    }

    /// A block whose content follows from `kind` and the nonce alone.
    pub fn grow(&mut self, kind: u64) {
        let nonce = self.nonce();
        let to = [register(), Address::repeat_byte(0xdd)][(kind % 2) as usize];
        let pay = |nonce: u64| {
            self.actor.pay(
                nonce,
                Address::from_word(keccak256([nonce as u8 % 41])),
                nonce + 1,
            )
        };
        let txs = match kind {
            0 => vec![],
            1 | 2 => vec![
                self.write(nonce, to, nonce % 19, 3, nonce % 3),
                pay(nonce + 1),
                self.actor.sign(
                    json!({"nonce": nonce + 2, "gas": 100_000, "data": "0x6001600c60003960016000f300"}),
                ),
            ],
            3 => (nonce..nonce + 5).map(pay).collect(),
            4 => vec![self.write(nonce, to, 0, 30, 0)],
            _ => vec![
                self.write(nonce, to, nonce % 7, 20, kind),
                pay(nonce + 1),
            ],
        };
        self.build(&txs);
    }

    /// Slots first..first+count of the register hold `value`.
    pub fn fill(&mut self, first: u64, count: u64, value: u64) {
        self.build(&[self.write(self.nonce(), register(), first, count, value)]);
    }

    pub fn rollback(&mut self, number: u64) {
        self.chain.rollback(number).unwrap();
    }

    pub fn grow_elsewhere_and_back(&mut self) {
        let head = self.head();
        self.grow(5);
        self.rollback(head);
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        let other = open(elsewhere.path(), &self.document);
        drop(std::mem::replace(&mut self.chain, other));
        self.chain = open(&self.path, &self.document);
    }
}

/// All that the interfaces tell of a block and its state.
pub fn everything(chain: &Chain, number: u64) -> String {
    let (record, state) = chain.at(Some(number)).unwrap();
    let mut out = vec![record.sealed.hash.to_string()];
    for address in [register(), Address::repeat_byte(0xdd)] {
        let slots: Vec<_> = (0..60)
            .map(|slot| state.storage(address, U256::from(slot)).unwrap())
            .collect();
        let keys: Vec<_> = (0..9)
            .map(|slot| B256::from(U256::from(slot)).to_vec())
            .collect();
        let proof = prove::proof(chain.store(), address, &keys, number).unwrap();
        out.push(format!("{slots:?} {}", String::from_utf8(proof).unwrap()));
    }
    for byte in 0..41u8 {
        out.push(format!(
            "{:?}",
            state
                .account(Address::from_word(keccak256([byte])))
                .unwrap()
        ));
    }
    out.push(String::from_utf8(blocks::block(chain.store(), number, true).unwrap()).unwrap());
    out.push(String::from_utf8(receipts::block(chain.store(), number).unwrap()).unwrap());
    out.join("\n")
}

/// Walks a whole state, holds every node against its hash, and adds the nodes' numbers.
pub fn nodes_of(chain: &Chain, number: u64, seen: &mut HashSet<u64>) {
    let (record, _) = chain.at(Some(number)).unwrap();
    let root = record.state();
    assert_eq!(root_hash(root.as_ref()), record.sealed.header.state_root);
    let mut links: Vec<Link> = root.into_iter().collect();
    let store = chain.store();
    let txn = store.read().unwrap();
    while let Some(link) = links.pop() {
        let node = store.node(&txn, link.id()).unwrap();
        let mut rlp = Vec::new();
        node.kind.encode_rlp(&mut rlp);
        assert_eq!(
            keccak256(&rlp),
            link.hash(),
            "node {} of block {number}",
            link.id()
        );
        seen.insert(link.id());
        match &node.kind {
            Kind::Leaf(leaf) => links.extend(leaf.storage.clone()),
            Kind::Extension { child, .. } => links.push(child.clone()),
            Kind::Branch(children) => links.extend(children.iter().flatten().cloned()),
        }
    }
}

//! The index finds what a reading of every block finds, whatever was rolled back meanwhile.

mod common;

use common::{Actor, genesis, open, rich};
use dougong_evm::alloy::{Address, B256, Bytes};
use dougong_evm::chain::Chain;
use dougong_evm::error::Error;
use dougong_evm::{logs, otterscan};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

/// log1(0, 0, calldataload(0))
const LOGGER: &str = "0x5f355f5fa100";
/// call(gas, calldataload(0), callvalue, 0, 0, 0, 0)
const FORWARDER: &str = "0x5f5f5f5f345f355af100";
/// The same, and then revert(0, 0).
const REVERTER: &str = "0x5f5f5f5f345f355af15f5ffd";
const LOGGERS: u8 = 3;

fn at(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

fn document(actor: &Actor) -> String {
    let mut alloc = rich(&[actor]);
    for byte in 0..LOGGERS {
        alloc[at(0xc0 + byte).to_string()] = json!({"code": LOGGER, "balance": "0x0"});
    }
    alloc[at(0xd0).to_string()] = json!({"code": FORWARDER, "balance": "0x0"});
    alloc[at(0xd1).to_string()] = json!({"code": REVERTER, "balance": "0x0"});
    genesis(alloc)
}

/// What one block does: to whom its transactions go, with which word.
type Step = Vec<(u8, u8)>;

fn send(actor: &Actor, nonce: u64, (kind, word): (u8, u8)) -> Bytes {
    let target = |address: Address| Bytes::from(B256::left_padding_from(address.as_slice()).0);
    match kind {
        0..LOGGERS => actor.sign(json!({"nonce": nonce, "to": at(0xc0 + kind), "gas": 60_000,
            "data": Bytes::from(B256::with_last_byte(word).0)})),
        3 => actor.sign(json!({"nonce": nonce, "to": at(0xd0), "gas": 90_000, "value": 1, "data": target(at(word))})),
        4 => actor.sign(json!({"nonce": nonce, "to": at(0xd1), "gas": 90_000, "value": 1, "data": target(at(word))})),
        5 => actor.sign(json!({"nonce": nonce, "gas": 100_000, "data": "0x6001600c60003960016000f300"})),
        _ => actor.pay(nonce, at(word), 1),
    }
}

fn grow(chain: &Chain, actor: &Actor, step: &Step) {
    let (record, state) = chain.at(None).unwrap();
    let nonce = dougong_evm::state::StateReader::account(&state, actor.address)
        .unwrap()
        .unwrap()
        .nonce;
    let txs: Vec<Bytes> = step
        .iter()
        .enumerate()
        .map(|(place, what)| send(actor, nonce + place as u64, *what))
        .collect();
    drop(state);
    let time = record.sealed.header.timestamp + 1;
    chain.execute(time, &txs, false, at(0xfe)).unwrap();
    chain.commit().unwrap();
}

fn budget() -> logs::Budget {
    logs::Budget {
        count: 100_000,
        bytes: 64 << 20,
        time: Duration::from_secs(60),
    }
}

fn find(chain: &Chain, filter: &Value, range: (u64, u64)) -> Vec<Value> {
    let found = logs::logs(chain.store(), &filter.to_string(), range, budget()).unwrap();
    serde_json::from_slice(&found).unwrap()
}

fn history(chain: &Chain, who: Address) -> Vec<(u64, String)> {
    let head = chain.head().unwrap().sealed.header.number;
    let (mut found, mut block, mut last) = (Vec::new(), 0, false);
    while !last {
        let page = otterscan::Page {
            block,
            forward: false,
            size: 7,
            time: Duration::from_secs(60),
        };
        let page: Value =
            serde_json::from_slice(&otterscan::search(chain.store(), who, page, head).unwrap())
                .unwrap();
        assert_eq!(page["firstPage"], json!(block == 0));
        for tx in page["txs"].as_array().unwrap() {
            let number =
                u64::from_str_radix(&tx["blockNumber"].as_str().unwrap()[2..], 16).unwrap();
            found.push((number, tx["hash"].as_str().unwrap().to_owned()));
            block = number;
        }
        last = page["lastPage"].as_bool().unwrap();
    }
    found
}

/// The same by reading everything.
fn check(chain: &Chain, actor: &Actor, steps: &[Step]) {
    let head = steps.len() as u64;
    for filter in [
        json!({}),
        json!({"address": at(0xc1)}),
        json!({"address": [at(0xc0), at(0xc2)], "topics": [[B256::with_last_byte(1), B256::with_last_byte(2)]]}),
        json!({"topics": [B256::with_last_byte(3)]}),
        json!({"topics": [null, B256::ZERO]}),
    ] {
        for range in [(0, head), (head / 3, head / 2), (head, head)] {
            let every = find(chain, &json!({}), range);
            let expected: Vec<&Value> = every.iter().filter(|log| matches(&filter, log)).collect();
            let found = find(chain, &filter, range);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        }
    }
    let logged: usize = steps
        .iter()
        .flatten()
        .filter(|(kind, _)| *kind < LOGGERS)
        .count();
    assert_eq!(find(chain, &json!({}), (0, head)).len(), logged);
    for byte in [1, 2, 3, 4] {
        let expected: Vec<u64> = steps
            .iter()
            .enumerate()
            .flat_map(|(place, step)| {
                step.iter()
                    .filter(|(kind, word)| *word == byte && matches!(kind, 3 | 6..))
                    .map(move |_| place as u64 + 1)
            })
            .rev()
            .collect();
        let found = history(chain, at(byte));
        assert_eq!(
            found.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            expected
        );
    }
    let sent = history(chain, actor.address);
    assert_eq!(sent.len(), steps.iter().map(Vec::len).sum::<usize>());
    for (nonce, (_, hash)) in sent.iter().rev().enumerate() {
        let found = otterscan::by_nonce(chain.store(), actor.address, nonce as u64, head).unwrap();
        assert_eq!(found.unwrap().to_string(), *hash);
    }
    let next = sent.len() as u64;
    assert!(
        otterscan::by_nonce(chain.store(), actor.address, next, head)
            .unwrap()
            .is_none()
    );
}

fn matches(filter: &Value, log: &Value) -> bool {
    let fits = |wanted: &Value, there: &Value| match wanted {
        Value::Null => true,
        Value::Array(some) => some.iter().any(|one| lower(one) == lower(there)),
        one => lower(one) == lower(there),
    };
    let topics = filter
        .get("topics")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    fits(&filter["address"], &log["address"])
        && topics.iter().enumerate().all(|(place, wanted)| {
            log["topics"]
                .get(place)
                .is_some_and(|there| fits(wanted, there))
        })
}

fn lower(value: &Value) -> String {
    value.to_string().to_lowercase()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]
    #[test]
    fn the_index_finds_what_reading_everything_finds(
        steps in prop::collection::vec(prop::collection::vec((0u8..8, 1u8..5), 0..3), 270..300),
        again in prop::collection::vec(prop::collection::vec((0u8..8, 1u8..5), 0..3), 0..40),
        kept in 0usize..270,
    ) {
        let actor = Actor::new(3);
        let folder = tempfile::tempdir().unwrap();
        let chain = open(folder.path(), &document(&actor));
        for step in &steps {
            grow(&chain, &actor, step);
        }
        check(&chain, &actor, &steps);
        chain.rollback(kept as u64).unwrap();
        let mut now = steps[..kept].to_vec();
        check(&chain, &actor, &now);
        for step in again {
            grow(&chain, &actor, &step);
            now.push(step);
        }
        check(&chain, &actor, &now);
    }
}

#[test]
fn what_a_search_may_cost_is_bounded() {
    let actor = Actor::new(4);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document(&actor));
    for _ in 0..5 {
        grow(&chain, &actor, &vec![(0, 1), (1, 2)]);
    }
    let refused = |budget| match logs::logs(chain.store(), "{}", (0, 5), budget) {
        Err(Error::Invalid(why)) => why,
        other => panic!("{other:?}"),
    };
    let all = budget();
    assert!(refused(logs::Budget { count: 9, ..all }).contains("more than 9 results"));
    assert!(refused(logs::Budget { bytes: 999, ..all }).contains("more than 999 bytes"));
    assert!(
        refused(logs::Budget {
            time: Duration::ZERO,
            ..all
        })
        .contains("timeout")
    );
    let page = otterscan::Page {
        block: 0,
        forward: true,
        size: 5,
        time: Duration::ZERO,
    };
    assert!(otterscan::search(chain.store(), actor.address, page, 5).is_err());
}

#[test]
fn a_contract_is_known_by_the_transaction_that_made_it() {
    let actor = Actor::new(5);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document(&actor));
    for step in [
        vec![(6, 1)],
        vec![(5, 0)],
        vec![(6, 2), (5, 0)],
        vec![(6, 1)],
    ] {
        grow(&chain, &actor, &step);
    }
    for (nonce, number) in [(1, 2), (3, 3)] {
        let contract = actor.address.create(nonce);
        let (block, txs) = otterscan::creation(chain.store(), contract, 4)
            .unwrap()
            .unwrap();
        assert_eq!(block, number);
        let (hash, sender, made) = &txs[0];
        assert_eq!((txs.len(), sender, *made), (1, &actor.address, true));
        assert_eq!(
            otterscan::by_nonce(chain.store(), actor.address, nonce, 4).unwrap(),
            Some(*hash)
        );
    }
    assert!(
        otterscan::creation(chain.store(), actor.address, 4)
            .unwrap()
            .is_none()
    );
    let (block, txs) = otterscan::creation(chain.store(), at(0xc0), 4)
        .unwrap()
        .unwrap();
    assert_eq!((block, txs.len()), (0, 0)); // the genesis made it
    let details: Value =
        serde_json::from_slice(&otterscan::block_details(chain.store(), 3).unwrap()).unwrap();
    assert_eq!(details["block"]["transactionCount"], json!(2));
    assert_ne!(details["totalFees"], json!("0x0"));
    let page = |page| -> Value {
        serde_json::from_slice(&otterscan::block_transactions(chain.store(), 3, page, 1).unwrap())
            .unwrap()
    };
    let input = |page: &Value| page["fullblock"]["transactions"][0]["input"].clone();
    assert_eq!(input(&page(0)), json!("0x6001600c"));
    assert_eq!(input(&page(1)), json!("0x"));
    assert_eq!(page(2)["receipts"], json!([]));
    assert_eq!(page(u64::MAX)["receipts"], json!([]));
}

//! Known truth: the chain of ethereum/execution-apis, from its genesis through every fork up to Osaka, executed block by block.
//! Every state root, receipts root, gas, bloom and (from Prague on) whole header must come out as given; then the stored
//! chain's JSON must be what other clients answered.

mod common;

use alloy_consensus::{Block, BlockBody, Header};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use dougong_evm::block::{Executed, Plan, Sealed, assemble};
use dougong_evm::config::ChainConfig;
use dougong_evm::error::Result;
use dougong_evm::executor::{BlockContext, execute_block};
use dougong_evm::node::{Link, persist, root_hash};
use dougong_evm::state::{Account, Overlay, StateReader};
use dougong_evm::store::Store;
use dougong_evm::tx::{Envelope, SenderCache, decode_any};
use dougong_evm::view::At;
use dougong_evm::{call, json, logs, world};
use revm::primitives::hardfork::SpecId;
use serde_json::{Value, json};
use std::path::Path;

/// Nothing below the overlay: the whole state is in it.
struct Nothing;

#[derive(Debug, thiserror::Error)]
#[error("nothing is below")]
struct Never;
impl revm::database_interface::DBErrorMarker for Never {}

impl StateReader for Nothing {
    type Error = Never;
    fn account(&self, _: Address) -> std::result::Result<Option<Account>, Never> {
        Ok(None)
    }
    fn storage(&self, _: Address, _: U256) -> std::result::Result<U256, Never> {
        Ok(U256::ZERO)
    }
    fn code(&self, _: B256) -> std::result::Result<Bytes, Never> {
        Ok(Bytes::new())
    }
    fn block_hash(&self, _: u64) -> std::result::Result<B256, Never> {
        Ok(B256::ZERO)
    }
}

/// The forks of the vectors' genesis.json.
fn spec(number: u64, timestamp: u64) -> SpecId {
    match (number, timestamp) {
        (_, 480..) => SpecId::OSAKA,
        (_, 450..) => SpecId::PRAGUE,
        (_, 420..) => SpecId::CANCUN,
        (_, 390..) => SpecId::SHANGHAI,
        (36.., _) => SpecId::MERGE,
        (27.., _) => SpecId::LONDON,
        (24.., _) => SpecId::BERLIN,
        (18.., _) => SpecId::ISTANBUL,
        (15.., _) => SpecId::PETERSBURG,
        (9.., _) => SpecId::BYZANTIUM,
        (6.., _) => SpecId::SPURIOUS_DRAGON,
        (3.., _) => SpecId::TANGERINE,
        _ => SpecId::HOMESTEAD,
    }
}

fn blob_fraction(timestamp: u64) -> u64 {
    match timestamp {
        540.. => 11_684_671,
        510.. => 8_346_193,
        450.. => 5_007_716,
        _ => 3_338_477,
    }
}

fn reward(number: u64) -> U256 {
    let ether = match number {
        36.. => 0,
        12.. => 2,
        9.. => 3,
        _ => 5u64,
    };
    U256::from(ether) * U256::from(10u64.pow(18))
}

fn read_blocks(path: &Path) -> Vec<Block<Envelope>> {
    let data = std::fs::read(path).unwrap();
    let mut rest = data.as_slice();
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        blocks.push(Block::<Envelope>::decode(&mut rest).unwrap());
    }
    blocks
}

/// Executes and stores the vectors' chain; returns the store and the number of the first Prague block.
fn replay(vectors: &Path, folder: &Path) -> Store {
    let genesis: alloy_genesis::Genesis =
        serde_json::from_slice(&std::fs::read(vectors.join("genesis.json")).unwrap()).unwrap();
    let blocks = read_blocks(&vectors.join("chain.rlp"));
    let store = Store::open(folder, 1 << 34).unwrap();
    let senders = SenderCache::new(0);

    let mut overlay = Overlay::new(Nothing);
    let mut number_zero = Header {
        ..Default::default()
    };
    for (address, entry) in genesis.alloc.clone() {
        let code = entry.code.unwrap_or_default();
        let code_hash = if code.is_empty() {
            Account::default().code_hash
        } else {
            keccak256(&code)
        };
        let account = Account {
            nonce: entry.nonce.unwrap_or(0),
            balance: entry.balance,
            code_hash,
        };
        let storage: Vec<(U256, U256)> = entry
            .storage
            .unwrap_or_default()
            .into_iter()
            .map(|(slot, value)| (slot.into(), value.into()))
            .collect();
        overlay.put(address, account, Some(code), &storage);
    }
    let changes = overlay.take_changes();
    let mut root = world::update(&store, None, &changes.accounts).unwrap();
    let mut next = 1;
    let mut save = |executed: &Executed, changes: &_, root: &Option<Link>| -> Result<()> {
        let mut txn = store.write()?;
        let node = match root {
            Some(root) => persist(root, &mut next, &mut |id, record| {
                store.put_node(&mut txn, id, record)
            })?,
            None => 0,
        };
        store.put_block(&mut txn, executed, changes, node, next)?;
        Ok(txn.commit()?)
    };
    number_zero.state_root = root_hash(root.as_ref());
    number_zero.gas_limit = genesis.gas_limit;
    number_zero.difficulty = genesis.difficulty;
    number_zero.extra_data = genesis.extra_data.clone();
    number_zero.ommers_hash = alloy_consensus::EMPTY_OMMER_ROOT_HASH;
    number_zero.transactions_root = alloy_consensus::EMPTY_ROOT_HASH;
    number_zero.receipts_root = alloy_consensus::EMPTY_ROOT_HASH;
    let sealed = Sealed::new(number_zero);
    assert_eq!(sealed.hash, blocks[0].header.parent_hash, "genesis");
    let empty = |sealed| Executed {
        sealed,
        txs: Vec::new(),
        receipts: Vec::new(),
        touched: Vec::new(),
        withdrawals: Vec::new(),
        forced: 0,
        outbox_root: B256::ZERO,
        included: Vec::new(),
        skipped: Vec::new(),
    };
    save(&empty(sealed.clone()), &changes, &root).unwrap();
    overlay.push_block_hash(0, sealed.hash);

    for Block {
        header,
        body:
            BlockBody {
                transactions,
                ommers,
                withdrawals,
            },
    } in blocks
    {
        let number = header.number;
        let context = BlockContext {
            chain_id: genesis.config.chain_id,
            spec: spec(number, header.timestamp),
            number,
            timestamp: header.timestamp,
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            difficulty: header.difficulty,
            prev_randao: header.mix_hash,
            parent_hash: header.parent_hash,
            parent_beacon_block_root: header.parent_beacon_block_root.unwrap_or_default(),
            excess_blob_gas: header.excess_blob_gas.unwrap_or_default(),
            blob_fraction: blob_fraction(header.timestamp),
        };
        let count = transactions.len();
        let txs: Vec<_> = transactions
            .iter()
            .map(|tx| decode_any(&tx.encoded_2718(), &senders))
            .collect();
        let withdrawals = withdrawals.map(|list| list.0).unwrap_or_default();
        overlay.keep_empty = context.spec < SpecId::SPURIOUS_DRAGON;
        let outcome = execute_block(&context, &mut overlay, txs, &withdrawals).unwrap();
        assert_eq!(
            outcome.included.len(),
            count,
            "block {number}: {:?}",
            outcome.skipped
        );
        assert_eq!(outcome.gas_used, header.gas_used, "gas of block {number}");
        let reward = reward(number);
        for ommer in &ommers {
            let share = reward * U256::from(ommer.number + 8 - number) / U256::from(8);
            overlay.credit(ommer.beneficiary, share).unwrap();
        }
        overlay
            .credit(
                header.beneficiary,
                reward + reward * U256::from(ommers.len()) / U256::from(32),
            )
            .unwrap();
        let changes = overlay.take_changes();
        root = world::update(&store, root, &changes.accounts).unwrap();
        assert_eq!(
            root_hash(root.as_ref()),
            header.state_root,
            "state root of block {number}"
        );
        let plan = Plan {
            extra_data: header.extra_data.clone(),
            withdrawals,
            ..Default::default()
        };
        let mut executed = assemble(&context, plan, outcome, header.state_root, B256::ZERO);
        let ours = &executed.sealed.header;
        assert_eq!(
            ours.transactions_root, header.transactions_root,
            "transactions root of block {number}"
        );
        assert_eq!(
            ours.logs_bloom, header.logs_bloom,
            "bloom of block {number}"
        );
        if context.spec >= SpecId::BYZANTIUM {
            assert_eq!(
                ours.receipts_root, header.receipts_root,
                "receipts root of block {number}"
            );
        }
        if context.spec >= SpecId::SHANGHAI {
            assert_eq!(
                Some(ours.withdrawals_root),
                Some(header.withdrawals_root),
                "withdrawals root of block {number}"
            );
        }
        if context.spec >= SpecId::PRAGUE {
            // The consensus layer's part of the header is not ours to compute.
            let mut ours = ours.clone();
            ours.blob_gas_used = header.blob_gas_used;
            assert_eq!(ours, header, "header of block {number}");
        }
        executed.sealed = Sealed::new(header);
        overlay.push_block_hash(number, executed.sealed.hash);
        save(&executed, &changes, &root).unwrap();
    }
    store
}

/// The (request, response) pairs of a file.
fn cases(path: &Path) -> Vec<(Value, Value)> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = |mark: &str| -> Vec<Value> {
        text.lines()
            .filter_map(|line| line.strip_prefix(mark))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    lines(">> ").into_iter().zip(lines("<< ")).collect()
}

fn number(store: &Store, tag: &Value) -> Option<u64> {
    let txn = store.read().unwrap();
    match tag.as_str()? {
        "latest" | "safe" | "finalized" | "pending" => store.head_number(&txn).unwrap(),
        "earliest" => Some(0),
        hex if hex.len() == 66 => store.number_of(&txn, &hex.parse().unwrap()).unwrap(),
        hex => u64::from_str_radix(hex.strip_prefix("0x")?, 16).ok(),
    }
}

/// Every field of `theirs` must be in `ours`, with the same value.
fn agree(ours: &Value, theirs: &Value, place: &str) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in theirs {
                let found = ours
                    .get(name)
                    .unwrap_or_else(|| panic!("{place}: no field {name}"));
                agree(found, value, &format!("{place}.{name}"));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{place}: length");
            for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                agree(ours, theirs, &format!("{place}[{i}]"));
            }
        }
        _ => assert_eq!(ours, theirs, "{place}"),
    }
}

/// Our answer, where the method is one that the store answers and the blocks lie in the forks that we show.
fn answer(config: &ChainConfig, store: &Store, method: &str, params: &[Value]) -> Option<Value> {
    let parse = |bytes: Vec<u8>| serde_json::from_slice(&bytes).unwrap();
    let shown = |number: u64| (number >= 39).then_some(number);
    let hash = |value: &Value| value.as_str().unwrap().parse::<B256>().unwrap();
    let address = |value: &Value| value.as_str().unwrap().parse::<Address>().unwrap();
    let place = |value: &Value| {
        let place = store
            .tx_place(&store.read().unwrap(), &hash(value))
            .unwrap();
        place.map(|(number, _)| number)
    };
    let at = |tag: usize| number(store, params.get(tag).unwrap_or(&json!("latest")));
    Some(match method {
        "eth_getBlockByNumber" | "eth_getBlockByHash" => {
            parse(json::block(store, shown(at(0)?)?, params[1] == true).unwrap())
        }
        "eth_getTransactionByHash" => {
            place(&params[0])?;
            parse(json::transaction(store, &hash(&params[0])).unwrap()?)
        }
        "eth_getTransactionReceipt" => {
            place(&params[0]).filter(|number| *number >= 9)?;
            parse(json::receipt(store, &hash(&params[0])).unwrap()?)
        }
        "eth_getBlockReceipts" => parse(json::block_receipts(store, shown(at(0)?)?).unwrap()),
        "eth_getLogs" => {
            let filter = &params[0];
            let (first, last) = match filter.get("blockHash") {
                Some(hash) => (number(store, hash)?, number(store, hash)?),
                None => (
                    number(store, &filter["fromBlock"])?,
                    number(store, &filter["toBlock"])?,
                ),
            };
            let budget = logs::Budget {
                count: 10_000,
                bytes: 64 << 20,
                time: std::time::Duration::from_secs(60),
            };
            parse(logs::logs(store, &filter.to_string(), (first, last), budget).ok()?)
        }
        "eth_getProof" => {
            let slots: Vec<B256> = params[1]
                .as_array()?
                .iter()
                .map(|slot| {
                    U256::from_str_radix(slot.as_str().unwrap().trim_start_matches("0x"), 16)
                        .unwrap()
                        .into()
                })
                .collect();
            let mut proof: Value =
                parse(json::proof(store, address(&params[0]), &slots, at(2)?).unwrap());
            for slot in proof["storageProof"].as_array_mut().unwrap() {
                slot["key"] = json!(format!(
                    "{:#x}",
                    slot["key"].as_str().unwrap().parse::<U256>().unwrap()
                ));
            }
            proof
        }
        "eth_call" => {
            let outcome =
                call::call(config, store, &params[0].to_string(), at(1)?, 50_000_000).unwrap();
            if outcome.success {
                json!(outcome.data)
            } else {
                json!({ "data": outcome.data })
            }
        }
        "eth_estimateGas" => {
            let outcome =
                call::estimate_gas(config, store, &params[0].to_string(), at(1)?, 50_000_000)
                    .unwrap();
            if outcome.success {
                json!(format!("{:#x}", outcome.gas))
            } else {
                json!({ "data": outcome.data })
            }
        }
        "eth_getBalance" => {
            let state = At::open(store, Some(at(1)?)).ok()?.1;
            json!(format!(
                "{:#x}",
                state
                    .account(address(&params[0]))
                    .unwrap()
                    .unwrap_or_default()
                    .balance
            ))
        }
        "eth_getTransactionCount" => {
            let state = At::open(store, Some(at(1)?)).ok()?.1;
            json!(format!(
                "{:#x}",
                state
                    .account(address(&params[0]))
                    .unwrap()
                    .unwrap_or_default()
                    .nonce
            ))
        }
        "eth_getCode" => {
            let state = At::open(store, Some(at(1)?)).ok()?.1;
            let account = state
                .account(address(&params[0]))
                .unwrap()
                .unwrap_or_default();
            json!(state.code(account.code_hash).unwrap())
        }
        "eth_getStorageAt" => {
            let state = At::open(store, Some(at(2)?)).ok()?.1;
            let slot =
                U256::from_str_radix(params[1].as_str()?.trim_start_matches("0x"), 16).ok()?;
            json!(B256::from(
                state.storage(address(&params[0]), slot).unwrap()
            ))
        }
        "debug_getRawTransaction" => {
            let number = place(&params[0])?;
            let txn = store.read().unwrap();
            let index = store.tx_place(&txn, &hash(&params[0])).unwrap()?.1;
            json!(
                dougong_evm::store::transactions(store.body(&txn, number).unwrap()?).unwrap()
                    [index]
            )
        }
        _ => return None,
    })
}

#[test]
fn the_vectors_chain_executes_to_its_own_headers_and_answers() {
    let Some(vectors) = common::vectors() else {
        return;
    };
    let vectors = vectors.join("rpc-compat");
    let folder = tempfile::tempdir().unwrap();
    let store = replay(&vectors, folder.path());
    let config = ChainConfig {
        chain_id: 3_503_995_874_084_926,
        osaka_time: Some(480),
        gas_limit: 0,
        fee_recipient: Address::ZERO,
        outbox_slot: U256::ZERO,
    };
    let mut answered = 0;
    for method in std::fs::read_dir(&vectors)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
    {
        for file in std::fs::read_dir(&method)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            for (request, response) in cases(&file) {
                let none = Vec::new();
                let (method, params) = (
                    request["method"].as_str().unwrap(),
                    request["params"].as_array().unwrap_or(&none),
                );
                // Blobs, and what geth says of them, are not part of our chains.
                if file.to_string_lossy().contains("blob")
                    || file.to_string_lossy().contains("4844")
                {
                    continue;
                }
                let expected = response.get("result").or_else(|| {
                    response
                        .get("error")
                        .filter(|error| error.get("data").is_some())
                });
                let Some(mut expected) = expected.cloned().filter(|value| !value.is_null()) else {
                    continue;
                };
                if let Some(ours) = answer(&config, &store, method, params) {
                    if let Some(data) = expected
                        .get("data")
                        .filter(|_| response.get("error").is_some())
                    {
                        expected = json!({ "data": data });
                    }
                    agree(&ours, &expected, &format!("{}", file.display()));
                    answered += 1;
                }
            }
        }
    }
    assert!(
        answered >= 40,
        "only {answered} of the vectors' answers were compared"
    );
}

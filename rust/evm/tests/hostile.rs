//! Attacks: blocks, batches, traces and transactions that somebody made to break or to exhaust a node.

mod common;

use alloy_consensus::{Block, BlockBody, Header, SignableTransaction, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, address, hex};
use alloy_rlp::Decodable;
use common::{Actor, CHAIN_ID, genesis, hash, open, rich};
use dougong_evm::batch::{self, Batch, DeclaredBlock, MAX_GAS};
use dougong_evm::chain::Chain;
use dougong_evm::error::Error;
use dougong_evm::sign::sign_authorization;
use dougong_evm::store::DEFAULT_MAP_BYTES;
use dougong_evm::trace::{Bounds, raw_block};
use dougong_evm::tx::{Envelope, SenderCache, decode, encoded_root};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const WITHDRAWALS: Address = address!("00000961Ef480Eb55e80D19ad83579A64c007002");
const CONSOLIDATIONS: Address = address!("0000BBdDc7CE488642fb579F8B00f3a590007251");

fn imported(folder: &Path, genesis: &str) -> Chain {
    let senders = Arc::new(SenderCache::new(1024));
    Chain::open_imported(folder, genesis, DEFAULT_MAP_BYTES, senders).unwrap()
}

fn with_accounts(actors: &[&Actor], accounts: &[(Address, Value)]) -> Value {
    let mut alloc = rich(actors);
    for (address, account) in accounts {
        alloc[address.to_string()] = account.clone();
    }
    let mut document: Value = serde_json::from_str(&genesis(alloc)).unwrap();
    document["config"]["terminalTotalDifficulty"] = json!(0);
    document
}

fn code(hex: &str) -> Value {
    json!({"balance": "0x0", "code": hex})
}

/// The first block of a chain of our own, taken by one of the same genesis whose blocks are imported.
fn taken_over(document: &Value, txs: &[Bytes]) -> Result<(), Error> {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = open(one.path(), &document.to_string());
    let built = own.execute(200, txs, true, Address::ZERO).unwrap();
    assert_eq!(built.included.len(), txs.len(), "{:?}", built.skipped);
    own.commit().unwrap();
    let other = imported(two.path(), &document.to_string());
    other.import(&own.block_rlp(1).unwrap())?;
    assert_eq!(hash(&other), hash(&own));
    Ok(())
}

#[test]
fn a_block_whose_request_contract_fails_or_is_missing_is_not_imported() {
    let good = (CONSOLIDATIONS, code("0x00"));
    for broken in ["0x5f5ffd", "0xfe", "0x5b5f56"] {
        let document = with_accounts(&[], &[(WITHDRAWALS, code(broken)), good.clone()]);
        match taken_over(&document, &[]) {
            Err(Error::Invalid(why)) => assert!(why.contains("system contract"), "{why}"),
            other => panic!("{broken}: {other:?}"),
        }
    }
    assert!(taken_over(&with_accounts(&[], core::slice::from_ref(&good)), &[]).is_err());
    let there = with_accounts(&[], &[(WITHDRAWALS, code("0x00")), good]);
    taken_over(&there, &[]).unwrap();
}

#[test]
fn a_request_contract_may_come_in_the_block_that_first_needs_it() {
    // The transaction that EIP-7002 deploys its contract with: nobody has its key.
    let initcode = hex!(
        "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff5f556101f880602d5f395ff33373ffffffffffffff"
        "fffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        "ffff146101f457600182026001905f5b5f82111560685781019083028483029004916001019190604d565b90939004925050503660"
        "3814608857366101f457346101f4575f5260205ff35b34106101f457600154600101600155600354806003026004013381556001015f"
        "35815560010160203590553360601b5f5260385f601437604c5fa0600101600355005b6003546002548082038060101160df57506010"
        "5b5f5b8181146101835782810160030260040181604c02815460601b8152601401816001015481526020019060020154807fffffffff"
        "ffffffffffffffffffffffff00000000000000000000000000000000168252906010019060401c908160381c81600701538160301c81"
        "600601538160281c81600501538160201c81600401538160181c81600301538160101c81600201538160081c81600101535360010160"
        "e1565b910180921461019557906002556101a0565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffff"
        "ffffffffffffffffffffffffffff14156101cd57505f5b6001546002828201116101e25750505f6101e8565b01600290035b5f555f60"
        "0155604c025ff35b5f5ffd"
    );
    let deploy = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 1_000_000_000_000,
        gas_limit: 250_000,
        to: TxKind::Create,
        value: U256::ZERO,
        input: Bytes::from(initcode),
    };
    let s = U256::from_be_slice(&hex!("5feeb084551e4e03a3581e269bc2ea2f8d0008"));
    let signed = deploy.into_signed(Signature::new(U256::from(0x539), s, false));
    let deployer = address!("8646861A7cF453dDD086874d622b0696dE5b9674");
    let document = with_accounts(
        &[],
        &[
            (CONSOLIDATIONS, code("0x00")),
            (deployer, json!({"balance": "0xde0b6b3a7640000"})),
        ],
    );
    taken_over(&document, &[signed.encoded_2718().into()]).unwrap();
}

#[test]
fn a_refused_block_leaves_nothing_behind_that_the_next_one_reads() {
    // Before Byzantium the state's root is taken after each transaction: the first one's changes are out of the overlay when the
    // second one spoils the block.
    let Some(vectors) = common::vectors() else {
        return;
    };
    let vectors = vectors.join("rpc-compat");
    let document = std::fs::read_to_string(vectors.join("genesis.json")).unwrap();
    let data = std::fs::read(vectors.join("chain.rlp")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let chain = imported(folder.path(), &document);
    let (mut rest, mut spoiled) = (data.as_slice(), 0);
    while !rest.is_empty() {
        let block = Block::<Envelope>::decode(&mut rest).unwrap();
        if let Some(first) = block.body.transactions.first().cloned() {
            let mut twice = block.clone();
            twice.body.transactions.push(first);
            let raws: Vec<Bytes> = twice.body.transactions.iter().map(raw).collect();
            twice.header.transactions_root = encoded_root(&raws);
            assert!(chain.import(&alloy_rlp::encode(&twice)).is_err());
            spoiled += 1;
        }
        chain.import(&alloy_rlp::encode(&block)).unwrap();
    }
    assert!(spoiled > 10, "{spoiled}");
}

fn raw(tx: &Envelope) -> Bytes {
    tx.encoded_2718().into()
}

#[test]
fn a_block_that_failed_half_way_leaves_nothing_behind_that_the_next_one_reads() {
    // A store that lends no more readers: the block executes, and then its state's root cannot be found.
    let alice = Actor::new(1);
    let document = genesis(rich(&[&alice]));
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (chain, other) = (open(one.path(), &document), open(two.path(), &document));
    let pay = |nonce| [alice.pay(nonce, Address::repeat_byte(9), 1)];
    for chain in [&chain, &other] {
        chain.execute(200, &pay(0), false, Address::ZERO).unwrap();
        chain.commit().unwrap();
    }
    drop(chain);
    let chain = open(one.path(), &document);
    let mut readers = Vec::new();
    while let Ok(reader) = chain.store().read() {
        readers.push(reader);
    }
    let mut failures = 0;
    while !readers.is_empty() {
        match chain.execute(300, &pay(1), false, Address::ZERO) {
            Ok(_) => {
                chain.discard().unwrap();
                break;
            }
            Err(error) => assert!(matches!(error, Error::Store(_)), "{error:?}"),
        }
        failures += 1;
        readers.pop();
    }
    assert!(failures > 0);
    drop(readers);
    for chain in [&chain, &other] {
        chain.execute(300, &pay(1), false, Address::ZERO).unwrap();
        chain.commit().unwrap();
    }
    assert_eq!(hash(&chain), hash(&other));
}

#[test]
fn a_traced_block_of_a_callers_own_making_gets_no_more_memory_than_a_real_one() {
    let alice = Actor::new(1);
    let hungry = Address::repeat_byte(0xaa);
    // MSTORE at 2^40: with gas without end a terabyte.
    let document = with_accounts(&[&alice], &[(hungry, code("0x5f65010000000000525f5ff3"))]);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document.to_string());
    let bounds = Bounds {
        time: Duration::from_secs(5),
        bytes: 1 << 20,
    };
    let trace = |change: fn(&mut Header), txs: &[Bytes]| {
        let head = chain.head().unwrap().sealed;
        let mut header = Header {
            parent_hash: head.hash,
            number: 1,
            base_fee_per_gas: Some(0),
            ..head.header
        };
        change(&mut header);
        let txs: Vec<Envelope> = txs.iter().map(|tx| *decode(tx).unwrap().envelope).collect();
        let body = BlockBody {
            transactions: txs,
            ommers: Vec::new(),
            withdrawals: Some(Default::default()),
        };
        let rlp = alloy_rlp::encode(Block { header, body });
        raw_block(&chain.config, chain.store(), &rlp, "{}", &bounds)
    };
    let tx = alice.sign(json!({
        "type": 0, "nonce": 0, "to": hungry, "gas": 1u64 << 61, "gasPrice": 0, "chainId": CHAIN_ID,
        "maxFeePerGas": null
    }));
    let refused = trace(|header| header.gas_limit = 1 << 62, &[tx]);
    assert!(
        matches!(&refused, Err(Error::InvalidTransaction(why)) if why.contains("gas limit")),
        "{refused:?}"
    );
    // A price of blobs that is a sum of more terms than anybody lives to see.
    assert_eq!(
        trace(|header| header.excess_blob_gas = Some(u64::MAX), &[]).unwrap(),
        b"[]"
    );
}

fn authorized(payer: &Actor, nonce: u64, count: usize, gas: u64) -> Bytes {
    let list: Vec<Value> = (0..count)
        .map(|place| {
            let fields =
                json!({"chainId": CHAIN_ID, "address": Address::repeat_byte(7), "nonce": 0});
            let signer = Actor::new(10 + (place % 200) as u8);
            serde_json::from_str(&sign_authorization(&fields.to_string(), &signer.key).unwrap())
                .unwrap()
        })
        .collect();
    payer.sign(json!({
        "type": 4, "nonce": nonce, "to": payer.address, "gas": gas, "authorizationList": list,
    }))
}

#[test]
fn nobody_recovers_signers_that_nobody_pays_for() {
    let alice = Actor::new(1);
    let cheap = decode(&authorized(&alice, 0, 2_000, 21_000)).unwrap();
    let list = cheap.env().authorization_list;
    assert!(list.len() == 2_000 && list.iter().all(|one| one.is_left()));
    assert!(cheap.flaw().unwrap().contains("intrinsic gas"));
    // Paid for, they count, however many they are.
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &genesis(rich(&[&alice])));
    for (nonce, count) in [(0, 3), (1, 100)] {
        let tx = authorized(&alice, nonce, count, 10_000_000);
        chain.execute(200, &[tx], false, Address::ZERO).unwrap();
        chain.commit().unwrap();
        let (_, at) = chain.at(None).unwrap();
        for place in 0..count {
            use dougong_evm::state::StateReader;
            let signer = Actor::new(10 + place as u8).address;
            assert_eq!(at.account(signer).unwrap().unwrap().nonce, 1, "{place}");
        }
    }
}

#[test]
fn a_batch_of_a_few_bytes_cannot_fill_every_block() {
    let alice = Actor::new(1);
    let burner = Address::repeat_byte(0xbb);
    let mut document = with_accounts(&[&alice], &[(burner, code("0xfe"))]);
    document["gasLimit"] = json!(format!("{:#x}", MAX_GAS / 2));
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let chain = open(one.path(), &document.to_string());
    let sequencer = open(two.path(), &document.to_string());
    let blocks: Vec<DeclaredBlock> = (0..5)
        .map(|nonce| DeclaredBlock {
            timestamp: 200 + nonce,
            inbox_end: 0,
            txs: vec![alice.sign(json!({"nonce": nonce, "to": burner, "gas": MAX_GAS / 2}))],
        })
        .collect();
    let batch = Batch {
        parent_hash: hash(&chain),
        blocks: blocks.clone(),
    };
    let data = batch::encode(&batch, 3).unwrap();
    let heads = chain.apply_batch(Some(&data), 300, 0, &[]).unwrap();
    assert_eq!(heads.len(), 2, "what comes after 2^32 gas is not there");
    for block in &blocks {
        sequencer
            .execute_rollup(block.timestamp, 0, &[], &block.txs)
            .unwrap();
        sequencer.commit().unwrap();
    }
    assert!(sequencer.encode_batch(1, 3, 3).is_err());
    let first = sequencer.encode_batch(1, 2, 3).unwrap();
    let rest = sequencer.encode_batch(3, 4, 3).unwrap();
    let last = sequencer.encode_batch(5, 5, 3).unwrap();
    chain.rollback(0).unwrap();
    for data in [first, rest, last] {
        chain.apply_batch(Some(&data), 300, 0, &[]).unwrap();
    }
    assert_eq!(hash(&chain), hash(&sequencer));
}

#[test]
fn deposits_are_those_that_the_contracts_logs_tell() {
    let alice = Actor::new(1);
    let contract = Address::repeat_byte(0xdd);
    // Logs its calldata under the topic of a deposit.
    let teller =
        "0x365f5f377f649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5365fa100";
    let ready = [WITHDRAWALS, CONSOLIDATIONS].map(|address| (address, code("0x00")));
    let accounts = [ready.to_vec(), vec![(contract, code(teller))]].concat();
    let document = with_accounts(&[&alice], &accounts);
    let mut foreign = document.clone();
    foreign["config"]["depositContractAddress"] = json!(contract);
    let fields = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];
    let log = |seed: u8| {
        let mut data = vec![0u8; 576];
        for (place, (offset, size)) in fields.into_iter().enumerate() {
            data[place * 32 + 30..place * 32 + 32].copy_from_slice(&(offset as u16).to_be_bytes());
            data[offset + 31] = size as u8;
            data[offset + 32..offset + 32 + size].fill(seed + place as u8);
        }
        data
    };
    let deposit = |seed: u8| -> Vec<u8> {
        let parts = fields.iter().enumerate();
        parts
            .flat_map(|(place, (_, size))| vec![seed + place as u8; *size])
            .collect()
    };
    let import = |logs: &[Vec<u8>], requests: Vec<u8>| {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = open(one.path(), &document.to_string());
        let txs: Vec<Bytes> = (0..)
            .zip(logs)
            .map(|(nonce, data)| {
                alice.sign(json!({"nonce": nonce, "to": contract, "gas": 100_000, "input": hex::encode_prefixed(data)}))
            })
            .collect();
        own.execute(200, &txs, false, Address::ZERO).unwrap();
        own.commit().unwrap();
        let mut block =
            Block::<Envelope>::decode(&mut own.block_rlp(1).unwrap().as_slice()).unwrap();
        let mut all = Requests::default();
        if !requests.is_empty() {
            all.push_request_with_type(0, requests);
        }
        block.header.requests_hash = Some(all.requests_hash());
        imported(two.path(), &foreign.to_string()).import(&alloy_rlp::encode(&block))
    };
    let both = [deposit(1), deposit(100)].concat();
    import(&[log(1), log(100)], both.clone()).unwrap();
    import(&[], Vec::new()).unwrap();
    assert!(import(&[log(100), log(1)], both).is_err(), "in their order");
    assert!(import(&[log(1)], Vec::new()).is_err(), "and none left out");
    for (at, byte) in [(31, 0), (63, 9), (191, 47), (5, 1)] {
        let mut bad = log(1);
        bad[at] = byte;
        let why = import(&[bad], deposit(1)).unwrap_err().to_string();
        assert!(why.contains("laid out"), "{why}");
    }
    assert!(import(&[log(1)[..575].to_vec()], deposit(1)).is_err());
}

#[test]
fn an_empty_account_of_the_genesis_document_is_in_its_state() {
    // Known truth: ethereum/tests, BlockchainTests/TransitionTests/bcArrowGlacierToParis/powToPosBlockRejection.json.
    let document = json!({
        "config": {
            "chainId": 1, "terminalTotalDifficulty": 0xc0000, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0,
            "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0,
            "berlinBlock": 0, "londonBlock": 0,
        },
        "coinbase": "0x00dc25665018aa1fe0e6bc666dac8fc2697ff9ba", "difficulty": "0x020000", "extraData": "0x42",
        "gasLimit": "0x7fffffffffffffff", "timestamp": "0x3b6", "nonce": "0x0", "baseFeePerGas": "0x42c1d80",
        "alloc": {
            "0x2adc25665018aa1fe0e6bc666dac8fc2697ff9ba": {"balance": "0x0"},
            "0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b": {"balance": "0x16345785d8a0000"},
            "0xb94f5374fce5edbc8e2a8697c15331677e6ebf0b": {"balance": "0x16345785d8a0000", "code": "0x6001600c5500"},
        },
    });
    let folder = tempfile::tempdir().unwrap();
    let chain = imported(folder.path(), &document.to_string());
    let known = "0x72436d3fe12e77b10a4d67652ac2fe23f62f4240c9928f94819d8ed559f99dc3";
    assert_eq!(chain.genesis_hash.to_string(), known);
}

#[test]
fn an_empty_account_goes_when_it_is_touched() {
    let alice = Actor::new(1);
    let (empty, other) = (Address::repeat_byte(0xee), Address::repeat_byte(0xef));
    let document = with_accounts(&[&alice], &[(empty, code("0x")), (other, code("0x"))]);
    let folder = tempfile::tempdir().unwrap();
    let chain = open(folder.path(), &document.to_string());
    let there = |address| {
        use dougong_evm::state::StateReader;
        chain
            .at(None)
            .unwrap()
            .1
            .account(address)
            .unwrap()
            .is_some()
    };
    assert!(there(empty) && there(other));
    chain
        .execute(200, &[alice.pay(0, empty, 0)], false, Address::ZERO)
        .unwrap();
    chain.commit().unwrap();
    assert!(!there(empty) && there(other));
    chain.rollback(0).unwrap();
    assert!(there(empty) && there(other));
}

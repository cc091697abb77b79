//! The peer of `benches/evm_revm.py`: the same blocks through bare revm, in memory, with no state root, no receipts and no header.
//!
//!     bare_revm BLOCKS.json
//!
//! The file holds `alloc` and `blocks`; those with a `name` are timed. Transactions are decoded, their senders recovered, before the
//! clock starts. Two ways are timed, a fresh copy of the state for each: `commit`, each transaction's changes taken up by the
//! database, and `journal`, all of a block's transactions on one journal. A JSON line for each block: seconds, seconds of processor
//! time (of the faster way), and the gas used.

use alloy_primitives::{Address, Bytes, U256};
use dougong_evm::tx::{SenderCache, decode_all};
use revm::context::{BlockEnv, CfgEnv, Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::MainBuilder;
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{ExecuteCommitEvm, ExecuteEvm, Journal};
use serde_json::{Value, json};
use std::str::FromStr;
use std::time::Instant;

type State = CacheDB<EmptyDB>;

/// Executes a block's transactions; returns the seconds and the gas.
fn run(
    state: &mut State,
    env: &BlockEnv,
    chain_id: u64,
    txs: Vec<TxEnv>,
    journal: bool,
) -> (f64, f64, u64) {
    let context: Context<BlockEnv, TxEnv, CfgEnv, &mut State, Journal<&mut State>, ()> =
        Context::new(state, SpecId::PRAGUE);
    let mut evm = context
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
            cfg.chain_id = chain_id;
        })
        .with_block(env.clone())
        .build_mainnet();
    let mut gas = 0;
    let (start, processor) = (Instant::now(), processor_seconds());
    for tx in txs {
        let result = evm.transact_one(tx).expect("the blocks are valid");
        gas += result.tx_gas_used();
        if !journal {
            evm.commit_inner();
        }
    }
    if journal {
        evm.commit_inner();
    }
    (
        start.elapsed().as_secs_f64(),
        processor_seconds() - processor,
        gas,
    )
}

/// Processor time of this thread so far (Linux: the first field of schedstat, in nanoseconds).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = stat.split(' ').next().and_then(|field| field.parse().ok());
    first.unwrap_or(0.0) / 1e9
}

fn number(value: &Value) -> U256 {
    U256::from_str(value.as_str().unwrap_or("0")).expect("a quantity")
}

fn main() {
    let path = std::env::args().nth(1).expect("a file of blocks");
    let text = std::fs::read_to_string(path).expect("the file");
    let input: Value = serde_json::from_str(&text).expect("JSON");
    let chain_id = input["chainId"].as_u64().expect("a chain id");
    let mut state = State::default();
    for (address, entry) in input["alloc"].as_object().expect("alloc") {
        let info = AccountInfo {
            balance: number(&entry["balance"]),
            ..Default::default()
        };
        state.insert_account_info(Address::from_str(address).expect("an address"), info);
    }
    for block in input["blocks"].as_array().expect("blocks") {
        let env = BlockEnv {
            number: number(&block["number"]),
            timestamp: number(&block["timestamp"]),
            beneficiary: Address::from_str(block["beneficiary"].as_str().expect("text"))
                .expect("an address"),
            gas_limit: number(&block["gasLimit"]).to(),
            basefee: number(&block["baseFee"]).to(),
            prevrandao: Some(Default::default()),
            ..Default::default()
        };
        let raws: Vec<Bytes> = block["txs"]
            .as_array()
            .expect("txs")
            .iter()
            .map(|raw| Bytes::from_str(raw.as_str().expect("text")).expect("hex"))
            .collect();
        let txs: Vec<TxEnv> = decode_all(&raws, &SenderCache::new(0))
            .into_iter()
            .map(|tx| tx.expect("a transaction").env())
            .collect();
        if let Some(name) = block["name"].as_str() {
            let runs = [true, true, true, false, false]
                .map(|journal| run(&mut state.clone(), &env, chain_id, txs.clone(), journal));
            let (seconds, processor, gas) = run(&mut state, &env, chain_id, txs, false);
            let best =
                |one: fn(&(f64, f64, u64)) -> f64, last| runs.iter().map(one).fold(last, f64::min);
            let line = json!({
                "name": name,
                "seconds": best(|run| run.0, seconds),
                "processor": best(|run| run.1, processor),
                "gas": gas,
            });
            println!("{line}");
        } else {
            run(&mut state, &env, chain_id, txs, false);
        }
    }
}

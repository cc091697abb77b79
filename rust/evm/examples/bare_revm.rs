//! What `benches/evm_revm.py` times in one process: execution and state root by the engine, on all cores, and the same blocks through
//! bare revm, with no state root. Both in memory.
//!
//!     bare_revm BLOCKS.json
//!
//! The file holds `alloc` and `blocks`; those with a `name` are timed. Transactions are decoded, their senders recovered, before the
//! clock starts. Two ways are timed, a fresh copy of the state for each: `commit`, each transaction's changes taken up by the
//! database, and `journal`, all of a block's transactions on one journal. The engine, too, begins with a fresh copy each time. A JSON
//! line for each block: seconds and seconds of processor time (of the faster way), the gas used, and both of the engine, of all
//! threads: each the best of as many times.

use alloy_primitives::{Address, B256, Bytes, U256};
use dougong_evm::error::Error;
use dougong_evm::executor::{BlockContext, execute_block_by};
use dougong_evm::node::{Link, Node, NodeId, NodeSource};
use dougong_evm::parallel::Workers;
use dougong_evm::state::{Account, Changes, Fork, Overlay, StateReader};
use dougong_evm::tx::{SenderCache, SignedTx, decode_all};
use dougong_evm::world;
use revm::context::{BlockEnv, CfgEnv, Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::MainBuilder;
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use revm::{ExecuteCommitEvm, ExecuteEvm, Journal};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::str::FromStr;
use std::sync::Arc;
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

/// Processor time of all threads of this process so far.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Nothing lies below the engine's overlay, and nothing of its trie is stored.
#[derive(Clone)]
struct Nothing;

impl StateReader for Nothing {
    type Error = Error;
    fn account(&self, _: Address) -> Result<Option<Account>, Error> {
        Ok(None)
    }
    fn storage(&self, _: Address, _: U256) -> Result<U256, Error> {
        Ok(U256::ZERO)
    }
    fn code(&self, hash: B256) -> Result<Bytes, Error> {
        Err(Error::Corrupt(format!("no code {hash}")))
    }
    fn block_hash(&self, _: u64) -> Result<B256, Error> {
        Ok(B256::ZERO)
    }
}

impl Fork for Nothing {
    type Fork = Self;
    fn fork(&self) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl NodeSource for Nothing {
    fn record(&self, id: NodeId) -> Result<Arc<Node>, Error> {
        Err(Error::Corrupt(format!("no node {id}")))
    }
}

/// The engine's state, its trie, and its threads.
struct Engine {
    overlay: Overlay<Nothing>,
    root: Option<Link>,
    workers: Arc<Workers>,
}

impl Engine {
    fn copy(&self) -> Self {
        Self {
            overlay: self.overlay.clone(),
            root: self.root.clone(),
            workers: self.workers.clone(),
        }
    }

    /// Makes the state root, and returns what it was made of.
    fn root(&mut self) -> Changes {
        let changes = self.overlay.take_changes();
        self.root = world::update(&Nothing, self.root.take(), &changes.accounts).expect("a root");
        changes
    }

    /// Seconds, and processor seconds, of a block's execution and the state root after it; and the gas.
    fn run(&mut self, env: &BlockEnv, chain_id: u64, txs: Vec<SignedTx>) -> (f64, f64, u64) {
        let block = BlockContext {
            chain_id,
            spec: SpecId::PRAGUE,
            number: env.number.to(),
            timestamp: env.timestamp.to(),
            beneficiary: env.beneficiary,
            gas_limit: env.gas_limit,
            base_fee: env.basefee,
            difficulty: U256::ZERO,
            prev_randao: B256::ZERO,
            parent_hash: B256::ZERO,
            parent_beacon_block_root: B256::ZERO,
            excess_blob_gas: 0,
            blob_fraction: 5_007_716,
        };
        let (start, processor) = (Instant::now(), processor_seconds());
        let txs = txs.into_iter().map(Ok);
        let outcome = execute_block_by(&*self.workers, &block, &mut self.overlay, txs, &[]);
        let outcome = outcome.expect("the blocks are valid");
        let _changes = self.root();
        // What came of the block is the engine's to hand on: the clock is stopped before it is let go of.
        (
            start.elapsed().as_secs_f64(),
            processor_seconds() - processor,
            outcome.gas_used,
        )
    }
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
    let mut engine = Engine {
        overlay: Overlay::new(Nothing),
        root: None,
        workers: Arc::default(),
    };
    for (address, entry) in input["alloc"].as_object().expect("alloc") {
        let info = AccountInfo {
            balance: number(&entry["balance"]),
            ..Default::default()
        };
        let account = Account {
            balance: info.balance,
            ..Default::default()
        };
        let parsed = Address::from_str(address).expect("an address");
        engine.overlay.put(parsed, account, None, &[]);
        state.insert_account_info(Address::from_str(address).expect("an address"), info);
    }
    engine.root();
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
        let signed: Vec<SignedTx> = decode_all(&raws, &SenderCache::new(0))
            .into_iter()
            .map(|tx| tx.expect("a transaction"))
            .collect();
        let txs: Vec<TxEnv> = signed.iter().map(SignedTx::env).collect();
        if let Some(name) = block["name"].as_str() {
            let runs = [true, true, true, false, false]
                .map(|journal| run(&mut state.clone(), &env, chain_id, txs.clone(), journal));
            let ours = [(); 5].map(|()| engine.copy().run(&env, chain_id, signed.clone()));
            let (seconds, processor, gas) = run(&mut state, &env, chain_id, txs, false);
            let last = engine.run(&env, chain_id, signed);
            let best = |runs: &[(f64, f64, u64)], one: fn(&(f64, f64, u64)) -> f64, last| {
                runs.iter().map(one).fold(last, f64::min)
            };
            let line = json!({
                "name": name,
                "seconds": best(&runs, |run| run.0, seconds),
                "processor": best(&runs, |run| run.1, processor),
                "gas": gas,
                "engine seconds": best(&ours, |run| run.0, last.0),
                "engine processor": best(&ours, |run| run.1, last.1),
            });
            assert_eq!(gas, last.2);
            println!("{line}");
        } else {
            engine.run(&env, chain_id, signed);
            run(&mut state, &env, chain_id, txs, false);
        }
    }
}

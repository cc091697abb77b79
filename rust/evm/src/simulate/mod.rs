//! `eth_simulateV1`: blocks that never were, with calls that nobody signed, on the state after a stored block.
//!
//! 1. The payload is parsed and laid out as a chain of blocks without gaps (`request`).
//! 2. For each block: its overrides, the system calls, its calls one after the other (`calls`), withdrawals, requests.
//! 3. The block's roots and its hash are made as a real block's are, and it is shown as one (`block`).
//!
//! Sources: ethereum/execution-apis `src/eth/execute.yaml` and `docs-api/docs/ethsimulatev1-notes.mdx`; go-ethereum
//! `internal/ethapi/simulate.go`. Deviations: the time, the size of the result and the overrides are bounded; what is wrong with
//! a blob or set-code transaction is -32602 and a calldata floor that is not paid -38013, where geth says "internal error".

use alloy_consensus::Header;
use alloy_primitives::U256;
use revm::primitives::hardfork::SpecId;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::block::{Sealed, context_of, next_base_fee};
use crate::call::unsigned;
use crate::config::ChainConfig;
use crate::error::{Error, Result};
use crate::executor::{close_block, open_block};
use crate::header_rules::next_excess_blob_gas;
use crate::node::{Link, Node, NodeId, NodeSource};
use crate::overrides::MovedPrecompiles;
use crate::state::Overlay;
use crate::store::Store;
use crate::view::At;
use crate::world;

mod block;
mod calls;
mod failure;
mod logs;
mod request;
mod reverts;
mod rules;
mod transaction;

pub use failure::Failure;

use calls::{Progress, Rules};
use failure::{CLIENT_LIMIT, Simulated, Stop, TIMEOUT, fail};
use logs::{Deadline, Recorder};
use request::{Payload, Planned};

/// What a simulation may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Gas of all calls together.
    pub gas: u64,
    pub time: Duration,
    /// Bytes of the result, about.
    pub bytes: usize,
}

/// Simulates on the state after block `number`. The result is an array of blocks as JSON, or what the caller is told.
pub fn simulate(
    config: &ChainConfig,
    store: &Store,
    payload_json: &str,
    number: u64,
    limits: &Limits,
    cancelled: &AtomicBool,
) -> Result<Result<Vec<u8>, Failure>> {
    let deadline = Deadline {
        at: Instant::now() + limits.time,
        cancelled,
    };
    match run(config, store, payload_json, number, limits, deadline) {
        Ok(json) => Ok(Ok(json)),
        Err(Stop::Caller(failure)) => Ok(Err(failure)),
        Err(Stop::Store(error)) => Err(error),
    }
}

fn run(
    config: &ChainConfig,
    store: &Store,
    payload_json: &str,
    number: u64,
    limits: &Limits,
    deadline: Deadline<'_>,
) -> Simulated<Vec<u8>> {
    let mut payload = Payload::parse(payload_json)?;
    let (record, at) = At::open(store, Some(number))?;
    payload.lay_out(&record.sealed.header)?;
    let mut simulation = Simulation {
        config,
        validation: payload.validation,
        transfers: payload.trace_transfers,
        full: payload.full_transactions,
        deadline,
        budget: limits.gas,
        room: limits.bytes,
        root: record.state(),
        parent: record.sealed,
        state: Overlay::new(at),
    };
    let mut json = Vec::new();
    for planned in payload.blocks {
        json.push(if json.is_empty() { b'[' } else { b',' });
        let block = simulation.block(planned)?;
        match limits.bytes.checked_sub(json.len() + block.len()) {
            Some(room) => simulation.room = room,
            None => return fail(CLIENT_LIMIT, "the result would be too large"),
        }
        json.extend_from_slice(&block);
    }
    json.push(b']');
    Ok(json)
}

struct Simulation<'a> {
    config: &'a ChainConfig,
    validation: bool,
    transfers: bool,
    full: bool,
    deadline: Deadline<'a>,
    /// Gas that is left to all calls to come.
    budget: u64,
    /// Bytes that are left to the result.
    room: usize,
    parent: Sealed,
    state: Overlay<At<'a>>,
    root: Option<Link>,
}

impl Simulation<'_> {
    /// Runs one block and shows it.
    fn block(&mut self, planned: Planned) -> Simulated<Vec<u8>> {
        if self.deadline.passed() {
            return fail(TIMEOUT, "execution aborted: the simulation took too long");
        }
        let mut header = self.header(&planned);
        let context = context_of(self.config, &header);
        let spec = context.spec;
        let mut precompiles = MovedPrecompiles::new(spec);
        planned.state.apply(&mut self.state, &mut precompiles)?;
        self.state.keep_empty = !spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        open_block(&context, &mut self.state)?;

        let mut progress = Progress::default();
        let rules = Rules {
            chain_id: self.config.chain_id,
            spec,
            gas_limit: header.gas_limit,
            base_fee: context.base_fee,
            validation: self.validation,
        };
        let recorder = Recorder::new(self.transfers, self.deadline, self.room);
        let mut evm = context
            .evm(&mut self.state, |cfg| {
                unsigned(cfg);
                let blobs = self.config.forks.blobs(header.timestamp);
                cfg.max_blobs_per_tx = blobs.map(|blobs| blobs.max_blobs_per_tx);
            })
            .with_inspector(recorder)
            .with_precompiles(precompiles);
        planned.block.set_blob_base_fee(&mut evm.ctx.block);
        for call in planned.calls {
            if self.deadline.passed() {
                return fail(TIMEOUT, "execution aborted: the simulation took too long");
            }
            calls::run(&mut evm, &rules, call, &mut self.budget, &mut progress)?;
            if progress.bytes > self.room {
                return fail(CLIENT_LIMIT, "the result would be too large");
            }
        }
        drop(evm);

        let withdrawals = planned.block.withdrawals.unwrap_or_default();
        for withdrawal in &withdrawals {
            let wei = U256::from(withdrawal.amount) * U256::from(1_000_000_000u64);
            self.state.credit(withdrawal.address, wei)?;
        }
        let reward = rules::reward(self.config, spec, header.number);
        self.state.credit(header.beneficiary, reward)?;
        let requests = close_block(&context, &mut self.state)?;
        let changes = self.state.take_changes();
        let source = Shared(Mutex::new(&mut self.state.reader));
        self.root = world::update(&source, self.root.take(), &changes.accounts)?;
        block::complete(
            &mut header,
            spec,
            &progress,
            &withdrawals,
            &requests,
            self.root.as_ref(),
        );
        let sealed = Sealed::new(header);
        let json = block::show(&sealed, &progress, &withdrawals, self.full)?;
        self.state
            .push_block_hash(sealed.header.number, sealed.hash);
        self.parent = sealed;
        Ok(json)
    }

    /// What of a block's header is known before its calls.
    fn header(&self, planned: &Planned) -> Header {
        let (parent, wanted) = (&self.parent.header, &planned.block);
        let (number, time) = (planned.number, planned.time);
        let mut header = Header {
            parent_hash: self.parent.hash,
            beneficiary: wanted.fee_recipient.unwrap_or(parent.beneficiary),
            difficulty: rules::difficulty(self.config, parent, number, time, wanted.difficulty),
            number,
            gas_limit: wanted.gas_limit.unwrap_or(parent.gas_limit),
            timestamp: time,
            mix_hash: wanted.prev_randao.unwrap_or_default(),
            ..Default::default()
        };
        let spec = self.config.spec(&header);
        if spec.is_enabled_in(SpecId::LONDON) {
            let base_fee = match self.validation {
                true => next_base_fee(parent),
                false => 0,
            };
            header.base_fee_per_gas = Some(wanted.base_fee.unwrap_or(base_fee));
        }
        if spec.is_enabled_in(SpecId::CANCUN) {
            header.excess_blob_gas = Some(next_excess_blob_gas(self.config, parent, time));
            header.parent_beacon_block_root = Some(wanted.beacon_root.unwrap_or_default());
        }
        header
    }
}

/// The snapshot's nodes, for all cores: read one after the other, since a snapshot is one thread's at a time.
struct Shared<'a, 's>(Mutex<&'a mut At<'s>>);

impl NodeSource for Shared<'_, '_> {
    fn record(&self, id: NodeId) -> Result<Arc<Node>, Error> {
        let at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.record(id)
    }
}

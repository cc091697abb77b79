//! Re-execution of stored transactions, watched: what geth's `debug_trace*` tell.
//!
//! Source: go-ethereum `eth/tracers/api.go`. A transaction is traced in its place: on the state after the parent block, after the
//! system calls that open its block and the transactions before it. A stored block holds included transactions only (forced ones
//! first), so replaying it needs nothing but the block.
//!
//! What a trace may cost is bounded by `Bounds`: geth bounds the seconds of one transaction, we those of the whole request and
//! the bytes of the result too, for a few seconds of EVM make gigabytes of struct logs.

mod access_list;
mod guard;
mod options;
mod otterscan;
mod output;
mod place;
mod prestate;
mod struct_log;
mod tracer;
mod words;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::Decodable;
use revm::context::TxEnv;
use revm::context::result::{EVMError, ExecResultAndState, ExecutionResult};
use revm::handler::MainnetContext;
use revm::state::EvmState;
use revm::{DatabaseCommit, InspectEvm, Inspector};
use std::time::{Duration, Instant};

use crate::block::Sealed;
use crate::call::{Call, Request, unsigned};
use crate::config::ChainConfig;
use crate::error::{Error, Result};
use crate::executor::BlockContext;
use crate::state::Overlay;
use crate::store::Store;
use crate::tx;
use crate::view::At;

pub use access_list::access_list;
pub use otterscan::{entries, internal_operations, revert_data};

use guard::{Guard, Guarded};
use options::Options;
use output::Capped;
use place::Place;
use tracer::{Named, Subject, Tracers};

/// What one request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub time: Duration,
    pub bytes: usize,
}

/// When one request must be done.
#[derive(Clone, Copy)]
struct Clock {
    end: Instant,
}

impl Clock {
    fn start(bounds: &Bounds) -> Self {
        Self {
            end: Instant::now() + bounds.time,
        }
    }

    fn after(self, time: Duration) -> Instant {
        Instant::now()
            .checked_add(time)
            .map_or(self.end, |end| end.min(self.end))
    }

    fn check(self) -> Result<()> {
        if Instant::now() > self.end {
            return Err(timeout());
        }
        Ok(())
    }
}

/// As geth says it.
fn timeout() -> Error {
    Error::InvalidTransaction("execution timeout".into())
}

fn too_large(bytes: usize) -> Error {
    Error::Limit(format!("the trace is over the {bytes} bytes of an answer"))
}

type Watched = ExecResultAndState<ExecutionResult, EvmState>;

/// Runs `tx` under the tracers' eyes, and changes nothing.
fn watch<'a, 's, T>(
    context: &BlockContext,
    state: &'a mut Overlay<At<'s>>,
    tx: TxEnv,
    signed: bool,
    guard: &mut Guard<T>,
) -> Result<Watched>
where
    T: Guarded + Inspector<MainnetContext<&'a mut Overlay<At<'s>>>>,
{
    let mut evm = context
        .evm(state, |cfg| {
            if !signed {
                unsigned(cfg);
            }
        })
        .with_inspector(&mut *guard);
    let outcome = evm.inspect_tx(tx);
    drop(evm);
    guard.verdict()?;
    outcome.map_err(|error| match error {
        EVMError::Database(error) => error,
        other => Error::InvalidTransaction(format!("tracing failed: {other}")),
    })
}

/// Traces `subject` into `out`; returns the changes that it made.
fn trace(
    context: &BlockContext,
    state: &mut Overlay<At<'_>>,
    subject: &Subject,
    options: &Options,
    clock: Clock,
    out: &mut Capped,
) -> Result<EvmState> {
    let mut tracers = Tracers(options.tracers()?);
    for named in &mut tracers.0 {
        named.tracer.begin(subject, context, state)?;
    }
    let mut guard = Guard::new(tracers, clock.after(options.timeout), out.room());
    let watched = watch(
        context,
        state,
        subject.tx.clone(),
        subject.signed,
        &mut guard,
    )?;
    let tracers = guard.inner.0.into_iter();
    if options.mux {
        out.raw(b"{")?;
        for (i, Named { name, tracer }) in tracers.enumerate() {
            out.raw(if i == 0 { b"" } else { b"," })?;
            out.json(&name)?;
            out.raw(b":")?;
            tracer.finish(subject, context, state, &watched, out)?;
        }
        out.raw(b"}")?;
    } else {
        for Named { tracer, .. } in tracers {
            tracer.finish(subject, context, state, &watched, out)?;
        }
    }
    Ok(watched.state)
}

/// Traces the transaction `hash`; None: there is none.
pub fn transaction(
    config: &ChainConfig,
    store: &Store,
    hash: &B256,
    options_json: &str,
    bounds: &Bounds,
) -> Result<Option<Vec<u8>>> {
    let options = Options::parse(options_json)?;
    let clock = Clock::start(bounds);
    let Some((mut place, index)) = Place::of_transaction(config, store, hash, clock)? else {
        return Ok(None);
    };
    let mut out = Capped::new(bounds.bytes);
    let subject = place.subject(index);
    trace(
        &place.context,
        &mut place.state,
        &subject,
        &options,
        clock,
        &mut out,
    )?;
    Ok(Some(out.bytes()))
}

/// Traces every transaction of block `number`.
pub fn block(
    config: &ChainConfig,
    store: &Store,
    number: u64,
    options_json: &str,
    bounds: &Bounds,
) -> Result<Vec<u8>> {
    let options = Options::parse(options_json)?;
    let clock = Clock::start(bounds);
    whole_block(
        Place::open(config, store, number)?,
        &options,
        clock,
        bounds.bytes,
    )
}

/// Traces every transaction of a block that is given, on the state after its parent.
pub fn raw_block(
    config: &ChainConfig,
    store: &Store,
    rlp: &[u8],
    options_json: &str,
    bounds: &Bounds,
) -> Result<Vec<u8>> {
    let options = Options::parse(options_json)?;
    let clock = Clock::start(bounds);
    let (sealed, txs) = decode_block(rlp)
        .map_err(|why| Error::InvalidTransaction(format!("could not decode block: {why}")))?;
    whole_block(
        Place::above(config, store, sealed, txs)?,
        &options,
        clock,
        bounds.bytes,
    )
}

fn decode_block(mut rlp: &[u8]) -> Result<(Sealed, Vec<tx::SignedTx>), String> {
    let readable = |error: alloy_rlp::Error| error.to_string();
    let mut fields = alloy_rlp::Header::decode_bytes(&mut rlp, true).map_err(readable)?;
    if !rlp.is_empty() {
        return Err("bytes follow the block".into());
    }
    let sealed = Sealed::new(Header::decode(&mut fields).map_err(readable)?);
    let raws = crate::store::transactions(fields).map_err(|error| error.to_string())?;
    let most = usize::try_from(sealed.header.gas_limit / 21_000).unwrap_or(usize::MAX);
    if raws.len() > most {
        return Err(format!(
            "more than the {most} transactions that gas can pay for"
        ));
    }
    let senders = tx::SenderCache::new(0);
    let txs = tx::decode_all_any(&raws, &senders)
        .into_iter()
        .collect::<Result<_, _>>()?;
    Ok((sealed, txs))
}

fn whole_block(
    mut place: Place<'_>,
    options: &Options,
    clock: Clock,
    bytes: usize,
) -> Result<Vec<u8>> {
    let mut out = Capped::new(bytes);
    out.raw(b"[")?;
    for index in 0..place.txs.len() {
        clock.check()?;
        let subject = place.subject(index);
        out.raw(if index == 0 {
            b"{\"txHash\":"
        } else {
            b",{\"txHash\":"
        })?;
        out.json(&subject.hash)?;
        out.raw(b",\"result\":")?;
        let changes = trace(
            &place.context,
            &mut place.state,
            &subject,
            options,
            clock,
            &mut out,
        )?;
        place.state.commit(changes);
        out.raw(b"}")?;
    }
    out.raw(b"]")?;
    Ok(out.bytes())
}

/// Traces an eth_call request on the state after block `number`, or before its transaction `txIndex`.
pub fn call(
    config: &ChainConfig,
    store: &Store,
    request_json: &str,
    number: u64,
    gas_cap: u64,
    options_json: &str,
    bounds: &Bounds,
) -> Result<Vec<u8>> {
    let options = Options::parse(options_json)?;
    let clock = Clock::start(bounds);
    let overrides = (options.overrides.0.as_str(), options.overrides.1.as_str());
    let request = Request::parse(request_json, overrides)?;
    let mut call = Call::new(config, store, &request, number)?;
    if let Some(index) = options.tx_index {
        let mut place = Place::open(config, store, number)?;
        if index > 0 && index >= place.txs.len() {
            return Err(Error::InvalidTransaction(format!(
                "transaction index {index} out of range for block {:#x}",
                place.hash
            )));
        }
        place.advance(index, clock)?;
        call.move_to(&request, place.state)?;
    }
    if call.precompiles.are_moved() {
        return Err(Error::InvalidTransaction(
            "an override of a precompile is not supported for this RPC method".into(),
        ));
    }
    let subject = Subject::of_call(TxEnv {
        gas_limit: call.gas.unwrap_or(gas_cap).min(gas_cap),
        ..call.tx
    });
    let mut out = Capped::new(bounds.bytes);
    trace(
        &call.context,
        &mut call.state,
        &subject,
        &options,
        clock,
        &mut out,
    )?;
    Ok(out.bytes())
}

/// Revert data, output or nothing: what a result holds as bytes.
fn output_of(result: &ExecutionResult) -> Bytes {
    result.output().cloned().unwrap_or_default()
}

/// Whom a transaction calls or creates.
fn callee(tx: &TxEnv) -> Address {
    tx.kind
        .to()
        .copied()
        .unwrap_or_else(|| tx.caller.create(tx.nonce))
}

/// The receipts of block `number` as the receipts root holds them (EIP-2718).
pub fn raw_receipts(store: &Store, number: u64) -> Result<Vec<Vec<u8>>> {
    let missing = || Error::NotFound(format!("there is no block {number}"));
    let record = store
        .receipts(&store.read()?, number)?
        .ok_or_else(missing)?;
    Ok(record
        .receipts
        .iter()
        .map(|receipt| {
            let mut raw = Vec::new();
            receipt.encode_2718(&receipt.bloom(), &mut raw);
            raw
        })
        .collect())
}

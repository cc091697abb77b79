//! What the Otterscan explorer asks of a transaction's execution.
//!
//! Source: Otterscan's `docs/custom-jsonrpc.md`; Erigon's `turbo/jsonrpc/otterscan_trace_transaction.go` for the fields.

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::Inspector;
use revm::context::result::ExecutionResult;
use revm::context::{ContextTr, JournalTr, LocalContextTr, TxEnv};
use revm::handler::MainnetContext;
use revm::inspector::JournalExt;
use revm::interpreter::{
    CallInput, CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, CreateScheme,
};
use revm_inspectors::otterscan::InternalOperationsInspector;
use serde::Serialize;

use super::guard::{Guard, Guarded};
use super::output::Capped;
use super::place::Place;
use super::{Bounds, Clock, watch};
use crate::config::ChainConfig;
use crate::error::Result;
use crate::state::Overlay;
use crate::store::Store;
use crate::view::At;

const OPERATION: usize = 80;

/// A transaction about to be executed once more, all before it executed.
struct Again<'s> {
    place: Place<'s>,
    tx: TxEnv,
    clock: Clock,
    room: usize,
}

impl<'s> Again<'s> {
    fn open(
        config: &ChainConfig,
        store: &'s Store,
        hash: &B256,
        bounds: &Bounds,
    ) -> Result<Option<Self>> {
        let clock = Clock::start(bounds);
        let found = Place::of_transaction(config, store, hash, clock)?;
        Ok(found.map(|(place, index)| Self {
            tx: place.txs[index].env(),
            place,
            clock,
            room: bounds.bytes,
        }))
    }

    /// What the inspector has seen of it, and what it came to.
    fn run<'a, T>(&'a mut self, inspector: T) -> Result<(T, ExecutionResult)>
    where
        T: Guarded + Inspector<MainnetContext<&'a mut Overlay<At<'s>>>>,
    {
        let mut guard = Guard::new(inspector, self.clock.end, self.room);
        let (context, state) = (&self.place.context, &mut self.place.state);
        let watched = watch(context, state, self.tx.clone(), true, &mut guard)?;
        Ok((guard.inner, watched.result))
    }
}

fn shown(value: &impl Serialize, bounds: &Bounds) -> Result<Vec<u8>> {
    let mut out = Capped::new(bounds.bytes);
    out.json(value)?;
    Ok(out.bytes())
}

impl Guarded for InternalOperationsInspector {
    fn keeps_frames(&self) -> usize {
        0
    }

    fn weight(&self) -> usize {
        self.operations().len() * OPERATION
    }
}

/// Transfers, creations and self-destructions within the transaction `hash`.
pub fn internal_operations(
    config: &ChainConfig,
    store: &Store,
    hash: &B256,
    bounds: &Bounds,
) -> Result<Option<Vec<u8>>> {
    let Some(mut again) = Again::open(config, store, hash, bounds)? else {
        return Ok(None);
    };
    let (seen, _) = again.run(InternalOperationsInspector::default())?;
    shown(&seen.operations(), bounds).map(Some)
}

struct Nothing;

impl Guarded for Nothing {
    fn keeps_frames(&self) -> usize {
        0
    }

    fn weight(&self) -> usize {
        0
    }
}

impl<CTX> Inspector<CTX> for Nothing {}

/// The revert data of the transaction `hash`; empty where it did not revert.
pub fn revert_data(
    config: &ChainConfig,
    store: &Store,
    hash: &B256,
    bounds: &Bounds,
) -> Result<Option<Vec<u8>>> {
    let Some(mut again) = Again::open(config, store, hash, bounds)? else {
        return Ok(None);
    };
    let (_, result) = again.run(Nothing)?;
    Ok(Some(match result {
        ExecutionResult::Revert { output, .. } => output.to_vec(),
        ExecutionResult::Success { .. } | ExecutionResult::Halt { .. } => Vec::new(),
    }))
}

#[derive(Serialize)]
struct Entry {
    r#type: &'static str,
    depth: usize,
    from: Address,
    to: Option<Address>,
    value: Option<U256>,
    input: Bytes,
    output: Bytes,
}

/// Calls, creations and self-destructions in the order in which they begin.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    open: Vec<usize>,
}

impl Entries {
    fn enter(&mut self, entry: Entry) {
        self.open.push(self.list.len());
        self.list.push(entry);
    }

    fn leave(&mut self, output: &Bytes) -> Option<&mut Entry> {
        let entry = self.list.get_mut(self.open.pop()?)?;
        entry.output = output.clone();
        Some(entry)
    }
}

impl Guarded for Entries {
    fn keeps_frames(&self) -> usize {
        1
    }

    fn weight(&self) -> usize {
        0
    }
}

impl<CTX> Inspector<CTX> for Entries
where
    CTX: ContextTr<Journal: JournalExt>,
{
    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let input = match &inputs.input {
            CallInput::Bytes(bytes) => bytes.clone(),
            CallInput::SharedBuffer(range) => context
                .local()
                .shared_memory_buffer_slice(range.clone())
                .map(|slice| Bytes::copy_from_slice(&slice))
                .unwrap_or_default(),
        };
        let value = inputs.call_value();
        let (r#type, from, to, value) = match inputs.scheme {
            CallScheme::Call => ("CALL", inputs.caller, inputs.target_address, Some(value)),
            CallScheme::StaticCall => ("STATICCALL", inputs.caller, inputs.target_address, None),
            CallScheme::DelegateCall => (
                "DELEGATECALL",
                inputs.target_address,
                inputs.bytecode_address,
                None,
            ),
            CallScheme::CallCode => (
                "CALLCODE",
                inputs.target_address,
                inputs.bytecode_address,
                Some(value),
            ),
        };
        self.enter(Entry {
            r#type,
            depth: context.journal().depth(),
            from,
            to: Some(to),
            value,
            input,
            output: Bytes::new(),
        });
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, outcome: &mut CallOutcome) {
        self.leave(&outcome.result.output);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let r#type = match inputs.scheme() {
            CreateScheme::Create2 { .. } => "CREATE2",
            CreateScheme::Create | CreateScheme::Custom { .. } => "CREATE",
        };
        let creator = context.journal_ref().evm_state().get(&inputs.caller());
        let nonce = creator.map_or(0, |account| account.info.nonce);
        self.enter(Entry {
            r#type,
            depth: context.journal().depth(),
            from: inputs.caller(),
            to: Some(inputs.created_address(nonce)),
            value: Some(inputs.value()),
            input: inputs.init_code().clone(),
            output: Bytes::new(),
        });
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.leave(&outcome.result.output);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.list.push(Entry {
            r#type: "SELFDESTRUCT",
            depth: self.open.len(),
            from: contract,
            to: Some(target),
            value: Some(value),
            input: Bytes::new(),
            output: Bytes::new(),
        });
    }
}

/// The call tree of the transaction `hash`, flat.
pub fn entries(
    config: &ChainConfig,
    store: &Store,
    hash: &B256,
    bounds: &Bounds,
) -> Result<Option<Vec<u8>>> {
    let Some(mut again) = Again::open(config, store, hash, bounds)? else {
        return Ok(None);
    };
    let (seen, _) = again.run(Entries::default())?;
    shown(&seen.list, bounds).map(Some)
}

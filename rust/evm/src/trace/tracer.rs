//! The tracers by their names.
//!
//! The struct logger and the prestate tracer are ours, from geth's `eth/tracers/logger/logger.go` and `native/prestate.go`; the
//! other native ones are revm-inspectors', with its results brought to geth's letter where they differ:
//!
//! - A log's `index` counts in the block, not in the transaction; a call that failed has no logs, the outermost included.
//! - `flatCallTracer` says errors in geth's words unless `convertParityErrors` is set.
//!
//! Deviations: no JavaScript, no `erc7562Tracer`, no `keccak256PreimageTracer`.

use alloy_primitives::B256;
use alloy_rpc_types_trace::geth::{
    CallFrame, FourByteFrame, GethDebugTracerConfig, GethDebugTracerType, GethDebugTracingOptions,
    GethTrace,
};
use alloy_rpc_types_trace::parity::LocalizedTransactionTrace;
use revm::context::{ContextTr, TxEnv};
use revm::database_interface::EmptyDB;
use revm::inspector::JournalExt;
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter};
use revm::primitives::{Address, Log, U256};
use revm::{Inspector, context::result::ResultAndState};
use revm_inspectors::tracing::{DebugInspector, TransactionContext};
use serde_json::Value;

use super::Watched;
use super::guard::Guarded;
use super::output::Capped;
use super::prestate::PreState;
use super::struct_log::StructLogger;
use super::words::Ends;
use crate::error::{Error, Result};
use crate::executor::BlockContext;
use crate::state::Overlay;
use crate::view::At;

/// A transaction, or a call, that is traced.
pub struct Subject {
    pub hash: Option<B256>,
    pub index: Option<u64>,
    pub block_hash: Option<B256>,
    pub tx: TxEnv,
    pub signed: bool,
    /// How many logs its block has before it.
    pub first_log: u64,
}

impl Subject {
    pub fn of_call(tx: TxEnv) -> Self {
        Self {
            hash: None,
            index: None,
            block_hash: None,
            tx,
            signed: false,
            first_log: 0,
        }
    }
}

pub struct Named {
    pub name: String,
    pub tracer: Tracer,
}

pub enum Tracer {
    StructLog(StructLogger),
    PreState(PreState),
    Built(Box<Built>),
}

/// One of revm-inspectors'.
pub struct Built {
    inspector: DebugInspector,
    ends: Ends,
    /// Errors are said in Parity's words.
    parity: bool,
}

impl Named {
    pub fn new(name: &str, config: &Value) -> Result<Self> {
        let wrong = |error: serde_json::Error| {
            Error::InvalidTransaction(format!("tracerConfig of {name}: {error}"))
        };
        let config = match config {
            Value::Null => Value::Object(Default::default()),
            config => config.clone(),
        };
        let tracer = match name {
            "prestateTracer" => Tracer::PreState(PreState::new(&config)?),
            "callTracer" | "flatCallTracer" | "4byteTracer" | "noopTracer" => {
                if !config.is_object() {
                    return Err(Error::InvalidTransaction(format!(
                        "tracerConfig of {name} is not an object"
                    )));
                }
                let parity = config.get("convertParityErrors") == Some(&Value::Bool(true));
                let tracer: GethDebugTracerType =
                    serde_json::from_value(Value::String(name.into())).map_err(wrong)?;
                let options = GethDebugTracingOptions {
                    tracer: Some(tracer),
                    tracer_config: GethDebugTracerConfig(config),
                    ..Default::default()
                };
                let inspector = DebugInspector::new(options).map_err(|error| {
                    Error::InvalidTransaction(format!("tracerConfig of {name}: {error}"))
                })?;
                Tracer::Built(Box::new(Built {
                    inspector,
                    ends: Ends::default(),
                    parity,
                }))
            }
            "muxTracer" => {
                return Err(Error::InvalidTransaction(
                    "a muxTracer does not run another one".into(),
                ));
            }
            _ => {
                return Err(Error::InvalidTransaction(
                    "there is no such tracer: JavaScript is not run here, and the native ones are callTracer, flatCallTracer, \
                     prestateTracer, 4byteTracer, noopTracer and muxTracer"
                        .into(),
                ));
            }
        };
        Ok(Self {
            name: name.into(),
            tracer,
        })
    }
}

impl Tracer {
    /// Keeps something of every frame that is entered.
    fn keeps_frames(&self) -> bool {
        match self {
            Self::Built(built) => !matches!(built.inspector, DebugInspector::Noop(_)),
            Self::StructLog(_) | Self::PreState(_) => false,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::StructLog(tracer) => tracer.weight(),
            Self::PreState(tracer) => tracer.weight(),
            Self::Built(..) => 0,
        }
    }

    pub fn begin(
        &mut self,
        subject: &Subject,
        context: &BlockContext,
        state: &mut Overlay<At<'_>>,
    ) -> Result<()> {
        match self {
            Self::PreState(tracer) => tracer.begin(subject, context, state),
            Self::StructLog(_) | Self::Built(..) => Ok(()),
        }
    }

    /// Writes the result. `state` is the one before the transaction.
    pub fn finish(
        self,
        subject: &Subject,
        context: &BlockContext,
        state: &mut Overlay<At<'_>>,
        watched: &Watched,
        out: &mut Capped,
    ) -> Result<()> {
        match self {
            Self::StructLog(tracer) => tracer.finish(&watched.result, out),
            Self::PreState(tracer) => tracer.finish(state, watched, out),
            Self::Built(built) => {
                let Built {
                    mut inspector,
                    mut ends,
                    parity,
                } = *built;
                let place = TransactionContext {
                    block_hash: subject.block_hash,
                    tx_index: subject.index.map(|index| index as usize),
                    tx_hash: subject.hash,
                };
                let outcome = ResultAndState::new(watched.result.clone(), Default::default());
                let found = inspector.get_result(
                    Some(place),
                    &subject.tx,
                    &context.block_env(),
                    &outcome,
                    &mut EmptyDB::default(),
                );
                match found {
                    Ok(GethTrace::CallTracer(mut frame)) => {
                        settle(&mut frame, subject.first_log, false, &mut 0, &mut ends);
                        out.json(&frame)
                    }
                    Ok(GethTrace::FlatCallTracer(mut frames)) => {
                        if !parity {
                            frames.iter_mut().for_each(in_geths_words);
                        }
                        out.json(&frames)
                    }
                    Ok(GethTrace::FourByteTracer(FourByteFrame(counts))) => out.json(&counts),
                    Ok(other) => out.json(&other),
                    Err(error) => Err(Error::Corrupt(format!("a tracer failed: {error}"))),
                }
            }
        }
    }
}

/// What geth tells otherwise of a frame and those within it. `position`: how many frames began before.
fn settle(
    frame: &mut CallFrame,
    first_log: u64,
    failed: bool,
    position: &mut usize,
    ends: &mut Ends,
) {
    let why = ends.why.remove(position);
    if let (Some(error), Some(why)) = (&mut frame.error, why) {
        *error = why;
    }
    *position += 1;
    let failed = failed || frame.error.is_some();
    if failed {
        frame.logs.clear();
    }
    for log in &mut frame.logs {
        log.index = log.index.map(|index| index + first_log);
    }
    for call in &mut frame.calls {
        if call.typ != "SELFDESTRUCT" {
            settle(call, first_log, failed, position, ends);
        }
    }
}

/// The reverse of geth's `parityErrorMapping`.
fn in_geths_words(frame: &mut LocalizedTransactionTrace) {
    let Some(error) = &mut frame.trace.error else {
        return;
    };
    *error = match error.as_str() {
        "Reverted" => "execution reverted".into(),
        "Out of gas" => "out of gas".into(),
        "Bad jump destination" => "invalid jump destination".into(),
        "Out of bounds" => "return data out of bounds".into(),
        "Out of stack" => "stack limit reached 1024 (1023)".into(),
        "Built-in failed" => "precompiled failed".into(),
        "Bad instruction" => "invalid opcode".into(),
        "Mutable Call In Static Context" => "write protection".into(),
        other => {
            let mut words = other.to_string();
            words[..1].make_ascii_lowercase();
            words
        }
    };
}

/// All the tracers of one request.
pub struct Tracers(pub Vec<Named>);

impl Guarded for Tracers {
    fn keeps_frames(&self) -> usize {
        self.0
            .iter()
            .filter(|named| named.tracer.keeps_frames())
            .count()
    }

    fn weight(&self) -> usize {
        self.0.iter().map(|named| named.tracer.weight()).sum()
    }
}

macro_rules! each {
    ($self:ident, $tracer:ident => $hook:expr) => {
        for Named { tracer, .. } in &mut $self.0 {
            match tracer {
                Tracer::StructLog($tracer) => $hook,
                Tracer::PreState($tracer) => $hook,
                Tracer::Built(built) => {
                    let $tracer = &mut built.ends;
                    $hook;
                    let $tracer = &mut built.inspector;
                    $hook
                }
            };
        }
    };
}

impl<CTX> Inspector<CTX> for Tracers
where
    CTX: ContextTr<Journal: JournalExt>,
{
    fn initialize_interp(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        each!(self, tracer => tracer.initialize_interp(interp, context));
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        each!(self, tracer => tracer.step(interp, context));
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        each!(self, tracer => tracer.step_end(interp, context));
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        each!(self, tracer => tracer.log(context, log.clone()));
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        each!(self, tracer => tracer.call(context, inputs));
        None
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        each!(self, tracer => tracer.call_end(context, inputs, outcome));
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        each!(self, tracer => tracer.create(context, inputs));
        None
    }

    fn create_end(
        &mut self,
        context: &mut CTX,
        inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        each!(self, tracer => tracer.create_end(context, inputs, outcome));
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        each!(self, tracer => Inspector::<CTX>::selfdestruct(tracer, contract, target, value));
    }
}

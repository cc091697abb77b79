//! Watches over an inspector: time and memory end, whatever a contract does.
//!
//! A halt is asked for as revm-inspectors' own limits do: an error in the context ends the transaction, a fatal halt ends the
//! frame. What one opcode does (a large precompile call) cannot be cut: its gas bounds it.

use revm::Inspector;
use revm::context::ContextTr;
use revm::context_interface::context::ContextError;
use revm::inspector::JournalExt;
use revm::interpreter::{
    CallInput, CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter,
};
use revm::primitives::{Address, Log, U256};
use std::time::Instant;

use super::{timeout, too_large};
use crate::error::Result;

/// Steps between two looks at the clock.
const STEPS: u32 = 1 << 10;
/// What a recorded frame or log takes besides its bytes.
const FRAME: usize = 512;

/// What a guard must know of whom it guards.
pub trait Guarded {
    /// How many times it keeps every frame: its input, its output and its logs.
    fn keeps_frames(&self) -> usize;
    /// How many bytes it has gathered besides.
    fn weight(&self) -> usize;
}

pub struct Guard<T> {
    pub inner: T,
    deadline: Instant,
    room: usize,
    kept: usize,
    steps: u32,
    stopped: Option<Stopped>,
}

#[derive(Clone, Copy)]
enum Stopped {
    Time,
    Room,
}

impl<T: Guarded> Guard<T> {
    pub fn new(inner: T, deadline: Instant, room: usize) -> Self {
        Self {
            inner,
            deadline,
            room,
            kept: 0,
            steps: 0,
            stopped: None,
        }
    }

    /// Whether all was seen.
    pub fn verdict(&self) -> Result<()> {
        match self.stopped {
            None => Ok(()),
            Some(Stopped::Time) => Err(timeout()),
            Some(Stopped::Room) => Err(too_large(self.room)),
        }
    }

    fn keep(&mut self, bytes: usize) {
        let bytes = self.inner.keeps_frames().saturating_mul(FRAME + bytes);
        self.kept = self.kept.saturating_add(bytes);
    }

    fn over(&mut self) -> bool {
        if self.kept.saturating_add(self.inner.weight()) > self.room {
            self.stopped = Some(Stopped::Room);
        } else if self.steps.is_multiple_of(STEPS) && Instant::now() > self.deadline {
            self.stopped = Some(Stopped::Time);
        }
        self.steps = self.steps.wrapping_add(1);
        self.stopped.is_some()
    }
}

impl<CTX, T> Inspector<CTX> for Guard<T>
where
    CTX: ContextTr<Journal: JournalExt>,
    T: Guarded + Inspector<CTX>,
{
    fn initialize_interp(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.inner.initialize_interp(interp, context);
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        if self.over() {
            if context.error().is_ok() {
                *context.error() = Err(ContextError::Custom("the trace was stopped".into()));
            }
            interp.halt_fatal();
            return;
        }
        self.inner.step(interp, context);
    }

    fn step_end(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.inner.step_end(interp, context);
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        self.keep(log.data.data.len());
        self.inner.log(context, log);
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.keep(match &inputs.input {
            CallInput::SharedBuffer(range) => range.len(),
            CallInput::Bytes(bytes) => bytes.len(),
        });
        self.inner.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.keep(outcome.result.output.len());
        self.inner.call_end(context, inputs, outcome);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.keep(inputs.init_code().len());
        self.inner.create(context, inputs)
    }

    fn create_end(
        &mut self,
        context: &mut CTX,
        inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        self.keep(outcome.result.output.len());
        self.inner.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        Inspector::<CTX>::selfdestruct(&mut self.inner, contract, target, value);
    }
}

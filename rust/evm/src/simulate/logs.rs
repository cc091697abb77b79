//! What a simulated call logs: its contracts' events, ether transfers among them if wanted, and the watch over its cost.
//!
//! Source: go-ethereum `internal/ethapi/logtracer.go`. A log's index counts the logs of failed calls too, as there.

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, address, b256};
use revm::bytecode::opcode::SELFDESTRUCT;
use revm::context_interface::{ContextTr, JournalTr};
use revm::inspector::{Inspector, JournalExt};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, LoopControl};
use revm::interpreter::{
    CallInputs, CallOutcome, CallScheme, CallValue, CreateInputs, CreateOutcome, InstructionResult,
    Interpreter,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::failure::{CLIENT_LIMIT, Simulated, TIMEOUT, fail};

/// Who is said to emit the log of an ether transfer (ERC-7528).
const ETHER: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// keccak256("Transfer(address,address,uint256)")
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// Instructions between two looks at the clock.
const STRIDE: u32 = 4_096;
/// About what a log takes in JSON beside its data.
const LOG_BYTES: usize = 700;

/// When a simulation must end.
#[derive(Clone, Copy)]
pub struct Deadline<'a> {
    pub at: Instant,
    pub cancelled: &'a AtomicBool,
}

impl Deadline<'_> {
    pub fn passed(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || Instant::now() >= self.at
    }
}

/// A log and its index in the block.
pub type Indexed = (Log, u64);

/// Records one block's logs, call by call.
pub struct Recorder<'a> {
    transfers: bool,
    deadline: Deadline<'a>,
    /// Bytes of JSON that may still be recorded.
    room: usize,
    /// The logs of each open frame.
    frames: Vec<Vec<Indexed>>,
    done: Vec<Indexed>,
    next_index: u64,
    steps: u32,
    destroying: Option<(Address, Address, U256)>,
    timed_out: bool,
    too_large: bool,
}

impl<'a> Recorder<'a> {
    pub fn new(transfers: bool, deadline: Deadline<'a>, room: usize) -> Self {
        Self {
            transfers,
            deadline,
            room,
            frames: Vec::new(),
            done: Vec::new(),
            next_index: 0,
            steps: 0,
            destroying: None,
            timed_out: false,
            too_large: false,
        }
    }

    /// The logs of the call that has ended: none if it failed.
    pub fn take(&mut self) -> Vec<Indexed> {
        self.frames.clear();
        self.destroying = None;
        core::mem::take(&mut self.done)
    }

    /// Why the call was stopped, if it was.
    pub fn stopped(&self) -> Simulated<()> {
        if self.timed_out {
            return fail(TIMEOUT, "execution aborted: the simulation took too long");
        }
        if self.too_large {
            return fail(CLIENT_LIMIT, "the result would be too large");
        }
        Ok(())
    }

    fn record(&mut self, log: Log) {
        let size = LOG_BYTES + 2 * log.data.data.len();
        match self.room.checked_sub(size) {
            None => self.too_large = true,
            Some(room) => {
                self.room = room;
                let index = self.next_index;
                self.next_index += 1;
                if let Some(frame) = self.frames.last_mut() {
                    frame.push((log, index));
                }
            }
        }
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if self.transfers && !value.is_zero() {
            let topics = vec![TRANSFER, from.into_word(), to.into_word()];
            let data = Bytes::from(value.to_be_bytes::<32>());
            self.record(Log {
                address: ETHER,
                data: LogData::new_unchecked(topics, data),
            });
        }
    }

    fn leave(&mut self, success: bool) {
        let logs = self.frames.pop().unwrap_or_default();
        if success {
            self.frames
                .last_mut()
                .unwrap_or(&mut self.done)
                .extend(logs);
        }
    }
}

impl<CTX: ContextTr<Journal: JournalExt>> Inspector<CTX, EthInterpreter> for Recorder<'_> {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut CTX) {
        self.steps += 1;
        if self.steps >= STRIDE {
            self.steps = 0;
            self.timed_out |= self.deadline.passed();
        }
        if self.timed_out || self.too_large {
            interpreter.halt(InstructionResult::OutOfGas);
            return;
        }
        if self.transfers && interpreter.bytecode.opcode() == SELFDESTRUCT {
            let contract = interpreter.input.target_address();
            let account = context.journal_mut().evm_state().get(&contract);
            let balance = account.map_or(U256::ZERO, |account| account.info.balance);
            let to = interpreter.stack.data().last().copied();
            self.destroying = to.map(|to| (contract, Address::from_word(B256::from(to)), balance));
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _context: &mut CTX) {
        if let Some((contract, to, balance)) = self.destroying.take()
            && interpreter.bytecode.instruction_result() == Some(InstructionResult::SelfDestruct)
        {
            self.transfer(contract, to, balance);
        }
    }

    fn log(&mut self, _context: &mut CTX, log: Log) {
        self.record(log);
    }

    fn call(&mut self, _context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.frames.push(Vec::new());
        if let (CallScheme::Call, CallValue::Transfer(value)) = (inputs.scheme, &inputs.value) {
            self.transfer(inputs.caller, inputs.target_address, *value);
        }
        None
    }

    fn call_end(&mut self, _context: &mut CTX, _inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.leave(outcome.result.is_ok());
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.frames.push(Vec::new());
        if self.transfers && !inputs.value().is_zero() {
            let account = context.journal_mut().evm_state().get(&inputs.caller());
            let nonce = account.map_or(0, |account| account.info.nonce);
            let created = inputs.created_address(nonce);
            self.transfer(inputs.caller(), created, inputs.value());
        }
        None
    }

    fn create_end(
        &mut self,
        _context: &mut CTX,
        _inputs: &CreateInputs,
        outcome: &mut CreateOutcome,
    ) {
        self.leave(outcome.result.is_ok());
    }
}

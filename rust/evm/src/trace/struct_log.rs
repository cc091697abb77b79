//! geth's default tracer: one entry for each opcode.
//!
//! Source: go-ethereum `eth/tracers/logger/logger.go`. An entry is written as JSON when its opcode runs, so a trace takes the
//! memory of its answer and no more. `refund` counts for the whole transaction, revm's for one frame: the frames' are added up.
//!
//! Deviations: where gas runs out within an opcode, `gasCost` is what was charged so far (geth: what it would have cost), and
//! an SLOAD that fails shows no storage.

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256};
use revm::Inspector;
use revm::bytecode::opcode;
use revm::context::result::ExecutionResult;
use revm::context::{ContextTr, JournalTr};
use revm::inspector::JournalExt;
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, LoopControl, ReturnData};
use revm::interpreter::{FrameInput, Interpreter, InterpreterAction};
use std::collections::BTreeMap;
use std::io::Write;

use super::options::LogOptions;
use super::output::Capped;
use super::output_of;
use super::words::{flaw, name_of};
use crate::error::Result;

pub struct StructLogger {
    options: LogOptions,
    entries: Vec<u8>,
    /// By frame, outermost first.
    refunds: Vec<i64>,
    storage: AddressMap<BTreeMap<B256, B256>>,
    open: Option<Open>,
}

/// An entry whose opcode is running.
struct Open {
    op: u8,
    gas: u64,
    stack_len: usize,
    /// The slot that an SLOAD reads.
    reads: Option<(Address, B256)>,
    /// The contract whose storage is to be shown.
    shows: Option<Address>,
}

impl StructLogger {
    pub fn new(options: LogOptions) -> Self {
        Self {
            options,
            entries: Vec::new(),
            refunds: Vec::new(),
            storage: AddressMap::default(),
            open: None,
        }
    }

    pub fn weight(&self) -> usize {
        self.entries.len()
    }

    pub fn finish(self, result: &ExecutionResult, out: &mut Capped) -> Result<()> {
        let data = match result {
            ExecutionResult::Halt { .. } => Default::default(),
            result => output_of(result),
        };
        out.raw(
            format!(
                "{{\"gas\":{},\"failed\":{},\"returnValue\":\"{data}\",\"structLogs\":[",
                result.tx_gas_used(),
                !result.is_success(),
            )
            .as_bytes(),
        )?;
        out.raw(&self.entries)?;
        out.raw(b"]}")
    }

    fn full(&self) -> bool {
        self.options.limit != 0 && self.entries.len() as u64 > self.options.limit
    }

    fn number(&mut self, name: &str, value: u64) {
        // A Vec takes every write.
        let _ = write!(self.entries, "\"{name}\":{value},");
    }

    fn words<T: core::fmt::Display>(&mut self, name: &str, words: impl Iterator<Item = T>) {
        let _ = write!(self.entries, "\"{name}\":[");
        for (i, word) in words.enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(self.entries, "{comma}\"{word}\"");
        }
        self.entries.extend_from_slice(b"],");
    }

    fn set_refund(&mut self, depth: usize, refund: i64) -> i64 {
        self.refunds.resize(depth, 0);
        if let Some(last) = self.refunds.last_mut() {
            *last = refund;
        }
        self.refunds.iter().sum()
    }
}

/// A 256-bit number as geth's `uint256.Hex`.
struct Quantity(U256);

impl core::fmt::Display for Quantity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// 32 bytes of memory, the last ones filled up with zeros.
struct Word<'m>(&'m [u8]);

impl core::fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", B256::right_padding_from(self.0))
    }
}

impl<CTX> Inspector<CTX> for StructLogger
where
    CTX: ContextTr<Journal: JournalExt>,
{
    fn step(&mut self, interp: &mut Interpreter<EthInterpreter>, context: &mut CTX) {
        let depth = context.journal().depth();
        if self.full() {
            self.open = None;
            return;
        }
        let op = interp.bytecode.opcode();
        let stack = interp.stack.data().as_slice();
        let comma = if self.entries.is_empty() { "{" } else { ",{" };
        let _ = write!(
            self.entries,
            "{comma}\"pc\":{},\"op\":\"{}\",",
            interp.bytecode.pc(),
            name_of(op)
        );
        let gas = interp.gas.remaining();
        self.number("gas", gas);
        self.number("depth", depth as u64);
        if !self.options.disable_stack {
            self.words("stack", stack.iter().map(|item| Quantity(*item)));
        }
        if self.options.enable_return_data && !interp.return_data.buffer().is_empty() {
            let _ = write!(
                self.entries,
                "\"returnData\":\"{}\",",
                interp.return_data.buffer()
            );
        }
        if self.options.enable_memory {
            let memory = interp.memory.context_memory();
            if !memory.is_empty() {
                self.words("memory", memory.chunks(32).map(Word));
            }
        }
        let (mut reads, mut shows) = (None, None);
        if !self.options.disable_storage {
            let contract = interp.input.target_address();
            match (op, stack) {
                (opcode::SLOAD, [.., slot]) => {
                    reads = Some((contract, B256::from(*slot)));
                    shows = Some(contract);
                }
                (opcode::SSTORE, [.., value, slot]) => {
                    self.storage
                        .entry(contract)
                        .or_default()
                        .insert(B256::from(*slot), B256::from(*value));
                    shows = Some(contract);
                }
                _ => {}
            }
        }
        self.open = Some(Open {
            op,
            gas,
            stack_len: stack.len(),
            reads,
            shows,
        });
    }

    fn step_end(&mut self, interp: &mut Interpreter<EthInterpreter>, context: &mut CTX) {
        let refund = self.set_refund(context.journal().depth(), interp.gas.refunded());
        let Some(mut open) = self.open.take() else {
            return;
        };
        let action = interp.bytecode.action().as_ref();
        let flaw = action
            .and_then(InterpreterAction::instruction_result)
            .and_then(|result| flaw(open.op, open.stack_len, result));
        // geth gives a creation its gas after the entry is made, a call before.
        let given = match action {
            Some(InterpreterAction::NewFrame(FrameInput::Create(inputs))) => inputs.gas_limit(),
            _ => 0,
        };
        let cost = open
            .gas
            .wrapping_sub(interp.gas.remaining())
            .saturating_sub(given);
        self.number("gasCost", cost);
        if refund > 0 {
            self.number("refund", refund.unsigned_abs());
        }
        if let Some(flaw) = flaw {
            let _ = write!(self.entries, "\"error\":\"{flaw}\",");
            open.reads = None;
        }
        if let (Some((contract, slot)), Some(value)) = (open.reads, interp.stack.data().last()) {
            self.storage
                .entry(contract)
                .or_default()
                .insert(slot, B256::from(*value));
        }
        if let Some(slots) = open.shows.and_then(|contract| self.storage.get(&contract))
            && !slots.is_empty()
        {
            self.entries.extend_from_slice(b"\"storage\":{");
            for (i, (slot, value)) in slots.iter().enumerate() {
                let comma = if i == 0 { "" } else { "," };
                let _ = write!(self.entries, "{comma}\"{slot}\":\"{value}\"");
            }
            self.entries.extend_from_slice(b"},");
        }
        self.entries.pop(); // the comma
        self.entries.push(b'}');
    }
}

//! What geth calls opcodes and their failures.
//!
//! Source: go-ethereum `core/vm/errors.go`, `core/vm/opcodes.go`, `core/vm/jump_table.go`.

use revm::Inspector;
use revm::bytecode::opcode::OpCode;
use revm::context::ContextTr;
use revm::inspector::JournalExt;
use revm::interpreter::interpreter_types::{Jumps, LoopControl};
use revm::interpreter::{
    CallInputs, CallOutcome, CreateInputs, CreateOutcome, InstructionResult, Interpreter,
    InterpreterAction,
};
use std::collections::BTreeMap;

/// Most items of a stack.
const STACK_LIMIT: usize = 1024;

pub fn name_of(op: u8) -> String {
    match OpCode::new(op) {
        Some(op) => op.as_str().into(),
        None => format!("opcode {op:#x} not defined"),
    }
}

/// What geth finds wrong before an opcode runs, with so many items on the stack.
pub fn flaw(op: u8, stack_len: usize, result: InstructionResult) -> Option<String> {
    let (inputs, outputs) = OpCode::new(op).map_or((0, 0), |op| op.input_output());
    match result {
        InstructionResult::StackUnderflow => {
            Some(format!("stack underflow ({stack_len} <=> {inputs})"))
        }
        InstructionResult::StackOverflow => Some(format!(
            "stack limit reached {stack_len} ({})",
            STACK_LIMIT + usize::from(inputs) - usize::from(outputs)
        )),
        InstructionResult::OutOfGas
        | InstructionResult::MemoryOOG
        | InstructionResult::MemoryLimitOOG
        | InstructionResult::InvalidOperandOOG => Some("out of gas".into()),
        InstructionResult::ReentrancySentryOOG => {
            Some("out of gas: not enough gas for reentrancy sentry".into())
        }
        _ => None,
    }
}

/// Why frames ended that ended badly, for tracers that do not know it so exactly.
#[derive(Default)]
pub struct Ends {
    entered: usize,
    open: Vec<usize>,
    step: Option<(u8, usize)>,
    /// By frame, in the order in which they began.
    pub why: BTreeMap<usize, String>,
}

impl Ends {
    fn enter(&mut self) {
        self.open.push(self.entered);
        self.entered += 1;
    }
}

impl<CTX> Inspector<CTX> for Ends
where
    CTX: ContextTr<Journal: JournalExt>,
{
    fn step(&mut self, interp: &mut Interpreter, _context: &mut CTX) {
        self.step = Some((interp.bytecode.opcode(), interp.stack.len()));
    }

    fn step_end(&mut self, interp: &mut Interpreter, _context: &mut CTX) {
        let result = interp
            .bytecode
            .action()
            .as_ref()
            .and_then(InterpreterAction::instruction_result);
        let (Some(result), Some((op, stack_len)), Some(frame)) =
            (result, self.step, self.open.last())
        else {
            return;
        };
        let why = match result {
            InstructionResult::OpcodeNotFound
            | InstructionResult::NotActivated
            | InstructionResult::InvalidFEOpcode => {
                Some(format!("invalid opcode: {}", name_of(op)))
            }
            result => flaw(op, stack_len, result),
        };
        if let Some(why) = why {
            self.why.insert(*frame, why);
        }
    }

    fn call(&mut self, _: &mut CTX, _: &mut CallInputs) -> Option<CallOutcome> {
        self.enter();
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, _: &mut CallOutcome) {
        self.open.pop();
    }

    fn create(&mut self, _: &mut CTX, _: &mut CreateInputs) -> Option<CreateOutcome> {
        self.enter();
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, _: &mut CreateOutcome) {
        self.open.pop();
    }
}

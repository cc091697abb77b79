//! Precompiled contracts at other addresses, or none where they were.

use alloy_primitives::Address;
use alloy_primitives::map::AddressMap;
use revm::context_interface::{Cfg, ContextTr};
use revm::handler::{EthPrecompiles, PrecompileProvider, precompile_output_to_interpreter_result};
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::precompile::{Precompile, PrecompileSpecId, Precompiles};
use revm::primitives::AddressSet;
use revm::primitives::hardfork::SpecId;

/// The precompiles of a fork, some of them elsewhere or gone. The addresses that are warm stay the fork's own.
#[derive(Clone, Debug)]
pub struct MovedPrecompiles {
    fork: EthPrecompiles,
    moved: AddressMap<Option<&'static Precompile>>,
}

impl MovedPrecompiles {
    pub fn new(spec: SpecId) -> Self {
        Self {
            fork: EthPrecompiles::new(spec),
            moved: AddressMap::default(),
        }
    }

    /// Whether any is not where the fork has it.
    pub fn are_moved(&self) -> bool {
        !self.moved.is_empty()
    }

    pub(super) fn get(&self, address: &Address) -> Option<&'static Precompile> {
        match self.moved.get(address) {
            Some(moved) => *moved,
            None => {
                let fork: &'static Precompiles =
                    Precompiles::new(PrecompileSpecId::from_spec_id(self.fork.spec));
                fork.get(address)
            }
        }
    }

    pub(super) fn put(&mut self, address: Address, precompile: Option<&'static Precompile>) {
        self.moved.insert(address, precompile);
    }
}

impl<CTX: ContextTr> PrecompileProvider<CTX> for MovedPrecompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: <CTX::Cfg as Cfg>::Spec) -> bool {
        PrecompileProvider::<CTX>::set_spec(&mut self.fork, spec)
    }

    fn run(
        &mut self,
        context: &mut CTX,
        inputs: &CallInputs,
    ) -> core::result::Result<Option<InterpreterResult>, String> {
        match self.moved.get(&inputs.bytecode_address) {
            None => self.fork.run(context, inputs),
            Some(None) => Ok(None),
            Some(Some(precompile)) => {
                let input = inputs.input.as_bytes(context);
                let output = precompile
                    .execute(&input, inputs.gas_limit, inputs.reservoir)
                    .map_err(|error| error.to_string())?;
                drop(input);
                Ok(Some(precompile_output_to_interpreter_result(
                    output,
                    inputs.gas_limit,
                )))
            }
        }
    }

    fn warm_addresses(&self) -> &AddressSet {
        self.fork.warm_addresses()
    }

    fn contains(&self, address: &Address) -> bool {
        self.get(address).is_some()
    }
}

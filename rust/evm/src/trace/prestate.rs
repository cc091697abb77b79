//! What a transaction touches, as it was before; or what it changed.
//!
//! Source: go-ethereum `eth/tracers/native/prestate.go`. What is touched is gathered while the transaction runs, the values are
//! read afterwards: nothing is written before that.
//!
//! Deviations: in diff mode a contract counts as deleted when it is gone after the transaction (geth: when it ran SELFDESTRUCT
//! in the transaction that created it, even if that was reverted).

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::bytecode::opcode;
use revm::context::transaction::AuthorizationTr;
use revm::context::{ContextTr, JournalTr};
use revm::inspector::JournalExt;
use revm::interpreter::interpreter_types::{InputsTr, Jumps, LoopControl};
use revm::interpreter::{CreateInputs, CreateOutcome, Interpreter, InterpreterAction};
use revm::primitives::KECCAK_EMPTY;
use revm::{Database, Inspector};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::output::Capped;
use super::tracer::Subject;
use super::{Watched, callee};
use crate::error::{Error, Result};
use crate::executor::BlockContext;
use crate::state::Overlay;
use crate::view::At;

/// Bytes that an account or a slot takes while it is gathered.
const TOUCHED: usize = 128;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PreStateOptions {
    diff_mode: bool,
    disable_code: bool,
    disable_storage: bool,
    include_empty: bool,
}

#[derive(Default)]
pub struct PreState {
    options: PreStateOptions,
    accounts: BTreeMap<Address, BTreeSet<U256>>,
    slots: usize,
    /// Called by an opcode: where its code is delegated, the target is touched too.
    called: BTreeSet<Address>,
    /// What the opcode under way touches, if it does not fail.
    next: Option<Touch>,
}

#[derive(Clone, Copy)]
enum Touch {
    Slot(Address, U256),
    Account(Address),
    Callee(Address),
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<U256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_hash: Option<B256>,
    #[serde(skip_serializing_if = "is_zero")]
    nonce: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    storage: BTreeMap<B256, B256>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// An account, before or after.
struct Seen {
    balance: U256,
    nonce: u64,
    code_hash: B256,
    code: Bytes,
}

impl Seen {
    fn exists(&self) -> bool {
        self.nonce > 0 || !self.balance.is_zero() || !self.code.is_empty()
    }

    fn known_code(&self) -> Option<B256> {
        (self.code_hash != KECCAK_EMPTY && !self.code_hash.is_zero()).then_some(self.code_hash)
    }
}

impl PreState {
    pub fn new(config: &Value) -> Result<Self> {
        let options = PreStateOptions::deserialize(config).map_err(|error| {
            Error::InvalidTransaction(format!("tracerConfig of prestateTracer: {error}"))
        })?;
        if options.diff_mode && options.include_empty {
            return Err(Error::InvalidTransaction(
                "cannot use diffMode with includeEmpty".into(),
            ));
        }
        Ok(Self {
            options,
            ..Self::default()
        })
    }

    pub fn weight(&self) -> usize {
        (self.accounts.len() + self.called.len() + self.slots) * TOUCHED
    }

    fn touch(&mut self, touch: Touch) {
        let (Touch::Slot(address, _) | Touch::Account(address) | Touch::Callee(address)) = touch;
        let slots = self.accounts.entry(address).or_default();
        match touch {
            Touch::Slot(_, slot) if !self.options.disable_storage && slots.insert(slot) => {
                self.slots += 1
            }
            Touch::Callee(_) => {
                self.called.insert(address);
            }
            Touch::Slot(..) | Touch::Account(_) => {}
        }
    }

    pub fn begin(
        &mut self,
        subject: &Subject,
        context: &BlockContext,
        state: &mut Overlay<At<'_>>,
    ) -> Result<()> {
        let tx = &subject.tx;
        let to = match tx.kind.to() {
            Some(to) => *to,
            None if subject.signed => callee(tx),
            None => {
                let nonce = state.account(tx.caller)?.unwrap_or_default().nonce;
                tx.caller.create(nonce)
            }
        };
        for address in [tx.caller, to, context.beneficiary] {
            self.touch(Touch::Account(address));
        }
        let code_hash = state.account(to)?.unwrap_or_default().code_hash;
        if let Some(target) = state.code_by_hash(code_hash)?.eip7702_address() {
            self.touch(Touch::Account(target));
        }
        for authorization in &tx.authorization_list {
            if let Some(authority) = authorization.authority() {
                self.touch(Touch::Account(authority));
            }
        }
        Ok(())
    }

    pub fn finish(
        mut self,
        state: &mut Overlay<At<'_>>,
        watched: &Watched,
        out: &mut Capped,
    ) -> Result<()> {
        for address in core::mem::take(&mut self.called) {
            let code = match watched.state.get(&address) {
                Some(account) => state.code_by_hash(account.info.code_hash)?,
                None => continue, // its call failed before it was looked at
            };
            if let Some(target) = code.eip7702_address() {
                self.touch(Touch::Account(target));
            }
        }
        if self.options.diff_mode {
            return self.finish_diff(state, watched, out);
        }
        out.raw(b"{")?;
        let mut first = true;
        for (address, slots) in &self.accounts {
            let before = before(state, *address)?;
            if !before.exists() && !self.options.include_empty {
                continue;
            }
            let mut shown = self.shown(&before);
            for slot in slots {
                let value = state.slot(*address, *slot)?;
                shown.storage.insert(B256::from(*slot), B256::from(value));
            }
            entry(out, &mut first, address, &shown)?;
        }
        out.raw(b"}")
    }

    fn shown(&self, seen: &Seen) -> Shown {
        Shown {
            balance: Some(seen.balance),
            code: (!self.options.disable_code && !seen.code.is_empty()).then(|| seen.code.clone()),
            code_hash: seen.known_code(),
            nonce: seen.nonce,
            storage: BTreeMap::new(),
        }
    }

    fn finish_diff(
        &self,
        state: &mut Overlay<At<'_>>,
        watched: &Watched,
        out: &mut Capped,
    ) -> Result<()> {
        let mut posts = Capped::new(out.room());
        let (mut first, mut first_post) = (true, true);
        out.raw(b"{\"pre\":{")?;
        for (address, slots) in &self.accounts {
            let before = before(state, *address)?;
            let Some(account) = watched.state.get(address) else {
                continue; // touched and not changed
            };
            let mut pre = self.shown(&before);
            if account.is_selfdestructed() {
                for slot in slots {
                    let value = state.slot(*address, *slot)?;
                    pre.storage.insert(B256::from(*slot), B256::from(value));
                }
                if before.exists() {
                    entry(out, &mut first, address, &pre)?;
                }
                continue;
            }
            let after = Seen {
                balance: account.info.balance,
                nonce: account.info.nonce,
                code_hash: account.info.code_hash,
                code: match &account.info.code {
                    Some(code) => code.original_bytes(),
                    None => state.code_by_hash(account.info.code_hash)?.original_bytes(),
                },
            };
            let mut post = Shown::default();
            if after.balance != before.balance {
                post.balance = Some(after.balance);
            }
            if after.nonce != before.nonce {
                post.nonce = after.nonce;
            }
            if after.known_code() != before.known_code() {
                post.code_hash = Some(after.code_hash);
                if !self.options.disable_code {
                    post.code = Some(after.code);
                }
            }
            let mut changed = after.nonce != before.nonce || post != Shown::default();
            for slot in slots {
                let old = state.slot(*address, *slot)?;
                let new = account
                    .storage
                    .get(slot)
                    .map_or(old, |slot| slot.present_value());
                if old == new {
                    continue;
                }
                changed = true;
                if !old.is_zero() {
                    pre.storage.insert(B256::from(*slot), B256::from(old));
                }
                if !new.is_zero() {
                    post.storage.insert(B256::from(*slot), B256::from(new));
                }
            }
            if !changed {
                continue;
            }
            entry(&mut posts, &mut first_post, address, &post)?;
            if before.exists() {
                entry(out, &mut first, address, &pre)?;
            }
        }
        out.raw(b"},\"post\":{")?;
        out.raw(&posts.bytes())?;
        out.raw(b"}}")
    }
}

fn before(state: &mut Overlay<At<'_>>, address: Address) -> Result<Seen> {
    let account = state.account(address)?.unwrap_or_default();
    Ok(Seen {
        balance: account.balance,
        nonce: account.nonce,
        code_hash: account.code_hash,
        code: state.code_by_hash(account.code_hash)?.original_bytes(),
    })
}

fn entry(out: &mut Capped, first: &mut bool, address: &Address, shown: &Shown) -> Result<()> {
    if !core::mem::take(first) {
        out.raw(b",")?;
    }
    out.json(address)?;
    out.raw(b":")?;
    out.json(shown)
}

impl<CTX> Inspector<CTX> for PreState
where
    CTX: ContextTr<Journal: JournalExt>,
{
    fn step(&mut self, interp: &mut Interpreter, _context: &mut CTX) {
        let address = |word: &U256| Address::from_word(B256::from(*word));
        self.next = match (interp.bytecode.opcode(), interp.stack.data().as_slice()) {
            (opcode::SLOAD | opcode::SSTORE, [.., slot]) => {
                Some(Touch::Slot(interp.input.target_address(), *slot))
            }
            (
                opcode::EXTCODECOPY
                | opcode::EXTCODEHASH
                | opcode::EXTCODESIZE
                | opcode::BALANCE
                | opcode::SELFDESTRUCT,
                [.., word],
            ) => Some(Touch::Account(address(word))),
            (
                opcode::CALL | opcode::CALLCODE | opcode::DELEGATECALL | opcode::STATICCALL,
                [.., word, _gas],
            ) => Some(Touch::Callee(address(word))),
            _ => None,
        };
    }

    fn step_end(&mut self, interp: &mut Interpreter, _context: &mut CTX) {
        let failed = interp
            .bytecode
            .action()
            .as_ref()
            .and_then(InterpreterAction::instruction_result)
            .is_some_and(|result| result.is_halt());
        if let Some(touch) = self.next.take()
            && !failed
        {
            self.touch(touch);
        }
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let caller = inputs.caller();
        let nonce = context.journal_ref().evm_state().get(&caller);
        let nonce = nonce.map_or(0, |account| account.info.nonce);
        self.touch(Touch::Account(inputs.created_address(nonce)));
        None
    }
}

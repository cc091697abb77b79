//! State and block overrides: another state, another block, for one call or one simulation. Nothing is stored.
//!
//! ```
//! use dougong_evm::overrides::StateOverrides;
//! let wanted = serde_json::json!({"0x00000000000000000000000000000000000000aa": {"balance": "0x1"}});
//! assert!(StateOverrides::parse(&wanted).is_ok());
//! ```
//!
//! Source: ethereum/execution-apis `src/schemas/execute.yaml`; go-ethereum `internal/ethapi/override/override.go`, whose order of
//! checks and whose words are kept. As there, unknown fields are passed over, and an account that an override names stays even
//! where it is empty. Deviations: how much may be overridden is bounded, and a precompile that is moved onto itself is refused
//! with the code that the specification has for it.

use alloy_primitives::{Address, Bytes, U256, keccak256};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::state::{Account, Overlay, StateReader};

mod block;
mod precompiles;
mod read;

pub use block::BlockOverrides;
pub use precompiles::MovedPrecompiles;
pub(crate) use read::{array, flag, object};
use read::{bytes, fixed, narrow, quantity, short, storage, string};

/// How much one request may override, over all its blocks.
pub const MAX_ACCOUNTS: usize = 4_096;
pub const MAX_SLOTS: usize = 32_768;
pub const MAX_CODE_BYTES: usize = 1 << 20;

/// Why overrides do not apply: what of them, for whom to mend.
#[derive(Debug)]
pub enum Refusal {
    /// They do not parse.
    Malformed(String),
    /// They contradict each other or the chain.
    Contradiction(String),
    /// A precompile is moved onto itself.
    OntoItself(String),
    TooMuch(String),
    /// The state could not be read.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(why) | Refusal::TooMuch(why) => Self::Invalid(why),
            Refusal::Contradiction(why) | Refusal::OntoItself(why) => Self::InvalidTransaction(why),
            Refusal::Failed(error) => error,
        }
    }
}

pub type Applied<T> = core::result::Result<T, Refusal>;

/// What is to be different about one account.
#[derive(Clone, Debug, Default)]
pub struct AccountOverride {
    pub balance: Option<U256>,
    pub nonce: Option<u64>,
    pub code: Option<Bytes>,
    /// The whole storage.
    pub state: Option<Vec<(U256, U256)>>,
    /// Some slots.
    pub state_diff: Option<Vec<(U256, U256)>>,
    pub move_precompile_to: Option<Address>,
}

/// What is to be different about the state, in the order of addresses.
#[derive(Clone, Debug, Default)]
pub struct StateOverrides(pub Vec<(Address, AccountOverride)>);

/// How much of the limits is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weight {
    pub accounts: usize,
    pub slots: usize,
    pub code_bytes: usize,
}

impl Weight {
    pub fn add(&mut self, other: Self) -> Applied<()> {
        self.accounts += other.accounts;
        self.slots += other.slots;
        self.code_bytes += other.code_bytes;
        let parts = [
            ("accounts", self.accounts, MAX_ACCOUNTS),
            ("storage slots", self.slots, MAX_SLOTS),
            ("bytes of code", self.code_bytes, MAX_CODE_BYTES),
        ];
        match parts.into_iter().find(|(_, used, most)| used > most) {
            None => Ok(()),
            Some((what, used, most)) => Err(Refusal::TooMuch(format!(
                "too many overrides: {used} {what}, the limit is {most}"
            ))),
        }
    }
}

impl StateOverrides {
    pub fn parse(value: &Value) -> Applied<Self> {
        let mut accounts = Vec::new();
        let mut weight = Weight::default();
        for (key, value) in object("stateOverrides", value)? {
            let address = Address::new(fixed(&format!("stateOverrides key {}", short(key)), key)?);
            let account = AccountOverride::parse(&address, value)?;
            weight.add(account.weight())?;
            accounts.push((address, account));
        }
        accounts.sort_by_key(|(address, _)| *address);
        match accounts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            None => Ok(Self(accounts)),
            Some(pair) => Err(Refusal::Malformed(format!(
                "stateOverrides names account {} twice",
                pair[0].0
            ))),
        }
    }

    pub fn weight(&self) -> Applied<Weight> {
        let mut weight = Weight::default();
        for (_, account) in &self.0 {
            weight.add(account.weight())?;
        }
        Ok(weight)
    }

    fn has(&self, address: &Address) -> bool {
        self.0
            .binary_search_by_key(address, |(address, _)| *address)
            .is_ok()
    }

    /// Changes `state` and `precompiles`, as geth does: as if by a transaction before all others.
    pub fn apply<R: StateReader<Error = Error>>(
        &self,
        state: &mut Overlay<R>,
        precompiles: &mut MovedPrecompiles,
    ) -> Applied<()> {
        for (address, account) in &self.0 {
            self.move_precompile(address, account, precompiles)?;
            account.apply(*address, state)?;
        }
        Ok(())
    }

    fn move_precompile(
        &self,
        address: &Address,
        account: &AccountOverride,
        precompiles: &mut MovedPrecompiles,
    ) -> Applied<()> {
        let there = precompiles.get(address);
        if let Some(to) = account.move_precompile_to {
            let Some(precompile) = there else {
                return Err(Refusal::Contradiction(format!(
                    "account {address} is not a precompile"
                )));
            };
            if to == *address {
                return Err(Refusal::OntoItself(format!(
                    "account {address} is moved onto itself by movePrecompileToAddress"
                )));
            }
            if self.has(&to) {
                return Err(Refusal::Contradiction(format!(
                    "account {to} is already overridden"
                )));
            }
            precompiles.put(to, Some(precompile));
        }
        if there.is_some() {
            precompiles.put(*address, None);
        }
        Ok(())
    }
}

impl AccountOverride {
    fn parse(address: &Address, value: &Value) -> Applied<Self> {
        let name = |field: &str| format!("{field} of account {address}");
        let fields = object(&format!("the override of account {address}"), value)?;
        let get = |field: &str| fields.get(field).filter(|value| !value.is_null());
        let slots = |field: &str| {
            get(field)
                .map(|value| storage(&name(field), value))
                .transpose()
        };
        let text = |field: &str| {
            get(field)
                .map(|value| string(&name(field), value))
                .transpose()
        };
        let parsed = Self {
            balance: quantity(&name("balance"), get("balance"))?,
            nonce: narrow(&name("nonce"), quantity(&name("nonce"), get("nonce"))?)?,
            code: text("code")?
                .map(|text| bytes(&name("code"), text))
                .transpose()?,
            state: slots("state")?,
            state_diff: slots("stateDiff")?,
            move_precompile_to: text("movePrecompileToAddress")?
                .map(|text| fixed(&name("movePrecompileToAddress"), text).map(Address::new))
                .transpose()?,
        };
        if parsed.state.is_some() && parsed.state_diff.is_some() {
            return Err(Refusal::Contradiction(format!(
                "account {address} has both 'state' and 'stateDiff'"
            )));
        }
        Ok(parsed)
    }

    fn weight(&self) -> Weight {
        let count = |slots: &Option<Vec<_>>| slots.as_ref().map_or(0, Vec::len);
        Weight {
            accounts: 1,
            slots: count(&self.state) + count(&self.state_diff),
            code_bytes: self.code.as_ref().map_or(0, |code| code.len()),
        }
    }

    fn apply<R: StateReader<Error = Error>>(
        &self,
        address: Address,
        state: &mut Overlay<R>,
    ) -> Applied<()> {
        if self.balance.is_some() || self.nonce.is_some() || self.code.is_some() {
            let old = state.account(address)?.unwrap_or_default();
            let code_hash = match &self.code {
                None => old.code_hash,
                Some(code) if code.is_empty() => Account::default().code_hash,
                Some(code) => keccak256(code),
            };
            let account = Account {
                nonce: self.nonce.unwrap_or(old.nonce),
                balance: self.balance.unwrap_or(old.balance),
                code_hash,
            };
            state.set_account(address, account, self.code.clone())?;
        }
        if let Some(slots) = &self.state {
            state.set_storage(address, slots)?;
        }
        for (slot, value) in self.state_diff.iter().flatten() {
            state.set_slot(address, *slot, *value)?;
        }
        Ok(())
    }
}

/// The two overrides of an eth_call, from JSON that may be null.
pub fn parse_both(state_json: &str, block_json: &str) -> Result<(StateOverrides, BlockOverrides)> {
    let value = |json: &str| -> Result<Value> {
        serde_json::from_str(json)
            .map_err(|error| Error::Invalid(format!("the overrides are not JSON: {error}")))
    };
    let state = match value(state_json)? {
        Value::Null => StateOverrides::default(),
        value => StateOverrides::parse(&value)?,
    };
    let block = match value(block_json)? {
        Value::Null => BlockOverrides::default(),
        value => BlockOverrides::parse(&value)?,
    };
    Ok((state, block))
}

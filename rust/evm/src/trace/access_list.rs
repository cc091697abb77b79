//! `eth_createAccessList`: what a call touches, so that it can say so beforehand.
//!
//! Source: go-ethereum `internal/ethapi/api.go` `AccessList`. The list changes what the call costs, so what the call does may
//! change with it: it is run again with the list until the list stays.
//!
//! Deviation: a call that names no fee pays none (geth fills in one that the sender must be able to pay for all of its gas).

use alloy_eips::eip2930::AccessList;
use revm::InspectEvm;
use revm::context::TxEnv;
use revm::context::result::{EVMError, ExecutionResult};
use revm_inspectors::access_list::AccessListInspector;
use serde_json::json;

use super::guard::{Guard, Guarded};
use super::{Bounds, Clock};
use crate::call::{Call, Request, in_words, unsigned};
use crate::config::ChainConfig;
use crate::error::{Error, Result};
use crate::store::Store;

/// What a new account costs an EIP-7702 authorization.
const AUTHORIZATION_GAS: u64 = 25_000;
const SLOT: usize = 64;

impl Guarded for AccessListInspector {
    fn keeps_frames(&self) -> usize {
        0
    }

    fn weight(&self) -> usize {
        self.touched_slots().len() * SLOT
    }
}

/// The access list of an eth_call request, the gas that the call uses with it, and why it failed, if it did.
pub fn access_list(
    config: &ChainConfig,
    store: &Store,
    request_json: &str,
    overrides_json: &str,
    number: u64,
    gas_cap: u64,
    bounds: &Bounds,
) -> Result<Vec<u8>> {
    let clock = Clock::start(bounds);
    let request = Request::parse(request_json, (overrides_json, "null"))?;
    let mut call = Call::new(config, store, &request, number)?;
    if call.precompiles.are_moved() {
        return Err(Error::InvalidTransaction(
            "an override of a precompile is not supported for this RPC method".into(),
        ));
    }
    let gas_limit = call.gas.unwrap_or(gas_cap).min(gas_cap);
    if call.tx.authorization_list.len() as u64 > gas_limit / AUTHORIZATION_GAS {
        return Err(Error::InvalidTransaction(
            "insufficient gas to process all authorizations".into(),
        ));
    }
    let mut list = call.tx.access_list.clone();
    loop {
        clock.check()?;
        let inspector = AccessListInspector::new(list.clone());
        let mut guard = Guard::new(inspector, clock.end, bounds.bytes);
        let mut evm = call
            .context
            .evm(&mut call.state, unsigned)
            .with_inspector(&mut guard);
        let outcome = evm.inspect_tx(TxEnv {
            gas_limit,
            tx_type: typed(&call.tx, &list),
            access_list: list.clone(),
            ..call.tx.clone()
        });
        drop(evm);
        guard.verdict()?;
        let result = outcome
            .map_err(|error| match error {
                EVMError::Database(error) => error,
                other => Error::InvalidTransaction(format!("failed to apply transaction: {other}")),
            })?
            .result;
        let mut found = guard.inner.into_access_list();
        for item in &mut found.0 {
            item.storage_keys.sort_unstable();
        }
        if found != list {
            list = found;
            continue;
        }
        let mut shown = json!({
            "accessList": list,
            "gasUsed": format!("{:#x}", result.tx_gas_used()),
        });
        match &result {
            ExecutionResult::Success { .. } => {}
            ExecutionResult::Revert { .. } => shown["error"] = json!("execution reverted"),
            ExecutionResult::Halt { reason, .. } => shown["error"] = json!(in_words(reason)),
        }
        return serde_json::to_vec(&shown)
            .map_err(|error| Error::Corrupt(format!("an access list: {error}")));
    }
}

/// A legacy transaction with an access list is an EIP-2930 one.
fn typed(tx: &TxEnv, list: &AccessList) -> u8 {
    if tx.tx_type == 0 && !list.is_empty() {
        1
    } else {
        tx.tx_type
    }
}

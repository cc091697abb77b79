//! What is to be simulated: the payload, and the chain of blocks that it comes to.

use alloy_consensus::Header;
use alloy_primitives::U256;
use serde_json::Value;

use super::failure::{
    BLOCK_NUMBER, BLOCK_TIMESTAMP, CLIENT_LIMIT, INVALID_PARAMS, Simulated, fail,
};
use super::transaction::Call;
use crate::error::Error;
use crate::overrides::{BlockOverrides, StateOverrides, Weight, array, flag, object};

const MAX_BLOCKS: u64 = 256;
const MAX_CALLS_IN_BLOCK: usize = 5_000;
const MAX_CALLS: usize = 10_000;
/// Seconds between blocks where the caller does not say.
const BLOCK_SECONDS: u64 = 12;

pub struct Payload {
    pub blocks: Vec<Planned>,
    pub trace_transfers: bool,
    pub validation: bool,
    pub full_transactions: bool,
}

/// A block to come. Once the chain is laid out, `number` and `time` are what the overrides say or what follows.
#[derive(Default)]
pub struct Planned {
    pub number: u64,
    pub time: u64,
    pub block: BlockOverrides,
    pub state: StateOverrides,
    pub calls: Vec<Call>,
}

impl Payload {
    pub fn parse(json: &str) -> Simulated<Self> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| Error::Invalid(format!("the payload is not JSON: {error}")))?;
        let fields = object("the payload", &value)?;
        let given = match fields.get("blockStateCalls") {
            None | Some(Value::Null) => return fail(INVALID_PARAMS, "empty input"),
            Some(given) => array("blockStateCalls", given)?,
        };
        if given.is_empty() {
            return fail(INVALID_PARAMS, "empty input");
        }
        if given.len() as u64 > MAX_BLOCKS {
            return fail(CLIENT_LIMIT, "too many blocks");
        }
        let (mut blocks, mut weight, mut calls) = (Vec::new(), Weight::default(), 0);
        for block in given {
            let block = Planned::parse(block)?;
            weight.add(block.state.weight()?)?;
            calls += block.calls.len();
            if calls > MAX_CALLS {
                return fail(
                    CLIENT_LIMIT,
                    format!("too many calls: {calls} > {MAX_CALLS}"),
                );
            }
            blocks.push(block);
        }
        Ok(Self {
            blocks,
            trace_transfers: flag("traceTransfers", fields.get("traceTransfers"))?,
            validation: flag("validation", fields.get("validation"))?,
            full_transactions: flag(
                "returnFullTransactions",
                fields.get("returnFullTransactions"),
            )?,
        })
    }

    /// The blocks after `base`, in order and without gaps: empty ones stand where numbers were left out.
    pub fn lay_out(&mut self, base: &Header) -> Simulated<()> {
        let mut chain = Vec::with_capacity(self.blocks.len());
        let (mut number, mut time) = (base.number, base.timestamp);
        for mut block in core::mem::take(&mut self.blocks) {
            let wanted = match block.block.number {
                None => U256::from(number) + U256::from(1),
                Some(wanted) if wanted <= U256::from(number) => {
                    return fail(
                        BLOCK_NUMBER,
                        format!("block numbers must be in order: {wanted} <= {number}"),
                    );
                }
                Some(wanted) => wanted,
            };
            if wanted - U256::from(base.number) > U256::from(MAX_BLOCKS) {
                return fail(CLIENT_LIMIT, "too many blocks");
            }
            let wanted = wanted.saturating_to::<u64>();
            while number + 1 < wanted {
                (number, time) = (number + 1, later(time)?);
                chain.push(Planned {
                    number,
                    time,
                    ..Default::default()
                });
            }
            let then = match block.block.time {
                None => later(time)?,
                Some(then) if then <= time => return out_of_order(then, time),
                Some(then) => then,
            };
            (number, time) = (wanted, then);
            (block.number, block.time) = (number, time);
            chain.push(block);
        }
        self.blocks = chain;
        Ok(())
    }
}

fn later(time: u64) -> Simulated<u64> {
    match time.checked_add(BLOCK_SECONDS) {
        Some(later) => Ok(later),
        None => out_of_order(time.wrapping_add(BLOCK_SECONDS), time),
    }
}

fn out_of_order<T>(then: u64, time: u64) -> Simulated<T> {
    fail(
        BLOCK_TIMESTAMP,
        format!("block timestamps must be in order: {then} <= {time}"),
    )
}

impl Planned {
    fn parse(value: &Value) -> Simulated<Self> {
        let fields = object("an entry of blockStateCalls", value)?;
        let get = |field: &str| fields.get(field).filter(|value| !value.is_null());
        let calls = match get("calls") {
            None => &Vec::new(),
            Some(calls) => array("calls", calls)?,
        };
        if calls.len() > MAX_CALLS_IN_BLOCK {
            return fail(
                CLIENT_LIMIT,
                format!(
                    "too many calls in block: {} > {MAX_CALLS_IN_BLOCK}",
                    calls.len()
                ),
            );
        }
        Ok(Self {
            block: get("blockOverrides")
                .map(BlockOverrides::parse)
                .transpose()?
                .unwrap_or_default(),
            state: get("stateOverrides")
                .map(StateOverrides::parse)
                .transpose()?
                .unwrap_or_default(),
            calls: calls.iter().map(Call::parse).collect::<Simulated<_>>()?,
            ..Default::default()
        })
    }
}

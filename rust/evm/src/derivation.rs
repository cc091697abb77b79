//! From batches and inbox to blocks (docs/spec/derivation.md): a total function.
//!
//! The sequencer builds its blocks with `plan`, and everyone else derives them with `derive`, which calls `plan`: so what was
//! built is what is derived. A `Ledger` executes plans; nothing here does I/O.

use alloy_consensus::Transaction;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, Bytes};

use crate::batch;
use crate::block::{Plan, Sealed};
use crate::config::ChainConfig;
use crate::tx::SignedTx;

/// How far, in seconds, a block's timestamp may lie past the time of its batch reference.
pub const MAX_DRIFT: u64 = 900;

/// An inbox message as the derivation sees it.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: u8,
    pub payload: Bytes,
}

const DEPOSIT: u8 = 0;
const FORCED: u8 = 1;

/// A chain's head, and a way to put a block on it.
pub trait Ledger {
    type Error;
    fn config(&self) -> &ChainConfig;
    fn head(&self) -> &Sealed;
    fn decode(&self, txs: &[Bytes]) -> Vec<Result<SignedTx, String>>;
    fn build(&mut self, plan: Plan) -> Result<(), Self::Error>;
}

/// What callers owe: an inbox end that is not behind the chain's position `start`, and the messages up to it.
pub fn check(start: u64, inbox_end: u64, messages: &[Message]) -> Result<(), String> {
    match inbox_end.checked_sub(start) {
        None => Err(format!(
            "the inbox end {inbox_end} lies before the chain's position, {start}"
        )),
        Some(wanted) if (messages.len() as u64) < wanted => Err(format!(
            "{} inbox messages were given, {wanted} are needed",
            messages.len()
        )),
        Some(_) => Ok(()),
    }
}

/// Applies one batch: a reference's data (None: no data), its `timestamp` and `inbox_end`, and the messages from the head's inbox
/// position on, at least up to `inbox_end`.
pub fn derive<L: Ledger>(
    ledger: &mut L,
    data: Option<&[u8]>,
    timestamp: u64,
    inbox_end: u64,
    messages: &[Message],
) -> Result<(), L::Error> {
    let start = ledger.head().inbox_end();
    let messages = &messages[..messages
        .len()
        .min(usize::try_from(inbox_end.saturating_sub(start)).unwrap_or(usize::MAX))];
    let blocks = data
        .and_then(|data| batch::decode(data, ledger.config().gas_limit))
        .filter(|batch| batch.parent_hash == ledger.head().hash)
        .map_or_else(Vec::new, |batch| batch.blocks);
    let latest = timestamp.saturating_add(MAX_DRIFT);
    let mut gas = 0u64;
    for block in blocks {
        if gas >= batch::MAX_GAS {
            break;
        }
        let plan = plan(
            ledger,
            block.timestamp.min(latest),
            block.inbox_end,
            start,
            messages,
            &block.txs,
        );
        ledger.build(plan)?;
        gas = gas.saturating_add(ledger.head().header.gas_used);
    }
    while ledger.head().inbox_end() < start + messages.len() as u64 {
        let plan = plan(ledger, timestamp, inbox_end, start, messages, &[]);
        ledger.build(plan)?;
    }
    Ok(())
}

/// Plans the block on the ledger's head. `messages[0]` has index `start`, which is not past the head's position.
pub fn plan<L: Ledger>(
    ledger: &L,
    timestamp: u64,
    inbox_end: u64,
    start: u64,
    messages: &[Message],
    own: &[Bytes],
) -> Plan {
    let config = ledger.config();
    let head = ledger.head();
    let position = head.inbox_end();
    let known = &messages[usize::try_from(position - start)
        .unwrap_or(usize::MAX)
        .min(messages.len())..];
    let wanted = usize::try_from(inbox_end.saturating_sub(position))
        .unwrap_or(usize::MAX)
        .min(known.len());
    let segment = segment(config.gas_limit, position, &known[..wanted], |txs| {
        ledger.decode(txs)
    });
    let end = position + segment.length as u64;
    let forced = segment.forced.len();
    let mut txs = segment.forced;
    txs.extend(ledger.decode(own));
    Plan {
        timestamp: timestamp.max(head.header.timestamp),
        beneficiary: config.fee_recipient,
        extra_data: Bytes::copy_from_slice(&end.to_be_bytes()),
        txs,
        forced,
        withdrawals: segment.deposits,
    }
}

struct Segment {
    length: usize,
    forced: Vec<Result<SignedTx, String>>,
    deposits: Vec<Withdrawal>,
}

/// The longest prefix of `messages` that one block may consume: it ends before a forced transaction that follows a deposit
/// (which is credited only at the block's end), and before one whose gas limit does not fit any more.
fn segment(
    gas_limit: u64,
    position: u64,
    messages: &[Message],
    decode: impl Fn(&[Bytes]) -> Vec<Result<SignedTx, String>>,
) -> Segment {
    let mut segment = Segment {
        length: 0,
        forced: Vec::new(),
        deposits: Vec::new(),
    };
    let mut deposited = false;
    let mut left = gas_limit;
    for (offset, message) in messages.iter().enumerate() {
        deposited |= message.kind == DEPOSIT;
        match message.kind {
            FORCED if deposited => break,
            FORCED => {
                let tx = decode(std::slice::from_ref(&message.payload))
                    .pop()
                    .unwrap_or_else(|| Err(String::new()));
                let gas = tx.as_ref().map_or(0, |tx| tx.envelope.gas_limit());
                if gas <= gas_limit {
                    match left.checked_sub(gas) {
                        Some(rest) => left = rest,
                        None => break,
                    }
                }
                segment.forced.push(tx);
            }
            DEPOSIT => segment
                .deposits
                .extend(deposit(position + offset as u64, &message.payload)),
            _ => {}
        }
        segment.length = offset + 1;
    }
    segment
}

/// A deposit as a withdrawal. A payload that is not recipient[20] ‖ gwei[8] credits nobody.
fn deposit(index: u64, payload: &[u8]) -> Option<Withdrawal> {
    let (recipient, gwei) = payload.split_first_chunk::<20>()?;
    let amount = u64::from_be_bytes(gwei.try_into().ok()?);
    Some(Withdrawal {
        index,
        validator_index: 0,
        address: Address::from(*recipient),
        amount,
    })
}

//! Execution on several threads has the very outcome of execution in order: random blocks full of conflicts, and threads that fail.

mod common;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use common::{Actor, CHAIN_ID};
use dougong_evm::executor::{
    BlockContext, BlockOutcome, InOrder, Offered, Runner, execute_block, execute_block_by,
};
use dougong_evm::parallel::Workers;
use dougong_evm::sign::sign_authorization;
use dougong_evm::state::{Account, Changes, Fork, Overlay, StateReader};
use dougong_evm::tx::{SenderCache, decode_all};
use proptest::prelude::*;
use revm::primitives::hardfork::SpecId;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

const ETHER: u64 = 1_000_000_000_000_000_000;
const GAS_PRICE: u64 = 10_000_000_000;
const TIP: u64 = 1_000_000_000;

/// Slot 0 counts the calls; the count is logged.
const COUNTER: [u8; 20] = [0xC0; 20];
/// Keeps the beneficiary's balance under the caller's address.
const TELLER: [u8; 20] = [0xC1; 20];
/// Pays what it is sent to the beneficiary.
const PAYER: [u8; 20] = [0xC2; 20];
/// Creates, at the address that the calldata fixes, a contract that destroys itself at once.
const PHOENIX: [u8; 20] = [0xC3; 20];
/// Creates, at the address that the calldata fixes, a contract with a slot that pays all it has to whoever calls.
const FACTORY: [u8; 20] = [0xC4; 20];
/// Keeps the balance and the code hash of the account in the calldata.
const SPY: [u8; 20] = [0xC5; 20];
/// Counts, and then reverts if the count is odd.
const FICKLE: [u8; 20] = [0xC6; 20];
/// Burns all its gas.
const BURNER: [u8; 20] = [0xC7; 20];
/// Sets the slot that the calldata names to the count of its calls, which it reads from the counter's code path.
const LEDGER: [u8; 20] = [0xC8; 20];

fn contracts() -> Vec<([u8; 20], Vec<u8>)> {
    let code = |hex: &str| hex::decode(hex.replace(' ', "")).unwrap();
    vec![
        (
            COUNTER,
            code("5f54 6001 01 80 5f55 5f52 6001 6020 5f a1 00"),
        ),
        (TELLER, code("41 31 33 55 00")),
        (PAYER, code("5f5f5f5f 34 41 5a f1 00")),
        (PHOENIX, code("6133ff 5f52 5f35 6002 601e 34 f5 5f35 55 00")),
        (
            FACTORY,
            code("6e 6001600155 6133ff 5f 52 6002 601e f3 5f52 5f35 600f 6011 34 f5 5f35 55 00"),
        ),
        (SPY, code("5f35 31 33 55 5f35 3f 6001 33 01 55 00")),
        (
            FICKLE,
            code("5f54 6001 01 80 5f55 6001 16 6010 57 00 00 00 5b 5f5ffd"),
        ),
        (BURNER, code("5b 5f 56")),
        (LEDGER, code("6001 54 6001 01 80 6001 55 5f35 55 00")),
    ]
}

/// A state in memory, which can be told to fail.
#[derive(Clone, Default)]
struct State {
    accounts: Arc<HashMap<Address, Account>>,
    codes: Arc<HashMap<B256, Bytes>>,
    /// What threads see of it: an error, or a panic.
    forks_fail: bool,
    forks_panic: bool,
    is_fork: bool,
    broken: Option<Address>,
    forked: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("broken")]
struct Broken;
impl revm::database_interface::DBErrorMarker for Broken {}

impl StateReader for State {
    type Error = Broken;
    fn account(&self, address: Address) -> Result<Option<Account>, Broken> {
        assert!(!(self.is_fork && self.forks_panic), "a thread that panics");
        if self.is_fork && self.forks_fail || self.broken == Some(address) {
            return Err(Broken);
        }
        Ok(self.accounts.get(&address).copied())
    }
    fn storage(&self, _: Address, _: U256) -> Result<U256, Broken> {
        Ok(U256::ZERO)
    }
    fn code(&self, hash: B256) -> Result<Bytes, Broken> {
        Ok(self.codes.get(&hash).cloned().unwrap_or_default())
    }
    fn block_hash(&self, number: u64) -> Result<B256, Broken> {
        Ok(keccak256(number.to_be_bytes()))
    }
}

impl Fork for State {
    type Fork = Self;
    fn fork(&self) -> Result<Self, Broken> {
        self.forked.store(true, SeqCst);
        Ok(Self {
            is_fork: true,
            ..self.clone()
        })
    }
}

static ACTORS: LazyLock<Vec<Actor>> = LazyLock::new(|| (1..=10).map(Actor::new).collect());

/// The last two actors have nothing at first.
fn state() -> State {
    let mut accounts = HashMap::default();
    let mut codes = HashMap::default();
    for actor in &ACTORS[..8] {
        let balance = U256::from(20 * u128::from(ETHER));
        accounts.insert(
            actor.address,
            Account {
                balance,
                ..Default::default()
            },
        );
    }
    for (address, code) in contracts() {
        let code_hash = keccak256(&code);
        codes.insert(code_hash, Bytes::from(code));
        let account = Account {
            nonce: 1,
            balance: U256::ZERO,
            code_hash,
        };
        accounts.insert(address.into(), account);
    }
    State {
        accounts: Arc::new(accounts),
        codes: Arc::new(codes),
        ..Default::default()
    }
}

fn block(number: u64, beneficiary: Address, gas_limit: u64) -> BlockContext {
    BlockContext {
        chain_id: CHAIN_ID,
        spec: SpecId::PRAGUE,
        number,
        timestamp: 1000 + number,
        beneficiary,
        gas_limit,
        base_fee: 7,
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        parent_hash: B256::ZERO,
        parent_beacon_block_root: B256::ZERO,
        excess_blob_gas: 0,
        blob_fraction: 5_007_716,
    }
}

/// What a random transaction does.
#[derive(Clone, Debug)]
enum Act {
    Pay(usize, u64),
    Call([u8; 20], u8, u64),
    Create(u8),
    CallCreated(u8),
    Delegate(usize, [u8; 20], u64),
    Garbage,
}

#[derive(Clone, Debug)]
struct Step {
    sender: usize,
    act: Act,
    /// Off the nonce that would be right.
    nonce: i64,
    gas: u64,
    tip: u64,
}

fn created(salt: u8) -> Address {
    let init = hex!("6001600155 6133ff 5f 52 6002 601e f3");
    Address::from(FACTORY).create2_from_code(B256::left_padding_from(&[salt]), init)
}

fn act() -> impl Strategy<Value = Act> {
    let target = prop::sample::select(contracts().into_iter().map(|(a, _)| a).collect::<Vec<_>>());
    let delegate = prop::sample::select(vec![COUNTER, FICKLE, [0; 20], PAYER]);
    prop_oneof![
        4 => (0..10usize, prop::sample::select(vec![0, 1, ETHER, 9 * ETHER, 15 * ETHER]))
            .prop_map(|(to, value)| Act::Pay(to, value)),
        8 => (target, 0..4u8, prop::sample::select(vec![0, 0, 0, 5, ETHER]))
            .prop_map(|(to, word, value)| Act::Call(to, word, value)),
        1 => (1..3u8).prop_map(Act::Create),
        2 => (0..4u8).prop_map(Act::CallCreated),
        2 => (0..10usize, delegate, 0..3u64).prop_map(|(who, to, nonce)| Act::Delegate(who, to, nonce)),
        1 => Just(Act::Garbage),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let nonce = prop_oneof![12 => Just(0i64), 1 => Just(1), 1 => Just(-1)];
    let gas = prop::sample::select(vec![
        21_000u64, 60_000, 200_000, 200_000, 200_000, 1_000_000,
    ]);
    (0..10usize, act(), nonce, gas, 0..3u64).prop_map(|(sender, act, nonce, gas, tip)| Step {
        sender,
        act,
        nonce,
        gas,
        tip: tip * TIP,
    })
}

fn encode(steps: &[Step], nonces: &mut [u64]) -> Vec<Bytes> {
    let word = |value: u8| format!("0x{:064x}", value);
    steps
        .iter()
        .map(|step| {
            let actor = &ACTORS[step.sender];
            let nonce = nonces[step.sender].saturating_add_signed(step.nonce);
            nonces[step.sender] += u64::from(step.nonce == 0);
            let mut fields = match &step.act {
                Act::Garbage => return Bytes::from_static(b"\x02garbage"),
                Act::Pay(to, value) => json!({"to": ACTORS[*to].address, "value": value}),
                Act::Call(to, argument, value) => {
                    let input = if *to == SPY {
                        let target = [ACTORS[0].address, created(1), BENEFICIARIES[0], ACTORS[9].address];
                        B256::left_padding_from(target[usize::from(*argument)].as_slice()).to_string()
                    } else {
                        word(*argument)
                    };
                    json!({"to": Address::from(*to), "value": value, "data": input})
                }
                Act::Create(salt) => {
                    // Sets slot 0, and stays as a contract that counts there.
                    json!({"data": format!("0x60{salt:02x}5f556009600e5f3960095ff35f54600101805f5500")})
                }
                Act::CallCreated(salt) => json!({"to": created(*salt), "value": salt}),
                Act::Delegate(who, to, nonce) => {
                    let authorization = json!({"chainId": CHAIN_ID, "address": Address::from(*to), "nonce": nonce});
                    let signed = sign_authorization(&authorization.to_string(), &ACTORS[*who].key).unwrap();
                    let signed: Value = serde_json::from_str(&signed).unwrap();
                    json!({"type": 4, "to": ACTORS[*who].address, "authorizationList": [signed]})
                }
            };
            let extra = json!({"nonce": nonce, "gas": step.gas, "maxFeePerGas": GAS_PRICE, "maxPriorityFeePerGas": step.tip});
            fields.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            actor.sign(fields)
        })
        .collect()
}

/// A stranger, one of the senders, and the zero address.
static BENEFICIARIES: LazyLock<[Address; 3]> =
    LazyLock::new(|| [Address::repeat_byte(0xBE), ACTORS[2].address, Address::ZERO]);

type Outcome = (
    Vec<usize>,
    Vec<(usize, String)>,
    String,
    u64,
    Vec<B256>,
    String,
);

fn all(outcome: &BlockOutcome, changes: &Changes) -> Outcome {
    (
        outcome.included.clone(),
        outcome.skipped.clone(),
        format!("{:?}", outcome.outcomes),
        outcome.gas_used,
        outcome.txs.iter().map(|tx| *tx.hash()).collect(),
        format!("{changes:?}"),
    )
}

fn execute(
    runner: &impl Runner<State>,
    state: State,
    blocks: &[(BlockContext, Vec<Offered>)],
) -> Vec<Result<Outcome, Broken>> {
    let mut overlay = Overlay::new(state);
    blocks
        .iter()
        .map(|(block, txs)| {
            let outcome = execute_block_by(runner, block, &mut overlay, txs.clone(), &[])?;
            let mut changes = overlay.take_changes();
            changes.codes.sort();
            Ok(all(&outcome, &changes))
        })
        .collect()
}

fn decoded(raws: &[Bytes]) -> Vec<Offered> {
    decode_all(raws, &SenderCache::new(0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..Default::default() })]

    #[test]
    fn every_number_of_threads_has_the_outcome_of_execution_in_order(
        steps in prop::collection::vec(step(), 1..90),
        more in prop::collection::vec(step(), 1..40),
        beneficiary in 0..3usize,
        gas_limit in prop::sample::select(vec![1_500_000u64, 6_000_000, 200_000_000]),
    ) {
        let mut nonces = vec![0; ACTORS.len()];
        let beneficiary = BENEFICIARIES[beneficiary];
        let blocks = [
            (block(1, beneficiary, gas_limit), decoded(&encode(&steps, &mut nonces))),
            (block(2, beneficiary, gas_limit), decoded(&encode(&more, &mut nonces))),
        ];
        let expected = execute(&InOrder, state(), &blocks);
        for threads in 1..=8 {
            let always = Workers::new(threads).unwrap().always();
            prop_assert_eq!(&execute(&always, state(), &blocks), &expected, "{} threads", threads);
            let (taken, redone) = always.counts();
            prop_assert_eq!(taken, if threads == 1 { 0 } else { (steps.len() + more.len()) as u64 });
            // Where the block has room, every wave ends with executions that all hold: the scheduler's own promise.
            prop_assert!(gas_limit < 200_000_000 || redone == 0, "{} of {} again", redone, taken);
        }
        prop_assert_eq!(&execute(&Workers::new(3).unwrap(), state(), &blocks), &expected);
    }
}

/// Many transfers, each between two accounts of its own, and some calls.
fn quiet_block() -> Vec<(BlockContext, Vec<Offered>)> {
    let mut nonces = vec![0; ACTORS.len()];
    let steps: Vec<Step> = (0..64)
        .map(|i| Step {
            sender: i % 8,
            act: match i % 3 {
                0 => Act::Call(COUNTER, 0, 0),
                1 => Act::Call(TELLER, 0, 0),
                _ => Act::Pay(i % 10, 1),
            },
            nonce: 0,
            gas: 200_000,
            tip: TIP,
        })
        .collect();
    vec![(
        block(1, BENEFICIARIES[0], 30_000_000),
        decoded(&encode(&steps, &mut nonces)),
    )]
}

#[test]
fn the_threads_are_used_and_what_they_do_is_what_counts() {
    let (blocks, state) = (quiet_block(), state());
    let expected = execute(&InOrder, state.clone(), &blocks);
    assert!(!state.forked.load(SeqCst));
    let outcome = expected[0].as_ref().unwrap();
    assert_eq!((outcome.0.len(), outcome.1.len()), (64, 0));
    let always = Workers::new(4).unwrap().always();
    assert_eq!(execute(&always, state.clone(), &blocks), expected);
    assert!(state.forked.load(SeqCst));
}

#[test]
fn a_thread_that_cannot_read_or_panics_changes_nothing() {
    let blocks = quiet_block();
    let expected = execute(&InOrder, state(), &blocks);
    let failing = State {
        forks_fail: true,
        ..state()
    };
    let panicking = State {
        forks_panic: true,
        ..state()
    };
    for threads in [2, 5] {
        let always = Workers::new(threads).unwrap().always();
        assert_eq!(execute(&always, failing.clone(), &blocks), expected);
        assert_eq!(execute(&always, panicking.clone(), &blocks), expected);
    }
}

#[test]
fn what_cannot_be_read_in_order_either_is_the_blocks_error() {
    let blocks = quiet_block();
    let broken = State {
        broken: Some(COUNTER.into()),
        ..state()
    };
    let always = Workers::new(3).unwrap().always();
    let expected = execute(&InOrder, broken.clone(), &blocks);
    assert_eq!(expected, [Err(Broken)]);
    assert_eq!(execute(&always, broken, &blocks), expected);
}

#[test]
fn blocks_before_london_are_executed_in_order() {
    let mut blocks = quiet_block();
    blocks[0].0.spec = SpecId::BERLIN;
    let state = state();
    let mut overlay = Overlay::new(state.clone());
    let (block, txs) = &blocks[0];
    execute_block(block, &mut overlay, txs.clone(), &[]).unwrap();
    let always = Workers::new(3).unwrap().always();
    let expected = execute(&InOrder, state.clone(), &blocks);
    assert_eq!(execute(&always, state.clone(), &blocks), expected);
    assert!(!state.forked.load(SeqCst));
}

#[test]
fn conflicts_through_storage_alone_end_in_order_and_right() {
    let mut nonces = vec![0; ACTORS.len()];
    let steps: Vec<Step> = (0..400)
        .map(|i| Step {
            sender: i % 8,
            act: Act::Call(LEDGER, (i % 200) as u8 + 2, 0),
            nonce: 0,
            gas: 100_000,
            tip: 0,
        })
        .collect();
    let blocks = vec![(
        block(1, BENEFICIARIES[1], 300_000_000),
        decoded(&encode(&steps, &mut nonces)),
    )];
    let expected = execute(&InOrder, state(), &blocks);
    assert_eq!(expected[0].as_ref().unwrap().0.len(), 400);
    for workers in [
        Workers::new(2).unwrap(),
        Workers::new(6).unwrap(),
        Workers::new(6).unwrap().always(),
    ] {
        assert_eq!(execute(&workers, state(), &blocks), expected);
    }
}

//! Plain transfers, executed without an interpreter, have the very outcome that revm gives them: random ones, at every edge.

mod common;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use common::{Actor, CHAIN_ID};
use dougong_evm::executor::{BlockContext, InOrder, Offered, Runner, execute_block_by};
use dougong_evm::journal::Journaled;
use dougong_evm::state::{Account, Overlay, StateReader};
use dougong_evm::tx::{SenderCache, decode_all};
use proptest::prelude::*;
use revm::primitives::hardfork::SpecId;
use serde_json::json;
use std::sync::LazyLock;

const BASE_FEE: u64 = 1_000;

static ACTORS: LazyLock<Vec<Actor>> = LazyLock::new(|| (1..=5).map(Actor::new).collect());

/// A contract that takes what it is paid, one that keeps the balance of the last actor, nobody, an account with nothing in it, two
/// precompiles, and addresses beside them.
static OTHERS: LazyLock<[Address; 8]> = LazyLock::new(|| {
    let low = |number: u64| Address::left_padding_from(&number.to_be_bytes());
    [
        Address::repeat_byte(0xC0),
        Address::repeat_byte(0xC1),
        Address::repeat_byte(0xEE),
        Address::repeat_byte(0xE0),
        low(3),
        low(4),
        low(0x1_0001),
        Address::ZERO,
    ]
});

fn address(index: usize) -> Address {
    let actors = ACTORS.len();
    match index < actors {
        true => ACTORS[index].address,
        false => OTHERS[index - actors],
    }
}

const ADDRESSES: usize = 13;

#[derive(Clone)]
struct State(HashMap<Address, Account>, HashMap<B256, Bytes>);

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("never")]
struct Never;
impl revm::database_interface::DBErrorMarker for Never {}

impl StateReader for State {
    type Error = Never;
    fn account(&self, address: Address) -> Result<Option<Account>, Never> {
        Ok(self.0.get(&address).copied())
    }
    fn storage(&self, _: Address, _: U256) -> Result<U256, Never> {
        Ok(U256::from(7))
    }
    fn code(&self, hash: B256) -> Result<Bytes, Never> {
        Ok(self.1.get(&hash).cloned().unwrap_or_default())
    }
    fn block_hash(&self, _: u64) -> Result<B256, Never> {
        Ok(B256::ZERO)
    }
}

/// The actors have these balances and codes.
fn state(balances: &[U256], codes: &[Vec<u8>]) -> State {
    let mut state = State(HashMap::default(), HashMap::default());
    let spy =
        hex::decode(format!("73{:x} 31 5f 55 00", ACTORS[4].address).replace(' ', "")).unwrap();
    let fixed = [vec![0], spy].into_iter().map(|code| (U256::ZERO, code));
    let actors = balances.iter().copied().zip(codes.iter().cloned());
    let places = [0, 1, 2, 3, 4, 5, 6];
    for (place, (balance, code)) in places.into_iter().zip(actors.chain(fixed)) {
        let code_hash = keccak256(&code);
        state.1.insert(code_hash, code.into());
        let account = Account {
            nonce: 0,
            balance,
            code_hash,
        };
        state.0.insert(address(place), account);
    }
    state.0.insert(OTHERS[3], Account::default());
    state
}

#[derive(Clone, Debug)]
struct Pay {
    sender: usize,
    to: usize,
    value: U256,
    kind: u8,
    nonce: i64,
    gas: u64,
    price: u128,
    tip: u128,
    extra: u8,
}

fn pay() -> impl Strategy<Value = Pay> {
    let value = prop::sample::select(vec![
        U256::ZERO,
        U256::from(1),
        U256::from(1_000_000_000),
        U256::MAX >> 1,
        U256::MAX,
    ]);
    let nonce = prop_oneof![9 => Just(0i64), 1 => Just(1), 1 => Just(-1)];
    let gas = prop::sample::select(vec![
        20_999u64,
        21_000,
        21_000,
        21_001,
        90_000,
        16_777_217,
        u64::MAX,
    ]);
    let wide = prop::sample::select(vec![
        999u128,
        1_000,
        1_001,
        5_000,
        5_000,
        u128::MAX >> 20,
        u128::MAX,
    ]);
    let tip = prop::sample::select(vec![0u128, 0, 1, 4_000, u128::MAX]);
    let extra = prop_oneof![8 => Just(0u8), 1 => Just(1), 1 => Just(2), 1 => Just(3)];
    (
        0..5usize,
        0..ADDRESSES,
        value,
        prop::sample::select(vec![0u8, 1, 2, 2]),
        nonce,
        gas,
        wide,
        tip,
        extra,
    )
        .prop_map(
            |(sender, to, value, kind, nonce, gas, price, tip, extra)| Pay {
                sender,
                to,
                value,
                kind,
                nonce,
                gas,
                price,
                tip,
                extra,
            },
        )
}

fn encode(pays: &[Pay]) -> Vec<Offered> {
    let mut nonces = [0u64; 5];
    let raws: Vec<Bytes> = pays
        .iter()
        .map(|pay| {
            let nonce = nonces[pay.sender].saturating_add_signed(pay.nonce);
            nonces[pay.sender] += u64::from(pay.nonce == 0);
            let hex = |number: u128| format!("0x{number:x}");
            let mut fields = json!({
                "type": pay.kind, "nonce": nonce, "to": address(pay.to), "gas": hex(pay.gas.into()),
                "value": format!("0x{:x}", pay.value),
            });
            let more = match pay.kind {
                2 => json!({"maxFeePerGas": hex(pay.price), "maxPriorityFeePerGas": hex(pay.tip.min(pay.price))}),
                _ => json!({"gasPrice": hex(pay.price)}),
            };
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            match pay.extra {
                1 => fields["data"] = json!("0x00ff"),
                2 if pay.kind > 0 => {
                    fields["accessList"] = json!([{"address": address(0), "storageKeys": []}]);
                }
                3 => fields["chainId"] = json!(CHAIN_ID + 1),
                _ => {}
            }
            ACTORS[pay.sender].sign(fields)
        })
        .collect();
    decode_all(&raws, &SenderCache::new(0))
}

fn run(
    runner: &impl Runner<State>,
    block: &BlockContext,
    state: State,
    txs: Vec<Offered>,
) -> String {
    let mut overlay = Overlay::new(state);
    let outcome = execute_block_by(runner, block, &mut overlay, txs, &[]).unwrap();
    let changes = overlay.take_changes();
    let (txs, left) = (
        outcome.txs.iter().map(|tx| *tx.hash()).collect::<Vec<_>>(),
        &outcome.outcomes,
    );
    format!(
        "{:?} {:?} {txs:?} {left:?} {} {changes:?}",
        outcome.included, outcome.skipped, outcome.gas_used
    )
}

fn block(spec: SpecId, beneficiary: Address, gas_limit: u64) -> BlockContext {
    BlockContext {
        chain_id: CHAIN_ID,
        spec,
        number: 1,
        timestamp: 1,
        beneficiary,
        gas_limit,
        base_fee: BASE_FEE,
        difficulty: U256::ZERO,
        prev_randao: B256::ZERO,
        parent_hash: B256::ZERO,
        parent_beacon_block_root: B256::ZERO,
        excess_blob_gas: 0,
        blob_fraction: 5_007_716,
    }
}

/// A contract is created and destroys itself; later transactions of the block pay its address, plainly and with a call, and do it all
/// again.
#[test]
fn what_is_paid_to_an_account_that_was_destroyed_stays_there() {
    let phoenix = Address::repeat_byte(0xC3);
    // Creates a contract at the address that the calldata fixes, which destroys itself at once.
    let code = hex!("6133ff5f525f356002601e34f55f355500").to_vec();
    let mut state = state(&[U256::from(10u64.pow(18)); 5], &[const { Vec::new() }; 5]);
    let code_hash = keccak256(&code);
    state.1.insert(code_hash, code.into());
    state.0.insert(
        phoenix,
        Account {
            nonce: 1,
            code_hash,
            ..Default::default()
        },
    );
    let salt = B256::with_last_byte(1);
    let destroyed = phoenix.create2_from_code(salt, hex!("33ff"));
    let tx = |nonce: u64, to: Address, value: u64, data: &[u8]| {
        ACTORS[0].sign(
            json!({"nonce": nonce, "to": to, "value": value, "gas": 200_000, "maxFeePerGas": 5_000,
            "data": format!("0x{}", hex::encode(data))}),
        )
    };
    let create = |nonce| tx(nonce, phoenix, 0, salt.as_slice());
    let raws = [
        create(0),
        tx(1, destroyed, 5, &[]),
        create(2),
        tx(3, destroyed, 6, &[1]),
        tx(4, destroyed, 7, &[]),
    ];
    let block = block(SpecId::PRAGUE, Address::repeat_byte(0xBE), 30_000_000);
    for count in 1..=raws.len() {
        let txs = decode_all(&raws[..count], &SenderCache::new(0));
        let expected = run(&InOrder, &block, state.clone(), txs.clone());
        assert_eq!(
            run(&Journaled, &block, state.clone(), txs),
            expected,
            "{count}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 400, ..Default::default() })]

    #[test]
    fn a_transfer_is_what_revm_makes_of_it(
        pays in prop::collection::vec(pay(), 1..24),
        balances in prop::collection::vec(prop::sample::select(vec![
            U256::ZERO, U256::from(105_000_000), U256::from(10u64.pow(18)), U256::from(u128::MAX), U256::MAX >> 1, U256::MAX,
        ]), 5),
        codes in prop::collection::vec(prop::sample::select(vec![
            vec![], vec![], vec![], vec![0], [hex!("ef0100").as_slice(), &[0xC0; 20]].concat(),
        ]), 5),
        beneficiary in 0..ADDRESSES,
        spec in prop::sample::select(vec![
            SpecId::BERLIN, SpecId::LONDON, SpecId::MERGE, SpecId::SHANGHAI, SpecId::CANCUN, SpecId::PRAGUE, SpecId::OSAKA,
            SpecId::AMSTERDAM,
        ]),
        gas_limit in prop::sample::select(vec![100_000u64, 30_000_000, u64::MAX]),
    ) {
        let block = block(spec, address(beneficiary), gas_limit);
        let txs = encode(&pays);
        let state = state(&balances, &codes);
        let expected = run(&InOrder, &block, state.clone(), txs.clone());
        prop_assert_eq!(run(&Journaled, &block, state, txs), expected);
    }
}

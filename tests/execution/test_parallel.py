"""Blocks executed on several threads are bit for bit those that are executed in order (docs/adr/0007)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dougong._native import Evm, decode_transactions, sign_authorization
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.testing.wallet import GWEI, Wallet
from tests.execution.histories import FACTORY_CODE, FORWARD_CODE, destroy, init_code, returning, word

CHAIN_ID = 4_204
START = 1_800_000_000
GAS_LIMIT = 8_000_000
ETHER = 10**18
RICH = [Wallet.of(f"parallel {number}", CHAIN_ID) for number in range(6)]
POOR = [Wallet.of(f"parallel poor {number}", CHAIN_ID) for number in range(2)]
WALLETS = [*RICH, *POOR]
COUNTER, TELLER, FACTORY, FORWARD, BURNER, LAWYER = (bytes([number]) * 20 for number in range(0xB1, 0xB7))
FEES = b"\xfe" * 20
# Counts its calls in slot 0, and logs the count.
COUNTER_CODE = bytes.fromhex("5f54600101805f555f5260016020" + "5fa100")
# Stores the fee recipient's balance under the caller's address.
TELLER_CODE = bytes.fromhex("4131335500")
# Runs until its gas is gone.
BURNER_CODE = bytes.fromhex("5b5f56")
# Counts, and reverts each second time's log away with everything else.
LAWYER_CODE = bytes.fromhex("5f54600101805f5560011660105700" + "00" + "5b5f5ffd")
CHILDREN = [init_code([(0, 1)], destroy(FEES)), init_code([(1, 7)], returning(destroy(RICH[0].address)))]
GENESIS = make_genesis(
    CHAIN_ID,
    {
        **{wallet.address: GenesisAccount(20 * ETHER) for wallet in RICH},
        COUNTER: GenesisAccount(nonce=1, code=COUNTER_CODE),
        TELLER: GenesisAccount(nonce=1, code=TELLER_CODE),
        FACTORY: GenesisAccount(nonce=1, code=FACTORY_CODE),
        FORWARD: GenesisAccount(nonce=1, code=FORWARD_CODE),
        BURNER: GenesisAccount(nonce=1, code=BURNER_CODE),
        LAWYER: GenesisAccount(nonce=1, code=LAWYER_CODE),
    },
    timestamp=START,
    gas_limit=GAS_LIMIT,
)


class Step(NamedTuple):
    sender: int
    kind: str
    other: int
    value: int
    gas: int
    nonce_off: int
    tip: int


STEPS = st.builds(
    Step,
    st.integers(0, len(WALLETS) - 1),
    st.sampled_from(["pay", "count", "tell", "grow", "forward", "burn", "lawyer", "deploy", "delegate", "junk"]),
    st.integers(0, len(WALLETS) - 1),
    st.sampled_from([0, 0, 1, ETHER, 15 * ETHER]),
    st.sampled_from([21_000, 100_000, 300_000, 300_000, 2_000_000]),
    st.sampled_from([0] * 10 + [1, -1]),
    st.integers(0, 2),
)


def transaction(step: Step, nonces: list[int]) -> bytes:
    wallet, other = WALLETS[step.sender], WALLETS[step.other]
    to: bytes | None = other.address
    data = b""
    extra: dict[str, Any] = {}
    match step.kind:
        case "count":
            to = COUNTER
        case "tell":
            to = TELLER
        case "grow":
            to, data = FACTORY, word(step.other % 2) + CHILDREN[step.other // 2 % 2]
        case "forward":
            to, data = FORWARD, bytes(12) + (FEES if step.other % 2 else other.address)
        case "burn":
            to = BURNER
        case "lawyer":
            to = LAWYER
        case "deploy":
            to, data = None, CHILDREN[step.other % 2]
        case "delegate":
            target = COUNTER if step.value else bytes(20)
            wanted = {"chainId": hex(CHAIN_ID), "address": "0x" + target.hex(), "nonce": hex(nonces[step.other])}
            signed = json.loads(sign_authorization(json.dumps(wanted), other.secret))
            extra = {"type": "0x4", "authorizationList": [signed]}
        case "junk":
            return b"\x02junk"
    nonce = max(0, nonces[step.sender] + step.nonce_off)
    nonces[step.sender] += step.nonce_off == 0
    fields = wallet.fields(to, nonce=nonce, value=step.value, data=data, gas=step.gas, tip=step.tip * GWEI)
    return wallet.sign(json.dumps(json.loads(fields) | extra))


def outcome(evm: Evm, txs: Sequence[bytes], timestamp: int, beneficiary: bytes) -> tuple[object, ...]:
    """A block's header holds the roots of its state and receipts, its gas and its logs' bloom."""
    built = evm.execute(timestamp, txs, skip_invalid=True, beneficiary=beneficiary)
    evm.commit()
    return evm.header_rlp(built.header.number), built.included, built.skipped


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Evm]]:
    """One that executes in order, and those with two to eight threads."""
    folder: Path = tmp_path_factory.mktemp("parallel")
    evms = [Evm(str(folder / str(threads)), GENESIS) for threads in range(1, 9)]
    for threads, evm in enumerate(evms, 1):
        evm.set_threads(threads, always=True)
    yield evms
    for evm in evms:
        evm.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    blocks=st.lists(st.lists(STEPS, min_size=1, max_size=40), min_size=1, max_size=2),
    beneficiary=st.sampled_from([FEES, RICH[1].address, COUNTER]),
)
def test_blocks_full_of_conflicts_are_those_of_execution_in_order(
    chains: list[Evm], blocks: list[list[Step]], beneficiary: bytes
) -> None:
    nonces = [0] * len(WALLETS)
    raw = [[transaction(step, nonces) for step in block] for block in blocks]
    try:
        for number, txs in enumerate(raw, 1):
            expected = outcome(chains[0], txs, START + number, beneficiary)
            for evm in chains[1:]:
                assert outcome(evm, txs, START + number, beneficiary) == expected
    finally:
        for evm in chains:
            evm.discard()
            evm.rollback(0)


def test_money_that_comes_in_the_same_block_can_be_spent_in_it(chains: list[Evm]) -> None:
    rich, poor = RICH[0], POOR[0]
    txs = [
        poor.transfer(FEES, 1, nonce=0),
        rich.transfer(poor.address, ETHER, nonce=0),
        poor.transfer(RICH[2].address, ETHER // 2, nonce=0),
        poor.transfer(RICH[2].address, ETHER, nonce=1),
    ]
    outcomes = [outcome(evm, txs, START + 1, FEES) for evm in chains]
    for evm in chains:
        evm.rollback(0)
    assert outcomes[1:] == outcomes[:1] * 7
    _, included, skipped = outcomes[0]
    assert included == [1, 2]
    assert [position for position, _ in skipped] == [0, 3]  # type: ignore[attr-defined]


def test_the_fee_recipients_balance_is_exact_for_each_who_asks(chains: list[Evm]) -> None:
    """It is not kept while nobody asks: between any two who do, others have paid."""
    nonces = [0] * len(WALLETS)
    kinds = ["pay", "pay", "tell", "count", "pay", "tell", "forward", "tell"]
    steps = [Step(i % 6, kinds[i % 8], (i * 5 + 1) % 6, 1, 100_000, 0, 1 + i % 2) for i in range(48)]
    txs = [transaction(step, nonces) for step in steps]
    outcomes = [outcome(evm, txs, START + 1, FEES) for evm in chains]
    told = {evm.storage(TELLER, bytes(12) + wallet.address, 1) for evm in chains for wallet in RICH}
    receipts = [
        json.loads(evm.receipt_json(info.hash) or b"{}")
        for evm in chains
        for info in decode_transactions(txs)
        if not isinstance(info, str)
    ]
    for evm in chains:
        evm.rollback(0)
    assert outcomes[1:] == outcomes[:1] * 7
    assert len(told) > 1
    assert all(receipt["status"] == "0x1" for receipt in receipts)


def test_threads_are_counted(chains: list[Evm]) -> None:
    """What runs in parallel is taken up as it is; with one thread nothing runs in parallel."""
    nonces = [0] * len(WALLETS)
    txs = [transaction(Step(i % 6, "count", 0, 0, 100_000, 0, 1), nonces) for i in range(30)]
    before = [evm.parallel() for evm in chains]
    for evm in chains:
        outcome(evm, txs, START + 1, FEES)
        evm.rollback(0)
    after = [evm.parallel() for evm in chains]
    grown = [(taken - had, redone - redone_before) for (taken, redone), (had, redone_before) in zip(after, before, strict=True)]
    assert grown == [(0, 0), *[(30, 0)] * 7]

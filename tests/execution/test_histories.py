"""Random histories of corner cases, held against an independent trie and against anvil's own state."""

from __future__ import annotations

import json
import random
from pathlib import Path

import httpx
import pytest

from dougong._native import Evm
from dougong.execution.evm.genesis import BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS, SYSTEM_CONTRACTS
from tests.engines import anvil
from tests.execution.histories import GENESIS, NOBODY, SLOTS, START, WALLETS, History, state_root, word

BLOCKS = 25
RING = 8_191  # EIP-2935, EIP-4788


def system_slots(evm: Evm) -> dict[bytes, list[int]]:
    """What the system contracts have written by now."""
    head = evm.head()
    times = {evm.header(number).timestamp % RING for number in range(1, head.number + 1)}
    return {
        HISTORY_STORAGE_ADDRESS: [number % RING for number in range(head.number)],
        BEACON_ROOTS_ADDRESS: [*times, *(time + RING for time in times)],
    }


def check(evm: Evm, history: History) -> None:
    assert state_root(evm, history.addresses(), system_slots(evm)) == evm.head().state_root


@pytest.mark.parametrize("seed", range(6))
def test_every_state_has_the_root_that_its_content_makes(tmp_path: Path, seed: int) -> None:
    """Deposits (of nothing, too) and forced transactions among them; blocks discarded, rolled back, and the store opened anew."""
    dice = random.Random(seed)
    history = History(dice)
    evm = Evm(str(tmp_path), GENESIS)
    check(evm, history)
    for number in range(BLOCKS):
        head = evm.head()
        messages = [
            (0, dice.choice(history.addresses()) + dice.choice((0, 0, 1, 10**9)).to_bytes(8)) for _ in range(dice.randrange(4))
        ]
        forced = [(1, tx) for tx in history.block()[:2]]
        txs = history.block()
        if dice.random() < 0.2:
            evm.execute_rollup(head.timestamp + 5, head.inbox_end + len(messages), messages, history.block())
            evm.discard()
            history.skipped(evm)
            txs, forced = [], []
        inbox = [*forced, *messages]
        evm.execute_rollup(START + 1 + number, head.inbox_end + len(inbox), inbox, txs)
        evm.commit()
        if dice.random() < 0.1 and head.number:
            evm.rollback(head.number)
        elif dice.random() < 0.1:
            evm.close()
            evm = Evm(str(tmp_path), GENESIS)
        history.skipped(evm)
        check(evm, history)
    evm.close()


@pytest.mark.parametrize("seed", range(2))
def test_every_account_is_what_another_client_makes_of_it(tmp_path: Path, seed: int) -> None:
    history = History(random.Random(1_000 + seed))
    evm = Evm(str(tmp_path / "evm"), GENESIS)
    genesis = tmp_path / "genesis.json"
    genesis.write_text(GENESIS)
    coinbase = json.loads(GENESIS)["coinbase"]
    options = ("--init", str(genesis), "--no-mining", "--order", "fifo", "--gas-limit", "60000000", "--disable-min-priority-fee")
    with anvil(tmp_path, *options) as url, httpx.Client(base_url=url, timeout=30) as http:

        def ask(*calls: tuple[str, list[object]]) -> list[object]:
            body = [{"jsonrpc": "2.0", "id": n, "method": method, "params": params} for n, (method, params) in enumerate(calls)]
            answers = sorted(http.post("/", json=body).json(), key=lambda answer: int(answer["id"]))
            assert all("error" not in answer for answer in answers), answers
            return [answer["result"] for answer in answers]

        ask(("anvil_setCoinbase", [coinbase]))
        for number in range(BLOCKS):
            txs = history.block()
            built = evm.execute(START + 1 + number, txs, skip_invalid=True, beneficiary=bytes.fromhex(coinbase[2:]))
            evm.commit()
            used = 0
            for index in built.included:  # each in a block of its own: anvil's pool does not foresee delegations' nonces
                ask(("anvil_setNextBlockBaseFeePerGas", [hex(built.header.base_fee)]))
                ask(("eth_sendRawTransaction", ["0x" + txs[index].hex()]))
                ask(("evm_mine", []))
                (block,) = ask(("eth_getBlockByNumber", ["latest", False]))
                assert isinstance(block, dict)
                used += int(block["gasUsed"], 16)
            assert used == built.header.gas_used
            history.skipped(evm)
            # All but the system contracts, which hold the hashes of anvil's own blocks.
            names = [address for address in history.addresses() if address not in SYSTEM_CONTRACTS]
            head = evm.head().number
            calls: list[tuple[str, list[object]]] = []
            ours: list[object] = []
            for address in names:
                at = "0x" + address.hex()
                calls += [(method, [at, "latest"]) for method in ("eth_getTransactionCount", "eth_getBalance", "eth_getCode")]
                calls += [("eth_getStorageAt", [at, hex(slot), "latest"]) for slot in SLOTS]
                nonce, balance = evm.account(address, head)
                ours += [hex(nonce), hex(balance), "0x" + evm.code(address, head).hex()]
                ours += ["0x" + evm.storage(address, word(slot), head).hex() for slot in SLOTS]
            wrong = [call for call, mine, theirs in zip(calls, ours, ask(*calls), strict=True) if mine != theirs]
            assert not wrong, f"after block {head}"
    assert len({evm.account(address)[1] for address in NOBODY}) > 1
    assert any(evm.code(wallet.address, head) for wallet in WALLETS)
    evm.close()

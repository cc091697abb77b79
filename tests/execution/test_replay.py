"""A stored block executed again tells of each transaction what its receipt does: also where forced transactions stand before the
block's own, and where some of both were skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dougong._native import Evm
from dougong.execution.evm.genesis import make_genesis
from dougong.testing.wallet import Wallet
from tests.rpc.tracing import ALICE, ALLOC, BOB, INNER, LOGGER, MAKER, OUTER, PROXY, REVERTER, hexed, to
from tests.rpc.world import CHAIN_ID

DEPOSIT, FORCED = 0, 1
BOUNDS = (30.0, 16 << 20)


def traces(evm: Evm, number: int, tracer: str) -> list[dict[str, Any]]:
    return list(json.loads(evm.trace_block(number, json.dumps({"tracer": tracer} if tracer else {}), *BOUNDS)))


def receipts(evm: Evm, number: int) -> list[dict[str, Any]]:
    return list(json.loads(evm.block_receipts_json(number)))


def check(evm: Evm, number: int) -> None:
    told = receipts(evm, number)
    calls, logs = traces(evm, number, "callTracer"), traces(evm, number, "")
    assert [trace["txHash"] for trace in calls] == [receipt["transactionHash"] for receipt in told]
    for receipt, call, log in zip(told, calls, logs, strict=True):
        assert call["result"]["gasUsed"] == receipt["gasUsed"]
        assert log["result"]["gas"] == int(receipt["gasUsed"], 16)
        assert ("error" in call["result"], log["result"]["failed"]) == (receipt["status"] == "0x0",) * 2
        assert call["result"]["from"] == receipt["from"]
        alone = evm.trace_transaction(bytes.fromhex(receipt["transactionHash"][2:]), '{"tracer": "callTracer"}', *BOUNDS)
        assert alone is not None
        assert json.loads(alone) == call["result"]


def test_forced_and_skipped_transactions_keep_their_places(tmp_path: Path) -> None:
    evm = Evm(str(tmp_path / "evm"), make_genesis(CHAIN_ID, ALLOC))
    stranger = Wallet.of("stranger", CHAIN_ID)
    forced = [to(BOB, OUTER, nonce=0), b"no transaction", to(BOB, MAKER, nonce=9), to(BOB, REVERTER, nonce=1)]
    messages = [*((FORCED, raw) for raw in forced), (DEPOSIT, stranger.address + (10**9).to_bytes(8))]
    own = [
        to(ALICE, OUTER, nonce=0),
        to(ALICE, OUTER, nonce=5),  # a gap: skipped
        to(stranger, OUTER, nonce=0),  # its deposit comes after the transactions: skipped
        to(ALICE, PROXY, nonce=1),
        to(BOB, LOGGER, nonce=2),
    ]
    built = evm.execute_rollup(1_000, len(messages), messages, own)
    assert list(built.included) == [0, 3, 4]
    evm.commit()
    check(evm, 1)
    assert [trace["result"]["to"] for trace in traces(evm, 1, "callTracer")] == [
        *map(hexed, (OUTER, REVERTER, OUTER, PROXY, LOGGER))
    ]
    evm.execute_rollup(1_001, len(messages), [], [to(stranger, INNER, nonce=0)])
    evm.commit()
    check(evm, 2)
    check(evm, 1)  # below the head, from the trie
    spent = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    (found,) = json.loads(evm.trace_block(2, json.dumps(spent), *BOUNDS))
    assert found["result"]["pre"][hexed(stranger.address)]["balance"] == hex(10**18)
    evm.close()


def test_a_block_that_is_taken_back_is_not_traced(tmp_path: Path) -> None:
    evm = Evm(str(tmp_path / "evm"), make_genesis(CHAIN_ID, ALLOC))
    first, second = to(ALICE, OUTER, nonce=0), to(ALICE, PROXY, nonce=0)
    for raw in (first, second):
        evm.execute(1, [raw], skip_invalid=False, beneficiary=bytes(20))
        evm.commit()
        (receipt,) = receipts(evm, 1)
        tx_hash = bytes.fromhex(receipt["transactionHash"][2:])
        assert evm.trace_transaction(tx_hash, "{}", *BOUNDS) is not None
        evm.rollback(0)
        assert evm.trace_transaction(tx_hash, "{}", *BOUNDS) is None
    evm.close()

"""The answers of our methods on the chain of ethereum/execution-apis beside those that were recorded there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.protocol import Limits, Methods, answer
from tests.rpc.compat.cases import Case, difference, find_cases, read_case
from tests.rpc.compat.inapplicable import INAPPLICABLE
from tests.rpc.compat.world import ImportedEvm, import_chain

CASES = [read_case(path) for path in find_cases()]


@pytest.fixture(scope="module")
def methods(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Methods]:
    """One node for all cases, in their order, as hive runs them."""
    folder = vectors / "rpc-compat"
    evm = import_chain(folder, tmp_path_factory.mktemp("compat"))
    api = EthereumApi(ImportedEvm(evm, folder / "headfcu.json"))
    yield api.methods
    api.close()
    evm.close()


async def ask(methods: Methods, case: Case) -> str | None:
    """What is wrong with our answers."""
    for request, wanted in case.exchanges:
        reply = await answer(methods, request, Limits())
        assert reply is not None
        wrong = difference(json.loads(reply), wanted, spec_only=case.spec_only)
        if wrong is not None:
            return wrong
    return None


def test_the_vectors_are_here_and_enough_of_them_apply(vectors: Path) -> None:
    names = {case.name for case in CASES}
    assert names >= INAPPLICABLE.keys(), "a reason is given for a case that is not there"
    assert len(names) - len(INAPPLICABLE) >= 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_answers_are_the_recorded_ones(methods: Methods, case: Case) -> None:
    wrong = await ask(methods, case)
    if case.name in INAPPLICABLE:
        assert wrong is not None, f"it applies after all: {INAPPLICABLE[case.name]}"
    else:
        assert wrong is None, wrong


def test_a_wrong_answer_is_found() -> None:
    wanted = {"result": {"a": ["0x1", None], "calls": [{"error": {"code": -32000, "message": "theirs"}}]}, "id": 1}
    calls = [{"error": {"code": -32000, "message": "ours"}}]
    assert difference({"id": 1.0, "result": {"a": ["0x1", None], "calls": calls}}, wanted, spec_only=False) is None
    for a in (["0x2", None], ["0x1"], ["0x1", None, None], ["0x1", 0], ["0x1", False], None):
        assert difference({"id": 1, "result": {"a": a, "calls": calls}}, wanted, spec_only=False) is not None
    failure = {"id": 1, "error": {"code": 3, "message": "m"}}
    assert difference(failure, {"id": 1, "error": {"code": 3, "message": "n"}}, spec_only=True) is None
    for error in ({"code": 4, "message": "m"}, {"code": 3, "message": "m", "data": "0x"}):
        assert difference(failure, {"id": 1, "error": error}, spec_only=True) is not None
    assert difference({"id": 1, "result": {"a": 1, "more": 2}}, {"id": 1, "result": {"a": 2}}, spec_only=True) is None
    shapes: list[object] = [{"a": "1"}, {}, [], None, {"a": None}]
    for result in shapes:
        assert difference({"id": 1, "result": result}, {"id": 1, "result": {"a": 2}}, spec_only=True) is not None

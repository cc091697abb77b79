"""The traces and access lists that geth recorded over the chain of ethereum/execution-apis, to the letter: the cases ask for the
right shape only, and `test_compat.py` holds us to that."""

from __future__ import annotations

import json
from pathlib import Path

from dougong.rpc.ethereum import EthereumApi
from dougong.rpc.protocol import Limits, answer
from tests.rpc.compat.cases import find_cases, read_case
from tests.rpc.compat.world import ImportedEvm, import_chain

METHODS = ("debug_trace", "debug_getRaw", "eth_createAccessList")
CASES = [case for case in map(read_case, find_cases()) if case.name.startswith(METHODS)]


async def test_every_trace_is_geths(vectors: Path, tmp_path: Path) -> None:
    folder = vectors / "rpc-compat"
    evm = import_chain(folder, tmp_path)
    api = EthereumApi(ImportedEvm(evm, folder / "headfcu.json"))
    differing = []
    for case in CASES:
        for request, wanted in case.exchanges:
            ours = json.loads(await answer(api.methods, request, Limits()) or b"")
            if (ours.get("result"), "error" in ours) != (wanted.get("result"), "error" in wanted):
                differing.append(case.name)
    api.close()
    evm.close()
    assert len(CASES) >= 25
    assert differing == []

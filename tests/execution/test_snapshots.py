"""Snapshots and pruning as Python and the command line see them: kill -9, errors by kind, codes of JSON-RPC.

Formats, attacks and random histories are tested in rust/evm/tests (snapshot.rs, pruning.rs).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dougong._native import Evm, import_snapshot
from dougong.cli.nodes import Serving
from dougong.errors import ConfigError, InvalidInput, InvalidSnapshot, NotFound, Pruned, StatePruned, StoreCorrupt, StoreError
from dougong.rpc.errors import error_of
from tests.services.world import RECIPIENT, USERS, genesis, transfers

FEES = b"\xbe" * 20


def grow(evm: Evm, blocks: int, txs: int = 3) -> None:
    for _ in range(blocks):
        head = evm.head()
        nonce = evm.account(USERS[0].address)[0]
        evm.execute(head.timestamp + 1, transfers(USERS[0], nonce, txs), skip_invalid=False, beneficiary=FEES)
        evm.commit()


@pytest.fixture
def chain(tmp_path: Path) -> Evm:
    evm = Evm(str(tmp_path / "evm"), genesis())
    grow(evm, 10)
    return evm


def test_a_state_goes_out_and_in(chain: Evm, tmp_path: Path) -> None:
    file = tmp_path / "state.snapshot"
    number, block_hash, digest, accounts, slots, codes = chain.export_snapshot(str(file))
    assert (number, block_hash) == (10, chain.head().hash)
    assert len(digest) == 32
    assert accounts >= 14
    assert codes >= 2
    assert slots >= 0
    head = import_snapshot(str(tmp_path / "copy"), genesis(), block_hash, str(file))
    assert (head.number, head.hash, head.state_root) == (10, block_hash, chain.head().state_root)
    copy = Evm(str(tmp_path / "copy"), genesis())
    assert copy.kept() == (10, 10, 0)
    for evm in (chain, copy):
        grow(evm, 2)
    assert copy.head().hash == chain.head().hash
    assert copy.account(RECIPIENT) == chain.account(RECIPIENT)
    assert copy.block_json(10, True) == chain.block_json(10, True)
    copy.close()
    with pytest.raises(InvalidInput, match="holds a chain already"):
        import_snapshot(str(tmp_path / "copy"), genesis(), block_hash, str(file))


def test_what_is_not_the_trusted_state_is_refused(chain: Evm, tmp_path: Path) -> None:
    file, copy = tmp_path / "state.snapshot", str(tmp_path / "copy")
    _, block_hash, *_ = chain.export_snapshot(str(file))
    with pytest.raises(InvalidSnapshot, match="not of the trusted one"):
        import_snapshot(copy, genesis(), b"\x01" * 32, str(file))
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    with pytest.raises(InvalidSnapshot, match="ends too early"):
        import_snapshot(copy, genesis(), block_hash, str(file))
    with pytest.raises(InvalidSnapshot, match="of another chain"):
        import_snapshot(copy, genesis(funded=False), block_hash, str(file))
    with pytest.raises(NotFound):
        import_snapshot(copy, genesis(), block_hash, str(tmp_path / "nowhere"))
    with pytest.raises(StoreError):
        chain.export_snapshot(str(tmp_path))
    with pytest.raises(StoreCorrupt, match="import it again"):
        Evm(copy, genesis())
    file.write_bytes(data)
    assert import_snapshot(copy, genesis(), block_hash, str(file)).number == 10


def test_an_import_that_is_killed_begins_again(chain: Evm, tmp_path: Path) -> None:
    grow(chain, 1, 700)
    file, copy, pipe = tmp_path / "state.snapshot", tmp_path / "copy", tmp_path / "pipe"
    _, block_hash, *_ = chain.export_snapshot(str(file))
    data = file.read_bytes()
    os.mkfifo(pipe)
    script = "import sys; from dougong._native import import_snapshot as i; _, a, b, c = sys.argv; "
    script += "i(a, sys.stdin.read(), bytes.fromhex(b), c)"
    after_head = 12 + 41 + int.from_bytes(data[13:17])
    for part in (after_head, after_head + 50, len(data) - 60):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(copy), block_hash.hex(), str(pipe)], stdin=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        process.stdin.write(genesis())
        process.stdin.close()
        with pipe.open("wb") as out:  # opens once the other side has
            out.write(data[:part])
            out.flush()
            while not (copy / "sorting").exists():  # it has read the head, and waits for the rest
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        with pytest.raises(StoreCorrupt, match="import it again"):
            Evm(str(copy), genesis())
        shutil.rmtree(copy / "sorting")
    assert import_snapshot(str(copy), genesis(), block_hash, str(file)).number == 11
    evm = Evm(str(copy), genesis())
    grow(evm, 1)
    grow(chain, 1)
    assert evm.head().hash == chain.head().hash


PRUNER = """
import json, sys
from dougong._native import Evm
evm = Evm(sys.argv[1], sys.stdin.read())
while True:
    evm.prune(40, 40)
    print(*evm.kept(), flush=True)
"""


def test_a_pruning_that_is_killed_goes_on(chain: Evm, tmp_path: Path) -> None:
    grow(chain, 40, 20)
    wanted = [chain.block_json(number, True) for number in range(40, 51)]
    paid = [chain.account(RECIPIENT, number) for number in range(40, 51)]
    chain.close()
    for lines in (1, 2, 3):
        process = subprocess.Popen(
            [sys.executable, "-c", PRUNER, str(tmp_path / "evm")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(genesis())
        process.stdin.close()
        for _ in range(lines):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    evm = Evm(str(tmp_path / "evm"), genesis())
    while evm.prune(40, 40):
        pass
    assert evm.kept() == (40, 40, 0)
    assert [evm.block_json(number, True) for number in range(40, 51)] == wanted
    assert [evm.account(RECIPIENT, number) for number in range(40, 51)] == paid
    for number in range(49, 39, -1):
        evm.rollback(number)
        assert evm.account(RECIPIENT) == evm.account(RECIPIENT, number) == paid[number - 40]
    with pytest.raises(Pruned, match="cannot go back"):
        evm.rollback(39)


def test_what_is_pruned_has_its_own_codes(chain: Evm) -> None:
    while chain.prune(6, 4):
        pass
    with pytest.raises(StatePruned) as state:
        chain.account(RECIPIENT, 5)
    told = error_of(state.value)
    assert told.code == -32000
    assert str(told) == f"historical state 0x{chain.header(5).state_root.hex()} is not available"
    with pytest.raises(Pruned) as block:
        chain.block_json(3, True)
    assert error_of(block.value).to_json() == {"code": 4444, "message": "pruned history unavailable"}


def test_blocks_are_made_and_read_while_one_thread_prunes_and_another_exports(chain: Evm, tmp_path: Path) -> None:
    stop = threading.Event()
    problems: list[BaseException] = []

    def beside(step: Callable[[], None]) -> None:
        try:
            while not stop.is_set():
                step()
        except BaseException as error:
            problems.append(error)

    def prune() -> None:
        chain.prune(max(0, chain.head().number - 4), max(0, chain.head().number - 4))

    def export() -> None:
        number, block_hash, *_ = chain.export_snapshot(str(tmp_path / "state.snapshot"))
        assert chain.header(number).hash == block_hash

    threads = [threading.Thread(target=beside, args=(step,)) for step in (prune, export)]
    for thread in threads:
        thread.start()
    grow(chain, 40, 20)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems
    head = chain.head()
    chain.export_snapshot(str(tmp_path / "state.snapshot"))
    assert import_snapshot(str(tmp_path / "copy"), genesis(), head.hash, str(tmp_path / "state.snapshot")).hash == head.hash


STACK = """
data_dir = "data"
[availability.square]
kind = "square"
consensus = "solo"
[rollup.free]
execution = "evm"
availability = "square"
"""


def test_the_command_line(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(STACK)
    document = tmp_path / "data" / "genesis" / "rollup.free.json"
    document.parent.mkdir(parents=True)
    document.write_text(json.dumps({"evm": json.loads(genesis())}))
    evm = Evm(str(tmp_path / "data" / "rollup" / "free" / "evm"), genesis())
    grow(evm, 3)
    head = evm.head()
    evm.close()

    def run(*arguments: str) -> tuple[int, str, str]:
        program = [sys.executable, "-c", "from dougong.cli import main; main()", "snapshot", *arguments]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    file = str(tmp_path / "free.snapshot")
    code, out, _ = run("export", file, "free", str(stack), "--json")
    assert code == 0
    assert json.loads(out)["hash"] == "0x" + head.hash.hex()
    node = str(tmp_path / "node")
    code, _, err = run("import", file, "free", str(stack), "--folder", node, "--hash", "0x12")
    assert code != 0
    assert "is not a block's hash" in err
    code, out, _ = run("import", file, "free", str(stack), "--folder", node, "--hash", "0x" + head.hash.hex())
    assert code == 0
    assert "number 3" in out
    copy = Evm(node + "/evm", genesis())
    assert copy.head().hash == head.hash
    copy.close()
    assert run("export", file, "nobody", str(stack))[0] != 0


@pytest.mark.parametrize(
    "given", [(Path("x"), None), (None, "0x" + "11" * 32), (Path("x"), "0x12"), (Path("x"), "0x" + "zz" * 32)]
)
def test_a_snapshot_without_a_claim_to_trust_is_no_beginning(given: tuple[Path | None, str | None]) -> None:
    with pytest.raises(ConfigError):
        Serving(None, None, *given).beginning()
    assert Serving().beginning() is None
    assert Serving(None, None, Path("x"), "0x" + "11" * 32).beginning() == (Path("x"), b"\x11" * 32)

"""What the end-to-end benchmarks share: the transactions, the client (`benches/peers/load`), and each server at its fastest.

One client for every server: a program of its own, on one core at most, with every request made before the clock starts. It runs
from the first byte sent to the last receipt, and each receipt says success. Every server is tried with each `Way` of asking, in
batches and one by one, and its best counts; servers take turns, so that what else the machine does meets all of them.

Ours is `dougong up` as a user starts it, with everything that it is: durable before it is acknowledged, batches published to a DA
chain of its own. anvil keeps its chain in memory; geth writes when it likes to.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dougong._native import keccak256
from dougong.testing.wallet import GWEI, Wallet

CHAIN_ID = 1337
SENDERS = 400
EACH = 50
TRANSACTIONS = SENDERS * EACH
ETHER = 10**18
MAX_FEE = 1_000 * GWEI  # base fees rise on the way
FOLDER = Path(__file__).parent / "peers"
CLIENT = FOLDER / "build" / "load"
TRIES = 2
LONGEST_S = 120  # a setting that needs longer is not its server's fastest

STACK = """
dev = true
data_dir = "data"
[api]
listen = "127.0.0.1:0"
[availability.square]
kind = "square"
consensus = "solo"
block_time_ms = 1000
[rollup.bench]
execution = "evm"
availability = "square"
chain_id = {chain_id}
gas_limit = 500_000_000
block_time_ms = 50
batch_interval_ms = 2_000
fund = {{ {fund} }}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How the client asks: calls in a request, requests at a time, and after how many transactions it has a block made."""

    batch: int
    connections: int
    mine: int = 0

    def __str__(self) -> str:
        mine = f", evm_mine after {self.mine}" if self.mine else ""
        return f"batches of {self.batch}, {self.connections} at a time{mine}"


BATCHES = (Way(1000, 2), Way(200, 4))
SINGLE = Way(1, 32)


@dataclass(frozen=True, slots=True)
class Server:
    """`start` yields a URL; a new chain for every run. `settings` says how, for the printed line."""

    name: str
    settings: str
    start: Callable[[], AbstractContextManager[str]]
    ways: Sequence[Way] = (*BATCHES, SINGLE)


@dataclass(slots=True)
class Best:
    rate: float = 0.0
    how: str = ""
    sent: float = 0.0
    client: float = 0.0


@cache
def wallets() -> tuple[Wallet, ...]:
    return tuple(Wallet.of(f"load {number}", CHAIN_ID) for number in range(SENDERS))


def transactions() -> list[bytes]:
    """Transfers to accounts that are not there yet; everyone's first before anyone's second."""
    signed = [
        wallet.sign_all(
            [
                wallet.fields(keccak256(wallet.address + bytes([nonce]))[:20], nonce=nonce, value=1, max_fee=MAX_FEE)
                for nonce in range(EACH)
            ]
        )
        for wallet in wallets()
    ]
    return [raw for turn in zip(*signed, strict=True) for raw in turn]


def compare(ours: Server, rivals: Sequence[Server], goal: float, bench: str) -> Iterator[dict[str, Any]]:
    """One line: our best run beside the best of all the rival's settings."""
    subprocess.run(["go", "build", "-o", str(CLIENT), "./load"], cwd=FOLDER, check=True)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "transactions.txt"
        file.write_text("".join(f"0x{raw.hex()} 0x{keccak256(raw).hex()}\n" for raw in transactions()))
        own, best = Best(), Best()
        names: dict[str, tuple[float, Way]] = {}
        for attempt in range(TRIES):
            for server in (ours, *rivals):
                for way in server.ways if attempt == 0 else _better(server, names):
                    found = _run(server, way, file)
                    if found.rate > names.get(server.name + server.settings, (0.0, way))[0]:
                        names[server.name + server.settings] = (found.rate, way)
                    kept = own if server is ours else best
                    if found.rate > kept.rate:
                        kept.rate, kept.how, kept.sent, kept.client = found.rate, found.how, found.sent, found.client
    yield {
        "bench": bench,
        "unit": "tx/s",
        "ours": round(own.rate),
        "peer": round(best.rate),
        "ratio": round(own.rate / best.rate, 2) if best.rate else None,  # None: the rival ended in no setting
        "goal": goal,
        "transactions": TRANSACTIONS,
        "our_way": own.how,
        "peer_way": best.how,
        "client_busy": [round(own.client, 2), round(best.client, 2)],
    }


def _better(server: Server, names: dict[str, tuple[float, Way]]) -> list[Way]:
    found = names.get(server.name + server.settings)
    return [] if found is None else [found[1]]


def _run(server: Server, way: Way, file: Path) -> Best:
    with server.start() as url:
        arguments = ["-url", url, "-file", str(file), "-batch", str(way.batch), "-connections", str(way.connections)]
        try:
            done = subprocess.run(
                [str(CLIENT), *arguments, "-mine", str(way.mine)], capture_output=True, text=True, timeout=LONGEST_S
            )
        except subprocess.TimeoutExpired:
            print(f"{server.name} ({server.settings}; {way}): no end after {LONGEST_S} s", file=sys.stderr)
            return Best()
    if done.returncode:
        print(f"{server.name} ({server.settings}; {way}): {done.stderr.strip()[:300]}", file=sys.stderr)
        return Best()
    found = json.loads(done.stdout)
    rate = found["transactions"] / found["seconds"]
    print(f"{server.name} ({server.settings}; {way}): {rate:.0f} tx/s", file=sys.stderr)
    return Best(rate, f"{server.settings}; {way}", found["sent_seconds"], found["client_cpu_seconds"] / found["seconds"])


# --- servers --------------------------------------------------------------------------------------------------------


def call(url: str, method: str, *params: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        answer = json.loads(reply.read())
    if "error" in answer:
        raise RuntimeError(f"{method}: {answer['error']}")
    return answer["result"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def process(command: Sequence[str], url: str, *, cwd: Path | None = None) -> Iterator[None]:
    """Until it answers; killed at the end: what it would yet write is nobody's business."""
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            for _ in range(600):
                try:
                    call(url, "eth_chainId")
                    break
                except (urllib.error.URLError, ConnectionError, RuntimeError):
                    if running.poll() is not None:
                        raise RuntimeError(f"{command[0]} ended with {running.returncode}") from None
                    time.sleep(0.05)
            yield
        finally:
            running.kill()


@contextmanager
def dougong(extra: str = "") -> Iterator[str]:
    fund = ", ".join(f'"0x{wallet.address.hex()}" = 10_000' for wallet in wallets())
    with TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        text = STACK.format(chain_id=CHAIN_ID, fund=fund).replace(":0", f":{port}") + extra
        (folder / "stack.toml").write_text(text)
        command = [sys.executable, "-c", "from dougong.cli import main; main()", "up", "stack.toml"]
        url = f"http://127.0.0.1:{port}/bench"
        with process(command, url, cwd=folder):
            yield url


OURS = Server("dougong", "dougong up, a sovereign rollup over its own DA chain", dougong)


def has(program: Path | str, remedy: str) -> bool:
    if shutil.which(str(program)):
        return True
    print(f"without {program} there is no rival to run beside: {remedy}", file=sys.stderr)
    return False

"""What the end-to-end benchmarks share: the transactions, the client (`benches/peers/load`), and each server at its fastest.

One client for every server: a program of its own, on one core at most, with every request made before the clock starts. It runs
from the first byte sent to the last receipt, and each receipt says success. Every server is tried with each `Way` of asking, in
batches and one by one, over a tenth of the transactions, and its fastest way over all of them. `ratio` is over all of them;
`ratio_of_bests` takes each server's best run of either: some slow down with what waits in them. Servers take turns, so that what
else the machine does meets all of them; and `processor_us` is what a transaction took of each server's processors in its best run
over all of them (user and system time, all threads; where /proc tells it), which a busy machine cannot lengthen by much.

Ours is `dougong up` as a user starts it, with everything that it is: durable before it is acknowledged, batches published to a DA
chain of its own. anvil keeps its chain in memory; geth writes when it likes to.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
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
TENTH = TRANSACTIONS // 10
TRIES = 2
LONGEST_S = {TENTH: 15, TRANSACTIONS: 90}  # a setting that needs longer is not its server's fastest

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
class Running:
    url: str
    pid: int

    def processor_seconds(self) -> float | None:
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """`start` yields it running; a new chain for every run. `settings` says how, for the printed line."""

    name: str
    settings: str
    start: Callable[[], AbstractContextManager[Running]]
    ways: Sequence[Way] = (*BATCHES, SINGLE)


@dataclass(frozen=True, slots=True)
class Best:
    """The best run of a server's settings; `client` is the part of a core that the client took, `processor_us` what the server
    took for a transaction."""

    way: Way | None = None
    rate: float = 0.0
    client: float = 0.0
    processor_us: float | None = None


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
        lines = [f"0x{raw.hex()} 0x{keccak256(raw).hex()}\n" for raw in transactions()]
        files = {count: Path(folder) / f"{count}.txt" for count in (TENTH, TRANSACTIONS)}
        for count, file in files.items():
            file.write_text("".join(lines[:count]))
        best: dict[str, Best] = {}
        for server in (ours, *rivals):
            tried = [_run(server, way, files, TENTH) for way in server.ways]
            best[server.settings] = max(tried, key=lambda run: run.rate)
        fastest = max(rivals, key=lambda server: best[server.settings].rate)
        whole = {ours.settings: Best(), fastest.settings: Best()}
        for _ in range(TRIES):
            for server in (ours, fastest):
                way = best[server.settings].way
                if way is not None:
                    again = _run(server, way, files, TRANSACTIONS)
                    whole[server.settings] = max(whole[server.settings], again, key=lambda run: run.rate)
    own, rival = whole[ours.settings], whole[fastest.settings]
    bests = [max(best[name].rate, whole[name].rate) for name in (ours.settings, fastest.settings)]
    yield {
        "bench": bench,
        "unit": "tx/s",
        "ours": round(own.rate),
        "peer": round(rival.rate),
        "ratio": round(own.rate / rival.rate, 2) if rival.rate else None,  # None: the rival ended in no setting
        "ratio_of_bests": round(bests[0] / bests[1], 2) if bests[1] else None,
        "goal": goal,
        "transactions": TRANSACTIONS,
        "our_way": f"{ours.settings}; {own.way}",
        "peer_way": f"{fastest.settings}; {rival.way}",
        "client_busy": [round(own.client, 2), round(rival.client, 2)],
        "processor_us": [own.processor_us, rival.processor_us],
    }


def _run(server: Server, way: Way, files: Mapping[int, Path], count: int) -> Best:
    with server.start() as running:
        arguments = [
            "-url",
            running.url,
            "-file",
            str(files[count]),
            "-batch",
            str(way.batch),
            "-connections",
            str(way.connections),
        ]
        before = running.processor_seconds()
        try:
            done = subprocess.run(
                [str(CLIENT), *arguments, "-mine", str(way.mine)], capture_output=True, text=True, timeout=LONGEST_S[count]
            )
        except subprocess.TimeoutExpired:
            print(f"{server.name} ({server.settings}; {way}): {count} had no end after {LONGEST_S[count]} s", file=sys.stderr)
            return Best()
        after = running.processor_seconds()
    if done.returncode:
        print(f"{server.name} ({server.settings}; {way}): {done.stderr.strip()[:300]}", file=sys.stderr)
        return Best()
    found = json.loads(done.stdout)
    rate = found["transactions"] / found["seconds"]
    print(f"{server.name} ({server.settings}; {way}; {count}): {rate:.0f} tx/s", file=sys.stderr)
    took = None if before is None or after is None else round((after - before) / count * 1e6, 1)
    return Best(way, rate, found["client_cpu_seconds"] / found["seconds"], took)


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
def process(command: Sequence[str], url: str, *, cwd: Path | None = None) -> Iterator[Running]:
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
            yield Running(url, running.pid)
        finally:
            running.kill()


@contextmanager
def dougong(extra: str = "") -> Iterator[Running]:
    fund = ", ".join(f'"0x{wallet.address.hex()}" = 10_000' for wallet in wallets())
    with TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        text = STACK.format(chain_id=CHAIN_ID, fund=fund).replace(":0", f":{port}") + extra
        (folder / "stack.toml").write_text(text)
        command = [sys.executable, "-c", "from dougong.cli import main; main()", "up", "stack.toml"]
        url = f"http://127.0.0.1:{port}/bench"
        with process(command, url, cwd=folder) as running:
            yield running


OURS = Server("dougong", "dougong up, a sovereign rollup over its own DA chain", dougong)


def has(program: Path | str, remedy: str) -> bool:
    if shutil.which(str(program)):
        return True
    print(f"without {program} there is no rival to run beside: {remedy}", file=sys.stderr)
    return False

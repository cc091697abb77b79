"""Execution and state root of whole blocks, beside bare revm, which executes the same blocks with no state root.

Decoding and sender recovery are excluded from both; both are in memory, in one process (rust/evm/examples/bare_revm.rs). Ours:
execution on all cores and the state root. Theirs: revm with a `CacheDB`, the faster of two ways to use it. Each: the best of six.
`ratio` is ours over theirs, in transactions a second: the goal is 0.7. `processor ratio` is the same in processor time of all
threads: what a busy machine cannot hide. `whole block` is `Evm.execute`, with decoding, all roots and the header; `with commit`:
and the durable write.

Then ours in order and on two threads, for a block of independent transactions and for one that is a single chain of conflicts.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benches.core_evm import ETHER, sign
from dougong._native import Evm, decode_transactions
from dougong.contracts import artifact
from dougong.contracts.abi import Abi
from dougong.testing.wallet import Wallet

CHAIN_ID = 1338
GAS_LIMIT = 3_000_000_000
FEES = b"\xbe" * 20
SENDERS = 1_000
TRIES = 5
RUST = Path(__file__).parent.parent / "rust"


Call = tuple[int, bytes | None, int, bytes, int]
"""Sender, recipient, value, calldata, gas."""


class Block(NamedTuple):
    name: str | None
    txs: list[bytes]


class Bench:
    """A chain with accounts that hold ether and tokens, and an exchange; and all blocks that made it."""

    def __init__(self, folder: Path) -> None:
        self.wallets = [Wallet.of(f"revm {i}", CHAIN_ID) for i in range(SENDERS)]
        self.nonces = [0] * SENDERS
        self.alloc = {"0x" + wallet.address.hex(): {"balance": hex(10**9 * ETHER)} for wallet in self.wallets}
        document = {
            "config": {"chainId": CHAIN_ID, "pragueTime": 0},
            "coinbase": "0x" + "fe" * 20,
            "gasLimit": hex(GAS_LIMIT),
            "timestamp": "0x0",
            "difficulty": "0x0",
            "alloc": self.alloc,
        }
        self.evm = Evm(str(folder), json.dumps(document))
        self.blocks: list[dict[str, Any]] = []
        token, exchange = Abi(artifact("Token")), Abi(artifact("Exchange"))
        self.token, self.exchange = token, exchange
        self.coin = self.deploy(token.deployment("Token", "TKN", 10**12 * ETHER))
        self.place = self.deploy(exchange.deployment(self.coin))
        self.settle([(0, self.coin, 0, token.call("approve", self.place, 2**256 - 1), 100_000)])
        self.settle([(0, self.place, 10**5 * ETHER, exchange.call("add_liquidity", 10**6 * ETHER, 0, 2**63), 500_000)])
        give = [(0, self.coin, 0, token.call("transfer", wallet.address, 10**6 * ETHER), 100_000) for wallet in self.wallets[1:]]
        self.settle(give)
        # Everybody has paid the beneficiary and is known to the store.
        self.settle([(i, self.wallets[i - 1].address, 1, b"", 21_000) for i in range(SENDERS)])

    def sign(self, calls: Sequence[Call]) -> list[bytes]:
        fields = []
        for sender, to, value, data, gas in calls:
            nonce = self.nonces[sender]
            self.nonces[sender] += 1
            fields.append(self.wallets[sender].fields(to, nonce=nonce, value=value, data=data, gas=gas, max_fee=10**15))
        return sign([self.wallets[call[0]] for call in calls], fields)

    def deploy(self, code: bytes) -> bytes:
        [raw] = txs = self.sign([(0, None, 0, code, 5_000_000)])
        self.take(Block(None, txs))
        [info] = decode_transactions([raw])
        assert not isinstance(info, str)
        return bytes.fromhex(json.loads(self.evm.receipt_json(info.hash) or b"")["contractAddress"][2:])

    def settle(self, calls: Sequence[Call]) -> None:
        self.take(Block(None, self.sign(calls)))

    def take(self, block: Block) -> None:
        built = self.execute(block.txs)
        self.evm.commit()
        self.keep(block, built)
        logs = json.loads(self.evm.block_receipts_json(built.header.number))
        assert all(receipt["status"] == "0x1" for receipt in logs)

    def keep(self, block: Block, built: Any) -> None:
        header = built.header
        self.blocks.append(
            {
                "name": block.name,
                "number": hex(header.number),
                "timestamp": hex(header.timestamp),
                "beneficiary": "0x" + FEES.hex(),
                "gasLimit": hex(header.gas_limit),
                "baseFee": hex(header.base_fee),
                "gas": header.gas_used,
                "txs": ["0x" + tx.hex() for tx in block.txs],
            }
        )

    def execute(self, txs: list[bytes]) -> Any:
        built = self.evm.execute(self.evm.head().timestamp + 1, txs, skip_invalid=False, beneficiary=FEES)
        assert len(built.included) == len(txs)
        return built

    def best(self, txs: list[bytes], threads: int = 0) -> float:
        """Seconds of the best of some executions, each discarded."""
        self.evm.set_threads(threads)
        seconds = []
        for _ in range(TRIES):
            start = time.perf_counter()
            self.execute(txs)
            seconds.append(time.perf_counter() - start)
            self.evm.discard()
        return min(seconds)

    def timed(self, block: Block) -> tuple[float, float]:
        """Seconds of a whole block; and of a last time with the commit, which the next block builds on."""
        decode_transactions(block.txs)
        best = self.best(block.txs)
        start = time.perf_counter()
        built = self.execute(block.txs)
        self.evm.commit()
        durable = time.perf_counter() - start
        self.keep(block, built)
        return best, durable


def workloads(bench: Bench) -> Iterator[Block]:
    addresses = [wallet.address for wallet in bench.wallets]

    def others(count: int) -> Iterator[tuple[int, bytes]]:
        return ((i % SENDERS, addresses[(i * 7 + 3) % SENDERS]) for i in range(count))

    yield Block("transfers", bench.sign([(i, to, 1, b"", 21_000) for i, to in others(10_000)]))
    strangers = [(i % SENDERS, (i + 10**9).to_bytes(20)) for i in range(10_000)]
    yield Block("transfers-to-new-accounts", bench.sign([(i, to, 1, b"", 21_000) for i, to in strangers]))
    tokens = [(i, bench.coin, 0, bench.token.call("transfer", to, 1), 100_000) for i, to in others(10_000)]
    yield Block("erc20", bench.sign(tokens))
    swap = bench.exchange.call("swap_ether", 0, 2**63)
    yield Block("swaps", bench.sign([(i % SENDERS, bench.place, 10**12 + i, swap, 150_000) for i in range(5_000)]))


def peer() -> Path:
    """The peer, compiled with the options of the extension."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", RUST / "target"))
    command = ["cargo", "build", "--release", "--quiet", "-p", "dougong-evm", "--example", "bare_revm"]
    subprocess.run(command, cwd=RUST, check=True)
    return target / "release" / "examples" / "bare_revm"


def run() -> Iterator[dict[str, Any]]:
    theirs = peer()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "chain")
        ours = {}
        for block in workloads(bench):
            assert block.name is not None
            ours[block.name] = (len(block.txs), *bench.timed(block))
        blocks = Path(folder) / "blocks.json"
        blocks.write_text(json.dumps({"chainId": CHAIN_ID, "alloc": bench.alloc, "blocks": bench.blocks}))
        lines = subprocess.run([str(theirs), str(blocks)], check=True, capture_output=True, text=True).stdout.splitlines()
        gas = {block["name"]: block["gas"] for block in bench.blocks}
        for line in map(json.loads, lines):
            count, seconds, durable = ours[line["name"]]
            assert line["gas"] == gas[line["name"]]
            yield {
                "bench": f"revm-{line['name']}",
                "unit": "tx/s",
                "ours": round(count / line["engine seconds"]),
                "whole block": round(count / seconds),
                "with commit": round(count / durable),
                "revm": round(count / line["seconds"]),
                "ratio": round(line["seconds"] / line["engine seconds"], 2),
                "processor ratio": round(line["processor"] / line["engine processor"], 2),
            }
        yield from threads(bench)
        bench.evm.close()


def threads(bench: Bench) -> Iterator[dict[str, Any]]:
    pairs = [(i, bench.coin, 0, bench.token.call("transfer", (i + 1).to_bytes(20), 1), 100_000) for i in range(SENDERS)]
    swap = bench.exchange.call("swap_ether", 0, 2**63)
    chain = [(i % SENDERS, bench.place, 10**12, swap, 150_000) for i in range(2_000)]
    for name, calls in (("independent", pairs), ("one-chain-of-conflicts", chain)):
        nonces = list(bench.nonces)
        txs = bench.sign(calls)
        decode_transactions(txs)
        in_order, two = bench.best(txs, 1), bench.best(txs, 2)
        bench.nonces = nonces
        yield {
            "bench": f"parallel-{name}",
            "unit": "tx/s",
            "in order": round(len(txs) / in_order),
            "two threads": round(len(txs) / two),
            "ratio": round(in_order / two, 2),
        }

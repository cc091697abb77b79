"""The EVM engine alone: transactions a second with execution, all roots and the durable commit; and what a batch makes of real
Ethereum transactions.

`evm-transfers` and `evm-swaps` meet senders that the mempool has recovered; `evm-transfers-recovering` recovers them too.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dougong._native import Evm, decode_transactions, encode_batch, sign_transactions
from dougong.codec.rlp import Item, encode
from dougong.contracts import artifact
from dougong.contracts.abi import Abi
from dougong.testing.wallet import Wallet

CHAIN_ID = 1337
GAS_LIMIT = 300_000_000
SENDERS = 1_000
BLOCKS = 6
TXS = 4_000
SWAP_GAS = 150_000
SWAPS = 1_500
ETHER = 10**18
VECTORS = Path(os.environ.get("DOUGONG_VECTORS", Path(__file__).parent.parent.parent / "shared" / "vectors"))


def genesis(wallets: list[Wallet]) -> str:
    return json.dumps(
        {
            "config": {"chainId": CHAIN_ID, "pragueTime": 0},
            "coinbase": "0x" + "fe" * 20,
            "gasLimit": hex(GAS_LIMIT),
            "timestamp": "0x0",
            "difficulty": "0x0",
            "alloc": {"0x" + wallet.address.hex(): {"balance": hex(10**9 * ETHER)} for wallet in wallets},
        }
    )


def sign(wallets: list[Wallet], fields: list[str]) -> list[bytes]:
    """Each transaction by the next wallet, round and round."""
    return sign_transactions(fields, [wallets[i % len(wallets)].secret for i in range(len(fields))])


def rate(evm: Evm, blocks: list[list[bytes]], *, recovered: bool) -> float:
    """Transactions a second over all blocks, each executed and committed."""
    if recovered:
        for block in blocks:
            decode_transactions(block)
    start = time.perf_counter()
    for block in blocks:
        built = evm.execute(evm.head().timestamp + 1, block, skip_invalid=False, beneficiary=b"\xbe" * 20)
        assert len(built.included) == len(block)
        evm.commit()
    return sum(map(len, blocks)) / (time.perf_counter() - start)


def transfers(wallets: list[Wallet], first_nonce: int) -> list[list[bytes]]:
    per_block = TXS // SENDERS
    return [
        sign(
            wallets,
            [
                wallets[i % SENDERS].fields(
                    (first_nonce * 7919 + n * TXS + i).to_bytes(20),
                    nonce=first_nonce + n * per_block + i // SENDERS,
                    value=1,
                    max_fee=10**15,
                )
                for i in range(TXS)
            ],
        )
        for n in range(BLOCKS)
    ]


def market(evm: Evm, owner: Wallet) -> bytes:
    """Deploys the example token and exchange with liquidity; returns the exchange's address."""
    token, exchange = Abi(artifact("Token")), Abi(artifact("Exchange"))

    def run(fields: str) -> dict[str, Any]:
        raw = owner.sign(fields)
        evm.execute(evm.head().timestamp + 1, [raw], skip_invalid=False, beneficiary=b"\xbe" * 20)
        evm.commit()
        [info] = decode_transactions([raw])
        assert not isinstance(info, str), info
        receipt: dict[str, Any] = json.loads(evm.receipt_json(info.hash) or b"{}")
        assert receipt["status"] == "0x1"
        return receipt

    def deploy(nonce: int, code: bytes) -> bytes:
        created = run(owner.fields(None, nonce=nonce, data=code, gas=5_000_000, max_fee=10**15))["contractAddress"]
        return bytes.fromhex(created[2:])

    nonce, _ = evm.account(owner.address)
    coin = deploy(nonce, token.deployment("Token", "TKN", 10**9 * ETHER))
    place = deploy(nonce + 1, exchange.deployment(coin))
    calls = [
        (coin, 0, token.call("approve", place, 2**256 - 1)),
        (place, 10**5 * ETHER, exchange.call("add_liquidity", 10**6 * ETHER, 0, 2**63)),
    ]
    for offset, (to, value, data) in enumerate(calls):
        run(owner.fields(to, nonce=nonce + 2 + offset, value=value, data=data, gas=500_000, max_fee=10**15))
    return place


def swaps(wallets: list[Wallet], place: bytes, nonces: list[int]) -> list[list[bytes]]:
    data = Abi(artifact("Exchange")).call("swap_ether", 0, 2**63)
    blocks = []
    for _ in range(BLOCKS):
        fields = []
        for i in range(SWAPS):
            sender = i % SENDERS
            fields.append(
                wallets[sender].fields(place, nonce=nonces[sender], value=10**12 + i, data=data, gas=SWAP_GAS, max_fee=10**15)
            )
            nonces[sender] += 1
        blocks.append(sign(wallets, fields))
    return blocks


def engine() -> Iterator[dict[str, Any]]:
    wallets = [Wallet.of(f"bench {i}", CHAIN_ID) for i in range(SENDERS)]
    with tempfile.TemporaryDirectory() as folder:
        evm = Evm(folder, genesis(wallets))
        for name, recovered in (("evm-transfers", True), ("evm-transfers-recovering", False)):
            nonce, _ = evm.account(wallets[0].address)
            blocks = transfers(wallets, nonce)
            yield {"bench": name, "unit": "tx/s", "ours": round(rate(evm, blocks, recovered=recovered))}
        place = market(evm, wallets[0])
        nonces = [evm.account(wallet.address)[0] for wallet in wallets]
        yield {"bench": "evm-swaps", "unit": "tx/s", "ours": round(rate(evm, swaps(wallets, place, nonces), recovered=True))}
        evm.close()


def raw_transaction(tx: dict[str, Any]) -> bytes:
    """EIP-2718 bytes of a transaction as JSON-RPC shows it."""

    def number(name: str) -> int:
        return int(tx[name], 16)

    def octets(text: str | None) -> bytes:
        return bytes.fromhex((text or "0x")[2:])

    kind = number("type")
    access: Item = [
        [octets(entry["address"]), [octets(key) for key in entry["storageKeys"]]] for entry in tx.get("accessList") or []
    ]
    fees = [number("maxPriorityFeePerGas"), number("maxFeePerGas")] if kind == 2 else [number("gasPrice")]
    body: list[Item] = [number("nonce"), *fees, number("gas"), octets(tx["to"]), number("value"), octets(tx["input"])]
    signature: list[Item] = [number("v"), number("r"), number("s")]
    if kind == 0:
        return encode([*body, *signature])
    return bytes([kind]) + encode([number("chainId"), *body, access, *signature])


def compression() -> Iterator[dict[str, Any]]:
    blocks, raw = [], 0
    for path in sorted((VECTORS / "ethereum-blocks").glob("*.json.gz")):
        block = json.loads(gzip.decompress(path.read_bytes()))
        txs = [raw_transaction(tx) for tx in block["transactions"]]
        infos = decode_transactions(txs)
        hashes = [b"" if isinstance(info, str) else info.hash for info in infos]
        assert hashes == [bytes.fromhex(tx["hash"][2:]) for tx in block["transactions"]]
        raw += sum(map(len, txs))
        blocks.append((int(block["timestamp"], 16), 0, txs))
    if not blocks:
        return
    for level in (3, 19):
        start = time.perf_counter()
        batch = encode_batch(bytes(32), blocks, level)
        seconds = time.perf_counter() - start
        yield {
            "bench": "batch-compression",
            "unit": "raw bytes / batch byte",
            "level": level,
            "raw": raw,
            "compressed": len(batch),
            "ours": round(raw / len(batch), 3),
            "MB/s": round(raw / seconds / 1e6, 1),
        }


def run() -> Iterator[dict[str, Any]]:
    yield from engine()
    yield from compression()

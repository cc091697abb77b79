"""What the demo measured, read from the chains themselves, and the table of it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from dougong.cli.demo.scene import Scene
from dougong.contracts import artifact
from dougong.contracts.abi import canonical_type
from dougong.crypto.hashing import keccak256
from dougong.net.jsonrpc import data, quantity

__all__ = ["gather", "table"]

# What a rollup's operators pay, however many its users are; the rest is a user's own business.
OPERATING = ("attest", "append_batch", "append_empty_batch", "post_claim", "finalize")
BLOCKS_A_REQUEST = 50


async def gather(scene: Scene, seconds: dict[str, float]) -> dict[str, Any]:
    """Every figure, ready for JSON."""
    gas = await settlement_gas(scene)
    operating = sum(gas[name]["gas"] for name in OPERATING if name in gas)
    settled = sum(rollup.chain.sent for rollup in scene.settled)
    transactions = sum(rollup.chain.sent for rollup in scene.rollups)
    raw = sum(rollup.chain.sent_bytes for rollup in scene.rollups)
    verifying = [rollup.facts["verifying"] for rollup in scene.rollups]
    batch_bytes, share_bytes = (sum(report[name] for report in verifying) for name in ("batch_bytes", "share_bytes"))
    light = scene.facts["light"]
    return scene.figures | {
        "transactions": transactions,
        "transactions_of": {rollup.name: rollup.chain.sent for rollup in scene.rollups},
        "raw_bytes": raw,
        "batch_bytes": batch_bytes,
        "da_bytes": share_bytes,
        "compression": round(raw / batch_bytes, 2),
        "raw_to_da": round(raw / share_bytes, 2),
        "settlement_gas": gas,
        "settlement_gas_per_transaction": round(operating / settled),
        "light": {name: light[name] for name in ("bytes_received", "seconds", "cells", "confidence", "attested_height")},
        "verifying": {rollup.name: rollup.facts["verifying"] for rollup in scene.rollups},
        "verifying_bytes_received": sum(report["bytes_received"] for report in verifying),
        "verifying_seconds": round(sum(report["seconds"] for report in verifying), 3),
        "claims_checked": sum(report["claims_checked"] for report in verifying),
        "roots": {rollup.name: rollup.facts["root"] for rollup in scene.rollups},
        "seconds": {name: round(spent, 2) for name, spent in seconds.items()},
        "seconds_total": round(sum(seconds.values()), 2),
        "trusted": light["trusted"],
    }


async def settlement_gas(scene: Scene) -> dict[str, dict[str, int]]:
    """Gas and number of the settlement chain's transactions, by the function that they called."""
    names = _selectors("Settlement") | _selectors("Attestations")
    found: dict[str, dict[str, int]] = defaultdict(lambda: {"count": 0, "gas": 0})
    rpc, last = scene.base.rpc, await scene.base.height()
    for first in range(1, last + 1, BLOCKS_A_REQUEST):
        heights = [hex(height) for height in range(first, min(last + 1, first + BLOCKS_A_REQUEST))]
        blocks = await rpc.batch([("eth_getBlockByNumber", [height, True]) for height in heights])
        receipts = await rpc.batch([("eth_getBlockReceipts", [height]) for height in heights])
        calls = {tx["hash"]: tx for block in blocks for tx in block["transactions"]}
        for receipt in (receipt for block in receipts for receipt in block):
            tx = calls[receipt["transactionHash"]]
            name = "deploy" if tx["to"] is None else names.get(data(tx["input"])[:4], "other")
            found[name]["count"] += 1
            found[name]["gas"] += quantity(receipt["gasUsed"])
    return dict(found)


def _selectors(contract: str) -> dict[bytes, str]:
    functions = [entry for entry in artifact(contract).abi if entry["type"] == "function"]
    return {
        keccak256(f"{entry['name']}({','.join(map(canonical_type, entry['inputs']))})".encode())[:4]: entry["name"]
        for entry in functions
    }


def table(figures: dict[str, Any]) -> Any:
    """The figures for people, as a Rich table."""
    from rich.table import Table

    shown = Table(
        "figure", "value", title="Two settled rollups and a sovereign one, from deposit to withdrawal", title_justify="left"
    )
    light, verifying = figures["light"], figures["verifying"]
    by_rollup = ", ".join(f"{name} {count:,}" for name, count in figures["transactions_of"].items())
    rows = [
        ("transactions", f"{figures['transactions']:,} ({by_rollup})"),
        (
            "trading phase",
            f"{figures['trade_transactions']:,} from {figures['trade_accounts']} accounts, {figures['trade_per_second']:,}/s",
        ),
        ("raw bytes → batches", f"{figures['raw_bytes']:,} → {figures['batch_bytes']:,}, {figures['compression']} times smaller"),
        (
            "raw bytes → DA bytes",
            f"{figures['raw_bytes']:,} → {figures['da_bytes']:,} in whole shares, {figures['raw_to_da']} times smaller",
        ),
        (
            "settlement gas a transaction",
            f"{figures['settlement_gas_per_transaction']:,} (a plain transfer on settlement: 21,000)",
        ),
        ("light node", f"{light['bytes_received']:,} bytes, {light['seconds']} s, {light['cells']:,} cells sampled"),
        (
            "verifying nodes",
            f"{figures['verifying_bytes_received']:,} bytes, {figures['verifying_seconds']} s, "
            f"{figures['claims_checked']} claims checked",
        ),
        *(
            (f"{name}, block {report['height']}", f"{report['block_hash'][:16]}… to its sequencer and to who rebuilt it")
            for name, report in verifying.items()
        ),
        ("forced in past the sequencer", f"{figures['forced_transactions']} transaction"),
        ("withdrawn", f"{figures['withdrawn_wei'] / 10**18:g} ETH; again: refused"),
    ]
    for row in rows:
        shown.add_row(*row)
    shown.add_section()
    for name, spent in figures["seconds"].items():
        shown.add_row(name, f"{spent:.2f} s")
    shown.add_row("total", f"{figures['seconds_total']:.2f} s", style="bold")
    return shown

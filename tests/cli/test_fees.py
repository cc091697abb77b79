"""A stack whose publishing is not free: unmodified wallets pay for it, and the operator sees it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from dougong.net.jsonrpc import JsonRpc, RpcError, quantity
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.testing.wallet import Wallet
from tests.stacks import TWO_ROLLUPS, dougong, ready, up, write_stack


async def test_a_wallet_pays_for_its_place_in_a_batch_by_default(tmp_path: Path) -> None:
    prices = "[rollup.free.fees]\navailability_rate = 1e12\nleast_batch_bytes = 128\n"
    path = write_stack(tmp_path, text=TWO_ROLLUPS + prices)
    async with up(path) as process:
        facts = await ready(process)
        async with JsonRpc(facts["free"]["url"]) as node:
            wallet = Wallet(DEV_ACCOUNTS[0].secret, DEV_ACCOUNTS[0].address, quantity(await node.call("eth_chainId")))
            async with asyncio.timeout(30):
                while (tip := quantity(await node.call("eth_maxPriorityFeePerGas"))) <= 1_000_000:  # noqa: ASYNC110  over a socket
                    await asyncio.sleep(0.1)
            price = quantity(await node.call("eth_gasPrice"))
            assert price > tip
            history = await node.call("eth_feeHistory", "0x1", "latest", [50])
            assert quantity(history["reward"][0][0]) > 1_000_000
            with pytest.raises(RpcError, match="transaction gas price below minimum: gas tip cap 1, minimum needed"):
                await node.call("eth_sendRawTransaction", "0x" + wallet.transfer(b"\x01" * 20, 1, nonce=0, tip=1).hex())
            raw = wallet.transfer(b"\x01" * 20, 1, nonce=0, max_fee=2 * price, tip=tip)
            assert await node.call("eth_sendRawTransaction", "0x" + raw.hex())
        async with asyncio.timeout(30):
            while (fees := json.loads(await dougong("status", str(path), "--json"))["fees"]["free"])["batches"] == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert int(fees["revenue_wei"]) >= int(fees["cost_wei"]) > 0
        assert int(fees["availability_cost"]) > 0
        assert "free: fees" in await dougong("status", str(path))

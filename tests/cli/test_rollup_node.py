"""`dougong verifying-node --listen`: a rollup served by who rebuilt it, and transactions handed on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dougong.cli.demo.stage import Process
from dougong.net.jsonrpc import JsonRpc, RpcError, quantity
from dougong.stack.keys import DEV_ACCOUNTS
from dougong.testing.wallet import Wallet
from tests.stacks import kill, ready, up, write_stack


async def test_it_serves_what_it_rebuilt_and_hands_transactions_on(tmp_path: Path) -> None:
    path = write_stack(tmp_path)
    async with up(path) as stack:
        url = (await ready(stack))["free"]["url"]
        arguments = ("verifying-node", "free", str(path), "--folder", str(tmp_path / "node"), "--listen", "127.0.0.1:0", "--json")
        node = await Process.start("node", tmp_path, *arguments, "--sequencer", url)
        try:
            async with asyncio.timeout(60):
                event = await node.event()
            assert event["event"] == "listening"
            async with JsonRpc(url) as sequencer, JsonRpc(event["url"]) as asked:
                wallet = Wallet(DEV_ACCOUNTS[0].secret, DEV_ACCOUNTS[0].address, quantity(await asked.call("eth_chainId")))
                tx_hash = await asked.call("eth_sendRawTransaction", "0x" + wallet.transfer(b"\x01" * 20, 1, nonce=0).hex())
                async with asyncio.timeout(60):
                    while (receipt := await asked.call("eth_getTransactionReceipt", tx_hash)) is None:  # noqa: ASYNC110  over a socket
                        await asyncio.sleep(0.2)
                assert receipt == await sequencer.call("eth_getTransactionReceipt", tx_hash)
                with pytest.raises(RpcError, match=r"^eth_sendRawTransaction: nonce too low") as refused:
                    await asked.call("eth_sendRawTransaction", "0x" + wallet.transfer(b"\x02" * 20, 1, nonce=0).hex())
                assert refused.value.code == -32000
        finally:
            await kill(node)


async def test_it_serves_the_sequencers_word_as_latest_and_nothing_else_of_it(tmp_path: Path) -> None:
    path = write_stack(
        tmp_path, ("block_time_ms = 100\nbatch_interval_ms = 300", "block_time_ms = 100\nbatch_interval_ms = 60000")
    )
    async with up(path) as stack:
        url = (await ready(stack))["free"]["url"]
        arguments = ("verifying-node", "free", str(path), "--folder", str(tmp_path / "node"), "--listen", "127.0.0.1:0", "--json")
        node = await Process.start("node", tmp_path, *arguments, "--sequencer", url, "--soft")
        try:
            async with asyncio.timeout(60):
                event = await node.event()
            async with JsonRpc(url) as sequencer, JsonRpc(event["url"]) as asked:
                wallet = Wallet(DEV_ACCOUNTS[0].secret, DEV_ACCOUNTS[0].address, quantity(await asked.call("eth_chainId")))
                tx_hash = await asked.call("eth_sendRawTransaction", "0x" + wallet.transfer(b"\x01" * 20, 1, nonce=0).hex())
                async with asyncio.timeout(60):
                    while (receipt := await asked.call("eth_getTransactionReceipt", tx_hash)) is None:  # noqa: ASYNC110  over a socket
                        await asyncio.sleep(0.2)
                assert receipt == await sequencer.call("eth_getTransactionReceipt", tx_hash)
                heads = [await asked.call("eth_getBlockByNumber", tag, False) for tag in ("latest", "safe", "finalized")]
                assert [quantity(head["number"]) for head in heads] == [1, 0, 0]
        finally:
            await kill(node)

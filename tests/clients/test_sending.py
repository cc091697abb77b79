"""Sending and waiting in one call, and the methods that need a key which no node has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dougong.execution.evm.genesis import GenesisAccount
from dougong.net.codes import INVALID_PARAMS, LIMIT_EXCEEDED, METHOD_NOT_FOUND, NOT_READY, SERVER_ERROR, SYNC_TIMEOUT
from dougong.net.jsonrpc import JsonRpc, RpcError
from dougong.rpc.errors import RpcError as RpcFailure
from dougong.rpc.ethereum import EthereumApi, EthereumOptions
from dougong.rpc.throttle import Client, Throttle
from dougong.testing.wallet import Wallet
from tests.clients.world import CHAIN_ID, Node, account, our_node
from tests.rpc.world import CHAIN_ID as STILL_ID
from tests.rpc.world import World, running

ALICE = Wallet(account("sync").secret, account("sync").address, CHAIN_ID)
CAROL = Wallet.of("carol", STILL_ID)
TO = b"\x0a" * 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with our_node(tmp_path_factory.mktemp("ours")) as made:
        yield made


@pytest_asyncio.fixture
async def rpc(node: Node) -> AsyncIterator[JsonRpc]:
    async with JsonRpc(node.url) as made:
        yield made


@pytest_asyncio.fixture
async def still(tmp_path: Path) -> AsyncIterator[World]:
    """A chain that makes no blocks."""
    async with running(tmp_path, {CAROL.address: GenesisAccount(10**21)}, run=False) as made:
        yield made


async def refused(rpc: JsonRpc, method: str, *params: object) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await rpc.call(method, *params)
    return caught.value


def words_of(error: RpcError) -> str:
    """As the node said it: without the method, which the client puts before it."""
    return str(error).partition(": ")[2]


async def test_a_receipt_comes_back_and_many_wait_at_a_time(rpc: JsonRpc) -> None:
    raws = [ALICE.transfer(TO, 1, nonce=nonce) for nonce in range(40)]
    receipts: list[Any] = await asyncio.gather(*(rpc.call("eth_sendRawTransactionSync", "0x" + raw.hex()) for raw in raws))
    for receipt in receipts:
        assert receipt == await rpc.call("eth_getTransactionReceipt", receipt["transactionHash"])
        assert receipt["status"] == "0x1"
    error = await refused(rpc, "eth_sendRawTransactionSync", "0x" + raws[0].hex(), 1_000)
    assert (error.code, words_of(error)) == (SERVER_ERROR, "nonce too low: next nonce 40, tx nonce 0")
    behind = ALICE.transfer(TO, 1, nonce=41)
    error = await refused(rpc, "eth_sendRawTransactionSync", "0x" + behind.hex())
    assert error.code == NOT_READY
    found = await rpc.call("eth_getTransactionByHash", error.data)
    assert (found["nonce"], found["blockHash"]) == ("0x29", None)


async def test_who_waits_in_vain_is_told_in_time(still: World) -> None:
    raws = ["0x" + CAROL.transfer(TO, 1, nonce=nonce).hex() for nonce in range(3)]
    async with JsonRpc(still.url) as rpc:
        for raw, timeout, words in ((raws[0], 20, "20ms"), (raws[1], "0x1e", "30ms"), (raws[2], 1_500, "1.5s")):
            error = await refused(rpc, "eth_sendRawTransactionSync", raw, timeout)
            assert error.code == SYNC_TIMEOUT
            assert words_of(error) == f"The transaction was added to the transaction pool but wasn't processed in {words}"
            assert (await rpc.call("eth_getTransactionByHash", error.data))["hash"] == error.data
        wrong: list[object] = [-1, hex(2**64), "soon", True, [], 1.5]
        for given in wrong:
            assert (await refused(rpc, "eth_sendRawTransactionSync", raws[0], given)).code == INVALID_PARAMS


async def test_places_to_wait_are_few_and_come_back(still: World) -> None:
    api = EthereumApi(still.backend, EthereumOptions(sync_places=2, most_sync_seconds=0.5))
    sending = api.methods.get("eth_sendRawTransactionSync")
    assert sending is not None
    raws = ["0x" + CAROL.transfer(TO, 1, nonce=nonce).hex() for nonce in range(4)]
    clients = [Throttle().client(f"192.0.2.{number}") for number in range(3)]

    async def codes(askers: list[Client]) -> list[int]:
        asked = (sending.handler(asker, *sending.bind([raw, 10_000])) for asker, raw in zip(askers, raws, strict=False))
        ended = await asyncio.gather(*asked, return_exceptions=True)
        return sorted(error.code for error in ended if isinstance(error, RpcFailure))

    assert await codes(clients) == sorted([LIMIT_EXCEEDED, SYNC_TIMEOUT, SYNC_TIMEOUT])
    cancelled = asyncio.ensure_future(sending.handler(clients[0], *sending.bind([raws[3], 10_000])))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    async with asyncio.timeout(5):
        with pytest.raises(Exception, match=r"already known|wasn't processed"):
            await sending.handler(clients[0], *sending.bind([raws[0], 10]))
    api.close()


async def test_one_client_has_a_part_of_the_places_to_wait(still: World) -> None:
    """He could fill them with transactions that he replaces himself, each of which waits for ever."""
    raws = ["0x" + CAROL.transfer(TO, 1, nonce=number).hex() for number in range(3)]
    api = EthereumApi(still.backend, EthereumOptions(sync_places=4, most_sync_seconds=0.5))
    sending = api.methods.get("eth_sendRawTransactionSync")
    assert sending is not None
    greedy, other = (Throttle().client(f"192.0.2.{number}") for number in range(2))
    asked = [sending.handler(client, *sending.bind([raw, 10_000])) for client, raw in zip([greedy] * 3, raws, strict=True)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [error.code for error in ended if isinstance(error, RpcFailure)] == [SYNC_TIMEOUT, SYNC_TIMEOUT, LIMIT_EXCEEDED]
    with pytest.raises(RpcFailure, match="wasn't processed"):
        await sending.handler(other, *sending.bind([raws[2], 10]))
    api.close()


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("eth_sign", ["0x" + "0a" * 20, "0x01"], "unknown account"),
        ("eth_sendTransaction", [{"from": "0x" + "0a" * 20, "to": "0x" + "0b" * 20, "value": "0x1"}], "unknown account"),
        ("eth_signTransaction", [{"from": "0x" + "0a" * 20}], "gas not specified"),
        ("eth_signTransaction", [{"gas": "0x1"}], "missing gasPrice or maxFeePerGas/maxPriorityFeePerGas"),
        ("eth_signTransaction", [{"gas": "0x1", "gasPrice": "0x1"}], "nonce not specified"),
        ("eth_signTransaction", [{"gas": "0x1", "gasPrice": "0x1", "nonce": "0x0"}], "unknown account"),
    ],
)
async def test_no_node_signs(rpc: JsonRpc, method: str, params: list[Any], words: str) -> None:
    error = await refused(rpc, method, *params)
    assert (error.code, words_of(error)) == (SERVER_ERROR, words)


@pytest.mark.parametrize(
    "method",
    [
        *("personal_sign", "personal_unlockAccount", "wallet_addEthereumChain", "wallet_switchEthereumChain", "miner_start"),
        *("admin_addPeer", "evm_mine", "anvil_setBalance", "hardhat_setCode", "debug_setHead", "engine_newPayloadV4"),
        *("eth_", "ETH_chainId", "eth_chainId\0", "eth_\ud7ff"),
    ],
)
async def test_what_is_not_here_is_not_found(rpc: JsonRpc, method: str) -> None:
    assert (await refused(rpc, method, "0x01")).code == METHOD_NOT_FOUND

"""Why a call is not executed, in the words that go-ethereum has for it."""

from __future__ import annotations

from eth_utils.address import to_checksum_address

from dougong.net.codes import SERVER_ERROR
from tests.rpc.simulate.world import A, B, Caller


async def test_a_call_that_cannot_begin_is_refused_in_geths_words(node: Caller) -> None:
    poor = {"from": A, "to": B, "value": hex(10**18)}
    words = f"insufficient funds for gas * price + value: address {to_checksum_address(A)} have 0 want {10**18}"
    assert await node.error("eth_call", poor, "latest") == (SERVER_ERROR, words)
    assert await node.error("eth_estimateGas", poor, "latest") == (SERVER_ERROR, words)
    short = {"from": A, "to": B, "gas": hex(20_999)}
    assert await node.error("eth_call", short, "latest") == (SERVER_ERROR, "intrinsic gas too low: have 20999, want 21000")
    under = {"from": A, "to": B, "gas": hex(23_000), "data": "0x" + "11" * 100}
    words = "insufficient gas for floor data gas cost: have 23000, want 25000"
    assert await node.error("eth_call", under, "latest") == (SERVER_ERROR, words)
    upside_down = {"from": A, "to": B, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}
    assert (await node.error("eth_call", upside_down, "latest"))[0] == SERVER_ERROR

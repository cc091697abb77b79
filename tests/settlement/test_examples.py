"""The example token and exchange do what a user would count on, and no more."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

import pytest

from dougong.contracts import artifact
from dougong.errors import Rejected
from dougong.net.jsonrpc import quantity
from dougong.settlement.contract import Contract, deploy
from tests.settlement.world import ETHER, World, key_of

LATER = 2**64
MAX = 2**256 - 1


@dataclass
class Market:
    """A token of `owner`'s and an exchange for it, with 10 ether and 40,000 tokens in it."""

    world: World
    token: bytes
    exchange: bytes

    async def as_(self, role: str) -> tuple[Contract, Contract]:
        transactor = await self.world.transactor(role)
        return (
            Contract(self.world.rpc, self.token, artifact("Token"), transactor),
            Contract(self.world.rpc, self.exchange, artifact("Exchange"), transactor),
        )

    async def reserves(self) -> tuple[int, int]:
        _, exchange = await self.as_("maker")
        return await exchange.ask("ether_reserve"), await exchange.ask("token_reserve")


@pytest.fixture
async def market(world: World) -> Market:
    maker = await world.transactor("maker")
    token = await deploy(maker, artifact("Token"), "Dougong Coin", "DOU", 1_000_000 * ETHER)
    exchange = await deploy(maker, artifact("Exchange"), token.address)
    await token.send("approve", exchange.address, MAX)
    await exchange.send("add_liquidity", 40_000 * ETHER, 0, LATER, value=10 * ETHER)
    return Market(world, token.address, exchange.address)


async def test_the_token_is_an_erc20(world: World) -> None:
    owner, friend = await world.transactor("maker"), await world.transactor("friend")
    token = await deploy(owner, artifact("Token"), "Dougong Coin", "DOU", 100)
    theirs = Contract(world.rpc, token.address, artifact("Token"), friend)
    assert await token.ask_all([("name", []), ("symbol", []), ("decimals", []), ("totalSupply", [])]) == [
        "Dougong Coin",
        "DOU",
        18,
        100,
    ]
    await token.send("transfer", friend.address, 40)
    with pytest.raises(Rejected, match="balance too low"):
        await theirs.send("transfer", owner.address, 41)
    with pytest.raises(Rejected, match="allowance too low"):
        await theirs.send("transferFrom", owner.address, friend.address, 1)
    receipt = await token.send("approve", friend.address, 10)
    assert token.event(receipt, "Approval") == {"owner": owner.address, "spender": friend.address, "value": 10}
    receipt = await theirs.send("transferFrom", owner.address, b"\x0a" * 20, 7)
    assert token.event(receipt, "Transfer") == {"sender": owner.address, "receiver": b"\x0a" * 20, "value": 7}
    assert await token.ask("allowance", owner.address, friend.address) == 3
    with pytest.raises(Rejected, match="no recipient"):
        await theirs.send("transfer", bytes(20), 1)
    with pytest.raises(Rejected, match="only the issuer"):
        await theirs.send("mint", friend.address, 1)
    await token.send("mint", friend.address, 5)
    balances = [await token.ask("balanceOf", holder) for holder in (owner.address, friend.address, b"\x0a" * 20)]
    assert (balances, await token.ask("totalSupply")) == ([53, 45, 7], 105)
    with pytest.raises(Rejected):
        await token.send("mint", friend.address, MAX)


async def test_swaps_follow_the_curve_and_pay_the_fee(market: Market) -> None:
    _, exchange = await market.as_("trader")
    token, _ = await market.as_("trader")
    trader = key_of("trader").address
    x, y = await market.reserves()
    expected = ETHER * 997 * y // (x * 1000 + ETHER * 997)
    assert await exchange.ask("quote_ether", ETHER) == expected
    with pytest.raises(Rejected, match="below the minimum"):
        await exchange.send("swap_ether", expected + 1, LATER, value=ETHER)
    with pytest.raises(Rejected, match="too late"):
        await exchange.send("swap_ether", 0, 1, value=ETHER)
    with pytest.raises(Rejected, match="nothing to swap"):
        await exchange.send("swap_ether", 0, LATER)
    await exchange.send("swap_ether", expected, LATER, value=ETHER)
    assert await token.ask("balanceOf", trader) == expected
    after = await market.reserves()
    assert after == (x + ETHER, y - expected)
    assert after[0] * after[1] > x * y

    with pytest.raises(Rejected, match="allowance too low"):
        await exchange.send("swap_tokens", expected, 0, LATER)
    await token.send("approve", market.exchange, expected)
    back = await exchange.ask("quote_tokens", expected)
    await exchange.send("swap_tokens", expected, back, LATER)
    assert back < ETHER, "there and back costs two fees"
    final = await market.reserves()
    assert final[0] * final[1] > after[0] * after[1]
    held = quantity(await market.world.rpc.call("eth_getBalance", "0x" + market.exchange.hex(), "latest"))
    assert (held, await token.ask("balanceOf", market.exchange)) == final


async def test_the_product_never_falls(market: Market) -> None:
    traders = [await market.as_(f"trader {n}") for n in range(3)]
    maker, _ = await market.as_("maker")
    for token, _ in traders:
        await token.send("approve", market.exchange, MAX)
    for n in range(3):
        await maker.send("transfer", key_of(f"trader {n}").address, 5_000 * ETHER)
    product = math.prod(await market.reserves())
    for size in (1, 10**6, ETHER // 3):
        await asyncio.gather(*(exchange.send("swap_ether", 0, LATER, value=size) for _, exchange in traders))
        await asyncio.gather(*(exchange.send("swap_tokens", size * 4000, 0, LATER) for _, exchange in traders))
        now = math.prod(await market.reserves())
        assert now >= product
        product = now


async def test_liquidity_comes_back_with_its_share_of_the_fees(market: Market) -> None:
    token, exchange = await market.as_("provider")
    maker, _ = await market.as_("maker")
    provider = key_of("provider").address
    await maker.send("transfer", provider, 50_000 * ETHER)
    await token.send("approve", market.exchange, MAX)
    with pytest.raises(Rejected, match="more tokens than allowed"):
        await exchange.send("add_liquidity", 39_999 * ETHER, 0, LATER, value=10 * ETHER)
    await exchange.send("add_liquidity", 50_000 * ETHER, 0, LATER, value=10 * ETHER)
    assert await market.reserves() == (20 * ETHER, 80_000 * ETHER)
    assert await token.ask("balanceOf", provider) == 10_000 * ETHER
    share = await exchange.ask("liquidity", provider)
    with pytest.raises(Rejected, match="more than provided"):
        await exchange.send("remove_liquidity", share + 1, 0, 0, LATER)
    _, trading = await market.as_("trader")
    await trading.send("swap_ether", 0, LATER, value=2 * ETHER)
    receipt = await exchange.send("remove_liquidity", share, 0, 0, LATER)
    out = exchange.event(receipt, "LiquidityRemoved")
    assert out["ether_out"] * out["tokens_out"] > 10 * ETHER * 40_000 * ETHER
    assert await exchange.ask("liquidity", provider) == 0


async def test_the_first_provider_cannot_make_shares_unaffordable(world: World) -> None:
    """Start with dust, then give ether away to raise a share's price: the locked shares carry most of the gift."""
    maker = await world.transactor("maker")
    token = await deploy(maker, artifact("Token"), "Dougong Coin", "DOU", 1_000 * ETHER)
    exchange = await deploy(maker, artifact("Exchange"), token.address)
    await token.send("approve", exchange.address, MAX)
    with pytest.raises(Rejected, match="too little to start"):
        await exchange.send("add_liquidity", 1000, 0, LATER, value=1000)
    with pytest.raises(Rejected, match="no liquidity"):
        await exchange.send("swap_ether", 0, LATER, value=1)
    await exchange.send("add_liquidity", 2000, 0, LATER, value=2000)
    with pytest.raises(Rejected):
        await maker.send(exchange.address, b"", ETHER)
    await token.send("transfer", exchange.address, ETHER)
    assert await exchange.ask_all([("ether_reserve", []), ("token_reserve", [])]) == [2000, 2000], "gifts move no price"
    with pytest.raises(Rejected, match="too little liquidity"):
        await exchange.send("add_liquidity", MAX, 0, LATER)

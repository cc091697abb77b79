"""What the traders do: transfers, approvals and swaps, each one signed by its own account.

    traders = make_accounts(100)
    orders = trades(traders, market, 1_000, Random(1))
    raw = signed(orders, chain_id=901)

Deterministic for a seed, so that two runs of the demo send the same bytes. An account's orders come in the order of its nonces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from eth_abi.abi import encode

from dougong._native import sign_transactions
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key

__all__ = ["ETHER", "GWEI", "Account", "Market", "Order", "call", "make_accounts", "order", "signed", "spread", "trades"]

GWEI = 10**9
ETHER = 10**18
MAX_FEE = 25 * GWEI
PRIORITY_FEE = GWEI
NEVER = 2**256 - 1
TRANSFER_GAS, TOKEN_GAS, APPROVE_GAS, SWAP_GAS = 21_000, 70_000, 60_000, 140_000


@dataclass(slots=True, eq=False)
class Account:
    """A key and the nonce of its next transaction on one chain."""

    key: Secp256k1Key
    nonce: int = 0

    @property
    def address(self) -> bytes:
        return self.key.address


@dataclass(frozen=True, slots=True)
class Market:
    """Where the token and its exchange are on one chain."""

    token: bytes
    exchange: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """A transaction before it is signed. `to` is None when it creates a contract."""

    kind: str
    account: Account
    nonce: int
    to: bytes | None
    value: int
    data: bytes
    gas: int


def make_accounts(count: int, label: str = "trader") -> list[Account]:
    """Accounts whose keys follow from the label: known to everyone, as the whole demo is."""
    return [Account(Secp256k1Key(hashlib.sha256(f"dougong/demo/{label}/{number}".encode()).digest())) for number in range(count)]


def order(kind: str, account: Account, to: bytes | None, *, value: int = 0, data: bytes = b"", gas: int = TRANSFER_GAS) -> Order:
    """Takes the account's next nonce."""
    account.nonce += 1
    return Order(kind, account, account.nonce - 1, to, value, data, gas)


def call(signature: str, *arguments: object) -> bytes:
    """Calldata: `call("transfer(address,uint256)", recipient, 1)`."""
    kinds = signature[signature.index("(") + 1 : -1]
    return keccak256(signature.encode())[:4] + encode(kinds.split(",") if kinds else [], arguments)


def spread(giver: Account, receivers: Sequence[Account], *, ether: int = 0, token: bytes = b"", tokens: int = 0) -> list[Order]:
    """Ether (wei) and tokens from one account to many."""
    orders: list[Order] = []
    for receiver in receivers:
        if ether:
            orders.append(order("transfer", giver, receiver.address, value=ether))
        if tokens:
            data = call("transfer(address,uint256)", receiver.address, tokens)
            orders.append(order("token transfer", giver, token, data=data, gas=TOKEN_GAS))
    return orders


def trades(accounts: Sequence[Account], market: Market, count: int, random: Random) -> list[Order]:
    """`count` orders, the accounts taking turns: each first approves the exchange, then transfers and swaps."""
    orders = [_approval(account, market) for account in accounts[:count]]
    turns = _turns(accounts)
    while len(orders) < count:
        make = random.choices(_CHOICES, _WEIGHTS)[0]
        orders.append(make(next(turns), market, accounts, random))
    return orders


def _turns(accounts: Sequence[Account]) -> Iterator[Account]:
    while True:
        yield from accounts


def _approval(account: Account, market: Market) -> Order:
    return order(
        "approval", account, market.token, data=call("approve(address,uint256)", market.exchange, NEVER), gas=APPROVE_GAS
    )


def _transfer(account: Account, market: Market, others: Sequence[Account], random: Random) -> Order:
    return order("transfer", account, random.choice(others).address, value=random.randrange(1, 10**6) * GWEI)


def _token_transfer(account: Account, market: Market, others: Sequence[Account], random: Random) -> Order:
    data = call("transfer(address,uint256)", random.choice(others).address, random.randrange(1, 10**6) * GWEI)
    return order("token transfer", account, market.token, data=data, gas=TOKEN_GAS)


def _sale_of_ether(account: Account, market: Market, others: Sequence[Account], random: Random) -> Order:
    data = call("swap_ether(uint256,uint256)", 1, NEVER)
    return order("swap", account, market.exchange, value=random.randrange(10**3, 10**6) * GWEI, data=data, gas=SWAP_GAS)


def _sale_of_tokens(account: Account, market: Market, others: Sequence[Account], random: Random) -> Order:
    data = call("swap_tokens(uint256,uint256,uint256)", random.randrange(10**3, 10**6) * GWEI, 1, NEVER)
    return order("swap", account, market.exchange, data=data, gas=SWAP_GAS)


_CHOICES: tuple[Callable[[Account, Market, Sequence[Account], Random], Order], ...] = (
    _transfer,
    _token_transfer,
    _sale_of_ether,
    _sale_of_tokens,
)
_WEIGHTS = (4, 2, 2, 2)


def signed(orders: Sequence[Order], chain_id: int) -> list[bytes]:
    """EIP-1559 transactions in the orders' order, signed on all cores."""
    return sign_transactions([_fields(one, chain_id) for one in orders], [one.account.key.secret for one in orders])


def _fields(one: Order, chain_id: int) -> str:
    fields = {
        "type": "0x2",
        "chainId": hex(chain_id),
        "nonce": hex(one.nonce),
        "gas": hex(one.gas),
        "maxFeePerGas": hex(MAX_FEE),
        "maxPriorityFeePerGas": hex(PRIORITY_FEE),
        "value": hex(one.value),
        "input": "0x" + one.data.hex(),
    }
    if one.to is not None:
        fields["to"] = "0x" + one.to.hex()
    return json.dumps(fields)

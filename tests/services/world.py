"""What the service tests stand on: real EVM stores, funded accounts, signed transactions."""

from __future__ import annotations

import json
from pathlib import Path

from dougong._native import Evm, sign_transactions
from dougong.contracts import artifact
from dougong.contracts.abi import Abi
from dougong.contracts.predeploys import OUTBOX_ADDRESS, outbox
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key
from dougong.execution.evm.genesis import GenesisAccount, make_genesis
from dougong.services.rollup.chain import RollupChain

CHAIN_ID = 7_001
GWEI = 10**9
ETHER = 10**18
GENESIS_TIME = 1_700_000_000
USERS = [Secp256k1Key(keccak256(b"user %d" % number)) for number in range(8)]
# Their accounts have code, so that only execution finds out that they may send nothing (EIP-3607).
CODED = [Secp256k1Key(keccak256(b"coded %d" % number)) for number in range(4)]
RECIPIENT = b"\x77" * 20


def genesis(*, funded: bool = True, gas_limit: int = 60_000_000) -> str:
    predeploy = outbox()
    alloc = {predeploy.address: GenesisAccount(nonce=1, code=predeploy.code, storage=predeploy.storage)}
    if funded:
        alloc |= {user.address: GenesisAccount(balance=1_000 * ETHER) for user in USERS}
        alloc |= {user.address: GenesisAccount(balance=1_000 * ETHER, code=b"\x00") for user in CODED}
    return make_genesis(CHAIN_ID, alloc, gas_limit=gas_limit, timestamp=GENESIS_TIME)


async def new_chain(path: Path, *, funded: bool = True) -> RollupChain:
    return await RollupChain.open(Evm(str(path), genesis(funded=funded)))


def signed(user: Secp256k1Key, nonce: int, *, to: bytes | None, gas: int, value: int = 0, data: bytes = b"") -> bytes:
    return _sign(user, [_fields(nonce, to=to, gas=gas, value=value, data=data)])[0]


def transfers(
    user: Secp256k1Key,
    first_nonce: int,
    count: int,
    *,
    value: int = GWEI,
    data: bytes = b"",
    gas: int = 0,
    fee: int = 10 * GWEI,
) -> list[bytes]:
    limit = gas or 21_000 + 40 * len(data)
    return _sign(user, [_fields(first_nonce + n, to=RECIPIENT, gas=limit, value=value, data=data, fee=fee) for n in range(count)])


def burning(user: Secp256k1Key, nonce: int) -> bytes:
    """Uses up 20 million gas: a deployment whose code is an endless loop."""
    return signed(user, nonce, to=None, gas=20_000_000, data=bytes.fromhex("5b600056"))


def outbox_withdrawal(user: Secp256k1Key, nonce: int, recipient: bytes, value: int) -> bytes:
    """A rollup transaction that sends ether home."""
    data = Abi(artifact("Outbox")).call("withdraw", recipient)
    return signed(user, nonce, to=OUTBOX_ADDRESS, gas=2_000_000, value=value, data=data)


def _fields(nonce: int, *, to: bytes | None, gas: int, value: int, data: bytes, fee: int = 10 * GWEI) -> str:
    fields = {
        "type": "0x2",
        "chainId": hex(CHAIN_ID),
        "nonce": hex(nonce),
        "value": hex(value),
        "gas": hex(gas),
        "maxFeePerGas": hex(fee),
        "maxPriorityFeePerGas": hex(fee // 10),
        "data": "0x" + data.hex(),
    }
    if to is not None:
        fields["to"] = "0x" + to.hex()
    return json.dumps(fields)


def _sign(user: Secp256k1Key, fields: list[str]) -> list[bytes]:
    return sign_transactions(fields, [user.secret] * len(fields))

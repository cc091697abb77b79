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
from dougong.services.chain import RollupChain

CHAIN_ID = 7_001
GWEI = 10**9
ETHER = 10**18
GENESIS_TIME = 1_700_000_000
USERS = [Secp256k1Key(keccak256(b"user %d" % number)) for number in range(8)]
RECIPIENT = b"\x77" * 20


def genesis(*, funded: bool = True, gas_limit: int = 60_000_000) -> str:
    predeploy = outbox()
    alloc = {predeploy.address: GenesisAccount(nonce=1, code=predeploy.code, storage=predeploy.storage)}
    if funded:
        alloc |= {user.address: GenesisAccount(balance=1_000 * ETHER) for user in USERS}
    return make_genesis(CHAIN_ID, alloc, gas_limit=gas_limit, timestamp=GENESIS_TIME)


async def new_chain(path: Path, *, funded: bool = True) -> RollupChain:
    return await RollupChain.open(Evm(str(path), genesis(funded=funded)))


def outbox_withdrawal(user: Secp256k1Key, nonce: int, recipient: bytes, value: int) -> bytes:
    """A rollup transaction that sends ether home."""
    fields = {
        "type": "0x2",
        "chainId": hex(CHAIN_ID),
        "nonce": hex(nonce),
        "to": "0x" + OUTBOX_ADDRESS.hex(),
        "value": hex(value),
        "gas": hex(2_000_000),
        "maxFeePerGas": hex(10 * GWEI),
        "maxPriorityFeePerGas": hex(GWEI),
        "data": "0x" + Abi(artifact("Outbox")).call("withdraw", recipient).hex(),
    }
    return sign_transactions([json.dumps(fields)], [user.secret])[0]


def transfers(
    user: Secp256k1Key, first_nonce: int, count: int, *, value: int = GWEI, data: bytes = b"", fee: int = 10 * GWEI
) -> list[bytes]:
    fields = [
        json.dumps(
            {
                "type": "0x2",
                "chainId": hex(CHAIN_ID),
                "nonce": hex(first_nonce + number),
                "to": "0x" + RECIPIENT.hex(),
                "value": hex(value),
                "gas": hex(21_000 + 40 * len(data)),
                "maxFeePerGas": hex(fee),
                "maxPriorityFeePerGas": hex(fee // 10),
                "data": "0x" + data.hex(),
            }
        )
        for number in range(count)
    ]
    return sign_transactions(fields, [user.secret] * count)

"""The genesis document of an EVM chain, in geth's format, at Prague from block 0.

    document = make_genesis(chain_id=4201, alloc={address: GenesisAccount(balance=10**24)}, gas_limit=60_000_000)

Sources: go-ethereum `core/genesis.go`; EIP-4788 and EIP-2935 for the two system contracts that every block calls. The
deposit, withdrawal and consolidation request contracts of Ethereum's beacon chain have no meaning here and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from dougong.errors import ConfigError
from dougong.types import ADDRESS_BYTES, ZERO_HASH

__all__ = ["SYSTEM_CONTRACTS", "GenesisAccount", "make_genesis"]

DEFAULT_GAS_LIMIT = 60_000_000
INITIAL_BASE_FEE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """An account that exists before the first block. Balance in wei; storage maps 32-byte slots to 32-byte values."""

    balance: int = 0
    nonce: int = 0
    code: bytes = b""
    storage: Mapping[bytes, bytes] = field(default_factory=dict)


BEACON_ROOTS_ADDRESS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
HISTORY_STORAGE_ADDRESS = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")

SYSTEM_CONTRACTS: Mapping[bytes, GenesisAccount] = {
    BEACON_ROOTS_ADDRESS: GenesisAccount(
        nonce=1,
        code=bytes.fromhex(
            "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff81069081"
            "5414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
        ),
    ),
    HISTORY_STORAGE_ADDRESS: GenesisAccount(
        nonce=1,
        code=bytes.fromhex(
            "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff8143031160"
            "4257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
        ),
    ),
}


def make_genesis(
    chain_id: int,
    alloc: Mapping[bytes, GenesisAccount],
    *,
    gas_limit: int = DEFAULT_GAS_LIMIT,
    timestamp: int = 0,
    base_fee: int = INITIAL_BASE_FEE,
    fee_recipient: bytes = bytes(ADDRESS_BYTES),
    extra_data: bytes = b"",
    outbox_slot: int = 0,
) -> str:
    """The document as JSON with sorted keys, so that equal chains have equal documents.

    `alloc` maps 20-byte addresses; the system contracts are added to it. `timestamp` in seconds, `base_fee` (of block 0) in wei;
    `outbox_slot` is where the outbox predeploy keeps its root (docs/spec/derivation.md). Raises `ConfigError` for values that
    no chain can start from.
    """
    _check("chain_id", chain_id, 1, 2**53 - 1)  # wallets hold it in a JavaScript number
    _check("gas_limit", gas_limit, 5_000, 2**63 - 1)
    _check("timestamp", timestamp, 0, 2**63 - 1)
    _check("base_fee", base_fee, 1, 2**64 - 1)
    _check("outbox_slot", outbox_slot, 0, 2**256 - 1)
    if len(fee_recipient) != ADDRESS_BYTES:
        raise ConfigError(f"the fee recipient is an address of {ADDRESS_BYTES} bytes, not {len(fee_recipient)}")
    if len(extra_data) > 32:
        raise ConfigError(f"extra data is at most 32 bytes, not {len(extra_data)}")
    document = {
        "config": {
            "chainId": chain_id,
            **{f"{fork}Block": 0 for fork in _BLOCK_FORKS},
            "terminalTotalDifficulty": 0,
            "shanghaiTime": 0,
            "cancunTime": 0,
            "pragueTime": 0,
            "dougong": {"outboxSlot": hex(outbox_slot)},
        },
        "alloc": {_hex(address): _account(address, account) for address, account in {**SYSTEM_CONTRACTS, **alloc}.items()},
        "baseFeePerGas": hex(base_fee),
        "blobGasUsed": "0x0",
        "coinbase": _hex(fee_recipient),
        "difficulty": "0x0",
        "excessBlobGas": "0x0",
        "extraData": _hex(extra_data),
        "gasLimit": hex(gas_limit),
        "gasUsed": "0x0",
        "mixHash": _hex(ZERO_HASH),
        "nonce": "0x0",
        "number": "0x0",
        "parentHash": _hex(ZERO_HASH),
        "timestamp": hex(timestamp),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


_BLOCK_FORKS = (
    "homestead",
    "eip150",
    "eip155",
    "eip158",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
    "london",
)


def _account(address: bytes, account: GenesisAccount) -> dict[str, object]:
    if len(address) != ADDRESS_BYTES:
        raise ConfigError(f"the genesis account {_hex(address)} is not an address of {ADDRESS_BYTES} bytes")
    _check(f"the balance of {_hex(address)}", account.balance, 0, 2**256 - 1)
    _check(f"the nonce of {_hex(address)}", account.nonce, 0, 2**64 - 2)
    fields: dict[str, object] = {"balance": hex(account.balance), "nonce": hex(account.nonce)}
    if account.code:
        fields["code"] = _hex(account.code)
    if account.storage:
        if any(len(slot) != 32 or len(value) != 32 for slot, value in account.storage.items()):
            raise ConfigError(f"storage of {_hex(address)} maps 32-byte slots to 32-byte values")
        fields["storage"] = {_hex(slot): _hex(value) for slot, value in account.storage.items() if any(value)}
    return fields


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} must be between {low} and {high}, not {value}")


def _hex(data: bytes) -> str:
    return "0x" + data.hex()

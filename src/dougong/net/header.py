"""The fields of an Ethereum block header, from its JSON-RPC form: what its RLP, and so the block's hash, is made of.

    block_hash = keccak256(rlp.encode(header_fields(await node.call("eth_getBlockByNumber", "latest", False))))

Source: Ethereum yellow paper 4.4; EIP-1559, EIP-4399, EIP-4788, EIP-4844, EIP-4895, EIP-7685, EIP-7928.
"""

from __future__ import annotations

from collections.abc import Mapping

from dougong.net.jsonrpc import data, quantity

__all__ = ["header_fields"]

_NUMBER = 0
_ANY = None

# Name in JSON-RPC, and size in bytes, in the order of the header.
_FIELDS: tuple[tuple[str, int | None], ...] = (
    ("parentHash", 32),
    ("sha3Uncles", 32),
    ("miner", 20),
    ("stateRoot", 32),
    ("transactionsRoot", 32),
    ("receiptsRoot", 32),
    ("logsBloom", 256),
    ("difficulty", _NUMBER),
    ("number", _NUMBER),
    ("gasLimit", _NUMBER),
    ("gasUsed", _NUMBER),
    ("timestamp", _NUMBER),
    ("extraData", _ANY),
    ("mixHash", 32),
    ("nonce", 8),
)
# What later forks appended is there or is not; what is there counts.
_LATER: tuple[tuple[str, int | None], ...] = (
    ("baseFeePerGas", _NUMBER),
    ("withdrawalsRoot", 32),
    ("blobGasUsed", _NUMBER),
    ("excessBlobGas", _NUMBER),
    ("parentBeaconBlockRoot", 32),
    ("requestsHash", 32),
    ("blockAccessListHash", 32),
)


def header_fields(block: Mapping[str, object]) -> list[bytes | int]:
    """In their order, ready for RLP. Raises `InvalidInput`; whether they are a block's own, only its hash tells."""
    there = [*_FIELDS, *(field for field in _LATER if block.get(field[0]) is not None)]
    return [quantity(block.get(name)) if size == _NUMBER else data(block.get(name), size) for name, size in there]

"""An Ethereum block as the layer needs it: who published which blobs, derived from nothing but the block's hash.

    block = read_block(answer)                          # of eth_getBlockByNumber, with whole transactions
    block.header.transactions                           # sender and versioned hashes, in order

1. The header's fields, as RLP, must hash to the block hash.
2. The transactions, encoded again, must have the header's transactions root. (Anvil, as of 1.7, hashes blob transactions with
   their sidecars, and shows these in its answer: then they are encoded so. No other chain can have such a root.)
3. Of the blob transactions among them the senders are recovered from the signatures.
4. They must account for all blob gas that the header says was used.

That this block hash is the chain's is the node's word: it is asked for final blocks, as settlement's client asks it. Sources:
Ethereum yellow paper 4.3; EIP-155, EIP-1559, EIP-2718, EIP-2930, EIP-4399, EIP-4788, EIP-4844, EIP-4895, EIP-7685, EIP-7702.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dougong._native import TxInfo, decode_transactions, transactions_root
from dougong.availability.kzg.params import GAS_PER_BLOB
from dougong.availability.kzg.proofs import verify_header
from dougong.availability.kzg.roots import block_data_root
from dougong.codec import rlp
from dougong.codec.blob_transaction import network_form
from dougong.crypto.hashing import keccak256
from dougong.errors import InvalidHeader, InvalidInput
from dougong.net.header import header_fields
from dougong.net.jsonrpc import data, quantity
from dougong.types import BlobsHeader, BlobTransaction

__all__ = ["EthereumBlock", "read_block"]

BLOB_TX_TYPE = 3


@dataclass(frozen=True, slots=True)
class EthereumBlock:
    """A block that has been checked against its hash. `raw` are its blob transactions as they were signed (EIP-2718), side by
    side with `header.transactions`; `timestamp` in seconds."""

    header: BlobsHeader
    block_hash: bytes
    timestamp: int
    raw: tuple[bytes, ...]

    @property
    def versioned_hashes(self) -> tuple[bytes, ...]:
        """Of all blobs, row by row."""
        return tuple(one for tx in self.header.transactions for one in tx.versioned_hashes)

    def first_row(self, index: int) -> int:
        """The row of the first blob of blob transaction `index`."""
        return sum(len(tx.versioned_hashes) for tx in self.header.transactions[:index])


def read_block(answer: object) -> EthereumBlock:
    """The block in a node's answer. Raises `InvalidHeader` unless everything in it follows from its block hash."""
    if not isinstance(answer, dict):
        raise InvalidHeader("a block is a JSON object")
    try:
        return _read_block(answer)
    except InvalidHeader:
        raise
    except InvalidInput as error:
        raise InvalidHeader(f"a block does not parse: {error}") from error


def _read_block(answer: dict[str, Any]) -> EthereumBlock:
    number, block_hash = quantity(answer.get("number")), data(answer.get("hash"), 32)
    if keccak256(rlp.encode(header_fields(answer))) != block_hash:
        raise InvalidHeader(f"the header of block {number} does not hash to its block hash")
    listed = _values(answer, "transactions")
    raw = [encode_transaction(tx) for tx in listed]
    if data(answer["transactionsRoot"], 32) not in (transactions_root(raw), _root_with_sidecars(listed, raw)):
        raise InvalidHeader(f"the transactions of block {number} are not those of its header")
    carriers = tuple(tx for tx in raw if tx[0] == BLOB_TX_TYPE)
    transactions = tuple(_read(tx, number) for tx in carriers)
    if GAS_PER_BLOB * sum(len(tx.versioned_hashes) for tx in transactions) != quantity(answer.get("blobGasUsed") or "0x0"):
        raise InvalidHeader(f"the blobs of block {number} are not those that its header accounts for")
    timestamp = quantity(answer["timestamp"])
    header = BlobsHeader(number, timestamp * 10**9, block_data_root(transactions), transactions)
    verify_header(header)
    return EthereumBlock(header, block_hash, timestamp, carriers)


def encode_transaction(tx: object) -> bytes:
    """The EIP-2718 encoding of a transaction from its JSON-RPC object. Raises `InvalidInput`."""
    if not isinstance(tx, dict):
        raise InvalidInput("a block's transactions are needed whole, not as hashes")
    kind = quantity(tx.get("type", "0x0"))
    if kind not in _PAYLOADS:
        raise InvalidInput(f"transactions of type {kind} are not known here")
    payload = rlp.encode(_PAYLOADS[kind](tx))
    return payload if kind == 0 else bytes([kind]) + payload


def _root_with_sidecars(transactions: Sequence[Any], raw: Sequence[bytes]) -> bytes | None:
    """Anvil's transactions root; None if no transaction shows a sidecar."""
    if not any("cellProofs" in tx for tx in transactions):
        return None
    forms = zip(transactions, raw, strict=True)
    return transactions_root([_with_sidecar(tx, one) if "cellProofs" in tx else one for tx, one in forms])


def _with_sidecar(tx: dict[str, Any], raw: bytes) -> bytes:
    return network_form(raw, *([data(one) for one in _values(tx, name)] for name in ("blobs", "commitments", "cellProofs")))


def _read(raw: bytes, number: int) -> BlobTransaction:
    (decoded,) = decode_transactions([raw], blobs=True)
    if not isinstance(decoded, TxInfo):
        raise InvalidHeader(f"a blob transaction of block {number} does not decode: {decoded}")
    return BlobTransaction(decoded.sender, tuple(decoded.blob_versioned_hashes))


def _call(tx: dict[str, Any]) -> list[rlp.Item]:
    """gas limit, recipient, value and calldata: what every type has in this order."""
    to = tx.get("to")
    return [quantity(tx.get("gas")), b"" if to is None else data(to, 20), quantity(tx.get("value")), data(tx.get("input"))]


def _access_list(tx: dict[str, Any]) -> rlp.Item:
    entries = _list(tx, "accessList")
    return [[data(entry.get("address"), 20), [data(key, 32) for key in _values(entry, "storageKeys")]] for entry in entries]


def _authorizations(tx: dict[str, Any]) -> rlp.Item:
    return [
        [quantity(entry.get("chainId")), data(entry.get("address"), 20), *_numbers(entry, "nonce", "yParity", "r", "s")]
        for entry in _list(tx, "authorizationList")
    ]


def _list(tx: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = tx.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidInput(f"{name} is no list of objects")
    return entries


def _numbers(tx: dict[str, Any], *names: str) -> list[rlp.Item]:
    return [quantity(tx.get(name)) for name in names]


def _signature(tx: dict[str, Any]) -> list[rlp.Item]:
    parity = tx.get("yParity")
    return [quantity(tx.get("v") if parity is None else parity), *_numbers(tx, "r", "s")]


_PAYLOADS: dict[int, Callable[[dict[str, Any]], list[rlp.Item]]] = {
    0: lambda tx: [*_numbers(tx, "nonce", "gasPrice"), *_call(tx), *_numbers(tx, "v", "r", "s")],
    1: lambda tx: [*_numbers(tx, "chainId", "nonce", "gasPrice"), *_call(tx), _access_list(tx), *_signature(tx)],
    2: lambda tx: [*_dynamic(tx), *_signature(tx)],
    3: lambda tx: [*_dynamic(tx), quantity(tx.get("maxFeePerBlobGas")), _blob_hashes(tx), *_signature(tx)],
    4: lambda tx: [*_dynamic(tx), _authorizations(tx), *_signature(tx)],
}


def _dynamic(tx: dict[str, Any]) -> list[rlp.Item]:
    fees = _numbers(tx, "chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas")
    return [*fees, *_call(tx), _access_list(tx)]


def _blob_hashes(tx: dict[str, Any]) -> rlp.Item:
    return [data(one, 32) for one in _values(tx, "blobVersionedHashes")]


def _values(tx: dict[str, Any], name: str) -> list[object]:
    values = tx.get(name)
    if not isinstance(values, list):
        raise InvalidInput(f"{name} is no list")
    return values

"""Signs the two kinds of transactions that the client sends: EIP-1559's, and EIP-4844's, which carry blobs.

    raw, tx_hash = sign(Unsigned(chain_id=1, nonce=0, ..., to=address, value=10**18, data=b""), key)

A node's pool takes a blob transaction in its network form (codec/blob_transaction.py). Source: EIP-1559, EIP-2718, EIP-4844.
"""

from __future__ import annotations

from dataclasses import dataclass

from dougong.codec import rlp
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key
from dougong.errors import InvalidInput

__all__ = ["Unsigned", "sign"]

DYNAMIC_FEE, BLOB = b"\x02", b"\x03"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Fees in wei a gas. `to` is None for a deployment. With `blob_hashes` it is a blob transaction, which pays at most
    `max_blob_fee` wei a blob gas."""

    chain_id: int
    nonce: int
    max_priority_fee: int
    max_fee: int
    gas: int
    to: bytes | None
    value: int
    data: bytes
    max_blob_fee: int = 0
    blob_hashes: tuple[bytes, ...] = ()


def sign(tx: Unsigned, key: Secp256k1Key) -> tuple[bytes, bytes]:
    """The EIP-2718 encoding, and its hash. Raises `InvalidInput` for a deployment that carries blobs."""
    fields: list[rlp.Item] = [
        tx.chain_id,
        tx.nonce,
        tx.max_priority_fee,
        tx.max_fee,
        tx.gas,
        tx.to or b"",
        tx.value,
        tx.data,
        [],  # no access list
    ]
    kind = DYNAMIC_FEE
    if tx.blob_hashes:
        if tx.to is None:
            raise InvalidInput("a blob transaction deploys no contract")
        kind = BLOB
        fields += [tx.max_blob_fee, list(tx.blob_hashes)]
    signature = key.sign_digest(keccak256(kind + rlp.encode(fields)))
    r, s, parity = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64] - 27
    raw = kind + rlp.encode([*fields, parity, r, s])
    return raw, keccak256(raw)

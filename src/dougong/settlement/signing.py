"""Signs EIP-1559 transactions: the client's only kind.

    raw, tx_hash = sign(Unsigned(chain_id=1, nonce=0, ..., to=address, value=10**18, data=b""), key)

Source: EIP-1559, EIP-2718.
"""

from __future__ import annotations

from dataclasses import dataclass

from dougong.codec import rlp
from dougong.crypto.hashing import keccak256
from dougong.crypto.keys import Secp256k1Key

__all__ = ["Unsigned", "sign"]

TYPE = b"\x02"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Fees in wei a gas. `to` is None for a deployment."""

    chain_id: int
    nonce: int
    max_priority_fee: int
    max_fee: int
    gas: int
    to: bytes | None
    value: int
    data: bytes


def sign(tx: Unsigned, key: Secp256k1Key) -> tuple[bytes, bytes]:
    """The EIP-2718 encoding, and its hash."""
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
    signature = key.sign_digest(keccak256(TYPE + rlp.encode(fields)))
    r, s, parity = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64]), signature[64] - 27
    raw = TYPE + rlp.encode([*fields, parity, r, s])
    return raw, keccak256(raw)

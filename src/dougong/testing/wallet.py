"""A wallet for tests and benchmarks: keys from a label, transactions signed by the Rust core.

alice = Wallet.of("alice", chain_id)
raw = alice.transfer(bob.address, 10**18, nonce=0)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dougong._native import sign_transaction, sign_transactions
from dougong.crypto.hashing import sha256
from dougong.crypto.keys import Secp256k1Key

__all__ = ["GWEI", "Wallet"]

GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Wallet:
    """One key on one chain. Not for money: anyone can derive the key from its label."""

    secret: bytes
    address: bytes
    chain_id: int

    @classmethod
    def of(cls, label: str, chain_id: int) -> Wallet:
        secret = sha256(b"dougong test wallet", label.encode())
        return cls(secret, Secp256k1Key(secret).address, chain_id)

    def fields(
        self,
        to: bytes | None,
        *,
        nonce: int,
        value: int = 0,
        data: bytes = b"",
        gas: int = 21_000,
        max_fee: int = 10 * GWEI,
        tip: int = GWEI,
    ) -> str:
        """An EIP-1559 transaction's JSON-RPC fields, unsigned. Fees in wei."""
        return json.dumps(
            {
                "type": "0x2",
                "chainId": hex(self.chain_id),
                "nonce": hex(nonce),
                "to": None if to is None else "0x" + to.hex(),
                "value": hex(value),
                "data": "0x" + data.hex(),
                "gas": hex(gas),
                "maxFeePerGas": hex(max_fee),
                "maxPriorityFeePerGas": hex(tip),
            }
        )

    def sign(self, fields: str) -> bytes:
        return sign_transaction(fields, self.secret)

    def sign_all(self, fields: Sequence[str]) -> list[bytes]:
        """On all cores."""
        return sign_transactions(fields, [self.secret] * len(fields))

    def transfer(self, to: bytes, value: int, *, nonce: int, max_fee: int = 10 * GWEI, tip: int = GWEI) -> bytes:
        return self.sign(self.fields(to, nonce=nonce, value=value, max_fee=max_fee, tip=tip))

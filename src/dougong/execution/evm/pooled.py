"""What a pool holds: its limits, a transaction that waits, and the rules that need no more than the transaction.

    check_alone(raw, info, info.max_fee_per_gas, chain_id=1, gas_limit=60_000_000, tx_bytes=128 << 10)

Source of rules and words: go-ethereum's `core/txpool/validation.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dougong.errors import InvalidTransaction

if TYPE_CHECKING:
    from dougong._native import TxInfo

__all__ = ["Account", "PoolLimits", "PooledTransaction", "check_alone", "check_size"]

Account = tuple[int, int]
"""(nonce, balance in wei), as `Evm.account` returns it."""

MAX_NONCE = 2**64 - 1  # EIP-2681


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How much may wait. Counts of transactions, sizes in bytes.

    `lifetime` is how many seconds a transaction may wait that no block can take: behind a gap, or below the base fee.
    With `evict` False a full pool refuses instead of pushing out the cheapest, and only gapped ones leave: for a sequencer,
    whose word a taken transaction has as soon as it can follow.
    """

    count: int = 32_768
    total_bytes: int = 256 << 20
    per_sender: int = 1_024
    gapped_per_sender: int = 64
    tx_bytes: int = 128 << 10
    replacement_percent: int = 10
    evict: bool = True
    lifetime: float = 3 * 3_600.0


class PooledTransaction(NamedTuple):
    """A waiting transaction. `order` counts arrivals, `cost` is the most wei that it can take from its sender, `least_tip` what a
    block must leave of its fee above the base fee. (A tuple: to make a frozen dataclass takes five times as long.)"""

    hash: bytes
    sender: bytes
    nonce: int
    gas_limit: int
    max_fee: int
    max_priority_fee: int
    cost: int
    order: int
    raw: bytes
    least_tip: int = 0

    def pays(self, base_fee: int) -> bool:
        """Whether it can be in a block of this base fee."""
        return self.max_fee >= base_fee + self.least_tip


def check_size(raw: bytes, tx_bytes: int) -> None:
    """Raises `InvalidTransaction`."""
    if len(raw) > tx_bytes:
        raise InvalidTransaction(f"oversized data: transaction size {len(raw)}, limit {tx_bytes}")


def check_alone(raw: bytes, info: TxInfo, max_fee: int, chain_id: int, gas_limit: int, tx_bytes: int) -> int:
    """Its priority fee. `max_fee` is its own, `gas_limit` a block's. Raises `InvalidTransaction`. Each getter of `info` makes a
    value: none is asked twice."""
    check_size(raw, tx_bytes)
    own_chain, own_gas = info.chain_id, info.gas_limit
    if own_chain is not None and own_chain != chain_id:
        raise InvalidTransaction(f"invalid sender: invalid chain id for signer: have {own_chain} want {chain_id}")
    if own_gas > gas_limit:
        raise InvalidTransaction(f"exceeds block gas limit: tx gas limit {own_gas}, limit {gas_limit}")
    flaw = info.flaw
    if flaw is not None:
        raise InvalidTransaction(flaw)
    max_priority_fee = info.max_priority_fee_per_gas
    if max_priority_fee > max_fee:
        raise InvalidTransaction(
            "max priority fee per gas higher than max fee per gas: "
            f"maxPriorityFeePerGas: {max_priority_fee}, maxFeePerGas: {max_fee}"
        )
    if info.nonce >= MAX_NONCE:
        raise InvalidTransaction(f"nonce has max value: nonce {info.nonce}")
    return max_priority_fee

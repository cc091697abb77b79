"""Where the settlement contracts keep what a light node checks: storage slots for eth_getProof.

    slot = batch_accumulator_slot(rollup_id, count)
    # eth_getProof(contract, [slot], block) against the state root of a header that the light node trusts

Slots are 32 bytes, values 32 bytes (big-endian integers). They follow from the compiler's layout: a variable has a slot, an entry
of a mapping is at keccak256(slot ‖ key), a struct's members follow one another. Source: Vyper 0.4.3, "Storage Layout"; held
to the deployed contract by tests.
"""

from __future__ import annotations

from dougong.contracts import artifact
from dougong.crypto.hashing import keccak256

__all__ = [
    "attestors_hash_slot",
    "batch_accumulator_slot",
    "batch_count_slot",
    "claim_outbox_root_slot",
    "claim_post_state_slot",
    "claim_status_slot",
    "data_window_slot",
    "final_claim_slot",
    "history_root_slot",
    "inbox_accumulator_slot",
    "last_height_slot",
    "message_count_slot",
    "rollup_balance_slot",
]

_DATA_WINDOW = 9  # of `Rollup` in registry.vy
# Members of `Posted` in claims.vy
_STATUS, _POST_STATE, _OUTBOX_ROOT = 0, 3, 5


def history_root_slot(height: int) -> bytes:
    """Attestations: the history root attested at this height."""
    return _entry(_slot("Attestations", "roots"), height)


def last_height_slot() -> bytes:
    """Attestations: the last attested height."""
    return _slot("Attestations", "last_height").to_bytes(32)


def attestors_hash_slot() -> bytes:
    """Attestations: the hash of the set that signs next."""
    return _slot("Attestations", "attestors_hash").to_bytes(32)


def data_window_slot(rollup_id: int) -> bytes:
    """Settlement: how many DA heights below the last attested one a batch's data may lie; registered for ever."""
    start = _entry(_slot("Settlement", "registry", "rollups"), rollup_id)
    return _member(start, _DATA_WINDOW)


def batch_count_slot(rollup_id: int) -> bytes:
    return _entry(_slot("Settlement", "batches", "batch_count"), rollup_id)


def batch_accumulator_slot(rollup_id: int, count: int) -> bytes:
    """Settlement: the accumulator over the rollup's first `count` batches."""
    return _entry(_slot("Settlement", "batches", "batch_accumulator"), rollup_id, count)


def message_count_slot(rollup_id: int) -> bytes:
    return _entry(_slot("Settlement", "inbox", "message_count"), rollup_id)


def inbox_accumulator_slot(rollup_id: int, count: int) -> bytes:
    """Settlement: the accumulator over the rollup's first `count` inbox messages."""
    return _entry(_slot("Settlement", "inbox", "inbox_accumulator"), rollup_id, count)


def final_claim_slot(rollup_id: int) -> bytes:
    """Settlement: the id of the rollup's last final claim."""
    return _entry(_slot("Settlement", "claims", "final_claim"), rollup_id)


def claim_status_slot(claim_id: bytes) -> bytes:
    """Settlement: a `ClaimStatus`."""
    return _posted(claim_id, _STATUS)


def claim_post_state_slot(claim_id: bytes) -> bytes:
    return _posted(claim_id, _POST_STATE)


def claim_outbox_root_slot(claim_id: bytes) -> bytes:
    return _posted(claim_id, _OUTBOX_ROOT)


def rollup_balance_slot(rollup_id: int) -> bytes:
    """Settlement: wei held for the rollup."""
    return _entry(_slot("Settlement", "bridge", "balances"), rollup_id)


def _slot(contract: str, *path: str) -> int:
    return artifact(contract).slot(*path)


def _entry(slot: int, *keys: int) -> bytes:
    position = slot.to_bytes(32)
    for key in keys:
        position = keccak256(position + key.to_bytes(32))
    return position


def _posted(claim_id: bytes, member: int) -> bytes:
    start = _entry(_slot("Settlement", "claims", "posted_claims"), int.from_bytes(claim_id))
    return _member(start, member)


def _member(start: bytes, member: int) -> bytes:
    return ((int.from_bytes(start) + member) % 2**256).to_bytes(32)

"""The slots that a light node asks for are those that the deployed contracts use."""

from __future__ import annotations

import pytest

from dougong.net.jsonrpc import data, quantity
from dougong.settlement import proofs
from dougong.settlement.encoding import claim_id
from dougong.types import ClaimStatus
from tests.settlement.world import DATA_WINDOW, World


async def test_slots_hold_what_they_say(world: World) -> None:
    client = await world.client()
    rollup_id = world.rollup_id
    await client.deposit(rollup_id, b"\2" * 20, 5 * 10**9)
    await world.append()
    await world.append(inbox_end=1)
    claim = await world.claim(outbox_root=b"\x0b" * 32)
    identity = await world.settle(claim)
    assert identity == claim_id(claim)
    in_settlement = {
        proofs.data_window_slot(rollup_id): DATA_WINDOW.to_bytes(32),
        proofs.message_count_slot(rollup_id): (1).to_bytes(32),
        proofs.inbox_accumulator_slot(rollup_id, 1): claim.inbox_accumulator,
        proofs.batch_count_slot(rollup_id): (2).to_bytes(32),
        proofs.batch_accumulator_slot(rollup_id, 2): claim.batch_accumulator,
        proofs.final_claim_slot(rollup_id): identity,
        proofs.claim_status_slot(identity): int(ClaimStatus.FINAL).to_bytes(32),
        proofs.claim_post_state_slot(identity): claim.post_state,
        proofs.claim_outbox_root_slot(identity): claim.outbox_root,
        proofs.rollup_balance_slot(rollup_id): (5 * 10**9).to_bytes(32),
    }
    attestations = await world.attestation_client()
    in_attestations = {
        proofs.last_height_slot(): (2).to_bytes(32),
        proofs.history_root_slot(2): world.history.root(2),
        proofs.history_root_slot(1): world.history.root(1),
        proofs.attestors_hash_slot(): await attestations.attestors_hash(),
    }
    for contract, expected in ((world.settlement, in_settlement), (world.attestations, in_attestations)):
        answer = await world.rpc.call("eth_getProof", "0x" + contract.hex(), ["0x" + slot.hex() for slot in expected], "latest")
        found = {data(entry["key"]).rjust(32, b"\0"): quantity(entry["value"]).to_bytes(32) for entry in answer["storageProof"]}
        assert found == expected


@pytest.mark.parametrize("other", [(1, 2), (2, 1)])
def test_keys_are_not_mixed_up(other: tuple[int, int]) -> None:
    slots = {proofs.batch_accumulator_slot(*other), proofs.inbox_accumulator_slot(*other), proofs.batch_accumulator_slot(3, 3)}
    assert len(slots) == 3
